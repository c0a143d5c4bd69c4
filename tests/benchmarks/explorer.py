"""What the explorer takes: bytes until its first picture, seconds until it is ready, milliseconds until a click shows.

python -m tests.benchmarks.explorer
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator

import torch
from playwright.sync_api import sync_playwright

import bloomlab
from bloomlab import BloomConfig, BloomForCausalLM, BloomTokenizerFast, Lab, tiny
from bloomlab.views.view import View
from tests.browser import chromium
from tests.browser.blank_page import BlankPage
from tests.views.lone import TITLES

READY = """
import time, torch
wall, own = time.perf_counter(), time.process_time()
import bloomlab
bloomlab.load().explore()
print(time.perf_counter() - wall, time.process_time() - own)
"""

# A click, and the time until the browser has drawn what it changed: the first task after the next frame.
CLICK = """([selector, n]) => new Promise((done) => {
    const all = document.querySelectorAll(selector);
    const target = all[n % all.length];
    const start = performance.now();
    target.dispatchEvent(new MouseEvent("click", { bubbles: true, clientX: 0, clientY: 0 }));
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
})"""
CLICKS = {
    "tokens": ['[data-part="strip"] [data-token]'],
    "attention": ['[data-part="heads"] [data-head]', '[data-part="strip"] [data-token]'],
    "alibi": ['[data-part="reach"] [data-head]', '[data-part="strip"] [data-token]'],
    "hidden": ['[data-panel="hidden"] [data-cell]', '[data-part="strip"] [data-token]'],
    "predictions": ['[data-panel="predictions"] [data-cell]', '[data-part="strip"] [data-token]'],
}


def sent(view: View) -> tuple[int, int]:
    """Bytes that cross to the page before the first picture: the data, and the module with its style sheet."""
    state = view.get_state()
    sizes = {
        name: len(value) if isinstance(value, bytes) else len(json.dumps(value, ensure_ascii=False).encode())
        for name, value in state.items()
    }
    code = sizes.pop("_esm") + sizes.pop("_css")
    return sum(sizes.values()), code


def first_pictures() -> Iterator[str]:
    tokenizer = BloomTokenizerFast.from_pretrained(tiny.folder())
    for layers, heads, tokens, most in [(4, 8, 64, 300), (24, 16, 512, 2000)]:
        config = BloomConfig(vocab_size=3072, hidden_size=16 * heads, n_layer=layers, n_head=heads)
        view = Lab(BloomForCausalLM(config), tokenizer).explore(" Leo" * tokens)
        data, code = sent(view)
        what = f"first picture, {layers} × {heads} heads, {tokens} tokens"
        yield f"{what:<62}{data / 1e3:9.1f} kB of {most}, and {code / 1e3:.1f} kB of module and style"


def ready(rounds: int) -> str:
    runs = [subprocess.run([sys.executable, "-c", READY], capture_output=True, check=True) for _ in range(rounds)]
    wall, own = zip(*(map(float, run.stdout.split()) for run in runs), strict=True)
    return (
        f"{'ready after torch is imported':<62}{statistics.median(wall):9.2f} s  of 1.5, best {min(wall):.2f} s; "
        f"of the processor {statistics.median(own):.2f} s"
    )


def clicks(turns: int) -> Iterator[str]:
    """From a click until what it changed is drawn; and how much of that the page was working, not waiting its turn."""
    text = "Leo lives in Oslo. He has a cat. " * 5
    view = bloomlab.load().explore(text)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.find(), headless=True, args=chromium.ARGS)
        blank = BlankPage(browser.new_page(viewport={"width": 1280, "height": 1600}))
        session = blank.page.context.new_cdp_session(blank.page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})

        def worked() -> float:
            metrics = session.send("Performance.getMetrics")["metrics"]
            return 1e3 * next(float(metric["value"]) for metric in metrics if metric["name"] == "TaskDuration")

        blank.draw(view)
        for tab, title in TITLES.items():
            blank.page.locator(f'[role="tab"][data-tab="{tab}"]').click()
            blank.page.wait_for_timeout(200)
            blank.answer()
            times, work = [], []
            for turn in range(turns):
                for selector in CLICKS[tab]:
                    before = worked()
                    times.append(blank.page.evaluate(CLICK, [selector, 7 * turn]))
                    work.append(worked() - before)
            (middle, p95), busy = (
                (statistics.quantiles(times, n=20)[i] for i in (9, 18)),
                statistics.quantiles(work, n=20)[18],
            )
            what = f"click in {title}, {len(view.picture['tokens'])} tokens, {len(times)} clicks"
            yield f"{what:<62}{middle:9.1f} ms, p95 {p95:.1f} ms of 100; p95 of the page's own work {busy:.1f} ms"
        browser.close()


def measure(rounds: int = 5, turns: int = 40) -> Iterator[str]:
    """All of it: made ready `rounds` times, and `turns` clicks on each kind of thing in each tab."""
    yield from first_pictures()
    yield ready(rounds)
    yield from clicks(turns)


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for line in measure():
        print(line, flush=True)
