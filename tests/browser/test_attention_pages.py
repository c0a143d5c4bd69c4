"""The explorer among strangers: hostile text, a file without network, other scripts, both themes, a screen reader."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from bloomlab.errors import InputError
from bloomlab.text.tokens import visible
from tests.browser.blank_page import BlankPage
from tests.browser.conftest import SCREENSHOTS, Visit
from tests.browser.test_accessibility import grave
from tests.browser.texts import HOSTILE, TEXTS, shown_on_strip
from tests.browser.waiting import redrawn
from tests.views.lone import attention_view
from tests.views.small_trace import small_trace


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_as_it_is_and_does_nothing(visit: Visit, text: str) -> None:
    blank = BlankPage(visit.page)
    blank.draw(attention_view(small_trace, text))
    page = visit.page
    page.locator(".bl-foot summary").click()
    for part in ('[data-part="strip"] .bl-chip >> nth=0', '[data-part="heads"]', '[data-part="canvas"]'):
        page.locator(part).hover()
    assert shown_on_strip(page) == visible(text)
    assert page.locator('[data-part="text"]').input_value() == text
    assert repr(text) in page.locator('[data-part="code"]').inner_text()
    assert page.evaluate("window.canary") is None
    assert page.locator(".bloomlab img, .bloomlab script, .bloomlab svg, .bloomlab style").count() == 0
    assert visit.errors == [] and visit.refused == []


def test_a_hostile_error_and_a_hostile_model_name_are_only_text(visit: Visit) -> None:
    def read(text: str) -> object:
        if text == "bad":
            raise InputError(HOSTILE[0] + HOSTILE[1])
        trace = small_trace(text)
        trace.provenance["model"] = HOSTILE[0]
        return trace

    blank = BlankPage(visit.page)
    blank.draw(attention_view(read, "Leo"))  # type: ignore[arg-type]
    visit.page.locator('[data-part="text"]').fill("bad")
    visit.page.locator('[data-part="text"]').press("Enter")
    blank.answer()
    assert HOSTILE[0] + HOSTILE[1] in visit.page.locator('[data-part="says"]').inner_text()
    assert HOSTILE[0] in visit.page.locator('[data-part="stamp"]').inner_text()
    assert visit.page.evaluate("window.canary") is None


def test_a_right_to_left_override_turns_nothing_around(visit: Visit) -> None:
    blank = BlankPage(visit.page)
    blank.draw(attention_view(small_trace, "ab\u202ecd"))
    places = [
        box["x"]
        for token in range(len(small_trace("ab\u202ecd").tokens))
        if (box := visit.page.locator(f'.bl-part[data-token="{token}"]').bounding_box())
    ]
    assert places == sorted(places)
    assert "⟨U+202E⟩" in shown_on_strip(visit.page)
    assert "\u202e" not in visit.page.locator(".bloomlab").inner_text()


@pytest.mark.parametrize("text", [TEXTS["english"], HOSTILE[1], HOSTILE[9], TEXTS["arabic"], TEXTS["emoji"]])
def test_a_saved_page_works_from_a_file_without_a_network(visit: Visit, tmp_path: Path, text: str) -> None:
    view = attention_view(small_trace, text)
    view.layer, view.head = 1, 1
    path = view.save(tmp_path / "page.html")
    page = visit.page
    page.goto(path.as_uri())
    root = page.locator(".bloomlab")
    expect(root).to_have_attribute("data-state", "ready")
    assert page.evaluate("document.title").endswith("· bloomlab")
    assert shown_on_strip(page) == visible(text)
    heads = page.locator('[data-part="heads"]')
    for press in ("ArrowDown", "ArrowDown", "ArrowRight"):
        heads.press(press)
        expect(page.locator('[data-part="ledger"]')).to_have_attribute("data-exact", "true")
    assert (root.get_attribute("data-layer"), root.get_attribute("data-head")) == ("3", "2")
    query, key = int(root.get_attribute("data-query") or 0), int(root.get_attribute("data-key") or 0)
    captured = float(page.locator('[data-part="ledger"]').get_attribute("data-probability") or 0)
    assert captured == small_trace(text)["h.3.attn.probs"][0, 2, query, key].item()
    assert float(page.locator('[data-part="ledger"]').get_attribute("data-error") or 1) < 1e-6
    assert page.locator('[data-part="text"]').get_attribute("readonly") is not None
    assert page.evaluate("window.canary") is None
    assert visit.errors == [] and visit.refused == []


def test_a_saved_page_without_script_still_shows_numbers(chromium: Browser, tmp_path: Path) -> None:
    path = attention_view(small_trace, HOSTILE[0]).save(tmp_path / "page.html")
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    said = page.locator("body").inner_text()
    assert "4 layers" in said and "looks at" in said
    assert page.locator("img").count() == 2  # the two still pictures; none came from the text
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_screen_reader_and_a_weak_eye_are_served(chromium: Browser, theme: str) -> None:
    """axe finds nothing serious, in each of the states."""
    visit = Visit(chromium)
    page = visit.page
    blank = BlankPage(page)
    page.evaluate("(light) => document.body.setAttribute('data-jp-theme-light', light)", str(theme == "light").lower())

    def read(text: str) -> object:
        if text == "bad":
            raise InputError("the text is bad")
        return small_trace(text)

    blank.draw(attention_view(read, TEXTS["english"]))  # type: ignore[arg-type]
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
    visit.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [600, 1000])
@pytest.mark.parametrize("language", TEXTS)
def test_pictures_to_look_at(chromium: Browser, tmp_path: Path, language: str, width: int, theme: str) -> None:
    """Nothing overflows in any language, width and theme; the pictures are kept for a person to judge."""
    view = attention_view(small_trace, TEXTS[language])
    view.layer, view.head = 1, 3
    path = view.save(tmp_path / "page.html")
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(path.as_uri())
    expect(page.locator(".bloomlab")).to_have_attribute("data-state", "ready")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    bright = page.evaluate(
        "getComputedStyle(document.querySelector('.bloomlab')).backgroundColor.match(/\\d+/)[0] > 127"
    )
    assert bright == (theme == "light")
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"attention-{language}-{width}-{theme}.png", full_page=True)
    context.close()


def test_jupyters_theme_is_followed_also_when_it_changes(visit: Visit) -> None:
    blank = BlankPage(visit.page)
    page = visit.page
    page.emulate_media(color_scheme="light")  # the system says light, Jupyter says dark
    page.evaluate("document.body.setAttribute('data-jp-theme-light', 'false')")
    blank.draw(attention_view(small_trace, "Leo lives."))
    page.locator('input[value="content"]').check()
    light_ink = "getComputedStyle(document.querySelector('.bloomlab')).color.match(/\\d+/)[0] > 127"
    assert page.evaluate(light_ink)
    before = blank.pixel('[data-part="canvas"]', 0, 0)
    page.evaluate("document.body.setAttribute('data-jp-theme-light', 'true')")
    assert not page.evaluate(light_ink)
    redrawn(page)
    assert blank.pixel('[data-part="canvas"]', 0, 0) != before  # signed colours follow: zero is near the paper


def test_nothing_moves_where_motion_is_not_wanted(visit: Visit) -> None:
    visit.page.emulate_media(reduced_motion="reduce")
    blank = BlankPage(visit.page)
    blank.draw(attention_view(small_trace, "Leo lives."))
    moving = visit.page.evaluate(
        "[...document.querySelectorAll('.bloomlab *')].map((e) => getComputedStyle(e))"
        ".filter((s) => parseFloat(s.transitionDuration) > 0 || s.animationName !== 'none').length"
    )
    assert moving == 0
