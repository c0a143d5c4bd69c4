"""What is an effect worth? One batch of controls that could refute what an edit seems to show.

    random directions     a change of the same size at the same place, each vector turned at random
    other heads           the same edit in the other heads there
    other places          the same edit of this head at the other tokens
    same answer           the value of another text after which the model says the same: the noise floor
    doses                 half and twice the change
    other texts           the same edit in each of `texts`

An effect that a control has as well is not the effect of what was edited. What is held (`hold`) stays held in each.

Sources: random and resampled controls, Zhang and Nanda, "Towards Best Practices of Activation Patching", 2023 (arXiv
2309.16042); doses and other texts, Heimersheim and Nanda, "How to use and interpret activation patching", 2024
(2404.15255).
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from math import comb
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bloomlab.errors import InputError, NearMatches
from bloomlab.guards.arguments import a_seed, flag, one_of, whole_within
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import Edit, Index, NamedEdit
from bloomlab.lens.cases import Case, of_texts
from bloomlab.lens.lengths import Progress
from bloomlab.lens.trials import (
    METRICS,
    SpotEdits,
    Texts,
    Trial,
    by_spot,
    check_places,
    dosed,
    measured,
    names_places,
    run,
    turned,
)
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tracing.donors import copied, hold

RANDOM, HEADS, PLACES, SAME, DOSES, TEXTS = (
    "random directions",
    "other heads",
    "other places",
    "same answer",
    "doses",
    "other texts",
)
CONTROLS = RANDOM, HEADS, PLACES, SAME
FEWER = 0.5  # of the claim's change: a control that has as much of it is said
ROUNDING = 1e-4  # a smaller change is that of a batch, whose sums are added up in another order
MOST_PLACES = 64
MOST_RUNS = 1000  # random directions
MOST_JOBS = 200_000  # runs in all


def counted(count: int, kind: str) -> str:
    """So many controls of a kind, in words.

    >>> counted(1, RANDOM), counted(30, HEADS), counted(1, SAME)
    ('1 random direction', '30 other heads', '1 same answer')
    """
    return f"{count} {kind.removesuffix('s') if count == 1 else kind}"


class Control(NamedTuple):
    """One run of a table of controls: its kind, what it is, and the metric without and with its edit."""

    kind: str
    name: str
    before: float
    after: float

    @property
    def change(self) -> float:
        """After less before."""
        return self.after - self.before


@dataclass(frozen=True)
class Refutation(NearMatches):
    """An edit's effect among its controls.

    Attributes:
        edit: what was done, in words.
        metric: "logit difference" or "probability".
        answer, rival: the tokens that are compared, as their texts.
        before, after: the metric without and with the edit.
        controls: the runs, kind by kind; a text's own `before` is that of the text.
        missing: the kinds of controls that there are not, and why.
        everywhere: whether the rows are means over all texts, each with its own tokens; but for the rows of the other
            texts themselves, and those of the same answer as the first text's.
    """

    edit: str
    metric: str
    answer: str
    rival: str
    before: float
    after: float
    controls: tuple[Control, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)
    everywhere: bool = False

    @property
    def change(self) -> float:
        """What the edit changes."""
        return self.after - self.before

    def of(self, kind: str) -> list[Control]:
        """The controls of one kind."""
        return [control for control in self.controls if control.kind == kind]

    def values(self, kind: str) -> Tensor:
        """(control) the metric with each control of a kind."""
        return torch.tensor([control.after for control in self.of(kind)])

    def changes(self, kind: str) -> Tensor:
        """(control) what each control of a kind changes."""
        return torch.tensor([control.change for control in self.of(kind)])

    def furthest(self, kind: str) -> Control:
        """The control of a kind that comes furthest in the direction of the claim."""
        return max(self.of(kind), key=lambda control: control.change * (1 if self.change >= 0 else -1))

    @property
    def against(self) -> int:
        """In how many of the other texts the edit has the opposite effect, or none."""
        return int((self.changes(TEXTS) * self.change <= 0).sum())

    @property
    def as_far(self) -> list[Control]:
        """The controls that have at least half of the claim's change."""
        return [c for c in self.controls if c.kind in CONTROLS and c.change * self.change >= FEWER * self.change**2]

    @property
    def sentence(self) -> str:
        """The verdict in words, with its numbers."""
        answer, rival = ("answer", "rival") if self.everywhere else (repr(self.answer), repr(self.rival))
        shown = f"p({answer})" if self.metric == "probability" else f"logit of {answer} less {rival}"
        shown = f"mean of {len(self.of(TEXTS)) + 1} texts: {shown}" if self.everywhere else shown
        said = f"{shown} {number(self.before)} → {number(self.after)} with {self.edit}"
        if abs(self.change) < ROUNDING:
            return f"{said}: the edit changes nothing, so there is nothing to refute."
        parts = [
            f"{counted(len(self.of(kind)), kind)} {'≤' if self.change > 0 else '≥'} {number(self.furthest(kind).after)}"
            for kind in CONTROLS
            if self.of(kind)
        ]
        if parts:
            far, total = self.as_far, sum(len(self.of(kind)) for kind in CONTROLS)
            verdict = f"{len(far)} of {total} controls have half of this change or more"
            verdict += f" (such as {far[0].name}: {number(far[0].after)})" if far else ""
            said += f"; {verdict}: {', '.join(parts)}"
        if self.of(DOSES):
            said += f"; {', '.join(f'{c.name} {number(c.after)}' for c in self.of(DOSES))}"
        if others := self.of(TEXTS):
            before = sum(c.before for c in others) / len(others)
            said += (
                f"; in {len(others) - self.against} of {len(others)} other texts the same way, on average "
                f"{number(before)} → {number(self.values(TEXTS).mean().item())} (10 to 90 %: "
                f"{' to '.join(map(number, self.values(TEXTS).quantile(torch.tensor([0.1, 0.9])).tolist()))})"
            )
        return f"{said}."

    head = ("what", "runs", "lowest", "mean", "highest", "mean change")

    def rows(self) -> list[list[str]]:
        """The table: the claim, then a row for each kind of control, the doses one by one."""
        rows = [["the edit", "1", "", number(self.after), "", number(self.change)]]
        rows += [[c.name, "1", "", number(c.after), "", number(c.change)] for c in self.of(DOSES)]
        for kind in (*CONTROLS, TEXTS):
            values = self.values(kind)
            if len(values):
                numbers = (values.min(), values.mean(), values.max(), self.changes(kind).mean())
                rows.append([kind, str(len(values)), *(number(x.item()) for x in numbers)])
            elif kind in self.missing:
                rows.append([kind, "0", "", "", "", self.missing[kind]])
        return rows

    def records(self) -> list[dict[str, object]]:
        """Every run, as a row of a table."""
        claim = Control("the edit", self.edit, self.before, self.after)
        return [{**control._asdict(), "change": control.change} for control in (claim, *self.controls)]


def number(value: float) -> str:
    """A number as a sentence says it, with a true minus.

    >>> number(0.0372), number(-1.0)
    ('0.037', '\u22121.000')
    """
    return f"{value:.3f}".replace("-", "−")


def refute(
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    text: str,
    edit: object,
    metric: str = "logit difference",
    answer: str | None = None,
    rival: str | None = None,
    texts: Sequence[str | Case] | None = None,
    n: int = 20,
    seed: int = 0,
    everywhere: bool = False,
) -> Iterator[Progress[Refutation]]:
    """Run an edit's controls a batch at a time; stop iterating to cancel. Each step has the table as it stands.

    Args:
        text: what is read.
        edit: as `lab.trace` takes it.
        metric: "logit difference" of answer and rival after the last token, or "probability" of the answer.
        answer, rival: texts of one token each; by default the likeliest next token without the edit, and the next
            likeliest.
        texts: the other texts: texts or cases, see `bloomlab.lens.cases`. In a case with an `other`, `copied` copies
            from that one.
        n: how many random directions, and at most how many texts with the same answer.
        seed: of what is drawn at random.
        everywhere: make the controls in each of the texts too, and give means over all: one text may be an exception.

    Raises:
        InputError: an argument makes no sense; or texts have other token counts, but the edit names positions.
        HookError: an edit fits no spot, or names a position that the text does not have.
    """
    one_of("metric", metric, METRICS)
    whole_within("n", n, 1, MOST_RUNS)
    a_seed(seed)
    edits = by_spot(model, edit)
    read = Texts(
        model, tokenizer, [Case(text, "", answer or "", rival or ""), *([] if texts is None else of_texts(texts))]
    )
    runs = (len(read.cases) if everywhere else 1) * (n + MOST_PLACES) + len(read.cases)
    if runs > MOST_JOBS:
        raise InputError(
            f"that would be about {runs:,} runs, but at most {MOST_JOBS:,} are made; use fewer texts, or n"
        )
    check_places(edits, len(read.rows[0]))
    if names_places(edits):
        read.check_lengths()
    return _steps(read, edits, metric, n, seed, flag("everywhere", everywhere))


def _steps(
    read: Texts, edits: SpotEdits, metric: str, n: int, seed: int, everywhere: bool
) -> Iterator[Progress[Refutation]]:
    cases, rows, done = read.cases, read.rows, 0
    for done in read.without_edits(metric):
        yield Progress(done, 2 * len(cases), ())
    before, said = read.before, read.said
    alike = [
        i for i, row in enumerate(rows) if i and said[i] == said[0] and len(row) == len(rows[0]) and row != rows[0]
    ]
    jobs, missing = [("", "", 0, edits)], dict[str, str]()
    for case in range(len(cases) if everywhere else 1):
        here = in_case(edits, cases[case]) if case else edits
        near = [cases[i].text for i in alike] if case == 0 else []
        planned, lacking = plan(here, read.model.config.n_head, len(rows[case]), near, n, seed)
        jobs += [(kind, name, case, one) for kind, name, one in planned]
        missing = missing if case else lacking
    jobs += [(TEXTS, cases[i].text, i, in_case(edits, cases[i])) for i in range(1, len(cases))]
    total, after = done + len(jobs), dict[int, float]()
    words = ", ".join(f"{_words(several)} at {spot}" for spot, several in edits.items())
    found = Refutation(words, metric, *read.tokens(), before[0], before[0], (), missing, everywhere)
    for places, logits in run(read.model, read.tokenizer, [Trial(rows[case], one) for _, _, case, one in jobs]):
        for place, row in zip(places, logits, strict=True):
            after[place] = measured(row, *read.pairs[jobs[place][2]], metric).item()
        done += len(places)
        runs = [
            Control(kind, name, before[case], after[place])
            for place, (kind, name, case, _) in enumerate(jobs)
            if place in after
        ]
        yield Progress(done, total, (_so_far(found, runs),))


def _so_far(found: Refutation, runs: Sequence[Control]) -> Refutation:
    """The table of the runs that are there; those of one kind and name, in several texts, as their mean."""
    texts = [one for one in runs if one.kind == TEXTS]
    alike: dict[tuple[str, str], list[Control]] = {}
    for one in runs:
        if one.kind != TEXTS:
            alike.setdefault((one.kind, one.name), []).append(one)
    if found.everywhere and ("", "") in alike:
        alike["", ""] += texts
    means = {name: _mean(some) for name, some in alike.items()}
    if claim := means.pop(("", ""), None):
        found = replace(found, before=claim.before, after=claim.after)
    return replace(found, controls=(*means.values(), *texts))


def _mean(runs: Sequence[Control]) -> Control:
    before, after = (sum(values) / len(runs) for values in zip(*(run[2:] for run in runs), strict=True))
    return Control(runs[0].kind, runs[0].name, before, after)


def plan(
    edits: SpotEdits, n_head: int, columns: int, alike: Sequence[str], n: int, seed: int
) -> tuple[list[tuple[str, str, SpotEdits]], dict[str, str]]:
    """The controls of an edit as (kind, name, edits), and why others are missing.

    `alike` are texts of as many tokens after which the model says the same.
    """
    every = [edit for several in edits.values() for edit in several if not _is_held(edit)]
    rng = random.Random(seed)
    planned: list[tuple[str, str, SpotEdits]] = []
    missing: dict[str, str] = {}
    if any(spot.endswith(".attn.biased") for spot in edits):  # a cut look is infinitely far down: it has no size
        missing |= {RANDOM: "a change of attn.biased has no size", DOSES: "a change of attn.biased has no size"}
    else:
        looks_ahead = any(spot.endswith(".attn.probs") for spot in edits)
        if looks_ahead:
            missing[RANDOM] = "a random change of attn.probs would look ahead"
        for k in range(0 if looks_ahead else n):
            planned.append((RANDOM, f"random {k}", _each(edits, partial(turned, seed=seed * MOST_RUNS + k))))
        for dose in (0.5, 2.0):
            planned.append((DOSES, f"dose {dose:g}", _each(edits, partial(dosed, dose=dose))))
    for kind, axes, size, most in (
        (HEADS, ("head",), n_head, n_head),
        (PLACES, ("query", "pos"), columns, MOST_PLACES),
    ):
        chosen = _chosen(every, axes)
        if isinstance(chosen, str):
            missing[kind] = chosen
            continue
        for other in _other_sets(size, chosen, most, rng):
            name = f"{axes[0] if kind == HEADS else 'token'} {', '.join(map(str, other))}"
            index = other[0] if len(other) == 1 else other
            planned.append((kind, name, _each(edits, partial(_moved, axes=axes, index=index))))
    if not alike:
        missing[SAME] = "no text of as many tokens has the same answer"
    elif not all(isinstance(edit, NamedEdit) for edit in every):
        missing[SAME], alike = "the edit does not say what it changes", []
    for text in rng.sample(alike, min(n, len(alike))):
        planned.append((SAME, text, _each(edits, partial(_from_text, text=text))))
    return planned, missing


def in_case(edits: SpotEdits, case: Case) -> SpotEdits:
    """The edits as they are in a case: `copied` copies from its other text."""
    if not case.other:
        return edits

    def there(edit: Any) -> Edit:
        again = getattr(edit, "again", None)
        if again is not None and again.func is copied:
            edit = copied(case.other, *again.args[1:], **edit.where)
        return edit  # type: ignore[no-any-return]  # of any kind

    return _each(edits, there)


def _from_text(edit: NamedEdit, text: str) -> Edit:
    return copied(text, **edit.where)


def _each(edits: SpotEdits, change: Callable[[Any], Edit]) -> SpotEdits:
    return {spot: tuple(e if _is_held(e) else change(e) for e in several) for spot, several in edits.items()}


def _is_held(edit: Any) -> bool:
    """Whether it keeps what is there without edits: no change of its own, and none to be varied."""
    again = getattr(edit, "again", None)
    return again is not None and again.func is hold


def _words(several: Sequence[Edit]) -> str:
    return ", then ".join(map(repr, several))


def _chosen(every: Sequence[Any], axes: Sequence[str]) -> list[int] | str:
    """The indices that all edits name on one of these axes, or why there are none."""
    if any(getattr(edit, "again", None) is None for edit in every):
        return "the edit cannot be made at another place"
    sets = {tuple(sorted(set(_listed(edit.where[axis])))) for edit in every for axis in axes if axis in edit.where}
    named = [edit for edit in every if any(axis in edit.where for axis in axes)]
    if sets == {()}:
        return f"the edit names its {axes[0]} by a slice; write the numbers out"
    if len(sets) != 1 or len(named) != len(every) or not all(sets):
        return f"the edit names no {' or '.join(axes)}" if not sets else f"not every edit names the same {axes[0]}"
    return list(sets.pop())


def _listed(index: Index) -> list[int]:
    return list(index) if isinstance(index, Sequence) else [] if isinstance(index, slice) else [int(index)]


def _moved(edit: NamedEdit, axes: Sequence[str], index: Index) -> NamedEdit:
    return edit.at(**{axis: index if axis in axes else old for axis, old in edit.where.items()})


def _other_sets(size: int, chosen: Sequence[int], most: int, rng: random.Random) -> list[list[int]]:
    """Other sets of as many indices: all of them if there are few, else some that are drawn.

    >>> _other_sets(4, [1], 9, random.Random(0))
    [[0], [2], [3]]
    """
    count, own = len(chosen), set(chosen)
    if count == 1 and size - 1 <= most:
        return [[i] for i in range(size) if i not in own]
    found: dict[tuple[int, ...], None] = {}
    for _ in islice(iter(int, 1), 20 * most):
        other = tuple(sorted(rng.sample(range(size), count)))
        if set(other) != own:
            found[other] = None
        if len(found) == min(most, comb(size, count) - 1):
            break
    return [list(other) for other in found]
