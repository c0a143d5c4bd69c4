"""The writing view's ES module in a blank page: steps, branches, settings, play, the cache, a file."""

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, Page, expect

from bloomlab.lab import load
from bloomlab.tracing.edits import zero
from bloomlab.views.view import View
from bloomlab.views.writing.writing import Writing
from tests.browser.blank_page import BlankPage
from tests.browser.conftest import Visit
from tests.browser.test_accessibility import grave
from tests.browser.texts import HOSTILE, TEXTS
from tests.browser.waiting import redrawn

LAB = load()
TEXT = "Leo lives in Oslo. He has a cat. Leo lives in"
EDIT = {"h.3.attn.mixed": zero(head=[4, 5])}


class Written:
    """A page with a writing in it."""

    def __init__(self, visit: Visit, text: str = TEXT, **settings: Any) -> None:
        self.visit, self.writing = visit, LAB.write(text, **settings)
        self.blank = BlankPage(visit.page)
        self.blank.draw(self.writing.view)

    @property
    def view(self) -> View:
        return self.writing.view

    def answered(self) -> list[dict[str, Any]]:
        """Give Python what the page asked for, and wait until the answer is drawn."""
        messages = self.blank.answered()
        self.drawn()
        return messages

    def push(self) -> None:
        self.blank.push()
        self.drawn()

    def drawn(self) -> None:
        redrawn(self.visit.page)

    def click(self, selector: str) -> None:
        self.visit.page.locator(selector).click()
        self.answered()

    def setting(self, name: str, value: str) -> None:
        self.visit.page.locator(f'[data-setting="{name}"]').fill(value)
        self.answered()

    def bars(self) -> dict[int, tuple[float, float]]:
        """Of each listed token, the probability before and after, as the page has them."""
        code = "all => all.map(e => ['row', 'before', 'after'].map(name => Number(e.getAttribute('data-' + name))))"
        rows = self.visit.page.locator("[data-part=bars] [data-row]").evaluate_all(code)
        return {int(token): (before, after) for token, before, after in rows}


@pytest.fixture
def written(visit: Visit) -> Iterator[Written]:
    yield Written(visit)
    assert visit.errors == [] and visit.refused == []


def part(page: Page, name: str) -> Any:
    return page.locator(f'[data-part="{name}"]')


def test_a_step_back_and_another_token_is_a_branch(written: Written, visit: Visit) -> None:
    page, writing = visit.page, written.writing
    written.click('[data-part="step"]')
    assert writing.at == 1 and written.blank.root("at") == "1"
    assert part(page, "written").inner_text() == writing.text
    expect(part(page, "live")).to_contain_text("·Oslo greedy, rank 1: p 0.065")
    written.click('[data-part="back"]')
    second = list(written.bars())[1]
    written.click(f'[data-token="{second}"]')
    assert writing.tree.nodes[writing.at].token_id == second and len(writing.tree.nodes) == 3
    rows = part(page, "branches").locator("[data-end]")
    assert rows.count() == 3
    p = float(torch.exp(torch.tensor(writing.tree.nodes[1].log_prob)))
    expect(rows.nth(1)).to_contain_text(f"p {p:.3f}")
    rows.nth(1).click()
    written.answered()
    assert writing.at == 1
    visit.screenshot("writing-branches")


def test_settings_move_the_bars_and_the_model_does_not_run(
    written: Written, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    written.click('[data-part="step"]')
    first = written.bars()
    assert sorted(after for _, after in first.values())[-2:] == [0, 1]  # greedy
    with monkeypatch.context() as patch:
        patch.setattr(LAB.model.transformer, "forward", None)  # it cannot
        written.click('[data-setting="sample"]')
        drawn = written.bars()
        assert all(before == pytest.approx(after, rel=1e-3) for before, after in drawn.values())
        written.setting("temperature", "2.5")
        hot = written.bars()
        top = next(iter(hot))
        assert hot[top][0] == drawn[top][0] and hot[top][1] < drawn[top][1]
        written.setting("top_k", "2")
        assert sum(after > 0 for _, after in written.bars().values()) == 2
        expect(part(visit.page, "open")).to_contain_text("2 tokens can come")
    assert written.writing.settings.temperature == 2.5 and written.writing.settings.top_k == 2
    written.setting("top_k", "999999")
    expect(part(visit.page, "message")).to_contain_text("top_k must be a whole number from 1 to 3072")
    assert written.writing.settings.top_k == 2
    assert part(visit.page, "bars").locator("[data-next]").count() == 1


@pytest.mark.slow
def test_it_plays_two_hundred_tokens_and_the_page_keeps_up(visit: Visit) -> None:
    written = Written(visit, "Leo lives in", do_sample=True, seed=4, eos_token_id=None)
    part(visit.page, "speed").select_option("30")
    part(visit.page, "play").click()
    assert written.blank.root("playing") == ""
    for done in range(200):
        messages = written.answered()
        assert len(messages) == 1  # one step is asked for at a time, when the last has come
        assert part(visit.page, "written").locator("[data-node]").count() == written.writing.at + 1
        assert written.writing.at == done + 1
    part(visit.page, "play").click()
    expect(part(visit.page, "play")).to_have_text("play")
    written.blank.settled()
    expected = LAB.generate(
        "Leo lives in", max_new_tokens=written.writing.at, do_sample=True, seed=4, eos_token_id=None
    )
    assert part(visit.page, "written").inner_text() == expected == written.writing.text
    assert visit.errors == []


def test_play_stops_at_the_end_of_a_text(written: Written, visit: Visit) -> None:
    part(visit.page, "play").click()
    written.answered()
    written.writing.branch(LAB.model.config.eos_token_id)
    written.push()
    written.blank.settled()
    expect(part(visit.page, "open")).to_contain_text("the text has ended")
    expect(part(visit.page, "step")).to_be_disabled()
    assert written.writing.ended


def test_what_python_does_the_page_shows(written: Written, visit: Visit) -> None:
    written.writing.play(4).back(2).branch(" Paris")
    written.push()
    assert written.blank.root("at") == str(written.writing.at)
    assert part(visit.page, "written").inner_text() == written.writing.text
    assert part(visit.page, "branches").locator("[data-end]").count() == 4


def test_arrow_keys_go_along_the_text_and_the_branches(written: Written, visit: Visit) -> None:
    written.writing.play(3).back(2).branch(" Paris").play(2)
    written.push()
    text, rows = part(visit.page, "written"), part(visit.page, "branches")
    for key, new in (("ArrowLeft", 3), ("ArrowLeft", 2), ("ArrowRight", 3), ("End", 4), ("Home", 0)):
        text.press(key)
        written.answered()
        assert len(written.writing.tree.path(written.writing.at)) - 1 == new, key
    text.press("ArrowLeft")  # there is nothing before it
    for key, row in (("End", -1), ("Home", 0), ("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1)):
        rows.press(key)
        written.answered()
        assert written.writing.at == written.writing.segments()[row][-1], key


def test_the_cache_fills_and_part_of_it_can_go(written: Written, visit: Visit) -> None:
    page = visit.page
    cells, says = part(page, "cells"), part(page, "cache-says")
    assert cells.get_attribute("data-columns") == "13" == cells.get_attribute("data-left")
    written.click('[data-part="step"]')
    assert cells.get_attribute("data-columns") == "14"
    assert page.locator('[data-fact="bytes"]').inner_text() == "57.3 kB"
    page.locator('input[value="window"]').check()
    written.answered()
    part(page, "window").fill("3")
    part(page, "window").press("Enter")
    written.answered()
    assert cells.get_attribute("data-left") == "4"  # and the newest, which reads itself
    expect(says).to_contain_text(f"The next token moves by {written.view.cache['kl']:.3f} nats (KL)")
    expect(says).to_contain_text("stands as far away as before")
    assert (
        written.blank.pixel('[data-part="cells"]', 0, 0)[3] == 0 != written.blank.pixel('[data-part="cells"]', 12, 0)[3]
    )
    page.locator('input[value="first and window"]').check()
    written.answered()
    expect(says).to_contain_text("brings the first token nearer")
    page.locator('input[value="read afresh"]').check()
    written.answered()
    expect(says).to_contain_text("which is rounding")
    assert written.view.cache["difference"] < 1e-4
    visit.screenshot("writing-cache")


def test_a_branch_can_be_read_in_all_tabs(visit: Visit) -> None:
    view = LAB.explore(TEXT)
    view.tab = "writing"
    blank = BlankPage(visit.page)
    blank.draw(view)
    part(visit.page, "step").click()
    blank.answered()
    part(visit.page, "keep-text").click()
    blank.answered()
    assert view.text == TEXT + " Oslo" and view.tab == "writing" and view.writing.at == 0
    expect(part(visit.page, "written")).to_have_text(TEXT + " Oslo")
    assert visit.errors == []


def test_beams_are_searched_by_a_button(visit: Visit) -> None:
    written = Written(visit, "Leo lives in", num_beams=3, max_new_tokens=6)
    expect(part(visit.page, "step")).to_be_hidden()
    written.click('[data-part="search"]')
    assert written.writing.text == LAB.generate("Leo lives in", num_beams=3, max_new_tokens=6)
    assert part(visit.page, "branches").locator("[data-end]").count() == len(written.writing.segments()) > 3
    visit.page.locator('[data-setting="beams"]').select_option("1")
    written.answered()
    expect(part(visit.page, "step")).to_be_visible()
    assert written.writing.settings.num_beams == 1
    assert visit.errors == []


def test_two_branches_stand_side_by_side_and_where_they_part_is_marked(written: Written, visit: Visit) -> None:
    page, writing = visit.page, written.writing
    writing.play(3)
    written.push()
    written.click('[data-part="pin"]')
    expect(part(page, "parting")).to_have_text("the same so far: 3 new tokens")
    writing.back(2).branch(" Paris").play(1)
    written.push()
    nodes = writing.tree.nodes
    expect(part(page, "parting")).to_contain_text("they part after 1 new token: here ·Paris p ")
    expect(part(page, "parting")).to_contain_text(f"p {math.exp(nodes[2].log_prob):.3f}")
    assert part(page, "beside").get_attribute("data-parting") == "1"
    marked = page.locator("[data-parts]")
    assert marked.count() == 2 and marked.first.get_attribute("data-node") == "4"
    assert part(page, "branches").locator("[data-pinned]").count() == 1
    page.locator('input[value="of the other text"]').check()
    written.answered()
    kl = written.view.cache["kl"]
    expect(part(page, "cache-says")).to_contain_text("With the other text's keys and values, other from token 14 on")
    expect(part(page, "cache-says")).to_contain_text(f"moves by {kl:.3f} nats")
    visit.screenshot("writing-beside")
    assert grave(page) == []
    written.click('[data-part="pin"]')
    expect(part(page, "beside")).to_be_hidden()
    expect(part(page, "cache-says")).to_contain_text("compare with a branch first")


def test_two_runs_write_side_by_side(visit: Visit, tmp_path: Path) -> None:
    text = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
    view = LAB.explore(text, edit=EDIT)
    view.tab = "writing"
    view.run = "difference"
    blank, page = BlankPage(visit.page), visit.page
    blank.draw(view)
    for _ in range(3):
        part(page, "step").click()
        blank.answered()
    plain = LAB.write(text).play(3)
    expect(part(page, "beside-text")).to_have_text(plain.text)
    one, other = LAB.write(text, edit=EDIT).play(3).ids[-3:].tolist(), plain.ids[-3:].tolist()
    parts = next(i for i in range(3) if one[i] != other[i])
    expect(part(page, "parting")).to_contain_text(f"they part after {parts} new tokens")
    rows = part(page, "bars").locator("tbody tr")
    expected = plain.tree.nodes[plain.at].logits.softmax(-1)
    token = int(rows.first.get_attribute("data-row") or -1)
    shown = rows.first.locator("td").nth(3).inner_text()
    assert float(shown) == pytest.approx(float(expected[token]), abs=6e-4)
    visit.screenshot("writing-two-runs")
    assert grave(page) == [] and visit.errors == []
    page.goto(view.save(tmp_path / "x.html").as_uri())
    part(page, "written").locator('[data-node="1"]').click()
    expect(part(page, "beside-text")).to_have_text(plain.tokenizer.decode(plain.tree.ids(1)))
    assert visit.errors == [] and visit.refused == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_heads_are_asked_while_it_is_written(chromium: Browser, theme: str) -> None:
    visit = Visit(chromium)
    written = Written(visit, "Léo habite à Oslo. أنا في ليو")
    page = visit.page
    written.blank.themed(theme)
    page.set_viewport_size({"width": 1280, "height": 900})
    assert part(page, "said").locator("tr").count() == 0
    part(page, "labels").check()
    written.answered()
    written.click('[data-part="step"]')
    said = written.writing.labels()
    for task in ("language", "tags"):
        cells = part(page, "said").locator(f'[data-task="{task}"] td')
        assert cells.all_inner_texts() == [name for name, _ in said[task]]
    written.drawn()
    visit.screenshot(f"writing-heads-{theme}")
    assert grave(page) == [] and visit.errors == []
    page.context.close()


@pytest.mark.parametrize(
    ("name", "direction"), [("arabic", "rtl"), ("hindi", "ltr"), ("chinese", "ltr"), ("emoji", "ltr")]
)
def test_any_language_is_written_as_it_is_read(visit: Visit, name: str, direction: str) -> None:
    start, end = TEXTS[name][: len(TEXTS[name]) // 2], TEXTS[name][len(TEXTS[name]) // 2 :]
    written = Written(visit, start)
    seen = []
    for token in LAB.tokenizer.encode(end):
        written.writing.branch(token)
        written.push()
        seen.append(part(visit.page, "written").evaluate("e => e.textContent"))
        assert "\ufffd" not in seen[-1]  # of half a character its bytes are shown
    assert seen[-1] == TEXTS[name] and part(visit.page, "written").get_attribute("dir") == direction
    whole = [text for text in seen if "⟨0x" not in text]
    assert all(later.startswith(earlier) for earlier, later in pairwise(whole))  # nothing flickers
    visit.screenshot(f"writing-{name}")
    assert visit.errors == []


@pytest.mark.parametrize("text", HOSTILE)
def test_strangers_texts_stay_texts(visit: Visit, text: str) -> None:
    written = Written(visit, text)
    for token in LAB.tokenizer.encode(text)[:12]:
        written.writing.branch(token)
    written.push()
    assert visit.page.evaluate("window.canary") is None
    assert (
        part(visit.page, "written").evaluate("e => e.querySelectorAll('img, script, svg, button, style').length") == 0
    )
    assert visit.errors == []


def test_a_saved_page_has_the_tree_and_every_step(visit: Visit, tmp_path: Path) -> None:
    writing: Writing = LAB.write(TEXT, do_sample=True, seed=2).play(4).back(2).branch(" Paris").play(2)
    visit.page.goto(writing.save(tmp_path / "x.html").as_uri())
    page = visit.page
    for node in range(len(writing.tree.nodes)):
        row = next(row for row in writing.segments() if node in row)
        part(page, "branches").locator(f'[data-end="{row[-1]}"]').click()
        part(page, "written").locator(f'[data-node="{node}"]').click()
        assert page.locator(".bloomlab").get_attribute("data-at") == str(node)
        best = int(writing.tree.nodes[node].logits.argmax())
        probs = writing.tree.nodes[node].logits.double().softmax(-1)
        bar = part(page, "bars").locator(f'[data-row="{best}"]')
        assert float(bar.get_attribute("data-before") or 0) == pytest.approx(float(probs[best]), rel=1e-4)
    expect(part(page, "step")).to_be_disabled()
    expect(part(page, "bars").locator("button").first).to_be_disabled()
    assert part(page, "written").locator('[aria-selected="true"]').count() == 1
    code = part(page, "code").text_content()
    assert code is not None and "writing = lab.write(" in code
    assert visit.errors == [] and visit.refused == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_grave_in_any_state(chromium: Browser, theme: str) -> None:
    context = chromium.new_context()
    page = context.new_page()
    blank, writing = BlankPage(page), LAB.write(TEXTS["english"] + " " + TEXTS["arabic"], do_sample=True, seed=1)
    blank.draw(writing.view)
    blank.themed(theme)
    assert grave(page) == []
    writing.play(40).back(20).branch(" Paris").play(5)
    writing.view.keep = "first and window"
    blank.push()
    assert grave(page) == []
    writing.view.asked = {"do": "jump", "number": 1}
    blank.push()
    expect(part(page, "message")).to_contain_text("cannot 'jump'")
    assert grave(page) == []
    context.close()


@pytest.mark.parametrize("name", ["english", "arabic", "hindi"])
def test_a_long_writing_with_branches_fits_on_one_screen(visit: Visit, tmp_path: Path, name: str) -> None:
    view = LAB.explore(TEXTS[name])
    view.tab = "writing"
    for number in range(1, 61):
        view.writing_asked = {"do": "back" if number % 6 == 0 else "step", "number": number}
        if number % 6 == 0:
            second = view.writing_bars[str(view.writing_at)]["ids"][1]
            view.writing_asked = {"do": "branch", "token": second, "number": number + 1000}
    visit.page.set_viewport_size({"width": 816, "height": 580})
    visit.page.goto(view.save(tmp_path / "x.html").as_uri())
    expect(part(visit.page, "branches").locator("[data-end]")).to_have_count(len(view.writing_tree["rows"]))
    box = visit.page.locator(".bloomlab").bounding_box()
    assert box is not None and box["y"] + box["height"] <= 580
    chosen, room = (
        part(visit.page, "branches").locator(at).bounding_box() for at in ("[aria-selected=true]", "xpath=.")
    )
    assert chosen is not None and room is not None
    assert room["y"] - 1 <= chosen["y"] and chosen["y"] + chosen["height"] <= room["y"] + room["height"] + 1
    visit.screenshot(f"writing-long-{name}")
    assert visit.errors == []
