"""The check of lesson 03's blanks: the lines of one head of attention, first of one row, then of all rows."""

import math

import torch
from torch import Tensor

from bloomlab.checks.verdict import Verdict, exercise, same, shape, slip, told


@exercise("a tensor", Tensor)
def head_line(step: str, q: Tensor, k: Tensor, v: Tensor, slope: float | None, answer: Tensor) -> Verdict:
    """03: one line of a head: "scores", "position", "softmax" or "mix" of the last query; "matrix", all probabilities.

    Args:
        step: which line.
        q, k, v: of all tokens, (token, width).
        slope: of the head; None in the first line, which does not need it yet.
        answer: (key,); of "mix" (width,); of "matrix" (query, key).

    >>> one = torch.eye(2)
    >>> head_line("scores", one, one, one, 0.5, one[1])
    Not yet: divide by the root of the width: without it wide heads would give all to one key.
    """
    row = _Row(q, k, v, slope or 0.0)
    truth, slips = getattr(row, step)()
    wanted = _wanted(step)
    answer = answer.detach()
    if answer.shape != truth.shape:
        sizes, got = tuple(truth.shape), shape(answer)
        wrong = told("expected {wanted}, {sizes}, but got {got}.", wanted=wanted, sizes=sizes, got=got)
        return Verdict(False, slip(answer, row.shapes()) or wrong)
    if same(answer, truth):
        return Verdict(True, told("{wanted}, as the model has it.", wanted=wanted))
    if answer.isnan().any():
        hidden = told("some numbers are NaN: a row in which every key is hidden has nothing to share out.")
        return Verdict(False, hidden)
    found = slip(answer, slips)
    if found is None and step == "position" and same(answer - answer[-1], truth - truth[-1]):
        moved = told("each number is BLOOM's, less the same amount; softmax does not see that (lesson 04).")
        return Verdict(True, moved)
    again = told("expected {wanted}, but these are other numbers; go through the line again.", wanted=wanted)
    return Verdict(False, found or again)


def _wanted(step: str) -> str:
    """What a line gives, in words."""
    return {
        "scores": told("one score for each key"),
        "position": told("one number for each key"),
        "softmax": told("one probability for each key"),
        "mix": told("one mixed value, as wide as v"),
        "matrix": told("a probability for each query and key"),
    }[step]


class _Row:
    """The lines of a head: for each what is right, and what the usual mistakes give."""

    def __init__(self, q: Tensor, k: Tensor, v: Tensor, slope: float) -> None:
        self.q, self.k, self.v, self.slope = (*(part.detach() for part in (q, k, v)), slope)
        self.root, self.keys = q.shape[-1] ** 0.5, torch.arange(len(k))
        self.fit = self.k @ self.q[-1]
        self.biased = self.fit / self.root + slope * self.keys

    def shapes(self) -> dict[str, Tensor]:
        """Mistakes that have another shape."""
        probs = self.biased.softmax(-1)
        return {
            "that is every query's row; the last query alone is q[-1].": self.q @ self.k.T / self.root,
            "those are every query's products; the last query alone is q[-1], and divide by the root.": self.q
            @ self.k.T,
            "the products of single numbers are still to be added up: that is what @ does.": self.k * self.q[-1],
            "each value is weighed, and now they are to be added up over the tokens.": probs[:, None] * self.v,
        }

    def scores(self) -> tuple[Tensor, dict[str, Tensor]]:
        """q·k / √width."""
        return self.fit / self.root, {
            "divide by the root of the width: without it wide heads would give all to one key.": self.fit,
            "divide by the *root* of the width, not by the width.": self.fit / self.root**2,
            "the last token looks: take its query, q[-1], and every token's key.": self.q @ self.k[-1] / self.root,
            "that is the first token's query; the last one's is q[-1].": self.k @ self.q[0] / self.root,
        }

    def position(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Scores + slope × position."""
        scores, keys, slope = self.fit / self.root, self.keys, self.slope
        return self.biased, {
            "the sign is wrong: with it a near key would start *behind* a far one.": scores - slope * keys,
            "nothing was added yet: slope × the position of each key.": scores,
            "the same for every key changes nothing; each has its own position, torch.arange(len(k)).": scores + slope,
            "the positions are there; each is still to be multiplied by the slope.": scores + keys,
            "the slope was divided, too: scale q·k by the root of the width first, then add.": (self.fit + slope * keys)
            / self.root,
            "that is position alone; add it to the scores.": slope * keys,
        }

    def softmax(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Softmax over the keys."""
        biased = self.biased
        return biased.softmax(-1), {
            "e to the power of each is right; now divide by their sum, so that the row adds up to 1.": biased.exp(),
            "the row adds up to 1, but e to the power of each is missing: some shares are below 0.": biased
            / biased.sum(),
            "position is missing: take the softmax of the row with position in it.": (self.fit / self.root).softmax(-1),
            "those are the logarithms of the probabilities; softmax, not log_softmax.": biased.log_softmax(-1),
            "each number was pressed between 0 and 1 by itself; softmax shares out 1 among them.": biased.sigmoid(),
        }

    def mix(self) -> tuple[Tensor, dict[str, Tensor]]:
        """The probabilities' mean of the values."""
        probs = self.biased.softmax(-1)
        return probs @ self.v, {
            "those are mixed keys. Keys say who is looked at; what is handed over are the values, v.": probs @ self.k,
            "that is the plain mean: take as much of each value as its probability says.": self.v.mean(0),
            "that is their plain sum: take as much of each value as its probability says.": self.v.sum(0),
            "that is the value of the likeliest key alone; all of them take part.": self.v[int(probs.argmax())],
            "that is mixed by the numbers before softmax; mix by the probabilities.": self.biased @ self.v,
        }

    def matrix(self) -> tuple[Tensor, dict[str, Tensor]]:
        """All rows: later keys hidden, then softmax over the keys."""
        biased = self.q @ self.k.T / self.root + self.slope * self.keys
        later = torch.ones_like(biased).triu(1).bool()
        hidden, probs = biased.masked_fill(later, -math.inf), biased.softmax(-1)
        plain = (self.q @ self.k.T / self.root).masked_fill(later, -math.inf)
        return hidden.softmax(-1), {
            "early tokens see later ones: fill the later keys with -inf before the softmax.": probs,
            "the columns add up to 1, not the rows: softmax over the last axis, -1.": hidden.softmax(0),
            "keys are hidden after the softmax, so rows no longer add up to 1: hide them before.": probs.masked_fill(
                later, 0
            ),
            "a hidden key with the number 0 still gets e^0 = 1: fill with -inf.": biased.masked_fill(later, 0).softmax(
                -1
            ),
            "the earlier keys are hidden, not the later ones.": biased.masked_fill(later.T, -math.inf).softmax(-1),
            "position is missing: take the softmax of the scores with position in them.": plain.softmax(-1),
        }
