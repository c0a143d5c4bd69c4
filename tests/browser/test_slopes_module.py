"""The slope desk in a page: dragged, stepped, typed, reset; its numbers are those of lab.trace with that edit."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import bloomlab
from bloomlab.lens.alibi import mean_distance
from bloomlab.lens.effect import effect
from bloomlab.model.alibi import slopes
from bloomlab.tracing.edits import scale
from tests.browser.blank_page import RAISED, BlankPage
from tests.browser.conftest import THEMES, Visit
from tests.browser.test_accessibility import grave
from tests.browser.texts import TEXTS
from tests.browser.waiting import until

pytestmark = pytest.mark.browser

TEXT = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
LAB = bloomlab.load()
READ = ["attn.probs", "attn.alibi", "logits"]


@pytest.fixture
def blank(visit: Visit) -> Iterator[BlankPage]:
    page = BlankPage(visit.page)
    page.draw(LAB.alibi(TEXT))
    yield page
    assert visit.errors == []
    assert visit.refused == []


def number(page: Page, selector: str) -> list[float]:
    text = page.locator(selector).inner_text().replace("−", "-")
    found = re.findall(r"(-?\d+(?:\.\d+)?)(?: × 10([⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+))?", text)
    return [float(digits) * 10.0 ** int(power.translate(RAISED) or 0) for digits, power in found]


def shown_slope(page: Page, head: int) -> float:
    return float(page.locator(f'[data-part="slopes"] .bl-slope[data-head="{head}"]').get_attribute("data-slope") or -1)


def grip(page: Page, head: int) -> tuple[float, float]:
    """Where a lollipop is taken hold of."""
    box = page.locator(f'[data-part="slopes"] .bl-slope[data-head="{head}"] .bl-slope-grip').bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def reads_as(blank: BlankPage, edit: object) -> None:
    """What stands in the page is what lab.trace says with this edit."""
    page, layer, head = blank.page, int(blank.root("layer")), int(blank.root("head"))
    whole, edited = LAB.trace(TEXT, READ), LAB.trace(TEXT, READ, edit=edit)
    assert number(page, '[data-fact="distance"]')[0] == pytest.approx(
        mean_distance(edited)[layer, head].item(), abs=6e-3
    )
    found = effect(whole, edited)
    losses = [run[:-1].mean().item() for run in (found.before, found.after)]
    assert number(page, '[data-effect="loss"]') == pytest.approx([*losses, losses[1] - losses[0]], abs=1.1e-3)
    assert number(page, '[data-effect="kl"]')[0] == pytest.approx(found.kl[-1].item(), abs=6e-4)
    oslo = found.predicted[0, -1]
    chances = [run["logits"][0, -1].softmax(-1)[oslo].item() for run in (whole, edited)]
    assert number(page, '[data-effect="next"]')[:2] == pytest.approx(chances, abs=6e-4)


def test_a_slope_is_dragged_with_one_message_at_a_time_and_one_step_back(blank: BlankPage) -> None:
    page = blank.page
    x, y = grip(page, 3)
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, 11):
        page.mouse.move(x, y + 4 * step)
    until(page, "model.unsent() === 0 && model.sent.some((message) => message.wished)")
    wishes = [message for message in page.evaluate("model.sent") if "wished" in message]
    assert len(wishes) == 1  # the others wait
    blank.settled()
    page.mouse.move(x, y + 60)
    blank.settled()
    page.mouse.up()
    blank.settled()
    assert blank.root("head") == "3" and len(blank.view.changes) == 1
    factor = float(blank.view.changes[0].split("×")[1])
    assert 0.05 < factor < 0.4
    exact = blank.view.picture["desk"]["heads"][3]
    assert exact == pytest.approx(factor, rel=0.01)
    assert shown_slope(page, 3) == pytest.approx(slopes(8)[3] * exact, rel=1e-5)
    reads_as(blank, {"attn.alibi": scale(exact, head=3)})
    ghost = page.locator('[data-part="slopes"] [data-ghost="3"]')
    assert ghost.is_visible() and not page.locator('[data-part="slopes"] [data-ghost="2"]').is_visible()
    page.locator('[data-part="slopes"]').press("Control+z")
    blank.settled()
    assert blank.view.changes == [] and shown_slope(page, 3) == slopes(8)[3] and not ghost.is_visible()


def test_dragged_below_the_axis_a_slope_is_0_and_can_be_taken_up_again(blank: BlankPage) -> None:
    page = blank.page
    x, y = grip(page, 1)
    box = page.locator('[data-part="slopes"]').bounding_box()
    assert box is not None
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, box["y"] + box["height"] + 30, steps=4)
    blank.settled()
    page.mouse.up()
    blank.settled()
    assert blank.view.changes == ["slope of head 1 × 0"] and shown_slope(page, 1) == 0
    assert page.locator('[data-fact="reach"]').inner_text() == "everywhere"
    dot = page.locator('[data-part="slopes"] .bl-slope[data-head="1"]').bounding_box()
    box = page.locator('[data-part="slopes"]').bounding_box()
    assert (
        dot is not None and box is not None and box["y"] < dot["y"] < box["y"] + box["height"]
    )  # it stands in the picture
    reads_as(blank, {"attn.alibi": scale(0.0, head=1)})
    x, y = grip(page, 1)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, box["y"] + box["height"] / 2, steps=4)
    blank.settled()
    page.mouse.up()
    blank.settled()
    assert 0 < shown_slope(page, 1) < 1


def test_a_finger_drags_as_a_mouse_does(blank: BlankPage) -> None:
    page = blank.page
    x, y = grip(page, 2)
    touch = page.context.new_cdp_session(page)

    def send(kind: str, *points: dict[str, float]) -> None:
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    send("touchStart", {"x": x, "y": y})
    for step in range(1, 6):
        send("touchMove", {"x": x, "y": y - 6 * step})
        blank.settled()
    send("touchEnd")
    blank.settled()
    assert shown_slope(page, 2) > 1.5 * slopes(8)[2] and len(blank.view.changes) == 1
    height = page.locator('[data-part="slopes"] .bl-slope-grip').first.bounding_box()
    assert height is not None and height["height"] >= 44


def test_a_click_without_a_move_only_chooses_the_head(blank: BlankPage) -> None:
    x, y = grip(blank.page, 5)
    blank.page.mouse.move(x, y)
    blank.page.mouse.down()
    blank.page.mouse.up()
    blank.settled()
    assert blank.root("head") == "5" and blank.view.changes == []


def test_keys_step_a_slope_by_fourth_roots_of_two_and_plain_arrows_choose(blank: BlankPage) -> None:
    page, desk = blank.page, blank.page.locator('[data-part="slopes"]')
    desk.press("ArrowRight")
    blank.settled()
    assert (blank.root("head"), blank.view.changes) == ("1", [])
    for presses in range(1, 5):
        desk.press("Shift+ArrowUp")
        blank.settled()
        assert shown_slope(page, 1) == pytest.approx(slopes(8)[1] * 2 ** (presses / 4), rel=1e-5)
    assert blank.view.changes == ["slope of head 1 × 2"] and len(blank.view._edits.past) == 4
    reads_as(blank, {"attn.alibi": scale(2, head=1)})
    said = page.locator(f'[id="{desk.get_attribute("aria-activedescendant")}"]').get_attribute("aria-label")
    assert said == "head 1, slope ½, ¼ × 2, reach 6 tokens".replace("½", "1⁄2").replace("¼", "1⁄4")
    desk.press("Shift+ArrowDown")
    blank.settled()
    assert shown_slope(page, 1) == pytest.approx(slopes(8)[1] * 2**0.75, rel=1e-5)
    desk.press("Delete")
    blank.settled()
    assert blank.view.changes == [] and shown_slope(page, 1) == slopes(8)[1]


@pytest.mark.parametrize(
    ("typed", "factor"),
    [("0.125", 0.25), ("1/8", 0.25), ("×3", 3), ("x 0,5", 0.5), ("*2", 2), ("0", 0), ("2e-3", 0.004)],
)
def test_a_slope_is_typed_as_a_number_a_fraction_or_a_factor(blank: BlankPage, typed: str, factor: float) -> None:
    box = blank.page.locator('[data-part="slope-typed"]')
    box.fill(typed)
    box.press("Enter")
    blank.settled()
    assert shown_slope(blank.page, 0) == pytest.approx(0.5 * factor, rel=1e-5)
    assert [repr(edit) for edit in blank.view.edits["attn.alibi"]] == [repr(scale(factor, head=0))]
    blank.page.locator('[data-part="slope-reset"]').click()
    blank.settled()
    assert blank.view.changes == [] and box.input_value() == "0.5"


@pytest.mark.parametrize("typed", ["steep", "-1", "1/0", "1e9", "", "nan", "<img src=x onerror=window.canary=1>"])
def test_what_is_no_slope_is_refused_where_it_was_typed(blank: BlankPage, typed: str) -> None:
    page = blank.page
    box, says = page.locator('[data-part="slope-typed"]'), page.locator('[data-part="slope-says"]')
    box.fill(typed)
    box.press("Enter")
    expect(says).to_contain_text("from 0 to 100")
    assert box.get_attribute("aria-invalid") == "true" and blank.view.changes == []
    box.press("Escape")
    assert (box.input_value(), says.inner_text(), box.get_attribute("aria-invalid")) == ("0.5", "", None)
    assert page.evaluate("window.canary") is None


def test_all_slopes_are_doubled_halved_flattened_and_as_trained_again(blank: BlankPage) -> None:
    page = blank.page

    def press(name: str) -> list[float]:
        page.locator(f'[data-desk="{name}"]').click()
        blank.settled()
        return [shown_slope(page, head) / slopes(8)[head] for head in range(8)]

    assert page.locator('[data-desk="trained"]').is_disabled()
    assert press("halve") == pytest.approx([0.5] * 8)
    reads_as(blank, {"attn.alibi": scale(0.5)})
    assert press("double") == pytest.approx([1] * 8) and blank.view.changes == []
    assert press("double") == pytest.approx([2] * 8) and blank.view.changes == ["all slopes × 2"]
    page.locator('[data-part="slope-typed"]').fill("×1.5")
    page.locator('[data-part="slope-typed"]').press("Enter")
    blank.settled()
    assert shown_slope(page, 0) == pytest.approx(0.75)  # the factor is one of the trained slope
    assert press("flat") == [0] * 8
    assert page.locator('[data-desk="double"]').is_disabled()
    page.locator('[data-part="slopes"]').press("Shift+ArrowUp")  # one head leaves the floor, the others stay
    blank.settled()
    assert shown_slope(page, 0) == pytest.approx(2**-10, rel=1e-5) and all(
        shown_slope(page, head) == 0 for head in range(1, 8)
    )
    assert press("trained") == [1] * 8 and blank.view.changes == []
    page.locator('[data-part="slopes"]').press("Control+z")
    blank.settled()
    assert shown_slope(page, 0) == pytest.approx(2**-10, rel=1e-5)


def test_the_run_as_it_is_cannot_be_moved_and_says_why(blank: BlankPage) -> None:
    page = blank.page
    page.locator('[data-desk="halve"]').click()
    blank.settled()
    page.locator('[data-part="runs"] input[value="as it is"]').check()
    blank.settled()
    assert "choose “what if”" in page.locator('[data-part="desk"]').inner_text()
    assert page.locator('[data-desk="halve"]').is_disabled() and page.locator('[data-part="slope-typed"]').is_disabled()
    page.locator('[data-part="slopes"]').press("Shift+ArrowUp")
    x, y = grip(page, 2)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + 40, steps=3)
    page.mouse.up()
    blank.settled()
    assert blank.view.changes == ["all slopes × 0.5"] and shown_slope(page, 2) == slopes(8)[2]


def test_one_token_says_that_it_has_no_distances(visit: Visit) -> None:
    blank = BlankPage(visit.page)
    blank.draw(LAB.alibi("Leo"))
    assert "no distances" in visit.page.locator('[data-part="desk"]').inner_text()
    assert visit.page.locator('[data-desk="flat"]').is_disabled() and visit.errors == []


def test_the_difference_names_where_the_change_is_largest_and_greys_what_was_not_reached(visit: Visit) -> None:
    blank, page = BlankPage(visit.page), visit.page
    blank.draw(LAB.alibi(TEXT, edit={"h.2.attn.alibi": scale(0.25, head=0)}))
    page.locator('[data-part="runs"] input[value="difference"]').check()
    blank.settled()
    runs = [mean_distance(LAB.trace(TEXT, READ, edit=edit)) for edit in (None, blank.view.edits)]
    change = runs[1] - runs[0]
    layer, head = divmod(int(change.abs().argmax()), 8)
    part = page.locator('[data-part="head-change"]')
    assert part.get_attribute("data-largest") == f"{layer}.{head}"
    was, now = (run[layer, head].item() for run in runs)
    assert f"it looks {was:.2f} → {now:.2f} tokens back" in part.inner_text()
    assert float(part.get_attribute("data-limit") or 0) == pytest.approx(change.abs().max().item(), abs=1e-5)
    colours = {
        place: blank.pixel('[data-part="change-cells-canvas"]', place[1], place[0])
        for place in [(0, 0), (1, 5), (2, 3), (2, 0)]
    }
    assert colours[0, 0] == colours[1, 5] == colours[2, 3] != colours[2, 0]
    cells = page.locator('[data-part="change-cells"]')
    part.locator("button").click()
    blank.settled()
    assert (blank.root("layer"), blank.root("head")) == (str(layer), str(head))
    assert number(page, '[data-fact="distance"]') == pytest.approx([was, now], abs=6e-3)
    cells.press("ArrowUp")
    cells.press("ArrowUp")
    assert (cells.get_attribute("aria-label") or "").endswith("not reached")
    for name in ("previous", "position", "content"):
        part.locator(f'input[value="{name}"]').check()
        assert part.get_attribute("data-what") == name
    assert not page.locator('[data-part="bias"]').is_visible() and visit.errors == []


def test_the_loss_by_slope_is_drawn_as_it_is_measured_and_can_be_stopped(visit: Visit) -> None:
    blank, page = BlankPage(visit.page), visit.page
    blank.draw(LAB.alibi(TEXT, texts=TEXT * 4, edit={"attn.alibi": scale(0.5, head=3)}))
    lab = page.locator('[data-part="lab"]')
    lab.locator('input[value="slopes"]').check()
    blank.settled()
    assert (lab.get_attribute("data-question"), lab.get_attribute("data-state")) == ("slopes", "idle")
    job = blank.view._begin(panel := blank.view.panels["alibi"], panel.jobs[0])
    for _ in range(4):
        job._step()
    blank.push()
    assert (lab.get_attribute("data-state"), lab.get_attribute("data-points")) == ("running", "3")  # one is the desk's
    page.locator('[data-part="lab-stop"]').click()
    blank.settled()
    assert (lab.get_attribute("data-state"), lab.get_attribute("data-points")) == ("stopped", "3")
    blank.view.run_length_lab()
    blank.push()
    found = blank.view.lengths["by_slope"]
    assert lab.get_attribute("data-points") == "14" and page.locator('[data-part="lab-table"] tbody tr').count() == 15
    assert f"the slopes as they stood, {found['desk']:.3f}" in lab.inner_text()
    assert f"{dict(found['points'])[0.5]:.3f}" in page.locator('[data-part="lab-table"]').inner_text()
    lab.locator('input[value="lengths"]').check()
    blank.settled()
    assert lab.get_attribute("data-state") == "idle" and visit.errors == []


def test_a_saved_page_has_the_effect_and_no_desk(visit: Visit, tmp_path: Path) -> None:
    view = LAB.explore(TEXT, edit={"attn.alibi": scale(0.5, head=3)})
    view.tab = "alibi"
    page = visit.page
    page.goto(view.save(tmp_path / "x.html").as_uri())
    assert not page.locator('[data-part="desk"]').is_visible()
    assert not page.locator('[data-part="slope-typed"]').is_visible()
    edited = LAB.trace(TEXT, READ, edit=view.edits)
    kl = effect(LAB.trace(TEXT, READ), edited).kl[-1].item()
    assert number(page, '[data-effect="kl"]')[0] == pytest.approx(kl, abs=6e-4)
    for run in ("as it is", "difference", "what if"):
        page.locator(f'[data-part="runs"] input[value="{run}"]').check()
        assert shown_slope(page, 3) == slopes(8)[3] / (1 if run == "as it is" else 2)
    x, y = grip(page, 2)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + 40, steps=3)
    page.mouse.up()
    page.locator('[data-part="slopes"]').press("Shift+ArrowUp")
    assert shown_slope(page, 2) == slopes(8)[2]
    assert visit.errors == [] and visit.refused == []


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("text", [TEXT, TEXTS["arabic"]], ids=["english", "arabic"])
def test_the_desk_is_accessible_and_fits_on_one_screen(visit: Visit, theme: str, text: str) -> None:
    page, width, height = visit.page, 816, 580
    page.set_viewport_size({"width": width, "height": height})
    blank = BlankPage(page)
    page.evaluate("(light) => document.body.setAttribute('data-jp-theme-light', light)", str(theme == "light").lower())
    view = LAB.explore(text)
    view.tab = "alibi"
    blank.draw(view)
    page.evaluate("document.body.style.margin = 0")
    page.evaluate(
        "document.body.style.background = getComputedStyle(document.querySelector('.bloomlab')).backgroundColor"
    )
    name = f"slopes-{'arabic' if text != TEXT else 'english'}-{theme}"
    for step in ("trained", "moved", "flat", "difference"):
        if step == "moved":
            page.locator('[data-part="slopes"]').press("Shift+ArrowDown")
        elif step == "flat":
            page.locator('[data-desk="flat"]').click()
        elif step == "difference":
            page.locator('[data-part="runs"] input[value="difference"]').check()
        blank.settled()
        bottom = page.evaluate("document.querySelector('.bloomlab').getBoundingClientRect().bottom")
        assert bottom <= height and page.evaluate("document.documentElement.scrollWidth") <= width, step
        for part in ("slopes", "desk", "effect"):
            box = page.locator(f'[data-panel="alibi"] [data-part="{part}"]').bounding_box()
            assert box is not None and box["y"] + box["height"] <= page.evaluate(
                "document.querySelector('.bl-foot').getBoundingClientRect().top"
            ), (step, part)
        assert grave(page) == [], step
        visit.screenshot(f"{name}-{step}")
    assert visit.errors == []
