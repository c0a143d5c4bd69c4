"""What stands in the place of what is taken out: the usual of a set of texts, one drawn from it, or its own value.

    usual(texts, head=1)       the mean over these texts, at each position its own; per="all": over all positions
    drawn(texts, seed=0)       what one of these texts has there; never the text itself
    copied(text, pos=4)        what this other text has there
    hold()                     what the run without edits has there: nothing that is changed before it reaches it
    steer(french, english, 2)  adds twice the way from the mean state of these texts to that of those

They stand in `edit={spot: …}` like the edits of `edits.py`. What they put there is not known before the text is, so
`record` makes it: of each text that is needed one run, or one for all that are held.

Sources: mean and resample ablation, Zhang and Nanda, "Towards Best Practices of Activation Patching", 2023 (arXiv
2309.16042); holding all but one path, Wang et al., "Interpretability in the Wild", 2022 (2211.00593); adding a
difference of means, Turner et al., "Activation Addition", 2023 (2308.10248).
"""

import random
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bloomlab.errors import HookError, shorten
from bloomlab.hooks import At, Edit, Hooks, Index, NamedEdit, Spot
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tracing.edits import add, fill, is_number, patch, zero
from bloomlab.weights.pretrained import BloomPreTrainedModel, without_gradients

COLUMNS_AT_ONCE = 4096  # of several texts, in a run
MOST = 20_000  # texts in a set
KEPT = 256 * 1024**2  # bytes of means that are kept for a model
SHOWN = 40  # characters of a text in an error


@dataclass(frozen=True)
class Pending(NamedEdit):
    """An edit whose values other runs have: `record` makes it when it knows the text."""

    make: "Callable[[Donors, str], NamedEdit]" = field(kw_only=True, repr=False)
    per: str = field(default="position", kw_only=True, repr=False)  # or "all": then texts of any length can be read

    def __repr__(self) -> str:
        return self.text


def usual(texts: Sequence[str], per: str = "position", **where: Index) -> Pending:
    """Put the mean over these texts in the place of the values.

    Per "position" each position gets its own mean, so the texts must have as many tokens as the one that is read; per
    "all" every position gets the same, the mean over all positions of all texts.

    Raises:
        HookError: there is no text; or, once the text is known, one has another number of tokens.
    """
    several = _checked("usual", texts)
    if per not in ("position", "all"):
        raise HookError(f"usual takes the mean per 'position' or per 'all', but got {per!r}")
    return _pending(
        [f"<{len(several)} texts>", *([] if per == "position" else [f"per={per!r}"])],
        where,
        lambda donors, spot: _usual(donors, spot, several, per, where),
        partial(usual, several, per),
        f"{len(several)} texts",
        per,
    )


def drawn(texts: Sequence[str], seed: int = 0, **where: Index) -> Pending:
    """Put what one of these texts has there in the place of the values; for each row of a batch one is drawn.

    It has as many tokens as the text that is read, and is never that text itself. Which one it is depends on the seed
    and the text alone, so that a text read in a batch has the donor that it has when it is read by itself.

    Raises:
        HookError: there is no text; or, once the text is known, none can stand in its place.
    """
    several = _checked("drawn", texts)
    if type(seed) is not int:
        raise HookError(f"the seed of drawn is a whole number, but got {seed!r}")
    return _pending(
        [f"<{len(several)} texts>", f"seed={seed}"],
        where,
        lambda donors, spot: _drawn(donors, spot, several, seed, where),
        partial(drawn, several, seed),
        f"{len(several)} texts",
    )


def copied(text: str, columns: Index | None = None, **where: Index) -> Pending:
    """Put what another text has there in the place of the values: `patch`, with the text named instead of its tensor.

    Of a text of another length the positions may be others: `columns` are those of the other text, as in `patch`.

    Raises:
        HookError: it is no text; or, once the model is known, it has no such columns.
    """
    if not isinstance(text, str) or not text:
        raise HookError(f"copied takes the text to copy from, but got {str(text)[:SHOWN]!r}")

    def make(donors: Donors, spot: str) -> NamedEdit:
        return patch(donors.read(spot, [donors.tokenizer.encode(text)]), columns, **where)

    shown = text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
    arguments = [repr(shown), *([] if columns is None else [f"columns={columns!r}"])]
    return _pending(arguments, where, make, partial(copied, text, columns), shown)


def hold(**where: Index) -> Pending:
    """Keep what the run without edits has there: what an edit has changed before does not reach it.

    With every part held nothing changes; with all but one, the change goes by way of that one (path patching).
    """
    return _pending([], where, lambda donors, spot: patch(donors.whole(spot), **where), partial(hold))


def steer(texts_a: Sequence[str], texts_b: Sequence[str], dose: float = 1.0, **where: Index) -> Pending:
    """Add a direction: so many times the mean state of texts_a less that of texts_b, each over all its tokens.

    It works where states are: at a spot of axes "batch pos hidden". `lab.direction` says what each dose does.

    Raises:
        HookError: a set has no text, or the dose is no number; or, on use, at another spot.
    """
    first, second = _checked("steer", texts_a), _checked("steer", texts_b)
    if not is_number(dose):
        raise HookError(f"the dose of steer must be a number, but got {shorten(dose)}")

    def make(donors: Donors, spot: str) -> NamedEdit:
        check_state_spot(spot, donors.model.hook_names())
        means = [_mean_of(donors, spot, texts, donors.encode(texts), "all") for texts in (first, second)]
        return add(dose * (means[0] - means[1])[0, 0], **where)

    arguments = [f"<{len(first)} texts>", f"<{len(second)} texts>", f"dose={dose:g}"]
    source = f"{len(first)} texts − {len(second)} texts"
    return _pending(arguments, where, make, partial(steer, first, second, dose), source, "all")


def check_state_spot(spot: object, spots: Mapping[str, Spot]) -> None:
    """Refuse a spot that holds no states.

    Raises:
        HookError: there is no such spot, or it has other axes than "batch pos hidden".
    """
    if not isinstance(spot, str) or spot not in spots or spots[spot].axes != "batch pos hidden":
        raise HookError(f"a direction is added to states, at a spot such as 'h.1.resid_post', but got {shorten(spot)}")


def texts_of(edit: object) -> tuple[str, ...]:
    """The texts that an edit reads beside the one it stands in.

    >>> texts_of(copied("Leo")), texts_of(steer(["Leo"], ["Ana", "Bo"])), texts_of(zero())
    (('Leo',), ('Leo', 'Ana', 'Bo'), ())
    """
    again = edit.again if isinstance(edit, NamedEdit) else None
    if again is None or again.func not in (usual, drawn, copied, steer):
        return ()
    if again.func is copied:
        return (again.args[0],)
    return (*again.args[0], *again.args[1]) if again.func is steer else tuple(again.args[0])


def in_words(edit: NamedEdit) -> str:
    """What an edit puts into a place, in words; its Python where there are none.

    >>> in_words(zero()), in_words(usual(["Leo", "Ana"])), in_words(drawn(["Leo", "Ana"]))
    ('zeros', 'what is usual in 2 texts', 'what one of 2 texts has')
    """
    again = edit.again
    if again is None or again.func not in (zero, usual, drawn, copied):
        return repr(edit)
    if again.func is zero:
        return "zeros"
    if again.func is copied:
        return f"what {shorten(again.args[0], 40)} has"
    texts = edit.source.partition(", seed ")[0] or f"{len(again.args[0])} texts"
    return f"what is usual in {texts}" if again.func is usual else f"what one of {texts} has"


def _pending(
    arguments: Sequence[str],
    where: Mapping[str, Index],
    make: "Callable[[Donors, str], NamedEdit]",
    again: "partial[Any]",
    source: str = "",
    per: str = "position",
) -> Pending:
    name = again.func.__name__

    def not_yet(tensor: Tensor, at: At) -> Tensor:
        raise HookError(f"{name} takes its values from other runs; it works in lab.trace(text, edit=…) and in views")

    shown = [*arguments, *(f"{axis}={index!r}" for axis, index in where.items())]
    return Pending(f"{name}({', '.join(shown)})", not_yet, where, source, again, make=make, per=per)


class Donors:
    """The runs that pending edits take their values from, for one batch of one model.

    Args:
        weights: what identifies the model's weights, so that a mean is kept for as long as they are these.
        ids: (batch, pos) what is read.
        whole: gives a spot's value in the run without edits.
        beside: other spots to pass as if they were read, so that the runs take the same lines and round alike.
        kept: what was read before, row by row, to be taken instead of read again.
    """

    def __init__(
        self,
        model: BloomPreTrainedModel,
        tokenizer: BloomTokenizerFast,
        weights: str,
        ids: Tensor,
        whole: Callable[[str], Tensor],
        beside: Sequence[str] = (),
        kept: dict[tuple[str, tuple[int, ...]], Tensor] | None = None,
    ) -> None:
        self.model, self.tokenizer, self.weights = model, tokenizer, weights
        self.ids, self.whole, self.beside = ids, whole, tuple(beside)
        self.kept = {} if kept is None else kept
        self._encoded: dict[tuple[str, ...], list[list[int]]] = {}

    def encode(self, texts: tuple[str, ...]) -> list[list[int]]:
        """The ids of each text, worked out once."""
        if texts not in self._encoded:
            self._encoded[texts] = [self.tokenizer.encode(text) for text in texts]
        return self._encoded[texts]

    def read(self, spot: str, rows: Sequence[Sequence[int]]) -> Tensor:
        """The spot's values in rows of ids of one length."""
        keys = [(spot, tuple(row)) for row in rows]
        if missing := [key for key in dict.fromkeys(keys) if key not in self.kept]:
            step = max(1, COLUMNS_AT_ONCE // len(missing[0][1]))
            for some in (missing[i : i + step] for i in range(0, len(missing), step)):
                self.kept.update(zip(some, self.read_anew(spot, [row for _, row in some]).split(1), strict=True))
        return torch.cat([self.kept[key] for key in keys])

    def read_anew(self, spot: str, rows: Sequence[Sequence[int]]) -> Tensor:
        """The same, and nothing is kept."""
        hooks = Hooks([spot], passing=self.beside)
        ids = torch.tensor(rows, device=self.ids.device)
        without_gradients(self.model, input_ids=ids, use_cache=False, hooks=hooks)
        return hooks[spot]


def _usual(donors: Donors, spot: str, texts: tuple[str, ...], per: str, where: Mapping[str, Index]) -> NamedEdit:
    columns = donors.ids.shape[1]
    rows = donors.encode(texts)
    others = [text for text, ids in zip(texts, rows, strict=True) if len(ids) != columns]
    if per == "position" and others:
        raise HookError(
            f"usual per position needs texts of {columns} tokens, as the text has; {len(others)} of {len(texts)} have "
            f"others, such as {others[0][:SHOWN]!r}; leave them out, or take per='all'"
        )
    return fill(_mean_of(donors, spot, texts, rows, per), **where)


def _mean_of(donors: Donors, spot: str, texts: tuple[str, ...], rows: Sequence[Sequence[int]], per: str) -> Tensor:
    """The mean over texts, worked out once and kept."""
    key = (donors.weights, spot, donors.beside, per, texts)
    mean = _kept(donors.model).get(key)
    if mean is None:
        mean = _mean(donors, spot, rows, per)
        _keep(donors.model, key, mean)
    return mean


def _mean(donors: Donors, spot: str, rows: Sequence[Sequence[int]], per: str) -> Tensor:
    """The mean of a spot over rows of ids, summed in float64 so that the mean of equal rows is the row: (1, …)."""
    axes = donors.model.hook_names()[spot].axes.split()
    if per == "all" and "key" in axes:
        raise HookError(f"{spot!r} has a value for each key, so its mean is per position: per='position'")
    place = next(i for i, axis in enumerate(axes) if axis in ("pos", "query"))
    total, count = torch.zeros((), dtype=torch.float64), 0
    for length in sorted({len(row) for row in rows}):
        alike = [row for row in rows if len(row) == length]
        step = max(1, COLUMNS_AT_ONCE // length)
        for some in (alike[i : i + step] for i in range(0, len(alike), step)):
            values = donors.read_anew(spot, some).double()
            total = total + values.sum([0, place] if per == "all" else [0], keepdim=True).cpu()
            count += len(some) * (length if per == "all" else 1)
    return (total / count).to(torch.promote_types(donors.model.dtype, torch.float32))


def _drawn(donors: Donors, spot: str, texts: tuple[str, ...], seed: int, where: Mapping[str, Index]) -> NamedEdit:
    columns = donors.ids.shape[1]
    pool = [ids for ids in donors.encode(texts) if len(ids) == columns]
    chosen = []
    for row in donors.ids.tolist():
        rng = random.Random(f"{seed} {row}")
        others = [ids for ids in pool if ids != row]
        if not others:
            raise HookError(
                f"drawn found no other text of {columns} tokens, as the text has: {len(pool)} of {len(texts)} have as "
                "many; pass others"
            )
        chosen.append(rng.choice(others))
    return patch(donors.read(spot, chosen), **where)


Kept = OrderedDict[tuple[Any, ...], Tensor]
_all_kept: "weakref.WeakKeyDictionary[BloomPreTrainedModel, Kept]" = weakref.WeakKeyDictionary()


def _kept(model: BloomPreTrainedModel) -> Kept:
    """The means that were made with this model, the oldest first."""
    return _all_kept.setdefault(model, OrderedDict())


def _keep(model: BloomPreTrainedModel, key: tuple[Any, ...], mean: Tensor) -> None:
    kept = _kept(model)
    kept[key] = mean
    while len(kept) > 1 and sum(tensor.nbytes for tensor in kept.values()) > KEPT:
        kept.popitem(last=False)


def is_pending(edits: Iterable[Edit]) -> bool:
    """Whether any of them waits for other runs."""
    return any(isinstance(edit, Pending) for edit in edits)


def made(edits: Sequence[Edit], donors: Donors, spot: str) -> tuple[Edit, ...]:
    """The edits of a spot, with those that were pending made."""
    return tuple(_made(edit, donors, spot) if isinstance(edit, Pending) else edit for edit in edits)


def _made(edit: Pending, donors: Donors, spot: str) -> Edit:
    return replace(edit.make(donors, spot), text=edit.text, source=edit.source)


def _checked(name: str, texts: Sequence[str]) -> tuple[str, ...]:
    if isinstance(texts, str) or not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise HookError(f"{name} takes a list of texts, but got {str(texts)[:SHOWN]!r}")
    if not texts or "" in texts:
        raise HookError(f"{name} takes at least one text, and none that is empty; got {len(texts)}")
    if len(texts) > MOST:
        raise HookError(f"{name} takes at most {MOST:,} texts, but got {len(texts):,}")
    return tuple(texts)
