"""What a change by hand is worth: the four results, the controls as a strip of dots, many texts, the record."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

import bloomlab
from bloomlab.lens.cases import Case
from bloomlab.lens.refute import DOSES, HEADS, PLACES, RANDOM, SAME, TEXTS
from bloomlab.tracing.donors import copied
from bloomlab.tracing.edits import zero
from bloomlab.views.view import View
from tests.browser.blank_page import BlankPage
from tests.browser.conftest import THEMES, Visit
from tests.browser.test_accessibility import grave
from tests.claims.stories import recaps

pytestmark = pytest.mark.browser

RECAP = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
CHANGED = RECAP.replace("again", "cat")
LAB = bloomlab.load()
STOP = 16  # the full stop after "again", or after the second "cat"
SPOT = "h.0.attn.mixed"


@pytest.fixture
def blank(visit: Visit) -> Iterator[BlankPage]:
    page = BlankPage(visit.page)
    yield page
    assert visit.errors == []
    assert visit.refused == []


def select(blank: BlankPage, layer: int = 0, head: int = 1, token: int = STOP) -> None:
    blank.page.locator(f'[data-part="heads"] [data-layer="{layer}"][data-head="{head}"]').click()
    blank.answered()
    blank.page.locator(f'[data-part="strip"] .bl-token[data-token="{token}"]').click()
    blank.answered()


def change(blank: BlankPage, how: str, part: str = "head", reach: str = "one-token", expect: str = "") -> None:
    """Make an edit by the menu of the attention tab."""
    menu = blank.page.locator('[data-panel="attention"] [data-part="change-menu"]')
    menu.locator("summary").first.click()
    menu.locator('[data-part="change-part"]').select_option(part)
    menu.locator(f'input[value="{reach}"]').check()
    if expect:
        menu.locator('[data-part="expect"]').fill(expect)
    menu.locator(f'[data-edit="{how}"]').click()
    blank.answered()


def copy_sixteen(blank: BlankPage, **more: str) -> None:
    """Head 0.1's numbers at the full stop, from the text that says "again"."""
    select(blank)
    menu = blank.page.locator('[data-panel="attention"] [data-part="change-menu"]')
    menu.locator("summary").first.click()
    menu.locator(".bl-donor > summary").click()
    menu.locator('[data-part="donor-text"]').fill(RECAP)
    blank.answered()
    blank.page.keyboard.press("Escape")
    change(blank, "copy", **more)


def measure(blank: BlankPage, metric: str) -> None:
    blank.page.locator('[data-part="worth-more"]').click()
    blank.page.locator(f'[data-part="worth-sheet"] input[value="{metric}"]').check()
    blank.answered()


def number(blank: BlankPage, name: str) -> float:
    """A number of the line, as a person reads it."""
    return float(blank.page.locator(f'[data-worth="{name}"]').inner_text().replace("−", "-"))


def dots(blank: BlankPage, kind: str) -> list[float]:
    options = blank.page.locator(f'[data-row="{kind}"] [role="option"]')
    return [float(value) for value in options.evaluate_all("all => all.map(one => one.dataset.value)")]


def p_oslo(text: str, edit: object) -> float:
    probs = LAB.trace(text, ["logits"], edit)["logits"][0, -1].softmax(-1)  # type: ignore[arg-type]  # None, or edits
    return float(probs[LAB.tokenizer.encode(" Oslo")[0]])


def test_the_sixteen_numbers_are_refuted_by_hand(blank: BlankPage, visit: Visit) -> None:
    """Means of this text and 64 stories: what is said of the sixteen numbers, read from the page."""
    stories = [Case(s.text.replace("again", "cat"), s.text, f" {s.city}") for s in recaps(LAB, 64)]
    blank.draw(LAB.explore(CHANGED, texts=stories))
    page = blank.page
    copy_sixteen(blank)
    measure(blank, "probability")
    page.locator('[data-part="worth-many"]').click()
    blank.answered()
    assert page.locator('[data-part="worth-many"]').inner_text() == "64 texts"
    assert number(blank, "before") < 0.05 and number(blank, "made") > 0.6
    assert page.locator('[data-worth="made"]').get_attribute("data-against") == "0"
    page.locator('[data-part="refute"]').click()
    blank.answered()
    counts = {kind: len(dots(blank, kind)) for kind in (RANDOM, HEADS, PLACES, DOSES, TEXTS)}
    assert counts == {RANDOM: 20, HEADS: 7, PLACES: 19, DOSES: 2, TEXTS: 64}
    assert max(dots(blank, RANDOM)) <= 0.08
    assert max(dots(blank, HEADS)) <= 0.05
    assert max(dots(blank, PLACES)) <= 0.04
    half, twice = dots(blank, DOSES)
    assert number(blank, "before") < half < number(blank, "made") < twice
    verdict = page.locator('[data-part="verdict"]').inner_text()
    assert "in 64 of 64 other texts the same way" in verdict and "0 of " in verdict
    visit.screenshot("worth-sixteen")
    page.keyboard.press("Escape")

    whole = number(blank, "made")
    for part, head, least, most in (("mlp", 1, 0.0, 0.05), ("k", 1, 0.0, 0.06), ("q", 1, 0.6, whole + 0.01)):
        select(blank, layer=0 if part == "mlp" else 1, head=head)
        change(blank, "hold", part=part, reach="every-token")
        assert least <= number(blank, "made") <= most, part
        page.locator('[data-part="undo"]').click()
        blank.answered()
    assert number(blank, "made") == whole


def test_the_four_results_stand_side_by_side_in_one_line(blank: BlankPage) -> None:
    blank.draw(LAB.explore(RECAP))
    assert not blank.page.locator('[data-part="worth"]').is_visible()
    height = blank.page.evaluate("document.querySelector('.bloomlab').getBoundingClientRect().bottom")
    select(blank)
    change(blank, "silence")
    measure(blank, "probability")
    texts = LAB.like(RECAP).texts
    expected = {
        "before": None,
        "made": zero(head=1, query=STOP),
        "zero": zero(head=1, query=STOP),
        "usual": bloomlab.usual(texts, head=1, query=STOP),
        "drawn": bloomlab.drawn(texts, head=1, query=STOP),
    }
    for name, edit in expected.items():
        value = p_oslo(RECAP, None if edit is None else {SPOT: edit})
        assert number(blank, name) == pytest.approx(value, abs=6e-4), name
    assert blank.page.locator('[data-worth="copied"]').count() == 0  # no other text is at hand
    line = blank.page.locator('[data-part="worth"]').bounding_box()
    assert line and line["height"] < 32
    after = blank.page.evaluate("document.querySelector('.bloomlab').getBoundingClientRect().bottom")
    assert abs(after - height) < 60


def test_a_token_is_never_shown_as_nothing(blank: BlankPage) -> None:
    blank.draw(LAB.explore(RECAP))
    select(blank)
    change(blank, "silence")
    blank.page.evaluate("model.set('rival', ' Oslo'); model.set('answer', '\\n'); model.save_changes()")
    blank.answered()
    expect(blank.page.locator('[data-part="worth-numbers"]')).to_have_text(re.compile(r"^↵ − Oslo "))


def test_what_changes_nothing_is_said_on_its_chip(blank: BlankPage) -> None:
    blank.draw(LAB.explore(RECAP))
    select(blank)
    change(blank, "hold")
    chip = blank.page.locator('[data-change-number="0"]')
    assert chip.inner_text() == "head 0.1 held as it was at 16 changed nothing"
    expect(blank.page.locator('[data-part="worth-nothing"]')).to_have_text("changed nothing")
    blank.page.locator('[data-part="clear"]').click()
    blank.answered()
    change(blank, "drawn")
    assert chip.inner_text() == "head 0.1 drawn at 16 from 64 like texts, seed 0"
    assert "16 numbers, length " in str(chip.get_attribute("title"))


def test_all_of_it_by_keyboard_and_in_words(blank: BlankPage) -> None:
    blank.draw(LAB.explore(RECAP))
    page = blank.page
    heads = page.locator('[data-part="heads"]')
    heads.press("r")  # there is nothing to refute yet
    assert not page.locator('[data-part="worth-sheet"]').is_visible()
    heads.press("e")
    page.keyboard.press("Enter")
    blank.answered()
    heads.press("r")
    blank.answered()
    assert page.locator('[data-part="worth"]').get_attribute("data-state") == "done"
    row = page.locator(f'[data-row="{HEADS}"]')
    row.focus()
    values = sorted(dots(blank, HEADS))
    says = page.locator('[data-part="dots"] .bl-dot-says').nth(1)
    expect(says).to_contain_text(f"{values[-1]:.2f} nats".replace("-", "−"))
    page.keyboard.press("Home")
    expect(says).to_contain_text(f"{values[0]:.2f} nats".replace("-", "−"))
    chosen = row.locator('[aria-selected="true"]')
    assert chosen.count() == 1 and row.get_attribute("aria-activedescendant") == chosen.get_attribute("id")
    assert str(chosen.get_attribute("aria-label")).startswith("\u2068head ")
    assert row.get_attribute("aria-label") == f"{HEADS}: 7: {values[0]:.2f} to {values[-1]:.2f}".replace("-", "−")
    assert "controls have half of this change or more" in page.locator('[data-part="verdict"]').inner_text()
    page.keyboard.press("Escape")
    assert not page.locator('[data-part="worth-sheet"]').is_visible()
    assert page.evaluate("document.activeElement.dataset.part") == "worth-more"


def test_the_pointer_reads_the_nearest_dot(blank: BlankPage) -> None:
    blank.draw(LAB.explore(RECAP))
    select(blank)
    change(blank, "silence")
    blank.page.locator('[data-part="refute"]').click()
    blank.answered()
    row = blank.page.locator(f'[data-row="{DOSES}"]')
    box = row.locator('[role="option"]').nth(1).bounding_box()
    assert box
    blank.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    says = blank.page.locator('[data-part="dots"] .bl-dot-says').nth(4)
    expect(says).to_have_text(re.compile("^\u2068dose 2\u2069: "))
    blank.page.mouse.move(0, 0)
    expect(says).to_have_text(re.compile("^2: "))


def test_what_is_expected_is_kept_and_a_try_is_brought_back(blank: BlankPage) -> None:
    blank.draw(LAB.explore(CHANGED))
    page = blank.page
    copy_sixteen(blank, expect="<b>Oslo</b> comes back")
    page.locator('[data-part="clear"]').click()
    blank.answered()
    change(blank, "usual")
    page.locator('[data-part="worth-more"]').click()
    rows = page.locator('[data-part="tries"] li')
    assert rows.count() == 2 and "expected: <b>Oslo</b> comes back" in rows.first.inner_text()
    p = [p_oslo(CHANGED, edit) for edit in (None, {SPOT: copied(RECAP, head=1, query=STOP)})]
    assert f"{p[0]:.3f} → {p[1]:.3f}" in rows.first.inner_text()
    page.locator('[data-try="0"]').click()
    blank.answered()
    assert blank.view.changes == ["head 0.1 copied at 16 from “Leo lives in Oslo. He ha…”"] and rows.count() == 2
    assert blank.view.tried[0]["expected"] == "<b>Oslo</b> comes back"


def test_each_part_that_noticed_is_held_in_the_sheet_and_beside_who_noticed(blank: BlankPage, visit: Visit) -> None:
    blank.draw(LAB.explore(CHANGED, texts=LAB.like(CHANGED, 4)))
    page = blank.page
    copy_sixteen(blank)
    measure(blank, "probability")
    held = page.locator('[data-part="held"]')
    assert held.locator("table").is_hidden() and held.locator('[data-part="hold-each"]').is_enabled()
    held.locator('[data-part="hold-each"]').click()
    blank.answered()
    rows = {row["part"]: row for row in blank.view.worth["held"]["rows"]}
    assert held.locator("tbody tr").count() == len(rows) + 3
    for part, row in rows.items():
        for way, value in row.items():
            if way != "part":
                shown = held.locator(f'[data-held="{part}"] [data-way="{way}"]').inner_text()
                assert shown == ("" if value is None else f"{value:.3f}")
    assert float(held.locator('[data-held="head 1.1"] [data-way="k"]').inner_text()) < 0.3
    expect(held.locator('[role="status"]')).to_have_text(blank.view.worth["held"]["sentence"])
    visit.screenshot("worth-held")
    page.keyboard.press("Escape")
    page.locator('input[value="difference"]').first.check()
    blank.answered()
    beside = page.locator('[data-part="noticed"] [data-of="head 1.1"]')
    expect(beside).to_have_text(f"; held as it was, p {rows['head 1.1']['whole']:.3f} is left")
    assert page.locator('[data-part="noticed-hold"]').is_hidden()  # it is known already
    page.locator('[data-part="clear"]').click()
    blank.answered()
    select(blank)
    change(blank, "silence")
    page.locator('input[value="difference"]').first.check()
    blank.answered()
    assert page.locator('[data-part="noticed"] [data-left]').count() == 0
    page.locator('[data-part="noticed-hold"]').click()
    blank.answered()
    known = {row["part"] for row in blank.view.worth["held"]["rows"]}
    listed = page.locator('[data-part="noticed"] [data-left]').evaluate_all("all => all.map(one => one.dataset.of)")
    assert listed and {*listed} <= known
    page.locator('[data-part="worth-many"]').click()  # of many texts the mean, and how far they are apart
    blank.answered()
    row = next(row for row in blank.view.worth["held"]["rows"] if row["part"] in listed)
    beside = page.locator(f'[data-part="noticed"] [data-of="{row["part"]}"]')
    expect(beside).to_contain_text("is left on average of 5 texts (8 in 10 texts from")
    cell = page.locator(f'[data-held="{row["part"]}"] [data-way="whole"]')
    page.locator('[data-part="worth-more"]').click()
    expect(cell).to_have_attribute("title", f"8 in 10 texts from {row['low']:.3f} to {row['high']:.3f}")
    page.keyboard.press("Escape")


def test_a_few_parts_are_kept_alone_or_taken_out_among_random_sets(blank: BlankPage, visit: Visit) -> None:
    blank.draw(LAB.explore(RECAP))
    page = blank.page
    select(blank, layer=3, head=5)
    change(blank, "silence", reach="every-token")
    page.locator('[data-part="worth-more"]').click()
    keep = page.locator('[data-part="keep"]')
    assert keep.locator('[data-part="keep-only"]').is_disabled()  # nothing is named
    keep.locator('[data-part="keep-parts"]').fill("head 3.4")
    keep.locator('[data-part="keep-selected"]').click()
    assert keep.locator('[data-part="keep-parts"]').input_value() == "3.4, 3.5"
    keep.locator('[data-part="keep-only"]').click()
    blank.answered()
    kept = blank.view.worth["kept"]
    texts = LAB.like(RECAP).texts
    answer, rival = blank.view.worth["answer"], blank.view.worth["rival"]
    found = LAB.keep(RECAP, ["3.4", "3.5"], bloomlab.drawn(texts), "heads", answer=answer, rival=rival).found
    assert [row["share"] for row in kept["rows"]] == pytest.approx(found.share(found.values[1:]).tolist(), abs=1e-4)
    own = keep.locator('[data-row="+ 3.5"] [data-own]')
    assert float(str(own.get_attribute("data-value"))) == pytest.approx(kept["rows"][1]["share"])
    assert keep.locator('[data-row="+ 3.5"] [role="option"]').count() == 21
    expect(keep.locator('[data-part="keep-says"]')).to_contain_text(
        "only 3.4, 3.5 kept and the rest of 32 heads replaced"
    )
    visit.screenshot("worth-keep")
    keep.locator('[data-part="keep-instead"]').select_option("zero")
    keep.locator('[data-part="keep-parts"]').fill("3.4, 3.5, MLP 3")
    assert (
        keep.locator('[data-part="keep-mlps"]').is_checked() and keep.locator('[data-part="keep-mlps"]').is_disabled()
    )
    keep.locator('[data-part="keep-without"]').click()
    blank.answered()
    expect(keep.locator('[data-part="keep-says"]')).to_contain_text(
        "3.4, 3.5, mlp 3 of 36 heads and MLPs replaced by zeros"
    )
    assert keep.get_attribute("data-mode") == "without"
    keep.locator('[data-part="keep-parts"]').fill("<b>9.9")
    keep.locator('[data-part="keep-parts"]').press("Enter")
    blank.answered()
    expect(page.locator('[data-part="worth-says"]')).to_contain_text("none of 36 parts is '<b>9.9'")


@pytest.mark.parametrize("theme", THEMES)
def test_a_direction_has_a_dose_whose_curve_says_where_the_text_falls_apart(
    blank: BlankPage, visit: Visit, tmp_path: Path, theme: str
) -> None:
    visit.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]  # "light" or "dark"
    visit.page.set_viewport_size({"width": 816, "height": 580})
    blank.draw(LAB.explore("Leo lives in Oslo. Leo"))
    blank.themed(theme)
    page = blank.page
    select(blank, layer=1, head=0, token=0)
    page.locator('[data-part="heads"]').press("e")
    menu = page.locator('[data-panel="attention"] [data-part="change-menu"]')
    directions = menu.locator('[data-part="steer"]')
    directions.locator("summary").press("Enter")
    expect(menu.locator('[data-part="change-part"]')).to_have_value("post")  # a direction is added to states
    menu.locator('input[value="every-token"]').check()
    assert directions.locator('[data-part="steer-towards"]').input_value() == "Français"
    directions.locator('[data-part="steer-away"]').select_option("")
    assert directions.locator('[data-edit="steer"]').is_disabled()
    directions.locator('[data-part="steer-away-texts"]').fill("Leo lives in Oslo.\n\n Ana has a cat. ")
    directions.locator('[data-part="steer-dose"]').fill("2")
    visit.screenshot(f"direction-menu-{theme}")
    box = menu.locator(".bl-change-list").bounding_box()
    view = page.locator(".bloomlab").bounding_box()
    assert box and view and box["y"] >= view["y"]  # all of it can be seen
    assert box["y"] + box["height"] <= view["y"] + view["height"] + 1
    directions.locator('[data-edit="steer"]').press("Enter")
    blank.answered()
    assert blank.view.changes == ["resid_post of layer 1 + 2 × (Français − 2 texts)"]
    (edit,) = blank.view.edits["h.1.resid_post"]
    assert edit.again.args[1] == ("Leo lives in Oslo.", "Ana has a cat.")

    page.locator('[data-part="worth-more"]').press("Enter")
    dose, curve = page.locator('[data-part="dose"]'), blank.view.worth["curve"]
    found = LAB.direction(
        *edit.again.args[:2], "h.1.resid_post", "Leo lives in Oslo. Leo", " encore", " lives", n=3
    ).found
    assert found.sentence == curve["sentence"]
    for strip, of, chance in (("target", "target", "dots"), ("loss", "loss", "losses")):
        for row, value in zip(curve["rows"], getattr(found, of).tolist(), strict=True):
            name = f"dose {row['dose']:g}{', falls apart' if row['loss'] > curve['limit'] else ''}"
            options = dose.locator(f'[data-part="dose-{strip}"] [data-row="{name}"] [role="option"]')
            values = options.evaluate_all("all => all.map(one => Number(one.dataset.value))")
            assert values == pytest.approx([*row[chance], value], abs=1e-4)
    slider, says = dose.locator('[data-part="dose-slider"]'), dose.locator('[data-part="dose-says"]')
    assert slider.input_value() == "2"
    expect(says).to_contain_text(f"from dose {found.falls_apart:g} on the text falls apart")
    expect(dose.locator('[data-part="dose-writes"]')).to_contain_text(found.written[3].strip())
    visit.screenshot(f"direction-{theme}")
    assert grave(page) == []

    slider.focus()
    page.keyboard.press("ArrowRight")
    blank.answered()
    assert blank.view.changes == ["resid_post of layer 1 + 2.25 × (Français − 2 texts)"]
    assert blank.view.worth["curve"] == curve  # it is of this direction, whatever its dose
    page.keyboard.press("End")
    blank.answered()
    assert says.get_attribute("data-trouble") is not None and slider.input_value() == "8"
    page.locator('[data-part="undo"]').click()
    blank.answered()
    assert blank.view.steered["dose"] == 2.25

    visit.page.goto(blank.view.save(tmp_path / "x.html").as_uri())
    page.locator('[data-part="worth-more"]').click()
    assert page.locator('[data-part="dose-slider"]').is_disabled()
    expect(page.locator('[data-part="dose-sentence"]')).to_have_text(curve["sentence"])
    assert page.locator('[data-part="dose-loss"] [role="option"]').count() == 4 * len(curve["rows"])
    sheet = page.locator('[data-part="worth-sheet"]').bounding_box()
    assert sheet and sheet["x"] >= 0 and sheet["x"] + sheet["width"] <= 816 and sheet["y"] + sheet["height"] <= 580


def test_a_token_is_typed_and_a_wrong_one_is_explained(blank: BlankPage) -> None:
    blank.draw(LAB.explore(RECAP))
    page = blank.page
    select(blank)
    change(blank, "silence")
    before = page.locator('[data-worth="made"]').inner_text()
    page.locator('[data-part="worth-more"]').click()
    page.locator('[data-part="worth-answer"]').fill(" Lima")
    blank.answered()
    assert "Lima" in page.locator('[data-part="worth-numbers"]').inner_text()
    assert page.locator('[data-worth="made"]').inner_text() != before
    page.locator('[data-part="worth-answer"]').fill("Lima lives in")
    blank.answered()
    expect(page.locator('[data-part="worth-says"]')).to_contain_text("answer must be one token")
    page.locator('[data-part="worth-answer"]').fill("")
    blank.answered()
    assert page.locator('[data-worth="made"]').inner_text() == before


def refuted(over: str) -> View:
    view = LAB.explore(RECAP, edit={SPOT: zero(head=1, query=STOP)})
    view.over = over
    view.wished = {"do": "refute", "number": 1}  # it goes on while the page listens; saving waits for it
    return view


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("over", ["this text", "texts"])
def test_a_saved_page_has_the_strip_and_the_record(visit: Visit, tmp_path: Path, theme: str, over: str) -> None:
    view = refuted(over)
    visit.page.set_viewport_size({"width": 816, "height": 580})
    visit.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]  # "light" or "dark"
    visit.page.goto(view.save(tmp_path / "x.html").as_uri())
    page = visit.page
    shown = float(page.locator('[data-worth="made"]').inner_text().replace("−", "-"))
    assert shown == pytest.approx(view.worth["lines"][0]["value"], abs=6e-3)
    assert not page.locator('[data-part="refute"]').is_visible()
    page.locator('[data-part="worth-more"]').click()
    for kind in (RANDOM, HEADS, PLACES, SAME, DOSES, TEXTS):
        row = next(row for row in view.worth["refuted"]["rows"] if row["kind"] == kind)
        assert page.locator(f'[data-row="{kind}"] [role="option"]').count() == len(row["dots"])
    assert page.locator('[data-part="verdict"]').inner_text() == view.worth["refuted"]["sentence"]
    assert page.locator('[data-try="0"]').is_disabled()
    assert grave(page) == []
    sheet = page.locator('[data-part="worth-sheet"]').bounding_box()
    assert sheet and sheet["x"] >= 0 and sheet["x"] + sheet["width"] <= 816 and sheet["y"] + sheet["height"] <= 580
    assert page.evaluate("document.querySelector('.bloomlab').getBoundingClientRect().bottom") <= 580
    visit.screenshot(f"worth-saved-{over.replace(' ', '-')}-{theme}")
    assert visit.errors == [] and visit.refused == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_saved_page_has_what_is_left_with_each_part_held(visit: Visit, tmp_path: Path, theme: str) -> None:
    view = LAB.explore(RECAP, edit={SPOT: zero(head=1, query=STOP)})
    view.wished = {"do": "held", "number": 1}
    visit.page.set_viewport_size({"width": 816, "height": 580})
    visit.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]  # "light" or "dark"
    path = view.save(tmp_path / "x.html")
    visit.page.goto(path.as_uri())
    page = visit.page
    page.locator('[data-part="worth-more"]').click()
    assert page.locator('[data-part="held"] tbody tr').count() == len(view.worth["held"]["rows"]) + 3
    assert not page.locator('[data-part="hold-each"]').is_visible()
    expect(page.locator('[data-part="held"] [role="status"]')).to_have_text(view.worth["held"]["sentence"])
    assert grave(page) == []
    visit.screenshot(f"worth-held-saved-{theme}")
    assert "that noticed most" in path.read_text(encoding="utf-8").partition("<script")[0]
    assert visit.errors == [] and visit.refused == []


def test_where_there_is_no_script_the_verdict_is_in_words(visit: Visit, tmp_path: Path) -> None:
    view = refuted("this text")
    page = view.save(tmp_path / "x.html").read_text(encoding="utf-8").partition("<script")[0]
    assert "controls have half of this change or more" in page and "as it is" in page
