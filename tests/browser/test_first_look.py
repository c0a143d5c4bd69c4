"""The two forms for beginners: a first look at attention, and the map in one line."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import bloomlab
from tests.browser.blank_page import BlankPage
from tests.browser.conftest import Visit
from tests.browser.test_accessibility import grave

pytestmark = pytest.mark.browser

TEXT = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
LAB = bloomlab.load()
STOP = 16  # the full stop after "again"
MOST_WORDS = 60
READ_WORDS = """() => {
    const walk = document.createTreeWalker(document.querySelector(".bloomlab"), NodeFilter.SHOW_TEXT);
    const found = [];
    while (walk.nextNode()) {
        const { parentElement: box, data } = walk.currentNode;
        if (box.checkVisibility() && !box.closest("[data-token], .bl-hidden")) found.push(data);
    }
    return found.join(" ");
}"""


@pytest.fixture
def blank(visit: Visit) -> Iterator[BlankPage]:
    visit.page.set_viewport_size({"width": 816, "height": 580})
    page = BlankPage(visit.page)
    page.draw(LAB.explore(TEXT, level="first"))
    yield page
    assert visit.errors == [] and visit.refused == []


def shares(page: Page) -> list[float]:
    bars = page.locator('[data-part="first"] [data-value]')
    return [float(value) for value in bars.evaluate_all("bars => bars.map(bar => bar.dataset.value)")]


def test_a_first_look_opens_where_there_is_something_to_see_in_few_words(blank: BlankPage) -> None:
    page = blank.page
    words = [word for word in page.evaluate(READ_WORDS).split() if re.search(r"\w", word)]
    assert 10 < len(words) <= MOST_WORDS, words
    assert "lab.explore(text)" in words
    layer, head = int(blank.root("layer")), int(blank.root("head"))
    row = LAB.trace(TEXT, ["attn.probs"])[f"h.{layer}.attn.probs"][0, head, -1]
    assert shares(page) == pytest.approx(row.tolist(), abs=1e-6)
    assert int(row.argmax()) == 3 and row.max() > 0.9
    expect(page.locator('[data-part="live"]')).to_contain_text("Oslo")
    assert page.locator(".bloomlab").bounding_box()["height"] <= 580  # type: ignore[index]
    assert not page.locator('[data-part="strip"]').is_visible()
    assert grave(page) == []


def test_the_keys_choose_where_to_stand_and_which_head(blank: BlankPage) -> None:
    page = blank.page
    text = page.locator('[data-part="first"]')
    text.press("ArrowLeft")
    blank.answered()
    assert blank.root("query") == "18" and len(shares(page)) == 19
    text.press("Home")
    blank.answered()
    assert blank.root("query") == "0" and shares(page) == [1.0]
    page.locator('[data-part="heads"]').press("ArrowUp")
    blank.answered()
    assert (blank.root("layer"), blank.view.layer) == ("2", 2)


def test_the_switch_is_thrown_by_hand_as_the_lesson_says(blank: BlankPage) -> None:
    """The four steps of lesson 00, on the page."""
    page = blank.page
    page.locator('[data-part="heads"] [data-layer="0"][data-head="1"]').click()
    blank.answered()
    page.locator(f'[data-part="first"] [data-token="{STOP}"]').click()
    blank.answered()
    assert shares(page)[STOP - 1] > 0.9
    page.locator('[data-part="text"]').fill(TEXT.replace("again", "cat"))
    blank.answered()
    page.locator(f'[data-part="first"] [data-token="{STOP}"]').click()
    blank.answered()
    assert shares(page)[STOP - 1] < 0.5
    menu = page.locator('[data-part="change-menu"]')
    menu.locator("summary").first.click()
    menu.locator(".bl-donor summary").click()
    assert menu.locator('[data-part="donor-text"]').input_value() == TEXT
    blank.answered()
    menu.locator('[data-edit="copy"]').click()
    blank.answered()
    expect(page.locator('[data-worth="made"]')).to_be_visible()
    before, made = (
        float(str(page.locator(f'[data-worth="{name}"]').get_attribute("data-value"))) for name in ("before", "made")
    )
    assert before < 0.2 and made > 0.8
    page.locator('[data-part="runs"] input[value="difference"]').check()
    blank.answered()
    assert shares(page) == [0.0] * (STOP + 1)  # in its own layer the head looks as before


def test_a_saved_first_look_works_and_the_whole_can_be_asked_for(visit: Visit, tmp_path: Path) -> None:
    view = LAB.explore(TEXT, level="first")
    page = visit.page
    page.goto(view.save(tmp_path / "first.html").as_uri())
    page.locator('[data-part="heads"] [data-layer="1"][data-head="1"]').click()
    assert shares(page)[STOP] > 0.8
    blank = BlankPage(page)
    blank.draw(view)
    view.level = "whole"
    blank.push()
    expect(page.locator('[data-part="matrix"]')).to_be_visible()
    assert page.locator('[data-part="first"]').count() == 0 and visit.errors == []


def test_the_small_map_is_a_line_with_one_part_lit(visit: Visit, tmp_path: Path) -> None:
    visit.page.set_viewport_size({"width": 816, "height": 580})
    page = visit.page
    page.goto(LAB.map(part="attn", small=True).save(tmp_path / "map.html").as_uri())
    line = page.locator('[data-part="small-map"]')
    pressed = line.locator('[aria-pressed="true"]')
    expect(line.locator("[data-box]")).to_have_count(10)
    assert pressed.evaluate_all("boxes => boxes.map(box => box.dataset.box)") == ["attn"]
    expect(page.locator('[data-part="live"]')).to_contain_text("Each position gathers")
    assert page.locator(".bloomlab").bounding_box()["height"] <= 140  # type: ignore[index]
    pressed.press("ArrowRight")
    expect(line.locator('[data-box="alibi"]')).to_have_attribute("aria-pressed", "true")
    assert not page.locator('[data-part="strip"]').is_visible() and grave(page) == [] and visit.errors == []
