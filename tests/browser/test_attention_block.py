"""Several looks together: chosen with shift by pointer and keys, summed exactly, said in words; one's own attention."""

from typing import Any

import pytest
from playwright.sync_api import expect

import bloomlab
from tests.browser.blank_page import BlankPage
from tests.browser.conftest import Visit
from tests.views.test_attention_given import own

pytestmark = pytest.mark.browser

LAB = bloomlab.load()
TEXT = "Leo lives in Oslo. He has a cat."


@pytest.fixture
def blank(visit: Visit) -> BlankPage:
    return BlankPage(visit.page)


def summed(blank: BlankPage) -> tuple[float, int]:
    block = blank.page.locator('[data-part="block"]')
    expect(block).to_be_visible()
    return float(block.get_attribute("data-sum") or "nan"), int(block.get_attribute("data-of") or 0)


def looks(view: Any, queries: slice, keys: slice) -> float:
    return float(view.trace[f"h.{view.layer}.attn.probs"][0, view.head, queries, keys].sum())


def test_shift_and_the_arrows_sum_several_looks_and_a_plain_step_ends_it(blank: BlankPage) -> None:
    view = LAB.attention(TEXT)
    view.layer, view.head, view.query, view.key = 2, 3, 6, 2
    blank.draw(view)
    matrix, block = blank.page.locator('[data-part="matrix"]'), blank.page.locator('[data-part="block"]')
    expect(block).not_to_be_visible()
    for key in ("ArrowLeft", "ArrowLeft"):  # one query, keys 0 to 2
        matrix.press(f"Shift+{key}")
        blank.answered()
    assert (view.query, view.key, view.to_query, view.to_key) == (6, 2, 6, 0)
    found, of = summed(blank)
    assert of == 1 and found == pytest.approx(looks(view, slice(6, 7), slice(0, 3)), abs=1e-6)
    expect(block).to_have_text(f"token 6 ·has gives tokens 0 Leo to 2 ·in together {found:.3f} of its attention")
    for key in ("ArrowUp", "ArrowUp"):  # and the two queries before it
        matrix.press(f"Shift+{key}")
        blank.answered()
    found, of = summed(blank)
    assert of == 3 and found == pytest.approx(looks(view, slice(4, 7), slice(0, 3)), abs=1e-6)
    expect(block).to_have_text(
        f"tokens 4 . to 6 ·has give tokens 0 Leo to 2 ·in together {found:.3f} of the 3 that they have to give, "
        f"one each: {100 * found / 3:.1f} %"
    )
    assert blank.page.locator('[data-part="code"]').text_content() == view.code and "[4:7, 0:3].sum()" in view.code
    blank.page.locator('[data-part="heads"]').press("ArrowLeft")  # another head: the same block
    blank.answered()
    assert view.head == 2 and summed(blank)[0] == pytest.approx(looks(view, slice(4, 7), slice(0, 3)), abs=1e-6)
    matrix.press("ArrowDown")
    blank.answered()
    expect(block).not_to_be_visible()
    assert view.to_query == -1


def test_shift_and_a_click_choose_the_other_corner_and_the_block_is_outlined(blank: BlankPage) -> None:
    view = LAB.attention(TEXT)
    view.query, view.key = 5, 1
    blank.draw(view)
    blank.hover_cell(8, 7)  # of which the part above the diagonal is nobody's
    blank.page.keyboard.down("Shift")
    blank.page.mouse.down()
    blank.page.mouse.up()
    blank.page.keyboard.up("Shift")
    blank.answered()
    assert (view.query, view.key, view.to_query, view.to_key) == (5, 1, 8, 7)
    assert summed(blank)[0] == pytest.approx(looks(view, slice(5, 9), slice(1, 8)), abs=1e-6)
    cell = blank.page.locator('[data-part="picked"]').bounding_box()
    outline = blank.page.locator(".bl-several").bounding_box()
    assert cell and outline
    assert (outline["width"] / cell["width"], outline["height"] / cell["height"]) == (7, 4)


def test_a_pattern_of_ones_own_shows_no_parts_of_a_sum_that_nobody_knows(blank: BlankPage) -> None:
    view = LAB.attention("Leo lives in Oslo.", probs=own())
    view.layer, view.head, view.query, view.key = 1, 2, 4, 1
    blank.draw(view)
    page = blank.page
    for part in ("ledger", "forms", "shares", "look"):
        expect(page.locator(f'[data-part="{part}"]').first).not_to_be_visible()
    expect(page.locator('input[value="content"]')).to_be_disabled()
    expect(page.locator('[data-part="stamp"]')).to_contain_text(
        "your own attention, 2 layers × 3 heads, not the model's"
    )
    expect(page.locator('[data-part="live"]')).to_contain_text(f"with probability {own()[1, 2, 4, 1]:.3f}")
    assert "slope" not in page.locator('[data-panel="attention"] [data-zone="where"]').inner_text()
