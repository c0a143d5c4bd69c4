"""On paper, and in forced colours: everything that carries data is still there, and in its colours."""

from pathlib import Path

import pytest

import bloomlab
from tests.browser.conftest import SCREENSHOTS, Visit
from tests.browser.painted import painted

TEXT = "Leo lives in Oslo. He has a cat. Let us say it again. " * 2
PAGE = 718  # pixels: A4 without margins of a centimetre
CUT = """(page) => [...document.querySelectorAll(".bloomlab *")].filter((e) => e.checkVisibility()
    && !e.closest(".bl-hidden, .bl-code") && e.getBoundingClientRect().right > page + 1).map((e) => e.className)"""

# of grids every cell, and of tables every row's name
WORDS = """(panel) => [...new Set([...panel.querySelectorAll(".bl-zone [data-cell], .bl-next th")]
    .filter((e) => e.checkVisibility()).map((e) => `${e.dataset.row} ${e.dataset.column} ${e.textContent}`))].sort()"""
WIDTHS = "all => all.map((e) => e.getBoundingClientRect().width)"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bloomlab.load().explore(TEXT).save(tmp_path_factory.mktemp("paper") / "x.html")


@pytest.mark.parametrize("tab", ["tokens", "attention", "alibi", "hidden", "predictions", "writing"])
def test_nothing_is_cut_off_on_paper(visit: Visit, saved: Path, tab: str) -> None:
    page = visit.page
    page.goto(saved.as_uri())
    page.locator(f"[role=tab][data-tab={tab}]").click()
    words = page.locator(f"[data-panel={tab}]").evaluate(WORDS)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": PAGE, "height": 1000})
    assert page.evaluate(CUT, PAGE) == []
    hidden = "e => e.scrollHeight > e.clientHeight + 2 && getComputedStyle(e).overflowY !== 'visible'"
    assert page.locator(".bl-zone").evaluate_all(f"all => all.filter({hidden}).length") == 0
    assert page.locator(".bl-part").first.evaluate("e => getComputedStyle(e).printColorAdjust") == "exact"
    there = page.locator(f"[data-panel={tab}]").evaluate(WORDS)
    assert there == words, set(words) - set(there)
    grids = page.locator("[role=grid]:visible")
    assert (grids.count() > 1) == (tab in ("hidden", "predictions"))  # in pieces, as large as on the screen
    assert min(page.locator("[data-cell]:visible").evaluate_all(WIDTHS), default=50) >= 50
    page.screenshot(path=SCREENSHOTS / f"paper-{tab}.png", full_page=True)
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("[style*=zoom], [data-on-paper]").count() == 0 and visit.errors == []
    assert page.locator(f"[data-panel={tab}]").evaluate(WORDS) == words


COLOURS = """() => {
    const look = (e) => (s => s.backgroundImage + s.backgroundColor + s.borderColor)(getComputedStyle(e));
    const all = (selector) => [...document.querySelectorAll(selector)].filter((e) => e.checkVisibility());
    return {
        chosen: new Set(all("[data-part=strip] .bl-part").map((e) => look(e))).size,
        bars: all(".bl-share, .bl-said-bar, .bl-fact-bar").every((e) => /gradient/.test(look(e))),
        cells: new Set(all("[data-panel=hidden] [data-cell]").map((e) => look(e))).size,
        paper: getComputedStyle(document.querySelector(".bloomlab")).backgroundColor,
    };
}"""


def test_what_carries_data_survives_forced_colours(visit: Visit, saved: Path) -> None:
    page = visit.page
    page.emulate_media(forced_colors="active", color_scheme="dark")
    page.goto(saved.as_uri())
    page.locator("[role=tab][data-tab=hidden]").click()
    found = page.evaluate(COLOURS)
    assert found["chosen"] >= 2 and found["bars"] and found["cells"] > 10
    canvas = page.evaluate(
        "() => { document.body.style.background = 'Canvas'; return getComputedStyle(document.body).backgroundColor; }"
    )
    assert found["paper"] == canvas  # the reader's own
    visit.screenshot("forced-colours-hidden")
    page.locator("[role=tab][data-tab=alibi]").click()
    dots = "all => all.map((e) => (s => s.backgroundColor + s.borderColor)(getComputedStyle(e, '::after')))"
    looks = page.locator("[data-part=slopes] [data-head]").evaluate_all(dots)
    assert len(set(looks)) == 2  # the chosen one, and the others
    visit.screenshot("forced-colours-alibi")
    page.locator("[role=tab][data-tab=attention]").click()
    assert painted(page.locator("[data-part=canvas]")).std() > 10
