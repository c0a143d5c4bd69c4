"""One frame for every tab: which, where, why, and nothing that is worked with lies off the screen."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import bloomlab
from bloomlab.hooks import Edits
from tests.browser.blank_page import BlankPage
from tests.browser.conftest import Visit
from tests.browser.test_slopes_module import grip
from tests.browser.texts import TEXTS
from tests.browser.waiting import redrawn, until
from tests.views.lone import TITLES

pytestmark = pytest.mark.browser

TEXT = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
OUTPUT = (816, 580)  # what JupyterLab leaves at 1280 × 720 with its file browser open
BOX = """(selector) => {
    const { left, right, top, bottom } = document.querySelector(selector).getBoundingClientRect();
    return { left, right, top, bottom };
}"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The explorer as a file, by text; at the scale of a projector, too, and in its compact form."""
    folder, lab = tmp_path_factory.mktemp("one_screen"), bloomlab.load()
    texts = {"recap": TEXT, "long": TEXT * 4, **TEXTS}
    files = {name: lab.explore(text).save(folder / f"{name}.html") for name, text in texts.items()}
    large = lab.explore(TEXT)
    large.scale = 1.75
    files["projector"] = large.save(folder / "projector.html")
    large.compact = True
    return files | {"compact": large.save(folder / "compact.html")}


def opened(visit: Visit, file: Path, width: int, height: int) -> Page:
    visit.page.set_viewport_size({"width": width, "height": height})
    visit.page.goto(file.as_uri())
    visit.page.wait_for_selector('[data-part="strip"] [data-token]')
    return visit.page


def zone(page: Page, tab: str, name: str) -> dict[str, float]:
    box: dict[str, float] = page.evaluate(BOX, f'[data-panel="{tab}"] [data-zone="{name}"]')
    return box


def open_tab(page: Page, tab: str) -> None:
    page.locator(f'[role="tab"][data-tab="{tab}"]').click()
    expect(page.locator(".bloomlab")).to_have_attribute("data-tab", tab)
    redrawn(page)


@pytest.mark.parametrize("text", ["recap", "long", "arabic", "hindi", "chinese"])
def test_every_tab_fits_on_one_screen(visit: Visit, pages: dict[str, Path], text: str) -> None:
    page = opened(visit, pages[text], *OUTPUT)
    for tab in TITLES:
        open_tab(page, tab)
        assert page.evaluate(BOX, ".bloomlab")["bottom"] <= OUTPUT[1], tab
        assert page.evaluate(BOX, '[role="tablist"]')["top"] - page.evaluate(BOX, ".bl-textbox")["top"] <= 84, tab
        which, where, why = (zone(page, tab, name) for name in ("which", "where", "why"))
        assert which["top"] == where["top"] == why["top"] and which["right"] <= where["left"] + 8 <= why["left"] + 8
        assert 300 <= where["right"] - where["left"] <= 400
        assert not page.locator(f'[data-panel="{tab}"] [data-zone="more"]').is_visible()
        visit.screenshot(f"one-screen-{text}-{tab}")
    assert visit.errors == []


def test_the_strip_is_one_line_that_keeps_the_chosen_token_in_sight(visit: Visit, pages: dict[str, Path]) -> None:
    page = opened(visit, pages["long"], *OUTPUT)
    strip = page.locator('[data-part="strip"]')
    for key in ("End", "Home", "End", "ArrowLeft"):
        strip.press(key)
        box, chip = (page.evaluate(BOX, f'[data-part="strip"]{inside}') for inside in ("", ' [data-role="query"]'))
        assert box["left"] <= chip["left"] and chip["right"] <= box["right"], key
        assert box["bottom"] - box["top"] < 60


@pytest.mark.parametrize("enter", ["click", "focus"])
def test_the_text_is_one_line_that_opens_while_somebody_is_in_it(
    visit: Visit, pages: dict[str, Path], enter: str
) -> None:
    page = opened(visit, pages["long"], *OUTPUT)
    text, box = page.locator('[data-part="text"]'), page.locator(".bl-textbox")
    folded = page.evaluate(BOX, '[data-part="text"]')
    assert folded["bottom"] - folded["top"] < 45
    getattr(text, enter)()
    opened_box = page.evaluate(BOX, '[data-part="text"]')
    assert opened_box["bottom"] - opened_box["top"] > 80 and box.get_attribute("data-open") is not None
    page.locator('[data-part="strip"] .bl-token[data-token="3"]').click()  # it does not move from under the pointer
    until(page, "!document.querySelector('.bl-textbox').hasAttribute('data-open')")
    assert page.evaluate(BOX, '[data-part="text"]') == folded
    assert page.locator(".bloomlab").get_attribute("data-query") == "3"


def test_ids_are_shown_by_a_switch(visit: Visit, pages: dict[str, Path]) -> None:
    page = opened(visit, pages["recap"], *OUTPUT)
    shown = page.locator(".bl-strip .bl-id").first
    assert not shown.is_visible()
    page.locator('[data-part="ids"]').press("Enter")
    assert shown.is_visible() and page.locator('[data-part="ids"]').get_attribute("aria-pressed") == "true"
    page.locator('[data-part="ids"]').click()
    assert not shown.is_visible()


@pytest.mark.parametrize("tab", ["attention", "alibi", "hidden"])
def test_more_opens_below_and_is_painted(visit: Visit, pages: dict[str, Path], tab: str) -> None:
    page = opened(visit, pages["recap"], *OUTPUT)
    open_tab(page, tab)
    page.locator('[data-part="more"]').click()
    redrawn(page)
    more = zone(page, tab, "more")
    assert more["bottom"] - more["top"] > 200 and more["top"] >= zone(page, tab, "where")["bottom"] - 8
    widths = page.locator(f'[data-panel="{tab}"] [data-zone="more"] canvas').evaluate_all(
        "all => all.map(c => c.width)"
    )
    assert widths and all(widths)
    page.locator('[data-part="more"]').click()
    assert not page.locator(f'[data-panel="{tab}"] [data-zone="more"]').is_visible()


def test_a_wide_window_has_more_open(visit: Visit, pages: dict[str, Path]) -> None:
    page = opened(visit, pages["recap"], 1280, 900)
    assert page.locator('[data-panel="attention"] [data-zone="more"]').is_visible()
    assert not page.locator('[data-part="more"]').is_visible()


# of each tab: the picture, or what is chosen in one that scrolls; and the number of what is chosen
SIGHTS = {
    "map": ("[data-box=next]", "[data-fact=learned]"),
    "tokens": ("[data-part=replay]", "[data-fact=id]"),
    "attention": (".bl-frame", "[data-ledger=probability]"),
    "alibi": (".bl-plot", "[data-fact=bias]"),
    "hidden": ("[role=gridcell][aria-selected=true]", ".bl-said tbody tr"),
    "predictions": ("[role=gridcell][aria-selected=true]", ".bl-said tbody tr"),
    "writing": ("[data-part=bars] [data-token]", ".bl-facts .bl-value"),
}
CHANGED = SIGHTS | {
    "tokens": ("[data-surprise][aria-selected=true]", "[data-change]"),
    "attention": (".bl-frame", "[data-change=change]"),
    "alibi": ("[data-part=change-cells]", "[data-fact=bias]"),
}  # of a difference
OUT_OF_SIGHT = """(selector) => [...document.querySelectorAll(selector)].filter((e) => e.checkVisibility()).map((e) => {
    const box = e.getBoundingClientRect();
    let [left, top, right, bottom] = [0, 0, innerWidth, innerHeight];
    for (let around = e.parentElement; around; around = around.parentElement) {
        if (getComputedStyle(around).overflow === "visible") continue;
        const { left: l, top: t, right: r, bottom: b } = around.getBoundingClientRect();
        [left, top, right, bottom] = [Math.max(left, l), Math.max(top, t), Math.min(right, r), Math.min(bottom, b)];
    }
    const out = [left - box.left, top - box.top, box.right - right, box.bottom - bottom].map(Math.round);
    return Math.max(...out) <= 1 && box.height > 0 ? "" : `${selector}: ${out} px out of sight`;
})"""
TICKS = '[data-panel="%s"] [data-zone="where"] [data-part="legend"] .bl-tick'  # the numbers of a tab's legend


@pytest.mark.parametrize(("scale", "text"), [("projector", "projector"), ("compact", "compact"), ("1", "recap")])
def test_picture_number_and_sentence_are_in_sight_together(
    visit: Visit, pages: dict[str, Path], scale: str, text: str
) -> None:
    page = opened(visit, pages[text], 1280, 720)
    most = {"projector": 720, "compact": 700, "1": 10_000}[scale]
    assert lost_in(visit, page, most, SIGHTS, f"in-sight-{scale}") == [] and visit.errors == []


def hidden(page: Page, selector: str) -> list[str]:
    """Of each element that is shown: "", or how far it is out of sight."""
    found: list[str] = page.evaluate(OUT_OF_SIGHT, selector)
    return found or [f"{selector}: not there"]


def lost_of(page: Page, tab: str, most: float, sights: dict[str, tuple[str, str]]) -> list[str]:
    """What of picture, number, sentence, strip and legend is out of sight, or that the tab is higher than it may be."""
    where = f'[data-panel="{tab}"] [data-zone="%s"] '
    picture, number = sights[tab]
    looks = [where % "where" + picture, where % "why" + number, "[data-part=live]", "[data-part=strip]"]
    lost = [f"{tab}: {said}" for look in looks if (said := hidden(page, look)[0])]
    lost += [f"{tab}: {said}" for said in page.evaluate(OUT_OF_SIGHT, TICKS % tab) if said]
    high = page.evaluate("document.querySelector('.bloomlab').getBoundingClientRect().height")
    return lost + [f"{tab}: {high} px high"] * (high > most)


def lost_in(visit: Visit, page: Page, most: float, sights: dict[str, tuple[str, str]], name: str) -> list[str]:
    """The same of every tab."""
    lost = []
    for tab in TITLES:
        open_tab(page, tab)
        lost += lost_of(page, tab, most, sights)
        visit.screenshot(f"{name}-{tab}")
    return lost


EDITS: list[Edits] = [
    {"h.2.attn.mixed": bloomlab.zero(head=3)},
    {
        "h.2.attn.mixed": bloomlab.zero(head=3),
        "h.1.mlp.out": bloomlab.scale(0.5),
        "h.3.attn.biased": bloomlab.cut(key=0, head=5),
    },
]
SOME = [pytest.param(EDITS[0], id="one edit", marks=pytest.mark.long), pytest.param(EDITS[1], id="three edits")]


@pytest.mark.parametrize("edit", SOME)
def test_so_they_are_with_edits_in_each_run(visit: Visit, tmp_path: Path, edit: Edits) -> None:
    """The changes, what they are worth and the switch between runs take none of it away."""
    view = bloomlab.load().explore(TEXT, edit=edit)
    for scale in (1, 1.75):
        view.scale = scale
        page = opened(visit, view.save(tmp_path / "page.html"), 1280, 720)
        for run in view.runs:
            page.locator(f'[data-part="runs"] input[value="{run}"]').check()
            assert page.locator("[data-change-number]").count() == len(edit)
            sights = CHANGED if run == "difference" else SIGHTS
            lost = lost_in(visit, page, 720, sights, f"in-sight-{len(edit)}-{scale}-{run.replace(' ', '-')}")
            assert lost == [], (scale, run)
            for part in ("[data-part=runs] label", "[data-change-number]", "[data-worth=made]"):
                assert not any(hidden(page, part)), (scale, run)
    assert visit.errors == []


# of a line of edits that can be worked with: what is pressed and read there
LINE = (
    "[data-part=runs] label",
    "[data-change-number]",
    "[data-worth=made]",
    *(f"[data-part={part}]" for part in ("undo", "redo", "clear", "worth-many", "refute", "worth-more")),
)


def lost_at_both_scales(blank: BlankPage, tab: str) -> list[str]:
    """What is lost of a tab of a live view, and of the line of its edits, at the scale of a desk and of a projector."""
    lost, view = [], blank.view
    blank.page.locator(f'[role="tab"][data-tab="{tab}"]').click()
    blank.settled()
    for scale in (1, 1.75):
        view.scale = scale
        blank.push()
        redrawn(blank.page)
        now = lost_of(blank.page, tab, 720, CHANGED if view.run == "difference" else SIGHTS)
        now += [said for part in LINE if view.changes for said in hidden(blank.page, part) if said]
        lost += [f"scale {scale}, {said}" for said in now]
    return lost


@pytest.mark.parametrize("edit", [pytest.param({}, id="no edit"), *SOME])
def test_so_they_are_while_it_can_be_worked_with(visit: Visit, edit: Edits) -> None:
    """A live view has more buttons than a saved one: all are in sight, and take nothing out of it."""
    visit.page.set_viewport_size({"width": 1280, "height": 720})
    blank = BlankPage(visit.page)
    blank.draw(bloomlab.load().explore(TEXT, edit=edit))
    for run in blank.view.runs or [""]:
        if run:
            visit.page.locator(f'[data-part="runs"] input[value="{run}"]').check()
        assert [(run, said) for tab in TITLES for said in lost_at_both_scales(blank, tab)] == []
    assert visit.errors == []


def test_so_they_are_with_edits_made_by_hand(visit: Visit) -> None:
    """A slope is dragged, a head silenced, a state scaled: what the desk and the effect say is in sight, too."""
    visit.page.set_viewport_size({"width": 1280, "height": 720})
    page, blank = visit.page, BlankPage(visit.page)
    blank.draw(bloomlab.load().explore(TEXT))
    open_tab(page, "alibi")
    blank.settled()
    x, y = grip(page, 3)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + 40, steps=4)
    blank.settled()
    page.mouse.up()
    blank.settled()
    assert blank.root("head") == "3" and len(blank.view.changes) == 1
    desk = ["[data-part=slopes]", "[data-ghost='3']", "[data-part=desk]", "[data-part=slope-typed]", "[data-effect]"]
    assert [said for part in desk for said in hidden(page, part) if said] == []
    assert lost_at_both_scales(blank, "alibi") == []
    assert [said for part in desk[3:] for said in hidden(page, part) if said] == []  # at a projector's scale
    open_tab(page, "attention")
    blank.settled()
    menu = page.locator('[data-panel="attention"] [data-part="change-menu"]')
    for part, how in (("head", "silence"), ("mlp", "times")):
        menu.locator("summary").first.click()
        menu.locator('[data-part="change-part"]').select_option(part)
        menu.locator(f'[data-edit="{how}"]').click()
        blank.answered()
    assert len(blank.view.changes) == 3
    assert [said for tab in TITLES for said in lost_at_both_scales(blank, tab)] == []
    visit.screenshot("in-sight-by-hand")
    assert visit.errors == []


def test_on_a_projector_a_stepper_chooses_and_more_shows_what_there_is(visit: Visit, pages: dict[str, Path]) -> None:
    page = opened(visit, pages["projector"], 1280, 720)
    for tab in TITLES:
        open_tab(page, tab)
        where, why = (zone(page, tab, name) for name in ("where", "why"))
        assert where["top"] == why["top"] and where["right"] <= why["left"] + 14 and why["top"] < 720
        assert not page.locator(f'[data-panel="{tab}"] [data-zone="which"]').is_visible()
    open_tab(page, "attention")
    step = page.locator('[data-panel="attention"] [data-part="stepper"]')
    step.locator("button").nth(0).click()  # the previous layer
    step.locator("button").nth(3).click()  # the next head
    root = page.locator(".bloomlab")
    assert (root.get_attribute("data-layer"), root.get_attribute("data-head")) == ("2", "1")
    assert step.locator("output").all_inner_texts() == ["2", "1"]
    page.locator('[data-part="more"]').click()
    which, where = (zone(page, "attention", name) for name in ("which", "where"))
    assert which["top"] >= where["bottom"] and which["bottom"] - which["top"] > 200


def test_in_a_narrow_output_the_picture_comes_first(visit: Visit, pages: dict[str, Path]) -> None:
    page = opened(visit, pages["recap"], 600, 900)
    for tab in TITLES:
        open_tab(page, tab)
        tops = [zone(page, tab, name)["top"] for name in ("where", "which", "why")]
        assert tops == sorted(tops) and page.evaluate("document.documentElement.scrollWidth") <= 600
