"""Covers in JupyterLab and in Notebook 7: what was covered may be a view, a table or a figure."""

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Visit
from tests.browser.driving import Notebook
from tests.browser.servers import Server

CELLS = [
    "import bloomlab\nfrom bloomlab import checks\nlab = bloomlab.load()",
    'tokens = checks.cover("How many tokens?", 5, unit="tokens", because="Five.", shows=lab.attention("Leo lives."))\n'
    "tokens",
    'checks.cover("Is it needed?", True, shows=lab.ablate("Leo lives", "h.0.attn.mixed", head=0))',
    "import matplotlib.pyplot as plt\nplt.plot([1, 2])\n"
    'checks.cover("Draw it in words", "a line", because="It rises.", shows=plt.gcf())',
]


@pytest.fixture
def notebook(chromium: Browser, server: Server) -> Notebook:
    visit = Visit(chromium, height=2600)
    notebook = Notebook(visit, server, CELLS, "cover")
    notebook.run_all()
    return notebook


def test_views_tables_and_figures_are_uncovered_with_the_answer(notebook: Notebook) -> None:
    page = notebook.page
    covers = page.locator("[data-view=cover]")
    expect(covers).to_have_count(3)
    assert page.locator("[data-view=attention]").count() == 0
    assert page.locator(".jp-OutputArea-output img").count() == 0  # pyplot shows nothing under the cell
    count, needed, drawn = (covers.nth(number) for number in range(3))

    count.locator("[data-part=box]").fill("5")
    count.locator("[data-part=box]").press("Enter")
    expect(count.locator("[data-part=live]").first).to_have_text("✓ You knew it.")
    beside = """cover => {
        const [said, answer] = ["said", "answer"].map(
            name => cover.querySelector(`[data-part=${name}]`).getBoundingClientRect());
        return said.y === answer.y && said.x < answer.x;
    }"""
    assert count.evaluate(beside)
    view = count.locator("[data-view=attention]")
    view.locator("[data-part=heads] [data-layer='0'][data-head='1']").click()  # it is the view, alive
    expect(view).to_have_attribute("data-head", "1")
    notebook.comes_to("print(tokens.prediction, tokens.revealed, tokens.shows.head)", "5 True 1\n")

    needed.locator("input").first.check()
    needed.locator("[data-part=reveal]").click()
    expect(needed.locator("[data-part=shown] table").first).to_be_visible()
    padding = needed.locator("[data-part=shown] td").first.evaluate("e => parseFloat(getComputedStyle(e).paddingLeft)")
    assert padding >= 4  # its columns stand apart
    drawn.locator("[data-part=box]").fill("up")
    drawn.locator("[data-part=reveal]").click()
    expect(drawn.locator("[data-part=shown] canvas:not([width='0'])")).to_be_visible()
    notebook.visit.screenshot(f"cover-{notebook.server.app}")
    assert notebook.visit.refused == [] and notebook.visit.widget_errors == []
    notebook.close()
