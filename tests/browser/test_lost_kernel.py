"""A view whose kernel is gone, with every button of every tab pressed: it waits for nothing, and keeps its picture."""

from typing import Any

import pytest
from playwright.sync_api import expect

import bloomlab
from tests.browser.blank_page import BlankPage
from tests.browser.conftest import Visit
from tests.budget import slowness
from tests.views.lone import TITLES

pytestmark = pytest.mark.browser

TEXT = "Leo lives in Oslo. He has a cat. Leo lives in"
LAB = bloomlab.load()
GONE = "the kernel is gone; run the cell again"
# The line is cut as Jupyter cuts it: sending raises, and the model tells that its comm is no longer live.
CUT = """() => {
    model.send = () => { throw new Error("the comm is closed"); };
    for (const [event, hear] of [...model.listeners]) if (event === "comm_live_update") hear();
}"""
# Each button of a tab that can be pressed, what it opens included; those that leave the tab or the page, or close it,
# are not.
PRESS = """(panel) => {
    const view = panel.closest(".bloomlab");
    const pressed = [];
    for (const all of [0, 1]) { // what the first presses opened
        for (const one of view.querySelectorAll("button, summary, input[type=checkbox]")) {
            const leaves = one.matches("[data-part=full-screen], [data-part=open-tab]");
            const apart = one.closest("[role=tablist], [data-part=take]") || leaves;
            if (apart || one.disabled || !one.checkVisibility() || pressed.includes(one)) continue;
            pressed.push(one);
            one.click();
        }
    }
    return pressed.length;
}"""
WAITING = """() => [...document.querySelectorAll("[data-waits], [data-state=running], [data-state=working]")]
    .filter((one) => one.dataset.state === "working" || one.checkVisibility())
    .map((one) => `${one.dataset.part} ${one.innerText.slice(0, 60)}`)"""


def lost(visit: Visit, view: Any) -> BlankPage:
    blank = BlankPage(visit.page)
    blank.draw(view)
    visit.page.evaluate(CUT)
    return blank


@pytest.mark.parametrize("edit", [None, {"h.2.attn.mixed": bloomlab.zero(head=3)}], ids=["one run", "two runs"])
def test_no_button_of_any_tab_waits_for_a_kernel_that_is_gone(visit: Visit, edit: Any) -> None:
    view = LAB.explore(TEXT, edit=edit)
    for tab in TITLES:
        view.tab = tab
    view.attention.explain_look()
    blank = lost(visit, view)
    page, waits = visit.page, []
    expect(page.locator("[data-part=says]")).to_contain_text(GONE, timeout=3000 * slowness())
    for tab in TITLES:
        page.locator(f"[role=tab][data-tab={tab}]").click()
        panel = page.locator(f"[data-panel={tab}]")
        expect(panel).to_be_visible()
        assert panel.evaluate(PRESS) >= 1
        page.wait_for_timeout(300)
        waits += [f"{tab}: {said}" for said in page.evaluate(WAITING)]
        expect(page.locator(f"[data-panel={tab}] [data-zone=where]")).to_be_visible()
    expect(page.locator("[data-part=says]")).to_contain_text(GONE)
    assert waits == [] and visit.errors == []
    assert blank.root("kernel") == "gone"
