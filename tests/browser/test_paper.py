"""On paper, and in forced colours: everything that carries data is still there, and in its colours."""

from pathlib import Path

import pytest
from playwright.sync_api import Page

import bloomlab
from bloomlab import drawn
from bloomlab.views.view import View
from tests.browser.conftest import SCREENSHOTS, Visit
from tests.browser.painted import painted
from tests.browser.waiting import redrawn
from tests.views.aside import aside

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
    redrawn(page)
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


STORY = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
# what is asked for by opening it: its tab, its box, and what carries its data
ASKED = {
    "receipt": ("predictions", ".bl-change-bar > span"),
    "effects": ("hidden", "[data-value]:not([data-quiet])"),
    "look": ("attention", ".bl-signed-bar > span"),
}
LINES = """(box) => [...new Set([...box.querySelectorAll("[data-cell], tr")]
    .filter((e) => e.checkVisibility()).map((e) => `${e.dataset.row} ${e.dataset.column} ${e.textContent}`))].sort()"""
# Paper as a column: a page breaks where a column of its height does, and what stands in it can be measured.
COLUMNS = "document.body.style.cssText = 'column-width: 718px; column-gap: 0; height: 1046px; column-fill: auto'"
OVERLAPPING = """() => {
    const inner = "tr, p, h3, summary, [role=row]";
    const lines = [...document.querySelectorAll(`.bloomlab :is(${inner})`)]
        .filter((e) => e.checkVisibility() && !e.closest(".bl-hidden") && !e.querySelector(inner))
        .flatMap((e) => [...e.getClientRects()].map((box) => ({ e, box })));
    const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 3
        && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
    return lines.flatMap((one, i) => lines.slice(i + 1).filter((other) => other.e !== one.e && meet(one.box, other.box))
        .map((other) => `${one.e.textContent} | ${other.e.textContent}`));
}"""
LOOKS = """(all) => all.filter((e) => e.checkVisibility()).map((e) => {
    const look = getComputedStyle(e);
    const data = look.borderTopWidth === "0px" ? look.backgroundColor : look.borderTopColor;
    return { data, image: look.backgroundImage, color: look.color, kept: look.printColorAdjust === "exact" };
})"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with all that is measured when it is asked for: receipt, an MLP's neurons, a map over texts, a look."""
    return aside(lambda: measured_view().save(tmp_path_factory.mktemp("paper") / "measured.html"))


def measured_view() -> View:
    lab = bloomlab.load()
    view = lab.explore(STORY, texts=lab.like(STORY, 4))
    view.tab = "predictions"
    view.predictions.explaining, view.predictions.opened_mlp = "total", 3
    view.tab = "hidden"
    view.hidden.map_what, view.hidden.map_over, view.hidden.mapping = "positions", "texts", "open"
    view.tab = "attention"
    view.attention.explain_look()
    assert any(view.hidden.effects["unstable"]) and view.predictions.receipt["mode"] == "total"
    return view


def open_box(page: Page, name: str) -> None:
    page.locator(f"[role=tab][data-tab={ASKED[name][0]}]").click()
    box = page.locator(f"[data-part={name}]")
    if not box.is_visible():
        page.locator("[data-part=more]").click()
    if not box.evaluate("e => e.open"):
        box.locator("summary").click()


def test_receipts_and_maps_are_whole_on_paper(visit: Visit, measured: Path) -> None:
    page = visit.page
    page.set_viewport_size({"width": 1000, "height": 700})
    page.goto(measured.as_uri())
    for name, (_, marks) in ASKED.items():
        open_box(page, name)
        box = page.locator(f"[data-part={name}]")
        lines, looks = box.evaluate(LINES), box.locator(marks).evaluate_all(LOOKS)
        assert len(lines) > 15 and looks, name
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        page.set_viewport_size({"width": PAGE, "height": 1046})
        redrawn(page)
        assert page.evaluate(CUT, PAGE) == [], name
        assert box.evaluate(LINES) == lines, name
        printed = box.locator(marks).evaluate_all(LOOKS)
        assert {look["data"] for look in printed} == {look["data"] for look in looks}, name
        assert all(look["kept"] for look in printed), name
        if name == "effects":  # in pieces, as large as on the screen
            assert box.locator("[role=grid]:visible").count() > 1
            assert min(box.locator("[data-cell]:visible").evaluate_all(WIDTHS)) >= 50
        page.screenshot(path=SCREENSHOTS / f"paper-{name}.png", full_page=True)
        page.evaluate(COLUMNS)
        assert page.evaluate(OVERLAPPING) == [], name
        page.evaluate("document.body.style.cssText = ''")
        page.emulate_media(media="screen")
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        page.set_viewport_size({"width": 1000, "height": 700})
    assert visit.errors == []


def test_bars_end_where_their_axis_does(visit: Visit, measured: Path) -> None:
    page = visit.page
    page.goto(measured.as_uri())
    for name in ("receipt", "look"):
        open_box(page, name)
        over = """all => all.filter((e) => e.checkVisibility()).map((e) => [e, e.parentElement.parentElement])
            .map(([bar, cell]) => [bar, cell].map((e) => e.getBoundingClientRect()))
            .filter(([bar, cell]) => bar.right > cell.right + 1 || bar.left < cell.left - 1).length"""
        assert page.locator(f"[data-part={name}]").locator(ASKED[name][1]).evaluate_all(over) == 0, name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_receipts_maps_and_hatching_survive_forced_colours(visit: Visit, measured: Path, scheme: str) -> None:
    page = visit.page
    page.emulate_media(forced_colors="active", color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(measured.as_uri())
    canvas = page.evaluate(
        "() => { document.body.style.background = 'Canvas'; return getComputedStyle(document.body).backgroundColor; }"
    )
    for name, (_, marks) in ASKED.items():
        open_box(page, name)
        looks = page.locator(f"[data-part={name}]").locator(marks).evaluate_all(LOOKS)
        assert looks and not [look for look in looks if look["data"] in (canvas, "rgba(0, 0, 0, 0)")], name
        assert len({look["data"] for look in looks}) >= 2, name  # what adds, and what takes away
        page.screenshot(path=SCREENSHOTS / f"forced-colours-{name}-{scheme}.png", full_page=True)
    open_box(page, "effects")
    hatched = page.locator("[data-part=effects] [data-unstable]")
    assert hatched.count() and all("gradient" in look["image"] for look in hatched.evaluate_all(LOOKS))
    hatched.first.scroll_into_view_if_needed()
    assert painted(hatched.first).std() > 10


def test_tables_without_a_script_keep_their_colours_on_paper_and_in_forced_colours(visit: Visit) -> None:
    """What a verb shows in a notebook, and the still of a view: the colour of a cell is data there, too."""
    lab, page = bloomlab.load(), visit.page
    like = lab.like(STORY, 4)
    span = "td > span, div[dir] > span[style*=background]"
    shown = {
        "effects": (lab.effects(STORY, instead=drawn(like.texts), what="heads", texts=like), span),
        "lens": (lab.lens(STORY), span),
        "attribution": (lab.attribution(STORY, steps=2), span),
        "answer": (lab.answer("Where does Leo live?", STORY), span),
        "hidden": (lab.hidden_states(STORY), "td"),
        "predictions": (lab.predictions(STORY), "td[style]"),
    }
    page.emulate_media(forced_colors="active", color_scheme="dark")
    for name, (result, marks) in shown.items():
        html = result._still() if isinstance(result, View) else result._repr_html_()
        page.set_content(f"<body style='background: #fff; color: #000'>{html}</body>")
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        words = page.evaluate("getComputedStyle(document.body).color")
        looks = page.locator(marks).evaluate_all(LOOKS)
        coloured = [look for look in looks if look["data"] not in ("rgba(0, 0, 0, 0)", paper)]
        assert len({look["data"] for look in coloured}) >= 2, name
        assert all(look["kept"] for look in coloured), name
        if name in ("effects", "attribution", "answer"):  # the colour lies thin over the paper: words are the theme's
            assert {look["color"] for look in coloured} == {words}, name
        visit.screenshot(f"forced-colours-table-{name}")
