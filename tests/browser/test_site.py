"""A site on a server under a path, with a policy that allows nothing inline: its views compute, its covers ask.

A lesson takes its time to run, so one of them is in every run; `make page` takes the others, too.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urljoin

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from bloomlab.editions import DOTS
from bloomlab.site import OWN_CODE, make
from tests.browser.conftest import Visit
from tests.browser.test_accessibility import grave
from tests.browser.texts import TEXTS
from tests.browser.waiting import until

HOME = "http://127.0.0.1/a/path/"
KINDS = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
WAIT = 30_000  # milliseconds
LESSONS = os.environ.get("SITE_LESSONS", "09_interventions").split(",")

pytestmark = pytest.mark.slow  # a lesson is run


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    assert list(make(folder, [f"{lesson}.ipynb" for lesson in LESSONS]))
    return folder


@pytest.fixture
def visited(chromium: Browser, site: Path) -> Iterator[Callable[..., Visit]]:
    visits: list[Visit] = []
    said: list[str] = []

    def serve(route: Route) -> None:
        path = site / unquote(route.request.url.removeprefix(HOME).partition("#")[0])
        headers = {"content-security-policy": "default-src 'self'", "content-type": KINDS.get(path.suffix, "image/png")}
        if path.is_file():
            route.fulfill(body=path.read_bytes(), headers=headers)
        else:
            route.fulfill(status=404, body="")

    def visited(width: int = 1280, theme: Literal["light", "dark"] = "light") -> Visit:
        visit = Visit(chromium, width, 800)
        visits.append(visit)
        visit.page.emulate_media(color_scheme=theme)
        visit.page.route(HOME + "**", serve)
        visit.page.on("console", lambda message: said.append(message.text))
        return visit

    yield visited
    assert not [words for words in said if "Content Security Policy" in words]
    for visit in visits:
        assert visit.errors == [] and visit.refused == []
        visit.close()


def type_text(page: Page | Locator, text: str) -> None:
    box = page.locator('[data-part="text"]')
    box.fill(text)
    box.press("Enter")


def test_the_live_page_works_under_a_strict_policy(visited: Callable[..., Visit]) -> None:
    page = visited(360).page
    page.goto(f"{HOME}live.html#text=Ana+lives+in+Lima.")
    expect(page.locator(".bloomlab[data-tokens]")).to_have_attribute("data-tokens", "5", timeout=WAIT)
    expect(page.locator(".bl-site-view")).to_have_attribute("data-alive", "worker")
    type_text(page, "Leo lives in Oslo. Leo lives in")
    expect(page.locator(".bloomlab[data-tokens]")).to_have_attribute("data-tokens", "8", timeout=WAIT)
    for text in TEXTS.values():
        type_text(page, text)
        expect(page.locator('[data-part="text"]')).to_have_value(text)
        expect(page.locator(".bloomlab[data-tokens]")).to_have_attribute("data-state", "ready", timeout=WAIT)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("lesson", LESSONS)
def test_every_view_and_cover_of_a_lesson_works(visited: Callable[..., Visit], site: Path, lesson: str) -> None:
    page = visited().page
    written = (site / "lessons" / f"{lesson}.html").read_text(encoding="utf-8")
    assert " style=" not in written
    page.goto(f"{HOME}lessons/{lesson}.html")
    views = page.locator(".bl-site-view").all()
    assert len(views) > 1
    for view in views:
        kind, covered = view.get_attribute("data-view"), view.locator("xpath=ancestor::details")
        if covered.count():  # what a cover has hidden
            covered.locator("summary").click()
        view.scroll_into_view_if_needed()
        alive = "worker" if view.get_attribute("data-model") else "saved"
        expect(view).to_have_attribute("data-alive", alive, timeout=WAIT)
        expect(view.locator(".bloomlab")).to_be_visible(timeout=WAIT)
        if kind == "cover":
            open_cover(view)
        elif alive == "worker" and view.locator('[data-part="text"]:visible').count():
            type_text(view, "Ana has a dog. Ana has")
            expect(view.locator(".bloomlab")).to_have_attribute("data-tokens", "7", timeout=WAIT)
    for cell in page.locator(".bl-site-code").all():
        if DOTS.search(cell.inner_text()):
            assert cell.evaluate("(cell) => cell.nextElementSibling.textContent") == OWN_CODE
    assert "you need Python" in page.locator("main > p").first.inner_text()
    for link in page.locator("main a").all():  # within the site
        assert (site / "lessons" / str(link.get_attribute("href")).partition("#")[0]).resolve().is_file()


def open_cover(cover: Locator) -> None:
    """Nothing is told before a guess; then it says what it is, and how near the guess was."""
    cover.locator('[data-part="reveal"]').click()
    expect(cover.locator('[data-part="live"]')).to_contain_text("a guess will do")
    assert not cover.locator('[data-part="answer"]').count()
    box = cover.locator('[data-part="box"]')
    if box.count():
        box.fill("3")
        box.press("Enter")
    else:
        cover.locator("input").first.check()
        cover.locator('[data-part="reveal"]').click()
    expect(cover.locator('[data-part="answer"]')).to_be_visible()
    expect(cover.locator('[data-part="live"]')).not_to_contain_text("a guess will do")  # but what the guess was worth
    for picture in cover.locator('[data-part="shown"] canvas').all():
        expect(picture).not_to_have_attribute("width", "0")  # it is drawn


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_each_kind_of_page_is_for_everybody(visited: Callable[..., Visit], theme: Literal["light", "dark"]) -> None:
    page = visited(360, theme).page
    for name in ("index", "docs/index", "docs/page", "docs/lab", "gallery/index", "lessons/index", "lessons/GLOSSARY"):
        page.goto(f"{HOME}{name}.html")
        assert grave(page) == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, name
    page.goto(f"{HOME}gallery/attention.html")
    expect(page.locator(".bloomlab[data-tokens]")).to_be_visible(timeout=WAIT)
    assert grave(page) == []


def test_the_docs_are_reached_by_keys_alone_and_no_link_among_pages_is_broken(
    visited: Callable[..., Visit], site: Path
) -> None:
    page = visited().page
    page.goto(f"{HOME}index.html")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "docs":
            break
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("bloomlab's pages")
    seen, waiting = set(), [page.url]
    while waiting:
        address = waiting.pop()
        if address in seen or not address.endswith(".html"):
            continue
        seen.add(address)
        page.goto(address, wait_until="commit")
        until(page, "document.readyState !== 'loading'")  # all of its links are there, before any script has run
        links = page.locator("a, img").evaluate_all("(all) => all.map((one) => one.getAttribute('href') ?? one.src)")
        here = [urljoin(address, link).partition("#")[0] for link in links]
        for link in (link for link in here if link.startswith(HOME)):
            assert (site / link.removeprefix(HOME)).is_file(), (address, link)
            waiting.append(link)
    assert f"{HOME}docs/generation.html" in seen and f"{HOME}lessons/GLOSSARY.html" in seen
