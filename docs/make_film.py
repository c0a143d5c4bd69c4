"""Make the README's moving picture from a live page: a head is silenced at one token, Oslo falls, the controls appear.

python -m docs.make_film [FOLDER]      in the project's folder; into docs/, unless another folder is named
"""

import io
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

import bloomlab
from docs.make_pictures import TEXT
from tests.browser import chromium

SIZE = {"width": 900, "height": 570}  # pixels
COLOURS = 64
LAYER, HEAD, TOKEN = 0, 1, 16  # what is silenced, at the full stop after "again"
WAIT = 60_000  # milliseconds for what is measured


def scenes(page: Page) -> Iterator[int]:
    """What happens in the page, scene by scene; of each, for how many milliseconds it is to be seen."""
    page.locator('[data-part="strip"] [role="option"][data-token="19"]').click()
    yield 1500
    page.locator(f'[role="option"][data-layer="{LAYER}"][data-head="{HEAD}"]').click()
    page.locator(f'[data-part="strip"] [role="option"][data-token="{TOKEN}"]').click()
    yield 1500
    page.locator('[data-part="worth-more"]').wait_for(state="attached")
    page.keyboard.press("e")
    yield 1500
    page.locator('[data-panel="attention"] [data-edit="silence"]').click()
    page.locator('[data-worth="drawn"]').wait_for(timeout=WAIT)
    page.locator('[data-part="worth-more"]').click()
    page.locator('[data-part="worth-sheet"] input[value="probability"]').first.check()
    page.locator('[data-part="worth-close"]').click()
    page.locator('[data-part="worth-numbers"]', has_text="p").wait_for(timeout=WAIT)
    page.locator('[data-worth="drawn"]').wait_for(timeout=WAIT)
    yield 2500
    page.locator('[data-part="refute"]').click()
    page.locator('[data-part="verdict"]', has_text="of 64 other texts the same way").wait_for(timeout=WAIT)
    yield 5000


def opened(browser: Browser, folder: Path) -> Page:
    """The live page of the story."""
    page = browser.new_page(viewport=SIZE, color_scheme="light")
    page.goto(bloomlab.load().explore(TEXT).save(folder / "page.html", live=True).as_uri())
    page.locator(".bloomlab[data-drawn]").wait_for(timeout=WAIT)
    return page


def film(browser: Browser, place: Path) -> Path:
    """Write film.gif: a picture a scene."""
    with tempfile.TemporaryDirectory() as folder:
        page = opened(browser, Path(folder))
        shots, times = [], []
        for milliseconds in scenes(page):
            page.wait_for_timeout(300)
            shot = Image.open(io.BytesIO(page.screenshot()))
            shots.append(shot.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE))
            times.append(milliseconds)
        page.close()
    made = place / "film.gif"
    shots[0].save(made, save_all=True, append_images=shots[1:], duration=times, loop=0, optimize=True)
    return made


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    with sync_playwright() as playwright:
        with playwright.chromium.launch(executable_path=chromium.find(), headless=True, args=chromium.ARGS) as browser:
            made = film(browser, folder)
    print(f"{made.stat().st_size / 1e3:.0f} kB  {made}")
