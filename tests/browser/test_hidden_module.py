"""The hidden states' ES module in a blank page: what is painted, what pointer and keys do, and who may look."""

import math
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from matplotlib import colormaps
from playwright.sync_api import Browser, Locator, Page, expect

import bloomlab
from bloomlab.errors import InputError
from bloomlab.lab import Lab
from bloomlab.text.tokens import visible
from bloomlab.tracing.trace import Trace
from bloomlab.views.hidden.figure import SCRIPTS, _kind
from bloomlab.views.hidden.payload import READ
from bloomlab.views.hidden.still import arrays
from bloomlab.views.shared.assets import module_text, theme_colour
from bloomlab.views.view import View
from tests.browser.blank_page import BlankPage
from tests.browser.conftest import SCREENSHOTS, THEMES, Visit
from tests.browser.test_accessibility import grave
from tests.browser.texts import HOSTILE, TEXTS
from tests.browser.waiting import redrawn, until
from tests.tiny_random import byte_tokenizer, random_model
from tests.views.aside import aside
from tests.views.lone import hidden_view, shown

TEXT = "Leo 😀."
LAB = Lab(random_model(), byte_tokenizer(), name="random")


def read(text: str) -> Trace:
    if text == "bad":
        raise InputError(HOSTILE[0] + HOSTILE[1])
    return LAB.trace(text, read=READ)


def view_of(text: str = TEXT, lab: Lab = LAB) -> View:
    return hidden_view(
        lambda typed: read(typed) if lab is LAB else lab.trace(typed, read=READ), lab.model, lab.tokenizer, text
    )


@pytest.fixture
def blank(visit: Visit) -> Iterator[BlankPage]:
    """A page with the hidden states of a short text; afterwards, nothing may have gone wrong in it."""
    page = BlankPage(visit.page)
    page.draw(view_of())
    yield page
    assert visit.errors == []
    assert visit.refused == []


def test_the_files_of_the_module_share_no_name() -> None:
    declared = re.findall(r"^(?:async )?(?:function|const|let|class) (\w+)", module_text("hidden"), re.MULTILINE)
    assert len(declared) > 40 and len(set(declared)) == len(declared)


def cell(page: Page, row: int, token: int) -> Locator:
    return page.locator(f'[data-cell][data-row="{row}"][data-column="{token}"]')


def fact(page: Page, name: str) -> str:
    return page.locator(f'[data-fact="{name}"]').inner_text()


def test_another_text_makes_its_cells_once(blank: BlankPage) -> None:
    page = blank.page
    page.evaluate(
        """() => {
            globalThis.made = 0;
            const grid = document.querySelector('[data-part="grid"]');
            new MutationObserver((found) => (made += found.length)).observe(grid, { childList: true });
        }"""
    )
    aside(partial(blank.view.show, "A cat."))
    blank.push()
    redrawn(page)
    assert page.evaluate("made") == 1
    expect(cell(page, 0, 5)).to_be_visible()


def test_the_cells_name_the_likeliest_token_in_the_colour_of_its_probability(blank: BlankPage) -> None:
    found = arrays(shown(blank.view))
    for row, token in [(0, 0), (1, 3), (4, 2), (6, 8)]:
        p = float(found["probs"][row, token, 0])
        here = cell(blank.page, row, token)
        word, script = blank.view.words[str(found["ids"][row, token, 0])]
        assert here.locator(".bl-token").inner_text() == word
        assert script[:2].title() in here.locator(".bl-mark").inner_text()
        seen = here.evaluate("(cell) => getComputedStyle(cell).backgroundColor.match(/\\d+/g).map(Number)")
        expected = [round(255 * part) for part in colormaps["cividis"](round(255 * math.sqrt(p)))[:3]]
        assert max(abs(a - b) for a, b in zip(seen, expected, strict=True)) <= 1


def test_a_cell_under_the_pointer_is_explained_and_leaving_returns_to_the_selection(blank: BlankPage) -> None:
    page = blank.page
    found = arrays(shown(blank.view))
    panel = page.locator('[data-part="cell"]')
    cell(page, 3, 2).hover()
    expect(panel).to_have_attribute("data-row", "3")
    rows = panel.locator(".bl-said tbody tr")
    assert rows.count() == 5
    for i in range(5):
        said = rows.nth(i).locator("td").all_inner_texts()
        assert said[1] == str(found["ids"][3, 2, i])
        assert float(said[3]) == pytest.approx(found["probs"][3, 2, i], abs=6e-4)
    assert fact(page, "entropy").startswith(f"{found['entropy'][3, 2]:.2f} nats of at most 5.70")
    assert f"rank {found['rank'][3, 2]}," in fact(page, "rank")
    assert fact(page, "length") == f"{found['norms'][3, 2]:.1f}"
    share = fact(page, "share").replace("−", "-")
    assert float(share.split(",")[0]) == pytest.approx(found["shares"][3, 2], abs=6e-4)
    page.mouse.move(2, 2)
    expect(panel).to_have_attribute("data-token", "8")
    assert fact(page, "rank") == "nothing follows the last token"


def test_a_theme_that_changes_while_the_page_is_hidden_for_a_moment_is_painted(blank: BlankPage) -> None:
    """So does Jupyter, and so shortly that the size of nothing has changed."""
    with_itself = "document.querySelector('[data-part=turns-canvas]').getContext('2d').getImageData(0, 0, 1, 1).data"
    assert blank.page.evaluate(f"[...{with_itself}].slice(0, 3)") == [184, 84, 10]  # --bl-positive
    blank.page.evaluate(
        """async () => {
            document.body.dataset.jpThemeLight = "false";
            document.querySelector("main").hidden = true;
            await null; // those who watch the theme are told
            document.querySelector("main").hidden = false;
        }"""
    )
    until(blank.page, f"[...{with_itself}].slice(0, 3).join() === '255,159,69'")


def test_the_chosen_cell_stays_in_sight_when_the_page_becomes_narrow(visit: Visit) -> None:
    blank = BlankPage(visit.page)
    blank.draw(view_of("A cat and a dog."))
    in_sight = """() => {
        const [grid, cell] = ["[data-part=grid]", "[data-cell][aria-selected=true]"].map(
            part => document.querySelector(part).getBoundingClientRect());
        return cell.left >= grid.left && cell.right <= grid.right + 1;
    }"""
    for width in (1280, 700, 600):
        visit.page.set_viewport_size({"width": width, "height": 900})
        until(visit.page, in_sight)
    assert visit.errors == []


def test_no_label_of_the_map_covers_a_dot_or_another_label(visit: Visit) -> None:
    blank = BlankPage(visit.page)
    blank.draw(view_of("A cat and a dog sat down here."))
    covered = visit.page.evaluate(
        """() => {
            const dots = [...document.querySelectorAll("[data-dot]")];
            const names = dots.filter(dot => !dot.hasAttribute("data-quiet")).map(dot => dot.lastChild);
            const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
            const boxes = elements => elements.map(e => [e, e.getBoundingClientRect()]);
            const others = boxes([...names, ...dots.map(dot => dot.firstChild)]);
            return [names.length, boxes(names).flatMap(([name, box]) => others.filter(([other, place]) =>
                name.parentElement !== other.parentElement && !name.parentElement.hasAttribute("data-picked")
                && meet(box, place))).length];
        }"""
    )
    assert covered[0] > 3 and covered[1] == 0


def test_the_states_are_named_beside_their_cosines(blank: BlankPage) -> None:
    names = blank.page.locator(".bl-turns-names > span").all_inner_texts()
    assert names == ["embedding", *(f"{part} {layer}" for layer in range(3) for part in ("attention", "MLP"))]


def test_the_shares_of_a_token_are_listed_and_sum_to_one(blank: BlankPage) -> None:
    cells = blank.page.locator('[data-part="parts"] tr[data-share] .bl-value').all_inner_texts()
    values = [float(text.replace("−", "-")) for text in cells]
    found = arrays(shown(blank.view))
    assert values == pytest.approx(found["shares"][:-1, 8].tolist(), abs=6e-4)
    assert blank.page.locator('[data-share="sum"]').inner_text() == "+1.000"


def test_arrow_keys_step_state_and_token_and_stop_at_the_edges(blank: BlankPage) -> None:
    grid = blank.page.locator('[data-part="grid"]')
    for press, row, token in [
        ("ArrowDown", "6", "8"),
        ("ArrowUp", "5", "8"),
        ("ArrowLeft", "5", "7"),
        ("Home", "5", "0"),
        ("ArrowLeft", "5", "0"),
        ("End", "5", "8"),
    ]:
        grid.press(press)
        assert (blank.root("row"), blank.root("query")) == (row, token)
    assert "cell-5-8" in (grid.get_attribute("aria-activedescendant") or "")
    assert "layer 2, after attention, token 8" in blank.page.locator('[data-part="live"]').inner_text()
    until(blank.page, "model.sent.at(-1)?.query === 8")
    blank.answer()
    assert (blank.view.row, blank.view.query) == (5, 8)


def test_strip_slider_map_and_cosines_share_the_selection(blank: BlankPage) -> None:
    page = blank.page
    page.locator('[data-part="strip"]').press("Home")
    assert blank.root("query") == "0"
    page.locator('[data-part="slider"]').press("ArrowLeft")
    assert blank.root("row") == "5"
    assert page.locator('[data-part="map"]').get_attribute("data-row") == "5"
    page.locator('[data-part="map"] [data-dot="6"] .bl-spot').click(force=True)
    picked = page.locator("[data-dot][data-picked]").get_attribute("data-dot")
    assert picked == blank.root("query") != "0"
    turns = page.locator('[data-part="turns"]')
    turns.press("ArrowUp")
    turns.press("ArrowRight")
    assert (blank.root("row"), turns.get_attribute("data-other")) == ("4", "1")
    half = memoryview(blank.view.cosines).cast("f")
    value = half[int(picked or 0) * 28 + 4 * 5 // 2 + 1]
    said = page.locator('[data-part="turn"]').inner_text().replace("−", "-")
    assert float(said.split()[-1]) == pytest.approx(value, abs=6e-4)


def test_the_shares_are_reached_by_keys_and_pointer(blank: BlankPage) -> None:
    page = blank.page
    table = page.locator('[data-part="shares"]')
    for press, row in [("ArrowUp", "5"), ("ArrowUp", "4"), ("ArrowDown", "5"), ("ArrowDown", "6"), ("ArrowDown", "6")]:
        table.press(press)
        expect(page.locator(".bloomlab")).to_have_attribute("data-row", row)
        expect(table.locator("tr[data-picked]")).to_have_attribute("data-share", row)
    table.locator('tr[data-share="2"]').hover()
    expect(page.locator('[data-part="cell"]')).to_have_attribute("data-row", "2")
    table.locator('tr[data-share="3"]').click()
    expect(page.locator(".bloomlab")).to_have_attribute("data-row", "3")


def test_what_is_pressed_stays_until_it_is_let_go(blank: BlankPage) -> None:
    """A slow answer must not replace a row between the button's way down and its way up: the click would be lost."""
    page = blank.page
    row = page.locator('[data-part="shares"] tr[data-share="3"]')
    row.hover()
    expect(page.locator('[data-part="cell"]')).to_have_attribute("data-row", "3")
    pressed = row.element_handle()
    page.mouse.down()
    page.evaluate("model.arrive({ query: 1 })")  # all parts of another token
    redrawn(page)
    assert pressed.evaluate("(row) => row.isConnected") and blank.root("query") == "8"
    page.mouse.up()
    expect(page.locator(".bloomlab")).to_have_attribute("data-row", "3")
    expect(page.locator(".bloomlab")).to_have_attribute("data-query", "1")
    assert not pressed.evaluate("(row) => row.isConnected")
    page.mouse.down()
    page.evaluate("model.arrive({ query: 2 })")
    page.mouse.move(0, 0)
    page.mouse.up()  # elsewhere: what waited is drawn all the same
    expect(page.locator(".bloomlab")).to_have_attribute("data-query", "2")
    row.dispatch_event("pointerdown", {"button": 0})  # of a scroll bar's end nobody tells
    page.evaluate("model.arrive({ query: 1 })")
    redrawn(page)
    assert blank.root("query") == "2"
    page.mouse.move(1, 1)
    expect(page.locator(".bloomlab")).to_have_attribute("data-query", "1")


def test_the_toggles_show_other_numbers_in_the_same_cells(blank: BlankPage) -> None:
    page = blank.page
    found = arrays(shown(blank.view))
    expected = {"entropy": f"{found['entropy'][2, 1]:.2f}", "rank": str(found["rank"][2, 1])}
    expected |= {"norm": f"{found['norms'][2, 1]:.1f}", "added": f"{found['shares'][2, 1]:+.2f}".replace("-", "−")}
    for mode, text in expected.items():
        page.locator(f'input[value="{mode}"]').check()
        assert cell(page, 2, 1).locator(".bl-token").inner_text() == text
    assert page.locator('[data-part="grid"]').get_attribute("data-colours") == "signed"
    for row in range(7):  # blue below zero, orange above
        share = found["shares"][row, 1]
        colour = cell(page, row, 1).evaluate("(cell) => getComputedStyle(cell).backgroundColor.match(/\\d+/g)")
        if abs(share) > abs(found["shares"]).max() / 8:
            assert (int(colour[0]) > int(colour[2])) == (share > 0)


def test_the_words_can_be_coloured_by_script(visit: Visit) -> None:
    """Each script that a word is written in has a colour, which the legend names and two letters in the cell repeat."""
    page = BlankPage(visit.page)
    page.draw(bloomlab.load().hidden_states("Leo, 猫. القطة बिल्ली"))
    visit.page.locator('input[value="script"]').check()
    colours: dict[str, set[str]] = {}
    for state in visit.page.locator("[data-cell]").all():
        mark = state.locator(".bl-mark").inner_text().removesuffix("✓").strip()
        colours.setdefault(mark, set()).add(state.evaluate("(cell) => getComputedStyle(cell).backgroundColor"))
    assert {"La", "Ar", "Ch", "De", ""} <= set(colours)
    assert all(len(found) == 1 for found in colours.values())  # the same mark, the same colour
    assert len({colour for found in colours.values() for colour in found}) == len(colours)
    ticks = visit.page.locator(".bl-panel-grid .bl-tick").all_inner_texts()
    assert {"Latin", "Arabic", "Chinese", "Devanagari"} <= set(ticks) and ticks[-1] == "no letter"
    assert page.root("mode") == "script" and visit.errors == []


@pytest.mark.parametrize(
    "script", ["LATIN", "ARABIC", "DEVANAGARI", "CJK", "BENGALI", "TAMIL", "CYRILLIC", "GREEK", ""]
)
def test_a_figure_names_and_colours_a_script_as_the_page_does(blank: BlankPage, script: str) -> None:
    name, variable = blank.evaluate("{ scriptKind } from lib/states.js", "scriptKind(value)", script)
    assert _kind(script) == name
    assert SCRIPTS[name] == theme_colour(variable.removeprefix("--bl-"))


def test_typing_reads_and_an_error_keeps_the_last_picture(blank: BlankPage) -> None:
    page = blank.page
    page.locator('[data-part="text"]').fill("bad")
    until(page, "model.sent.length > 0")
    expect(page.locator(".bloomlab")).to_have_attribute("data-state", "working")
    blank.answer()
    expect(page.locator(".bloomlab")).to_have_attribute("data-state", "error")
    says = page.locator('[data-part="says"]').inner_text()
    assert HOSTILE[0] + HOSTILE[1] in says and "still the one before" in says
    assert blank.root("tokens") == "9" and page.locator('[data-part="grid"]').is_visible()
    page.locator('[data-part="text"]').fill("A cat.")
    page.locator('[data-part="text"]').press("Enter")
    blank.answer()
    expect(page.locator(".bloomlab")).to_have_attribute("data-state", "ready")
    assert (blank.root("tokens"), page.locator("[data-cell]").count()) == ("6", 6 * 7)
    assert page.evaluate("window.canary") is None


def test_an_empty_view_says_what_to_do_and_an_example_starts_it(visit: Visit) -> None:
    blank = BlankPage(visit.page)
    blank.draw(view_of(""))
    page = visit.page
    assert "Type a sentence" in page.locator('[data-part="empty"]').inner_text()
    page.locator('[data-part="empty"] button').nth(2).click()
    blank.answer()
    expect(page.locator(".bloomlab")).to_have_attribute("data-state", "ready")
    assert page.locator('[data-part="grid"]').is_visible()
    assert visit.errors == []


def test_the_code_on_the_page_is_the_code_in_python(blank: BlankPage) -> None:
    blank.page.locator(".bl-foot summary").click()
    assert blank.page.locator('[data-part="code"]').inner_text() == blank.view.code
    blank.page.locator('[data-part="grid"]').press("ArrowUp")
    assert "logit_lens(lab.model, trace)[5]" in blank.page.locator('[data-part="code"]').inner_text()


def test_a_step_out_of_the_window_brings_the_next(visit: Visit) -> None:
    blank = BlankPage(visit.page)
    blank.draw(view_of("ab " * 30))
    grid = visit.page.locator('[data-part="grid"]')
    grid.press("Home")
    until(visit.page, "model.sent.length > 0")
    assert "tokens 64 to 89 are here" in visit.page.locator('[data-part="cell"]').inner_text()
    blank.answer()
    expect(cell(visit.page, 6, 0)).to_have_attribute("aria-selected", "true")
    assert visit.page.locator("[data-cell]").count() == 64 * 7
    assert visit.errors == []


def test_a_stream_that_is_no_sum_says_so_and_shows_the_rest(visit: Visit) -> None:
    lab = Lab(random_model(apply_residual_connection_post_layernorm=True), byte_tokenizer())
    blank = BlankPage(visit.page)
    blank.draw(view_of(TEXT, lab))
    page = visit.page
    assert "this model's stream is not a sum" in page.locator('[data-part="parts"]').inner_text()
    assert page.locator('[data-part="parts"] table').is_hidden() and page.locator('[data-fact="share"]').count() == 0
    page.locator('input[value="added"]').check()
    assert cell(page, 1, 1).locator(".bl-token").inner_text() == "–"
    assert visit.errors == []


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_as_it_is_and_does_nothing(visit: Visit, tmp_path: Path, text: str) -> None:
    """In a saved page, from a file, with no network."""
    page = visit.page
    page.goto(view_of(text).save(tmp_path / "page.html").as_uri())
    expect(page.locator(".bloomlab")).to_have_attribute("data-state", "ready")
    page.locator(".bl-foot summary").click()
    page.locator("[data-cell]").last.hover()
    chips = page.locator('[data-part="strip"] .bl-chip > .bl-token').all_text_contents()
    assert "".join(chips) == visible(text)
    assert repr(text) in page.locator('[data-part="code"]').inner_text()
    page.locator('[data-part="grid"]').press("ArrowUp")
    assert page.locator(".bloomlab").get_attribute("data-row") == "5"
    assert page.locator('[data-part="text"]').get_attribute("readonly") is not None
    assert page.evaluate("window.canary") is None
    assert page.locator(".bloomlab img, .bloomlab script, .bloomlab svg, .bloomlab style").count() == 0
    assert visit.errors == [] and visit.refused == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_screen_reader_and_a_weak_eye_are_served(visit: Visit, theme: str) -> None:
    """axe finds nothing serious, in each of the states and of what the cells show."""
    page = visit.page
    blank = BlankPage(page)
    blank.draw(view_of("Leo lives."))
    blank.themed(theme)
    for step in ("prediction", "added", "bad", " "):
        if step in ("prediction", "added"):
            page.locator(f'input[value="{step}"]').check()
        else:
            page.locator('[data-part="text"]').fill(step)
            page.locator('[data-part="text"]').press("Enter")
            blank.answer()
        assert grave(page) == []
    assert visit.errors == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", TEXTS)
def test_pictures_to_look_at(chromium: Browser, tmp_path: Path, language: str, theme: str) -> None:
    """Nothing overflows in any language and theme at 600 pixels; the pictures are kept for a person to judge."""
    path = view_of(TEXTS[language], bloomlab.load()).save(tmp_path / "page.html")
    context = chromium.new_context(viewport={"width": 600, "height": 900}, color_scheme=theme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(path.as_uri())
    expect(page.locator(".bloomlab")).to_have_attribute("data-state", "ready")
    assert page.evaluate("document.documentElement.scrollWidth") <= 600
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"hidden-{language}-600-{theme}.png", full_page=True)
    context.close()


STORY = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"


@pytest.mark.parametrize("theme", THEMES)
def test_where_the_answer_is_carried(visit: Visit, tmp_path: Path, theme: str) -> None:
    """A map is asked for by opening it; a cell is chosen, told in words and made an edit; a saved page keeps it."""
    blank, page = BlankPage(visit.page), visit.page
    page.set_viewport_size({"width": 816, "height": 900})
    lab = bloomlab.load()
    view = lab.explore(STORY, texts=lab.like(STORY, 4))
    blank.draw(view)
    blank.themed(theme)
    page.locator('[data-tab="hidden"]').click()
    blank.answered()
    page.locator('[data-part="more"]').click()
    effects = page.locator('[data-part="effects"]')
    effects.locator("summary").click()
    blank.answered()
    expect(effects).to_have_attribute("data-state", "done")
    found = view.hidden.effects
    expect(page.locator('[data-part="effects-says"]')).to_have_text(found["says"])
    grid = page.locator('[data-part="effects-grid"]')
    assert grid.locator("[data-cell]").count() == len(found["values"]) == 100
    for row, token in ((0, 3), (4, 19), (2, 5)):
        cell = grid.locator(f'[data-row="{row}"][data-column="{token}"]')
        assert float(cell.get_attribute("data-value") or "nan") == pytest.approx(found["values"][token * 5 + row])
    assert page.locator('[data-part="effects-cell"]').inner_text().startswith("embed, \u20683 ·Oslo\u2069: +")
    page.screenshot(path=visit.screenshot(f"hidden-effects-{theme}"), full_page=True)
    assert grave(page) == []
    page.locator('[data-part="effects"] input[value="positions"]').check()
    blank.answered()
    expect(effects).to_have_attribute("data-what", "positions")
    assert grid.locator("[data-cell]").count() == 640
    assert page.evaluate("document.documentElement.scrollWidth") <= 816
    page.screenshot(path=visit.screenshot(f"hidden-effects-heads-{theme}"), full_page=True)
    saved = view.save(tmp_path / "page.html")
    says = view.hidden.effects["says"]
    grid.press("ArrowLeft")
    assert "token 18" not in says
    expect(page.locator('[data-part="effects-cell"]')).to_contain_text("18 ·lives")
    grid.press("ArrowRight")
    page.locator('[data-part="effects-cell"] [data-silence]').click()
    blank.answered()
    assert view.changes == ["head 3.5 drawn at 19 from 4 given texts, seed 0"]
    page.locator('[data-part="runs"] input[value="as it is"]').check()
    blank.answered()
    page.locator('[data-part="effects"] input[value="heads"]').check()
    page.locator('[data-part="effects-answer"]').fill(" Oslo")
    page.locator('[data-part="effects-answer"]').press("Enter")
    page.locator('[data-part="effects"] input[value="texts"]').check()
    blank.answered()
    expect(effects).to_have_attribute("data-state", "done")
    found = view.hidden.effects
    assert found["texts"] == 5 and page.locator("[data-unstable]").count() == sum(
        unstable and abs(value) >= (found["floor"] or 0)
        for unstable, value in zip(found["unstable"], found["values"], strict=True)
    )
    expect(page.locator('[data-part="effects-cell"]')).to_contain_text("over 5 texts ±")
    page.screenshot(path=visit.screenshot(f"hidden-effects-texts-{theme}"), full_page=True)
    assert grave(page) == []
    page.locator('[data-part="effects"] input[value="looks"]').check()
    page.locator('[data-part="effects"] input[value="this text"]').check()
    blank.answered()
    page.locator('[data-part="effects-cell"] [data-silence]').click()
    blank.answered()
    assert view.changes[-1].startswith("head 3.0 cut at ")
    page.goto(saved.as_uri())
    page.locator('[data-part="more"]').click()
    effects.locator("summary").click()
    expect(page.locator('[data-part="effects-says"]')).to_have_text(says)
    assert page.locator('[data-part="effects-cell"] [data-silence]').count() == 0
    assert visit.errors == [] and visit.refused == []


def test_what_is_on_its_way_is_grey_and_says_how_far_it_is_and_stops_and_goes_on(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bloomlab.views.hidden.said.AT_ONCE", 0)  # as if the model were large
    blank = BlankPage(visit.page)
    view = hidden_view(read, LAB.model, LAB.tokenizer, "")
    view.filling = "stopped"
    aside(lambda: view.show(TEXT))
    blank.draw(view)
    page, line = blank.page, blank.page.locator('[data-part="reading"]')
    expect(line).to_contain_text("8 tokens are not read")
    expect(page.locator('[data-part="reading-stop"]')).to_be_hidden()
    assert cell(page, 3, 8).inner_text() and not cell(page, 3, 2).inner_text()
    assert cell(page, 3, 2).get_attribute("aria-label").endswith("is on its way")

    cell(page, 3, 2).click()  # what is pointed at is read at once
    assert fact(page, "missing").startswith("is on its way")
    blank.answer()
    assert cell(page, 3, 2).inner_text() and fact(page, "entropy")
    for mode in ("script", "entropy", "rank", "norm", "added", "prediction"):
        page.locator(f'input[value="{mode}"]').check(force=True)
    assert "NaN" not in page.locator(".bloomlab").inner_text()

    view.reading = {**view.reading, "state": "running", "done": 2, "total": 9, "seconds": 12.4}
    blank.answer()
    expect(line).to_contain_text("2 of 9 tokens, about 12 s more")
    view.reading = {**view.reading, "state": "idle"}
    blank.answer()
    page.locator('[data-part="reading-go"]').click()
    blank.answer()
    expect(line).to_be_hidden()
    assert all(cell(page, 3, token).inner_text() for token in range(9)) and view.reading["state"] == "done"
