"""A browser that can reach this machine only, and the two Jupyter applications to point it at."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, ViewportSize, expect, sync_playwright

from tests.browser import chromium as installed
from tests.browser.servers import APPS, Server

expect.set_options(timeout=20_000)  # milliseconds; a busy machine is no reason to fail

SCREENSHOTS = Path(__file__).parent / "screenshots"
# Where much is done before a theme is looked at, the second is left to `make long`; test_accessibility looks at both.
THEMES = ["light", pytest.param("dark", marks=pytest.mark.long)]
OF_ONE_TAB = [
    f"test_{tab}_jupyter.py" for tab in ("tokens", "alibi", "slopes", "hidden", "predictions", "writing", "change")
]
HERE = re.compile(r"^(https?|wss?)://(127\.0\.0\.1|localhost)[:/]|^(data|blob|about|file):")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The installed Chromium, without a window. Where there is none, the test fails: it never passes unseen."""
    path = installed.find()
    if path is None:
        pytest.fail(installed.MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=installed.ARGS)
        yield browser
        browser.close()


class Visit:
    """One tab: its page, what it asked of the network, and the errors its scripts raised."""

    def __init__(self, browser: Browser, width: int = 1280, height: int = 900, touch: bool = False) -> None:
        size: ViewportSize = {"width": width, "height": height}
        self.context = browser.new_context(viewport=size, accept_downloads=True, has_touch=touch)
        self.page: Page = self.context.new_page()
        self.refused: list[str] = []
        self.errors: list[str] = []
        self.context.route("**/*", self._only_this_machine)
        self.page.on("pageerror", lambda error: self.errors.append(f"{error}\n{error.stack}"))

    def _only_this_machine(self, route: Route) -> None:
        if HERE.match(route.request.url):
            route.continue_()
        else:
            self.refused.append(route.request.url)
            route.abort()

    @property
    def widget_errors(self) -> list[str]:
        """Errors raised by a widget's own module (anywidget loads it from a blob), not by Jupyter."""
        return [error for error in self.errors if "blob:" in error]

    def screenshot(self, name: str) -> Path:
        SCREENSHOTS.mkdir(exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        self.page.screenshot(path=path)
        return path

    def close(self) -> None:
        self.context.close()


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Visit]:
    """A fresh tab."""
    visit = Visit(chromium)
    yield visit
    visit.close()


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """`jupyter("lab")` and `jupyter("notebook")`: each is started when it is first asked for."""
    servers: dict[str, Server] = {}

    def start(app: str) -> Server:
        if app not in servers:
            servers[app] = Server(app, tmp_path_factory.mktemp(app))
        return servers[app]

    yield start
    for server in servers.values():
        server.stop()


@pytest.fixture(scope="module", params=list(APPS))
def server(request: pytest.FixtureRequest, jupyter: Callable[[str], Server]) -> Server:
    """JupyterLab, then Notebook 7."""
    return jupyter(request.param)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs Chromium and takes its time.

    What one tab does in Notebook 7 is left to `make long`: its parts are those of JupyterLab, and the explorer, which
    has all tabs, is looked at in both.
    """
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.slow)
            params = getattr(item, "callspec", None) and item.callspec.params  # type: ignore[attr-defined]
            if item.path.name in OF_ONE_TAB and params and params.get("server") == "notebook":
                item.add_marker(pytest.mark.long)
