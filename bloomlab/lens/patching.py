"""Where is the answer carried? Maps of effects: one cell of a run at a time gets what stands in its place.

    D = logit of the answer less that of the rival
    share = (D of the run − D with the cell changed) / (D of the run − D of the other)          0 nothing, 1 all of it

    needed   the text is run, and a cell gets what the other text has there (noising): how much of the answer is lost
    enough   the other text is run, and a cell gets what the text has there (denoising): how much of the answer comes

Without another text something else stands in a cell's place, as an edit puts it there (`zero()`, `usual(texts)`,
`drawn(texts)`); the other's D is then 0, so a share is that of the text's own difference. A cell whose value is the
same in both has the effect 0, and is not run.

An exact map takes a run for each cell; an estimate takes all cells at once, by gradients (attribution patching):

    plain        share ≈ −Σ (value there − value here) · gradient here / (D − D of the other)
    integrated   the same with the mean gradient of runs on the way from this embedding to the other

Sources: activation patching, Zhang and Nanda, "Towards Best Practices of Activation Patching", 2023 (arXiv 2309.16042);
attribution patching, Nanda, 2023; what it misses, Kramár et al., "AtP*", 2024 (2403.00745); its integrated form, Hanna
et al., "Have Faith in Faithfulness", 2024 (2403.17806).
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from bloomlab.errors import InputError, shorten
from bloomlab.guards.arguments import a_seed, one_of, whole_within
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import NamedEdit
from bloomlab.lens.cases import Case, of_texts
from bloomlab.lens.cells import Grid, Run, estimated, grid, in_place, index_of, read, swapped
from bloomlab.lens.effect_map import Effects, mean_of
from bloomlab.lens.lengths import Progress
from bloomlab.lens.trials import Trial, asked, rows_at_once, run, token_id
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tracing.donors import Pending, in_words
from bloomlab.tracing.edits import zero

MODES = ("needed", "enough")
ESTIMATES = ("integrated", "plain", "none")
STEPS = 8  # of the integrated estimate
RANDOM = 20  # cells that are measured wherever they are, so that misses are known
MOST_CELLS = 20_000
MOST_ALIKE = 20  # texts with the same answer that the noise floor is measured with
MOST_NAMED = 2  # tokens that differ, in a sentence
SHOWN = 40  # characters of a text in a sentence
SMALL = 0.1  # nats: of a smaller difference no share is taken, for it would be that of a rounding or of chance


class NoLead(InputError):
    """The two differences are too near each other to take shares of what is between them."""


def effects(
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    text: str,
    other: str | None = None,
    instead: NamedEdit | None = None,
    what: str = "stream",
    mode: str = "needed",
    layer: int | None = None,
    head: int | None = None,
    answer: str | None = None,
    rival: str | None = None,
    estimate: str = "integrated",
    exact: int | None = None,
    alike: Sequence[str] = (),
    seed: int = 0,
) -> Iterator[Progress[Effects]]:
    """A map of effects, first estimated, then measured a batch of cells at a time; stop iterating to cancel.

    Measured first are the cells of tokens that differ and those of the last token, then the others by their estimate.

    Args:
        other: a text of as many tokens; or, in its place,
        instead: an edit that names no axis: zero(), usual(texts), drawn(texts), copied(text).
        what: "stream" (position × state), "mlps" (position × layer), "heads" (head × layer), "positions" (position ×
            head, of one `layer` or of all), or "looks" (query × key) of one `head` in one `layer`.
        mode: "needed" or "enough"; the second needs another text.
        answer, rival: texts of one token each; by default the likeliest next token, and that of the other text or,
            where it is the same, the runner-up.
        estimate: "integrated", "plain" or "none".
        exact: how many cells are measured at most, the last 20 of them picked at random; None is all of them.
        alike: texts; those with as many tokens and the same answer give the noise floor. By default those of `instead`.
        seed: of the cells that are picked.

    Raises:
        InputError: an argument makes no sense, the two texts do not fit each other, or there is no difference to share.
        HookError: the edit names an axis, or cannot stand there.
    """
    one_of("mode", mode, MODES)
    one_of("estimate", estimate, ESTIMATES)
    a_seed(seed)
    _check_donor(other, instead, mode)
    ids = _ids(model, tokenizer, text)
    others = None if other is None else _ids(model, tokenizer, other)
    if others is not None and others.shape != ids.shape:
        raise InputError(
            f"the two texts need as many tokens each, but have {ids.shape[1]} and {others.shape[1]}; change one of them"
        )
    cells = grid(what, model.config, ids.shape[1], layer, head)
    _check_count(len(cells.cells), exact, estimate)
    named = [token_id(tokenizer, one, name) if one else None for one, name in ((answer, "answer"), (rival, "rival"))]
    if named[0] is not None and named[0] == named[1]:
        raise InputError("answer and rival are the same token, so their difference is always 0; name two")
    own = instead.again.args[0] if isinstance(instead, Pending) and instead.again and instead.again.args else ()
    texts = list(alike) or ([] if isinstance(own, str) else list(own))
    return _steps(model, tokenizer, ids, others, instead, cells, mode, named, estimate, exact, texts, seed)


def _check_donor(other: str | None, instead: NamedEdit | None, mode: str) -> None:
    if (other is None) == (instead is None):
        raise InputError("a map of effects needs either another text or what stands in a cell's place: exactly one")
    if instead is None:
        return
    if mode == "enough":
        raise InputError("'enough' copies from the text into another one, so it needs other=… and no instead=…")
    if not isinstance(instead, NamedEdit) or instead.again is None or instead.where:
        raise InputError(
            f"instead is an edit that names no axis, such as zero() or drawn(texts); got {shorten(instead)}"
        )


def _check_count(cells: int, exact: int | None, estimate: str) -> None:
    if exact is not None:
        whole_within("exact", exact, 0, MOST_CELLS)
    if estimate == "none" and exact == 0:
        raise InputError("estimate='none' with exact=0 leaves nothing to do; ask for one of the two")
    if exact is None and cells > MOST_CELLS:
        raise InputError(
            f"the map has {cells:,} cells, but at most {MOST_CELLS:,} are measured; name how many with exact=…"
        )


def effects_over(
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    texts: Sequence[str | Case],
    instead: NamedEdit | None = None,
    answer: str | None = None,
    rival: str | None = None,
    **settings: Any,
) -> Iterator[Progress[Effects]]:
    """The same map for several texts of as many tokens, as their mean and spread; after each text, the map so far.

    A text in which there is no difference to share is left out, and counted.

    Args:
        texts: texts or cases; without `instead`, each needs its `other`.
        settings: as `effects` takes them.

    Raises:
        InputError, HookError: as `effects` does; or the texts have different token counts.
    """
    cases = of_texts(texts)
    lengths = {len(tokenizer.encode(case.text)) for case in cases}
    if len(lengths) > 1:
        raise InputError(
            f"cells mean the same only in texts of as many tokens, but these have {min(lengths)} to {max(lengths)}; "
            "lab.cases makes texts of one count"
        )
    alike = list(settings.pop("alike", ())) or [case.text for case in cases]
    maps = [
        effects(
            *(model, tokenizer, case.text),
            (case.other or None) if instead is None else None,
            instead,
            answer=case.answer or answer,
            rival=case.rival or rival,
            alike=alike,
            **settings,
        )
        for case in cases
    ]
    return _over(maps)


def _over(maps: Sequence[Iterator[Progress[Effects]]]) -> Iterator[Progress[Effects]]:
    found: list[Effects] = []
    left_out = 0
    so_far: tuple[Effects, ...] = ()
    for number, steps in enumerate(maps):
        last = None
        try:
            for last in steps:
                share = last.done / last.total if last.total else 0.0
                yield Progress(round(1000 * (number + min(share, 0.999))), 1000 * len(maps), so_far)
        except NoLead:
            left_out += 1
            if left_out == len(maps):
                raise
            last = None
        if last is not None:
            found.append(last.results[0])
        if found:
            so_far = (replace(mean_of(found), left_out=left_out),)
        yield Progress(1000 * (number + 1), 1000 * len(maps), so_far)


def _ids(model: BloomForCausalLM, tokenizer: BloomTokenizerFast, text: str) -> Tensor:
    ids = tokenizer.encode(text)
    if not ids:
        raise InputError("the text is empty; write at least one character")
    return torch.tensor([ids], device=model.device)


@dataclass(frozen=True)
class _Question:
    """What a map asks: into which run the cells go, what stands in their place, and what a share of 1 is."""

    base: Run
    values: Mapping[str, Tensor]
    pair: tuple[int, int]
    before: float  # the difference in the base
    unit: float  # by how much it changes if everything is replaced

    def share(self, logits: Tensor) -> float:
        """The effect of a change after which the logits are these."""
        return (self.before - _difference(logits, self.pair)) / self.unit


def _steps(
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    ids: Tensor,
    others: Tensor | None,
    instead: NamedEdit | None,
    cells: Grid,
    mode: str,
    named: Sequence[int | None],
    estimate: str,
    exact: int | None,
    alike: Sequence[str],
    seed: int,
) -> Iterator[Progress[Effects]]:
    spots = list(dict.fromkeys(["h.0.resid_pre", *cells.spots]))
    here = read(model, ids, spots)
    there = None if others is None else read(model, others, spots)
    pair = _pair(here, there, named)
    found = _nothing_yet(
        tokenizer, cells, here, there, pair, mode, "" if instead is None else in_words(instead), estimate
    )
    if others is not None and ids.equal(others):  # nothing is lost, and all of the answer is there
        whole = torch.where(found.is_cell, 1.0 if mode == "enough" else 0.0, torch.nan)
        yield Progress(0, 0, (replace(found, exact=whole, estimated="none"),))
        return
    if abs(found.unit) < SMALL:
        raise NoLead(
            f"the answer's lead over the rival is {found.here:.2f} here and {found.there:.2f} there: too near each "
            "other to take shares of; name other tokens with answer=… and rival=…, or another text"
        )
    if there is None:
        values = in_place(model, tokenizer, here, instead or zero(), spots)
        asked_of = _Question(here, values, pair, found.here, found.unit)
    elif mode == "needed":
        asked_of = _Question(here, there.values, pair, found.here, found.unit)
    else:
        asked_of = _Question(there, here.values, pair, found.there, -found.unit)

    places = _differing(model, asked_of, cells)
    known = torch.where(found.is_cell, 0.0, torch.nan)
    for place in places:
        known[place] = torch.nan
    total = len(places) if exact is None else min(exact, len(places))
    if estimate != "none":
        for guesses in _guesses(model, asked_of, cells, STEPS if estimate == "integrated" else 0):
            found = replace(found, estimate=guesses)
            yield Progress(0, total, ())
    found = replace(found, exact=known)
    yield Progress(0, total, (found,))
    order, picked = _order(cells, ids, others, found.estimate, places, total, seed)
    for done, so_far in _measured(model, asked_of, cells, found, order, picked):
        found = so_far
        yield Progress(done, total, (found,))
    if alike and total:
        yield Progress(total, total, (replace(found, floor=_floor(model, tokenizer, here, alike, pair, found.unit)),))


def _nothing_yet(
    tokenizer: BloomTokenizerFast,
    cells: Grid,
    here: Run,
    there: Run | None,
    pair: tuple[int, int],
    mode: str,
    instead: str,
    estimate: str,
) -> Effects:
    """The map before anything of it is known."""
    none = torch.zeros(cells.shape, dtype=torch.bool)
    is_cell = none.clone()
    for place in cells.cells:
        is_cell[place] = True
    return Effects(
        what=cells.what,
        mode=mode,
        instead=instead if there is None else _shown(tokenizer, there.ids, here.ids, mode),
        axes=cells.axes,
        columns=cells.columns,
        tokens=tuple(tokenizer.tokens_of_ids(here.ids[0].tolist())),
        answer=tokenizer.decode([pair[0]]),
        rival=tokenizer.decode([pair[1]]),
        here=_difference(here.logits, pair),
        there=0.0 if there is None else _difference(there.logits, pair),
        exact=torch.full(cells.shape, torch.nan),
        estimate=None,
        is_cell=is_cell,
        ran=none,
        picked=none,
        estimated=estimate,
        of=cells.of,
    )


def _differing(model: BloomForCausalLM, asked_of: _Question, cells: Grid) -> list[tuple[int, int]]:
    """The cells whose value is not the same in both."""
    axes = model.hook_names()
    found = []
    for place, cell in cells.cells.items():
        index = (0, *index_of(cell, axes[cell.spot].axes.split()))
        if not torch.equal(asked_of.base.values[cell.spot][index], asked_of.values[cell.spot][index]):
            found.append(place)
    return found


def _guesses(model: BloomForCausalLM, asked_of: _Question, cells: Grid, steps: int) -> Iterator[Tensor]:
    """The estimated map, (row, column), after each batch of gradients; the last is the estimate."""
    axes = model.hook_names()
    for changes in estimated(model, asked_of.base, asked_of.values, asked_of.pair, cells.spots, steps):
        found = torch.full(cells.shape, torch.nan)
        for place, cell in cells.cells.items():
            part = changes[cell.spot][index_of(cell, axes[cell.spot].axes.split())]
            found[place] = -part.sum() / asked_of.unit
        yield found


def _measured(
    model: BloomForCausalLM,
    asked_of: _Question,
    cells: Grid,
    found: Effects,
    order: Sequence[tuple[int, int]],
    picked: Sequence[tuple[int, int]],
) -> Iterator[tuple[int, Effects]]:
    """Run the cells a batch at a time: how many are done, and the map so far."""
    exact, ran, chance = found.exact.clone(), found.ran.clone(), found.picked.clone()
    rows, left, done = rows_at_once(model, len(found.tokens)), list(order), 0
    at_random = set(picked)
    while left:
        spot = cells.cells[left[0]].spot  # a batch is of one spot
        some = [place for place in left if cells.cells[place].spot == spot][:rows]
        taken = set(some)
        left = [place for place in left if place not in taken]
        logits = swapped(model, asked_of.base, asked_of.values, [cells.cells[place] for place in some])
        for place, row in zip(some, logits, strict=True):
            exact[place], ran[place], chance[place] = asked_of.share(row), True, place in at_random
        done += len(some)
        yield done, replace(found, exact=exact.clone(), ran=ran.clone(), picked=chance.clone())


def _shown(tokenizer: BloomTokenizerFast, ids: Tensor, base: Tensor, mode: str) -> str:
    """The other text in words: where few tokens differ, these; else how it begins."""
    places = (ids != base)[0].nonzero()[:, 0].tolist()
    text = tokenizer.decode(ids[0].tolist())
    shown = repr(text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…")
    if 0 < len(places) <= MOST_NAMED:
        now, before = ([tokenizer.decode([token]) for token in row[0, places].tolist()] for row in (ids, base))
        changes = [f"{one!r} for {other!r}" for one, other in zip(now, before, strict=True)]
        shown = f"the other text ({', '.join(changes)})"
    return f"what {shown} has" if mode == "needed" else shown


def _pair(here: Run, there: Run | None, named: Sequence[int | None]) -> tuple[int, int]:
    """The answer and the rival: those named, else what is said after the text, and after the other."""
    answer, rival = named
    if there is not None:
        first = int(here.logits.argmax()) if answer is None else answer
        said = int(there.logits.argmax())
        rival = said if rival is None and said != first else rival
    return asked(here.logits, answer, rival)


def _difference(logits: Tensor, pair: tuple[int, int]) -> float:
    return (logits[pair[0]] - logits[pair[1]]).item()


def _order(
    cells: Grid,
    ids: Tensor,
    others: Tensor | None,
    estimate: Tensor | None,
    places: Sequence[tuple[int, int]],
    count: int,
    seed: int,
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """So many cells in the order in which they are run, and those of them that were picked at random."""
    last = ids.shape[1] - 1
    differing = set() if others is None else set((ids != others)[0].nonzero()[:, 0].tolist())

    def rank(place: tuple[int, int]) -> tuple[bool, float]:
        where = cells.cells[place].where
        position = where.get("pos", where.get("query", -1))
        guess = 0.0 if estimate is None else abs(estimate[place].item())
        return (position not in differing and position != last, -guess)

    order, rng = sorted(places, key=rank), random.Random(seed)
    if count == len(order):
        return order, rng.sample(order, min(RANDOM, count))
    first = order[: max(0, count - RANDOM)]
    chosen = rng.sample(order[len(first) :], count - len(first))
    return [*first, *chosen], chosen


def _floor(
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    here: Run,
    alike: Sequence[str],
    pair: tuple[int, int],
    unit: float,
) -> float | None:
    """By how much of the unit texts with the same answer differ from this one in D, on average."""
    own, said = tuple(here.ids[0].tolist()), int(here.logits.argmax())
    rows = [tuple(tokenizer.encode(text)) for text in alike]
    trials = [Trial(row, {}) for row in dict.fromkeys(rows) if len(row) == len(own) and row != own][:MOST_ALIKE]
    moved = [
        abs(_difference(row, pair) - _difference(here.logits, pair))
        for _, logits in run(model, tokenizer, trials)
        for row in logits
        if int(row.argmax()) == said
    ]
    return sum(moved) / len(moved) / abs(unit) if moved else None
