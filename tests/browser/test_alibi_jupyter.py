"""The ALiBi view in JupyterLab and in Notebook 7: painted, stepped by keys, its length lab run and cancelled."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Visit
from tests.browser.driving import Notebook, open_more
from tests.browser.servers import Server


@pytest.fixture(scope="module")
def notebook(chromium: Browser, server: Server) -> Iterator[Notebook]:
    visit = Visit(chromium, height=1400)
    cells = ["import bloomlab", "lab = bloomlab.load()", 'view = lab.alibi("Leo lives in Oslo.")\nview']
    notebook = Notebook(visit, server, cells, "alibi")
    notebook.run_all()
    yield notebook
    assert visit.refused == [] and visit.widget_errors == []
    notebook.close()


def test_heads_are_stepped_texts_typed_and_the_length_lab_is_run_and_cancelled(notebook: Notebook) -> None:
    root = notebook.page.locator("[data-view=alibi]")
    expect(root).to_have_attribute("data-state", "ready")
    root.locator("[data-part=slopes]").press("ArrowRight")
    root.locator("[data-part=slopes]").press("ArrowDown")
    expect(root).to_have_attribute("data-head", "1")
    expect(root).to_have_attribute("data-layer", "1")
    root.locator("[data-part=text]").fill("猫坐在垫子上。")
    expect(root.locator("[data-part=stamp]")).to_contain_text("tiny · weights")
    expect(root.locator("[data-part=strip]")).to_contain_text("猫")

    lab = root.locator("[data-part=lab]")
    open_more(root)
    root.locator("[data-part=lab-run]").click()
    expect(lab).to_have_attribute("data-state", "running")
    root.locator("[data-part=lab-stop]").click()
    expect(lab).to_have_attribute("data-state", "stopped", timeout=20_000)
    root.locator("[data-part=lab-run]").click()
    expect(lab).to_have_attribute("data-state", "done", timeout=60_000)
    expect(lab).to_have_attribute("data-curves", "6")
    expect(lab).to_contain_text("4× the trained length")
    notebook.visit.screenshot(f"alibi-{notebook.server.app}")
