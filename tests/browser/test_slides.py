"""On a slide: one screen and no more, and the host's sizes of headings, lists and tables stay outside."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from bloomlab.slides import write_slides
from bloomlab.views.cover import Cover
from bloomlab.views.shared.assets import style_text
from tests.browser.blank_page import BlankPage
from tests.browser.conftest import Visit
from tests.browser.test_host_styles import DIFFERENCES, NAMES
from tests.browser.waiting import redrawn
from tests.tasks.task_heads import random_lab
from tests.views.lone import TITLES

TEXT = "Leo lives in Oslo. Leo has a cat."
SIZES = [(960, 700), (1280, 720)]  # what nbconvert makes, and what a projector shows

# The rules of reveal.js 4.0.2 (MIT) and its theme "white" that reach what stands on a slide.
REVEAL = """
.reveal { font-family: serif; font-size: 42px; font-weight: normal; color: #222; }
.reveal .slides { text-align: center; line-height: 1.3; }
.reveal :is(h1, h2, h3, h4, h5, h6) { margin: 0 0 20px 0; color: #222; font-family: serif; font-weight: 600;
  line-height: 1.2; letter-spacing: 2px; text-transform: uppercase; text-shadow: 1px 1px red; word-wrap: break-word; }
.reveal h3 { font-size: 1.3em; }
.reveal p { margin: 20px 0; line-height: 1.3; }
.reveal :is(ol, dl, ul) { display: inline-block; text-align: left; margin: 0 0 0 1em; }
.reveal ul { list-style-type: square; }
.reveal pre { display: block; position: relative; width: 90%; margin: 20px auto; text-align: left; font-size: 0.55em;
  font-family: monospace; line-height: 1.2em; word-wrap: break-word; box-shadow: 0 5px 15px rgba(0, 0, 0, 0.15); }
.reveal code { font-family: serif; text-transform: none; }
.reveal table { margin: auto; border-collapse: separate; border-spacing: 4px; }
.reveal table th { font-weight: bold; }
.reveal :is(table th, table td) { text-align: left; padding: 0.2em 0.5em 0.2em 0.5em; border-bottom: 1px solid; }
.reveal :is(sup, sub) { font-size: smaller; vertical-align: super; }
.reveal small { display: inline-block; font-size: 0.6em; line-height: 1.2em; vertical-align: top; }
.reveal img { margin: 20px 0; max-width: 95%; max-height: 95%; }
.reveal a { color: #2a76dd; text-decoration: none; }
"""


@pytest.fixture(scope="module")
def slide(chromium: Browser) -> Iterator[BlankPage]:
    visit = Visit(chromium, *SIZES[0])
    blank = BlankPage(visit.page)
    visit.page.add_style_tag(content=f"body {{ margin: 0 }} {REVEAL}")
    visit.page.evaluate("document.body.className = 'reveal'")
    blank.draw(random_lab().explore(TEXT))
    yield blank
    assert visit.errors == [] and visit.refused == []
    visit.close()


@pytest.mark.parametrize("tab", TITLES)
def test_a_view_is_as_high_as_the_slide_at_most_and_styled_by_its_own_sheet(slide: BlankPage, tab: str) -> None:
    page, view = slide.page, slide.page.locator(".bloomlab")
    if slide.root("tab") != tab:
        page.locator(f"[role=tab][data-tab={tab}]").click()
        slide.answered()
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        redrawn(page)
        assert slide.root("compact") == "" and slide.root("room") == "normal"
        assert view.evaluate("e => e.querySelector('.bl-view').scrollHeight") <= height
        assert not page.locator(f"[data-panel={tab}] [data-zone=more]").is_visible()
    elements, differences = page.evaluate(DIFFERENCES, [style_text(), NAMES])
    assert elements > 100
    assert differences == [], "\n".join(differences)


def test_what_more_opens_is_scrolled_to(slide: BlankPage) -> None:
    slide.page.locator("[data-part=more]").click()
    redrawn(slide.page)
    box = slide.page.locator(".bloomlab").bounding_box()
    assert box is not None and box["height"] <= SIZES[0][1]
    slide.page.locator("[data-part=more]").click()


def test_the_compact_form_is_chosen_by_a_trait_or_by_the_slide(visit: Visit) -> None:
    blank = BlankPage(visit.page)
    blank.draw(random_lab().attention(TEXT))
    assert blank.page.locator("[data-compact]").count() == 0 and blank.root("room") == "wide"
    blank.view.compact = True
    blank.push()
    assert blank.page.locator("[data-compact]").count() == 1 and blank.root("room") == "normal"
    blank.view.compact = None
    blank.push()
    assert blank.page.locator("[data-compact]").count() == 0
    blank.page.evaluate("document.body.className = 'reveal'")
    blank.draw_again()
    assert blank.page.locator("main:last-child [data-compact]").count() == 1


def test_a_cover_on_a_slide_is_styled_by_its_own_sheet(visit: Visit) -> None:
    blank = BlankPage(visit.page)
    visit.page.add_style_tag(content=REVEAL)
    visit.page.evaluate("document.body.className = 'reveal'")
    blank.draw(Cover("How many?", 3, because="So.", shows="Leo"))
    visit.page.locator("[data-part=box]").fill("3")
    visit.page.locator("[data-part=reveal]").click()
    view = DIFFERENCES.replace("[data-view=explorer]", "[data-view=cover]")
    _, differences = visit.page.evaluate(view, [style_text(), NAMES])
    assert differences == [], "\n".join(differences)


def test_a_lesson_as_slides_fits_its_screens_offline_and_can_be_clicked(visit: Visit, tmp_path: Path) -> None:
    (path,) = write_slides(tmp_path, only="04_alibi.ipynb")
    page = visit.page
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(path.as_uri())
    expect(page.locator(".reveal.ready .slides section.present").first).to_be_visible()
    slides = page.evaluate("Reveal.getSlides().map((slide) => Reveal.getIndices(slide))")
    assert len(slides) > 15
    clicked = 0
    for number, at in enumerate(slides):
        page.evaluate("([h, v]) => Reveal.slide(h, v)", [at["h"], at["v"]])
        slide = page.locator("section.present:not(.stack)").last
        redrawn(page)
        over = slide.evaluate("e => [e.scrollHeight - e.clientHeight, e.scrollWidth - e.clientWidth]")
        assert max(over) <= 1, (at, over, slide.inner_text()[:200])
        frame = slide.locator("iframe")
        if frame.count():
            inside = frame.first.content_frame
            head = inside.locator("[data-view=alibi] [data-part=slopes] [data-head='3']").first
            expect(inside.locator("[data-view]").first).to_be_visible()
            clicked += 1
            if head.count():
                expect(inside.locator("[data-compact]")).to_have_count(1)
                head.dispatch_event("click")
                expect(inside.locator("[data-view=alibi]").first).to_have_attribute("data-head", "3")
        if number in (0, 3, 6, 12):
            visit.screenshot(f"slides-{number:02}")
    assert clicked > 3
    assert visit.errors == [] and visit.refused == []
