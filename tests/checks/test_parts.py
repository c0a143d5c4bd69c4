"""Lessons 01 to 06: right answers pass, and each usual mistake gets the word that helps."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import bloomlab
from bloomlab import checks
from bloomlab.lens.logit_lens import READ, logit_lens


@pytest.fixture(scope="module")
def lab() -> bloomlab.Lab:
    return bloomlab.load()


@pytest.mark.parametrize(
    ("text", "done", "says"),
    [
        ("🦁", True, "1 character and 4 tokens"),
        ("Leo", False, "one byte"),
        ("¿Dónde vive Ana?", False, "never met"),
        ("", False, "empty"),
    ],
)
def test_tokens_and_characters_are_counted(lab: bloomlab.Lab, text: str, done: bool, says: str) -> None:
    verdict = checks.more_tokens_than_characters(lab, text)
    assert verdict.done == done and says in verdict.says


def test_a_layer_norm_passes_and_each_missing_step_is_named(lab: bloomlab.Lab) -> None:
    norm = lab.model.transformer.word_embeddings_layernorm
    row = lab.model.transformer.word_embeddings.weight[700].detach()
    weight, bias = norm.weight, norm.bias
    centred, variance = row - row.mean(), row.var(unbiased=False)
    assert checks.layer_norm(lab, row, norm(row)).done
    mistakes = {
        "begin by taking": row,
        "Now divide": centred,
        "times norm.weight": centred / (variance + norm.eps).sqrt(),
        "norm.bias is still": centred / (variance + norm.eps).sqrt() * weight,
        "unbiased=False": centred / (row.var() + norm.eps).sqrt() * weight + bias,
        "under the root": centred / variance.sqrt() * weight + bias,
        "the steps are": row * 2,
        "expected one number for each": row[:5],
    }
    for says, answer in mistakes.items():
        verdict = checks.layer_norm(lab, row, answer)
        assert not verdict.done and says in verdict.says, verdict


def attend(q: Tensor, k: Tensor, v: Tensor, slope: float, power: float = 0.5, sign: int = 1, mask: int = 1) -> Tensor:
    scores = q @ k.T / q.shape[-1] ** power + sign * slope * torch.arange(len(k))
    later = torch.ones_like(scores).triu(mask).bool()
    return scores.masked_fill(later, -math.inf).softmax(-1) @ v


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mask": 100}, "early tokens see later ones"),
        ({"power": 0}, "too large"),
        ({"power": 1}, "too small"),
        ({"sign": 0}, "ALiBi is missing"),
        ({"sign": -1}, "wrong sign"),
        ({"mask": 0}, "NaN"),
        ({"power": 2}, "go through it again"),
    ],
)
def test_attention_names_the_step_that_is_wrong(change: dict[str, float], says: str) -> None:
    verdict = checks.attention(lambda q, k, v, slope: attend(q, k, v, slope, **change))  # type: ignore[arg-type]
    assert not verdict.done and says in verdict.says


def test_attention_names_a_wrong_axis_a_late_mask_and_a_scaled_slope() -> None:
    def scores(q: Tensor, k: Tensor) -> Tensor:
        return q @ k.T / 4 + 0.25 * torch.arange(len(k))

    def hidden(q: Tensor, k: Tensor) -> Tensor:
        return scores(q, k).masked_fill(torch.ones(len(q), len(k)).triu(1).bool(), -math.inf)

    wrong_axis = checks.attention(lambda q, k, v, slope: hidden(q, k).softmax(0) @ v)
    late_mask = checks.attention(lambda q, k, v, slope: scores(q, k).softmax(-1).tril() @ v)
    scaled_slope = checks.attention(lambda q, k, v, slope: attend(q, k, v, slope / 4))
    for verdict, words in (
        (wrong_axis, "over the last axis"),
        (late_mask, "after the softmax"),
        (scaled_slope, "divided too"),
    ):
        assert not verdict.done and words in verdict.says, verdict


def test_attention_passes_in_both_forms_of_alibi() -> None:
    def papers(q: Tensor, k: Tensor, v: Tensor, slope: float) -> Tensor:
        pos = torch.arange(len(k))
        scores = q @ k.T / 4 - slope * (pos[:, None] - pos)
        return scores.masked_fill(pos > pos[:, None], -math.inf).softmax(-1) @ v

    assert checks.attention(attend).done and checks.attention(papers).done
    assert "values themselves" in checks.attention(lambda q, k, v, slope: v).says


@pytest.mark.parametrize("slope", [0.25, 0.001, 0, -1, math.inf, math.nan])
def test_a_wrong_slope_is_told_which_way_to_go(slope: float) -> None:
    verdict = checks.half_weight(20, slope)
    wanted = "flatter" if slope == 0.25 else "steeper" if slope == 0.001 else "above 0"
    assert not verdict.done and wanted in verdict.says


def test_the_right_slope_passes_and_meets_blooms_nearest() -> None:
    assert "1/32" in checks.half_weight(20, math.log(2) / 20).says


def test_the_state_that_decided_is_found_and_its_neighbours_are_not(lab: bloomlab.Lab) -> None:
    trace = lab.trace("Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in", read=READ)
    rows = logit_lens(lab.model, trace)
    right = [bool(row.ids[-1, 0] == rows[-1].ids[-1, 0]) for row in rows]
    first = next(i for i in range(len(rows)) if all(right[i:]))
    assert [checks.decided(lab, trace, row.label).done for row in rows] == [i == first for i in range(len(rows))]
    assert "look further down" in checks.decided(lab, trace, rows[first - 1].label).says
    assert "there is no state '9 mid'" in checks.decided(lab, trace, "9 mid").says


CUBIC = 0.044715
ROOT = math.sqrt(2 / math.pi)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (torch.relu, "ReLU"),
        (lambda x: x * 2, "at x = "),
        (lambda x: (1 + torch.tanh(ROOT * (x + CUBIC * x**3))) / 2, "only the switch"),
        (lambda x: x * (1 + torch.tanh(ROOT * (x + CUBIC * x**3))), "twice too large"),
        (lambda x: x / 2 * (1 + torch.tanh(ROOT * x)), "x³ is missing"),
        (lambda x: x / 2 * (1 + torch.tanh(x + CUBIC * x**3)), "root of 2/π is missing"),
        (lambda x: x / 2 * (1 + torch.tanh(ROOT * x + CUBIC * x**3)), "brackets"),
        (torch.nn.functional.gelu, "erf"),
    ],
)
def test_gelu_names_what_is_missing(function: Callable[[Tensor], Tensor], says: str) -> None:
    verdict = checks.gelu(function)
    assert not verdict.done and says in verdict.says


def test_torchs_tanh_form_is_blooms_gelu() -> None:
    assert checks.gelu(lambda x: torch.nn.functional.gelu(x, approximate="tanh")).done
