"""The checks of lesson 02b: from counts to shares, the loss, a gradient by hand, a step downhill, a learning rate."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bloomlab.checks.verdict import Verdict, exercise, run, run_for_number, same, shape, slip

SMALL = 0.01  # what is added to every count, so that nothing is impossible


@exercise("a function of the counts")
def follows(function: Callable[[Tensor], Any]) -> Verdict:
    """02b: from counts of pairs, (token, next token), the probabilities of what follows each token.

    >>> follows(lambda counts: counts / counts.sum())
    Not yet: all cells together add up to 1; here each row must, since it says what follows one token.
    """
    counts = torch.tensor([[9.0, 1, 0, 2], [0, 3, 3, 0], [0, 0, 0, 0], [5, 0, 2, 4]])
    table = run(function, counts.clone())
    if isinstance(table, Verdict):
        return table
    if not isinstance(table, Tensor) or table.shape != counts.shape:
        return Verdict(False, f"expected a table of the same size, {tuple(counts.shape)}, but got {shape(table)}.")
    more = counts + SMALL
    if same(table, more / more.sum(1, keepdim=True)):
        return Verdict(True, "each row adds up to 1, and no token is impossible, not even after one never seen.")
    if table.isnan().any():
        return Verdict(False, f"a token that nothing ever followed gets NaN (0 / 0): add {SMALL} to every count first.")
    slips = {
        "all cells together add up to 1; here each row must, since it says what follows one token.": counts
        / counts.sum(),
        "all cells together add up to 1; each row must: sum over axis 1.": more / more.sum(),
        "your columns add up to 1. A row says what follows one token: sum over axis 1.": more / more.sum(0),
        "nearly: each column was divided by the sum of a row. keepdim=True keeps the sums beside their rows.": more
        / more.sum(1),
        "those are still counts; divide each row by its sum.": more,
        "those are the counts as they were.": counts,
        "that is e to the power of the counts; here the shares themselves are asked for.": more.softmax(1),
    }
    return Verdict(False, slip(table, slips) or f"add {SMALL} to every count, then divide each row by its sum.")


@exercise("a function of a table and ids")
def surprise(function: Callable[[Tensor, Tensor], Any]) -> Verdict:
    """02b: the loss of a table of probabilities on a row of ids: the mean of -log p of what really follows."""
    generator = torch.Generator().manual_seed(2)
    table = torch.rand(6, 6, generator=generator).add(0.1)
    table /= table.sum(1, keepdim=True)
    ids = torch.tensor([0, 3, 3, 1, 5, 2, 0, 4])
    value = run_for_number(function, table.clone(), ids.clone(), expected="one number, the mean over all pairs")
    if isinstance(value, Verdict):
        return value
    answer = torch.tensor(value)
    chances = table[ids[:-1], ids[1:]]
    truth = -chances.log().mean()
    if same(answer, truth):
        return Verdict(True, "so many nats of surprise at each token, on average: that is the loss.")
    slips = {
        "the sign: the log of a probability is below 0, and a surprise is above it.": -truth,
        "that is the sum; longer texts would surprise more. Take the mean.": truth * len(chances),
        "take the log first, then the mean: one impossible token must hurt.": -chances.mean().log(),
        "that is the mean probability; the surprise is its -log, token by token.": chances.mean(),
        "those are bits, with log2; the loss is in nats, with log.": truth / math.log(2),
        "that is log10; the loss is in nats, with log.": truth / math.log(10),
        "you look up how likely each token is *before* the other one: the first index is the earlier token.": -table[
            ids[1:], ids[:-1]
        ]
        .log()
        .mean(),
        "each token is compared with itself; it is the *next* one that is to be foreseen.": -table[ids, ids]
        .log()
        .mean(),
    }
    steps = "the probabilities table[ids[:-1], ids[1:]], their log, the mean, a minus."
    return Verdict(False, slip(answer, slips) or f"the number is another one: {steps}")


SLOPES: tuple[tuple[Callable[[float], float], float, float], ...] = (
    (lambda w: (w - 3) ** 2 + 1, 1.0, -4.0),
    (lambda w: w**2 + 5, 2.0, 4.0),
    (lambda w: math.exp(w) + w, 0.5, math.exp(0.5) + 1),
)
"""A loss, a number, and how fast the loss rises there."""


@exercise("a function of a loss and a number")
def nudge(function: Callable[[Callable[[float], float], float], Any]) -> Verdict:
    """02b: the gradient by hand: how fast a loss rises as one number does, tried on three losses."""
    for loss, w, truth in SLOPES:
        answer = run_for_number(function, loss, w, expected="a number")
        if isinstance(answer, Verdict):
            return answer
        if abs(answer - truth) > 0.02 * abs(truth):
            return Verdict(False, f"{_nudge_slip(answer, loss, w, truth)}")
    return Verdict(True, "near enough to the exact ones for three losses: a gradient is nothing but such a quotient.")


def _nudge_slip(answer: float, loss: Callable[[float], float], w: float, truth: float) -> str:
    if abs(answer + truth) <= 0.02 * abs(truth):
        return "the sign: the loss *after* the nudge, less the loss before it."
    if answer == loss(w):
        return "that is the loss itself; how much does it change when w grows by a little?"
    if answer == 0:
        return "nothing has changed: is the second loss that of w plus a little?"
    if abs(answer) < 0.1 * abs(truth) and answer * truth > 0:
        return "that is the change alone; divide it by the nudge, so that it is per unit of w."
    if abs(answer - truth) < 1.1 * abs(truth) and answer * truth > 0:
        return "that is the slope over too long a way; take a smaller nudge, such as 0.001."
    return f"with {w} the loss rises by {truth:.2f} per unit, but you say {answer:.4g}: (loss(w + h) - loss(w)) / h."


@exercise("a function of w, gradient and rate")
def downhill(function: Callable[[float, float, float], Any]) -> Verdict:
    """02b: one step of gradient descent.

    >>> downhill(lambda w, gradient, rate: w + rate * gradient)
    Not yet: that is uphill: where the gradient is positive, w has to become smaller.
    """
    tried = torch.tensor([[2.0, -3.0, 0.1], [-1.0, 0.5, 0.2], [0.25, 4.0, 0.01]], dtype=torch.float64)
    given = []
    for arguments in tried.tolist():
        value = run_for_number(function, *arguments, expected="the new w, a number")
        if isinstance(value, Verdict):
            return value
        given.append(value)
    answer = torch.tensor(given, dtype=torch.float64)
    w, gradient, rate = tried.mT
    if same(answer, w - rate * gradient):
        return Verdict(True, "that is the whole of gradient descent; an optimizer does it for every number at once.")
    slips = {
        "that is uphill: where the gradient is positive, w has to become smaller.": w + rate * gradient,
        "the step is the whole gradient; take it times the rate.": w - gradient,
        "that is the step alone; the new w is the old one and this step.": -rate * gradient,
        "that is the step alone, and uphill.": rate * gradient,
        "the rate multiplies the gradient; it does not divide it.": w - gradient / rate,
        "w has not moved.": w,
        "w itself was scaled; the step is taken from w.": (w - gradient) * rate,
        "the direction is right, but the step should be larger where it is steeper.": w - rate * gradient.sign(),
    }
    return Verdict(False, slip(answer, slips) or "the new w is the old one, less rate × gradient.")


@exercise("a learning rate, a number", int, float)
def learning_rate(target: float, train: Callable[[float], float], rate: float) -> Verdict:
    """02b: a learning rate with which a short training gets below a loss.

    A rate that does not is tried again at half: if that is better, it was too large.

    >>> learning_rate(2.0, lambda rate: abs(math.log10(rate) + 2) + 1.5, 0.5)
    Not yet: with 0.5 the loss is 3.20, and with half of that 2.90: too large, the steps jump across the valley.
    """
    if not 0 < rate < math.inf:
        return Verdict(False, f"with a rate of {rate:g} it goes uphill or nowhere; rates are above 0.")
    loss = train(rate)
    if loss < target:
        return Verdict(True, f"with {rate:g} the loss is {loss:.2f}, below {target:.2f}.")
    half = train(rate / 2)
    said = f"with {rate:g} the loss is {loss:.2f}, and with half of that {half:.2f}"
    if not math.isfinite(loss) or half < loss:
        return Verdict(False, f"{said}: too large, the steps jump across the valley.")
    return Verdict(False, f"{said}: too small, it is still on its way down.")
