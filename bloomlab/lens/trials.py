"""Many runs at once, each row of a batch with its own edits: how controls and many texts cost little.

    trials = [Trial(ids, {"h.0.attn.mixed": (zero(head=head),)}) for head in range(8)]
    for places, logits in run(model, tokenizer, trials):                  # logits (row, vocab) after the last token

Only texts of as many tokens share a batch, so nothing is ever padded, and a position of an edit means the same in each.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bloomlab.errors import HookError, InputError, shorten
from bloomlab.guards.arguments import whole_text
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import At, Edit, Edits, Hooks, edited, in_order
from bloomlab.lens.cases import Case
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tracing.by_need import READABLE
from bloomlab.tracing.donors import COLUMNS_AT_ONCE, Donors, Pending, copied, drawn, is_pending, made
from bloomlab.tracing.edits import check_columns
from bloomlab.tracing.record import resolve, weights_hash
from bloomlab.weights.pretrained import BloomPreTrainedModel, without_gradients

SpotEdits = Mapping[str, tuple[Edit, ...]]
NUMBERS_AT_ONCE = 1 << 32  # parameters × columns in a batch: a few seconds of one core
LEAST = 64  # columns in a batch, however large the model
MOST_READ = 512  # texts of a set that are read before it is known which are drawn
METRICS = ("logit difference", "probability")


class Trial(NamedTuple):
    """One run: the ids that are read, and the edits at each spot, by its exact name."""

    ids: tuple[int, ...]
    edits: SpotEdits


@dataclass(frozen=True)
class Variant:
    """An edit whose result is changed once more: `change(before, after)` of what stood there and what it put there."""

    edit: Edit
    change: Callable[[Tensor, Tensor], Tensor] = field(repr=False)

    def __call__(self, tensor: Tensor, at: At) -> Tensor:
        return self.change(tensor, self.edit(tensor, at))


def dosed(edit: Edit, dose: float) -> Variant:
    """The same change, so many times as large.

    >>> dosed(lambda x, at: x + 1, 0.5)(torch.zeros(2), At("embed", ("hidden",), 0))
    tensor([0.5000, 0.5000])
    """
    return Variant(edit, lambda before, after: before + dose * (after - before))


def turned(edit: Edit, seed: int) -> Variant:
    """A change of the same size in a random direction: each vector of the last axis keeps its length.

    >>> changed = turned(lambda x, at: x + 3, 0)(torch.zeros(1, 4), At("embed", ("pos", "hidden"), 0))
    >>> round(changed.norm().item(), 4)                                     # as long as (3, 3, 3, 3)
    6.0
    """

    def change(before: Tensor, after: Tensor) -> Tensor:
        sizes = (after - before).float().norm(dim=-1, keepdim=True)
        noise = torch.randn(before.shape[1:], generator=torch.Generator().manual_seed(seed)).to(sizes)
        step: Tensor = noise / noise.norm(dim=-1, keepdim=True) * sizes
        return before + step.to(before)

    return Variant(edit, change)


def by_spot(model: BloomForCausalLM, edit: object) -> dict[str, tuple[Edit, ...]]:
    """The edits by the exact names of their spots.

    Raises:
        HookError: it is not a dictionary of edits, there is none, or a name fits no spot.
    """
    if not isinstance(edit, Mapping) or not edit:
        raise HookError(f"an edit is a dictionary such as {{'h.2.attn.mixed': zero(head=3)}}, but got {shorten(edit)}")
    spots = list(model.hook_names())
    found: dict[str, tuple[Edit, ...]] = {}
    for pattern, edits in edit.items():
        for name in resolve(pattern, spots):
            found[name] = (*found.get(name, ()), *in_order(name, edits))
    return found


def check_places(edits: SpotEdits, columns: int) -> None:
    """Refuse positions that a text of so many columns does not have.

    Raises:
        HookError: an edit names one.
    """
    for several in edits.values():
        for edit in several:
            check_columns(getattr(edit, "where", {}), columns)


def names_places(edits: SpotEdits) -> bool:
    """Whether positions of the text matter to an edit: then all texts must have as many tokens."""
    every = [edit for several in edits.values() for edit in several]
    named = {axis for edit in every for axis in getattr(edit, "where", {})}
    return bool(named & {"pos", "query", "key"}) or any(
        isinstance(edit, Pending) and edit.per == "position" for edit in every
    )


def run(
    model: BloomForCausalLM, tokenizer: BloomTokenizerFast, trials: Sequence[Trial], position: int = -1
) -> Iterator[tuple[list[int], Tensor]]:
    """Run them all, a batch at a time: the places of a batch's trials in the list, and their logits (row, vocab).

    The logits are those after one token, the last by default, in float32 on the CPU. One by one the trials give the
    same to rounding.
    """
    by_length = defaultdict(list)
    for place, trial in enumerate(trials):
        by_length[len(trial.ids)].append(place)
    for length, places in by_length.items():
        donors = _donors(model, tokenizer, trials, places)
        rows = rows_at_once(model, length)
        for some in (places[i : i + rows] for i in range(0, len(places), rows)):
            yield some, _run_batch(donors, [trials[place] for place in some], position)


def rows_at_once(model: BloomPreTrainedModel, columns: int) -> int:
    """How many texts of so many tokens go into a batch: as many as take a few seconds of one core at most."""
    return max(1, min(COLUMNS_AT_ONCE, max(LEAST, NUMBERS_AT_ONCE // model.num_parameters())) // columns)


def _donors(
    model: BloomForCausalLM, tokenizer: BloomTokenizerFast, trials: Sequence[Trial], places: Sequence[int]
) -> Donors:
    """What pending edits take their values from. What they copy from other texts is read at once, not run by run."""
    spots = list(dict.fromkeys(spot for place in places for spot in trials[place].edits))
    beside = [spot for spot in spots if spot.endswith(READABLE)]
    ids = torch.tensor([trials[places[0]].ids], device=model.device)
    donors = Donors(model, tokenizer, weights_hash(model), ids, _no_run, beside, {})
    for spot in spots:
        edits = [inner(edit) for place in places for edit in trials[place].edits.get(spot, ())]
        sources = dict.fromkeys(texts for edit in edits for texts in _sources(edit))
        by_length: dict[int, set[tuple[int, ...]]] = defaultdict(set)
        for row in (tuple(row) for texts in sources for row in donors.encode(texts)):
            by_length[len(row)].add(row)
        for rows in by_length.values():
            donors.read(spot, sorted(rows))
    return donors


def _sources(edit: Edit) -> Iterator[tuple[str, ...]]:
    """The texts that an edit takes values from one by one, unless they are very many."""
    again = getattr(edit, "again", None)
    if again is not None and again.func is copied:
        yield (again.args[0],)
    elif again is not None and again.func is drawn and len(again.args[0]) <= MOST_READ:
        yield again.args[0]


def inner(edit: Edit) -> Edit:
    """The edit that a variant varies, or the edit itself."""
    return edit.edit if isinstance(edit, Variant) else edit


def _run_batch(donors: Donors, trials: Sequence[Trial], position: int) -> Tensor:
    model: Any = donors.model
    ids = torch.tensor([trial.ids for trial in trials], device=model.device)
    spots = list(dict.fromkeys(spot for trial in trials for spot in trial.edits))
    edits: Edits = {
        spot: _row_by_row(donors, ids, spot, [trial.edits.get(spot, ()) for trial in trials]) for spot in spots
    }
    hooks = Hooks(edit=edits)
    here = position % ids.shape[1]
    keep = 0 if "logits" in edits else torch.tensor([here], device=model.device)
    logits: Tensor = without_gradients(model, input_ids=ids, use_cache=False, hooks=hooks, logits_to_keep=keep).logits
    last = logits[:, here if "logits" in edits else 0].float().cpu()
    if not last.clamp(min=0).isfinite().all():  # -inf is a token that cannot be
        raise HookError(
            "with these edits the logits grow beyond all bounds (infinite, or not a number); use smaller numbers"
        )
    return last


def _row_by_row(donors: Donors, ids: Tensor, spot: str, edits: Sequence[tuple[Edit, ...]]) -> Edit:
    """One edit of a whole batch that gives each row its own edits, in their order."""

    def ready(edit: Edit, row: int) -> Edit:
        """The edit, once other runs have given the values that it waits for; the same runs serve all rows."""
        if not is_pending([edit]):
            return edit
        here, own = copy(donors), ids[row : row + 1]
        here.ids = own
        here.whole = lambda name: donors.read(name, own.tolist())
        return made([edit], here, spot)[0]

    def change(tensor: Tensor, at: At) -> Tensor:
        rows = []
        for row, values in enumerate(tensor.split(1)):
            for edit in edits[row]:
                after = edited(values, ready(inner(edit), row), at)
                values = edit.change(values, after) if isinstance(edit, Variant) else after
            rows.append(values)
        return torch.cat(rows)

    return change


def _no_run(spot: str) -> Tensor:
    raise HookError(f"no run without edits is at hand for {spot!r}")


class Texts:
    """Texts with the tokens that are compared after each, and what is said there without edits.

    Attributes:
        cases, rows: the texts and their ids.
        pairs: (answer, rival) of each, known once `without_edits` has run; so are the next two.
        before: the metric without edits.
        said: the likeliest next token without edits.

    Raises:
        InputError: an answer or a rival is not one token, or they are the same.
    """

    def __init__(self, model: BloomForCausalLM, tokenizer: BloomTokenizerFast, cases: Sequence[Case]) -> None:
        self.model, self.tokenizer, self.cases = model, tokenizer, list(cases)
        self.rows = [tuple(tokenizer.encode(case.text)) for case in cases]
        self._named = [
            tuple(
                token_id(tokenizer, token, name) if token else None
                for token, name in ((case.answer, "answer"), (case.rival, "rival"))
            )
            for case in cases
        ]
        if any(answer is not None and answer == rival for answer, rival in self._named):
            raise InputError("answer and rival are the same token, so their difference is always 0; name two")
        self.pairs, self.before, self.said = [(0, 0)] * len(cases), [0.0] * len(cases), [0] * len(cases)

    def check_lengths(self) -> None:
        """Refuse texts of other token counts than the first, for whose positions an edit is made.

        Raises:
            InputError: there are some.
        """
        first = len(self.rows[0])
        others = [case.text for case, row in zip(self.cases, self.rows, strict=True) if len(row) != first]
        if others:
            raise InputError(
                f"the edit is made for the positions of a text of {first} tokens, but {len(others)} of "
                f"{len(self.cases) - 1} texts have others, such as {shorten(others[0], 40)}; leave them out"
            )

    def without_edits(self, metric: str, position: int = -1) -> Iterator[int]:
        """Read the texts as they are, up to a token; after each batch, how many have been read."""
        done = 0
        for places, logits in run(self.model, self.tokenizer, [Trial(row, {}) for row in self.rows], position):
            for place, row in zip(places, logits, strict=True):
                self.said[place] = int(row.argmax())
                self.pairs[place] = asked(row, *self._named[place])
                self.before[place] = measured(row, *self.pairs[place], metric).item()
            done += len(places)
            yield done

    def tokens(self, place: int = 0) -> tuple[str, str]:
        """The answer and the rival of a text, as texts."""
        answer, rival = (self.tokenizer.decode([token]) for token in self.pairs[place])
        return answer, rival


def token_id(tokenizer: BloomTokenizerFast, text: str, name: str) -> int:
    """The id of a token that is named by its text.

    Raises:
        InputError: the text is not one token.
    """
    if not isinstance(text, str) or not text:
        raise InputError(f"{name} is the text of one token, such as ' Oslo', but got {shorten(text)}")
    if (least := tokenizer.least_tokens(whole_text(text, name))) > 1:  # one without end is not cut into tokens
        raise InputError(f"{name} must be one token, but {shorten(text)} is at least {least}; name one that is")
    ids = tokenizer.encode(text)
    if len(ids) != 1:
        spaced = len(tokenizer.encode(f" {text}")) == 1
        hint = f"{' ' + text!r}, with the space before it, is one" if spaced else "name one that is"
        raise InputError(f"{name} must be one token, but {shorten(text)} is {len(ids)}; {hint}")
    return int(ids[0])


def asked(logits: Tensor, answer: int | None, rival: int | None) -> tuple[int, int]:
    """The tokens that are compared: those named, else the likeliest of these logits (vocab), and the next likeliest.

    >>> asked(torch.tensor([1.0, 3.0, 2.0]), None, None), asked(torch.tensor([1.0, 3.0, 2.0]), 2, None)
    ((1, 2), (2, 1))
    """
    if answer is None:
        answer = int(next(i for i in logits.topk(2).indices.tolist() if i != rival))
    if rival is None:
        rival = int(next(i for i in logits.topk(2).indices.tolist() if i != answer))
    return answer, rival


def measured(logits: Tensor, answer: int, rival: int, metric: str) -> Tensor:
    """One metric of logits (…, vocab) -> (…): the difference of two tokens' logits, or the probability of the first.

    >>> logits = torch.tensor([[1.0, 1.0, 2.0]]).log()
    >>> measured(logits, 2, 0, "logit difference"), measured(logits, 2, 0, "probability")
    (tensor([0.6931]), tensor([0.5000]))
    """
    if metric == "probability":
        return logits.softmax(-1)[..., answer]
    return logits[..., answer] - logits[..., rival]
