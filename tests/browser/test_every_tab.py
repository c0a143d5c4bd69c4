"""What holds in every view, looked at in the tabs of the explorer: narrow pages, projectors, no motion, long texts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import bloomlab
from tests.browser.blank_page import BlankPage
from tests.browser.conftest import Visit
from tests.browser.texts import TEXTS
from tests.browser.waiting import redrawn, until
from tests.views.lone import TITLES

TEXT = TEXTS["english"] + " " + TEXTS["arabic"]
MOVING = """() => [...document.querySelectorAll('.bloomlab *')].filter((element) => {
    const { transitionDuration, animationName } = getComputedStyle(element);
    return parseFloat(transitionDuration) > 0 || animationName !== 'none';
}).length"""

CHOSEN_IS_SEEN = """() => {
    const [strip, token] = ['[data-part="strip"]', '[data-part="strip"] [aria-selected="true"]'].map(
        (name) => document.querySelector(name).getBoundingClientRect());
    return token.top >= strip.top && token.bottom <= strip.bottom + 1;
}"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bloomlab.load().explore(TEXT).save(tmp_path_factory.mktemp("pages") / "x.html")


def open_tabs(page: Page) -> Iterator[str]:
    for name in TITLES:
        page.locator(f"[role=tab][data-tab={name}]").click()
        expect(page.locator(f"[data-panel={name}]")).to_be_visible()
        yield name


@pytest.mark.parametrize("scale", [0.75, 1.0, 1.75])
def test_no_tab_is_wider_than_a_page_of_600_pixels(visit: Visit, tmp_path: Path, scale: float) -> None:
    view = bloomlab.load().explore(TEXT)
    view.scale = scale
    visit.page.set_viewport_size({"width": 600, "height": 900})
    visit.page.goto(view.save(tmp_path / "x.html").as_uri())
    for name in open_tabs(visit.page):
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 600, name
        assert visit.page.evaluate(CHOSEN_IS_SEEN), name
    assert visit.errors == []


def test_the_box_is_one_line_and_shows_all_of_the_text_to_whoever_is_in_it(visit: Visit, file: Path) -> None:
    visit.page.goto(file.as_uri())
    box = visit.page.locator("[data-part=text]")
    heights = []
    for width in (1280, 600, 1280):
        box.blur()
        heights.append(box.bounding_box()["height"])  # type: ignore[index]
        box.focus()
        visit.page.set_viewport_size({"width": width, "height": 900})
        redrawn(visit.page)  # the room is measured anew
        assert box.evaluate("({ scrollHeight, clientHeight }) => scrollHeight <= clientHeight")
        heights.append(box.bounding_box()["height"])  # type: ignore[index]
    closed, opened = heights[::2], heights[1::2]
    assert len(set(closed)) == 1 and opened[0] < opened[1] and opened[2] == opened[0]


def test_motion_is_left_out_where_it_is_not_wanted(chromium: Browser, file: Path) -> None:
    for wanted in (True, False):
        context = chromium.new_context(reduced_motion="no-preference" if wanted else "reduce")
        page = context.new_page()
        page.goto(file.as_uri())
        moving = {}
        for name in open_tabs(page):
            page.evaluate("document.querySelector('.bloomlab').dataset.state = 'working'")  # the text box breathes
            moving[name] = page.evaluate(MOVING)
        assert all((count > 0) == wanted for count in moving.values()), moving
        context.close()


def test_the_matrix_of_a_long_text_scrolls_to_the_chosen_cell_and_keeps_its_names(visit: Visit) -> None:
    """One pixel of it is looked at: the element that is really there."""
    page, lab = BlankPage(visit.page), bloomlab.load()
    page.draw(lab.attention("Leo lives in Oslo. " * 70))
    seen = """() => {
        const [box, picked] = ['.bl-matrix', '[data-part="picked"]'].map((name) => document.querySelector(name));
        const [whole, cell] = [box.getBoundingClientRect(), picked.getBoundingClientRect()];
        const name = document.querySelector('.bl-rows .bl-name[data-picked]').getBoundingClientRect();
        return cell.left >= whole.left && cell.right <= whole.right + 1 && cell.top >= whole.top &&
            cell.bottom <= whole.bottom && name.left >= whole.left && name.right <= cell.left;
    }"""
    visit.page.locator('[data-part="strip"]').press("End")
    until(visit.page, seen)
    visit.page.locator('[data-part="strip"]').press("Home")
    until(visit.page, seen)
    assert visit.errors == []
