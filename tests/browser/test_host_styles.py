"""Jupyter styles what a cell shows (its tables, lists, headings): nothing of that may reach into a view."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from bloomlab.views.shared.assets import style_text
from tests.browser.conftest import Visit
from tests.browser.driving import Notebook
from tests.browser.servers import Server
from tests.browser.waiting import until

TABS = ["map", "tokens", "attention", "alibi", "hidden", "predictions", "writing"]

# The same elements in a frame as wide as the view, with our style sheet alone: what is styled otherwise there.
DIFFERENCES = """([css, names]) => {
    const view = document.querySelector("[data-view=explorer]");
    const frame = document.createElement("iframe");
    frame.style.cssText = `width: ${view.getBoundingClientRect().width}px; height: 3000px; border: 0`;
    document.body.append(frame);
    const inside = frame.contentDocument;
    inside.open();
    inside.write(`<!doctype html><style>body { margin: 0 }\\n${css}</style><body>${view.outerHTML}`);
    inside.close();
    inside.body.dataset.jpThemeLight = document.body.dataset.jpThemeLight;
    for (const name of ["layout-color0", "ui-font-color0", "ui-font-family", "code-font-family"])
        inside.body.style.setProperty(`--jp-${name}`, getComputedStyle(document.body).getPropertyValue(`--jp-${name}`));
    const found = new Set();
    const here = [view, ...view.querySelectorAll("*")], there = inside.body.querySelectorAll("*");
    here.forEach((element, i) => { there[i].checked = element.checked; });
    here.forEach((element, i) => {
        if (!element.checkVisibility()) return;
        const [styled, alone] = [getComputedStyle(element), frame.contentWindow.getComputedStyle(there[i])];
        for (const name of names.filter(name => styled[name] !== alone[name])) {
            const who = `${element.tagName.toLowerCase()} ${element.getAttribute("class") ?? ""}`;
            found.add(`${who}: ${name} is ${styled[name]}, alone ${alone[name]}`);
        }
    });
    frame.remove();
    return [here.length, [...found]];
}"""
NAMES = """
    left top float clear position marginTop marginRight marginBottom marginLeft paddingTop paddingRight paddingBottom
    paddingLeft borderTopWidth borderRightWidth borderBottomWidth borderLeftWidth borderCollapse tableLayout
    verticalAlign textAlign textIndent textTransform letterSpacing whiteSpace fontWeight fontStyle fontSize fontFamily
    lineHeight listStyleType overflowX overflowY boxShadow color backgroundColor maxWidth minWidth
""".split()

AT_REST = """() => document.querySelector("[data-view=explorer]").getAnimations({ subtree: true }).length === 0"""

BESIDE = """from IPython.display import display
from bloomlab import checks
display(lab.attention(), lab.map(small=True), checks.cover("2 + 2?", 4))"""


@pytest.fixture(scope="module")
def notebook(chromium: Browser, server: Server) -> Iterator[Notebook]:
    visit = Visit(chromium, height=1400)
    notebook = Notebook(
        visit, server, ["import bloomlab", "lab = bloomlab.load()", "view = lab.explore()\nview", BESIDE], "host"
    )
    notebook.run_all()
    yield notebook
    notebook.close()


@pytest.mark.parametrize("tab", TABS)
def test_a_view_in_jupyter_is_styled_by_its_own_sheet_alone(notebook: Notebook, tab: str) -> None:
    notebook.python(f"view.tab = {tab!r}")
    view = notebook.page.locator("[data-view=explorer]")
    expect(view).to_have_attribute("data-tab", tab)
    expect(view.locator(f"[data-panel={tab}]")).to_be_visible()
    until(notebook.page, AT_REST)
    elements, differences = notebook.page.evaluate(DIFFERENCES, [style_text(), NAMES])
    assert elements > 100
    assert differences == [], "\n".join(differences)
