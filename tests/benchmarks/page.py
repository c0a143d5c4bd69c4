"""How long a live page takes, in Chromium, without Python: from its file, and from a key to the picture.

python -m tests.benchmarks.page

Memory is that of the tab's process, with its worker (Linux only): what it has of its own, as a browser's task manager
says it, and beside it all that is resident, with the program's files, which every tab of the browser shares.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

import bloomlab
from tests.benchmarks.live import PRESSED, ROUNDS, row
from tests.browser import chromium
from tests.browser.waiting import until

WORDS = "Leo lives in Oslo. He has a cat. Let us say it again. Ana lives in Lima. She has a dog. "
TOKENS = 50
FIRST, TYPED, EDIT, SLOPE = 1500, 250, 250, 150  # milliseconds
MEMORY = 300  # MB

TYPE = """(text) => new Promise((done, failed) => {
    const root = document.querySelector(".bloomlab");
    const box = root.querySelector('[data-part="text"]');
    const before = root.dataset.drawn;
    box.value = text;
    box.dispatchEvent(new Event("input", { bubbles: true }));
    const start = performance.now();
    const seen = new MutationObserver(() => {
        if (root.dataset.drawn === before || root.dataset.state !== "ready") return;
        seen.disconnect();
        requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
    });
    seen.observe(root, { attributes: true });
    setTimeout(() => failed(new Error("nothing was drawn")), 10000);
    box.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
})"""
WATCH = """() => {
    const root = document.querySelector(".bloomlab");
    globalThis.took = [];
    let start = 0;
    addEventListener("pointermove", () => (start ||= performance.now()), true);
    new MutationObserver(() => {
        if (!start) return;
        const began = start;
        start = 0;
        requestAnimationFrame(() => setTimeout(() => took.push(performance.now() - began)));
    }).observe(root, { attributes: true, attributeFilter: ["data-drawn"] });
}"""
FIRST_PICTURE = """() => new Promise((done) => {
    const there = () => document.querySelector(".bloomlab[data-tokens] canvas");
    const look = () => (there() ? done(performance.now()) : requestAnimationFrame(look));
    look();
})"""


def text_of(lab: bloomlab.Lab, start: str) -> str:
    """A text of TOKENS tokens."""
    return "".join(token.text for token in lab.tokens(start + WORDS * 3)[:TOKENS])


def memory() -> tuple[float, float]:
    """MB of the largest tab of a browser that this program has started: of its own, and resident."""
    parents, sizes = {}, {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = dict(
                line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line
            )
            parents[int(process.name)] = int(fields["PPid"])
            if b"--type=renderer" in (process / "cmdline").read_bytes():
                shared, whole = (int(fields[name].split()[0]) / 1000 for name in ("RssFile", "VmRSS"))
                sizes[int(process.name)] = whole - shared, whole
        except (OSError, KeyError):  # it has ended meanwhile
            continue

    def is_ours(process: int) -> bool:
        return process == os.getpid() or (process in parents and is_ours(parents[process]))

    return max((size for process, size in sizes.items() if is_ours(process)), default=(0.0, 0.0))


def measure(page: Page, lab: bloomlab.Lab) -> Iterator[str]:
    texts = [text_of(lab, start) for start in ("Eva is a cook. ", "Juma eats rice. ")]
    for name in ("attention", "hidden", "predictions"):
        page.locator(f"[role=tab][data-tab={name}]").click()
        page.locator(f"[data-panel={name}]").wait_for()
        page.wait_for_timeout(500)
        typed = [page.evaluate(TYPE, texts[number % 2]) for number in range(ROUNDS // 2)]
        yield row(f"a text of {TOKENS} tokens, {name} open", TYPED, typed[5:])
        edits = []
        for _ in range(ROUNDS // 4):
            edits.append(page.evaluate(PRESSED, ["[data-edit=silence]", "click", {}]))
            edits.append(page.evaluate(PRESSED, ["[data-part=undo]", "click", {}]))
        yield row(f"an edit and its undoing, {name} open", EDIT, edits[6:])
    page.locator("[role=tab][data-tab=alibi]").click()
    page.locator("[data-panel=alibi]").wait_for()
    page.wait_for_timeout(500)
    slopes = []
    for number in range(ROUNDS // 2 + 5):
        step = ["[data-part=slopes]", "ArrowDown" if number % 2 else "ArrowUp", {"shiftKey": True}]
        slopes.append(page.evaluate(PRESSED, step))
    yield row("a slope moved a step, ALiBi open", SLOPE, slopes[5:])
    yield row("a slope dragged, ALiBi open", SLOPE, dragged(page)[5:])
    own, resident = memory()
    yield f"{'memory of the tab':<44}{own:8.0f} MB of {MEMORY} ({resident:.0f} MB with what all tabs share)"


def dragged(page: Page) -> list[float]:
    """Milliseconds from each move of the pointer, once the last one shows, to its picture."""
    grip = page.locator("[data-panel=alibi] .bl-slope-grip").nth(3)
    grip.scroll_into_view_if_needed()
    box = grip.bounding_box() or {"x": 0, "y": 0, "width": 0, "height": 0}
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate(WATCH)
    for number in range(ROUNDS // 2 + 5):
        page.mouse.move(x, y + 12 + 4 * (number % 5) + number % 2)
        until(page, f"took.length > {number}")
    page.mouse.up()
    found: list[float] = page.evaluate("took")
    return found


def main() -> None:
    lab = bloomlab.load()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = lab.explore(text_of(lab, "Leo is a cook. ")).save(Path(folder) / "page.html", live=True)
        print(f"a live page, {path.stat().st_size / 1e6:.2f} MB, the embedded model, in Chromium")
        browser = playwright.chromium.launch(executable_path=chromium.find(), args=chromium.ARGS)
        firsts = []
        for _ in range(20):
            page = browser.new_page()
            page.goto(path.as_uri(), wait_until="commit")
            firsts.append(page.evaluate(FIRST_PICTURE))
            page.close()
        print(row("the first picture, from a file", FIRST, firsts))
        page = browser.new_page()
        page.goto(path.as_uri())
        page.locator(".bloomlab[data-drawn]").wait_for()
        for line in measure(page, lab):
            print(line, flush=True)
        browser.close()


if __name__ == "__main__":
    main()
