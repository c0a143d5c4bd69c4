"""A view inside other widgets: in every container of ipywidgets it has a width that it can be read at."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Visit
from tests.browser.driving import Notebook
from tests.browser.servers import Server
from tests.browser.waiting import settled

CELLS = [
    """import bloomlab, ipywidgets as W
from bloomlab import checks
from IPython.display import display
lab = bloomlab.load()
def two():
    return [lab.attention("Leo lives in Oslo."), checks.cover("How many?", 3)]
boxes = {
    "HBox": W.HBox(two()), "Box": W.Box(two()), "VBox": W.VBox(two()),
    "centred": W.VBox(two(), layout=W.Layout(align_items="center")),
    "centred flex": W.Box(two(), layout=W.Layout(display="flex", flex_flow="column", align_items="center")),
    "grid": W.GridBox(two(), layout=W.Layout(grid_template_columns="1fr 1fr")),
    "two by two": W.TwoByTwoLayout(top_left=two()[0], bottom_right=two()[1]),
    "accordion": W.Accordion(two(), selected_index=0), "tab": W.Tab(two()),
}
for name, box in boxes.items():
    box.add_class("box-" + name.replace(" ", "-"))
    display(box)""",
]
NAMES = ["HBox", "Box", "VBox", "centred", "centred-flex", "grid", "two-by-two", "accordion", "tab"]


@pytest.fixture(scope="module")
def notebook(chromium: Browser, server: Server) -> Iterator[Notebook]:
    notebook = Notebook(Visit(chromium, height=1000), server, CELLS, "containers")
    notebook.run_all()
    yield notebook
    notebook.close()


def test_a_view_has_a_width_in_every_container(notebook: Notebook) -> None:
    page = notebook.page
    widths = {}
    for name in NAMES:
        views = page.locator(f".box-{name} .bloomlab")
        expect(views.first).to_be_visible()
        if name not in ("accordion", "tab"):
            expect(views).to_have_count(2)
        seen = f"[...document.querySelectorAll('.box-{name} .bloomlab')].filter((e) => e.checkVisibility())"
        widths[name] = settled(page, f"{seen}.map((e) => e.clientWidth)", quiet=100)  # a container may still make room
    assert all(width >= 250 for each in widths.values() for width in each), widths
    page.locator(".box-HBox").scroll_into_view_if_needed()
    notebook.visit.screenshot(f"containers-{notebook.server.app}")
    assert notebook.visit.widget_errors == []
