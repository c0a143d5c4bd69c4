"""Lessons as a student takes them, in JupyterLab and in Notebook 7: run, looked at, touched, and solved by typing."""

import re
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.browser.conftest import Visit
from tests.browser.driving import Notebook
from tests.browser.servers import APPS, Server
from tests.notebooks.test_notebooks import open_lines, solutions

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def merges_of_a_piece(lesson: Notebook) -> None:
    view = lesson.page.locator("[data-view=tokens]").last
    view.locator("[data-part=strip] [data-token='1']").first.click()
    expect(view).to_have_attribute("data-query", "1")
    replay = view.locator("[data-part=replay]")
    replay.press("Home")
    expect(replay).to_have_attribute("data-step", "0")
    replay.press("ArrowRight")
    expect(replay).to_have_attribute("data-step", "1")


def another_head(lesson: Notebook) -> None:
    view = lesson.page.locator("[data-view=attention][data-level=whole]")
    expect(view).to_have_attribute("data-head", "5")
    view.locator("[data-part=heads] [data-layer='0'][data-head='1']").click()
    expect(view).to_have_attribute("data-head", "1")
    expect(view).to_have_attribute("data-layer", "0")
    expect(view.locator("[data-part=ledger]")).to_be_visible()


def heads_by_keys(lesson: Notebook) -> None:
    view = lesson.page.locator("[data-view=alibi]")
    slopes = view.locator("[data-part=slopes]")
    for count in (1, 2):
        slopes.press("ArrowRight")
        expect(view).to_have_attribute("data-head", str(count))


def states_of_a_token(lesson: Notebook) -> None:
    view = lesson.page.locator("[data-view=hidden]")
    view.locator("[data-part=strip] [data-token='3']").first.click()
    expect(view.locator("[data-part=cell]")).to_have_attribute("data-token", "3")


def predict(lesson: Notebook, source: nbformat.NotebookNode) -> None:
    """Under every cover of the lesson: a guess, right or wrong, and then the answer beside it."""
    covers = lesson.page.locator("[data-view=cover]")
    asked = sum(cell.source.count("checks.cover(") for cell in source.cells if cell.cell_type == "code")
    assert asked >= 2
    expect(covers).to_have_count(asked)
    for cover in covers.all():
        expect(cover).to_have_attribute("data-state", "asking")
        if cover.locator("input[type=radio]").count():
            cover.locator("input[type=radio]").last.check()
        else:
            cover.locator("[data-part=box]").fill("7")
        cover.locator("[data-part=reveal]").click()
        expect(cover).to_have_attribute("data-state", "revealed")
        expect(cover.locator("[data-part=answer]")).not_to_be_empty()
    assert asked >= 2


def numbers_of_a_step(lesson: Notebook) -> None:
    """The curves of plotly, which load nothing either: pointing at a step shows its numbers."""
    plot = lesson.page.locator(".js-plotly-plot .nsewdrag")
    plot.scroll_into_view_if_needed()
    plot.hover()
    said = lesson.page.locator(".js-plotly-plot .hoverlayer")
    for name in ("loss", "induction", "repeats", "near", "far"):
        expect(said).to_contain_text(name)
    expect(lesson.page.locator(".jp-RenderedImage img")).to_have_count(2)  # matplotlib's,
    expect(lesson.page.locator("canvas.bl-cover-picture:not([width='0'])")).to_have_count(
        3
    )  # and three that were under covers


LESSONS = {
    "01_tokens": merges_of_a_piece,
    "03_attention": another_head,
    "04_alibi": heads_by_keys,
    "05_residual_stream": states_of_a_token,
    "10_a_circuit_forms": numbers_of_a_step,
}


AT_ONCE = [("lab", "03_attention"), ("lab", "04_alibi"), ("lab", "10_a_circuit_forms"), ("notebook", "03_attention")]


def exercise(lesson: Notebook) -> Locator:
    """The last cell with three dots."""
    cells = lesson.page.locator(".jp-CodeCell").filter(
        has=lesson.page.locator(".cm-line", has_text=re.compile(r"= \.\.\.$"))
    )
    return cells.last


@pytest.mark.parametrize(
    ("server", "name"),
    [
        pytest.param(app, name, marks=[] if (app, name) in AT_ONCE else pytest.mark.long)
        for app in APPS
        for name in LESSONS
    ],
    indirect=["server"],
)
def test_a_lesson_is_run_touched_and_solved(chromium: Browser, server: Server, name: str) -> None:
    source = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    (cell, line), answer = open_lines(source)[-1], solutions(source)[-1]
    visit = Visit(chromium, height=6000)
    lesson = Notebook(visit, server, NOTEBOOKS / f"{name}.ipynb", f"lesson-{name}")
    lesson.run_all()
    predict(lesson, source)
    LESSONS[name](lesson)
    asked = exercise(lesson)
    expect(asked).to_contain_text("in place of the three dots")
    visit.screenshot(f"lesson-{name}-{server.app}")

    asked.locator(".cm-content").click()
    lesson.page.keyboard.press("Control+a")
    lesson.page.keyboard.insert_text(cell.source.replace(line, answer.rstrip("\n")))
    lesson.page.keyboard.press("Control+Enter")
    expect(lesson.page.locator(".jp-OutputArea-output", has_text="Well done")).to_be_visible(timeout=30_000)
    assert visit.refused == [] and visit.widget_errors == []
    lesson.close()
