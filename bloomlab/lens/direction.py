"""A direction in the residual stream: the mean of one set of texts less that of another, and what its dose does.

    direction = mean state over the tokens of texts_a - mean state over those of texts_b          (hidden)
    dose d: d · direction is added to the state of every token, or of those that are named

A direction that raises the target may do so by breaking everything: so beside each dose stand the loss on ordinary
text, random directions of the same length, and what the model writes. The text falls apart where ordinary text costs
more than log(vocab) nats a token, what it costs if every token is as likely as any other.

Sources: differences of means, Turner et al., "Activation Addition", 2023 (arXiv 2308.10248), and Marks and Tegmark,
"The Geometry of Truth", 2023 (2310.06824).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from typing import Any

import torch
from torch import Tensor

from bloomlab.errors import InputError, NearMatches, shorten
from bloomlab.generation.decode import stream
from bloomlab.guards.arguments import a_seed, one_of, whole_within
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import Hooks, Index, NamedEdit
from bloomlab.lens.cases import Case, of_texts
from bloomlab.lens.lengths import Progress, token_losses
from bloomlab.lens.refute import number
from bloomlab.lens.trials import METRICS, Texts, Trial, measured, run
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tracing.donors import COLUMNS_AT_ONCE, check_state_spot, steer
from bloomlab.tracing.edits import add, check_columns
from bloomlab.weights.pretrained import without_gradients

DOSES = (0.5, 1.0, 2.0, 4.0, 8.0)
MOST_DOSES = 100


@dataclass(frozen=True)
class Direction(NearMatches):
    """A direction with the curve of its dose.

    Attributes:
        at: the spot, of axes "batch pos hidden".
        vector: (hidden) the difference of the means.
        size: its length as a share of the mean length of a state there.
        text, metric, answer, rival: what the target is measured after.
        doses: (dose) how often the vector is added; 0 is among them.
        target: (dose) the metric.
        loss: (dose) the mean loss on ordinary text, in nats per token.
        chance_target, chance_loss: (dose, direction) the same for random directions of the same length.
        written: for each dose, how the model goes on after the text, greedily.
        vocab: how many tokens there are.
        sets: the texts that the direction leads to, and those that it leads away from.
        where: the tokens to whose states it is added, by their axis; none: to those of all.
    """

    at: str
    vector: Tensor
    size: float
    text: str
    metric: str
    answer: str
    rival: str
    doses: Tensor
    target: Tensor
    loss: Tensor
    chance_target: Tensor
    chance_loss: Tensor
    written: tuple[str, ...]
    vocab: int
    sets: tuple[tuple[str, ...], tuple[str, ...]] = field(default=((), ()), repr=False)
    where: Mapping[str, Index] = field(default_factory=dict)

    def edit(self, dose: float = 1.0) -> NamedEdit:
        """The edit that adds it: `lab.trace(text, edit={direction.at: direction.edit(2)})`."""
        towards, away = self.sets
        return steer(towards, away, dose, **self.where)

    @property
    def falls_apart(self) -> float | None:
        """The least dose at which ordinary text is no better foreseen than by chance; None if there is none."""
        return next((d for d, nats in zip(self.doses.tolist(), self.loss, strict=True) if nats > log(self.vocab)), None)

    @property
    def turns(self) -> float | None:
        """The least dose above 0 at which the answer is ahead of the rival (or p above ½).

        None if there is none, or if the answer is ahead without the direction.
        """
        ahead = 0.5 if self.metric == "probability" else 0.0
        curve = dict(zip(self.doses.tolist(), self.target.tolist(), strict=True))
        if curve[0.0] > ahead:
            return None
        return next((dose for dose, target in curve.items() if dose > 0 and target > ahead), None)

    @property
    def sentence(self) -> str:
        """What the dose does, in words with its numbers."""
        shown = f"p({self.answer!r})" if self.metric == "probability" else f"logit of {self.answer!r} - {self.rival!r}"
        doses = self.doses.tolist()
        here = doses.index(self.turns if self.turns is not None else max(doses, key=abs))
        before, chance = doses.index(0.0), self.chance_target[here]
        word = "turns the answer" if self.turns is not None else "does not turn the answer"
        apart = f"up to dose {doses[-1]:g} the text does not fall apart"
        apart = apart if self.falls_apart is None else f"at dose {self.falls_apart:g} the text falls apart"
        return (
            f"dose {doses[here]:g} ({doses[here] * self.size:.0%} of a state's length at {self.at}) {word}: {shown} "
            f"{number(self.target[before].item())} → {number(self.target[here].item())}, with {len(chance)} random "
            f"directions of this length {number(chance.min().item())} to {number(chance.max().item())}; ordinary text "
            f"costs {number(self.loss[before].item())} → {number(self.loss[here].item())} nats a token; "
            f"{apart} (more than {log(self.vocab):.2f} nats)."
        )

    head = ("dose", "target", "loss, nats", "random: target", "random: loss", "it writes")

    def _curve(self) -> list[tuple[list[float], str]]:
        """For each dose its numbers, and what is written with it."""
        columns = self.doses, self.target, self.loss, self.chance_target.mean(1), self.chance_loss.mean(1)
        return list(zip(torch.stack(columns, 1).tolist(), self.written, strict=True))

    def rows(self) -> list[list[str]]:
        """The curve in words: a row for each dose."""
        return [[f"{dose:g}", *map(number, numbers), text] for (dose, *numbers), text in self._curve()]

    def records(self) -> list[dict[str, Any]]:
        """The curve in numbers: a row for each dose."""
        return [dict(zip(self.head, [*numbers, text], strict=True)) for numbers, text in self._curve()]


def mean_state(model: BloomForCausalLM, rows: Sequence[Sequence[int]], at: str) -> tuple[Tensor, float]:
    """The mean state at a spot over all tokens of some texts, (hidden), and the mean length of a state there."""
    total, length, count = torch.zeros(()), 0.0, 0
    for batch in batches(rows):
        hooks = Hooks([at])
        without_gradients(model, input_ids=batch.to(model.device), use_cache=False, hooks=hooks, logits_to_keep=1)
        states = hooks[at].double().cpu()
        total, length = total + states.sum((0, 1)), length + states.norm(dim=-1).sum().item()
        count += batch.numel()
    return (total / count).float(), length / count


def batches(rows: Sequence[Sequence[int]]) -> Iterator[Tensor]:
    """Rows of ids as tensors, those of as many ids together.

    >>> [batch.tolist() for batch in batches([[1, 2], [3], [4, 5]])]
    [[[1, 2], [4, 5]], [[3]]]
    """
    by_length = defaultdict(list)
    for row in rows:
        by_length[len(row)].append(list(row))
    for length, alike in by_length.items():
        yield from torch.tensor(alike).split(max(1, COLUMNS_AT_ONCE // length))


def loss(model: BloomForCausalLM, rows: Sequence[Sequence[int]], at: str, edit: NamedEdit | None) -> float:
    """The mean loss of texts with an edit at a spot, in nats per token."""
    losses = [token_losses(model, batch, Hooks(edit={at: edit} if edit else None)).flatten() for batch in batches(rows)]
    return torch.cat(losses).double().mean().item()


def direction(
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    texts_a: Sequence[str | Case],
    texts_b: Sequence[str | Case],
    at: str,
    text: str,
    answer: str | None = None,
    rival: str | None = None,
    metric: str = "logit difference",
    doses: Sequence[float] = DOSES,
    ordinary: Sequence[str | Case] | None = None,
    n: int = 5,
    seed: int = 0,
    max_new_tokens: int = 12,
    where: Mapping[str, Index] | None = None,
) -> Iterator[Progress[Direction]]:
    """The direction from texts_b to texts_a, and its curve dose by dose; stop iterating to cancel.

    Args:
        texts_a, texts_b: what differs between them is the direction.
        at: the exact name of a spot whose axes are batch, pos and hidden, such as "h.1.resid_post".
        text: the target is measured after it.
        answer, rival, metric: as in `bloomlab.lens.refute.refute`.
        doses: how often the direction is added; 0 is always measured too.
        ordinary: the texts whose loss is measured; by default texts_a and texts_b.
        n: how many random directions of the same length.
        seed: of the random directions.
        max_new_tokens: how much is written at each dose.
        where: to the states of which tokens it is added, such as {"pos": 4}; by default to those of all.

    Raises:
        InputError: an argument makes no sense, or the two sets have the same mean.
        HookError: there is no such spot, or it has other axes; or the text lacks a token that is named.
    """
    one_of("metric", metric, METRICS)
    check_state_spot(at, model.hook_names())
    if not isinstance(doses, Sequence):
        raise InputError(f"doses is a list of numbers, but got {shorten(doses)}")
    numbers = [dose for dose in doses if type(dose) in (int, float) and abs(dose) < 1e6]
    if not 1 <= len(doses) == len(numbers) <= MOST_DOSES:
        raise InputError(f"doses is a list of 1 to {MOST_DOSES} numbers, but got {shorten(doses)}")
    whole_within("n", n, 1, MOST_DOSES)
    a_seed(seed)
    sets = [[case.text for case in of_texts(texts)] for texts in (texts_a, texts_b)]
    sets.append([*sets[0], *sets[1]] if ordinary is None else [case.text for case in of_texts(ordinary)])
    rows = [[tokenizer.encode(one) for one in texts] for texts in sets]
    if not any(len(row) > 1 for row in rows[2]):
        raise InputError("the ordinary texts have one token each, so there is no loss to measure; name longer ones")
    read = Texts(model, tokenizer, [Case(text, "", answer or "", rival or "")])
    check_columns(where or {}, len(read.rows[0]))
    curve = sorted({0.0, *map(float, numbers)})
    both = tuple(sets[0]), tuple(sets[1])
    return _steps(read, rows, both, at, dict(where or {}), curve, metric, n, seed, max_new_tokens)


def _steps(
    read: Texts,
    rows: Sequence[Sequence[Sequence[int]]],
    sets: tuple[tuple[str, ...], tuple[str, ...]],
    at: str,
    where: Mapping[str, Index],
    doses: Sequence[float],
    metric: str,
    n: int,
    seed: int,
    max_new_tokens: int,
) -> Iterator[Progress[Direction]]:
    model = read.model
    (first, length), (second, _) = (mean_state(model, some, at) for some in rows[:2])
    vector = first - second
    if not vector.any():
        raise InputError("the two sets of texts have the same mean there, so there is no direction; name other texts")
    noise = torch.randn(n, len(vector), generator=torch.Generator().manual_seed(seed))
    vectors = [vector, *(noise / noise.norm(dim=-1, keepdim=True) * vector.norm())]
    for _ in read.without_edits(metric):
        pass
    total = len(doses) * len(vectors)
    target, losses = torch.zeros(len(doses), n + 1), torch.zeros(len(doses), n + 1)
    written: list[str] = []
    found: tuple[Direction, ...] = ()
    for place, dose in enumerate(doses):
        edits = [add(dose * one, **where) for one in vectors]
        for column, edit in enumerate(edits[: None if dose else 1]):  # nothing is added, whatever the direction
            ((_, logits),) = run(model, read.tokenizer, [Trial(read.rows[0], {at: (edit,)})])
            target[place, column:] = measured(logits[0], *read.pairs[0], metric)
            losses[place, column:] = loss(model, rows[2], at, edit)
            yield Progress(place * len(vectors) + column, total, found)
        ids = torch.tensor([read.rows[0]], device=model.device)
        whole = ids
        # not by generate, which takes an interrupt for the end of the text
        for step in stream(model, ids, hooks=Hooks(edit={at: edits[0]}), max_new_tokens=max_new_tokens):
            whole = step.ids
        written.append(read.tokenizer.decode(whole[0, ids.shape[1] :].tolist(), skip_special_tokens=True))
        done = place + 1
        one = Direction(
            at,
            vector,
            vector.norm().item() / length,
            read.cases[0].text,
            metric,
            *read.tokens(),
            torch.tensor(doses[:done]),
            target[:done, 0].clone(),
            losses[:done, 0].clone(),
            target[:done, 1:].clone(),
            losses[:done, 1:].clone(),
            tuple(written),
            model.config.vocab_size,
            sets,
            where,
        )
        found = (one,)
        yield Progress(done * len(vectors), total, found)
