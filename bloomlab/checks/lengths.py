"""The checks of lesson 14: other positions, and texts longer than those of the training."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bloomlab.checks.verdict import Verdict, exercise, run_for_number
from bloomlab.model.positions import stretched_base


@exercise("a function of q, k and their two positions")
def rotary_score(function: Callable[[Tensor, Tensor, int, int], Any]) -> Verdict:
    """14: the score of a query and a key of two numbers each, both turned by one radian a token.

    Args:
        function: gets q (2), k (2) and the positions at which they stand; returns their score, without a scale.
    """
    generator = torch.Generator().manual_seed(14)
    places = [(0, 0), (5, 2), (105, 102), (9, 1)]
    for at, other in places:
        q, k = (torch.randn(2, generator=generator) for _ in range(2))
        score = run_for_number(function, q.clone(), k.clone(), at, other, expected="one number, the score")
        if isinstance(score, Verdict):
            return score
        if abs(score - _score(q, k, at, -other)) > 1e-3:
            return Verdict(False, f"q at {at}, k at {other}: {_rotary_slip(score, q, k, at, other)}")
    q, k = torch.tensor([1.0, 2.0]), torch.tensor([3.0, -1.0])
    near, far = (_score(q, k, at, -(at - 3)) for at in (5, 105))
    return Verdict(
        True,
        "turned, both of them. q = (1, 2) at 5 and k = (3, -1) at 2 score "
        f"{near:.3f}, and a hundred tokens later {far:.3f}: only the distance counts.",
    )


def _score(q: Tensor, k: Tensor, at: float, back: float) -> float:
    """q turned by `at` radians, times k turned the other way by `back`: as complex numbers, which it is for two."""
    angle = at + back
    turned = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) @ q
    return float(turned @ k)


def _rotary_slip(score: float, q: Tensor, k: Tensor, at: int, other: int) -> str:
    slips = {
        "that is q·k, and nothing is turned: each by its own position, in radians.": (0, 0),
        "q is turned, k is not. Turn k by its position, too; then only the distance is left.": (at, 0),
        "k is turned, q is not. Turn q by its position, too; then only the distance is left.": (0, -other),
        "q and k are turned in opposite directions, so the score depends on the *sum* of the positions.": (at, other),
        "both are turned the wrong way: (x, y) goes to (x cos a − y sin a, x sin a + y cos a).": (-at, other),
        "that is as if the angles were degrees; torch and math take radians.": (
            math.radians(at),
            -math.radians(other),
        ),
    }
    for says, (turn, back) in slips.items():
        if abs(score - _score(q, k, turn, back)) < 1e-3:
            return says
    if abs(score - _score(q, k, at, -other) / math.sqrt(2)) < 1e-3:
        return "nearly: leave the scale out here, no division by the root of the width."
    return "the score differs. Turn each by an angle of one radian for each token of its position, then multiply them."


@exercise("a set of names", set, list, tuple)
def beyond_chance(losses: Mapping[str, Sequence[float]], rival: str, names: Iterable[str]) -> Verdict:
    """14: which models are worse than a rival whatever the start: each of their losses is higher than all of its.

    Args:
        losses: of each model, one loss for each start.
        rival: the one they are compared with.

    >>> losses = {"a": [1.0, 1.1, 1.2], "b": [1.3, 1.4, 1.5], "c": [1.1, 1.3, 1.4]}
    >>> beyond_chance(losses, "a", {"b", "c"})
    Not yet: c has a start with 1.10, and a one with 1.20: with another start it could be the other way round.
    """
    said, known = {str(name) for name in names}, set(losses) - {rival}
    if stray := sorted(said - known):
        return Verdict(False, f"expected some of {', '.join(sorted(known))}, but got {', '.join(stray)[:60]}.")
    worst = max(losses[rival])
    right = {name for name in known if min(losses[name]) > worst}
    if extra := sorted(said - right):
        name = extra[0]
        return Verdict(
            False,
            f"{name} has a start with {min(losses[name]):.2f}, and {rival} one with {worst:.2f}: "
            "with another start it could be the other way round.",
        )
    if missing := sorted(right - said):
        name = missing[0]
        return Verdict(
            False,
            f"one is missing: each start of {name} is above {min(losses[name]) - 0.005:.2f}, and none of {rival} "
            f"above {worst + 0.005:.2f}.",
        )
    listed = ", ".join(sorted(right)) or "none of them"
    count = len(losses[rival])
    return Verdict(
        True,
        f"{listed}. With {count} starts each, two models that do not differ at all would be sorted like this, all of "
        f"one below all of the other in this order, once in {math.comb(2 * count, count)} tries.",
    )


@exercise("a number", int, float)
def stretched(head_dim: int, longer: float, base: float, answer: float) -> Verdict:
    """14: the base with which rotary's slowest pair turns so many times more slowly.

    >>> stretched(16, 4, 10_000, 40_000)
    Not yet: with base 40,000 the slowest pair turns 3.36 times more slowly, not 4: its exponent is 14/16, not 1.
    """
    if not 0 < answer < math.inf:
        return Verdict(False, f"a base is a number above 0, but this is {answer:g}.")
    exponent = (head_dim - 2) / head_dim
    slower = (answer / base) ** exponent
    says = f"with base {answer:,.0f} the slowest pair turns {slower:.2f} times more slowly"
    if abs(slower - longer) < 0.01 * longer:
        found = stretched_base(longer, head_dim, base)
        return Verdict(True, f"{says}. The fastest, base^0 = 1 radian a token, turns as before. ({found:,.0f})")
    if abs(answer - base * longer) < 1e-6 * answer:
        return Verdict(False, f"{says}, not {longer:g}: its exponent is {head_dim - 2}/{head_dim}, not 1.")
    if abs(answer - base / longer) < 1e-6 * answer or slower < 1:
        return Verdict(
            False, f"with base {answer:,.0f} it turns {1 / slower:.2f} times *faster*; a larger base is slower."
        )
    if abs(answer - base * longer**exponent) < 1e-6 * answer:
        return Verdict(False, f"{says}; solve base^{exponent:g} for base: the exponent is the other way up.")
    return Verdict(False, f"{says}, not {longer:g}; it turns base^(−{head_dim - 2}/{head_dim}) radians a token.")


@exercise("a whole number of tokens", int)
def farthest_heard(width: int, n_layer: int, answer: int) -> Verdict:
    """14: how far back a token can be and still change the last state, if each layer sees a window of so many tokens.

    >>> farthest_heard(64, 4, 63)
    Not yet: that is one layer. What the token 63 back holds by then came from 63 before it.
    """
    one = width - 1  # the window counts the token itself
    if answer == n_layer * one:
        return Verdict(True, f"{n_layer} layers of {one} steps each, {answer} tokens: handed on from layer to layer.")
    slips = {
        one: f"that is one layer. What the token {one} back holds by then came from {one} before it.",
        width: f"a window of {width} counts the token itself: one layer sees {one} back, and there are {n_layer}.",
        n_layer * width: f"nearly: a window of {width} counts the token itself.",
        (n_layer - 1) * one: f"that is {n_layer - 1} layers; every one of the {n_layer} has attention.",
        one**n_layer: "the steps of the layers add up; they do not multiply.",
        width**n_layer: "the steps of the layers add up; they do not multiply.",
    }
    other = f"each of {n_layer} layers can go back by {one} tokens, one after the other."
    return Verdict(False, slips.get(answer, other))
