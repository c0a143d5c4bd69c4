"""Changing a part by hand: a menu, chips, the switch between two runs, the difference; the real Python behind it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

import bloomlab
from bloomlab.lens.difference import attention_change
from bloomlab.tracing.edits import zero
from tests.browser.blank_page import BlankPage
from tests.browser.conftest import Visit
from tests.browser.test_accessibility import grave

pytestmark = pytest.mark.browser

RECAP = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
LAB = bloomlab.load()
STOP = 16  # the full stop after "again"


@pytest.fixture
def blank(visit: Visit) -> Iterator[BlankPage]:
    page = BlankPage(visit.page)
    page.draw(LAB.explore(RECAP))
    yield page
    assert visit.errors == []
    assert visit.refused == []


def choose(blank: BlankPage, run: str) -> None:
    blank.page.locator(f'[data-part="runs"] input[value="{run}"]').check()
    blank.answered()


def silence(blank: BlankPage, head: int = 1, token: int = STOP) -> None:
    """Head 1 of layer 0 at the full stop: five clicks."""
    blank.page.locator(f'[data-part="heads"] [data-layer="0"][data-head="{head}"]').click()
    blank.answered()
    blank.page.locator(f'[data-part="strip"] .bl-token[data-token="{token}"]').click()
    blank.answered()
    menu = blank.page.locator('[data-panel="attention"] [data-part="change-menu"]')
    menu.locator("summary").click()
    menu.locator('[data-edit="silence-here"]').click()
    blank.answered()


def test_without_edits_nothing_of_two_runs_is_on_the_page(blank: BlankPage) -> None:
    assert not blank.page.locator('[data-part="runs"]').is_visible()
    assert blank.page.locator(".bloomlab").get_attribute("data-run") is None


def test_a_head_is_silenced_at_one_token_and_who_noticed_is_named(blank: BlankPage) -> None:
    page = blank.page
    silence(blank)
    expect(page.locator('[data-part="changes"] [data-change-number="0"]')).to_have_text("head 0.1 silent at 16")
    edited, whole = (
        LAB.trace(RECAP, ["attn.probs"], edit) for edit in ({"h.0.attn.mixed": zero(head=1, query=STOP)}, None)
    )
    choose(blank, "difference")
    assert blank.root("run") == "difference"
    looks = attention_change(whole, edited).noticed(5)
    rows = page.locator('[data-part="noticed"] li')
    assert rows.locator("button").all_inner_texts() == [f"head {look.layer}.{look.head}" for look in looks]
    rows.nth(1).locator("button").click()
    blank.answered()
    look = looks[1]
    root = [int(blank.root(name)) for name in ("layer", "head", "query", "key")]
    assert root == [look.layer, look.head, look.query, look.key]
    shown = {
        name: page.locator(f'[data-change="{name}"]').inner_text().replace("−", "-")
        for name in ("before", "after", "change")
    }
    assert float(shown["before"]) == pytest.approx(look.before, abs=6e-4)
    assert float(shown["after"]) == pytest.approx(look.after, abs=6e-4)
    assert float(shown["change"]) == pytest.approx(look.after - look.before, abs=6e-4)
    assert page.locator(".bl-matrix").get_attribute("data-colours") == "signed"
    assert not page.locator('[data-part="ledger"]').is_visible()


def test_all_tabs_have_the_edit_and_the_lens_shows_how_far_it_travels(blank: BlankPage) -> None:
    page = blank.page
    silence(blank)
    page.locator('[data-tab="hidden"][role="tab"]').click()
    blank.answered()
    choose(blank, "difference")
    cell = page.locator(f'[data-panel="hidden"] [data-cell][data-row="0"][data-column="{STOP}"]')
    assert "not reached" in str(cell.get_attribute("aria-label"))
    reached = page.locator(f'[data-panel="hidden"] [data-cell][data-row="1"][data-column="{STOP}"]')
    assert "moved by" in str(reached.get_attribute("aria-label"))
    before = page.locator(f'[data-panel="hidden"] [data-cell][data-row="8"][data-column="{STOP - 1}"]')
    assert "not reached" in str(before.get_attribute("aria-label"))
    page.locator('[data-tab="tokens"][role="tab"]').click()
    blank.answered()
    expect(page.locator('[data-part="tab-says"]')).to_contain_text("Tokens draws no difference")
    choose(blank, "what if")
    expect(page.locator('[data-panel="tokens"]')).to_be_visible()


def test_keys_open_the_menu_and_take_the_edit_back(blank: BlankPage) -> None:
    page = blank.page
    heads = page.locator('[data-part="heads"]')
    heads.press("e")
    assert page.evaluate("document.activeElement.dataset.edit") == "silence-here"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    heads.press("e")
    page.keyboard.press("Enter")
    blank.answered()
    assert len(blank.view.changes) == 1
    heads.press("Control+z")
    blank.answered()
    assert blank.view.changes == [] and page.locator('[data-part="changes"]').inner_text() == ""
    heads.press("Control+Shift+Z")
    blank.answered()
    assert len(blank.view.changes) == 1
    page.locator('[data-part="text"]').press("e")  # a letter of the text is no command
    assert page.locator('[data-part="change-menu"][open]').count() == 0


def test_a_chip_is_switched_off_and_taken_back(blank: BlankPage) -> None:
    page = blank.page
    silence(blank)
    chip = page.locator('[data-change-number="0"]')
    chip.click()
    blank.answered()
    assert chip.get_attribute("aria-pressed") == "false" and blank.view.edits == {}
    chip.click()
    blank.answered()
    assert list(blank.view.edits) == ["h.0.attn.mixed"]
    page.locator('[data-remove="0"]').click()
    blank.answered()
    assert blank.view.changes == [] and blank.root("run") == ""


def test_the_difference_of_a_long_text_is_drawn_and_every_head_can_be_chosen(visit: Visit) -> None:
    """As many cells as a call of a function could not take as arguments."""
    blank = BlankPage(visit.page)
    blank.draw(LAB.attention("Leo lives in Oslo. He has a cat. " * 60, edit={"h.0.attn.mixed": zero(head=1)}))
    choose(blank, "difference")
    matrix = visit.page.locator(".bl-matrix")
    assert matrix.get_attribute("data-colours") == "signed"
    for layer in (0, 3):
        visit.page.locator(f'[data-part="heads"] [data-layer="{layer}"][data-head="5"]').click()
        blank.answered()
        expect(matrix).to_have_attribute("data-exact", "true")
        limit = float(matrix.get_attribute("data-limit") or 0)
        after, before = (run[f"h.{layer}.attn.probs"][0, 5] for run in blank.view._two)
        change = (after - before).abs().max().item()
        assert limit == pytest.approx(max(0.01, change), abs=1e-6)
    assert visit.errors == []


def test_a_saved_page_switches_between_the_runs_without_python(visit: Visit, tmp_path: Path) -> None:
    view = LAB.explore(RECAP, edit={"h.0.attn.mixed": zero(head=1, query=STOP)})
    view.layer, view.head, view.query, view.key = 1, 1, 18, STOP
    visit.page.goto(view.save(tmp_path / "x.html").as_uri())
    page = visit.page
    said = {}
    for run in ("as it is", "difference", "what if"):
        page.locator(f'[data-part="runs"] input[value="{run}"]').check()
        said[run] = page.locator('[data-part="live"]').inner_text()
    probs = [trace["h.1.attn.probs"][0, 1, 18, STOP].item() for trace in (LAB.trace(RECAP), view.trace)]
    assert said["as it is"].endswith(f"{probs[0]:.3f}") and said["what if"].endswith(f"{probs[1]:.3f}")
    assert f"{probs[0] - probs[1]:.3f}" in said["difference"]
    assert not page.locator('[data-part="change-menu"]').first.is_visible()
    assert page.locator('[data-change-number="0"]').is_disabled()
    assert visit.errors == [] and visit.refused == []


@pytest.mark.parametrize("run", ["what if", "difference"])
def test_two_runs_are_accessible_in_both_themes(visit: Visit, tmp_path: Path, run: str) -> None:
    view = LAB.explore(RECAP, edit={"h.0.attn.mixed": zero(head=1, query=STOP)})
    view.run = run
    visit.page.set_viewport_size({"width": 816, "height": 700})
    for dark in (False, True):
        visit.page.emulate_media(color_scheme="dark" if dark else "light")
        visit.page.goto(view.save(tmp_path / "x.html").as_uri())
        for tab in ("attention", "hidden"):
            visit.page.locator(f'[role="tab"][data-tab="{tab}"]').click()
            assert grave(visit.page) == []
            visit.screenshot(f"two-runs-{run.replace(' ', '-')}-{tab}-{'dark' if dark else 'light'}")
