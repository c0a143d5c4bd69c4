"""The checks of lesson 13: a line through two sizes, a loss as a number of tokens, rare features, a kilowatt-hour."""

import math
from collections.abc import Callable
from typing import Any

import torch

from bloomlab.checks.verdict import Verdict, exercise, run_for_number, slip

SIZES = ((1e4, 4.0, 1e5, 2.0, 1e6), (2e4, 3.0, 6e4, 2.4, 3e5), (1e3, 5.0, 8e3, 4.5, 2e4))
"""Two sizes with their losses, and a third size."""


@exercise("a function of two sizes with their losses, and a third size")
def straight(function: Callable[[float, float, float, float, float], Any]) -> Verdict:
    """13: the loss of a third size, on the straight line through two others where both axes are logarithmic.

    >>> straight(lambda n1, loss1, n2, loss2, n3: loss2 + (n3 - n2) * (loss2 - loss1) / (n2 - n1))
    Not yet: that is a straight line through the numbers themselves; on these axes their logarithms lie on one.
    """
    given = []
    for sizes in SIZES:
        value = run_for_number(function, *sizes, expected="the loss of the third size, a number")
        if isinstance(value, Verdict):
            return value
        given.append(value)
    answer = torch.tensor(given, dtype=torch.float64)
    n1, loss1, n2, loss2, n3 = torch.tensor(SIZES, dtype=torch.float64).T
    slope = (loss2 / loss1).log() / (n2 / n1).log()
    truth = loss2 * (n3 / n2) ** slope
    if slip(answer, {"": truth}) is not None:
        return Verdict(True, "ten times the size lowers the loss to the same share of it, wherever you begin.")
    slips = {
        "that is a straight line through the numbers themselves; on these axes their logarithms lie on one.": loss2
        + (n3 - n2) * (loss2 - loss1) / (n2 - n1),
        "the sizes have their logarithm, the losses do not: both axes are logarithmic.": loss2
        + (n3 / n2).log() * (loss2 - loss1) / (n2 / n1).log(),
        "that is the logarithm of the loss; e to the power of it is the loss.": truth.log(),
        "the line goes on from the second size; you began at its loss with the way from the first.": loss2
        * (n3 / n1) ** slope,
        "the way is from the second size to the third; you took it from the first loss.": loss1 * (n3 / n2) ** slope,
        "the sign of the slope: a larger model has the lower loss.": loss2 * (n3 / n2) ** -slope,
        "that takes the same step again; the third size may be farther away than the second was.": loss2
        * loss2
        / loss1,
        "that is the slope alone.": slope,
    }
    steps = "slope = log(loss2 / loss1) / log(n2 / n1), then loss2 · (n3 / n2)^slope."
    return Verdict(False, slip(answer, slips) or f"the number is another one: {steps}")


@exercise("a number", int, float)
def hesitates(loss: float, answer: float) -> Verdict:
    """13: the perplexity of a loss in nats: among how many tokens the model hesitates.

    >>> hesitates(2.0, 4.0)
    Not yet: that is 2 to the power of the loss; ours is in nats, so its base is e.
    """

    def near(other: float) -> bool:
        return abs(answer - other) <= 0.01 * abs(other)

    truth = math.exp(loss)
    if near(truth):
        return Verdict(True, f"a loss of {loss:.2f} nats is the surprise of a choice among {truth:.1f} tokens.")
    slips = {
        2**loss: "that is 2 to the power of the loss; ours is in nats, so its base is e.",
        10**loss: "that is 10 to the power of the loss; ours is in nats, so its base is e.",
        math.exp(-loss): "that is the probability of the right token, below 1; its inverse is the number of tokens.",
        loss: "that is the loss; which number of equally likely tokens would surprise as much?",
        math.log(loss): "the other way round: the loss is the logarithm of what is asked.",
        loss / math.log(2): "that is the loss in bits; which number has this logarithm?",
    }
    said = next((says for other, says in slips.items() if near(other)), None)
    return Verdict(False, said or "the loss is the logarithm of it, to base e.")


@exercise("a probability, a number", int, float)
def rare_enough(count: Callable[[float], int], wanted: int, often: float) -> Verdict:
    """13: how often features may come up, at most, so that so many of them are kept; the count is taken anew.

    >>> rare_enough(lambda often: 5 if often > 0.1 else 15, 15, 0.5)
    Not yet: with 0.5 only 5 are kept; two that are seldom there together can share room, so make them rarer.
    """
    if not 0 < often <= 1:
        return Verdict(False, f"a feature is there with a probability above 0 and at most 1, not {often:g}.")
    found = count(often)
    if found >= wanted:
        return Verdict(True, f"with {often:g}, {found} are kept: they overlap, but seldom at the same time.")
    hint = "two that are seldom there together can share room, so make them rarer."
    return Verdict(False, f"with {often:g} only {found} are kept; {hint}")


@exercise("a number", int, float)
def grams_a_kilowatt_hour(kilowatt_hours: float, tonnes: float, answer: float) -> Verdict:
    """13: how many grams of CO₂ a kilowatt-hour stands for, from the whole in tonnes.

    >>> grams_a_kilowatt_hour(2000, 1, 0.5)
    Not yet: those are kilograms; a kilogram is 1,000 grams.
    """
    truth = tonnes * 1e6 / kilowatt_hours

    def near(other: float) -> bool:
        return abs(answer - other) <= 0.02 * abs(other)

    if near(truth):
        return Verdict(True, f"{truth:.0f} g: that is the grid of a place, not the model: where it is trained counts.")
    slips = {
        truth / 1000: "those are kilograms; a kilogram is 1,000 grams.",
        truth / 1e6: "those are tonnes; a tonne is 1,000,000 grams.",
        1e6 / truth: "those are the kilowatt-hours of a tonne; it is the inverse.",
        1000 / truth: "those are the kilowatt-hours of a kilogram; it is the inverse.",
    }
    said = next((says for other, says in slips.items() if near(other)), None)
    return Verdict(False, said or "all grams, 1,000,000 for each tonne, divided by all kilowatt-hours.")
