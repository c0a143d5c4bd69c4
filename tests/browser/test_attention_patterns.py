"""Arcs, means, rollout, what position alone explains, both forms of ALiBi: the attention view in a blank page."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from bloomlab.lens.attention import arcs, content_only, head_average, overlap, position_only, position_share, rollout
from bloomlab.model.alibi import slopes
from bloomlab.text.tokens import visible
from tests.browser.blank_page import BlankPage
from tests.browser.conftest import THEMES, Visit
from tests.browser.test_accessibility import grave
from tests.browser.test_attention_module import cividis, steps_apart
from tests.browser.texts import HOSTILE, TEXTS
from tests.browser.waiting import redrawn
from tests.views.lone import attention_view
from tests.views.small_trace import small_trace

TEXT = "Leo lives in Oslo."
TOKENS = 9
LOWER = np.tril_indices(TOKENS)


@pytest.fixture
def blank(visit: Visit) -> Iterator[BlankPage]:
    """A page with the attention of a short text; afterwards, nothing may have gone wrong in it."""
    page = BlankPage(visit.page)
    page.draw(attention_view(small_trace, TEXT, layer=2, head=3))
    yield page
    assert visit.errors == []
    assert visit.refused == []


def choose_pattern(blank: BlankPage, name: str) -> None:
    """Press a toggle, and let Python answer."""
    blank.page.locator(f'input[value="{name}"]').check()
    blank.answered()
    expect(blank.page.locator(".bl-matrix")).to_have_attribute("data-exact", "true")


# ---- the numbers: the same as the lens's ----


def test_patterns_shares_and_links_on_the_page_are_those_of_the_lens(blank: BlankPage) -> None:
    trace = small_trace(TEXT)
    scores, probs = (trace[f"h.2.attn.{name}"][0, 3] for name in ("scores", "probs"))
    value = {"scores": scores[LOWER].tolist(), "probs": probs[LOWER].tolist(), "slope": slopes(8)[3]}
    found: dict[str, Any] = blank.evaluate(
        "{positionOnly, contentOnly, overlap, strongestLinks} from attention/patterns.js",
        """(() => {
            const [position, content] = [positionOnly(value.slope, 9), contentOnly(value.scores, 9)];
            return {
                position: [...position], content: [...content], links: strongestLinks(value.probs, 0, 9, 5),
                shares: [overlap(value.probs, position, 9), overlap(value.probs, content, 9), overlap([1], [1], 1)],
            };
        })()""",
        value,
    )
    position, content = position_only([slopes(8)[3]], TOKENS)[0], content_only(scores[None, None])[0, 0]
    np.testing.assert_allclose(found["position"], position[LOWER], atol=1e-7)
    np.testing.assert_allclose(found["content"], content[LOWER], atol=1e-6)
    expected = [position_share(trace.stack("attn.probs")[:, 0])[2, 3].item(), overlap(probs, content).item(), 1]
    assert found["shares"] == pytest.approx(expected, abs=1e-6)
    assert [(link["query"], link["key"]) for link in found["links"]] == [
        (link.query, link.key) for link in arcs(probs, count=5)
    ]


def test_both_forms_of_alibi_differ_by_one_number_and_give_one_softmax(blank: BlankPage) -> None:
    trace = small_trace(TEXT)
    scores, probs = (trace[f"h.1.attn.{name}"][0, 5] for name in ("scores", "probs"))
    slope = 0.7  # no power of two: rounding has its say
    found = blank.evaluate(
        "{bothForms} from attention/patterns.js",
        "bothForms(value.scores, value.slope, 7)",
        {"scores": scores[LOWER].tolist(), "slope": slope},
    )
    between = np.subtract(found["trained"], found["paper"])
    np.testing.assert_allclose(between, slope * 7)
    np.testing.assert_allclose(found["probs"]["trained"], found["probs"]["paper"], atol=1e-15)
    assert 0 < found["error"] < 1e-15
    plain = blank.evaluate(
        "{bothForms} from attention/patterns.js",
        "bothForms(value.scores, value.slope, 7)",
        {"scores": scores[LOWER].tolist(), "slope": slopes(8)[5]},
    )
    np.testing.assert_allclose(plain["probs"]["paper"], probs[7, :8], atol=1e-6)


# ---- the picture ----


def test_the_shares_stand_beside_the_matrix_and_follow_the_head(blank: BlankPage) -> None:
    page = blank.page
    share = position_share(small_trace(TEXT).stack("attn.probs")[:, 0])
    number = page.locator('[data-share="position"]')
    expect(number).to_have_text(f"{share[2, 3]:.2f}")
    page.locator('[data-layer="2"][data-head="5"]').click()
    expect(number).to_have_text(f"{share[2, 5]:.2f}")
    assert "mean over all tokens but the first" in page.locator('[data-part="share-says"]').inner_text()
    alone = position_only([slopes(8)[5]], TOKENS)[0]
    for query, key in [(1, 0), (8, 8), (8, 2)]:
        seen = blank.pixel('[data-part="position-alone"]', key, query)
        assert steps_apart(seen, cividis(alone[query, key].item())) <= 1


@pytest.mark.parametrize("name", ["layer", "all", "rollout"])
def test_a_mean_or_the_rollout_is_painted_and_said(blank: BlankPage, name: str) -> None:
    page, probs = blank.page, small_trace(TEXT).stack("attn.probs")[:, 0]
    expected = {"layer": head_average(probs)[2], "all": probs.mean((0, 1)), "rollout": rollout(probs)[2]}[name]
    choose_pattern(blank, name)
    assert blank.root("pattern") == name
    for query, key in [(0, 0), (4, 2), (8, 8), (8, 0)]:
        assert steps_apart(blank.pixel('[data-part="canvas"]', key, query), cividis(expected[query, key].item())) <= 1
    live = page.locator('[data-part="live"]').inner_text()
    query, key = int(blank.root("query")), int(blank.root("key"))
    assert f"{expected[query, key]:.3f}" in live
    assert {"layer": "mean of the 8 heads of layer 2", "all": "mean of all 32 heads", "rollout": "up to layer 2"}[
        name
    ] in live
    assert page.locator('input[value="content"]').is_disabled()
    choose_head = page.locator('input[value="head"]')
    choose_head.check()
    assert page.locator('input[value="content"]').is_enabled()


def test_until_a_mean_has_come_nothing_is_shown_in_its_place(blank: BlankPage) -> None:
    page = blank.page
    page.locator('input[value="rollout"]').check()
    expect(page.locator(".bl-matrix")).to_have_attribute("data-exact", "false")
    assert "fetching" in page.locator(".bl-panel-matrix .bl-title").first.inner_text()
    assert page.locator('[data-part="live"]').inner_text().endswith("a share of …")
    assert page.locator('[data-part="strip"]').get_attribute("data-bars") is None


def test_both_forms_are_shown_when_they_are_unfolded(blank: BlankPage) -> None:
    page = blank.page
    forms = page.locator('[data-part="forms"]')
    assert forms.locator("tbody tr").count() == 0
    forms.locator("summary").click()
    rows = forms.locator("tbody tr")
    expect(rows).to_have_count(6)
    query, slope = int(blank.root("query")), slopes(8)[3]
    assert {row.locator("td").nth(2).inner_text() for row in rows.all()} == {f"{slope * query:.3f}"}
    assert all(row.locator("td").nth(3).inner_text() == row.locator("td").nth(4).inner_text() for row in rows.all())
    assert float(forms.get_attribute("data-error") or 1) < 1e-15
    assert f"all {query + 1} keys" in page.locator('[data-part="forms-check"]').inner_text()


# ---- the arcs ----


def inked(blank: BlankPage) -> int:
    """How many pixels of the arcs' canvas are painted."""
    code = (
        "(c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((v, i) => i % 4 === 3 && v).length"
    )
    count: int = blank.page.locator('[data-part="arcs-canvas"]').evaluate(code)
    return count


def test_the_arcs_are_the_strongest_links_and_all_of_the_selected_token(blank: BlankPage) -> None:
    probs = small_trace(TEXT)["h.2.attn.probs"][0, 3]
    query = int(blank.root("query"))
    own = {(query, key) for key in range(query) if probs[query, key] >= 0.01}
    others = {(link.query, link.key) for link in arcs(probs, count=24) if link.weight >= 0.01}
    expect(blank.page.locator('[data-part="arcs"]')).to_have_attribute("data-query", str(query))
    redrawn(blank.page)
    count = blank.page.locator('[data-part="arcs"]').get_attribute("data-arcs")
    assert int(count or 0) in {len(own | others), len(own | others | {(query, int(blank.root("key")))})}
    assert inked(blank) > 500
    says = blank.page.locator('[data-part="arcs-says"]').inner_text()
    best = sorted(range(query + 1), key=lambda key: -probs[query, key])[:3]
    assert all(f"{probs[query, key]:.3f}" in says for key in best)


def test_the_arrow_keys_step_who_looks_and_from_the_strongest_arc_to_the_weakest(blank: BlankPage) -> None:
    probs = small_trace(TEXT)["h.2.attn.probs"][0, 3]
    line = blank.page.locator('[data-part="arcs"]')
    line.press("ArrowLeft")
    assert blank.root("query") == "7"
    order = probs[7, :8].argsort(descending=True).tolist()
    assert blank.root("key") == str(order[0])
    for key in [*order[1:], order[-1]]:
        line.press("ArrowDown")
        assert blank.root("key") == str(key)
    line.press("ArrowUp")
    assert blank.root("key") == str(order[-2])
    line.press("ArrowRight")
    line.press("ArrowRight")
    assert blank.root("query") == "8"


def test_a_click_on_a_name_chooses_it_and_the_pointer_lights_it_up_everywhere(blank: BlankPage) -> None:
    name = blank.page.locator('[data-part="arcs"] [data-token="4"]')
    name.hover()
    expect(blank.page.locator('.bl-part[data-token="4"]')).to_have_attribute("data-pointed", "")
    expect(name).to_have_attribute("data-pointed", "")
    name.click()
    assert blank.root("query") == "4"
    blank.page.mouse.move(2, 2)
    expect(blank.page.locator('[data-part="arcs"] [data-token="4"]')).to_have_attribute("data-picked", "")


def test_an_arc_under_the_pointer_is_explained_and_a_click_chooses_it(blank: BlankPage) -> None:
    key = int(small_trace(TEXT)["h.2.attn.probs"][0, 3, 8, :7].argmax())
    canvas = blank.page.locator('[data-part="arcs-canvas"]')
    canvas.scroll_into_view_if_needed()
    redrawn(blank.page)
    box = canvas.bounding_box()
    assert box is not None and blank.root("query") == "8"
    slot, tall = box["width"] / TOKENS, box["height"] - 8
    top = tall * math.sqrt((8 - key) / 8)  # of the arc from 8 to that key, over the middle between them
    blank.page.mouse.move(box["x"] + (key + 8 + 1) / 2 * slot, box["y"] + box["height"] - top)
    ledger = blank.page.locator('[data-part="ledger"]')
    expect(ledger).to_have_attribute("data-key", str(key))
    expect(ledger).to_have_attribute("data-query", "8")
    blank.page.mouse.down()
    blank.page.mouse.up()
    assert (blank.root("query"), blank.root("key")) == ("8", str(key))


def test_right_to_left_text_runs_from_the_right_and_its_keys_too(visit: Visit) -> None:
    blank = BlankPage(visit.page)
    blank.draw(attention_view(small_trace, TEXTS["arabic"]))
    line = visit.page.locator('[data-part="arcs"]')
    assert line.get_attribute("dir") == "rtl"
    first, second = (line.locator(f'[data-token="{token}"]').bounding_box() for token in (0, 1))
    assert first is not None and second is not None and first["x"] > second["x"]
    before = int(blank.root("query"))
    line.press("ArrowRight")  # back in the text
    assert int(blank.root("query")) == before - 1
    canvas = visit.page.locator('[data-part="arcs-canvas"]').bounding_box()
    assert canvas is not None and abs(canvas["x"] + canvas["width"] - first["x"] - first["width"]) < 2
    assert visit.errors == []


def test_a_long_text_shows_a_stretch_of_it_and_says_where_the_rest_is(visit: Visit) -> None:
    text = "a b c. " * 40
    blank = BlankPage(visit.page)
    blank.draw(attention_view(small_trace, text))
    page = visit.page
    tokens = int(blank.root("tokens"))
    assert page.locator(".bl-arcs-name").count() == 96 < tokens
    assert (
        f"tokens {tokens - 96} to {tokens - 1} of {tokens} stand here"
        in page.locator('[data-part="arcs-says"]').inner_text()
    )
    page.locator('[data-part="strip"]').press("Home")
    expect(page.locator(".bl-arcs-name").first).to_have_attribute("data-token", "0")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert visit.errors == []


def test_one_token_has_no_arcs_and_one_number_says_why(visit: Visit) -> None:
    blank = BlankPage(visit.page)
    blank.draw(attention_view(small_trace, "a"))
    assert not visit.page.locator('[data-part="arcs"]').is_visible()
    assert "one token can only look at itself" in visit.page.locator('[data-part="share-says"]').inner_text()
    assert visit.errors == []


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_in_arcs_and_forms_are_only_text(visit: Visit, text: str) -> None:
    blank = BlankPage(visit.page)
    blank.draw(attention_view(small_trace, text))
    page = visit.page
    page.locator('[data-part="forms"] summary').click()
    shown = page.locator(".bl-arcs-name:first-child .bl-token").text_content()
    assert shown and visible(text).startswith(shown.split(" ")[0])
    assert "\u202e" not in page.locator(".bloomlab").inner_text()
    assert page.evaluate("window.canary") is None
    assert page.locator(".bloomlab img, .bloomlab script, .bloomlab svg").count() == 0
    assert visit.errors == [] and visit.refused == []


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("pattern", ["head", "rollout"])
def test_axe_finds_nothing_grave_with_everything_unfolded(chromium: Browser, pattern: str, theme: str) -> None:
    visit = Visit(chromium)
    page = visit.page
    blank = BlankPage(page)
    page.evaluate("(light) => document.body.setAttribute('data-jp-theme-light', light)", str(theme == "light").lower())
    blank.draw(attention_view(small_trace, TEXTS["english"], pattern=pattern))
    page.evaluate(
        "document.body.style.background = getComputedStyle(document.querySelector('.bloomlab')).backgroundColor"
    )
    page.locator('[data-part="forms"] summary').click()
    assert grave(page) == []
    visit.close()


def test_a_saved_page_has_the_means_and_the_rollout_inside(visit: Visit, tmp_path: Any) -> None:
    path = attention_view(small_trace, TEXT, layer=2).save(tmp_path / "page.html")
    page = visit.page
    page.goto(path.as_uri())
    expect(page.locator(".bloomlab")).to_have_attribute("data-state", "ready")
    probs = small_trace(TEXT).stack("attn.probs")[:, 0]
    for name, expected in [("layer", head_average(probs)[2]), ("rollout", rollout(probs)[2])]:
        page.locator(f'input[value="{name}"]').check()
        expect(page.locator(".bl-matrix")).to_have_attribute("data-exact", "true")
        root = page.locator(".bloomlab")
        query, key = (int(root.get_attribute(f"data-{name}") or 0) for name in ("query", "key"))
        assert f"{expected[query, key]:.3f}" in page.locator('[data-part="live"]').inner_text()
    assert visit.errors == [] and visit.refused == []
