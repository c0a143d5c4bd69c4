"""Each line of a head in lesson 03: the right one, and the usual wrong ones by name."""

import math

import pytest
import torch
from torch import Tensor

from bloomlab import checks

GENERATOR = torch.Generator().manual_seed(1)
Q, K, V = (torch.randn(7, 16, generator=GENERATOR) * 2 for _ in range(3))
SLOPE = 0.25
POS = torch.arange(7)
SCORES = K @ Q[-1] / 4
BIASED = SCORES + SLOPE * POS
PROBS = BIASED.softmax(-1)
ALL = Q @ K.T / 4 + SLOPE * POS
LATER = torch.ones(7, 7).triu(1).bool()


def line(step: str, answer: Tensor) -> checks.Verdict:
    return checks.head_line(step, Q, K, V, SLOPE, answer)


@pytest.mark.parametrize(
    ("step", "answer"),
    [
        ("scores", SCORES),
        ("position", BIASED),
        ("position", SCORES - SLOPE * (6 - POS)),  # as the paper has it
        ("softmax", PROBS),
        ("softmax", BIASED.exp() / BIASED.exp().sum()),
        ("mix", PROBS @ V),
        ("mix", (PROBS[:, None] * V).sum(0)),
        ("matrix", ALL.masked_fill(LATER, -math.inf).softmax(-1)),
    ],
)
def test_a_right_line_passes(step: str, answer: Tensor) -> None:
    assert line(step, answer)


@pytest.mark.parametrize(
    ("step", "answer", "says"),
    [
        ("scores", K @ Q[-1], "divide by the root"),
        ("scores", SCORES / 4, "not by the width"),
        ("scores", Q @ K[-1] / 4, "take its query"),
        ("scores", K @ Q[0] / 4, "the first token's query"),
        ("scores", Q @ K.T / 4, "every query's row"),
        ("scores", Q @ K.T, "every query's products"),
        ("scores", K * Q[-1], "to be added up"),
        ("position", SCORES - SLOPE * POS, "sign"),
        ("position", SCORES, "nothing was added"),
        ("position", SCORES + SLOPE, "same for every key"),
        ("position", SCORES + POS, "multiplied by the slope"),
        ("position", (K @ Q[-1] + SLOPE * POS) / 4, "divided, too"),
        ("position", SLOPE * POS, "position alone"),
        ("softmax", BIASED.exp(), "divide by their sum"),
        ("softmax", BIASED / BIASED.sum(), "e to the power"),
        ("softmax", SCORES.softmax(-1), "position is missing"),
        ("softmax", BIASED.log_softmax(-1), "log_softmax"),
        ("softmax", BIASED.sigmoid(), "by itself"),
        ("mix", PROBS @ K, "mixed keys"),
        ("mix", V.mean(0), "plain mean"),
        ("mix", V.sum(0), "plain sum"),
        ("mix", V[int(PROBS.argmax())], "likeliest key alone"),
        ("mix", BIASED @ V, "before softmax"),
        ("mix", PROBS[:, None] * V, "added up over the tokens"),
        ("matrix", ALL.softmax(-1), "see later ones"),
        ("matrix", ALL.masked_fill(LATER, -math.inf).softmax(0), "columns add up"),
        ("matrix", ALL.softmax(-1).tril(), "after the softmax"),
        ("matrix", ALL.masked_fill(LATER, 0).softmax(-1), "e^0 = 1"),
        ("matrix", ALL.masked_fill(LATER.T, -math.inf).softmax(-1), "the earlier keys"),
        ("matrix", ALL.masked_fill(~LATER, -math.inf).softmax(-1), "NaN"),
        ("matrix", (Q @ K.T / 4).masked_fill(LATER, -math.inf).softmax(-1), "position is missing"),
        ("scores", SCORES * 1.5, "go through the line again"),
        ("mix", V[:3], "expected one mixed value"),
    ],
)
def test_a_wrong_line_is_named(step: str, answer: Tensor, says: str) -> None:
    verdict = line(step, answer)
    assert not verdict and says in verdict.says and len(verdict.says) < 400


@pytest.mark.parametrize("keep", ["gradient", "detached"])
def test_a_line_with_a_gradient_is_read_like_any_other(keep: str) -> None:
    q = Q.clone().requires_grad_(keep == "gradient")
    assert checks.head_line("scores", q, K, V, SLOPE, K @ q[-1] / 4)
