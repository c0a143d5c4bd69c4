"""Files that are sent to others: a hostile text, question or model name in them is a text there, too."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from bloomlab.lab import Lab, load
from tests.browser.conftest import Visit
from tests.browser.texts import HOSTILE
from tests.browser.waiting import until
from tests.tiny_random import byte_tokenizer, random_model

LAB = Lab(random_model(), byte_tokenizer(), name=f"--> {' '.join(HOSTILE)}")
TEXT = " ".join(HOSTILE)


@pytest.mark.parametrize("name", ["tokens", "attention", "alibi", "hidden_states", "predictions"])
def test_nothing_in_a_saved_svg_runs_or_loads(visit: Visit, tmp_path: Path, name: str) -> None:
    asked = {"question": TEXT} if name == "predictions" else {}
    svg = getattr(LAB, name)(TEXT, **asked).save(tmp_path / "x.svg")
    visit.page.goto(svg.as_uri())
    assert visit.page.evaluate("document.documentElement.nodeName") == "svg"  # it is well-formed
    assert visit.page.evaluate("window.canary") is None
    assert visit.page.locator("script, foreignObject, a, [onload], [onerror]").count() == 0
    assert visit.page.locator("path").count() > 20
    assert visit.errors == [] and visit.refused == []


def test_a_page_may_be_called_anything(visit: Visit, tmp_path: Path) -> None:
    """A file name is no part of the page; a title is text."""
    path = LAB.explore(TEXT).save(tmp_path / "a'b\" onload=window.canary=1 <b>$x$ القطة \u202e.html")
    visit.page.goto(path.as_uri())
    visit.page.wait_for_selector("[role=tab]")
    assert visit.page.title().startswith(HOSTILE[0][:20]) and visit.page.evaluate("window.canary") is None
    assert visit.errors == [] and visit.refused == []


SCHOOL = {  # what a school's server, or a learning platform, adds to a page that it hands out
    "no blob": "script-src 'unsafe-inline'; default-src 'unsafe-inline' data:",
    "no script": "script-src 'none'; style-src 'unsafe-inline'; img-src data:",
}


@pytest.mark.parametrize("policy", SCHOOL)
def test_a_page_under_a_policy_is_never_blank(visit: Visit, tmp_path: Path, policy: str) -> None:
    saved = LAB.attention("Leo 😀.").save(tmp_path / "x.html").read_text(encoding="utf-8")
    headers = {"Content-Security-Policy": SCHOOL[policy]}
    visit.page.route("http://127.0.0.1/x.html", lambda route: route.fulfill(body=saved, headers=headers))
    visit.page.goto("http://127.0.0.1/x.html")
    pictures = {"no blob": "[data-part=canvas]", "no script": "main img"}
    expect(visit.page.locator(pictures[policy]).first).to_be_visible()
    expect(visit.page.locator("[data-view=attention]")).to_have_count(int(policy == "no blob"))
    expect(visit.page.locator("main > :not(.bloomlab)")).to_have_count(int(policy == "no script"))  # it gives way


def test_a_live_view_in_a_frame_reads_another_text(visit: Visit, tmp_path: Path) -> None:
    """The export holds the model, so what is read there needs no kernel; a frame has no address to give a link to."""
    frame = load().explore("Leo lives in Oslo.").embed(height=700, live=True)
    (tmp_path / "export.html").write_text(f"<!doctype html><title>export</title>{frame._repr_html_()}", "utf-8")
    visit.page.goto((tmp_path / "export.html").as_uri())
    inside = visit.page.frame_locator("iframe")
    box = inside.locator("[data-part=text]")
    box.fill("Ana has a dog. Ana has")
    box.press("Enter")
    expect(inside.locator("[data-view=explorer]")).to_have_attribute("data-tokens", "7")
    inside.locator("[data-part=take] > button").click()
    expect(inside.locator("[data-part=take] [data-file=html]")).to_be_visible()
    expect(inside.locator("[data-part=take-link]")).to_be_hidden()
    assert visit.errors == [] and visit.refused == []


def test_an_embedded_view_stays_clickable_and_is_shut_in(visit: Visit, tmp_path: Path) -> None:
    """In an export nobody answers, and a frame of its own origin reaches neither the page around it nor the network."""
    frame = LAB.explore(TEXT).embed(height=700)
    outside = f"<!doctype html><title>export</title><p id=near>near</p>{frame._repr_html_()}"
    (tmp_path / "export.html").write_text(outside, encoding="utf-8")
    visit.page.goto((tmp_path / "export.html").as_uri())
    element = visit.page.locator("iframe")
    assert element.get_attribute("sandbox") == "allow-scripts allow-downloads"
    assert element.evaluate("e => e.clientHeight") == 700
    inside = visit.page.frame_locator("iframe")
    inside.locator("[role=tab][data-tab=hidden]").click()
    expect(inside.locator("[data-panel=hidden]")).to_be_visible()
    inside.locator("[role=tab][data-tab=attention]").click()
    inside.locator("[data-part=heads] [data-layer='1'][data-head='2']").click()
    expect(inside.locator("[data-view=explorer]")).to_have_attribute("data-head", "2")
    reach = "() => { try { return parent.document.title } catch (error) { return error.name } }"
    assert visit.page.frames[1].evaluate(reach) == "SecurityError"
    assert visit.page.frames[1].evaluate("document.fullscreenEnabled")
    assert visit.page.evaluate("window.canary") is None and visit.page.frames[1].evaluate("window.canary") is None
    assert visit.errors == [] and visit.refused == []


def test_a_view_fills_the_screen_and_leaves_it(visit: Visit, tmp_path: Path) -> None:
    visit.page.goto(LAB.attention("Leo 😀.").save(tmp_path / "x.html").as_uri())
    button = visit.page.locator("[data-part=full-screen]")
    button.click()
    until(visit.page, "document.fullscreenElement?.matches('.bloomlab')")
    expect(visit.page.locator("[data-part=canvas]")).to_be_visible()
    expect(button).to_be_visible()
    button.click()
    until(visit.page, "document.fullscreenElement === null")
    assert visit.errors == []
