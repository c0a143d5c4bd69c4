"""How long a change by hand takes in JupyterLab, from the key to the picture, on the embedded model.

python -m tests.benchmarks.live

Each is a key that is pressed in the page; the clock is the page's own, and stops when the next picture is drawn.
"""

import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.benchmarks.edits import TEXT, TOKENS
from tests.browser import chromium
from tests.browser.conftest import Visit
from tests.browser.driving import Notebook
from tests.browser.servers import Server

ROUNDS = 100
PRESSED = """([part, key, options]) => new Promise((done, failed) => {
    const root = document.querySelector(".bloomlab");
    const before = root.dataset.drawn;
    const start = performance.now();
    const seen = new MutationObserver(() => {
        if (root.dataset.drawn === before) return;
        seen.disconnect();
        requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
    });
    seen.observe(root, { attributes: true });
    setTimeout(() => failed(new Error("nothing was drawn")), 10000);
    const target = [...root.querySelectorAll(part)].find((element) => element.getClientRects().length > 0);
    if (key === "click") target.click();
    else target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, ...options }));
})"""


def row(what: str, goal: float, times: list[float]) -> str:
    twentieths = statistics.quantiles(times, n=20)
    inside = sum(time <= goal for time in times)
    return f"{what:<44}{twentieths[9]:8.1f} ms, p95 {twentieths[18]:.1f} ms; {inside} of {len(times)} within {goal} ms"


def measure(notebook: Notebook) -> list[str]:
    page = notebook.page

    def tab(name: str) -> None:
        page.locator(f"[role=tab][data-tab={name}]").click()
        page.locator(f"[data-panel={name}]").wait_for()
        page.wait_for_timeout(500)

    tab("alibi")
    slopes = []
    for number in range(ROUNDS + 5):
        step = ["[data-part=slopes]", "ArrowDown" if number % 2 else "ArrowUp", {"shiftKey": True}]
        slopes.append(page.evaluate(PRESSED, step))
    page.locator("[data-part=clear]").click()
    rows = [row("a slope moved a step, ALiBi open", 100, slopes[5:])]
    for name in ("attention", "hidden", "predictions"):
        tab(name)
        edits = []
        for _ in range(ROUNDS // 2 + 3):
            edits.append(page.evaluate(PRESSED, ["[data-edit=silence]", "click", {}]))
            edits.append(page.evaluate(PRESSED, ["[data-part=undo]", "click", {}]))
        rows.append(row(f"an edit and its undoing, {name} open", 150, edits[6:]))
    return rows


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.find(), args=chromium.ARGS)
        server = Server("lab", Path(folder))
        try:
            cells = ["import bloomlab", "lab = bloomlab.load()", f"view = lab.explore({TEXT!r})\nview"]
            notebook = Notebook(Visit(browser), server, cells, "live")
            notebook.run_all()
            notebook.page.locator("[data-view=explorer][data-drawn]").wait_for()
            print(f"{TOKENS} tokens, the embedded model, in JupyterLab")
            print("\n".join(measure(notebook)))
        finally:
            server.stop()
            browser.close()


if __name__ == "__main__":
    main()
