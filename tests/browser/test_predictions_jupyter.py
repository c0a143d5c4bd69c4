"""The four heads in JupyterLab and Notebook 7: painted, asked after each layer, asked a question."""

from collections.abc import Iterator

import pytest
import torch
from playwright.sync_api import Browser, Locator, expect

import bloomlab
from bloomlab.tasks.results import readable
from bloomlab.views.shared.tables import word
from tests.browser.conftest import Visit
from tests.browser.driving import Notebook
from tests.browser.painted import type_text
from tests.browser.servers import Server
from tests.browser.texts import TEXTS
from tests.browser.waiting import comes_to, redrawn

QUESTION = "Where does Leo live?"


@pytest.fixture(scope="module")
def lab() -> bloomlab.Lab:
    """What the notebook loads, here: to compare with."""
    return bloomlab.load()


@pytest.fixture(scope="module")
def notebook(chromium: Browser, server: Server) -> Iterator[Notebook]:
    visit = Visit(chromium, height=1400)
    cells = ["import bloomlab", "lab = bloomlab.load()", 'view = lab.predictions("Leo.")\nview']
    notebook = Notebook(visit, server, cells, "predictions")
    notebook.run_all()
    yield notebook
    assert visit.refused == [] and visit.widget_errors == []
    notebook.close()


@pytest.fixture
def predictions(notebook: Notebook) -> Locator:
    root = notebook.page.locator("[data-view=predictions]")
    notebook.python(f"view.show('.'); view.layer, view.asked, view.question = 3, 'all', {QUESTION!r}")
    expect(root).to_have_attribute("data-tokens", "1")
    expect(root).to_have_attribute("data-asked", "all")
    return root


@pytest.mark.parametrize("language", TEXTS)
def test_every_head_says_what_it_says_in_python(predictions: Locator, lab: bloomlab.Lab, language: str) -> None:
    text = TEXTS[language]
    type_text(predictions, text)
    last = len(lab.tokens(text)) - 1
    expect(predictions.locator("[data-part=next]")).to_have_attribute("data-token", str(last))
    with torch.no_grad():
        logits = lab.model(torch.tensor([lab.tokenizer.encode(text)])).logits[0]
    for token in (last, last - 1):
        cell = predictions.locator(f"[data-cell][data-row='0'][data-column='{token}'] .bl-token")
        expect(cell).to_have_text(word(lab.tokenizer, int(logits[token].argmax())))
    best, share = int(logits[last].argmax()), float(logits[last].softmax(-1).max())
    tells(predictions.locator(f"[data-part=next] [data-id='{best}'] .bl-value"), share)
    label, tag = lab.classify(text), lab.tag(text)
    for head, name, share in [
        ("language", label.label, label.score),
        ("tags", tag.tags[last], tag.scores[last][tag.tags[last]]),
    ]:
        tells(predictions.locator(f"[data-part={head}] [data-label='{name}'] .bl-value"), share)
    answer = lab.answer(QUESTION, text)
    expect(predictions.locator("[data-part=answer-text] .bl-token")).to_have_text(readable(answer.text))


def tells(value: Locator, share: float) -> None:
    """A probability comes to stand there, as a person reads it."""
    comes_to(value.page, lambda: float(value.inner_text().lstrip("<≈ ")), pytest.approx(share, abs=1e-3))


def test_a_head_is_asked_after_every_layer_by_keys_that_leave_the_notebook_alone(
    predictions: Locator, notebook: Notebook, lab: bloomlab.Lab
) -> None:
    active = "jupyterapp.shell.currentWidget.content.activeCellIndex"
    type_text(predictions, TEXTS["english"])
    predictions.locator("input[value=tags]").check()
    expect(predictions.locator("[data-cell][data-row='3']").first).to_be_visible()
    before = notebook.page.evaluate(active)
    grid = predictions.locator("[data-part=grid]")
    grid.press("ArrowUp")
    expect(predictions).to_have_attribute("data-layer", "2")
    grid.press("ArrowLeft")
    predictions.locator("[data-part=slider]").press("ArrowLeft")
    expect(predictions).to_have_attribute("data-layer", "1")
    assert notebook.page.evaluate(active) == before
    last = len(lab.tokens(TEXTS["english"])) - 1
    notebook.comes_to("print(view.asked, view.layer, view.query)", f"tags 1 {last - 1}\n")
    tags = lab.tag(TEXTS["english"]).tags
    expect(predictions.locator("[data-cell][data-row='3'][data-column='3'] .bl-token")).to_have_text(tags[3])


def test_a_question_that_is_typed_is_answered_from_the_text(predictions: Locator, lab: bloomlab.Lab) -> None:
    type_text(predictions, "Leo lives in Oslo. Mia lives in Lima.")
    for question in ("Where does Mia live?", "Where does Leo live?"):
        predictions.locator("[data-part=question]").fill(question)
        answer = lab.answer(question, "Leo lives in Oslo. Mia lives in Lima.")
        expect(predictions.locator("[data-part=answer-text] .bl-token")).to_have_text(readable(answer.text))


def test_an_error_keeps_the_picture(predictions: Locator, notebook: Notebook) -> None:
    type_text(predictions, TEXTS["hindi"])
    cells = predictions.locator("[data-cell]").count()
    notebook.python("lab.max_tokens = 5")
    predictions.locator("[data-part=text]").fill("Leo " * 9)
    expect(predictions).to_have_attribute("data-state", "error")
    expect(predictions.locator("[data-part=says]")).to_contain_text("at most 5")
    expect(predictions.locator("[data-cell]")).to_have_count(cells)
    notebook.python("lab.max_tokens = 2048")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pictures_to_look_at(predictions: Locator, notebook: Notebook, theme: str) -> None:
    type_text(predictions, TEXTS["arabic"])
    notebook.dark(theme == "dark")
    redrawn(notebook.page)
    try:
        assert predictions.evaluate("e => e.scrollWidth <= e.clientWidth")
        notebook.visit.screenshot(f"predictions-{notebook.server.app}-{theme}")
    finally:
        notebook.dark(False)
