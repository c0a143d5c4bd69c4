"""The hidden states in JupyterLab and Notebook 7: painted, stepped by keys, typed into."""

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, expect

import bloomlab
from bloomlab.lens.logit_lens import READ, logit_lens
from bloomlab.views.shared.tables import word
from tests.browser.conftest import Visit
from tests.browser.driving import IDLE, Notebook, open_more
from tests.browser.painted import steps_apart, type_text
from tests.browser.servers import Server
from tests.browser.texts import TEXTS
from tests.browser.waiting import redrawn, settled


@pytest.fixture(scope="module")
def lab() -> bloomlab.Lab:
    """What the notebook loads, here: to compare with."""
    return bloomlab.load()


@pytest.fixture(scope="module")
def notebook(chromium: Browser, server: Server) -> Iterator[Notebook]:
    visit = Visit(chromium, height=1400)
    cells = ["import bloomlab", "lab = bloomlab.load()", 'view = lab.hidden_states("Leo.")\nview']
    notebook = Notebook(visit, server, cells, "hidden")
    notebook.run_all()
    yield notebook
    assert visit.refused == [] and visit.widget_errors == []
    notebook.close()


@pytest.fixture
def hidden(notebook: Notebook) -> Locator:
    root = notebook.page.locator("[data-view=hidden]")
    notebook.python("view.show('.'); view.layer, view.part, view.mode = 3, 'post', 'prediction'")
    expect(root).to_have_attribute("data-tokens", "1")
    expect(root).to_have_attribute("data-row", "8")
    return root


@pytest.mark.parametrize("language", TEXTS)
def test_the_grid_is_painted_with_what_the_model_would_say(hidden: Locator, lab: bloomlab.Lab, language: str) -> None:
    text = TEXTS[language]
    type_text(hidden, text)
    said = logit_lens(lab.model, lab.trace(text, read=READ))
    tokens = len(lab.tokens(text))
    for row, token in [(0, tokens - 2), (3, tokens - 1), (7, tokens - 3), (8, tokens - 1)]:
        cell = hidden.locator(f"[data-cell][data-row='{row}'][data-column='{token}']")
        expect(cell.locator(".bl-token")).to_have_text(word(lab.tokenizer, int(said[row].ids[token, 0])))
        colour = cell.evaluate("e => getComputedStyle(e).backgroundColor.match(/\\d+/g).map(Number)")
        assert steps_apart(np.array(colour), float(said[row].probs[token, 0])) <= 1.0  # drawn with its word


def test_keys_step_the_grid_the_shares_and_the_cosines_and_leave_the_notebook_alone(
    hidden: Locator, notebook: Notebook
) -> None:
    active = "jupyterapp.shell.currentWidget.content.activeCellIndex"
    type_text(hidden, TEXTS["english"])
    hidden.locator("[data-part=text]").click()
    before = notebook.page.evaluate(active)
    last = hidden.get_attribute("data-query")
    open_more(hidden)
    for part, key, row in [
        ("grid", "ArrowUp", "7"),
        ("shares", "ArrowUp", "6"),
        ("turns", "ArrowUp", "5"),
        ("slider", "ArrowLeft", "4"),
        ("shares", "ArrowDown", "5"),
    ]:
        hidden.locator(f"[data-part={part}]").press(key)
        expect(hidden).to_have_attribute("data-row", row)
    hidden.locator("[data-part=grid]").press("Home")
    expect(hidden).to_have_attribute("data-query", "0")
    assert last != "0" and notebook.page.evaluate(active) == before
    notebook.comes_to("print(view.row, view.layer, view.part, view.query)", "5 2 mid 0\n")


# Choose one mode, and another so many milliseconds later: the modes that are shown from then on.
CHOOSE_TWICE = """async wait => {
    const root = document.querySelector("[data-view=hidden]");
    const later = pause => new Promise(done => setTimeout(done, pause));
    const choose = mode => root.querySelector(`input[value=${mode}]`).click();
    choose("entropy");
    await later(wait);
    const seen = [];
    const watch = new MutationObserver(() => seen.push(root.dataset.mode));
    watch.observe(root, {attributeFilter: ["data-mode"]});
    choose("rank");
    await later(400);
    watch.disconnect();
    return seen;
}"""


def test_the_echo_of_a_choice_does_not_undo_the_next(hidden: Locator, notebook: Notebook) -> None:
    """The kernel repeats every choice to the page; by then the person may have chosen again."""
    type_text(hidden, TEXTS["english"])
    for wait in range(0, 160, 20):
        assert set(notebook.page.evaluate(CHOOSE_TWICE, wait)) == {"rank"}, f"{wait} ms later"


def test_of_a_burst_of_a_hundred_steps_the_kernel_hears_two(hidden: Locator, notebook: Notebook) -> None:
    """Jupyter keeps back what a view sends while the kernel is busy with it, all but the last."""
    type_text(hidden, TEXTS["english"])
    notebook.python("heard = []; hear = lambda change: heard.append(view.row); view.observe(hear, ['layer', 'part'])")
    hidden.locator("[data-part=slider]").evaluate(
        """slider => {
            for (let step = 0; step < 100; step++) {
                slider.value = step % 8;
                slider.dispatchEvent(new Event("input", {bubbles: true}));
            }
        }"""
    )
    expect(hidden).to_have_attribute("data-row", "3")
    notebook.comes_to("print(view.row)", "3\n")
    settled(notebook.page, IDLE)  # what else might have been kept back for it
    heard = notebook.python("print(*heard); view.unobserve(hear, ['layer', 'part'])").split()
    assert heard[-1] == "3" and len(heard) <= 4, "two messages, of a layer and a part each"


def test_the_toggles_repaint_and_an_error_keeps_the_picture(hidden: Locator, notebook: Notebook) -> None:
    type_text(hidden, TEXTS["chinese"])
    for mode in ("entropy", "rank", "norm", "added", "prediction"):
        hidden.locator(f"input[value={mode}]").check()
        expect(hidden).to_have_attribute("data-mode", mode)
        expect(hidden.locator("[data-cell] .bl-token").first).not_to_be_empty()
    cells = hidden.locator("[data-cell]").count()
    notebook.python("lab.max_tokens = 5")
    hidden.locator("[data-part=text]").fill("Leo " * 9)
    expect(hidden).to_have_attribute("data-state", "error")
    expect(hidden.locator("[data-part=says]")).to_contain_text("at most 5")
    expect(hidden.locator("[data-cell]")).to_have_count(cells)
    notebook.python("lab.max_tokens = 2048")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pictures_to_look_at(hidden: Locator, notebook: Notebook, theme: str) -> None:
    type_text(hidden, TEXTS["arabic"])
    notebook.dark(theme == "dark")
    redrawn(notebook.page)
    try:
        assert hidden.evaluate("e => e.scrollWidth <= e.clientWidth")
        notebook.visit.screenshot(f"hidden-{notebook.server.app}-{theme}")
    finally:
        notebook.dark(False)
