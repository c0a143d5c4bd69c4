"""Make the pictures: the explorer with the head that finds Oslo again, as Chromium draws the saved page; for the README
of one process, and for docs/large.md of a model in two, with the code that opens it.

python -m docs.make_pictures [FOLDER]      in the project's folder; into docs/, unless another folder is named
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

import bloomlab
from tests.browser import chromium

TEXT = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
CITY = 3  # where Oslo stands
WIDTH = 880  # pixels of the page; the picture has half as many again, to be sharp
MARGIN = 6


def draw(browser: Browser, place: Path, engines: int | None = None) -> Path:
    """Write explorer.png: the whole view, as it stands on one screen; or explorer-engines.png, of so many processes."""
    lab = bloomlab.load(engines=engines)
    view = lab.explore(TEXT)
    looks = lab.trace(TEXT, read=["attn.probs"]).stack("attn.probs")[:, 0, :, -1, CITY]
    view.layer, view.head = divmod(int(looks.argmax()), looks.shape[1])
    view.key = CITY
    picture = place / ("explorer.png" if engines is None else "explorer-engines.png")
    page = browser.new_page(viewport={"width": WIDTH, "height": 1600}, color_scheme="light", device_scale_factor=1.5)
    with tempfile.TemporaryDirectory() as folder:
        page.goto(view.save(Path(folder) / "explorer.html").as_uri())
        if engines is not None:
            page.locator("summary", has_text="code").click()
        bottom = page.locator(".bloomlab").evaluate("(element) => element.getBoundingClientRect().bottom")
        page.screenshot(path=picture, clip={"x": 0, "y": 0, "width": WIDTH, "height": bottom + MARGIN})
    page.close()
    if engines is not None:
        lab.model.engines.close()
    return picture


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    with sync_playwright() as playwright:
        with playwright.chromium.launch(executable_path=chromium.find(), headless=True, args=chromium.ARGS) as browser:
            for made in (draw(browser, folder), draw(browser, folder, engines=2)):
                print(f"{made.stat().st_size / 1e3:.0f} kB  {made}")
