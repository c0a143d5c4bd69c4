"""The pure helpers of the front end, each file imported by Chromium as it is."""

import re
from typing import Any

import numpy as np
import pytest
from matplotlib import colormaps

from bloomlab.lens.ledger import score_ledger
from bloomlab.views.shared.assets import entry, folder, module_text, style_text
from bloomlab.views.shared.code import quoted
from tests.browser.blank_page import BlankPage
from tests.browser.conftest import Visit
from tests.browser.texts import HOSTILE
from tests.views.small_trace import small_trace


@pytest.fixture
def blank(visit: Visit) -> BlankPage:
    return BlankPage(visit.page)


def test_numbers_are_written_with_a_true_minus_and_slopes_as_fractions(blank: BlankPage) -> None:
    cases = "{fixed, signed, probability, scientific, slopeName} from lib/numbers.js"
    written = blank.evaluate(
        cases,
        "[fixed(-0.4375, 2), fixed(-0.0001, 2), fixed(NaN), fixed(-Infinity), signed(3.2149, 2), signed(-1, 1), "
        "signed(0), probability(0.18049), probability(0.0000123), probability(0), probability(1), scientific(2e-8), "
        "scientific(0), slopeName(1/16), slopeName(0.5), slopeName(Math.SQRT1_2), slopeName(0.08838834)]",
    )
    assert written == [
        *("−0.44", "0.00", "NaN", "−Infinity", "+3.21", "−1.0", "0.000"),
        *("0.180", "1.2 × 10⁻⁵", "0.000", "1.000", "2.0 × 10⁻⁸", "0", "1⁄16", "1⁄2", "0.707", "0.0884"),
    ]


def test_the_ledger_on_the_page_is_the_ledger_in_python(blank: BlankPage) -> None:
    trace = small_trace("Leo lives in Oslo.")
    rows, columns = np.tril_indices(9)
    scores, probs = (trace[f"h.1.attn.{name}"][0, 4] for name in ("scores", "probs"))
    value = {"scores": scores[rows, columns].tolist(), "probs": probs[rows, columns].tolist(), "cells": []}
    value["cells"] = [[query, key] for query in range(9) for key in range(query + 1)]
    found: list[dict[str, Any]] = blank.evaluate(
        "{ledgerOf} from lib/causal.js", "value.cells.map(([query, key]) => ledgerOf(value, 1 / 32, query, key))", value
    )
    for (query, key), ledger in zip(value["cells"], found, strict=True):
        expected = score_ledger(scores, 1 / 32, query, key)
        for part in ("content", "position", "total", "normaliser", "probability"):
            assert ledger[part] == pytest.approx(getattr(expected, part), abs=1e-6)
        assert ledger["captured"] == pytest.approx(ledger["probability"], abs=1e-6)


def test_cividis_is_matplotlibs(blank: BlankPage) -> None:
    table = blank.evaluate("{PROBABILITY_COLOURS} from lib/colours.js", "[...PROBABILITY_COLOURS]")
    expected = np.round(colormaps["cividis"](np.arange(256))[:, :3] * 255).astype(int)
    assert np.array_equal(np.reshape(table, (256, 3)), expected)


def test_colour_steps_run_from_end_to_end(blank: BlankPage) -> None:
    steps = blank.evaluate(
        "{probabilityStep, signedStep} from lib/colours.js",
        "[[0, 0.25, 1, 2, -1].map(probabilityStep), [-2, -1, 0, 1, 2].map((x) => signedStep(x, 1)), signedStep(1, 0)]",
    )
    assert steps == [[0, 128, 255, 255, 0], [0, 0, 128, 255, 255], 128]


def test_the_signed_scale_is_even_around_zero(blank: BlankPage) -> None:
    table = blank.evaluate(
        "{signedColours} from lib/colours.js", "[...signedColours([0, 0, 200], [100, 100, 100], [200, 0, 0])]"
    )
    colours = np.reshape(table, (256, 3))
    assert colours[0].tolist() == [0, 0, 200] and colours[255].tolist() == [200, 0, 0]
    assert np.abs(colours[127:129] - 100).max() <= 1
    assert np.array_equal(colours, colours[::-1, ::-1])


def test_the_direction_is_that_of_the_first_letter(blank: BlankPage) -> None:
    texts = ["Leo", "القطة", "12: שלום", "...", "", "猫", "a القطة", "😀 سلام"]
    ways = blank.evaluate("{direction} from lib/dom.js", "value.map(direction)", texts)
    assert ways == ["ltr", "rtl", "rtl", "ltr", "ltr", "ltr", "ltr", "rtl"]


def test_a_text_is_written_as_python_writes_it(blank: BlankPage) -> None:
    texts = [*HOSTILE, "\x00\x7f\x85\u2028!ls\\\"'", "é猫😀\u200d🚀", "%bloom {x}?\r\n"]
    assert blank.evaluate("{inPython} from lib/code.js", "value.map(inPython)", texts) == list(map(quoted, texts))


def test_a_burst_of_calls_becomes_the_last_one(blank: BlankPage) -> None:
    calls = blank.page.evaluate(
        """async () => {
            const { lastOf } = await import("http://127.0.0.1/widgets/lib/dom.js");
            const calls = [];
            const late = lastOf(20, (n) => calls.push(n));
            for (let n = 0; n < 100; n++) late(n);
            await new Promise((done) => setTimeout(done, 80));
            return calls;
        }"""
    )
    assert calls == [99]


VIEWS = sorted({path.stem for path in folder().rglob("*.js") if entry(path.stem) == path})


@pytest.mark.parametrize("view", VIEWS)
def test_a_joined_module_imports_nothing_and_exports_only_the_widget(blank: BlankPage, view: str) -> None:
    text = module_text(view)
    outside = re.findall(r"^(?:import|export).*", text, re.MULTILINE)
    assert outside == ["export default {"]
    exported = blank.page.evaluate(
        """async (text) => {
            const module = await import(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
            return [Object.keys(module), typeof module.default.render];
        }""",
        text,
    )
    assert exported == [["default"], "function"]


@pytest.mark.parametrize("view", VIEWS)
def test_the_style_of_a_view_holds_in_its_own_panel_only(blank: BlankPage, view: str) -> None:
    rules = blank.page.evaluate(
        "(text) => { const sheet = new CSSStyleSheet(); sheet.replaceSync(text);"
        " return [...sheet.cssRules].map((rule) => [rule.selectorText ?? '', rule.cssRules?.length ?? 0]); }",
        style_text(),
    )
    own = [(selector, nested) for selector, nested in rules if "data-panel" in selector]
    assert f':where([data-panel="{view}"])' in [selector for selector, _ in own]
    assert all(nested > 3 for _, nested in own)


def test_no_file_of_the_front_end_reads_html_or_runs_text() -> None:
    files = [*folder().rglob("*.js")]
    assert len(files) > 5
    for path in files:
        text = path.read_text(encoding="utf-8").replace('"http://www.w3.org/2000/svg"', "")  # a name: nothing is there
        for forbidden in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
            "DOMParser",
            "fetch(",
            "http",
        ):
            assert forbidden not in text, f"{path.name} has {forbidden}"


def test_colours_and_sizes_are_named_in_the_theme_only() -> None:
    sheets = [path for path in folder().rglob("*.css") if path.name != "theme.css"]
    assert sheets
    for path in [*sheets, *folder().rglob("*.js")]:
        text = re.sub(
            r"/\*.*?\*/|//.*", "", path.read_text(encoding="utf-8"), flags=re.DOTALL if path.suffix == ".css" else 0
        )
        assert not re.findall(r"#[0-9a-fA-F]{3,8}\b|rgba?\(|hsl|\b\d+(?:\.\d+)?(?:px|em|rem|pt|ms|s)\b", text), (
            path.name
        )
