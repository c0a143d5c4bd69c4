"""Changing a part by hand: a menu, chips, the switch between two runs, the difference; the real Python behind it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

import bloomlab
from bloomlab.lens.difference import attention_change
from bloomlab.tracing.edits import patch, zero
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
    menu = opened(blank)
    menu.locator('[data-edit="silence"]').click()
    blank.answered()


def opened(blank: BlankPage, panel: str = "attention") -> Locator:
    menu = blank.page.locator(f'[data-panel="{panel}"] [data-part="change-menu"]')
    menu.locator("summary").first.click()
    return menu


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
    for tab in ("tokens", "alibi", "predictions"):
        page.locator(f'[data-tab="{tab}"][role="tab"]').click()
        blank.answered()
        expect(page.locator(f'[data-panel="{tab}"]')).to_be_visible()
    assert blank.root("run") == "difference"


def test_keys_open_the_menu_and_take_the_edit_back(blank: BlankPage) -> None:
    page = blank.page
    heads = page.locator('[data-part="heads"]')
    heads.press("e")
    assert page.evaluate("document.activeElement.dataset.edit") == "silence"
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


# ---- what can be changed, and how far it reaches ----


@pytest.mark.parametrize(
    ("reach", "layers", "spot", "edit"),
    [
        ("one-token", "one-layer", "h.0.attn.mixed", zero(head=1, query=STOP)),
        ("like", "one-layer", "h.0.attn.mixed", zero(head=1, query=[4, 9, STOP])),
        ("onwards", "one-layer", "h.0.attn.mixed", zero(head=1, query=slice(STOP, None))),
        ("every-token", "every-layer", "attn.mixed", zero(head=1)),
    ],
)
def test_an_edit_reaches_as_far_as_was_chosen(blank: BlankPage, reach: str, layers: str, spot: str, edit: Any) -> None:
    blank.page.locator('[data-part="heads"] [data-layer="0"][data-head="1"]').click()
    blank.answered()
    blank.page.locator(f'[data-part="strip"] .bl-token[data-token="{STOP}"]').click()
    blank.answered()
    menu = opened(blank)
    menu.locator(f'input[value="{reach}"]').check()
    menu.locator(f'input[value="{layers}"]').check()
    menu.locator('[data-edit="silence"]').click()
    blank.answered()
    assert {name: [repr(one) for one in edits] for name, edits in blank.view.edits.items()} == {spot: [repr(edit)]}
    read = ["attn.probs", "resid_post"]
    whole, edited = (LAB.trace(RECAP, read, edits).stack("resid_post") for edits in (None, {spot: edit}))
    assert blank.view.trace.stack("resid_post").equal(edited) and not whole.equal(edited)


def test_the_menu_says_in_words_what_it_will_change(blank: BlankPage) -> None:
    menu = opened(blank)
    says = menu.locator('[data-part="change-says"]')
    expect(says).to_contain_text("of layer 3, at token 19")
    menu.locator('input[value="every-token"]').check()
    expect(says).to_contain_text("of layer 3, at all tokens")
    menu.locator('[data-part="change-part"]').select_option("mlp")
    menu.locator('input[value="every-layer"]').check()
    expect(says).to_have_text("the MLP of every layer, at all tokens")
    menu.locator('[data-part="change-part"]').select_option("embed")
    expect(says).to_have_text("the embedding, at all tokens")
    assert menu.locator('input[value="every-layer"]').is_disabled()


def test_a_part_is_made_stronger_by_a_number_that_is_typed(blank: BlankPage) -> None:
    menu = opened(blank)
    menu.locator('[data-part="change-part"]').select_option("attention")
    number = menu.locator('[data-part="change-number"]')
    number.fill("2.5")
    number.press("e")  # a letter that is typed is no command
    number.fill("2.5")
    menu.locator('[data-edit="times"]').click()
    blank.answered()
    assert repr(blank.view.edits["h.3.attn.out"][0]) == "scale(2.5, pos=19)"
    number = opened(blank).locator('[data-part="change-number"]')
    number.fill("")
    assert blank.page.locator('[data-panel="attention"] [data-edit="times"]').is_disabled()


def test_one_look_is_cut(blank: BlankPage) -> None:
    page = blank.page
    page.locator('[data-part="heads"] [data-layer="3"][data-head="4"]').click()
    blank.answered()
    page.locator('[data-part="strip"] .bl-token[data-token="3"]').click(modifiers=["Shift"])
    blank.answered()
    opened(blank).locator('[data-edit="cut"]').click()
    blank.answered()
    assert blank.view.changes == ["head 3.4 cut at 19 to 3"]
    assert blank.view.trace["h.3.attn.probs"][0, 4, 19, 3] == 0


@pytest.mark.parametrize(
    ("tab", "spot"),
    [
        ("tokens", "embed"),
        ("hidden", "h.3.resid_post"),
        ("predictions", "h.3.resid_post"),
        ("alibi", "h.3.attn.mixed"),
        ("attention", "h.3.attn.mixed"),
    ],
)
def test_every_tab_changes_what_is_selected_there(blank: BlankPage, tab: str, spot: str) -> None:
    blank.page.locator(f'[data-tab="{tab}"][role="tab"]').click()
    if tab != "attention":
        blank.answered()
    opened(blank, tab).locator('[data-edit="silence"]').click()
    blank.answered()
    assert list(blank.view.edits) == [spot]


def test_a_right_click_selects_and_opens_the_menu_and_elsewhere_the_hosts_own_comes(blank: BlankPage) -> None:
    page = blank.page
    page.evaluate("document.addEventListener('contextmenu', (event) => { globalThis.host = !event.defaultPrevented })")
    page.locator('[data-part="heads"] [data-layer="2"][data-head="3"]').click(button="right")
    blank.answered()
    assert (blank.root("layer"), blank.root("head")) == ("2", "3")
    menu = page.locator('[data-panel="attention"] [data-part="change-menu"]')
    expect(menu).to_have_attribute("open", "")
    expect(menu.locator('[data-part="change-says"]')).to_contain_text("head 3 of layer 2")
    assert page.evaluate("globalThis.host") is None  # the host never heard of it
    box = menu.locator(".bl-change-list").bounding_box()
    view = page.locator(".bl-view").bounding_box()
    assert box and view and box["x"] >= view["x"] and box["x"] + box["width"] <= view["x"] + view["width"] + 1
    assert box["y"] >= view["y"] and box["y"] + box["height"] <= view["y"] + view["height"] + 1
    page.locator('[data-part="stamp"]').click(button="right")
    assert page.evaluate("globalThis.host") is True
    expect(menu).not_to_have_attribute("open", "")  # a press elsewhere closes it
    page.locator('[data-part="strip"] .bl-token[data-token="4"]').click(button="right", modifiers=["Shift"])
    assert page.evaluate("globalThis.host") is True and blank.root("query") == "19"


def test_a_saved_page_leaves_every_right_click_to_its_host(visit: Visit, tmp_path: Path) -> None:
    visit.page.goto(LAB.explore(RECAP).save(tmp_path / "x.html").as_uri())
    visit.page.evaluate(
        "document.addEventListener('contextmenu', (event) => { globalThis.host = !event.defaultPrevented })"
    )
    visit.page.locator('[data-part="heads"] [data-layer="2"][data-head="3"]').click(button="right")
    assert visit.page.evaluate("globalThis.host") is True


# ---- copying from another text ----


def next_of(blank: BlankPage, word: str) -> float:
    """The chance of a word after the last token, as the Predictions tab shows it."""
    blank.page.locator('[role="tab"][data-tab="predictions"]').click()
    blank.answered()
    last = blank.page.locator('[data-part="to-last"]')
    if last.is_enabled():
        last.click()
        blank.answered()
    row = blank.page.locator('[data-panel="predictions"] [data-part="next"] tr').filter(has_text=word)
    shown = float(row.locator(".bl-value").inner_text()) if row.count() else 0.0
    blank.page.locator('[role="tab"][data-tab="attention"]').click()
    blank.answered()
    return shown


def test_sixteen_numbers_are_copied_by_hand(visit: Visit) -> None:
    """With "cat" for "again" Oslo is lost; one head's numbers at one full stop, from the first text, bring it back."""
    changed = RECAP.replace("again", "cat")
    blank = BlankPage(visit.page)
    blank.draw(LAB.explore(RECAP))
    page = blank.page
    page.locator('[data-part="text"]').fill(changed)
    blank.answered()
    lost = next_of(blank, "Oslo")
    page.locator('[data-part="heads"] [data-layer="0"][data-head="1"]').click()
    blank.answered()
    page.locator(f'[data-part="strip"] .bl-token[data-token="{STOP}"]').click()
    blank.answered()
    menu = opened(blank)
    menu.locator(".bl-donor > summary").click()
    assert menu.locator('[data-part="donor-text"]').input_value() == RECAP  # the text before is at hand
    blank.answered()
    expect(menu.locator('[data-part="donor-says"]')).to_have_text(
        "as many tokens; another is token 15 \u2068·again\u2069 for \u2068·cat\u2069"
    )
    menu.locator('[data-edit="copy"]').click()
    blank.answered()
    expect(page.locator('[data-change-number="0"]')).to_have_text(
        f"head 0.1 copied at {STOP} from “Leo lives in Oslo. He ha…”"
    )
    page.locator('[data-part="strip"]').press("End")
    blank.answered()
    back = next_of(blank, "Oslo")
    numbers = LAB.trace(RECAP, ["h.0.attn.mixed"])["h.0.attn.mixed"]
    oslo = LAB.tokens(" Oslo")[0].id
    edits = (None, {"h.0.attn.mixed": patch(numbers, head=1, query=STOP)})
    expected = [LAB.trace(changed, ["logits"], edit)["logits"][0, -1].softmax(-1)[oslo].item() for edit in edits]
    assert [lost, back] == pytest.approx(expected, abs=6e-4)
    assert lost < 0.15 and back > 0.85
    assert visit.errors == []


def test_texts_of_different_length_are_copied_between_at_named_tokens(blank: BlankPage) -> None:
    menu = opened(blank)
    menu.locator(".bl-donor > summary").click()
    menu.locator('[data-part="donor-text"]').fill("A 😀 قطة.")
    blank.answered()
    tokens = LAB.tokens("A 😀 قطة.")
    expect(menu.locator('[data-part="donor-says"]')).to_contain_text(
        f"{len(tokens)} tokens, not 20: choose which of them"
    )
    menu.locator('input[value="every-token"]').check()
    assert menu.locator('[data-edit="copy"]').is_disabled()
    menu.locator('input[value="one-token"]').check()
    menu.locator('[data-part="donor-column"]').select_option("1")
    menu.locator('[data-edit="copy"]').click()
    blank.answered()
    source = LAB.trace("A 😀 قطة.", ["attn.probs", "h.3.attn.mixed"])["h.3.attn.mixed"]
    head = int(blank.root("head"))
    assert blank.view.trace["h.3.attn.mixed"][0, head, 19].equal(source[0, head, 1])


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("text", [RECAP, "يعيش ليو في أوسلو. لدى ليو قطة.", "लियो ओस्लो में रहता है। 😀"])
def test_the_menu_is_accessible_and_inside_the_view(visit: Visit, text: str, dark: bool) -> None:
    visit.page.set_viewport_size({"width": 816, "height": 600})
    visit.page.emulate_media(color_scheme="dark" if dark else "light")
    blank = BlankPage(visit.page)
    blank.draw(LAB.explore(text))
    menu = opened(blank)
    menu.locator(".bl-donor > summary").click()
    menu.locator('[data-part="donor-text"]').fill(text + " x")
    blank.answered()
    assert grave(visit.page) == []
    box = menu.locator(".bl-change-list").bounding_box()
    view = visit.page.locator(".bl-view").bounding_box()
    assert box and view and box["x"] >= view["x"] and box["x"] + box["width"] <= view["x"] + view["width"] + 1
    visit.screenshot(f"change-menu-{len(text)}-{'dark' if dark else 'light'}")
    assert visit.errors == []


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
