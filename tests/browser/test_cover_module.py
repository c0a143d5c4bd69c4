"""The cover's ES module in a blank page: it asks, takes a prediction, and only then tells."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from bloomlab.views.cover import WORDS, Cover
from tests.browser.blank_page import BlankPage
from tests.browser.conftest import SCREENSHOTS, Visit
from tests.browser.test_accessibility import grave
from tests.browser.texts import HOSTILE, TEXTS

BECAUSE = "Four bytes, and no merge was ever learned for them."


def count() -> Cover:
    return Cover("How many tokens is a lion?", 4, unit="tokens", because=BECAUSE, shows="Leo 🦁\n6 tokens")


@pytest.fixture
def blank(visit: Visit) -> Iterator[BlankPage]:
    """A blank page; afterwards, nothing may have gone wrong in it."""
    yield BlankPage(visit.page)
    assert visit.errors == []
    assert visit.refused == []


def part(page: Page, name: str) -> str:
    return page.locator(f'[data-part="{name}"]').inner_text()


def test_nothing_of_the_answer_is_on_the_page_before_a_prediction(blank: BlankPage) -> None:
    blank.draw(count())
    assert blank.root("state") == "asking"
    assert "How many tokens" in part(blank.page, "question")
    whole = blank.page.locator("body").evaluate("(body) => body.innerHTML")
    assert "Four bytes" not in whole and "6 tokens" not in whole
    blank.page.locator("[data-part=reveal]").click()
    assert "Write a number first" in part(blank.page, "live")
    blank.page.locator("[data-part=box]").fill("many")
    blank.page.keyboard.press("Enter")
    assert "Write a number first" in part(blank.page, "live")
    assert blank.root("state") == "asking" and not blank.answer()


def test_prediction_and_answer_stand_side_by_side_and_python_hears_of_it(blank: BlankPage) -> None:
    blank.draw(count())
    box = blank.page.locator("[data-part=box]")
    box.fill("1")
    box.press("Enter")
    assert blank.root("state") == "revealed"
    assert part(blank.page, "said") == "1 tokens" and part(blank.page, "answer") == "4 tokens"
    assert part(blank.page, "because") == BECAUSE and "Leo 🦁" in part(blank.page, "shown")
    assert part(blank.page, "live") == "4 times too low."
    assert blank.page.evaluate("document.activeElement.dataset.part") == "answered"
    blank.answered()
    assert (blank.view.prediction, blank.view.revealed) == ("1", True)


def test_a_choice_is_made_and_revealed_by_keys_alone(blank: BlankPage) -> None:
    blank.draw(Cover("Which costs the most?", "ru", choices=["en", "zh", "ru"], because="No merges."))
    blank.page.locator("[data-part=reveal]").click()
    assert "Choose one first" in part(blank.page, "live")
    blank.page.keyboard.press("ArrowDown")  # from the first, which has the focus now, to the second
    blank.page.keyboard.press("ArrowDown")
    blank.page.keyboard.press("Enter")
    assert part(blank.page, "live") == "✓ You knew it."
    assert blank.answered()[-1] == {"prediction": "ru", "revealed": True}


@pytest.mark.parametrize("kind", ["number", "choice", "text"])
def test_whatever_a_cover_says_it_says_in_the_lessons_language(blank: BlankPage, kind: str) -> None:
    """Every phrase is marked, and nothing without a mark is left on the page or in what is read out."""
    given = {"number": {"answer": 4}, "choice": {"answer": True}, "text": {"answer": "4"}}[kind]
    blank.draw(Cover("?", **given, words={phrase: f"«{phrase}»" for phrase in WORDS}))  # type: ignore[arg-type]
    spoken = """() => [...document.querySelectorAll('.bloomlab *')].filter((e) => e.checkVisibility())
        .flatMap((e) => [e.getAttribute('aria-label') ?? '', e.children.length ? '' : e.textContent])
        .filter((said) => /[a-z]{2}/i.test(said))"""
    root = blank.page.locator(".bloomlab")
    blank.page.locator("[data-part=reveal]").click()  # a guess is asked for
    asked = blank.page.evaluate(spoken)
    blank.view.prediction, blank.view.revealed = {"choice": "«no»"}.get(kind, "70"), True
    blank.push()
    told = blank.page.evaluate(spoken)
    assert root.get_attribute("data-state") == "revealed" and len(asked) > 2 and len(told) > 2
    assert [said for said in [*asked, *told] if not said.startswith("«")] == []


def test_the_still_is_hidden_although_the_view_came_before_its_name(blank: BlankPage) -> None:
    cover = count()
    cover.name = ""
    blank.draw(cover)
    blank.page.evaluate("""document.body.insertAdjacentHTML('beforeend', '<p class="bl-still-0af">still</p>')""")
    assert blank.page.locator(".bl-still-0af").is_visible()
    cover.name = "0af"
    blank.push()
    assert not blank.page.locator(".bl-still-0af").is_visible()
    blank.page.evaluate("cleanUp()")
    assert blank.page.locator(".bl-still-0af").is_visible()


def test_python_can_uncover_and_cover_again(blank: BlankPage) -> None:
    blank.draw(count())
    blank.view.revealed = True
    blank.push()
    assert "nothing was predicted" in part(blank.page, "live") and part(blank.page, "answer") == "4 tokens"
    blank.view.revealed = False
    blank.push()
    assert blank.root("state") == "asking" and not blank.page.locator("[data-part=answer]").count()
    blank.page.evaluate("cleanUp()")
    assert blank.page.evaluate("model.listeners.length") == 0 and not blank.page.locator(".bloomlab").count()


@pytest.mark.parametrize(
    ("written", "number"),
    {
        **{"4": 4, " 47 % ": 47, "0,5": 0.5, "1,000": 1000, "250,880": 250880, "1'000": 1000, "−3": -3, "4.": 4},
        **{"about 12 tokens": 12, "٤٧": 47, "१२": 12, "1e-3": 0.001, ".5": 0.5, "no": None, "": None, "3 or 4": None},
        "1.2.3": None,
    }.items(),
)
def test_a_number_is_read_as_people_write_it(blank: BlankPage, written: str, number: float | None) -> None:
    found = blank.evaluate("{ writtenNumber } from cover.js", "writtenNumber(value)", written)
    assert found == number


@pytest.mark.parametrize(
    ("kind", "prediction", "answer", "number", "says"),
    [
        ("number", "47 %", "47", 47, "✓ You knew it."),
        ("number", "0.7", "0.674", 0.674, "✓ Close enough for a guess."),
        ("number", "40", "47", 47, " 7 too low."),
        ("number", "3", "315", 315, " 105 times too low."),  # 315 / 3
        ("number", "0.5", "0.05", 0.05, " 10 times too high."),
        ("number", "0", "4", 4, " 4 too low."),
        ("number", "-2", "4", 4, " 6 too low."),
        ("choice", "yes", "no", None, " Not what you said: why?"),
        ("text", "a stripe", "one stripe", None, " Compare the two."),
    ],
)
def test_what_is_said_of_a_prediction(
    blank: BlankPage, kind: str, prediction: str, answer: str, number: float | None, says: str
) -> None:
    given = {"kind": kind, "prediction": prediction, "answer": answer, "number": number}
    found = blank.evaluate("{ remark } from cover.js", "remark(value)", given)
    assert f"{found['sign']} {found['says']}" == says


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_shown_and_do_nothing(blank: BlankPage, text: str) -> None:
    blank.draw(Cover(text, text, choices=[text, "b"], because=text, shows=text))
    blank.page.locator("input").first.check()
    blank.page.locator("[data-part=reveal]").click()
    assert blank.page.locator("[data-part=question]").text_content() == text
    assert blank.page.locator("[data-part=because]").text_content() == text
    assert blank.page.locator("[data-part=shown] pre").text_content() == text
    assert blank.page.evaluate("window.canary") is None


def test_what_is_typed_is_text_too(blank: BlankPage) -> None:
    blank.draw(Cover("What will it write?", "Oslo"))
    blank.page.locator("[data-part=box]").fill(HOSTILE[0] + HOSTILE[4])
    blank.page.locator("[data-part=reveal]").click()
    assert part(blank.page, "said") == (HOSTILE[0] + HOSTILE[4])
    assert blank.page.evaluate("window.canary") is None


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_page_from_a_file_can_be_used_by_everybody_in_both_themes(
    chromium: Browser, tmp_path: Path, theme: str
) -> None:
    context = chromium.new_context(color_scheme=theme, viewport={"width": 600, "height": 700})  # type: ignore[arg-type]
    page = context.new_page()
    cover = Cover("كم رمزًا في هذه الجملة؟", 11, because=TEXTS["arabic"] + " " + TEXTS["hindi"], shows="القطة 猫 😀")
    page.goto(cover.save(tmp_path / "page.html").as_uri())
    assert grave(page) == []
    page.locator("[data-part=box]").fill("٧")
    page.keyboard.press("Enter")
    expect(page.locator("[data-part=live]")).to_have_text("4 too low.")
    assert grave(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("[data-part=question]").evaluate("(e) => getComputedStyle(e).direction") == "rtl"
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"cover-{theme}.png")
    context.close()


def test_without_script_the_answer_is_folded_away(chromium: Browser) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_content(count()._still())
    assert page.get_by_text("How many tokens is a lion?").is_visible()
    assert not page.get_by_text("Four bytes").is_visible()
    page.locator("summary").click()
    assert page.get_by_text("Four bytes").is_visible()
    context.close()
