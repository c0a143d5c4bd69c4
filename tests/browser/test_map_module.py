"""The map in a page: a part says what it is, a layer is stepped through, a tab is opened from it."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

import bloomlab
from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    view = bloomlab.load().map("Leo lives in Oslo. Leo lives in")
    view.attention.picture  # noqa: B018  (computed, so that the page has a tab to go to)
    return view.save(tmp_path_factory.mktemp("map") / "map.html")


def test_the_whole_model_is_on_the_page_and_each_part_says_what_it_is(visit: Visit, saved: Path) -> None:
    page = visit.page
    page.set_viewport_size({"width": 816, "height": 580})
    page.goto(saved.as_uri())
    panel = page.locator('[data-panel="map"]')
    boxes = panel.locator("[data-box]")
    expect(boxes).to_have_count(10)
    zone = panel.locator('[data-zone="where"]')
    assert zone.evaluate("zone => zone.scrollHeight <= zone.clientHeight + 1")  # all of it is in sight
    expect(panel.locator('[data-box="scores"]')).to_contain_text("8 × 3,072")
    expect(panel.locator('[data-box="next"]')).to_contain_text("Oslo")

    panel.locator('[data-box="mlp"]').click()
    expect(panel.locator('[data-fact="here"]')).to_have_text("8 tokens × 512 neurons")
    expect(panel.locator('[data-fact="learned"]')).to_have_text("131,968 numbers a layer, 44.5 % of all")
    expect(panel.locator('[data-fact="file"]')).to_have_text("bloomlab/model/mlp.py")
    expect(page.locator(".bl-foot")).to_contain_text("MLP, layer 3")
    last = panel.locator('[data-state-after="mlp"]').inner_text()
    panel.locator('[data-step="layer"]').locator("..").locator("button").first.click()
    expect(page.locator(".bl-foot")).to_contain_text("MLP, layer 2")
    expect(panel.locator('[data-state-after="mlp"]')).not_to_have_text(last)
    visit.screenshot("map")

    panel.locator('[data-box="mlp"]').press("ArrowUp")
    expect(panel.locator('[data-box="alibi"]')).to_have_attribute("aria-pressed", "true")
    panel.locator('[data-numbers="attn"]').click()
    expect(panel.locator('[data-box="attn"]')).to_have_attribute("aria-pressed", "true")
    panel.locator('[data-part="open-tab"]').click()
    expect(page.locator(".bloomlab")).to_have_attribute("data-tab", "attention")
    assert visit.errors == []


def test_at_the_scale_of_a_projector_all_of_it_is_in_sight(visit: Visit, tmp_path: Path) -> None:
    view = bloomlab.load().map("Leo lives in Oslo. Leo lives in")
    view.scale = 1.75
    page = visit.page
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(view.save(tmp_path / "large.html").as_uri())
    expect(page.locator('[data-box="next"]')).to_contain_text("Oslo")
    assert page.locator('[data-box="next"]').evaluate("box => box.getBoundingClientRect().bottom") <= 720
    assert page.locator('[data-fact="learned"]').evaluate("cell => cell.getBoundingClientRect().bottom") <= 720
    visit.screenshot("map-projector")
