"""A slope is dragged in JupyterLab and Notebook 7: the kernel keeps up, and one step takes all of it back."""

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Visit
from tests.browser.driving import Notebook
from tests.browser.servers import Server
from tests.browser.waiting import redrawn, settled

pytestmark = pytest.mark.browser

RECAP = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
DISTANCE = """\
from bloomlab.lens.alibi import mean_distance
print(round(mean_distance(lab.trace({text!r}, ["attn.probs"], {edit}))[3, 0].item(), 2))
"""


def test_a_slope_is_dragged_and_taken_back(chromium: Browser, server: Server) -> None:
    visit = Visit(chromium, height=900)
    notebook = Notebook(
        visit, server, ["import bloomlab", "lab = bloomlab.load()", f"view = lab.explore({RECAP!r})\nview"], "slopes"
    )
    notebook.run_all()
    root = notebook.page.locator("[data-view=explorer]")
    expect(root).to_have_attribute("data-tokens", "20")
    root.locator("[role=tab][data-tab=alibi]").click()
    desk = root.locator("[data-panel=alibi] [data-part=slopes]")
    expect(desk).to_be_visible()
    desk.scroll_into_view_if_needed()
    lollipop = desk.locator(".bl-slope[data-head='0']")
    redrawn(notebook.page)
    x, y, height = settled(  # the tab may still be taking its place
        notebook.page,
        """(() => {
            const desk = document.querySelector("[data-panel=alibi] [data-part=slopes]");
            const box = desk.querySelector(".bl-slope[data-head='0'] .bl-slope-grip").getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2, desk.clientHeight];
        })()""",
    )
    notebook.page.mouse.move(x, y)
    notebook.page.mouse.down()
    for step in range(1, 31):
        notebook.page.mouse.move(x, y + 2 * step)
    notebook.page.mouse.up()
    factor = 2 ** (-12 * 60 / (0.88 * height))  # 60 pixels down an axis of twelve powers of two
    expect(root.locator("[data-change-number='0']")).to_have_text(f"slope of head 0 × {factor:.3g}")
    distance = root.locator("[data-panel=alibi] [data-fact=distance]")
    moved, whole = (float(notebook.python(DISTANCE.format(text=RECAP, edit=one))) for one in ("view.edits", None))
    assert moved > whole + 0.5
    expect(distance).to_have_text(f"{moved:.2f} tokens")
    notebook.comes_to("print(len(view.edits['attn.alibi']), len(view._edits.past))", "1 1\n")
    desk.press("Control+z")
    expect(distance).to_have_text(f"{whole:.2f} tokens")
    expect(lollipop).to_have_attribute("data-slope", "0.5")
    assert visit.refused == [] and visit.widget_errors == []
    notebook.close()
