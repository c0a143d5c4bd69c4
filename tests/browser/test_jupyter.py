"""The attention view and the welcome notebook, in JupyterLab and in Notebook 7, as a person uses them."""

import json
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, Position, expect

import bloomlab
from bloomlab.lens.ledger import score_ledger
from bloomlab.model.alibi import slopes
from bloomlab.text.tokens import visible
from tests.browser.conftest import Visit
from tests.browser.driving import Notebook
from tests.browser.painted import check_matrix, check_thumbnails, painted, probabilities, type_text
from tests.browser.servers import Server
from tests.browser.texts import HOSTILE
from tests.browser.waiting import redrawn

WELCOME = Path(__file__).parents[2] / "notebooks" / "00_welcome.ipynb"
TEXT = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
OTHER = "猫 \N{LION FACE} القطة, two  spaces"


@pytest.fixture(scope="session")
def lab() -> bloomlab.Lab:
    """What the notebooks load, here: to compare with."""
    return bloomlab.load()


@pytest.fixture(scope="module")
def notebook(chromium: Browser, server: Server) -> Iterator[Notebook]:
    """A notebook that shows the attention; the tests below use it one after the other."""
    visit = Visit(chromium, height=1400)
    cells = ["import bloomlab", "lab = bloomlab.load()", "view = lab.attention()\nview"]
    notebook = Notebook(visit, server, cells, "attention")
    notebook.run_all()
    yield notebook
    notebook.close()


@pytest.fixture
def attention(notebook: Notebook) -> Iterator[Locator]:
    """The view on the page, showing head 0 of layer 0 of TEXT. Afterwards: no request, no error of a widget."""
    notebook.page.evaluate("document.activeElement.blur()")
    root = notebook.page.locator("[data-view=attention]")
    notebook.python("view.show('.'); view.layer = view.head = 0; view.mode = 'probability'")
    expect(root).to_have_attribute("data-tokens", "1")  # so that the next picture is known to be a new one
    notebook.python(f"view.show({TEXT!r})")
    expect(root).not_to_have_attribute("data-tokens", "1")
    for name, value in {"state": "ready", "layer": "0", "head": "0", "mode": "probability"}.items():
        expect(root).to_have_attribute(f"data-{name}", value)
    expect(root.locator("[data-part=text]")).to_have_value(TEXT)
    root.scroll_into_view_if_needed()
    yield root
    assert notebook.visit.refused == []
    assert notebook.visit.widget_errors == []


def place(root: Locator, lab: bloomlab.Lab, query: int, key: int) -> Position:
    """Where a cell of the large matrix is, from its upper left corner."""
    box = root.locator("[data-part=canvas]").bounding_box()
    assert box is not None
    tokens = len(lab.tokens(TEXT))
    return {"x": (key + 0.5) * box["width"] / tokens, "y": (query + 0.5) * box["height"] / tokens}


def number(text: str) -> float:
    """A number as the page writes it: −0.44, +3.21 or 1.4 × 10⁻⁴."""
    raised = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")
    return float(text.translate(raised).replace(" × 10", "e"))


def lesson_cells() -> list[nbformat.NotebookNode]:
    return list(nbformat.read(WELCOME, as_version=4).cells)


def test_the_welcome_notebook_runs(chromium: Browser, server: Server) -> None:
    visit = Visit(chromium, height=4000)
    notebook = Notebook(visit, server, WELCOME, "welcome")
    outputs = notebook.run_all()
    asks = [cell.source.startswith("checks.cover(") for cell in lesson_cells() if cell.cell_type == "code"]
    assert all(said for said, asked in zip(outputs, asks, strict=True) if asked)
    expect(visit.page.locator("[data-view=cover][data-state=asking]")).to_have_count(sum(asks))
    small = visit.page.locator("[data-view=map][data-level=small]")
    expect(small).to_have_attribute("data-state", "ready")
    expect(small.locator("[data-box=text]")).to_have_css("border-radius", "3px")  # other views have not undressed it
    switch = visit.page.locator("[data-view=attention][data-level=first]")  # the other one is under its cover
    expect(switch).to_have_count(1)
    expect(switch).to_have_attribute("data-state", "ready")
    found = visit.page.locator("[data-view=cover]", has_text="looks at hardly anything but one word")
    found.locator("[data-part=box]").fill("Oslo")
    found.locator("[data-part=box]").press("Enter")
    expect(found.locator("[data-part=live]").first).to_have_text("Compare the two.")
    expect(found.locator("[data-view=attention][data-level=first]")).to_have_attribute("data-head", "5")
    visit.screenshot(f"welcome-{server.app}")
    assert visit.refused == [] and visit.widget_errors == []
    notebook.close()


def test_thumbnails_and_matrix_show_the_traced_probabilities(
    attention: Locator, notebook: Notebook, lab: bloomlab.Lab
) -> None:
    probs = probabilities(lab, TEXT)
    check_thumbnails(attention, probs)
    check_matrix(attention, probs[0, 0])
    attention.locator("[data-part=heads] [data-layer='1'][data-head='2']").click()
    expect(attention).to_have_attribute("data-head", "2")
    check_matrix(attention, probs[1, 2])


def test_clicking_a_head_and_a_cell_selects_them_in_python_too(
    attention: Locator, notebook: Notebook, lab: bloomlab.Lab
) -> None:
    layer, head, query, key = 1, 3, len(lab.tokens(TEXT)) - 1, 3
    attention.locator(f"[data-part=heads] [data-layer='{layer}'][data-head='{head}']").click()
    attention.locator("[data-part=canvas]").click(position=place(attention, lab, query, key))
    expect(attention).to_have_attribute("data-key", str(key))
    notebook.comes_to("print(view.layer, view.head, view.query, view.key)", f"{layer} {head} {query} {key}\n")
    attention.page.mouse.move(0, 0)
    attention.screenshot(path=notebook.visit.screenshot(f"attention-{notebook.server.app}"))


def test_hovering_a_cell_shows_its_ledger(attention: Locator, lab: bloomlab.Lab) -> None:
    tokens = len(lab.tokens(TEXT))
    query, key = tokens - 3, 1
    attention.locator("[data-part=canvas]").hover(position=place(attention, lab, query, key))
    ledger = attention.locator(f"[data-part=ledger][data-query='{query}'][data-key='{key}'][data-exact=true]")
    expect(ledger).to_be_visible()

    trace = lab.trace(TEXT, read=["attn.scores", "attn.probs"])
    scores = trace["h.0.attn.scores"][0, 0]
    wanted = score_ledger(scores, slopes(8)[0], query=query, key=key)
    for part in ("content", "position", "total", "probability"):
        shown = number(ledger.locator(f"[data-ledger={part}]").inner_text())
        assert shown == pytest.approx(getattr(wanted, part), abs=6e-4), part
    captured = float(trace["h.0.attn.probs"][0, 0, query, key])
    assert float(ledger.get_attribute("data-probability") or "nan") == pytest.approx(captured, abs=1e-6)
    assert float(ledger.get_attribute("data-error") or "nan") < 1e-6


def test_arrow_keys_step_heads_and_leave_the_notebook_alone(attention: Locator, notebook: Notebook) -> None:
    active = "jupyterapp.shell.currentWidget.content.activeCellIndex"
    heads = attention.locator("[data-part=heads]")
    before = notebook.page.evaluate(active)
    for key, layer, head in [("ArrowRight", 0, 1), ("ArrowRight", 0, 2), ("ArrowDown", 1, 2), ("ArrowLeft", 1, 1)]:
        heads.press(key)
        expect(attention).to_have_attribute("data-layer", str(layer))
        expect(attention).to_have_attribute("data-head", str(head))
    notebook.comes_to("print(view.layer, view.head)", "1 1\n")
    assert notebook.page.evaluate(active) == before


def test_typing_a_new_text_changes_the_picture(attention: Locator, notebook: Notebook, lab: bloomlab.Lab) -> None:
    before = painted(attention.locator("[data-part=canvas]"))
    type_text(attention, OTHER)
    expect(attention).to_have_attribute("data-tokens", str(len(lab.tokens(OTHER))))
    probs = probabilities(lab, OTHER)
    check_thumbnails(attention, probs)
    check_matrix(attention, probs[0, 0])
    after = painted(attention.locator("[data-part=canvas]"))
    assert before.shape != after.shape or not np.array_equal(before, after)
    assert notebook.python("print(view.text)") == f"{OTHER}\n"
    notebook.visit.screenshot(f"typed-{notebook.server.app}")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_tokens_are_shown_verbatim_and_fire_nothing(
    attention: Locator, notebook: Notebook, lab: bloomlab.Lab, text: str
) -> None:
    type_text(attention, text)
    expect(attention).to_have_attribute("data-tokens", str(len(lab.tokens(text))))
    shown = "".join(attention.locator("[data-part=strip] .bl-token").all_text_contents())
    assert shown == visible(text)
    assert "\u202e" not in attention.inner_text()
    heads = attention.locator("[data-part=heads]")
    heads.press("ArrowRight")  # draws the names everywhere once more
    notebook.comes_to("print(view.head)", "1\n")
    redrawn(notebook.page)
    assert attention.locator("img, script, svg, iframe, a, [onfocus], [onerror]").count() == 0
    assert notebook.page.evaluate("window.canary") is None


def test_a_text_that_is_too_long_is_refused_in_words_and_the_picture_stays(
    attention: Locator, notebook: Notebook
) -> None:
    before = attention.get_attribute("data-drawn")
    notebook.python("lab.max_tokens = 20")
    attention.locator("[data-part=text]").fill("Leo " * 50)
    expect(attention).to_have_attribute("data-state", "error")
    expect(attention.locator("[data-part=says]")).to_contain_text("at most 20")
    assert attention.get_attribute("data-drawn") == before
    notebook.visit.screenshot(f"refused-{notebook.server.app}")
    notebook.python("lab.max_tokens = 2048")


def test_the_dark_theme_has_light_words_on_a_dark_ground(
    attention: Locator, notebook: Notebook, lab: bloomlab.Lab
) -> None:
    def contrast() -> tuple[float, float]:
        colours = attention.evaluate("e => [getComputedStyle(e).backgroundColor, getComputedStyle(e).color]")
        return tuple(sum(json.loads(f"[{c[c.index('(') + 1 : -1]}]")[:3]) / 765 for c in colours)

    paper, ink = contrast()
    assert paper > 0.8 and ink < 0.3
    notebook.dark()
    try:
        paper, ink = contrast()
        assert paper < 0.2 and ink > 0.7
        check_matrix(attention, probabilities(lab, TEXT)[0, 0])
        notebook.visit.screenshot(f"dark-{notebook.server.app}")
    finally:
        notebook.dark(False)


def test_a_saved_page_works_from_a_file_without_a_kernel(
    attention: Locator, notebook: Notebook, visit: Visit, lab: bloomlab.Lab
) -> None:
    notebook.python("view.save('leo.html')")
    page: Page = visit.page
    page.goto((notebook.server.root / "leo.html").as_uri())
    root = page.locator("[data-view=attention]")
    expect(root).to_have_attribute("data-state", "ready")
    probs = probabilities(lab, TEXT)
    check_thumbnails(root, probs)
    check_matrix(root, probs[0, 0])
    root.locator("[data-part=heads]").press("ArrowDown")
    expect(root).to_have_attribute("data-layer", "1")
    expect(root.locator("[data-part=ledger]")).to_have_attribute("data-exact", "true")
    check_matrix(root, probs[1, 0])
    visit.screenshot("saved-page")
    assert visit.refused == [] and visit.errors == []
