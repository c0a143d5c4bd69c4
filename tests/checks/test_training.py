"""Lesson 02b: right answers pass, and each usual mistake gets the word that helps."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import nll_loss

from bloomlab import checks
from bloomlab.tiny.from_nothing import pair_table


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda counts: counts / counts.sum(1, keepdim=True), "gets NaN"),
        (lambda counts: (counts + 0.01) / (counts + 0.01).sum(0), "your columns add up to 1"),
        (lambda counts: (counts + 0.01) / (counts + 0.01).sum(1), "keepdim=True"),
        (lambda counts: counts / counts.sum(), "all cells together add up to 1"),
        (lambda counts: (counts + 0.01) / (counts + 0.01).sum(), "each row must"),
        (lambda counts: counts + 0.01, "those are still counts"),
        (lambda counts: counts, "as they were"),
        (lambda counts: (counts + 0.01).softmax(-1), "e to the power of the counts"),
        (lambda counts: (counts + 1) / (counts + 1).sum(1, keepdim=True), "add 0.01 to every count"),
        (lambda counts: counts[0], "expected a table of the same size, (4, 4), but got a tensor of (4,)"),
        (lambda counts: None, "but got NoneType"),
        (lambda counts: counts / 0 / nobody, "your function stops with NameError"),  # type: ignore[name-defined]  # noqa: F821
    ],
)
def test_a_table_that_is_none_of_probabilities_is_told_why(function: Callable[[Tensor], Any], says: str) -> None:
    verdict = checks.follows(function)
    assert not verdict.done and says in verdict.says, verdict


def test_probabilities_of_what_follows_pass_and_so_do_those_of_a_function_that_changes_its_counts() -> None:
    def in_place(counts: Tensor) -> Tensor:
        counts += 0.01
        counts /= counts.sum(1, keepdim=True)
        return counts

    assert checks.follows(pair_table) and checks.follows(in_place)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda table, ids: table[ids[:-1], ids[1:]].log().mean(), "the sign"),
        (lambda table, ids: -table[ids[:-1], ids[1:]].log().sum(), "Take the mean"),
        (lambda table, ids: -table[ids[:-1], ids[1:]].mean().log(), "take the log first"),
        (lambda table, ids: table[ids[:-1], ids[1:]].mean(), "the mean probability"),
        (lambda table, ids: -table[ids[:-1], ids[1:]].log2().mean(), "those are bits"),
        (lambda table, ids: -table[ids[:-1], ids[1:]].log10().mean(), "that is log10"),
        (lambda table, ids: -table[ids[1:], ids[:-1]].log().mean(), "the first index is the earlier token"),
        (lambda table, ids: -table[ids, ids].log().mean(), "compared with itself"),
        (lambda table, ids: -table.log().mean(), "the number is another one"),
        (lambda table, ids: -table[ids[:-1], ids[1:]].log(), "expected one number"),
        (lambda table, ids: "much", "expected one number"),
        (lambda table, ids: table[ids[:-1], ids[9]], "your function stops with IndexError"),
    ],
)
def test_a_loss_that_is_another_is_told_why(function: Callable[[Tensor, Tensor], Any], says: str) -> None:
    verdict = checks.surprise(function)
    assert not verdict.done and says in verdict.says, verdict


def test_the_loss_is_what_torch_says_it_is() -> None:
    assert checks.surprise(lambda table, ids: nll_loss(table[ids[:-1]].log(), ids[1:]))
    assert checks.surprise(lambda table, ids: nll_loss(table[ids[:-1]].log(), ids[1:]).item())


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda loss, w: (loss(w) - loss(w + 0.001)) / 0.001, "the sign"),
        (lambda loss, w: loss(w + 0.001) - loss(w), "divide it by the nudge"),
        (lambda loss, w: (loss(w + 1) - loss(w)) / 1, "smaller nudge"),
        (lambda loss, w: loss(w), "the loss itself"),
        (lambda loss, w: (loss(w) - loss(w)) / 0.001, "nothing has changed"),
        (lambda loss, w: 7, "but you say 7"),
        (lambda loss, w: "down", "expected a number"),
        (lambda loss, w: loss(w, 1), "your function stops with TypeError"),
    ],
)
def test_a_gradient_that_is_another_is_told_why(function: Callable[..., Any], says: str) -> None:
    verdict = checks.nudge(function)
    assert not verdict.done and says in verdict.says, verdict


@pytest.mark.parametrize("h", [1e-2, 1e-3, 1e-6])
def test_a_gradient_by_hand_passes_from_one_side_or_from_both(h: float) -> None:
    assert checks.nudge(lambda loss, w: (loss(w + h) - loss(w)) / h)
    assert checks.nudge(lambda loss, w: (loss(w + h) - loss(w - h)) / (2 * h))


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda w, gradient, rate: w + rate * gradient, "uphill"),
        (lambda w, gradient, rate: w - gradient, "times the rate"),
        (lambda w, gradient, rate: -rate * gradient, "the step alone; the new w"),
        (lambda w, gradient, rate: rate * gradient, "the step alone, and uphill"),
        (lambda w, gradient, rate: w - gradient / rate, "does not divide"),
        (lambda w, gradient, rate: w, "not moved"),
        (lambda w, gradient, rate: (w - gradient) * rate, "w itself was scaled"),
        (lambda w, gradient, rate: w - rate * math.copysign(1, gradient), "larger where it is steeper"),
        (lambda w, gradient, rate: w - rate, "less rate × gradient"),
        (lambda w, gradient, rate: None, "expected the new w"),
        (lambda w: w, "your function stops with TypeError"),
    ],
)
def test_a_step_that_is_another_is_told_why(function: Callable[..., Any], says: str) -> None:
    verdict = checks.downhill(function)
    assert not verdict.done and says in verdict.says, verdict


def test_a_step_downhill_passes_as_a_number_and_as_a_tensor() -> None:
    assert checks.downhill(lambda w, gradient, rate: w - rate * gradient)
    assert checks.downhill(lambda w, gradient, rate: torch.tensor(w - rate * gradient, dtype=torch.float64))


def valley(rate: float) -> float:
    """The loss of ten steps down a parabola: too small a rate does not arrive, too large a one flies off."""
    w = 4.0
    for _ in range(10):
        w -= rate * 2 * w
    return w * w


@pytest.mark.parametrize(
    ("rate", "says"),
    [
        (0.01, "too small"),
        (0.99, "too large"),
        (1e200, "too large"),
        (0, "rates are above 0"),
        (-0.3, "rates are above 0"),
        (math.inf, "rates are above 0"),
        (math.nan, "rates are above 0"),
    ],
)
def test_a_rate_that_does_not_arrive_is_told_which_way_to_go(rate: float, says: str) -> None:
    verdict = checks.learning_rate(0.1, valley, rate)
    assert not verdict.done and says in verdict.says, verdict


def test_a_rate_that_arrives_passes_and_is_tried_once() -> None:
    tried: list[float] = []

    def train(rate: float) -> float:
        tried.append(rate)
        return valley(rate)

    assert checks.learning_rate(0.1, train, 0.3) and tried == [0.3]
    assert "expected a learning rate" in checks.learning_rate(0.1, train, "0.3").says
