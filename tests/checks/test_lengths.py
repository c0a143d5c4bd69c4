"""Lesson 14: right answers pass, and each usual mistake gets the word that helps."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import bloomlab
from bloomlab import checks
from bloomlab.hooks import At, Hooks
from bloomlab.model.positions import frequencies, rotary, stretched_base, window


def turned(x: Tensor, angle: float) -> Tensor:
    a, b = x.tolist()
    return torch.tensor([a * math.cos(angle) - b * math.sin(angle), a * math.sin(angle) + b * math.cos(angle)])


def by_the_edit(q: Tensor, k: Tensor, at: int, other: int) -> float:
    """What `rotary` itself makes of it: the pair of angle 1 is the only one of a head of two numbers."""
    places = torch.arange(max(at, other) + 1)[None]
    rows = torch.zeros(2, len(places[0]), 2)
    rows[0, at], rows[1, other] = q, k
    q, k = (
        rotary(places)(row[None, None], At(f"h.0.attn.{spot}", ("batch", "head", axis, "head_dim"), 0))[0, 0]
        for row, spot, axis in zip(rows, ("q", "k"), ("query", "key"), strict=True)
    )
    return float(q[at] @ k[other])


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda q, k, m, n: turned(q, m) @ turned(k, n), "only the distance counts"),
        (lambda q, k, m, n: turned(q, m - n) @ k, "only the distance counts"),
        (by_the_edit, "only the distance counts"),
        (lambda q, k, m, n: q @ k, "nothing is turned"),
        (lambda q, k, m, n: turned(q, m) @ k, "k is not"),
        (lambda q, k, m, n: q @ turned(k, n), "q is not"),
        (lambda q, k, m, n: turned(q, m) @ turned(k, -n), "opposite"),
        (lambda q, k, m, n: turned(q, -m) @ turned(k, -n), "wrong way"),
        (lambda q, k, m, n: turned(q, math.radians(m)) @ turned(k, math.radians(n)), "degrees"),
        (lambda q, k, m, n: turned(q, m) @ turned(k, n) / 2**0.5, "leave the scale out"),
        (lambda q, k, m, n: 7.0, "the score differs"),
        (lambda q, k, m, n: turned(q, m), "expected one number, the score, but got a tensor of (2,)"),
        (lambda q, k: 1.0, "stops with TypeError"),
    ],
)
def test_a_rotary_score_is_of_both_turned(function: Callable[..., Any], says: str) -> None:
    verdict = checks.rotary_score(function)
    assert verdict.done == ("only the distance counts" in says) and says in verdict.says, verdict


@pytest.mark.parametrize(
    ("names", "done", "says"),
    [
        ({"b"}, True, "once in 20 tries"),
        (["b"], True, "b."),
        ({"b", "c"}, False, "the other way round"),
        (set(), False, "each start of b"),
        ({"a"}, False, "expected some of b, c"),
        ({1}, False, "expected some of b, c, but got 1"),
        ("b", False, "expected a set of names, but got str"),
    ],
)
def test_what_is_worse_whatever_the_start(names: Any, done: bool, says: str) -> None:
    losses = {"a": [1.0, 1.1, 1.2], "b": [1.3, 1.4, 1.5], "c": [1.1, 1.3, 1.4]}
    verdict = checks.beyond_chance(losses, "a", names)
    assert verdict.done == done and says in verdict.says, verdict


def test_nothing_is_worse_where_the_starts_overlap() -> None:
    assert "none of them" in checks.beyond_chance({"a": [1.0, 2.0], "b": [1.5, 1.6]}, "a", set()).says


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (10_000 * 4 ** (16 / 14), "4.00 times more slowly"),
        (48_761, "turns as before"),
        (40_000, "3.36 times more slowly, not 4"),
        (2_500, "faster"),
        (10_000 * 4 ** (14 / 16), "the other way up"),
        (10_000 * 4 ** (16 / 15), "it turns base^(−14/16)"),
        (0, "above 0"),
        (math.inf, "above 0"),
    ],
)
def test_the_stretched_base_slows_the_slowest_pair(answer: float, says: str) -> None:
    verdict = checks.stretched(16, 4, 10_000, answer)
    assert verdict.done == (answer in (48_761, 10_000 * 4 ** (16 / 14))) and says in verdict.says, verdict
    slowest = [float(frequencies(16, base)[-1]) for base in (10_000, stretched_base(4, 16))]
    assert slowest[0] / slowest[1] == pytest.approx(4, rel=1e-4)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (252, "handed on"),
        (63, "one layer"),
        (64, "counts the token itself: one layer"),
        (256, "nearly"),
        (189, "3 layers"),
        (63**4, "add up"),
        (64**4, "add up"),
        (7, "one after the other"),
    ],
)
def test_layers_hand_on_what_a_window_hides(answer: int, says: str) -> None:
    verdict = checks.farthest_heard(64, 4, answer)
    assert verdict.done == (answer == 252) and says in verdict.says, verdict


def test_no_token_farther_than_that_is_heard() -> None:
    model, width = bloomlab.load().model, 5
    back = model.config.n_layer * (width - 1)
    edit = {f"h.{i}.attn.biased": window(width) for i in range(model.config.n_layer)}
    ids = torch.randint(4, 500, (1, back + 2), generator=torch.Generator().manual_seed(0))

    def last(changed: int) -> Tensor:
        other = ids.clone()
        other[0, -1 - changed] = 600
        return model(other, hooks=Hooks(edit=edit)).logits[0, -1]

    whole = model(ids, hooks=Hooks(edit=edit)).logits[0, -1]
    assert last(back + 1).equal(whole) and not last(back).equal(whole)
