"""Writing by hand in JupyterLab and Notebook 7: step, another token, play, and Python beside it."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.browser.conftest import Visit
from tests.browser.driving import Notebook
from tests.browser.servers import Server
from tests.browser.waiting import settled

TEXT = "Leo lives in Oslo. He has a cat. Leo lives in"


@pytest.fixture(scope="module")
def notebook(chromium: Browser, server: Server) -> Iterator[Notebook]:
    visit = Visit(chromium, height=900)
    cells = ["import bloomlab", "lab = bloomlab.load()", f"writing = lab.write({TEXT!r})\nwriting"]
    notebook = Notebook(visit, server, cells, "writing")
    notebook.run_all()
    yield notebook
    notebook.close()


@pytest.fixture
def view(notebook: Notebook) -> Iterator[Locator]:
    root = notebook.page.locator("[data-view=writing]")
    expect(root).to_have_attribute("data-tokens", "13")
    yield root
    assert notebook.visit.refused == []
    assert notebook.visit.widget_errors == []


def test_the_page_and_python_write_one_text(view: Locator, notebook: Notebook) -> None:
    view.locator("[data-part=step]").click()
    expect(view).to_have_attribute("data-at", "1")
    expect(view.locator("[data-part=written]")).to_have_text(TEXT + " Oslo")
    view.locator("[data-part=bars] [data-token] >> nth=1").click()
    expect(view).to_have_attribute("data-at", "2")
    notebook.comes_to("print(writing.steps[-1].how, len(writing.tree.nodes))", "by hand 3\n")
    notebook.python("_ = writing.back().play(3)")
    expect(view).to_have_attribute("data-at", "5")
    expect(view.locator("[data-part=branches] [data-end]")).to_have_count(4)


def test_it_plays_and_stops(view: Locator, notebook: Notebook) -> None:
    start = int(view.get_attribute("data-at") or 0)
    view.locator("[data-part=speed]").select_option("30")
    view.locator("[data-part=play]").click()
    expect(view.locator("[data-part=written] [data-node]").nth(12)).to_be_attached()
    view.locator("[data-part=play]").click()
    expect(view.locator("[data-part=play]")).to_have_text("play")
    at = settled(notebook.page, "document.querySelector('[data-view=writing]').dataset.at")  # a token may be on its way
    assert int(at) >= start + 8
    notebook.comes_to("print(writing.at)", f"{at}\n")
    expect(view.locator("[data-part=written]")).to_have_text(notebook.python("print(writing.text)").strip())


def test_arrow_keys_and_settings_reach_python(view: Locator, notebook: Notebook) -> None:
    view.locator("[data-part=written]").press("Home")
    expect(view).to_have_attribute("data-at", "0")
    view.locator("[data-setting=sample]").check()
    view.locator("[data-setting=temperature]").fill("0.5")
    expect(view.locator("[data-part=bars] thead")).to_contain_text("number")
    notebook.comes_to("print(writing.at, writing.settings.do_sample)", "0 True\n")
    expect(view.locator("[data-part=code]")).to_contain_text("temperature=0.5")  # which Python has written
    notebook.comes_to("print(writing.settings.temperature)", "0.5\n")
    notebook.visit.screenshot("writing-jupyter")
