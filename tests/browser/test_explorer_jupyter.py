"""The explorer in JupyterLab and Notebook 7: every tab painted and used, in five languages, with one selection."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

import bloomlab
from bloomlab.lens.logit_lens import READ, logit_lens
from bloomlab.text.tokens import visible
from bloomlab.views.shared.tables import word
from tests.browser.conftest import Visit
from tests.browser.driving import Notebook
from tests.browser.painted import check_matrix, check_thumbnails, probabilities, type_text
from tests.browser.servers import Server
from tests.browser.texts import HOSTILE, TEXTS, shown_on_strip
from tests.browser.waiting import comes_to, redrawn

TABS = ["map", "tokens", "attention", "alibi", "hidden", "predictions", "writing"]

OVERFLOWING = """(root) => { // what stands out of the view, but for what scrolls in a box of its own
    const edge = root.getBoundingClientRect().right + 1;
    const scrolls = (e) => e !== root && (getComputedStyle(e).overflowX !== "visible" || scrolls(e.parentElement));
    const out = (e) => e.getBoundingClientRect().right > edge && !scrolls(e.parentElement);
    return [...root.querySelectorAll("*")].filter(out).map((e) => `${e.tagName} ${e.className}`);
}"""


@pytest.fixture(scope="module")
def lab() -> bloomlab.Lab:
    """What the notebook loads, here: to compare with."""
    return bloomlab.load()


@pytest.fixture(scope="module")
def notebook(chromium: Browser, server: Server) -> Iterator[Notebook]:
    """A notebook that shows the explorer; the tests below use it one after the other."""
    visit = Visit(chromium, height=1600)
    cells = ["import bloomlab", "lab = bloomlab.load()", "view = lab.explore()\nview"]
    notebook = Notebook(visit, server, cells, "explorer")
    notebook.run_all()
    yield notebook
    notebook.close()


@pytest.fixture
def explorer(notebook: Notebook) -> Iterator[Locator]:
    """The explorer on the page, the attention open. Afterwards: no request, no error of a widget."""
    root = notebook.page.locator("[data-view=explorer]")
    notebook.python("view.show('.'); view.tab = 'attention'; view.layer = view.head = 0")
    expect(root).to_have_attribute("data-tokens", "1")
    notebook.python(f"view.show({TEXTS['english']!r})")
    expect(root).not_to_have_attribute("data-tokens", "1")
    expect(root).to_have_attribute("data-tab", "attention")
    yield root
    assert notebook.visit.refused == []
    assert notebook.visit.widget_errors == []


def open_tab(root: Locator, name: str) -> Locator:
    """Click on a tab; its panel, once it shows something."""
    root.locator(f"[role=tab][data-tab={name}]").click()
    panel = root.locator(f"[role=tabpanel][data-panel={name}]")
    expect(panel).to_be_visible()
    redrawn(root.page)  # its pictures, too
    return panel


def painted_pixels(canvas: Locator) -> int:
    """How many different colours a canvas holds."""
    return int(
        canvas.evaluate(
            """(canvas) => new Set(new Uint32Array(
                canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size"""
        )
    )


@pytest.mark.parametrize("language", TEXTS)
def test_every_tab_shows_every_language(
    explorer: Locator, notebook: Notebook, lab: bloomlab.Lab, language: str
) -> None:
    text = TEXTS[language]
    notebook.python("view.show('.')")  # so that the next picture is known to be a new one
    expect(explorer).to_have_attribute("data-tokens", "1")
    type_text(explorer, text)
    tokens = len(lab.tokens(text))
    expect(explorer).to_have_attribute("data-tokens", str(tokens))
    assert shown_on_strip(notebook.page) == "".join(part.shown for part in lab.tokenizer.display_tokens(text))

    attention = open_tab(explorer, "attention")
    probs = probabilities(lab, text)
    check_thumbnails(attention, probs, 3)

    hidden = open_tab(explorer, "hidden")
    said = logit_lens(lab.model, lab.trace(text, read=READ))
    for row, token in [(0, 0), (3, tokens // 2), (8, tokens - 1)]:
        cell = hidden.locator(f"[data-cell][data-row='{row}'][data-column='{token}']")
        expect(cell.locator(".bl-token")).to_have_text(word(lab.tokenizer, int(said[row].ids[token, 0])))

    alibi = open_tab(explorer, "alibi")
    expect(alibi.locator("[data-part=slopes] [data-head]")).to_have_count(8)
    for canvas, least in (("position-canvas", 4), ("bias-canvas", 2)):
        comes_to(notebook.page, lambda: painted_pixels(alibi.locator(f"[data-part={canvas}]")) > least, True)  # noqa: B023

    predictions = open_tab(explorer, "predictions")
    expect(predictions.locator("[data-part=grid] [data-cell]").first).to_be_visible()
    expect(predictions.locator("[data-part=next] [data-id]").first).to_be_visible()
    open_tab(explorer, "attention")


def test_a_place_chosen_in_one_tab_is_chosen_in_all_and_in_python(explorer: Locator, notebook: Notebook) -> None:
    explorer.locator("[data-part=heads] [data-layer='1'][data-head='2']").click()
    explorer.locator("[data-part=strip] [data-token='5']").first.click()
    hidden = open_tab(explorer, "hidden")
    expect(hidden.locator("[data-cell][aria-selected=true]")).to_have_attribute("data-column", "5")
    expect(explorer).to_have_attribute("data-row", "4")
    hidden.locator("[data-cell][data-row='5'][data-column='7']").click()
    alibi = open_tab(explorer, "alibi")
    for name, value in {"layer": "2", "head": "2", "query": "7"}.items():
        expect(explorer).to_have_attribute(f"data-{name}", value)
    for head in "3456":
        alibi.locator("[data-part=slopes]").press("ArrowRight")
        expect(explorer).to_have_attribute("data-head", head)
    predictions = open_tab(explorer, "predictions")
    expect(predictions.locator("[data-part=next]")).to_have_attribute("data-token", "7")
    attention = open_tab(explorer, "attention")
    expect(attention.locator("[data-head='6'][data-layer='2']")).to_have_attribute("aria-selected", "true")
    expect(attention.locator("[data-part=ledger][data-query='7'][data-exact=true]")).to_be_visible()
    notebook.comes_to("print(view.layer, view.head, view.query, view.tab)", "2 6 7 attention\n")


def test_a_token_under_the_pointer_lights_up_in_every_tab(explorer: Locator) -> None:
    for tab in TABS:
        panel = open_tab(explorer, tab)
        explorer.page.mouse.move(0, 0)
        expect(explorer.locator(".bl-part[data-pointed]")).to_have_count(0)
        redrawn(explorer.page)
        before = panel.inner_html()
        explorer.locator("[data-part=strip] [data-token='2']").first.hover()
        expect(explorer.locator(".bl-part[data-token='2']")).to_have_attribute("data-pointed", "")
        if tab not in ("map", "tokens", "writing"):  # these are about a token, and about what comes after the text
            comes_to(explorer.page, lambda: panel.inner_html() != before, True)  # noqa: B023


def test_arrow_keys_step_the_tabs_and_leave_the_notebook_alone(explorer: Locator, notebook: Notebook) -> None:
    active = "jupyterapp.shell.currentWidget.content.activeCellIndex"
    explorer.locator("[role=tab][data-tab=attention]").click()
    before = notebook.page.evaluate(active)
    for key, tab in [("ArrowRight", "alibi"), ("ArrowRight", "hidden"), ("ArrowLeft", "alibi"), ("End", "writing")]:
        explorer.locator("[role=tab][aria-selected=true]").press(key)
        expect(explorer).to_have_attribute("data-tab", tab)
        expect(explorer.locator(f"[role=tab][data-tab={tab}]")).to_be_focused()
    expect(explorer.locator("[data-panel=writing]")).to_be_visible()
    assert notebook.page.evaluate(active) == before
    notebook.comes_to("print(view.tab)", "writing\n")


def test_an_error_is_said_in_the_view_and_the_last_picture_stays_in_every_tab(
    explorer: Locator, notebook: Notebook, lab: bloomlab.Lab
) -> None:
    for tab in TABS:
        open_tab(explorer, tab)
    before = explorer.get_attribute("data-drawn")
    notebook.python("lab.max_tokens = 20")
    explorer.locator("[data-part=text]").fill("Leo " * 50)
    expect(explorer).to_have_attribute("data-state", "error")
    expect(explorer.locator("[data-part=says]")).to_contain_text("at most 20")
    for tab in TABS:
        open_tab(explorer, tab)
    assert explorer.get_attribute("data-drawn") == before
    open_tab(explorer, "attention")
    check_matrix(explorer, probabilities(lab, TEXTS["english"])[0, 0])
    notebook.visit.screenshot(f"explorer-refused-{notebook.server.app}")
    notebook.python("lab.max_tokens = 2048")


def test_hostile_text_is_shown_verbatim_in_every_tab_and_fires_nothing(explorer: Locator, notebook: Notebook) -> None:
    text = " ".join(HOSTILE)
    type_text(explorer, text)
    assert shown_on_strip(notebook.page) == visible(text)
    for tab in TABS:
        open_tab(explorer, tab)
        explorer.locator("[data-part=strip]").press("Home")
        expect(explorer).to_have_attribute("data-query", "0")
        assert "\u202e" not in explorer.inner_text()
    redrawn(notebook.page)
    assert explorer.locator("img, script, svg, iframe, a, [onfocus], [onerror], [onmouseover]").count() == 0
    assert notebook.page.evaluate("window.canary") is None


def test_every_tab_follows_the_theme(explorer: Locator, notebook: Notebook) -> None:
    try:
        for theme in ("light", "dark"):
            notebook.dark(theme == "dark")
            bright = explorer.evaluate("e => Number(getComputedStyle(e).backgroundColor.match(/\\d+/)[0]) > 127")
            assert bright == (theme == "light")
            for tab in TABS:
                open_tab(explorer, tab)
                assert explorer.evaluate(OVERFLOWING) == [], tab
                notebook.visit.screenshot(f"explorer-{notebook.server.app}-{tab}-{theme}")
    finally:
        notebook.dark(False)


def test_a_saved_page_has_every_tab_without_a_kernel(
    explorer: Locator, notebook: Notebook, visit: Visit, lab: bloomlab.Lab
) -> None:
    notebook.python("view.save('leo.html')")
    page = visit.page
    page.goto((notebook.server.root / "leo.html").as_uri())
    root = page.locator("[data-view=explorer]")
    for tab in TABS:
        open_tab(root, tab)
    open_tab(root, "attention")
    probs = probabilities(lab, TEXTS["english"])
    check_thumbnails(root, probs)
    root.locator("[data-part=heads]").press("ArrowDown")
    expect(root.locator("[data-part=ledger]")).to_have_attribute("data-exact", "true")
    check_matrix(root, probs[1, 0])
    assert visit.refused == [] and visit.errors == []
