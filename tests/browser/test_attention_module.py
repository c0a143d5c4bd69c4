"""The attention view's ES module in a blank page: what is painted, and what pointer, keys and toggles do."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib import colormaps
from playwright.sync_api import expect

import bloomlab
from bloomlab.errors import InputError
from bloomlab.lens.ledger import score_ledger
from bloomlab.model.alibi import slopes
from tests.browser.blank_page import BlankPage
from tests.browser.conftest import THEMES, Visit
from tests.browser.test_accessibility import grave
from tests.browser.waiting import redrawn, until
from tests.views.lone import attention_view
from tests.views.small_trace import small_trace

TEXT = "Leo lives in Oslo."
CELLS = [(0, 0), (1, 0), (3, 3), (4, 2), (5, 5), (6, 1), (7, 0), (8, 4), (8, 8), (8, 3)]


@pytest.fixture
def blank(visit: Visit) -> Iterator[BlankPage]:
    """A page with the attention of a short text; afterwards, nothing may have gone wrong in it."""
    page = BlankPage(visit.page)
    page.draw(attention_view(small_trace, TEXT))
    yield page
    assert visit.errors == []
    assert visit.refused == []


def cividis(p: float) -> list[int]:
    return [round(255 * part) for part in colormaps["cividis"](round(255 * math.sqrt(p)))]


def steps_apart(seen: list[int], expected: list[int]) -> int:
    return max(abs(a - b) for a, b in zip(seen, expected, strict=True))


def test_the_matrix_is_painted_with_the_probabilities(blank: BlankPage) -> None:
    trace = small_trace(TEXT)
    for query, key in CELLS:
        p = trace["h.0.attn.probs"][0, 0, query, key].item()
        assert steps_apart(blank.pixel('[data-part="canvas"]', key, query), cividis(p)) <= 1
    assert blank.pixel('[data-part="canvas"]', 5, 4)[3] == 0  # a later token: nothing is painted


def test_every_thumbnail_is_painted_with_its_own_probabilities(blank: BlankPage) -> None:
    trace = small_trace(TEXT)
    for layer, head in [(0, 0), (1, 7), (3, 2), (3, 7)]:
        for query, key in CELLS[1:4]:
            p = trace[f"h.{layer}.attn.probs"][0, head, query, key].item()
            thumb = f'[data-part="heads"] [data-layer="{layer}"][data-head="{head}"] canvas'
            assert steps_apart(blank.pixel(thumb, key, query), cividis(p)) <= 1


def test_a_cell_under_the_pointer_shows_its_ledger(blank: BlankPage) -> None:
    scores = small_trace(TEXT)["h.0.attn.scores"][0, 0]
    for query, key in CELLS:
        blank.hover_cell(query, key)
        expect(blank.page.locator('[data-part="ledger"]')).to_have_attribute("data-query", str(query))
        expected = score_ledger(scores, slopes(8)[0], query, key)
        assert blank.ledger("content") == pytest.approx(expected.content, abs=6e-4)
        assert blank.ledger("position") == pytest.approx(expected.position, abs=6e-4)
        assert blank.ledger("total") == pytest.approx(expected.total, abs=6e-4)
        assert blank.ledger("normaliser") == pytest.approx(expected.normaliser, abs=6e-4)
        assert blank.ledger("probability") == pytest.approx(expected.probability, abs=6e-4)
        assert float(blank.page.locator('[data-part="ledger"]').get_attribute("data-error") or 1) < 1e-6


def test_the_pointer_lights_up_the_token_everywhere_and_leaving_returns_to_the_selection(blank: BlankPage) -> None:
    page = blank.page
    before = page.locator('[data-part="ledger"]').get_attribute("data-query")
    page.locator('[data-part="strip"] [data-token="4"] >> nth=0').hover()
    expect(page.locator('.bl-part[data-token="4"]')).to_have_attribute("data-pointed", "")
    assert page.locator(".bl-name[data-pointed]").count() == 2  # beside the row, under the column
    expect(page.locator('[data-part="heads"]')).to_have_attribute("data-row", "")
    blank.hover_cell(6, 2)
    expect(page.locator('.bl-part[data-token="6"]')).to_have_attribute("data-role", "query")
    expect(page.locator('.bl-part[data-token="2"]')).to_have_attribute("data-role", "key")
    page.mouse.move(2, 2)
    expect(page.locator('[data-part="ledger"]')).to_have_attribute("data-query", str(before))
    assert page.locator("[data-pointed]").count() == 0


def test_a_head_under_the_pointer_says_its_probability_of_the_cell(blank: BlankPage) -> None:
    p = small_trace(TEXT)["h.2.attn.probs"][0, 3, 5, 1].item()
    assert blank.view is not None
    blank.view.query, blank.view.key = 5, 1
    blank.push()
    blank.page.locator('[data-layer="2"][data-head="3"]').hover()
    live = blank.page.locator('[data-part="live"]')
    expect(live).to_contain_text("layer 2, head 3")
    said = live.inner_text()
    assert float(said.split()[-1]) == pytest.approx(p, abs=2 / 255)


def test_arrow_keys_step_heads_and_layers_and_stop_at_the_edges(blank: BlankPage) -> None:
    heads = blank.page.locator('[data-part="heads"]')
    for press, layer, head in [
        ("ArrowLeft", "0", "0"),
        ("ArrowRight", "0", "1"),
        ("ArrowDown", "1", "1"),
        ("ArrowUp", "0", "1"),
        ("ArrowUp", "0", "1"),
    ]:
        heads.press(press)
        assert (blank.root("layer"), blank.root("head")) == (layer, head)
    for _ in range(20):
        heads.press("ArrowRight")
    assert blank.root("head") == "7"


def test_arrow_keys_step_the_cell_and_never_to_a_later_token(blank: BlankPage) -> None:
    assert blank.view is not None
    blank.view.query, blank.view.key = 3, 3
    blank.push()
    matrix = blank.page.locator('[data-part="matrix"]')
    for press, query, key in [
        ("ArrowRight", "3", "3"),
        ("ArrowDown", "4", "3"),
        ("ArrowRight", "4", "4"),
        ("ArrowUp", "3", "3"),
        ("ArrowLeft", "3", "2"),
    ]:
        matrix.press(press)
        assert (blank.root("query"), blank.root("key")) == (query, key)
        expect(blank.page.locator('[data-part="ledger"]')).to_have_attribute("data-key", key)


def test_arrow_keys_step_the_token_in_the_strip(blank: BlankPage) -> None:
    strip = blank.page.locator('[data-part="strip"]')
    strip.press("Home")
    assert (blank.root("query"), blank.root("key")) == ("0", "0")
    strip.press("ArrowRight")
    assert blank.root("query") == "1"
    assert "token-1" in (strip.get_attribute("aria-activedescendant") or "")


def test_a_click_selects_and_the_selection_reaches_python(blank: BlankPage) -> None:
    blank.hover_cell(6, 2)
    blank.page.mouse.down()
    blank.page.mouse.up()
    assert blank.answered() == [{"query": 6, "key": 2}]
    assert blank.view is not None
    assert (blank.view.query, blank.view.key) == (6, 2)


def test_another_layer_brings_its_exact_values_and_is_shown_roughly_until_then(blank: BlankPage) -> None:
    page = blank.page
    page.locator('[data-layer="3"][data-head="2"]').click()
    ledger = page.locator('[data-part="ledger"]')
    expect(ledger).to_have_attribute("data-exact", "false")
    trace = small_trace(TEXT)
    query, key = int(blank.root("query")), int(blank.root("key"))
    p = trace["h.3.attn.probs"][0, 2, query, key].item()
    assert steps_apart(blank.pixel('[data-part="canvas"]', key, query), cividis(p)) <= 1
    assert blank.ledger("probability") == pytest.approx(p, abs=2 / 255)
    blank.answered()
    expect(ledger).to_have_attribute("data-exact", "true")
    assert blank.ledger("probability") == pytest.approx(p, abs=6e-4)


def test_the_toggles_paint_signed_numbers_on_one_scale_centred_on_zero(blank: BlankPage) -> None:
    page = blank.page
    trace = small_trace(TEXT)
    content = trace["h.0.attn.scores"][0, 0]
    blue = orange = 0
    for mode in ("content", "position", "both"):
        page.locator(f'input[value="{mode}"]').check()
        assert blank.root("mode") == mode
        limit = float(page.locator(".bl-matrix").get_attribute("data-limit") or 0)
        for query, key in CELLS:
            value = {"content": content[query, key].item(), "position": slopes(8)[0] * (key - query)}
            shown = sum(value.values()) if mode == "both" else value[mode]
            assert abs(shown) <= limit + 1e-6
            red, _, blueness, alpha = blank.pixel('[data-part="canvas"]', key, query)
            assert alpha == 255
            if abs(shown) > limit / 8:  # far enough from zero for the hue to be told
                assert (red > blueness) == (shown > 0), (mode, query, key, shown)
                blue, orange = blue + (shown < 0), orange + (shown > 0)
    assert blue > 3 and orange > 3
    limits = set()
    for mode in ("content", "position", "both"):
        page.locator(f'input[value="{mode}"]').check()
        limits.add(page.locator(".bl-matrix").get_attribute("data-limit"))
    assert len(limits) == 1
    page.locator('.bl-panel-matrix input[value="probability"]').check()
    expect(page.locator(".bl-matrix")).to_have_attribute("data-colours", "probability")


def test_typing_is_sent_once_after_the_last_key_and_changes_the_picture(blank: BlankPage) -> None:
    page = blank.page
    before = page.locator('[data-part="canvas"]').evaluate("canvas => canvas.toDataURL()")
    page.locator('[data-part="text"]').fill("")
    page.locator('[data-part="text"]').press_sequentially("A cat sat on a mat.", delay=5)
    until(page, "model.sent.length > 0")
    expect(page.locator(".bloomlab")).to_have_attribute("data-state", "working")
    assert "19 characters" in page.locator('[data-part="says"]').inner_text()
    assert page.locator('[data-part="cancel"]').is_visible()
    assert [message["typed"]["text"] for message in blank.answer()] == ["A cat sat on a mat."]
    expect(page.locator(".bloomlab")).to_have_attribute("data-state", "ready")
    assert blank.root("tokens") == str(len(small_trace("A cat sat on a mat.").tokens))
    assert page.locator('[data-part="canvas"]').evaluate("canvas => canvas.toDataURL()") != before


@pytest.mark.parametrize("text", ["Leo", "Leo lives in Oslo, and Ana lives in Rome, and so on."])
def test_a_shorter_and_a_longer_text_take_the_selection_along(blank: BlankPage, text: str) -> None:
    assert blank.view is not None
    blank.view.layer = 3
    blank.push()
    blank.view.show(text)
    blank.push()
    assert blank.root("tokens") == str(len(small_trace(text).tokens))
    assert (blank.root("layer"), blank.root("query")) == ("3", str(len(small_trace(text).tokens) - 1))
    expect(blank.page.locator('[data-part="ledger"]')).to_have_attribute("data-exact", "true")
    assert blank.page.locator('[data-part="text"]').input_value() == text


def test_somebody_who_is_typing_is_not_disturbed(blank: BlankPage) -> None:
    blank.page.locator('[data-part="text"]').press_sequentially(" And")
    assert blank.view is not None
    blank.view.show("Another text.")
    blank.push()
    assert blank.page.locator('[data-part="text"]').input_value() == TEXT + " And"
    assert blank.root("tokens") == str(len(small_trace("Another text.").tokens))


def test_an_error_is_said_in_words_and_the_last_picture_stays(visit: Visit) -> None:
    def read(text: str) -> object:
        if "<" in text:
            raise InputError("the text has 9000 tokens, but at most 2048 are read; <b>shorten</b> it")
        return small_trace(text)

    blank = BlankPage(visit.page)
    blank.draw(attention_view(read, TEXT))  # type: ignore[arg-type]
    tokens = blank.root("tokens")
    page = visit.page
    page.locator('[data-part="text"]').fill("<too long>")
    page.locator('[data-part="text"]').press("Enter")
    blank.answer()
    expect(page.locator(".bloomlab")).to_have_attribute("data-state", "error")
    says = page.locator('[data-part="says"]')
    assert says.get_attribute("role") == "alert"
    assert "<b>shorten</b> it · the picture below is still the one before" in says.inner_text()
    assert blank.root("tokens") == tokens
    assert page.locator('[data-part="canvas"]').is_visible()
    page.locator('[data-part="text"]').fill(TEXT)
    page.locator('[data-part="text"]').press("Enter")
    blank.answer()
    expect(page.locator(".bloomlab")).to_have_attribute("data-state", "ready")
    assert visit.errors == []


def test_half_a_character_is_refused_before_it_is_sent(blank: BlankPage) -> None:
    blank.page.locator('[data-part="text"]').evaluate(
        "(box) => { box.value = 'a\\ud83d'; box.dispatchEvent(new Event('input')); }"
    )
    expect(blank.page.locator(".bloomlab")).to_have_attribute("data-state", "error")
    assert "lone surrogate" in blank.page.locator('[data-part="says"]').inner_text()
    assert blank.page.evaluate("model.sent.length") == 0


def test_an_empty_view_says_what_to_do_and_an_example_starts_it(visit: Visit) -> None:
    blank = BlankPage(visit.page)
    blank.draw(attention_view(small_trace))
    page = visit.page
    expect(page.locator(".bloomlab")).to_have_attribute("data-state", "empty")
    assert "Type a sentence" in page.locator('[data-part="empty"]').inner_text()
    assert not page.locator('[data-part="canvas"]').is_visible()
    page.locator('[data-part="empty"] button').first.click()
    blank.answer()
    expect(page.locator(".bloomlab")).to_have_attribute("data-state", "ready")
    assert page.locator('[data-part="canvas"]').is_visible()
    assert visit.errors == []


def test_cancel_goes_back_to_the_text_of_the_picture(blank: BlankPage) -> None:
    page = blank.page
    page.locator('[data-part="text"]').fill("Something else")
    until(page, "model.sent.length > 0")
    page.locator('[data-part="cancel"]').click()
    assert page.locator('[data-part="text"]').input_value() == TEXT
    page.evaluate("model.sent.shift()")  # the kernel had not begun with the first
    blank.answer()
    expect(page.locator(".bloomlab")).to_have_attribute("data-state", "ready")


def test_the_code_on_the_page_is_the_code_in_python(blank: BlankPage) -> None:
    assert blank.view is not None
    blank.page.locator(".bl-foot summary").click()
    assert blank.page.locator('[data-part="code"]').inner_text() == blank.view.code
    blank.page.locator('[data-part="heads"]').press("ArrowRight")
    blank.answered()
    assert "probs[0, 1]" in blank.view.code
    assert blank.page.locator('[data-part="code"]').inner_text() == blank.view.code


def test_the_code_is_copied(blank: BlankPage) -> None:
    blank.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    blank.page.locator(".bl-foot summary").click()
    blank.page.locator('[data-part="copy"]').click()
    expect(blank.page.locator('[data-part="copy"]')).to_have_text("copied")
    selected = blank.page.evaluate("getSelection().toString()")
    assert blank.view is not None and selected.strip() == blank.view.code.strip()


def test_a_second_view_of_the_same_model_follows_the_first(blank: BlankPage) -> None:
    blank.draw_again()
    page = blank.page
    page.locator('[data-part="heads"]').first.press("ArrowRight")
    assert [page.locator(".bloomlab").nth(i).get_attribute("data-head") for i in (0, 1)] == ["1", "1"]
    page.locator('input[value="both"]').nth(1).check()
    assert page.locator("[data-panel] input:checked").count() == 6  # three in each: they are groups of their own
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((element) => element.id)")
    assert len(ids) == len(set(ids))


def test_cleaning_up_leaves_nothing(blank: BlankPage) -> None:
    page = blank.page
    listeners = page.evaluate("model.listeners.length")
    page.evaluate("cleanUp()")
    assert page.locator(".bloomlab").count() == 0
    assert listeners > 0 and page.evaluate("model.listeners.length") == 0


def test_every_focusable_part_keeps_its_keys_from_the_notebook_and_shows_focus(blank: BlankPage) -> None:
    page = blank.page
    keys = page.locator(".bloomlab :is(textarea, button, input, summary, [tabindex])")
    assert keys.count() >= 14
    for place in range(keys.count()):  # Notebook 7 looks at the focused element itself
        assert keys.nth(place).get_attribute("data-lm-suppress-shortcuts") == "true"
    seen = []
    page.locator('[data-part="text"]').focus()
    for _ in range(12):
        style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        name = page.evaluate("document.activeElement.dataset.part || document.activeElement.tagName")
        seen.append(name)
        assert style == "solid", name
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
    assert seen[:7] == ["text", "ids", "strip", "heads", "INPUT", "INPUT", "matrix"]


def test_a_larger_scale_makes_everything_larger(blank: BlankPage) -> None:
    assert blank.view is not None
    height = blank.page.locator('[data-part="strip"]').bounding_box()
    blank.view.scale = 1.5
    blank.push()
    larger = blank.page.locator('[data-part="strip"]').bounding_box()
    assert height and larger and larger["height"] > 1.3 * height["height"]


@pytest.mark.parametrize("width", [600, 900, 1400])
def test_nothing_is_wider_than_the_page(blank: BlankPage, width: int) -> None:
    blank.page.set_viewport_size({"width": width, "height": 900})
    redrawn(blank.page)
    assert blank.page.evaluate("document.documentElement.scrollWidth") <= width


def test_nothing_jumps_when_another_cell_is_pointed_at(blank: BlankPage) -> None:
    heights = set()
    for query, key in CELLS:
        blank.hover_cell(query, key)
        redrawn(blank.page)
        heights.add(blank.page.locator(".bl-view").bounding_box()["height"])  # type: ignore[index]
    assert len(heights) == 1


@pytest.mark.parametrize("theme", THEMES)
def test_why_this_look_and_not_another(visit: Visit, tmp_path: Path, theme: str) -> None:
    """Its score in parts; against another key; a part becomes an edit; a saved page keeps what was found."""
    blank, page = BlankPage(visit.page), visit.page
    page.set_viewport_size({"width": 816, "height": 720})
    view = bloomlab.load().explore("Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in")
    view.layer, view.head, view.query, view.key = 1, 1, 19, 16
    blank.draw(view)
    blank.themed(theme)
    look = page.locator('[data-part="look"]')
    assert page.locator('[data-part="look-says"]').is_hidden()
    look.locator("summary").click()
    blank.answered()
    expect(page.locator('[data-part="look-says"]')).to_contain_text("a score of +8.943 nats")
    content = page.locator('[data-ledger="content"]').inner_text()
    assert float(look.get_attribute("data-score") or "nan") == pytest.approx(float(content), abs=6e-4)
    against = page.locator('[data-part="look-against"]')
    assert against.locator("option").nth(1).get_attribute("value") in ("4", "9")  # the same token comes first
    against.select_option("4")
    blank.answered()
    expect(page.locator('[data-part="look-says"]')).to_contain_text(
        "+5.962 nats, of which MLP 0 in the key gives +3.87"
    )
    for side in ("key", "query", "pairs"):
        rows = look.locator(f'[data-side="{side}"] tr')
        values = [float(row.get_attribute("data-value") or "nan") for row in rows.all()]
        assert sum(values) == pytest.approx(view.attention.look["score"], abs=1e-4)
    look.scroll_into_view_if_needed()
    visit.screenshot(f"attention-look-{theme}")
    look.locator('input[value="texts"]').check()
    blank.answered()
    expect(page.locator('[data-part="look-says"]')).to_contain_text(
        "like texts: head 1.1, token 19 at token 16 and not"
    )
    shown = look.locator('[data-side="key"] tr').first.locator(".bl-value")
    assert shown.get_attribute("data-spread") == str(view.attention.look["spread"]["key"][0])
    expect(shown).to_contain_text(" ± ")
    visit.screenshot(f"attention-look-texts-{theme}")
    look.locator('input[value="this text"]').check()
    blank.answered()
    assert grave(page) == []
    saved = view.save(tmp_path / "page.html")
    look.locator('[data-side="key"] [data-silence="MLP 0"]').click()
    blank.answered()
    assert view.changes == ["mlp.out of layer 0 silent at 16"]
    page.goto(saved.as_uri())
    assert page.locator("[data-silence]").count() == 0
    page.locator('[data-part="look"] summary').click()
    expect(page.locator('[data-part="look-says"]')).to_contain_text("+5.962 nats")
    assert visit.errors == [] and visit.refused == []


def test_of_a_long_text_a_part_is_dragged_over_in_the_corner_and_shown_larger(visit: Visit) -> None:
    blank = BlankPage(visit.page)
    text = "Leo lives in Oslo. " * 12
    blank.draw(attention_view(small_trace, text))
    page, tokens = visit.page, small_trace(text).ids.shape[1]
    matrix, overview = page.locator(".bl-matrix"), page.locator('[data-part="overview"]')
    expect(overview).to_be_visible()

    def cell() -> float:
        return float(page.locator('[data-part="matrix"]').evaluate("(it, n) => it.clientWidth / n", tokens))

    def first_in_sight() -> list[int]:
        redrawn(page)  # what has been scrolled tells of it then
        return list(map(int, re.findall(r"\d+", str(overview.get_attribute("aria-label")))))

    small = cell()
    box = overview.bounding_box()
    assert box is not None
    at = [(box["x"] + share * box["width"], box["y"] + share * box["height"]) for share in (0.75, 0.85)]
    page.mouse.move(*at[0])
    page.mouse.down()
    page.mouse.move(*at[1], steps=3)
    page.mouse.up()
    assert cell() > 2 * small
    sight = first_in_sight()
    assert 0.6 * tokens < sight[0] < 0.78 * tokens < 0.83 * tokens < sight[1] and sight[-1] == tokens
    framed = page.locator('[data-part="sight"]').bounding_box()
    assert framed is not None and abs(framed["x"] + framed["width"] / 2 - (at[0][0] + at[1][0]) / 2) < 4

    overview.click(position={"x": 3, "y": 3})  # the beginning
    assert first_in_sight()[0] == first_in_sight()[2] == 0
    overview.press("ArrowDown")
    assert first_in_sight()[0] > 0 == first_in_sight()[2]
    larger = cell()
    overview.press("-")
    assert cell() == pytest.approx(larger / 2, abs=1)
    overview.press("+")
    overview.press("0")
    assert cell() == small and matrix.evaluate("it => it.scrollTop") >= 0
    # the chosen cell comes into sight when another is chosen
    matrix.evaluate("it => it.scrollTo(0, 0)")
    blank.view.query, blank.view.key = tokens - 1, tokens - 2
    blank.push()
    assert matrix.evaluate("it => it.scrollTop + it.clientHeight") > tokens * small
    blank.view.show("Leo")
    blank.push()
    expect(overview).to_be_hidden()  # there is nothing to zoom
    assert visit.errors == []
