"""The predictions' ES module in a blank page: what is painted, what pointer and keys do, and who may look."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib import colormaps
from playwright.sync_api import Browser, Locator, Page, expect

import bloomlab
from bloomlab.errors import InputError
from bloomlab.lab import Lab
from bloomlab.text.tokens import visible
from bloomlab.tracing.trace import Trace
from bloomlab.views.predictions.payload import READ
from bloomlab.views.predictions.still import arrays
from bloomlab.views.view import View
from tests.browser.blank_page import BlankPage
from tests.browser.conftest import SCREENSHOTS, THEMES, Visit
from tests.browser.test_accessibility import grave
from tests.browser.texts import HOSTILE, TEXTS, shown_on_strip
from tests.browser.waiting import until
from tests.tasks.task_heads import LABELS, random_lab
from tests.tiny_random import byte_tokenizer, random_model
from tests.views.lone import predictions_view, shown

TEXT = "Leo 😀."
QUESTION = "Who?"
LAB = random_lab()


def view_of(text: str = TEXT, question: str = QUESTION, lab: Lab = LAB) -> View:
    def read(text: str) -> Trace:
        if text == "bad":
            raise InputError(HOSTILE[0] + HOSTILE[1])
        return lab.trace(text, read=READ)

    return predictions_view(read, lab.model, lab.tokenizer, lab.heads, text, question)


@pytest.fixture
def blank(visit: Visit) -> Iterator[BlankPage]:
    """A page with the predictions of a short text; afterwards, nothing may have gone wrong in it."""
    page = BlankPage(visit.page)
    page.draw(view_of())
    yield page
    assert visit.errors == []
    assert visit.refused == []


def cell(page: Page, row: int, token: int) -> Locator:
    return page.locator(f'[data-cell][data-row="{row}"][data-column="{token}"]')


def word(page: Page, row: int, token: int) -> str:
    return cell(page, row, token).locator(".bl-token").inner_text()


def part(page: Page, name: str) -> Locator:
    return page.locator(f'[data-part="{name}"]')


def test_each_head_has_a_row_with_its_likeliest_in_the_colour_of_its_probability(blank: BlankPage) -> None:
    found = arrays(shown(blank.view))
    for token in (0, 5, 8):
        said = [blank.view.words[str(found["ids"][2, token, 0])]]
        said += [LABELS[task][found[task][2, token].argmax()] for task in ("language", "tags")]
        said += [f"{found['ends'][2, end, token]:.2f}" for end in (0, 1)]
        assert [word(blank.page, row, token) for row in range(5)] == said
        p = found["tags"][2, token].max()
        seen = cell(blank.page, 2, token).evaluate(
            "(cell) => getComputedStyle(cell).backgroundColor.match(/\\d+/g).map(Number)"
        )
        expected = [round(255 * channel) for channel in colormaps["cividis"](round(255 * math.sqrt(p)))[:3]]
        assert max(abs(a - b) for a, b in zip(seen, expected, strict=True)) <= 1


def test_the_token_the_label_is_read_from_and_the_answer_are_marked_with_signs(blank: BlankPage) -> None:
    _, _, first, last = blank.view.answers[2]["spans"][0]
    marked = blank.page.locator("[data-marked]")
    places = {(int(c.get_attribute("data-row") or 0), int(c.get_attribute("data-column") or 0)) for c in marked.all()}
    assert places == {(1, 8), (3, first), (4, last)}
    assert "▲" in cell(blank.page, 1, 8).inner_text()
    assert "[" in cell(blank.page, 3, first).inner_text() and "]" in cell(blank.page, 4, last).inner_text()
    assert "the label of the text is read here" in (cell(blank.page, 1, 8).get_attribute("aria-label") or "")


def test_bars_list_what_each_head_says_of_the_selected_token(blank: BlankPage) -> None:
    page, found = blank.page, arrays(shown(blank.view))
    part(page, "strip").press("Home")
    expect(part(page, "tags")).to_have_attribute("data-token", "0")
    for i, label in enumerate(LABELS["tags"]):
        value = part(page, "tags").locator(f'tr[data-label="{label}"] .bl-value')
        assert float(value.get_attribute("title") or "") == pytest.approx(found["tags"][2, 0, i])
    rows = part(page, "next").locator("tbody tr")
    assert rows.count() == 8
    assert [int(row.get_attribute("data-id") or 0) for row in rows.all()] == found["ids"][2, 0].tolist()
    assert part(page, "language").get_attribute("data-token") == "8"  # the text's label is read from its last token
    cell(page, 1, 3).hover()  # the label of its beginning
    expect(part(page, "language")).to_have_attribute("data-token", "3")


def test_of_many_names_the_first_are_listed_and_the_others_counted(visit: Visit) -> None:
    page = BlankPage(visit.page)
    page.draw(bloomlab.load().predictions("Leo lives in Oslo. " * 30))
    named = page.view.named[-1]
    assert len(named) > 24
    listed = part(visit.page, "entities")
    assert listed.locator("bdi").all_inner_texts() == [text for text, *_ in named[:24]]
    assert listed.inner_text().endswith(f"and {len(named) - 24} more") and visit.errors == []


def test_a_head_can_be_asked_at_every_layer(blank: BlankPage) -> None:
    page, found = blank.page, arrays(shown(blank.view))
    page.locator('input[value="tags"]').check()
    assert page.locator("[data-cell]").count() == 3 * 9
    for layer in range(3):
        assert word(page, layer, 4) == LABELS["tags"][found["tags"][layer, 4].argmax()]
    cell(page, 0, 4).click()
    assert (blank.root("layer"), blank.root("query")) == ("0", "4")
    expect(part(page, "tags")).to_have_attribute("data-layer", "0")
    page.locator('input[value="answer"]').check()
    assert page.locator("[data-cell]").count() == 6 * 9
    assert word(page, 5, 2) == f"{found['ends'][2, 1, 2]:.2f}"
    until(page, "model.sent.some((sent) => sent.asked === 'answer')")
    blank.answer()
    assert (blank.view.layer, blank.view.query, blank.view.asked) == (0, 4, "answer")


def test_arrow_keys_step_rows_and_tokens_and_the_slider_layers(blank: BlankPage) -> None:
    page, grid = blank.page, part(blank.page, "grid")
    for press, row, token in [
        ("ArrowDown", 1, "8"),
        ("ArrowLeft", 1, "7"),
        ("Home", 1, "0"),
        ("ArrowUp", 0, "0"),
        ("ArrowUp", 0, "0"),
        ("End", 0, "8"),
    ]:
        grid.press(press)
        assert blank.root("query") == token
        assert (grid.get_attribute("aria-activedescendant") or "").endswith(f"reading-{row}-{token}")
    part(page, "slider").press("ArrowLeft")
    assert blank.root("layer") == "1"
    found = arrays(shown(blank.view))
    assert word(page, 2, 3) == LABELS["tags"][found["tags"][1, 3].argmax()]
    assert "nothing taught the others" in part(page, "explains").inner_text()
    part(page, "to-last").click()
    assert blank.root("layer") == "2" and part(page, "to-last").is_disabled()
    part(page, "slider").press("ArrowLeft")
    page.locator('input[value="next"]').check()
    grid.press("ArrowDown")
    assert blank.root("layer") == "2"
    assert "after layer 2, token 8" in part(page, "live").inner_text()


def test_the_chosen_cell_stays_in_view_when_the_page_becomes_narrower(blank: BlankPage) -> None:
    page = blank.page
    for width in (1200, 620):
        page.set_viewport_size({"width": width, "height": 900})
        expect(page.locator('[data-cell][aria-selected="true"]')).to_have_attribute("data-column", "8")
        until(
            page,
            """() => {
                const cell = document.querySelector('[data-cell][aria-selected="true"]').getBoundingClientRect();
                return cell.right <= document.querySelector('[data-part="grid"]').getBoundingClientRect().right + 1;
            }""",
        )


def test_a_question_is_asked_when_typing_pauses(blank: BlankPage) -> None:
    page = blank.page
    part(page, "question").fill("Where does Leo live?")
    until(page, "model.sent.some((sent) => sent.question)")
    blank.answer()
    answer = LAB.answer("Where does Leo live?", TEXT)
    expect(part(page, "answer-text").locator(".bl-token")).to_have_text(answer.text)  # type: ignore[union-attr]
    part(page, "question").fill("x" * 300)
    part(page, "question").press("Enter")
    blank.answered()
    expect(part(page, "note")).to_contain_text("the question has 301 tokens")
    assert page.locator('input[value="answer"]').is_disabled()
    part(page, "question").fill("")
    part(page, "question").press("Enter")
    blank.answered()
    expect(part(page, "note")).to_contain_text("type a question")


def test_a_lab_without_heads_shows_the_next_token_and_says_how_to_add_others(visit: Visit) -> None:
    blank = BlankPage(visit.page)
    blank.draw(view_of(lab=Lab(random_model(), byte_tokenizer())))
    page = visit.page
    assert page.locator("[data-cell]").count() == 9
    for task in ("language", "tags", "answer"):
        assert f"lab.heads['{task}'] = model" in part(page, task).inner_text()
        assert page.locator(f'input[value="{task}"]').is_disabled()
    assert part(page, "question").is_hidden()
    assert visit.errors == []


def test_typing_reads_and_an_error_keeps_the_last_picture(blank: BlankPage) -> None:
    page = blank.page
    part(page, "text").fill("bad")
    blank.answered()
    expect(page.locator(".bloomlab")).to_have_attribute("data-state", "error")
    assert HOSTILE[0] + HOSTILE[1] in part(page, "says").inner_text()
    assert blank.root("tokens") == "9" and part(page, "grid").is_visible()
    part(page, "text").fill("A cat.")
    part(page, "text").press("Enter")
    blank.answer()
    expect(page.locator(".bloomlab")).to_have_attribute("data-state", "ready")
    assert (blank.root("tokens"), page.locator("[data-cell]").count()) == ("6", 6 * 5)
    assert page.evaluate("window.canary") is None


def test_an_empty_view_says_what_to_do(visit: Visit) -> None:
    blank = BlankPage(visit.page)
    blank.draw(view_of(""))
    assert "Type a sentence" in part(visit.page, "empty").inner_text()
    part(visit.page, "empty").locator("button").nth(2).click()
    blank.answer()
    expect(visit.page.locator(".bloomlab")).to_have_attribute("data-state", "ready")
    assert visit.errors == []


def test_the_code_on_the_page_is_the_code_in_python(blank: BlankPage) -> None:
    blank.page.locator(".bl-foot summary").click()
    for question in ('a "b" \\ \n', "\u2028\x7f 😀"):
        blank.view.question = question
        blank.push()
        assert part(blank.page, "code").text_content() == blank.view.code


def test_a_step_out_of_the_window_brings_the_next(visit: Visit) -> None:
    blank = BlankPage(visit.page)
    blank.draw(view_of("ab " * 30))
    part(visit.page, "grid").press("Home")
    until(visit.page, "model.sent.length > 0")
    assert word(visit.page, 0, 0) == "–" and word(visit.page, 2, 0) in LABELS["tags"]
    assert "not asked here yet" in part(visit.page, "next").inner_text()
    blank.answer()
    expect(part(visit.page, "next").locator("tbody tr")).to_have_count(8)
    assert visit.page.locator("[data-cell]").count() == 64 * 5
    assert visit.errors == []


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_and_question_are_shown_as_they_are_and_do_nothing(
    visit: Visit, tmp_path: Path, text: str
) -> None:
    """In a saved page, from a file, with no network."""
    page = visit.page
    page.goto(view_of(text, text).save(tmp_path / "page.html").as_uri())
    expect(page.locator(".bloomlab")).to_have_attribute("data-state", "ready")
    page.locator(".bl-foot summary").click()
    page.locator("[data-cell]").last.hover()
    assert shown_on_strip(page) == visible(text)
    assert repr(text) in (part(page, "code").text_content() or "")
    assert part(page, "question").input_value() == text.replace("\n", "")
    assert part(page, "language").locator('tr[data-label="<b>ar</b>"]').inner_text().startswith("<b>ar</b>")
    part(page, "grid").press("ArrowUp")
    assert part(page, "question").get_attribute("readonly") is not None
    assert page.evaluate("window.canary") is None
    assert page.locator(".bloomlab img, .bloomlab script, .bloomlab svg, .bloomlab style, .bloomlab b").count() == 0
    assert visit.errors == [] and visit.refused == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_screen_reader_and_a_weak_eye_are_served(visit: Visit, theme: str) -> None:
    """axe finds nothing serious, in each of the states and of what the grid shows."""
    page = visit.page
    blank = BlankPage(page)
    blank.draw(view_of("Leo lives."))
    blank.themed(theme)
    for step in ("all", "answer", "bad", " "):
        if step in ("all", "answer"):
            page.locator(f'input[value="{step}"]').check()
        else:
            part(page, "text").fill(step)
            part(page, "text").press("Enter")
            blank.answer()
        assert grave(page) == []
    assert visit.errors == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", TEXTS)
def test_pictures_to_look_at(chromium: Browser, tmp_path: Path, language: str, theme: str) -> None:
    """Nothing overflows in any language and theme at 600 pixels; the pictures are kept for a person to judge."""
    path = view_of(TEXTS[language], "Where does Leo live?").save(tmp_path / "page.html")
    context = chromium.new_context(viewport={"width": 600, "height": 900}, color_scheme=theme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(path.as_uri())
    expect(page.locator(".bloomlab")).to_have_attribute("data-state", "ready")
    assert page.evaluate("document.documentElement.scrollWidth") <= 600
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"predictions-{language}-600-{theme}.png", full_page=True)
    context.close()


STORY = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"


def told(page: Page, kind: str) -> dict[str, float]:
    """The lines of the receipt: by name, what each says it adds or costs."""
    rows = page.locator(f'[data-part="receipt-lines"] tbody tr[data-{kind}]').all()
    return {row.get_attribute("data-name") or "": float(row.get_attribute(f"data-{kind}") or "nan") for row in rows}


@pytest.mark.parametrize("theme", THEMES)
def test_which_part_wrote_the_next_token(visit: Visit, tmp_path: Path, theme: str) -> None:
    """A click asks for the receipt, another for its totals; a line becomes an edit; a saved page keeps it."""
    blank, page = BlankPage(visit.page), visit.page
    page.set_viewport_size({"width": 816, "height": 900})
    lab = bloomlab.load()
    blank.draw(lab.explore(STORY, texts=lab.like(STORY, 4)))
    blank.themed(theme)
    page.locator('[data-tab="predictions"]').click()
    blank.answered()
    page.locator('[data-part="next"] [data-explain]').nth(1).click()  # against the second
    blank.answered()
    receipt = blank.view.predictions.receipt
    expect(part(page, "receipt-says")).to_contain_text("·Oslo against ·Sydney, after token 19 ·in: +4.970 nats")
    direct = told(page, "direct")
    assert direct.pop("the difference") == pytest.approx(sum(direct.values()), abs=1e-4)
    assert told(page, "total") == {}
    row = page.locator('[data-part="receipt-lines"] tr[data-name="head 3.5"]')
    assert row.locator('td[data-kind="direct"]').inner_text() == "+1.80"
    assert row.locator('td[data-kind="direct"]').get_attribute("title") == f"+{direct['head 3.5']:.6f} nats"
    bars = page.locator('[data-part="receipt-lines"] .bl-change-bar > span')
    widths = bars.evaluate_all("all => all.map(bar => bar.getBoundingClientRect().width)")
    assert widths[0] / widths[-1] == pytest.approx(receipt["lines"][0]["direct"] / receipt["difference"], abs=0.02)

    part(page, "receipt-total").click()
    blank.answered()
    totals = {line["name"]: line["total"] for line in blank.view.predictions.receipt["lines"]}
    assert told(page, "total") == {name: total for name, total in totals.items() if total is not None}
    visit.screenshot(f"predictions-receipt-{theme}")
    assert grave(page) == []
    saved = blank.view.save(tmp_path / "page.html")

    page.locator('[data-part="receipt"] input[value="texts"]').check()
    blank.answered()
    several = {line["name"]: line["over"]["total"] for line in blank.view.predictions.receipt["lines"]}
    assert told(page, "total") == {name: total[0] for name, total in several.items() if total is not None}
    shown = page.locator('tr[data-name="head 3.4"] td[data-kind="total"]')
    assert shown.get_attribute("data-spread") == str(several["head 3.4"][1]) and " ± " in shown.inner_text()
    expect(part(page, "receipt-says")).to_contain_text("4 given texts, each of its own answer")
    visit.screenshot(f"predictions-receipt-texts-{theme}")
    page.locator('[data-part="receipt"] input[value="this text"]').check()
    page.locator('[data-opens="3"]').click()
    blank.answered()
    inside = blank.view.predictions.inside
    rows = page.locator('[data-part="inside"] tr[data-nats]')
    assert [float(row.get_attribute("data-nats") or "nan") for row in rows.all()] == [
        *(row["value"] for row in inside["rows"]),
        inside["rest"][1],
    ]
    page.locator('[data-part="inside"] input[value="without"]').check()
    blank.answered()
    expect(part(page, "inside-says")).to_contain_text("would lose most without head 3.5")
    assert grave(page) == []
    visit.screenshot(f"predictions-receipt-inside-{theme}")
    part(page, "inside-close").click()
    blank.answered()
    expect(part(page, "inside")).to_be_hidden()
    page.locator('[data-part="receipt"] input[value="of-language"]').check()
    blank.answered()
    expect(part(page, "receipt-says")).to_contain_text("en against")
    page.locator('[data-part="receipt"] input[value="of-next"]').check()
    blank.answered()

    tokyo = page.locator('[data-part="next"] [data-explain]').nth(2)
    tokyo.click()  # against another than the runner-up
    blank.answered()
    assert blank.view.predictions.receipt_rival == int(tokyo.get_attribute("data-explain") or -1)
    expect(part(page, "receipt-says")).to_contain_text("·Oslo against ·Tokyo")
    part(page, "receipt-versus").fill("two tokens")
    part(page, "receipt-versus").press("Enter")
    blank.answered()
    expect(part(page, "receipt-says")).to_contain_text("must be one token")
    part(page, "receipt-versus").fill("")
    part(page, "receipt-versus").press("Enter")
    blank.answered()
    page.locator('[data-silence="head 3.4"]').click()
    blank.answered()
    assert blank.view.changes == ["head 3.4 drawn from 4 given texts, seed 0"]
    expect(part(page, "receipt-says")).to_contain_text("with the changes")  # that of the run that is shown now

    page.goto(saved.as_uri())
    page.locator('[data-part="more"]').click()
    assert told(page, "total") == {name: total for name, total in totals.items() if total is not None}
    assert part(page, "receipt-total").is_hidden() and page.locator("[data-silence]").count() == 0
    part(page, "receipt").locator("summary").click()
    expect(part(page, "receipt-closes")).to_be_visible()
    assert visit.errors == [] and visit.refused == []
