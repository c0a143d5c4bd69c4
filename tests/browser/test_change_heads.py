"""The difference of two runs in the Predictions and Tokens tabs: the numbers on the page are those of the model."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Locator, Page, expect

import bloomlab
from bloomlab.lens.costs import surprise
from bloomlab.lens.difference import READ_STATES, label_change, lens_change
from bloomlab.lens.predictions import answer_probs, label_probs
from bloomlab.tracing.edits import zero
from tests.browser.blank_page import RAISED, BlankPage
from tests.browser.conftest import Visit
from tests.browser.test_accessibility import grave
from tests.browser.texts import TEXTS

pytestmark = pytest.mark.browser

RECAP = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
QUESTION = "Where does Leo live?"
EDIT: dict[str, Any] = {"h.2.mlp.out": zero(pos=[3, 5, 16])}
LAB = bloomlab.load()
LAST = 19


@pytest.fixture
def blank(visit: Visit) -> Iterator[BlankPage]:
    page = BlankPage(visit.page)
    view = LAB.explore(RECAP, edit=EDIT)
    view.tab, view.run = "predictions", "difference"
    page.draw(view)
    yield page
    assert visit.errors == []
    assert visit.refused == []


def number(locator: Locator, name: str) -> float:
    return float(locator.get_attribute(f"data-{name}") or "nan")


def written(text: str) -> float:
    """A number as a person reads it: 0.948, 2.1 × 10⁻⁶, −0.77."""
    digits, _, power = text.strip().replace("−", "-").partition(" × 10")
    return float(digits) * 10.0 ** int(power.translate(RAISED) or 0)


def both_runs(head: str, edit: Any = EDIT, text: str = RECAP) -> tuple[torch.Tensor, torch.Tensor]:
    """(layer, pos, label) of a task head without and with the edit."""
    ids = torch.tensor(LAB.tokenizer.encode(text))
    if head == "answer":
        question = torch.tensor(LAB.tokenizer.encode(f"{QUESTION}\n"))
        before, after = (answer_probs(LAB.heads[head], question, ids, one).transpose(1, 2) for one in (None, edit))
    else:
        before, after = (label_probs(LAB.heads[head], ids, one) for one in (None, edit))
    return before, after


def test_what_has_changed_most_is_named_with_the_numbers_of_both_runs(blank: BlankPage) -> None:
    for kind, head, part in (("language",) * 2 + (None,), ("tags",) * 2 + (None,), ("start", "answer", 0)):
        before, after = both_runs(head)
        if part is not None:
            before, after = before[..., part : part + 1], after[..., part : part + 1]
        _, token, label = label_change(before[3:], after[3:]).largest()
        line = blank.page.locator(f'[data-part="changed"] li[data-kind="{kind}"]')
        text = line.inner_text()
        assert number(line, "before") == pytest.approx(before[3, token, label].item(), abs=1e-5), text
        assert number(line, "after") == pytest.approx(after[3, token, label].item(), abs=1e-5), text
        assert line.locator("button").get_attribute("data-token") == str(token)
        said = text.rpartition(": ")[2].split(" ")
        assert written(" ".join(said[said.index("→") + 1 :])) == pytest.approx(after[3, token, label].item(), abs=6e-4)
        line.locator("button").click()
        blank.answered()
        assert blank.root("query") == str(token)


def test_a_head_s_labels_stand_with_both_probabilities(blank: BlankPage) -> None:
    before, after = both_runs("tags")
    _, token, label = label_change(before[3:], after[3:]).largest()
    names = LAB.heads["tags"].config.id2label
    blank.page.locator(f'[data-part="strip"] .bl-token[data-token="{token}"]').first.click()
    blank.answered()
    rows = blank.page.locator('[data-part="tags"] tr[data-label]')
    assert rows.first.get_attribute("data-label") == names[label]
    for row in rows.all():
        place = list(names.values()).index(row.get_attribute("data-label") or "")
        one, other = (written(text) for text in row.locator(".bl-both .bl-how").inner_text().split(" → "))
        assert one == pytest.approx(before[3, token, place].item(), abs=6e-4)
        assert other == pytest.approx(after[3, token, place].item(), abs=6e-4)
    cell = blank.page.locator(f'[data-panel="predictions"] [data-cell][data-row="2"][data-column="{token}"]')
    change = (after - before)[3, token, label].item()
    assert names[label] in cell.inner_text() and written(cell.locator(".bl-mark").last.inner_text()) == pytest.approx(
        change, abs=6e-3
    )
    assert "as it is" in str(cell.get_attribute("aria-label"))


def test_what_has_not_changed_is_empty_and_says_so(blank: BlankPage) -> None:
    grid = blank.page.locator('[data-panel="predictions"] [data-part="grid"]')
    for row in range(3):  # next token, label, tag, before the first edited position
        cell = grid.locator(f'[data-cell][data-row="{row}"][data-column="2"]')
        assert cell.get_attribute("data-same") == "" and "no change" in str(cell.get_attribute("aria-label"))
        assert cell.evaluate("cell => cell.style.backgroundColor") == ""
    blank.page.locator('[data-panel="predictions"] [data-part="slider"]').fill("0")  # below the edit
    blank.answered()
    lines = blank.page.locator('[data-part="changed"] li')
    assert {line.partition(": ")[2] for line in lines.all_inner_texts()} == {"no change"}
    for part in ("next", "language", "tags", "answer"):
        expect(blank.page.locator(f'[data-panel="predictions"] [data-part="{part}"]')).to_contain_text("no change")


def test_the_colours_are_centred_on_zero_with_one_legend(blank: BlankPage) -> None:
    grid = blank.page.locator('[data-panel="predictions"] [data-part="grid"]')
    assert grid.get_attribute("data-colours") == "signed"
    limit = number(grid, "limit")
    changes = [
        (after - before)[3].abs().max().item() for before, after in map(both_runs, ("language", "tags", "answer"))
    ]
    assert limit >= max(changes) - 1e-6
    ticks = blank.page.locator('[data-panel="predictions"] .bl-tick').all_inner_texts()
    assert [written(tick.lstrip("+")) for tick in ticks] == pytest.approx([-limit, 0, limit], abs=6e-3)
    for run in ("what if", "as it is"):
        blank.page.locator(f'[data-part="runs"] input[value="{run}"]').check()
        blank.answered()
        assert grid.get_attribute("data-colours") == "probability"
        assert not blank.page.locator('[data-part="changed"]').is_visible()


def test_another_question_has_its_difference_too(blank: BlankPage) -> None:
    blank.page.locator('[data-part="question"]').fill("Who lives in Oslo?")
    blank.answered()
    ids = torch.tensor(LAB.tokenizer.encode(RECAP))
    question = torch.tensor(LAB.tokenizer.encode("Who lives in Oslo?\n"))
    runs = [answer_probs(LAB.heads["answer"], question, ids, edit)[3, 0] for edit in (None, EDIT)]
    token = int((runs[1] - runs[0]).abs().argmax())
    line = blank.page.locator('[data-part="changed"] li[data-kind="start"]')
    assert number(line, "before") == pytest.approx(runs[0][token].item(), abs=1e-5)
    assert number(line, "after") == pytest.approx(runs[1][token].item(), abs=1e-5)


def test_the_hidden_states_name_where_they_have_moved_most(blank: BlankPage) -> None:
    blank.page.locator('[data-tab="hidden"][role="tab"]').click()
    blank.answered()
    before, after = (LAB.trace(RECAP, READ_STATES, edit) for edit in (None, EDIT))
    moved = lens_change(LAB.model, before, after).kl
    row, token = divmod(int(moved.argmax()), LAST + 1)
    says = blank.page.locator('[data-panel="hidden"] [data-part="explains"]').inner_text()
    where = f"layer {(row - 1) // 2}, after {'attention' if row % 2 else 'MLP'}, token {token} "
    assert f"moved most, by {moved.max().item():.3f} nats, at {where}" in says


def test_every_token_has_its_surprise_in_both_runs(blank: BlankPage) -> None:
    page = blank.page
    page.locator('[data-tab="tokens"][role="tab"]').click()
    blank.answered()
    before, after = (surprise(LAB.trace(RECAP, ["logits"], edit)) for edit in (None, EDIT))
    chips = page.locator('[data-part="surprise"] [data-surprise]')
    assert chips.count() == LAST + 1
    for token in range(1, LAST + 1):
        chip = chips.nth(token)
        assert number(chip, "before") == pytest.approx(before[token].item(), abs=1e-4)
        assert number(chip, "after") == pytest.approx(after[token].item(), abs=1e-4)
        change = (after - before)[token].item()
        if before[token] == after[token]:
            assert chip.locator(".bl-number").inner_text() == "0" and chip.get_attribute("data-on") is None
        elif abs(change) > 0.01:
            assert written(chip.locator(".bl-number").inner_text().lstrip("+")) == pytest.approx(change, abs=6e-3)
    largest = int((after - before).nan_to_num().abs().argmax())
    first = page.locator('[data-part="surprised"] li').first
    assert first.get_attribute("data-token") == str(largest)
    first.locator("button").click()
    blank.answered()
    shown = {
        name: page.locator(f'[data-panel="tokens"] [data-change="{name}"]').inner_text() for name in ("before", "after")
    }
    assert written(shown["before"].split(" nats")[0]) == pytest.approx(before[largest].item(), abs=6e-4)
    assert written(shown["after"].split("p ")[1]) == pytest.approx(after[largest].neg().exp().item(), abs=6e-4)
    flow = page.locator('[data-part="surprise"]')
    flow.press("Home")
    blank.answered()
    expect(page.locator('[data-part="live"]')).to_contain_text("nothing predicts the first token")
    flow.press("ArrowRight")
    blank.answered()
    assert blank.root("query") == "1"
    assert not page.locator('[data-part="replay"]').is_visible()
    page.locator('[data-part="runs"] input[value="what if"]').check()
    blank.answered()
    assert page.locator('[data-part="replay"]').is_visible() and not flow.is_visible()


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("Leo lives in Oslo.", "Leo lives in Lima."),
        ("يعيش ليو في أوسلو.", "يعيش ليو في مومباي."),
        ("Hi 😀!", "Hi 😁!"),
    ],
)
def test_tokens_that_differ_are_marked_and_both_are_named(visit: Visit, text: str, other: str) -> None:
    blank = BlankPage(visit.page)
    ids, others = (LAB.tokens(one).ids for one in (text, other))
    blank.draw(LAB.tokens(text, against=other).view)
    visit.page.locator('[data-part="runs"] input[value="difference"]').check()
    blank.answered()
    marked = visit.page.locator("[data-other]")
    expected = [str(token) for token in range(len(ids)) if ids[token] != others[token]]
    assert [chip.get_attribute("data-surprise") for chip in marked.all()] == expected != []
    for chip in marked.all():
        name = chip.get_attribute("data-other") or ""
        assert name and name in chip.inner_text() and name in str(chip.get_attribute("aria-label"))
    assert visit.errors == []


def switch(page: Page, run: str) -> None:
    page.locator(f'[data-part="runs"] input[value="{run}"]').check()


@pytest.mark.parametrize("text", ["english", "arabic", "hindi", "emoji"])
def test_a_saved_page_switches_with_the_heads_numbers(visit: Visit, tmp_path: Path, text: str) -> None:
    edit = {"h.1.mlp.out": zero()}
    view = LAB.explore(TEXTS[text], edit=edit)
    view.tab = "predictions"
    page = visit.page
    page.goto(view.save(tmp_path / "x.html").as_uri())
    before, after = both_runs("tags", edit, TEXTS[text])
    token, names = len(view.picture["tokens"]) - 1, LAB.heads["tags"].config.id2label
    cell = page.locator(f'[data-panel="predictions"] [data-cell][data-row="2"][data-column="{token}"]')
    for run, probs in (("as it is", before), ("what if", after), ("as it is", before)):
        switch(page, run)
        p, label = probs[3, token].max(-1)
        assert cell.inner_text() == names[int(label)]
        said = str(cell.get_attribute("aria-label")).partition("probability ")[2]
        assert written(said) == pytest.approx(p.item(), abs=6e-4)
    switch(page, "difference")
    change = (after - before)[3, token]
    label = int(change.abs().argmax())
    if change.abs().max() >= 5e-4:
        assert names[label] in cell.inner_text()
    said = str(cell.get_attribute("aria-label"))
    assert f"{before[3, token, label]:.3f} as it is" in said or " × 10" in said
    page.locator('[role="tab"][data-tab="tokens"]').click()
    chips = page.locator('[data-part="surprise"] [data-surprise]')
    assert chips.count() == token + 1
    nats = [surprise(LAB.trace(TEXTS[text], ["logits"], one))[token].item() for one in (None, edit)]
    assert number(chips.last, "before") == pytest.approx(nats[0], abs=1e-3)
    assert number(chips.last, "after") == pytest.approx(nats[1], abs=1e-3)
    assert visit.errors == [] and visit.refused == []


@pytest.mark.parametrize("against", ["an edit", "another text", "another model"])
def test_the_difference_is_accessible_and_fits_one_screen(visit: Visit, tmp_path: Path, against: str) -> None:
    view = {
        "an edit": lambda: LAB.explore(RECAP, edit=EDIT),
        "another text": lambda: LAB.explore(RECAP, against=RECAP.replace("Oslo", "Lima")),
        "another model": lambda: LAB.explore(RECAP, against=bloomlab.load(revision="step1200")),
    }[against]()
    view.run = "difference"
    visit.page.set_viewport_size({"width": 816, "height": 580})
    for theme in ("light", "dark"):
        visit.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]  # "light" or "dark"
        visit.page.goto(view.save(tmp_path / "x.html").as_uri())
        for tab in ("predictions", "tokens"):
            visit.page.locator(f'[role="tab"][data-tab="{tab}"]').click()
            expect(visit.page.locator(f'[data-panel="{tab}"]')).to_be_visible()
            assert grave(visit.page) == []
            assert visit.page.evaluate("document.querySelector('.bloomlab').getBoundingClientRect().bottom") <= 580
            visit.screenshot(f"change-{against.replace(' ', '-')}-{tab}-{theme}")
    assert visit.errors == []
