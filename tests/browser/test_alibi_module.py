"""The ALiBi view's ES module in a blank page: what it paints and reads, keys and pointer, strangers' texts, a file."""

import itertools
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib import colormaps
from playwright.sync_api import Browser, Page, expect

from bloomlab.errors import InputError
from bloomlab.lens import alibi
from bloomlab.lens.attention import position_only
from bloomlab.model.alibi import slopes
from bloomlab.text.tokens import visible
from bloomlab.views.alibi.still import measured_of
from tests.browser.blank_page import BlankPage
from tests.browser.conftest import SCREENSHOTS, Visit
from tests.browser.test_accessibility import grave
from tests.browser.texts import HOSTILE, TEXTS, shown_on_strip
from tests.browser.waiting import redrawn
from tests.views.lone import alibi_view
from tests.views.small_trace import small_trace
from tests.views.test_alibi_view import TWINS, fake_texts, fake_twins

TEXT = "Leo lives in Oslo."  # nine tokens
STEEP = slopes(8)[0]
ALL_LOOKS = ((600, "light"), (600, "dark"), (1280, "light"), (1280, "dark"))


@pytest.fixture
def blank(visit: Visit) -> Iterator[BlankPage]:
    """A page with the view of a short text; afterwards, nothing may have gone wrong in it."""
    page = BlankPage(visit.page)
    page.draw(alibi_view(small_trace, TEXT, texts=fake_texts()))
    yield page
    assert visit.errors == []
    assert visit.refused == []


def fact(page: Page, name: str) -> float:
    """A number of the chosen head, as a person reads it."""
    text = page.locator(f'[data-fact="{name}"]').inner_text()
    found = re.search(r"[−]?[\d.]+", text)
    assert found, text
    return float(found[0].replace("−", "-"))


def hover_distance(page: Page, distance: float, most: int = 8) -> None:
    box = page.locator('[data-part="bias"]').bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * distance / most, box["y"] + box["height"] / 2)


def test_the_numbers_of_a_head_are_those_of_the_lens(blank: BlankPage) -> None:
    assert blank.view is not None
    measured = measured_of(blank.view.picture, blank.view.measured)
    for layer, head in [(0, 0), (2, 5), (3, 7)]:
        blank.view.layer, blank.view.head = layer, head
        blank.push()
        distance, previous, position, content = measured[:, layer, head].tolist()
        assert fact(blank.page, "reach") == alibi.reach(slopes(8)[head])
        assert fact(blank.page, "distance") == pytest.approx(distance, abs=0.006)
        assert fact(blank.page, "previous") == pytest.approx(100 * previous, abs=0.06)
        assert fact(blank.page, "position") == pytest.approx(100 * position, abs=0.06)
        assert fact(blank.page, "content") == pytest.approx(100 * content, abs=0.06)
        assert fact(blank.page, "tie") == 256


def test_the_pointer_on_the_lines_reads_the_bias_at_its_distance_and_lights_up_the_token(blank: BlankPage) -> None:
    page = blank.page
    for distance in (0, 3, 8):
        hover_distance(page, min(distance, 7.9))  # the right edge itself is outside
        expect(page.locator(".bloomlab")).to_have_attribute("data-distance", str(distance))
        assert fact(page, "bias") == pytest.approx(-STEEP * distance, abs=6e-4)
        assert fact(page, "left") == pytest.approx(100 * math.exp(-STEEP * distance), abs=0.06)
        expect(page.locator(f'.bl-part[data-token="{8 - distance}"]')).to_have_attribute("data-pointed", "")
    page.mouse.move(2, 2)
    expect(page.locator(".bloomlab")).to_have_attribute("data-distance", "1")
    page.locator('[data-part="strip"] .bl-token[data-token="3"]').hover()
    expect(page.locator(".bloomlab")).to_have_attribute("data-distance", "5")


def test_a_click_on_the_lines_chooses_the_token_and_reaches_python(blank: BlankPage) -> None:
    hover_distance(blank.page, 6)
    blank.page.mouse.down()
    blank.page.mouse.up()
    assert blank.answered() == [{"key": 2}]


def test_the_chosen_heads_line_is_painted_where_the_bias_is(blank: BlankPage) -> None:
    """Down the column of distance 4 the accent colour stands at slope × 4 = 2 nats of 6, and nowhere else."""
    column = blank.page.locator('[data-part="bias-canvas"]').evaluate(
        """(canvas) => {
            const { height, width } = canvas;
            const pixels = canvas.getContext("2d").getImageData(Math.round(width / 2), 0, 1, height).data;
            return Array.from({ length: height }, (_, y) => [...pixels.slice(4 * y, 4 * y + 4)]);
        }"""
    )
    red = [y / len(column) for y, (r, g, b, a) in enumerate(column) if a > 200 and r - g > 100 and r - b > 50]
    assert red and all(abs(y - 2 / 6) < 0.03 for y in red)


def test_slopes_stand_on_a_log_axis_and_reaches_where_they_are(blank: BlankPage) -> None:
    page = blank.page
    tops = [page.locator(f'[data-part="slopes"] [data-head="{head}"]').bounding_box() for head in range(8)]
    steps = [b["y"] - a["y"] for a, b in itertools.pairwise(tops) if a and b]
    assert min(steps) > 5 and max(steps) - min(steps) < 1  # each slope is half the one before
    row = page.locator('[data-part="reach"] [data-head="3"]')
    assert row.locator('[data-mark="reach"]').get_attribute("data-at") == "48"
    expected = alibi.mean_distance(position_only(slopes(8), 9)[None])[0, 3].item()
    assert float(row.locator('[data-mark="alone"]').get_attribute("data-at") or 0) == pytest.approx(expected)
    assert blank.view is not None
    measured = measured_of(blank.view.picture, blank.view.measured)
    for layer in range(4):
        at = row.locator(f'[data-layer="{layer}"]').get_attribute("data-at")
        assert float(at or 0) == pytest.approx(measured[0, layer, 3].item())


def test_the_shares_are_painted_for_every_head(blank: BlankPage) -> None:
    assert blank.view is not None
    measured = measured_of(blank.view.picture, blank.view.measured)
    for what, part in ((2, "position"), (3, "content")):
        for layer, head in [(0, 0), (1, 6), (3, 7)]:
            expected = [round(255 * c) for c in colormaps["cividis"](round(255 * measured[what, layer, head].item()))]
            seen = blank.pixel(f'[data-part="{part}-canvas"]', head, layer)
            assert max(abs(a - b) for a, b in zip(seen, expected, strict=True)) <= 2


def test_both_forms_of_the_bias_have_one_softmax_and_the_strip_shows_it(blank: BlankPage) -> None:
    page = blank.page
    assert float(page.locator(".bl-plot[data-apart]").get_attribute("data-apart") or 1) < 1e-12
    row = position_only(slopes(8), 9)[0, 8].tolist()
    bars = page.locator(".bl-strip .bl-share").evaluate_all(
        "(bars) => bars.map((bar) => Number(bar.style.getPropertyValue('--bl-part')))"
    )
    assert bars == pytest.approx(row, abs=0.0051)


def test_arrow_keys_step_heads_layers_and_distances(blank: BlankPage) -> None:
    page = blank.page
    heads = page.locator('[data-part="slopes"]')
    for press, layer, head in [
        ("ArrowLeft", "0", "0"),
        ("ArrowRight", "0", "1"),
        ("ArrowDown", "1", "1"),
        ("ArrowUp", "0", "1"),
        ("ArrowUp", "0", "1"),
    ]:
        heads.press(press)
        assert (blank.root("layer"), blank.root("head")) == (layer, head)
    assert "slope-1" in (heads.get_attribute("aria-activedescendant") or "")
    lines = page.locator('[data-part="bias"]')
    lines.press("ArrowRight")
    assert (blank.root("distance"), blank.root("key")) == ("2", "6")
    lines.press("ArrowDown")
    assert blank.root("head") == "2"
    page.locator('[data-part="strip"]').press("ArrowLeft")
    assert (blank.root("query"), blank.root("distance")) == ("7", "1")
    said = page.locator('[data-part="live"]').inner_text()
    assert said.startswith("layer 0, head 2, slope 1⁄8: 1 token back it adds −0.125 nats")


def test_a_row_and_a_dot_choose_their_head_and_layer(blank: BlankPage) -> None:
    page = blank.page
    page.locator('[data-part="reach"] [data-head="6"] .bl-axis').click()
    assert (blank.root("layer"), blank.root("head")) == ("0", "6")
    page.locator('[data-part="reach"] [data-head="5"] [data-layer="3"]').click(force=True)
    assert blank.root("head") == "5"
    page.locator('[data-part="position"]').scroll_into_view_if_needed()
    box = page.locator('[data-part="position"]').bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 2.5 / 8, box["y"] + box["height"] * 1.5 / 4)
    assert (blank.root("layer"), blank.root("head")) == ("1", "2")


def test_farther_than_the_text_the_lines_can_still_be_read(blank: BlankPage) -> None:
    blank.page.locator('input[value="2048"]').check()
    assert blank.root("far") == "2048"
    hover_distance(blank.page, 1024, 2048)
    redrawn(blank.page)
    distance = int(blank.root("distance"))
    assert abs(distance - 1024) < 20
    assert fact(blank.page, "bias") == pytest.approx(-STEEP * distance, abs=6e-4)
    blank.page.mouse.down()
    blank.page.mouse.up()
    assert blank.root("key") == "7"  # no token is so far back: nothing is chosen


def test_typing_shows_another_text_and_an_error_keeps_the_picture(visit: Visit) -> None:
    def read(text: str) -> object:
        if "<" in text:
            raise InputError("the text has 9000 tokens; <b>shorten</b> it")
        return small_trace(text)

    blank = BlankPage(visit.page)
    blank.draw(alibi_view(read))  # type: ignore[arg-type]
    page = visit.page
    expect(page.locator(".bloomlab")).to_have_attribute("data-state", "empty")
    page.locator('[data-part="empty"] button').first.click()
    expect(page.locator(".bloomlab")).to_have_attribute("data-state", "working")
    blank.answer()
    expect(page.locator(".bloomlab")).to_have_attribute("data-state", "ready")
    tokens = blank.root("tokens")
    page.locator('[data-part="text"]').fill("<too long>")
    page.locator('[data-part="text"]').press("Enter")
    blank.answer()
    expect(page.locator(".bloomlab")).to_have_attribute("data-state", "error")
    assert (
        "<b>shorten</b> it · the picture below is still the one before"
        in page.locator('[data-part="says"]').inner_text()
    )
    assert blank.root("tokens") == tokens and page.locator('[data-part="bias"]').is_visible()
    page.locator('[data-part="text"]').fill("A cat sat on a mat.")
    page.locator('[data-part="text"]').press("Enter")
    blank.answer()
    assert blank.root("tokens") == str(len(small_trace("A cat sat on a mat.").tokens))
    assert blank.root("state") == "ready" and visit.errors == []


@pytest.mark.parametrize("part", ["position", "content"])
def test_the_shares_of_all_heads_are_reached_by_keys(blank: BlankPage, part: str) -> None:
    shares = blank.page.locator(f'[data-part="{part}"]')
    for press, layer, head in [("ArrowRight", "0", "1"), ("ArrowDown", "1", "1"), ("ArrowUp", "0", "1")]:
        shares.press(press)
        assert (blank.root("layer"), blank.root("head")) == (layer, head)
    assert blank.view is not None
    what = {"position": 2, "content": 3}[part]
    share = measured_of(blank.view.picture, blank.view.measured)[what, 0, 1]
    assert (shares.get_attribute("aria-label") or "").endswith(f"Layer 0, head 1: {share:.2f}")


def test_the_length_lab_is_run_from_the_page(blank: BlankPage) -> None:
    page = blank.page
    lab = page.locator('[data-part="lab"]')
    assert lab.get_attribute("data-state") == "idle" and not page.locator('[data-part="lab-table"]').is_visible()
    page.locator('[data-part="lab-run"]').click()
    assert {"wanted": 1} in blank.answered()
    expect(lab).to_have_attribute("data-state", "done")
    assert lab.get_attribute("data-curves") == "4"
    assert "256 tokens, 4× the trained length: 1.25 nats per token, against 1.75 at 64" in lab.inner_text()
    assert page.locator('[data-part="lab-table"] tbody tr').count() == 4
    painted = page.locator('[data-part="lab-plot-canvas"]').evaluate(
        "(canvas) => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((v) => v > 0)"
    )
    assert painted


def test_a_running_lab_says_how_far_and_can_be_cancelled(blank: BlankPage) -> None:
    assert blank.view is not None
    blank.view._begin(panel := blank.view.panels["alibi"], panel.jobs[0])._step()
    blank.push()
    page = blank.page
    assert "1 of 4 tokens" in page.locator('[data-part="lab"]').inner_text()
    assert page.locator('[data-part="lab-progress"]').evaluate("(bar) => bar.value") == 0.25
    page.locator('[data-part="lab-stop"]').click()
    blank.answered()
    assert page.locator('[data-part="lab"]').get_attribute("data-state") == "stopped"
    assert page.locator('[data-part="lab"]').get_attribute("data-curves") == "1"


# of each line in the legend, how many pixels of its colour the plot has
PIXELS_OF_LINES = """() => {
    const canvas = document.querySelector('[data-part="lab-plot-canvas"]');
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return [...document.querySelectorAll('[data-part="lab-key"] .bl-dash')].map((swatch) => {
        swatch.style.color = "var(--bl-colour)";
        const colour = getComputedStyle(swatch).color.match(/\\d+/g).map(Number);
        let count = 0;
        for (let i = 0; i < data.length; i += 4) {
            count += data[i + 3] === 255 && colour.every((part, j) => data[i + j] === part);
        }
        return count;
    });
}"""


def test_twins_are_drawn_as_they_are_measured_with_a_legend_and_can_be_stopped(visit: Visit) -> None:
    blank, page = BlankPage(visit.page), visit.page
    blank.draw(view := alibi_view(small_trace, TEXTS["english"], texts=fake_texts(), twins=fake_twins))
    lab = page.locator('[data-part="lab"]')
    lab.locator('input[value="twins"]').check()
    blank.answered()
    assert (lab.get_attribute("data-question"), lab.get_attribute("data-state")) == ("twins", "idle")
    job = view._begin(panel := view.panels["alibi"], panel.jobs[0])
    for _ in range(3):
        job._step()
    blank.push()
    assert (lab.get_attribute("data-state"), lab.get_attribute("data-twins")) == ("running", "2")
    assert "3 of 5 tokens" in lab.inner_text() and "harder for tiny-none" not in lab.inner_text()
    page.locator('[data-part="lab-stop"]').click()
    blank.answered()
    assert (lab.get_attribute("data-state"), lab.get_attribute("data-twins")) == ("stopped", "2")
    page.locator('[data-part="lab-run"]').click()
    blank.answered()
    expect(lab).to_have_attribute("data-state", "done")
    key = page.locator('[data-part="lab-key"] [data-twin]')
    assert [said.strip() for said in key.all_inner_texts()] == list(TWINS)
    looks = key.evaluate_all("(all) => all.map((one) => getComputedStyle(one.firstChild).backgroundImage)")
    assert len(set(looks)) == 3 and "none" not in looks
    said = lab.inner_text()
    assert "512 tokens, 8× the trained length, are no harder for tiny-alibi (2.00 → 1.75)" in said
    assert "harder for tiny-none (2.25 → 3.00)" in said
    assert "tiny-learned ends at 64: it has no positions beyond" in said
    rows = page.locator('[data-part="lab-table"] tr').all_inner_texts()
    assert [row.split("\t") for row in rows[1:]] == [
        ["tiny-alibi", "2.000", "1.750"],
        ["tiny-none", "2.250", "3.000"],
        ["tiny-learned", "2.500", "–"],
    ]
    assert min(page.evaluate(PIXELS_OF_LINES)) > 10
    lab.locator('input[value="lengths"]').check()
    blank.answered()
    assert not page.locator('[data-part="lab-key"]').is_visible()
    assert visit.errors == [] and visit.refused == []


def test_a_model_without_twins_is_not_asked_about_them(blank: BlankPage) -> None:
    lab = blank.page.locator('[data-part="lab"]')
    assert lab.locator('input[value="slopes"]').is_visible() and not lab.locator('input[value="twins"]').is_visible()


def test_the_code_on_the_page_is_the_code_in_python(blank: BlankPage) -> None:
    assert blank.view is not None
    blank.page.locator(".bl-foot summary").click()
    blank.page.locator('[data-part="slopes"]').press("ArrowRight")
    blank.answered()
    assert "slope = used[1]" in blank.view.code
    assert blank.page.locator('[data-part="code"]').inner_text() == blank.view.code


def test_every_focusable_part_keeps_its_keys_from_the_notebook_and_shows_focus(blank: BlankPage) -> None:
    page = blank.page
    keys = page.locator(".bloomlab :is(textarea, button, input, summary, [tabindex])")
    assert keys.count() >= 10
    for place in range(keys.count()):  # Notebook 7 looks at the focused element itself
        assert keys.nth(place).get_attribute("data-lm-suppress-shortcuts") == "true"
    seen = []
    page.locator('[data-part="text"]').focus()
    for _ in range(10):
        seen.append(page.evaluate("document.activeElement.dataset.part || document.activeElement.tagName"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", seen
        page.keyboard.press("Tab")
    assert seen == ["text", "ids", "strip", "slopes", "INPUT", "bias", "position", "content", "INPUT", "lab-run"]


def test_nothing_jumps_and_nothing_is_left_behind(blank: BlankPage) -> None:
    page = blank.page
    heights = set()
    for distance in range(9):
        hover_distance(page, distance)
        redrawn(page)
        heights.add(page.locator(".bl-view").bounding_box()["height"])  # type: ignore[index]
    assert len(heights) == 1
    page.evaluate("cleanUp()")
    assert page.locator(".bloomlab").count() == 0 and page.evaluate("model.listeners.length") == 0


def test_hostile_texts_and_names_are_shown_as_they_are_and_do_nothing(blank: BlankPage) -> None:
    def read(text: str) -> object:
        trace = small_trace(text)
        trace.provenance["model"] = HOSTILE[0]
        return trace

    assert blank.view is not None
    blank.view._read = read
    page = blank.page
    page.locator(".bl-foot summary").click()
    for text in HOSTILE:
        blank.view.show(text)
        blank.push()
        page.locator('[data-part="strip"] .bl-chip >> nth=0').hover()
        assert shown_on_strip(page) == visible(text)
        assert page.locator('[data-part="text"]').input_value() == text
        assert repr(text) in page.locator('[data-part="code"]').inner_text()
        assert HOSTILE[0] in page.locator('[data-part="stamp"]').inner_text()
        assert page.evaluate("window.canary") is None
        assert page.locator(".bloomlab :is(img, script, svg, style)").count() == 0


@pytest.mark.parametrize("text", [TEXTS["english"], HOSTILE[1], TEXTS["arabic"], "a"])
def test_a_saved_page_works_from_a_file_without_a_network(visit: Visit, tmp_path: Path, text: str) -> None:
    view = alibi_view(small_trace, text, texts=fake_texts())
    view.run_length_lab()
    page = visit.page
    page.goto(view.save(tmp_path / "page.html").as_uri())
    root = page.locator(".bloomlab")
    expect(root).to_have_attribute("data-state", "ready")
    assert shown_on_strip(page) == visible(text)
    page.locator('[data-part="slopes"]').press("ArrowRight")
    page.locator('[data-part="slopes"]').press("ArrowDown")
    assert (root.get_attribute("data-layer"), root.get_attribute("data-head")) == ("1", "1")
    measured = measured_of(view.picture, view.measured)
    assert fact(page, "position") == pytest.approx(100 * measured[2, 1, 1].item(), abs=0.06)
    assert page.locator('[data-part="lab"]').get_attribute("data-curves") == "4"
    assert page.locator('[data-part="lab-run"]').is_disabled()
    assert page.evaluate("window.canary") is None
    assert visit.errors == [] and visit.refused == []


def test_a_saved_page_without_script_still_shows_numbers(chromium: Browser, tmp_path: Path) -> None:
    path = alibi_view(small_trace, HOSTILE[0]).save(tmp_path / "page.html")
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    said = page.locator("body").inner_text()
    assert "Heads of layer 0" in said and "768" in said
    assert page.locator("img").count() == 0
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_screen_reader_and_a_weak_eye_are_served(visit: Visit, theme: str) -> None:
    """axe finds nothing serious: in the picture with its length lab, in an error, in the empty state."""
    page = visit.page
    blank = BlankPage(page)
    page.evaluate("(light) => document.body.setAttribute('data-jp-theme-light', light)", str(theme == "light").lower())

    def read(text: str) -> object:
        if text == "bad":
            raise InputError("the text is bad")
        return small_trace(text)

    view = alibi_view(read, TEXTS["english"], texts=fake_texts())  # type: ignore[arg-type]
    view.run_length_lab()
    blank.draw(view)
    page.evaluate(
        "document.body.style.background = getComputedStyle(document.querySelector('.bloomlab')).backgroundColor"
    )
    page.locator(".bl-foot summary").click()
    for text in (None, "bad", " "):
        if text is not None:
            page.locator('[data-part="text"]').fill(text)
            page.locator('[data-part="text"]').press("Enter")
            blank.answer()
        assert grave(page) == []


@pytest.mark.parametrize("language", TEXTS)
def test_pictures_to_look_at(chromium: Browser, tmp_path: Path, language: str) -> None:
    """Nothing overflows in any language, width and theme; the pictures are kept for a person to judge."""
    view = alibi_view(small_trace, TEXTS[language], layer=1, head=3, texts=fake_texts())
    view.run_length_lab()
    path = view.save(tmp_path / "page.html")
    SCREENSHOTS.mkdir(exist_ok=True)
    for width, theme in ((600, "dark"), (1280, "light")) if language != "english" else ALL_LOOKS:
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(path.as_uri())
        expect(page.locator(".bloomlab")).to_have_attribute("data-state", "ready")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        ground = "getComputedStyle(document.querySelector('.bloomlab')).backgroundColor.match(/\\d+/)[0] > 127"
        assert page.evaluate(ground) == (theme == "light")
        page.screenshot(path=SCREENSHOTS / f"alibi-{language}-{width}-{theme}.png", full_page=True)
        context.close()
