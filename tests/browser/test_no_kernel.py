"""A kernel that is restarted, shut down or killed under an open view, in JupyterLab and Notebook 7: it says so."""

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from bloomlab import checks
from tests.browser.conftest import Visit
from tests.browser.driving import Notebook
from tests.browser.servers import Server
from tests.browser.test_explorer_jupyter import open_tab, painted_pixels
from tests.browser.waiting import comes_to, until
from tests.budget import slowness

GONE = "the kernel is gone; run the cell again"
SESSION = "jupyterapp.shell.currentWidget.sessionContext"
ENDS = {
    "restart": f"{SESSION}.session.kernel.restart()",
    "crash": f"{SESSION}.session.kernel.requestExecute({{code: 'import os; os._exit(1)'}}) && null",
    "shutdown": f"{SESSION}.shutdown()",
}
SOON = {"restart": 3, "crash": 5, "shutdown": 3}  # seconds; a crash is noticed by the server first, within three
TOLD = 3000  # milliseconds after Jupyter itself has been told
NOTE = f"""() => {{
    const ended = globalThis.ended = {{}};
    const kernel = {SESSION}.session.kernel;
    const told = () => {{ ended.told ??= performance.now(); }};
    kernel.statusChanged.connect((_, now) => /restarting|terminating|dead/.test(now) && told());
    kernel.disposed.connect(told);
    const root = document.querySelector("[data-view=explorer]");
    const gone = () => {{ if (root.dataset.kernel === "gone") ended.said ??= performance.now(); }};
    new MutationObserver(gone).observe(root, {{ attributeFilter: ["data-kernel"] }});
}}"""
CELLS = ["import bloomlab", "lab = bloomlab.load()", "view = lab.explore()\nview"]


@pytest.fixture(scope="module")
def notebook(chromium: Browser, server: Server) -> Iterator[Notebook]:
    visit = Visit(chromium, height=1000)
    notebook = Notebook(visit, server, CELLS, "no_kernel")
    yield notebook
    notebook.close()


@pytest.mark.parametrize("end", ENDS)
def test_a_view_whose_kernel_is_gone_says_so_and_waits_for_nothing(notebook: Notebook, end: str) -> None:
    notebook.run_all()
    root = notebook.page.locator("[data-view=explorer]")
    says = root.locator("[data-part=says]")
    expect(says).to_have_text("10 tokens")
    open_tab(root, "hidden")
    open_tab(root, "attention")

    notebook.page.evaluate(NOTE)
    notebook.page.evaluate(ENDS[end])
    before = time.monotonic()
    expect(says).to_contain_text(GONE)
    assert time.monotonic() - before < SOON[end] * slowness()
    told, said = notebook.page.evaluate("[ended.told, ended.said]")
    assert told is None or said - told < TOLD  # of a crash a view may hear first, from its own unanswered knock
    expect(root.locator("[data-part=text]")).not_to_be_editable()

    if end == "crash":
        notebook.page.locator(".jp-Dialog button").last.click()  # Jupyter says so, too

    # what is in the page is still to be looked at
    root.locator("[data-part=heads] [data-layer='1'][data-head='2']").click()
    expect(root).to_have_attribute("data-head", "2")
    comes_to(notebook.page, lambda: painted_pixels(root.locator("[data-part=canvas]")) > 4, True)
    open_tab(root, "hidden")
    root.locator("[role=tab][data-tab=predictions]").click()
    expect(root.locator("[data-part=tab-says]")).to_contain_text("computing it needs the kernel")
    open_tab(root, "attention")
    notebook.page.wait_for_timeout(500)  # what comes late
    expect(root.locator("[data-waits], [data-state=running], [data-state=working]")).to_have_count(0)
    assert not re.search("reading|computing|fetching", root.inner_text())
    expect(says).to_contain_text(GONE)
    notebook.visit.screenshot(f"no-kernel-{end}-{notebook.server.app}")
    assert notebook.visit.widget_errors == []


def test_a_notebook_that_is_opened_again_shows_the_still_and_what_was_predicted(
    chromium: Browser, server: Server
) -> None:
    cells = [*CELLS[:2], "lab.attention()", "from bloomlab import checks\nchecks.cover('How many?', 3)"]
    notebook = Notebook(Visit(chromium, height=1000), server, cells, "reopened")
    notebook.run_all()
    page = notebook.page
    views, stills = page.locator(".bloomlab"), page.locator("[class^=bl-still-]")
    expect(views).to_have_count(2)
    expect(stills).to_have_count(2)
    expect(stills.first).to_be_hidden()
    expect(stills.last).to_be_hidden()
    page.locator("[data-part=box]").fill("7")
    page.locator("[data-part=reveal]").click()
    expect(stills.last).to_contain_text("you said: 7")
    page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    until(page, "!jupyterapp.shell.currentWidget.context.model.dirty")
    assert [(guess.prediction, guess.answer) for guess in checks.report(server.root / notebook.name)] == [("7", "3")]
    page.evaluate(f"{SESSION}.shutdown()")

    page.goto(server.url(notebook.name))
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    expect(stills.first).to_be_visible()
    expect(stills.first.locator("img, svg").first).to_be_visible()
    expect(stills.last).to_contain_text("you said: 7")
    page.wait_for_timeout(1500)
    assert not re.search("model not found|Loading widget", page.locator(".jp-Notebook").inner_text())
    notebook.visit.screenshot(f"reopened-{server.app}")
    notebook.close()
