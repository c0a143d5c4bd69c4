"""Lesson 13: right answers pass, and each usual mistake gets the word that helps."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from bloomlab import checks


def power(n1: float, loss1: float, n2: float, loss2: float, n3: float) -> float:
    return loss2 * (n3 / n2) ** (math.log(loss2 / loss1) / math.log(n2 / n1))


def test_a_line_through_logarithms_passes_whatever_their_base() -> None:
    assert checks.straight(power)

    def by_ten(n1: float, loss1: float, n2: float, loss2: float, n3: float) -> float:
        steep = (math.log10(loss2) - math.log10(loss1)) / (math.log10(n2) - math.log10(n1))
        return 10 ** (math.log10(loss1) + steep * (math.log10(n3) - math.log10(n1)))

    assert checks.straight(by_ten)


def slope(n1: float, loss1: float, n2: float, loss2: float) -> float:
    return math.log(loss2 / loss1) / math.log(n2 / n1)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda n1, l1, n2, l2, n3: l2 + (n3 - n2) * (l2 - l1) / (n2 - n1), "through the numbers themselves"),
        (lambda n1, l1, n2, l2, n3: l2 + math.log(n3 / n2) * (l2 - l1) / math.log(n2 / n1), "the losses do not"),
        (lambda *given: math.log(power(*given)), "the logarithm of the loss"),
        (lambda n1, l1, n2, l2, n3: l2 * (n3 / n1) ** slope(n1, l1, n2, l2), "goes on from the second size"),
        (lambda n1, l1, n2, l2, n3: l1 * (n3 / n2) ** slope(n1, l1, n2, l2), "from the first loss"),
        (lambda n1, l1, n2, l2, n3: l2 * (n3 / n2) ** -slope(n1, l1, n2, l2), "the sign"),
        (lambda n1, l1, n2, l2, n3: l2 * l2 / l1, "the same step again"),
        (lambda n1, l1, n2, l2, n3: slope(n1, l1, n2, l2), "the slope alone"),
        (lambda n1, l1, n2, l2, n3: l2, "the number is another one"),
        (lambda n1, l1, n2, l2, n3: None, "expected the loss of the third size"),
        (lambda n1: n1, "your function stops with TypeError"),
    ],
)
def test_a_line_that_is_another_is_told_why(function: Callable[..., Any], says: str) -> None:
    verdict = checks.straight(function)
    assert not verdict.done and says in verdict.says, verdict


@pytest.mark.parametrize(
    ("answer", "done", "says"),
    [
        (math.exp(2.5), True, "among 12.2 tokens"),
        (12, False, "the loss is the logarithm"),
        (2**2.5, False, "2 to the power"),
        (10**2.5, False, "10 to the power"),
        (math.exp(-2.5), False, "below 1"),
        (2.5, False, "that is the loss"),
        (math.log(2.5), False, "the other way round"),
        (2.5 / math.log(2), False, "in bits"),
    ],
)
def test_a_perplexity_is_e_to_the_loss(answer: float, done: bool, says: str) -> None:
    verdict = checks.hesitates(2.5, answer)
    assert verdict.done == done and says in verdict.says, verdict


@pytest.mark.parametrize(
    ("often", "done", "says"),
    [
        (0.1, True, "13 are kept"),
        (0.5, False, "only 8 are kept"),
        (1, False, "only 5 are kept"),
        (0, False, "above 0"),
        (-0.1, False, "above 0"),
        (3, False, "at most 1"),
        (math.nan, False, "at most 1"),
    ],
)
def test_features_are_kept_if_they_are_rare_enough(often: float, done: bool, says: str) -> None:
    verdict = checks.rare_enough(lambda often: 13 if often < 0.2 else 8 if often < 1 else 5, 12, often)
    assert verdict.done == done and says in verdict.says, verdict


@pytest.mark.parametrize(
    ("grams", "done", "says"),
    [
        (57, True, "57 g"),
        (0.057, False, "kilograms"),
        (5.7e-5, False, "tonnes"),
        (433_196 / 24.7, False, "of a tonne"),
        (433.196 / 24.7, False, "of a kilogram"),
        (400, False, "divided by all kilowatt-hours"),
    ],
)
def test_the_grams_of_a_kilowatt_hour(grams: float, done: bool, says: str) -> None:
    verdict = checks.grams_a_kilowatt_hour(433_196, 24.7, grams)
    assert verdict.done == done and says in verdict.says, verdict
