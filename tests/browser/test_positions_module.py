"""The ALiBi tab of a model without ALiBi: what stands in its place, in a page."""

import math
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

import bloomlab
from tests.browser.blank_page import BlankPage
from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser

TEXT = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"


@pytest.fixture
def blank(visit: Visit) -> Iterator[BlankPage]:
    yield BlankPage(visit.page)
    assert visit.errors == []
    assert visit.refused == []


@pytest.mark.parametrize("kind", ["rotary", "learned", "none"])
def test_the_tab_shows_what_stands_in_alibis_place_and_no_slopes(blank: BlankPage, kind: str) -> None:
    lab = bloomlab.load("tiny", positions=kind)
    view = lab.alibi(TEXT)
    blank.draw(view)
    page, other = blank.page, view.picture["other"]
    expect(page.locator('[data-part="other-says"]')).to_have_text(other["says"])
    for part in ("slopes", "bias", "reach", "forms", "slope-typed"):
        expect(page.locator(f'[data-part="{part}"]')).to_be_hidden()
    expect(page.locator('[data-part="alike"]')).to_be_visible(visible=kind != "none")
    rows = page.locator('[data-part="other-table"] tbody tr')
    if kind == "rotary":
        expect(rows).to_have_count(8)
        assert float(rows.first.get_attribute("data-turn") or 0) == pytest.approx(2 * math.pi)
    elif kind == "learned":
        assert float(rows.first.get_attribute("data-size") or 0) == pytest.approx(other["sizes"][0])
    else:
        expect(page.locator('[data-part="other-table"]')).to_be_hidden()
    assert "NaN" not in page.locator(".bloomlab").inner_text()


def test_the_tab_of_the_twin_with_alibi_is_that_of_any_bloom(blank: BlankPage) -> None:
    blank.draw(bloomlab.load("tiny", positions="alibi").alibi(TEXT))
    expect(blank.page.locator('[data-part="other"]')).to_be_hidden()
    expect(blank.page.locator('[data-part="bias"]')).to_be_visible()
