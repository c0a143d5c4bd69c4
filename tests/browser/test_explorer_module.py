"""The explorer's ES module in a blank page: tabs, one selection for all of them, and data only when it is wanted."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from bloomlab.lab import Lab
from bloomlab.views.view import View
from tests.browser.blank_page import BlankPage
from tests.browser.conftest import Visit
from tests.browser.texts import HOSTILE, shown_on_strip
from tests.budget import slowness
from tests.tiny_random import byte_tokenizer, random_model

TEXT = "Leo 😀."
LAB = Lab(random_model(), byte_tokenizer(), name="random")
TABS = list(LAB.explore(TEXT).panels)


@pytest.fixture
def blank(visit: Visit) -> Iterator[BlankPage]:
    """A page with the explorer of a short text; afterwards, nothing may have gone wrong in it."""
    page = BlankPage(visit.page)
    page.draw(LAB.explore(TEXT))
    yield page
    assert visit.errors == []
    assert visit.refused == []


def tab(blank: BlankPage, name: str) -> Locator:
    return blank.page.locator(f'[role="tab"][data-tab="{name}"]')


def panel(blank: BlankPage, name: str) -> Locator:
    return blank.page.locator(f'[role="tabpanel"][data-panel="{name}"]')


def open_tab(blank: BlankPage, name: str) -> None:
    if blank.root("tab") != name:
        tab(blank, name).click()
        blank.answered()
    expect(panel(blank, name)).to_be_visible()


def test_the_attention_is_there_at_first_and_nothing_else_is_computed(blank: BlankPage) -> None:
    assert blank.root("tab") == "attention"
    expect(tab(blank, "attention")).to_have_attribute("aria-selected", "true")
    assert panel(blank, "attention").locator('[data-part="heads"] canvas').count() == 18
    for name in TABS:
        if name != "attention":
            assert getattr(blank.view, name).trace is None
            expect(panel(blank, name)).to_be_hidden()


@pytest.mark.parametrize("name", [name for name in TABS if name != "attention"])
def test_a_tab_computes_when_it_is_opened_and_says_so_until_then(blank: BlankPage, name: str) -> None:
    tab(blank, name).click()
    expect(blank.page.locator('[data-part="tab-says"]')).to_have_text("computing … (Kernel → Interrupt stops it)")
    blank.answered()
    expect(blank.page.locator('[data-part="tab-says"]')).to_be_hidden()
    expect(panel(blank, name)).to_be_visible()
    expect(panel(blank, "attention")).to_be_hidden()
    assert getattr(blank.view, name).trace is blank.view.trace
    assert [n for n in TABS if getattr(blank.view, n).trace is not None] == [
        n for n in TABS if n in ("attention", name)
    ]


def test_arrow_keys_go_from_tab_to_tab_and_only_the_open_one_takes_the_focus(blank: BlankPage) -> None:
    tab(blank, "attention").focus()
    order = [*TABS[TABS.index("attention") + 1 :], *TABS[: TABS.index("attention") + 1]]
    for name in order:
        blank.page.keyboard.press("ArrowRight")
        assert blank.root("tab") == name
        assert blank.page.evaluate("document.activeElement.getAttribute('data-tab')") == name
        assert blank.page.locator('[role="tab"][tabindex="0"]').count() == 1
    blank.page.keyboard.press("Home")
    assert blank.root("tab") == TABS[0]
    blank.page.keyboard.press("End")
    assert blank.root("tab") == TABS[-1]


def test_tabs_that_are_only_passed_by_are_not_computed(blank: BlankPage) -> None:
    last = TABS[-1]
    blank.page.locator('[role="tablist"]').evaluate(
        "(list, n) => { for (let i = 0; i < n; i++) list.dispatchEvent("
        "new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true, cancelable: true })); }",
        TABS.index(last) - TABS.index("attention"),
    )
    blank.answered()
    expect(panel(blank, last)).to_be_visible()
    assert {name for name in TABS if getattr(blank.view, name).trace is not None} == {"attention", last}


def test_a_place_chosen_in_one_tab_is_chosen_in_all(blank: BlankPage) -> None:
    page = blank.page
    page.locator('[data-part="heads"] [data-layer="1"][data-head="4"]').click()
    page.locator('[data-part="strip"] [data-token="5"] >> nth=0').click()
    blank.answered()
    open_tab(blank, "hidden")
    assert (blank.root("layer"), blank.root("query"), blank.root("row")) == ("1", "5", "4")
    expect(page.locator('[data-cell][aria-selected="true"]')).to_have_attribute("data-column", "5")
    page.locator('[data-part="grid"]').press("ArrowDown")
    page.locator('[data-part="grid"]').press("ArrowLeft")
    assert (blank.root("layer"), blank.root("query"), blank.root("row")) == ("2", "4", "5")
    blank.answered()
    open_tab(blank, "alibi")
    assert (blank.root("layer"), blank.root("head"), blank.root("query")) == ("2", "4", "4")
    page.locator('[data-part="slopes"]').press("ArrowLeft")
    blank.answered()
    open_tab(blank, "attention")
    expect(panel(blank, "attention").locator(".bl-panel-matrix .bl-title").first).to_contain_text("layer 2, head 3")
    expect(page.locator('[data-part="ledger"]')).to_have_attribute("data-exact", "true")
    assert page.locator('[data-part="ledger"]').get_attribute("data-query") == "4"
    assert (blank.view.layer, blank.view.head, blank.view.query) == (2, 3, 4)
    page.locator('[data-part="heads"] [data-layer="0"][data-head="1"]').click()
    blank.answered()
    open_tab(blank, "predictions")
    expect(page.locator('[data-part="next"]')).to_have_attribute("data-layer", "0")
    page.locator('[data-part="to-last"]').click()
    blank.answered()
    assert blank.view.layer == LAB.model.config.n_layer - 1


@pytest.mark.parametrize("name", TABS)
def test_a_token_under_the_pointer_lights_up_in_every_tab(blank: BlankPage, name: str) -> None:
    open_tab(blank, name)
    blank.page.locator('[data-part="strip"] [data-token="3"] >> nth=0').hover()
    expect(blank.page.locator('.bl-part[data-token="3"]')).to_have_attribute("data-pointed", "")
    lit = {
        "attention": ".bl-rows .bl-name[data-pointed]",
        "hidden": '[data-dot="3"][data-pointed]',
        "alibi": '[data-part="bias"]',
        "predictions": "[data-pointed]",
    }
    if name in lit:
        expect(panel(blank, name).locator(lit[name]).first).to_be_visible()


def test_another_text_computes_the_open_tab_only(blank: BlankPage) -> None:
    open_tab(blank, "hidden")
    blank.page.locator('[data-part="text"]').fill("A cat.")
    blank.page.locator('[data-part="text"]').press("Enter")
    blank.answer()
    expect(blank.page.locator(".bloomlab")).to_have_attribute("data-tokens", "6")
    assert blank.page.locator("[data-cell]").count() == 6 * 7
    view = blank.view
    assert view.hidden_picture["text"] == "A cat." and view.attention_picture == {}
    tab(blank, "attention").click()
    expect(blank.page.locator('[data-part="tab-says"]')).to_have_text("computing … (Kernel → Interrupt stops it)")
    blank.answered()
    assert view.attention_picture["text"] == "A cat."
    assert blank.page.locator(".bl-rows .bl-name").count() == 6


def test_an_error_is_said_and_the_last_picture_of_every_tab_stays(blank: BlankPage) -> None:
    open_tab(blank, "hidden")
    blank.page.locator('[data-part="text"]').fill("x" * 3000)
    blank.page.locator('[data-part="text"]').press("Enter")
    blank.answer()
    expect(blank.page.locator(".bloomlab")).to_have_attribute("data-state", "error")
    assert "takes at most 2048" in blank.page.locator('[data-part="says"]').inner_text()
    for name in ("hidden", "attention"):
        tab(blank, name).click()
        expect(panel(blank, name)).to_be_visible()
    assert shown_on_strip(blank.page).startswith("Leo")
    blank.answered()


def test_a_trace_that_read_too_little_leaves_its_tabs_with_words(visit: Visit) -> None:
    blank = BlankPage(visit.page)
    blank.draw(LAB.explore(LAB.trace(TEXT, read=["attn.scores", "attn.probs"])))
    expect(panel(blank, "attention")).to_be_visible()
    tab(blank, "hidden").click()
    blank.answered()
    says = visit.page.locator('[data-part="tab-says"]')
    expect(says).to_contain_text("the trace has no embed")
    expect(panel(blank, "hidden")).to_be_hidden()
    open_tab(blank, "alibi")
    assert visit.errors == []


def test_a_tab_keeps_what_is_its_own(blank: BlankPage) -> None:
    page = blank.page
    page.locator('[data-panel="attention"] input[value="content"]').check()
    blank.answered()
    open_tab(blank, "hidden")
    page.locator('[data-panel="hidden"] input[value="rank"]').check()
    blank.answered()
    open_tab(blank, "attention")
    assert page.locator('[data-panel="attention"] input[value="content"]').is_checked()
    assert (blank.view.attention.mode, blank.view.hidden.mode) == ("content", "rank")


def test_the_code_is_that_of_the_open_tab(blank: BlankPage) -> None:
    blank.page.locator(".bl-foot summary").click()
    for name in TABS:
        open_tab(blank, name)
        assert blank.page.locator('[data-part="code"]').inner_text() == blank.view.code
        assert blank.view.code == getattr(blank.view, name).code != ""


def test_an_empty_explorer_starts_with_an_example(visit: Visit) -> None:
    blank = BlankPage(visit.page)
    blank.draw(View(LAB._read_all, LAB._panels()))
    assert "Type a sentence" in visit.page.locator('[data-part="empty"]').inner_text()
    visit.page.locator('[data-part="empty"] button').nth(1).click()
    blank.answer()
    expect(visit.page.locator(".bloomlab")).to_have_attribute("data-state", "ready")
    expect(panel(blank, "attention")).to_be_visible()
    assert visit.errors == []


@pytest.mark.parametrize("text", [TEXT, HOSTILE[1], HOSTILE[8]])
def test_a_saved_page_has_every_tab(visit: Visit, tmp_path: Path, text: str) -> None:
    page = visit.page
    page.goto(LAB.explore(text).save(tmp_path / "page.html").as_uri())
    expect(page.locator(".bloomlab")).to_have_attribute("data-state", "ready")
    for name in TABS:
        page.locator(f'[role="tab"][data-tab="{name}"]').click()
        expect(page.locator(f'[role="tabpanel"][data-panel="{name}"]')).to_be_visible()
        expect(page.locator('[data-part="tab-says"]')).to_be_hidden()
    page.locator('[role="tab"][data-tab="attention"]').click()
    page.locator('[data-part="heads"]').press("ArrowDown")
    expect(page.locator('[data-part="ledger"]')).to_have_attribute("data-exact", "true")
    assert page.evaluate("window.canary") is None
    assert visit.errors == [] and visit.refused == []


HEAR = """(number) => {
    for (const [event, listener] of [...model.listeners]) if (event === "msg:custom") listener({ heard: number });
}"""


def test_a_host_that_says_nothing_is_taken_at_its_silence_and_the_view_comes_back(blank: BlankPage) -> None:
    page = blank.page
    page.evaluate("() => { cleanUp(); model.knocks = []; model.send = (knock) => model.knocks.push(knock); }")
    blank.draw_again()
    says, text = page.locator('[data-part="says"]'), page.locator('[data-part="text"]')
    page.evaluate(HEAR, page.evaluate("model.knocks.at(-1).number"))
    tokens = says.inner_text()
    text.fill("another text")
    expect(says).to_have_text("reading 12 characters …")
    expect(says).to_contain_text("no kernel answers", timeout=3500 * slowness())
    assert text.input_value() == "another text" and blank.root("kernel") == "silent"
    tab(blank, "tokens").click()
    expect(page.locator('[data-part="tab-says"]')).to_have_text(
        "this tab is not in the page: computing it needs the kernel"
    )
    expect(page.locator("[data-waits], [data-state=working]")).to_have_count(0)
    page.evaluate(HEAR, page.evaluate("model.knocks.at(-1).number"))  # it was only busy
    assert blank.root("kernel") == "here"
    blank.answered()
    expect(says).not_to_have_text(tokens)
    assert blank.root("state") == "ready" and blank.root("tokens") == "12"


def test_of_a_trace_of_several_texts_any_can_be_chosen_and_is_text(visit: Visit) -> None:
    blank = BlankPage(visit.page)
    texts = [TEXT, "<b>Ana</b>", HOSTILE[0]]
    blank.draw(LAB.explore(LAB.trace(texts, ["*"])))
    chooser = blank.page.locator('[data-part="row"]')
    expect(chooser).to_be_visible()
    assert chooser.locator("option").count() == 3 and chooser.locator("b").count() == 0
    chooser.select_option(index=1)
    blank.answered()
    assert blank.view.trace_row == 1 and blank.view.trace is not None and blank.view.trace.text == texts[1]
    expect(chooser).to_have_value("1")
    expect(blank.page.locator('[data-part="text"]')).to_have_value(texts[1])
    blank.view.show(TEXT)
    blank.push()
    expect(chooser).to_be_hidden()
    assert visit.errors == []


TOUCHING = """all => all.filter((e) => e.textContent && e.checkVisibility()).map((e) => {
    const range = document.createRange();
    range.selectNodeContents(e);
    return range.getBoundingClientRect();
}).filter((one, i, boxes) => i && boxes[i - 1].top === one.top && boxes[i - 1].right + 2 > one.left).length"""


def test_the_numbers_of_sixteen_heads_do_not_run_into_one_another(visit: Visit) -> None:
    """As many as bloom-560m has; in the narrowest room that has three zones beside each other."""
    model = random_model(n_head=16, hidden_size=64)
    visit.page.set_viewport_size({"width": 1000, "height": 720})
    blank = BlankPage(visit.page)
    blank.draw(Lab(model, byte_tokenizer(), name="random").explore(TEXT))
    for name, numbers in (
        ("attention", ".bl-layer > .bl-axis"),
        ("alibi", "[data-part=slopes] ~ .bl-plot-below .bl-plot-tick"),
    ):
        open_tab(blank, name)
        found = panel(blank, name).locator(numbers)
        assert found.filter(has_text="12").count() >= 1
        assert found.evaluate_all(TOUCHING) == 0, name
