"""The tokens view's ES module in a blank page: chips, replays, languages, keys, strangers' texts, a file."""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

import bloomlab
from bloomlab.errors import InputError
from bloomlab.lab import load
from bloomlab.lens.tokens import merges
from bloomlab.text.tokens import visible
from bloomlab.views.view import View
from tests.browser.blank_page import BlankPage
from tests.browser.conftest import SCREENSHOTS, THEMES, Visit
from tests.browser.test_accessibility import grave
from tests.browser.texts import HOSTILE, TEXTS, shown_on_strip
from tests.views.aside import aside
from tests.views.lone import tokens_view

LAB = load()
TEXT = "Leo lives in Oslo."  # five tokens; " lives" is built by five merges


def view_of(text: str, **options: Any) -> View:
    return LAB.tokens(text, **options).view


@pytest.fixture
def blank(visit: Visit) -> Iterator[BlankPage]:
    """A page with the view of a short text; afterwards, nothing may have gone wrong in it."""
    page = BlankPage(visit.page)
    page.draw(view_of(TEXT))
    yield page
    assert visit.errors == []
    assert visit.refused == []


def part(page: Page, name: str) -> Any:
    return page.locator(f'[data-part="{name}"]')


def pieces(page: Page, stage: int, of: str = ".bl-hex") -> list[str]:
    """What stands in the boxes of a stage of the replay."""
    return page.locator(f'[data-stage="{stage}"] .bl-piece {of}').all_text_contents()


def test_no_number_is_broken_over_two_lines(visit: Visit) -> None:
    visit.page.set_viewport_size({"width": 816, "height": 580})
    BlankPage(visit.page).draw(view_of("Leo lives in Oslo, and Brimbolina in 奥斯陆."))
    lines = visit.page.locator(".bl-token-table .bl-value").evaluate_all("""all => all.map((each) => {
        const range = document.createRange();
        range.selectNodeContents(each);
        return [each.textContent, new Set([...range.getClientRects()].map(({ top }) => top)).size];
    })""")
    numbers = [count for said, count in lines if said.replace(".", "").isdigit()]
    assert len(numbers) > 2 and set(numbers) == {1}, lines


# ---- chips and replays ----


def test_every_chip_shows_its_ids_and_bytes(visit: Visit) -> None:
    BlankPage(visit.page).draw(view_of("Leo 猫😀"))
    tokens = LAB.tokens("Leo 猫😀")
    page = visit.page
    assert not page.locator(".bl-strip .bl-id").first.is_visible()
    part(page, "ids").click()
    assert page.locator(".bl-strip .bl-id").all_inner_texts() == [str(token.id) for token in tokens]
    shown = page.locator(".bl-strip .bl-bytes")
    assert shown.all_inner_texts() == [token.bytes.hex(" ") for token in tokens]
    assert shown.first.is_visible()
    chips = page.locator(".bl-strip .bl-chip")
    assert chips.count() < len(tokens) and chips.last.locator(".bl-bytes").count() > 1  # a character in one chip
    data = bytes.fromhex("".join(shown.all_inner_texts()))
    assert data.decode() == "Leo 猫😀"


def test_a_click_on_a_chip_shows_the_merges_that_built_it(blank: BlankPage) -> None:
    page = blank.page
    page.locator('.bl-strip .bl-token[data-token="3"]').click()
    assert blank.root("query") == "3"
    steps = merges(LAB.tokenizer, b" Oslo")
    assert page.locator("[data-stage]").count() == len(steps) + 1
    for number, step in enumerate(steps, start=1):
        assert pieces(page, number) == [data.hex(" ") for data in step.parts]
        assert page.locator(f'[data-stage="{number - 1}"] .bl-rank[data-next]').inner_text() == str(step.rank)
    assert pieces(page, len(steps), ".bl-token") == ["·Oslo"]
    assert page.locator('[data-fact="id"]').inner_text() == str(LAB.tokens(TEXT)[3].id)
    assert page.locator('[data-fact="bytes"]').inner_text() == "20 4f 73 6c 6f"


def test_between_neighbours_stands_the_rank_of_their_pair_and_the_lowest_is_marked(blank: BlankPage) -> None:
    ranks = LAB.tokenizer.merge_ranks
    for stage, step in enumerate(blank.view.picture["replays"][1]["steps"]):
        parts = [bytes.fromhex(data) for data in pieces(blank.page, stage)]
        shown = blank.page.locator(f'[data-stage="{stage}"] .bl-rank').all_text_contents()
        pairs = itertools.pairwise(parts)
        assert shown == [str(ranks[pair]) if pair in ranks else "–" for pair in pairs]
        assert min(int(rank) for rank in shown if rank != "–") == int(shown[step[0]])


def test_keys_step_the_chips_enter_opens_the_replay_and_arrows_step_it(blank: BlankPage) -> None:
    page = blank.page
    strip, replay = part(page, "strip"), part(page, "replay")
    strip.press("ArrowRight")
    assert blank.root("query") == "2"
    strip.press("ArrowLeft")
    assert blank.root("query") == "1"
    strip.press("Enter")
    expect(replay).to_be_focused()
    assert (replay.get_attribute("data-step"), replay.get_attribute("aria-valuemax")) == ("5", "5")
    for key, step in [
        ("Home", 0),
        ("ArrowRight", 1),
        ("ArrowDown", 2),
        ("ArrowLeft", 1),
        ("End", 5),
        ("ArrowRight", 5),
    ]:
        replay.press(key)
        assert replay.get_attribute("data-step") == str(step) == replay.get_attribute("aria-valuenow")
    replay.press("ArrowUp")
    assert page.locator("[data-stage]:not([data-future])").count() == 5
    assert page.locator('[data-stage="5"]').evaluate("(row) => getComputedStyle(row).visibility") == "hidden"
    last = merges(LAB.tokenizer, b" lives")[-1]
    left, right = (data.decode().replace(" ", "·") for data in (last.left, last.right))
    said = f"2 parts; next, rank {last.rank} joins “{left}” and “{right}”"
    assert f"4 of 5 merges done: {said}" in part(page, "live").inner_text()
    assert said in (replay.get_attribute("aria-valuetext") or "")
    replay.press("Escape")
    expect(strip).to_be_focused()
    blank.answered()
    assert blank.view.replayed == {"chip": 1, "step": 4}


def test_buttons_do_the_same_and_play_goes_to_the_end(blank: BlankPage) -> None:
    page, replay = blank.page, part(blank.page, "replay")
    assert part(page, "next").is_disabled()
    part(page, "back").click()
    assert replay.get_attribute("data-step") == "4"
    part(page, "next").click()
    assert replay.get_attribute("data-step") == "5"
    page.clock.install()
    part(page, "play").click()
    assert replay.get_attribute("data-step") == "0" and part(page, "play").inner_text() == "pause"
    for step in range(1, 6):
        page.clock.run_for(900)
        assert replay.get_attribute("data-step") == str(step)
    page.clock.run_for(900)
    assert part(page, "play").inner_text() == "play from the bytes"


def test_a_step_belongs_to_its_chip(blank: BlankPage) -> None:
    part(blank.page, "replay").press("Home")
    part(blank.page, "strip").press("End")
    part(blank.page, "strip").press("ArrowLeft")
    assert part(blank.page, "replay").get_attribute("data-step") == str(len(merges(LAB.tokenizer, b" Oslo")))


def test_python_chooses_the_token_and_the_step(blank: BlankPage) -> None:
    with blank.view.hold_sync():
        blank.view.query, blank.view.replayed = 3, {"chip": 3, "step": 2}
    blank.push()
    assert part(blank.page, "replay").get_attribute("data-step") == "2" and blank.root("chip") == "3"


@pytest.mark.parametrize("text", ["a", "<s>Leo", "😀", "x" * 300])
def test_a_text_without_merges_is_fine_too(visit: Visit, text: str) -> None:
    blank = BlankPage(visit.page)
    view = view_of(text)
    view.query = 0
    blank.draw(view)
    assert part(visit.page, "replay").is_visible()
    assert bytes.fromhex("".join(pieces(visit.page, 0))) == b"".join(
        LAB.tokens(text)[token].bytes for token in view.picture["chips"][0]["tokens"]
    )
    if text == "a":
        assert "bytes 61; a single byte, nothing to merge" in part(visit.page, "live").inner_text()
    if text.startswith("<s>"):
        assert "a special token is put in whole" in visit.page.locator('[aria-label="merges"]').inner_text()
    assert visit.errors == []


def test_nothing_jumps_while_the_replay_runs(blank: BlankPage) -> None:
    heights = set()
    for key in ["Home", *["ArrowRight"] * 5]:
        part(blank.page, "replay").press(key)
        heights.add(blank.page.locator(".bl-view").bounding_box()["height"])  # type: ignore[index]
    assert len(heights) == 1
    blank.page.evaluate("cleanUp()")
    assert blank.page.locator(".bloomlab").count() == 0 and blank.page.evaluate("model.listeners.length") == 0


# ---- what it costs ----


def test_the_costs_of_the_text_are_those_of_the_lens(blank: BlankPage) -> None:
    said = {name: blank.page.locator(f'[data-count="{name}"]').inner_text() for name in ("per_word", "per_byte")}
    tokens = len(LAB.tokens(TEXT))
    assert said == {"per_word": f"{tokens / 4:.2f}", "per_byte": f"{tokens / 18:.2f}"}
    blank.view.show("猫坐在垫子上")
    blank.push()
    assert blank.page.locator('[data-count="per_word"]').inner_text() == "–"
    assert "sets no spaces between words" in blank.page.locator(".bl-token-table").first.inner_text()


def cost(page: Page, language: str, column: str) -> float:
    text = page.locator(f'[data-language="{language}"] [data-cost="{column}"]').inner_text()
    return math.nan if text == "–" else float(text)


def test_languages_are_compared_when_the_comparison_is_opened(blank: BlankPage) -> None:
    page, compare = blank.page, part(blank.page, "compare")
    assert compare.get_attribute("data-state") == "idle" and blank.view.costs == {}
    compare.locator("summary").click()
    blank.answered()
    expect(compare).to_have_attribute("data-state", "done")
    for name, found in blank.view.costs.items():
        assert cost(page, name, "tokens") == found.tokens
        assert cost(page, name, "per_byte") == pytest.approx(found.tokens_per_byte, abs=6e-4)
        assert cost(page, name, "bits") == pytest.approx(found.bits_per_byte, abs=6e-3)
        if name != "中文":
            assert cost(page, name, "per_word") == pytest.approx(found.tokens_per_word, abs=6e-3)
    assert math.isnan(cost(page, "中文", "per_word"))
    assert "Bits per byte: from" in part(page, "compare-says").inner_text()
    assert part(page, "compare-stamp").inner_text().startswith("bits measured with tiny · weights ")
    arabic = page.locator('[data-language="العربية"] .bl-sentence')
    assert arabic.get_attribute("dir") == "rtl" and arabic.inner_text() == "يعيش ليو في أوسلو."
    assert page.locator('[data-language="English"] .bl-cut').all_text_contents() == [
        "Leo",
        " lives",
        " in",
        " Oslo",
        ".",
    ]


def test_a_running_comparison_says_how_far_and_can_be_cancelled_and_taken_up_again(blank: BlankPage) -> None:
    page, compare = blank.page, part(blank.page, "compare")
    blank.view._begin(
        panel := blank.view.panels["tokens"], panel.jobs[0]
    )._step()  # the tokenizer has cut all, the model has read one
    blank.view.set_trait("comparing", "open")
    blank.push()
    assert "the model has read 1 of them" in part(page, "compare-says").inner_text()
    assert part(page, "compare-progress").evaluate("(bar) => bar.value") == 0.1
    assert page.locator('[data-cost="bits"]').all_inner_texts()[1:] == ["…"] * 9
    part(page, "compare-stop").click()
    blank.answered()
    assert compare.get_attribute("data-state") == "stopped"
    assert compare.evaluate("(details) => details.open") and cost(page, "English", "bits") > 0
    part(page, "compare-run").click()
    blank.answered()
    assert compare.get_attribute("data-state") == "done"


def test_a_language_is_read_with_a_click(blank: BlankPage) -> None:
    aside(blank.view.compare)
    blank.push()
    blank.page.locator('[data-language="हिन्दी"] button').click()
    blank.answered()
    assert blank.view.text == "लियो ओस्लो में रहता है।"
    assert part(blank.page, "text").input_value() == "लियो ओस्लो में रहता है।"
    assert part(blank.page, "compare").get_attribute("data-state") == "done"  # of the same ten, this one unchanged


def test_typing_recomputes_and_an_error_keeps_the_picture(visit: Visit) -> None:
    def read(text: str) -> Any:
        if "<" in text:
            raise InputError("the text has 9000 tokens; <b>shorten</b> it")
        return LAB._read_tokens(text)

    blank = BlankPage(visit.page)
    blank.draw(tokens_view(read, LAB.tokenizer))
    page, root = visit.page, visit.page.locator(".bloomlab")
    expect(root).to_have_attribute("data-state", "empty")
    page.locator('[data-part="empty"] button').first.click()
    expect(root).to_have_attribute("data-state", "working")
    blank.answer()
    expect(root).to_have_attribute("data-state", "ready")
    part(page, "text").fill("<too long>")
    part(page, "text").press("Enter")
    blank.answer()
    expect(root).to_have_attribute("data-state", "error")
    assert "<b>shorten</b> it · the picture below is still the one before" in part(page, "says").inner_text()
    assert blank.root("tokens") == "10" and part(page, "replay").is_visible()
    part(page, "text").fill("بيت")
    part(page, "text").press("Enter")
    blank.answer()
    assert shown_on_strip(page) == "بيت" and visit.errors == []


def test_the_code_on_the_page_is_the_code_in_python(blank: BlankPage) -> None:
    blank.page.locator(".bl-foot summary").click()
    part(blank.page, "strip").press("ArrowRight")
    blank.answered()
    assert "display_tokens(tokens)[2]" in blank.view.code
    assert part(blank.page, "code").inner_text() == blank.view.code
    aside(blank.view.compare)
    blank.push()
    assert "costs.compare(traces)" in blank.view.code
    assert part(blank.page, "code").inner_text() == blank.view.code


# ---- for everybody ----


def test_every_focusable_part_keeps_its_keys_from_the_notebook(blank: BlankPage) -> None:
    aside(blank.view.compare)
    blank.push()
    keys = blank.page.locator(".bloomlab :is(textarea, button, input, summary, [tabindex])")
    assert keys.count() >= 18
    for place in range(keys.count()):  # Notebook 7 looks at the focused element itself
        assert keys.nth(place).get_attribute("data-lm-suppress-shortcuts") == "true"
    seen = []
    part(blank.page, "text").focus()
    for _ in range(6):
        seen.append(blank.page.evaluate("document.activeElement.dataset.part || document.activeElement.tagName"))
        assert blank.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", seen
        blank.page.keyboard.press("Tab")
    assert seen == ["text", "ids", "strip", "play", "back", "replay"]


def test_hostile_texts_and_names_are_shown_as_they_are_and_do_nothing(visit: Visit) -> None:
    page, blank = visit.page, BlankPage(visit.page)
    blank.draw(view_of("Leo"))
    page.locator(".bl-foot summary").click()
    for text in HOSTILE:
        view = view_of(text, translations={text: text, f"two {HOSTILE[0]}": HOSTILE[1]})
        aside(view.compare)
        for name in ("picture", "query", "comparison", "comparing"):
            blank.view.set_trait(name, getattr(view, name))
        blank.push()
        page.locator(".bl-strip .bl-chip >> nth=0").hover()
        assert shown_on_strip(page) == visible(text)
        assert part(page, "text").input_value() == text
        assert repr(text) in part(page, "code").inner_text()
        said = page.locator("[data-language] .bl-sentence").first.evaluate("(p) => p.textContent")
        assert said == "".join(letter if letter == " " else visible(letter) for letter in text)
        assert page.locator("[data-language] button").first.evaluate("(b) => b.textContent") == text
        assert page.evaluate("window.canary") is None
        assert page.locator(".bloomlab :is(img, script, svg, style)").count() == 0
    assert visit.errors == [] and visit.refused == []


@pytest.mark.parametrize("text", [TEXTS["english"], HOSTILE[1], TEXTS["arabic"], "a"])
def test_a_saved_page_works_from_a_file_without_a_network(visit: Visit, tmp_path: Path, text: str) -> None:
    view = view_of(text)
    aside(view.compare)
    page = visit.page
    page.goto(view.save(tmp_path / "page.html").as_uri())
    expect(page.locator(".bloomlab")).to_have_attribute("data-state", "ready")
    assert shown_on_strip(page) == visible(text)
    part(page, "strip").press("Home")
    part(page, "strip").press("Enter")
    part(page, "replay").press("Home")
    assert part(page, "replay").get_attribute("data-step") == "0"
    assert part(page, "compare").get_attribute("data-state") == "done"
    assert page.locator("[data-language] button").first.is_disabled()
    assert page.evaluate("window.canary") is None
    assert visit.errors == [] and visit.refused == []


def test_a_saved_page_without_script_still_shows_chips_and_merges(chromium: Browser, tmp_path: Path) -> None:
    path = view_of(HOSTILE[0]).save(tmp_path / "page.html")
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    said = page.locator("body").inner_text()
    assert "the pair that was learned first is joined first" in said and "[3c]" in said
    assert page.locator("img").count() == 0
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_screen_reader_and_a_weak_eye_are_served(visit: Visit, theme: str) -> None:
    """axe finds nothing serious: in the picture with its comparison, in an error, in the empty state."""
    page = visit.page
    blank = BlankPage(page)
    view = view_of(TEXTS["english"])
    aside(view.compare)
    blank.draw(view)
    blank.themed(theme)
    page.locator(".bl-foot summary").click()
    for text in (None, "\x00" * 3000, " "):
        if text is not None:
            part(page, "text").fill(text)
            part(page, "text").press("Enter")
            blank.answer()
        assert grave(page) == []


@pytest.mark.parametrize("language", TEXTS)
def test_pictures_to_look_at(chromium: Browser, tmp_path: Path, language: str) -> None:
    """Nothing overflows in any language, width and theme; the pictures are kept for a person to judge."""
    view = view_of(TEXTS[language])
    aside(view.compare)
    path = view.save(tmp_path / "page.html")
    SCREENSHOTS.mkdir(exist_ok=True)
    for width, theme in (
        (600, "dark"),
        (1280, "light"),
        *([(600, "light"), (1280, "dark")] if language == "english" else []),
    ):
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(path.as_uri())
        expect(page.locator(".bloomlab")).to_have_attribute("data-state", "ready")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=SCREENSHOTS / f"tokens-{language}-{width}-{theme}.png", full_page=True)
        context.close()


def test_the_replay_on_the_page_is_the_replay_in_python(visit: Visit) -> None:
    """Every stage of every chip of texts in five scripts, by the file as it is."""
    view = view_of(" ".join(TEXTS.values()))
    stages = BlankPage(visit.page).evaluate(
        "{stagesOf} from tokens/replay.js",
        "value.map((replay) => stagesOf(replay).map(({ parts }) => parts.map(({ hex }) => hex)))",
        view.picture["replays"],
    )
    for replay, shown in zip(view.picture["replays"], stages, strict=True):
        data = bytes.fromhex(replay["bytes"])
        expected = [[part.hex(" ") for part in step.parts] for step in merges(LAB.tokenizer, data)]
        assert shown == [[f"{byte:02x}" for byte in data], *expected]


STORY = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"


@pytest.mark.parametrize("theme", THEMES)
def test_which_tokens_mattered_in_three_answers(visit: Visit, tmp_path: Path, theme: str) -> None:
    """Asked for by opening; a row chooses its token, or silences it; a saved page keeps the numbers."""
    blank, page = BlankPage(visit.page), visit.page
    page.set_viewport_size({"width": 816, "height": 900})
    lab = bloomlab.load()
    view = lab.explore(STORY, texts=lab.like(STORY, 4))
    blank.draw(view)
    blank.themed(theme)
    page.locator('[data-tab="tokens"]').click()
    blank.answered()
    page.locator('[data-part="more"]').click()
    mattered = page.locator('[data-part="mattered"]')
    mattered.locator("summary").click()
    blank.answered()
    expect(mattered).to_have_attribute("data-state", "done")
    found = view.tokens.mattered
    says = page.locator('[data-part="mattered-says"]')
    expect(says).to_have_text(found["says"])
    rows = page.locator('[data-part="mattered-table"] tbody tr')
    assert rows.count() == 20
    for kind in ("left_out", "gradient", "integrated"):
        told = [float(row.get_attribute(f"data-{kind.replace('_', '-')}") or "nan") for row in rows.all()]
        assert told == pytest.approx(found[kind])
    widths = rows.locator("td:nth-child(2) .bl-weight > span").evaluate_all(
        "all => all.map(bar => bar.getBoundingClientRect().width)"
    )
    most = max(range(20), key=lambda token: abs(found["left_out"][token]))
    assert widths[2] / widths[most] == pytest.approx(abs(found["left_out"][2] / found["left_out"][most]), abs=0.02)
    assert page.locator("tr[data-furthest]").get_attribute("data-token") == str(found["furthest"])
    mattered.scroll_into_view_if_needed()
    page.screenshot(path=visit.screenshot(f"tokens-mattered-{theme}"), full_page=True)
    assert grave(page) == []
    saved = view.save(tmp_path / "page.html")

    rows.nth(2).locator("th button").click()
    assert blank.root("query") == "2"
    page.locator('[data-part="mattered-rival"]').fill("two tokens")
    page.locator('[data-part="mattered-rival"]').press("Enter")
    blank.answered()
    expect(says).to_contain_text("must be one token")
    page.locator('[data-part="mattered-rival"]').fill("")
    page.locator('[data-part="mattered-rival"]').press("Enter")
    page.locator('[data-part="mattered"] input[value="drawn"]').check()
    page.locator('[data-part="mattered"] input[value="texts"]').check()
    blank.answered()
    expect(says).to_contain_text("mean of 5 texts: what one of 4 given texts has")
    expect(rows.nth(3).locator("td.bl-number").first).to_contain_text(" ± ")
    page.screenshot(path=visit.screenshot(f"tokens-mattered-texts-{theme}"), full_page=True)
    page.locator('[data-silence="2"]').click()
    blank.answered()
    assert view.changes == ["embed drawn at 2 from 4 given texts, seed 0"]
    expect(says).to_contain_text("choose “as it is”")
    page.goto(saved.as_uri())
    page.locator('[data-part="more"]').click()
    mattered.locator("summary").click()
    expect(says).to_have_text(found["says"])
    assert rows.count() == 20 and page.locator("[data-silence]").count() == 0
    assert visit.errors == [] and visit.refused == []
