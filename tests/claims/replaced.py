"""Which head matters depends on what stands in its place: every head replaced in five ways, in 64 stories.

    python -m tests.claims.replaced          six sets of stories, two minutes

The effect is the change of the difference of two logits: the story's city less another's. Rank correlation: Spearman.
The sets: two templates, in English on one line and on two, and in French.
"""

import sys
from dataclasses import dataclass

import torch
from torch import Tensor

from bloomlab import Lab, copied, drawn, load, usual, zero
from bloomlab.hooks import NamedEdit
from bloomlab.lens.cases import Case, Cases
from bloomlab.lens.trials import Texts, Trial, measured, run
from bloomlab.tiny.pairs import recaps

WAYS = ("zero", "one mean", "mean here", "drawn", "other city")
SHOWN = ((0, 1), (1, 1), (1, 6), (3, 4))
METRIC = "logit difference"


@dataclass(frozen=True)
class Replaced:
    """`whole` (text): the difference of the logits; `changes` (way, layer, head, text): what a head's going changes."""

    stories: Cases
    whole: Tensor
    changes: Tensor

    def change(self, way: str) -> Tensor:
        """(layer, head) the mean over the stories."""
        return self.changes[WAYS.index(way)].mean(-1)

    def agreement(self, way: str, other: str) -> float:
        """The rank correlation of two ways over all heads."""
        return rank_correlation(self.change(way), self.change(other))

    def one_text(self, way: str) -> Tensor:
        """(text) the rank correlation of each story with the mean over all."""
        each = self.changes[WAYS.index(way)].flatten(0, 1).T
        return torch.tensor([rank_correlation(one, self.change(way)) for one in each])


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Spearman's.

    >>> rank_correlation(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([-3.0, -2.0, -1.0]))
    1.0
    """
    ranks = torch.stack([values.flatten().argsort().argsort().double() for values in (first, second)])
    return float(torch.corrcoef(ranks)[0, 1])


def instead(way: str, case: Case, texts: list[str]) -> NamedEdit:
    """What stands in a head's place."""
    if way == "zero":
        return zero()
    if way == "other city":
        return copied(case.other)
    return drawn(texts) if way == "drawn" else usual(texts, per="all" if way == "one mean" else "position")


def replaced(lab: Lab, stories: Cases) -> Replaced:
    """Every head of every layer, in each way, in each story."""
    texts = [case.text for case in stories]
    read = Texts(lab.model, lab.tokenizer, stories)
    for _ in read.without_edits(METRIC):
        pass
    config = lab.model.config
    shape = len(WAYS), config.n_layer, config.n_head, len(stories)
    trials = [
        Trial(row, {f"h.{layer}.attn.mixed": (one.at(head=head),)})
        for way in WAYS
        for edits in [[instead(way, case, texts) for case in stories]]
        for layer in range(config.n_layer)
        for head in range(config.n_head)
        for row, one in zip(read.rows, edits, strict=True)
    ]
    values = torch.zeros(len(trials))
    for places, logits in run(lab.model, lab.tokenizer, trials):
        for place, row in zip(places, logits, strict=True):
            values[place] = measured(row, *read.pairs[place % len(stories)], METRIC)
    whole = torch.tensor(read.before)
    return Replaced(stories, whole, values.view(shape) - whole)


def table(found: Replaced) -> str:
    """The table in Markdown, and the rank correlations below it."""
    lines = [f"| LD {found.whole.mean():.2f} | {' | '.join(WAYS)} |", "| --- " * (len(WAYS) + 1) + "|"]
    for layer, head in SHOWN:
        cells = []
        for way in WAYS:
            change = found.change(way)
            place = int((change.flatten() < change[layer, head]).sum()) + 1
            cells.append(f"{change[layer, head]:+.2f} ({place}.)")
        lines.append(f"| head {layer}.{head} | {' | '.join(cells)} |")
    pairs = [(way, other) for i, way in enumerate(WAYS) for other in WAYS[i + 1 :]]
    lines += ["", "rank correlations: " + ", ".join(f"{a}/{b} {found.agreement(a, b):.2f}" for a, b in pairs)]
    for way in ("zero", "drawn"):
        one = found.one_text(way)
        lines.append(f"one story against all, {way}: mean {one.mean():.2f}, at worst {one.min():.2f}")
    return "\n".join(lines)


def main() -> int:
    lab = load()
    for language, between in (("en", " "), ("en", "\n"), ("fr", "\n")):
        for first in ("lives", "has"):
            stories = recaps(lab.tokenizer, 64, language=language, first=first, between=between)
            print(f"\n{stories!r}\n\n{table(replaced(lab, stories))}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
