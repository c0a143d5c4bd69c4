"""Patterns of several heads together: the means and the rollout that the attention view sends, and when."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bloomlab.lens.attention import head_average, rollout
from bloomlab.views.attention import payload as attention
from bloomlab.views.attention.payload import attention_payload, average_values, saved_averages
from tests.views.aside import aside
from tests.views.lone import attention_view
from tests.views.small_trace import small_trace

TEXT = "Leo lives in Oslo."


def cells(data: bytes, number: int = 0, tokens: int = 9) -> np.ndarray[Any, Any]:
    """One of the matrices that crossed, with zeros where nobody looks."""
    count = tokens * (tokens + 1) // 2
    matrix = np.zeros((tokens, tokens), np.float32)
    matrix[np.tril_indices(tokens)] = np.frombuffer(data, np.float32)[number * count : (number + 1) * count]
    return matrix


def test_the_means_and_the_rollout_are_the_lens_s() -> None:
    trace = small_trace(TEXT)
    probs = trace.stack("attn.probs")[:, 0]
    wanted = [("layer", 2), ("all", 0), ("rollout", 3), ("rollout", 0)]
    values = average_values(trace, wanted)
    assert values["averaged"] == {"patterns": [list(pattern) for pattern in wanted]}
    expected = [head_average(probs)[2], probs.mean((0, 1)), rollout(probs)[3], rollout(probs)[0]]
    for number, matrix in enumerate(expected):
        torch.testing.assert_close(torch.from_numpy(cells(values["averages"], number)), matrix)


def test_the_first_picture_carries_none_of_them() -> None:
    view = attention_view(small_trace, TEXT)
    assert view.averages == b"" and view.averaged == {"patterns": []}
    assert "averages" not in attention_payload(small_trace(TEXT))


def test_a_mean_is_sent_when_it_is_asked_for_and_follows_the_layer_and_the_text() -> None:
    view = attention_view(small_trace, TEXT, layer=1)
    probs = small_trace(TEXT).stack("attn.probs")[:, 0]
    aside(lambda: view.set_state({"pattern": "rollout"}))
    assert view.averaged == {"patterns": [["rollout", 1]]}
    np.testing.assert_allclose(cells(view.averages), rollout(probs)[1], atol=1e-7)
    view.layer = 3
    np.testing.assert_allclose(cells(view.averages), rollout(probs)[3], atol=1e-7)
    view.pattern = "all"
    before = view.averages
    view.layer = 0  # the mean of all heads is the same in every layer: nothing is sent again
    assert view.averages is before and view.averaged == {"patterns": [["all", 0]]}
    view.show("A cat.")
    tokens = len(small_trace("A cat.").tokens)
    expected = small_trace("A cat.").stack("attn.probs").mean((0, 1, 2))
    np.testing.assert_allclose(cells(view.averages, tokens=tokens), expected, atol=1e-7)


def test_a_saved_page_holds_all_of_them_or_the_shown_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = small_trace(TEXT)
    every = saved_averages(trace, [])["averaged"]["patterns"]
    assert every == [["all", 0], *([name, layer] for name in ("layer", "rollout") for layer in range(4))]
    monkeypatch.setattr(attention, "SAVED_AVERAGES", 1000)
    assert saved_averages(trace, [("layer", 2)])["averaged"] == {"patterns": [["layer", 2]]}
    view = attention_view(small_trace, TEXT, pattern="layer")
    assert view.save(tmp_path / "x.html").stat().st_size > 0 and view.averaged == {"patterns": [["layer", 0]]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("head", "layer 1, head 2"),
        ("layer", "mean of the 8 heads of layer 1"),
        ("all", "mean of all 32 heads"),
        ("rollout", "rollout up to layer 1"),
    ],
)
def test_a_still_and_a_figure_show_the_pattern_that_is_chosen(pattern: str, words: str, tmp_path: Path) -> None:
    view = attention_view(small_trace, TEXT, layer=1, head=2, query=8, pattern=pattern)
    probs = small_trace(TEXT).stack("attn.probs")[:, 0]
    one = {"head": probs[1, 2], "layer": probs[1].mean(0), "all": probs.mean((0, 1)), "rollout": rollout(probs)[1]}
    still = view._repr_mimebundle_()[0]["text/html"]
    assert f"<p>{words[0].upper()}{words[1:]}:" in still
    told = [float(value) for value in re.findall(r"<td>(0\.\d+|1\.000)</td>", still)]
    expected = one[pattern][8].sort(descending=True).values[: len(told)]
    np.testing.assert_allclose(told, expected, atol=6e-3)  # a byte a cell
    svg = view.save(tmp_path / "x.svg").read_text(encoding="utf-8")
    other = attention_view(small_trace, TEXT, layer=0, head=0).save(tmp_path / "y.svg").read_text(encoding="utf-8")
    assert svg.count("<image") == other.count("<image") > 0 and svg != other
