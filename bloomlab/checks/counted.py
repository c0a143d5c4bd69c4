"""The small exercises of lessons 08, 10 and 11: what is counted of heads, of a training, and of an exam."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from bloomlab.checks.verdict import Verdict, exercise, number, run, run_for_number, same, slip
from bloomlab.config import BloomConfig
from bloomlab.errors import shorten

Pair = tuple[int, int]


@exercise("a whole number", int)
def head_size(size: str, labels: int, count: int) -> Verdict:
    """08: how many numbers a head that tags has on a published BLOOM: a matrix from a state to its labels, with a bias.

    >>> head_size("560m", 8, 8 * 1024)
    Not yet: nearly: each of the 8 scores has a bias, too.
    """
    config = BloomConfig.named(size)
    width, whole = config.hidden_size, config.parameter_count()
    truth, writes = labels * width + labels, config.vocab_size * width
    if count == truth:
        return Verdict(True, f"{labels} × {width:,} and {labels} biases: {truth:,}, beside {whole:,} in the trunk.")
    slips = {
        labels * width: f"nearly: each of the {labels} scores has a bias, too.",
        labels * width + width: f"nearly: a bias for each score, {labels}, not for each number of a state.",
        width: f"that is the row of one label; there are {labels}.",
        width + 1: f"that is one label with its bias; there are {labels}.",
        labels + width: "labels times width, not labels and width.",
        labels * width**2: "a state is one row of numbers, not a square of them.",
        writes: f"that is the last step that writes: it scores every token, this one {labels} labels.",
        whole + truth: "that is the trunk, too; how much of it is the head?",
    }
    says = slips.get(count, f"each label has a row as wide as a state, {width:,}, and one number to be added.")
    return Verdict(False, says)


@exercise("a function of two rows of probabilities")
def points(function: Callable[[Tensor, Tensor], Any]) -> Verdict:
    """08: the likeliest span: where an answer starts and ends, from the probabilities of each, (token,) and (token,).

    >>> points(lambda start, end: (start.argmax(), end.argmax()))
    Not yet: that takes each maximum alone: an answer may then end before it starts.
    """
    generator = torch.Generator().manual_seed(8)
    rows = [(2 * torch.randn(2, n, generator=generator)).softmax(-1) for n in (1, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9, 12)]
    rows.append(torch.tensor([[0.4, 0.1, 0.5], [0.8, 0.1, 0.1]]))  # the likeliest start is not that of the best span
    given: list[Pair] = []
    for start, end in rows:
        found = run(function, start.clone(), end.clone())
        if isinstance(found, Verdict):
            return found
        try:
            first, last = (int(number(place)) for place in found)
        except (TypeError, ValueError, RuntimeError):
            return Verdict(False, f"expected two numbers, the first token and the last, but got {shorten(found, 60)}.")
        given.append((first, last))
    wrong = {
        "that takes each maximum alone: an answer may then end before it starts.": [
            (int(start.argmax()), int(end.argmax())) for start, end in rows
        ],
        "the first token comes first, then the last.": [_likeliest(start, end)[::-1] for start, end in rows],
        "an answer may be one token: it may end where it starts.": [_likeliest(start, end, 1) for start, end in rows],
        "the likeliest start need not be the best one: its end must be likely, too.": [
            (int(start.argmax()), int(start.argmax() + end[start.argmax() :].argmax())) for start, end in rows
        ],
        "both have to happen: multiply the two probabilities, do not add them.": [
            _best(start[:, None] + end, 0) for start, end in rows
        ],
    }
    truth = [_likeliest(start, end) for start, end in rows]
    if given == truth:
        return Verdict(True, "of all spans that end where they start or later, the one of the largest product.")
    said = next((says for says, spans in wrong.items() if given == spans), None)
    at = next(place for place, pair in enumerate(truth) if pair != given[place])
    case = f"of {len(rows[at][0])} tokens it points to {given[at]}, and the likeliest span is {truth[at]}"
    return Verdict(False, said or f"{case}: the largest product of a start and an end that is not before it.")


def _likeliest(start: Tensor, end: Tensor, apart: int = 0) -> Pair:
    return _best(start[:, None] * end, apart)


def _best(scores: Tensor, apart: int) -> Pair:
    """The highest of the scores (first, last) whose last is at least so many tokens after the first."""
    allowed = torch.ones_like(scores).triu(apart).bool()
    first, last = divmod(int(scores.masked_fill(~allowed, -1).argmax()), len(scores))
    return first, last


@exercise("a step, a whole number", int)
def most_risen(history: Mapping[str, Sequence[float]], name: str, step: int) -> Verdict:
    """10: the step at which something that was measured has risen most since the step before.

    >>> most_risen({"step": [200, 400, 600], "near": [0.1, 0.2, 0.9]}, "near", 400)
    Not yet: that is the step before: from 400 to 600 it rises by 0.70; it has risen at 600.
    """
    steps, values = list(history["step"]), list(history[name])
    rises = {int(after): values[n + 1] - values[n] for n, (_, after) in enumerate(pairwise(steps))}
    best = max(rises, key=lambda after: rises[after])
    before = int(steps[steps.index(best) - 1])
    if step == best:
        return Verdict(True, f"from {before} to {best} it rises by {rises[best]:.2f}, of {values[-1]:.2f} in the end.")
    if step not in steps:
        place = f"; {step} is the place of a step in the row" if 0 <= step < len(steps) else ""
        return Verdict(False, f"nothing was measured at step {shorten(step, 20)}{place}; the last step is {steps[-1]}.")
    if step == before:
        return Verdict(
            False,
            f"that is the step before: from {before} to {best} it rises by {rises[best]:.2f}; it has risen at {best}.",
        )
    if values[steps.index(step)] == max(values):
        return Verdict(False, "that is where it is highest; where has it risen most since the step before?")
    if step == next((each for each, value in zip(steps, values, strict=True) if value > values[-1] / 2), None):
        return Verdict(False, "there it has passed half of what it reaches; where is its largest single rise?")
    rise = rises.get(step, 0.0)
    return Verdict(False, f"at step {step} it has risen by {rise:.2f} since the step before; there is a larger rise.")


@exercise("a function of a matrix and a number")
def looks_back(function: Callable[[Tensor, int], Any]) -> Verdict:
    """10: how much the tokens of a second round look at what came next the first time, from a head's matrix.

    Args:
        function: gets the probabilities, (query, key), of tokens said twice, and how many there are in one round.

    >>> looks_back(lambda probs, half: probs.diagonal(-half).mean())
    Not yet: that is the same token, a whole round back; look at the one after it.
    """
    generator = torch.Generator().manual_seed(10)
    given, truth, wrong = [], [], []
    for half in (4, 7, 12):
        scores = torch.randn(2 * half, 2 * half, generator=generator) * 2
        probs = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf).softmax(-1)
        value = run_for_number(function, probs.clone(), half, expected="one number for a matrix")
        if isinstance(value, Verdict):
            return value
        given.append(value)
        back = probs.diagonal(1 - half)
        truth.append(float(back[1:].mean()))
        wrong.append(
            [
                float(each)
                for each in (
                    probs.diagonal(-half).mean(),
                    back.mean(),
                    probs.diagonal(half - 1).mean(),
                    probs.diagonal(-half - 1).mean(),
                    back[1:].sum(),
                    back[1:].max(),
                    probs.diagonal(-1).mean(),
                    probs.T.diagonal(1 - half)[1:].mean(),
                )
            ]
        )
    answer = torch.tensor(given)
    if same(answer, torch.tensor(truth)):
        return Verdict(True, "0 if a head never looks there, 1 if it looks nowhere else: one number for a stripe.")
    says = (
        "that is the same token, a whole round back; look at the one after it.",
        "nearly: the first cell of that diagonal is still of the first round; leave it out.",
        "that is above the diagonal, where a token would see what comes after it.",
        "that is the token before the same one; look at the one after it, a round less one back.",
        "that is the sum; a longer text would have more of it. Take the mean.",
        "that is the largest cell; take the mean of the stripe.",
        "that is the token before; what came next last time stands a round less one back.",
        "rows are queries and columns keys; you have exchanged them.",
    )
    slips = dict(zip(says, torch.tensor(wrong).T, strict=True))
    steps = "a query of the second round, and the key half - 1 places before it: the mean over all such queries."
    return Verdict(False, slip(answer, slips) or f"the number is another one: {steps}")


@exercise("a share, a number", int, float)
def all_outside(labels: Tensor, share: float) -> Verdict:
    """11: the share of all tokens that is right if each is called O, label 0; -100 is padding, and no token.

    >>> all_outside(torch.tensor([[0, 0, 1, -100]]), 0.75)
    Not yet: that counts padding as right, too; a label of -100 says that there is no token.
    """
    outside, padding, every = (int((labels == 0).sum()), int((labels < 0).sum()), labels.numel())
    tokens = every - padding
    truth = outside / tokens

    def near(value: float) -> bool:
        return abs(share - value) < 0.002

    if near(truth):
        return Verdict(True, f"{outside:,} of {tokens:,} tokens: {truth:.0%}, and not one name is found.")
    slips = {
        100 * truth: "that is in per cent; a share lies between 0 and 1.",
        outside / every: "nearly: padding is no token, so it does not count below the line either.",
        (outside + padding) / every: "that counts padding as right, too; a label of -100 says that there is no token.",
        1 - truth: "that is the share of the tokens that name something; of the others?",
        1 - outside / every: "that counts everything that is not O, padding too.",
        outside: f"so many tokens are O; of {tokens:,} that is which share?",
        0: "of the tokens that name something it is 0: that is why the lesson counts those. And of all tokens?",
    }
    said = next((says for value, says in slips.items() if near(value)), None)
    return Verdict(
        False, said or f"tokens whose label is 0, over all {tokens:,} tokens, those whose label is 0 or more."
    )


@exercise("the name of a tag, a text", str)
def worst_tag(found: Tensor, labels: Tensor, tags: Sequence[str], name: str) -> Verdict:
    """11: of the tags that name something, the one of whose tokens the smallest share is right.

    Args:
        found, labels: what a head said of each token, and what is true; labels below 0 are padding.
        tags: all of them; the first is O.
    """
    if name not in tags:
        return Verdict(False, f"there is no tag {shorten(name, 30)}; the tags are {', '.join(tags)}.")
    if name == tags[0]:
        return Verdict(False, f"{name} names nothing; take one of the others.")
    there = [n for n in range(1, len(tags)) if bool((labels == n).any())]
    counts = {tags[n]: int((labels == n).sum()) for n in there}
    right = {tags[n]: float((found == labels)[labels == n].float().mean()) for n in there}
    claimed = {tags[n]: float((found == labels)[(found == n) & (labels >= 0)].float().mean()) for n in there}
    missed = {tag: counts[tag] * (1 - right[tag]) for tag in counts}
    worst, best = (choose(right, key=lambda tag: right[tag]) for choose in (min, max))
    if name not in right:
        return Verdict(False, f"no token of this exam is a {name}.")
    said = f"of {counts[name]} tokens that are {name}, {right[name]:.0%} are found"
    if right[name] == right[worst]:
        return Verdict(True, f"{said}; of {best} {right[best]:.0%}. One mark for all of them shows neither.")
    if name == min(counts, key=lambda tag: counts[tag]):
        return Verdict(False, f"{said}. It is the rarest, but not the one that is found least.")
    if name == max(missed, key=lambda tag: missed[tag]):
        return Verdict(False, f"{said}. The most are missed, for there are the most; divide by how many there are.")
    if name == min(claimed, key=lambda tag: claimed[tag]):
        return Verdict(False, f"{said}. What the head *calls* {name} is wrong most often; ask of those that *are* one.")
    return Verdict(False, f"{said}; of another tag fewer.")
