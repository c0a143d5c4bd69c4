"""A site on a server under a path, with a policy that allows nothing inline: its views compute, its covers ask."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from bloomlab.site import make
from tests.browser.conftest import Visit

HOME = "http://127.0.0.1/a/path/"
KINDS = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css"}
WAIT = 30_000  # milliseconds

pytestmark = pytest.mark.slow  # a lesson is run


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    assert list(make(folder, ["04_alibi.ipynb"]))
    return folder


@pytest.fixture
def visit(chromium: Browser, site: Path) -> Iterator[Visit]:
    visit = Visit(chromium, 360, 800)

    def serve(route: Route) -> None:
        path = site / route.request.url.removeprefix(HOME).partition("#")[0]
        headers = {"content-security-policy": "default-src 'self'", "content-type": KINDS.get(path.suffix, "image/png")}
        if path.is_file():
            route.fulfill(body=path.read_bytes(), headers=headers)
        else:
            route.fulfill(status=404, body="")

    visit.page.route(HOME + "**", serve)
    said: list[str] = []
    visit.page.on("console", lambda message: said.append(message.text))
    yield visit
    assert not [words for words in said if "Content Security Policy" in words]
    visit.close()


def test_the_live_page_works_under_a_strict_policy(visit: Visit) -> None:
    page = visit.page
    page.goto(f"{HOME}live.html#text=Ana+lives+in+Lima.")
    expect(page.locator(".bloomlab[data-tokens]")).to_have_attribute("data-tokens", "5", timeout=WAIT)
    assert page.locator(".bl-site-view").get_attribute("data-alive") == "worker"
    box = page.locator('[data-part="text"]')
    box.fill("Leo lives in Oslo. Leo lives in")
    box.press("Enter")
    expect(page.locator(".bloomlab[data-tokens]")).to_have_attribute("data-tokens", "8", timeout=WAIT)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert visit.errors == [] and visit.refused == []


def test_every_view_and_cover_of_a_lesson_works(visit: Visit, site: Path) -> None:
    page = visit.page
    assert " style=" not in (site / "lessons" / "04_alibi.html").read_text(encoding="utf-8")
    page.goto(f"{HOME}lessons/04_alibi.html")
    views = page.locator(".bl-site > .bl-site-view")
    assert views.count() >= 4
    kinds = set()
    for number in range(views.count()):
        view = views.nth(number)
        view.scroll_into_view_if_needed()
        expect(view).to_have_attribute(
            "data-alive", "saved" if view.get_attribute("data-view") == "cover" else "worker", timeout=WAIT
        )
        expect(view.locator(".bloomlab")).to_be_visible(timeout=WAIT)
        kinds.add(view.get_attribute("data-view"))
    assert "cover" in kinds and len(kinds) > 1
    assert "you need Python" in page.locator("main > p").first.inner_text()
    assert visit.errors == [] and visit.refused == []
