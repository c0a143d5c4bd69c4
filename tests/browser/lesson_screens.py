"""Every lesson as a student sees it in JupyterLab at 1280 × 720, covers opened: a picture of each screen.

python -m tests.browser.lesson_screens                        all lessons, into tests/browser/screenshots
python -m tests.browser.lesson_screens 03 09 --language fr --dark
"""

import argparse
import tempfile
from pathlib import Path

import nbformat
from playwright.sync_api import sync_playwright

from bloomlab.editions import edition_of
from bloomlab.lessons import folder
from tests.browser import chromium
from tests.browser.conftest import Visit
from tests.browser.driving import Notebook
from tests.browser.servers import Server
from tests.browser.test_lessons import predict

SCROLL = """top => {
    const notebook = document.querySelector('.jp-WindowedPanel-outer');
    notebook.scrollTop = top * (notebook.clientHeight - 24);
    const cells = notebook.querySelectorAll('.jp-Cell');
    return cells[cells.length - 1].getBoundingClientRect().bottom > notebook.getBoundingClientRect().bottom;
}"""


def screens(visit: Visit, server: Server, lesson: Path, name: str, dark: bool) -> int:
    """Run a lesson, answer its covers, and take a picture of each screen; how many there were."""
    notebook = Notebook(visit, server, lesson, name)
    notebook.dark(dark)
    notebook.run_all(timeout=600_000)
    predict(notebook, nbformat.read(lesson, as_version=4))
    visit.page.wait_for_timeout(1000)  # pictures are drawn after they have come
    count, more = 0, True
    while more:
        more = visit.page.evaluate(SCROLL, count)
        visit.page.wait_for_timeout(300)
        count += 1
        visit.screenshot(f"{name}-{count:02}")
    notebook.close()
    return count


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.lesson_screens", description=__doc__)
    parser.add_argument("lessons", nargs="*", help="the beginnings of their names, as 03; none: all")
    parser.add_argument("--language", help="fr or es: in that language")
    parser.add_argument("--dark", action="store_true", help="in JupyterLab's dark theme")
    asked = parser.parse_args()
    paths = [path for path in sorted(folder().glob("*.ipynb")) if path.name.startswith(tuple(asked.lessons or [""]))]
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.find(), headless=True, args=chromium.ARGS)
        server = Server("lab", Path(place))
        try:
            for path in paths:
                lesson = Path(place) / path.name
                lesson.write_bytes(edition_of(path, None, asked.language))
                name = "-".join(filter(None, ["screen", path.stem, asked.language, "dark" if asked.dark else ""]))
                print(
                    f"{name}: {screens(Visit(browser, height=720), server, lesson, name, asked.dark)} screens",
                    flush=True,
                )
        finally:
            server.stop()
            browser.close()


if __name__ == "__main__":
    main()
