"""Find a Chromium to test with. `python -m tests.browser.chromium` prints where it is, or says what to do."""

import os
import shutil
import sys
from pathlib import Path

# Debian's shell draws the same pages without a window's furniture: a tab opens in a third of the time.
NAMES = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
MACOS = ["Chromium.app/Contents/MacOS/Chromium", "Google Chrome.app/Contents/MacOS/Google Chrome"]

# Nothing but the pages under test: no updates, no sync, no first-run questions.
ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]

MISSING = (
    "the browser tests need Chromium and none was found; install it (Debian: apt-get install chromium "
    "fonts-dejavu-core fonts-noto-core; Ubuntu, macOS, Windows: python -m playwright install chromium) "
    "or name one in CHROMIUM=/path/to/chrome"
)


def find() -> str | None:
    """The path of a Chromium or Chrome, or None."""
    named = os.environ.get("CHROMIUM")
    if named:
        return shutil.which(named)
    found = [path for name in NAMES if (path := shutil.which(name))]
    found += [str(path) for app in MACOS if (path := Path("/Applications") / app).exists()]
    return found[0] if found else _playwrights_own()


def _playwrights_own() -> str | None:
    """The browser that `playwright install chromium` puts in the user's cache."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


if __name__ == "__main__":
    sys.exit(MISSING) if (path := find()) is None else print(path)
