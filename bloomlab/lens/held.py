"""By which way does a change take effect? One part after the other is held as it was, while the edit is on.

    for step in held(lab.model, lab.tokenizer, [Case(text)], {"h.0.attn.mixed": (zero(head=1),)}):
        print(step.done, "of", step.total)
    print(step.results[-1].sentence)

What the change no longer does with a part held went by way of that part. The heads are those whose patterns moved most,
each as a whole and by what it asks, offers and passes on (q, k, v); the MLPs, those whose output moved most.

Source: holding all but one path, Wang et al., "Interpretability in the Wild", 2022 (arXiv 2211.00593), section 3.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bloomlab.errors import InputError, NearMatches
from bloomlab.guards.arguments import one_of
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import Edit
from bloomlab.lens.cases import Case
from bloomlab.lens.difference import attention_change, relative_distance
from bloomlab.lens.inputs import names
from bloomlab.lens.instead import spread
from bloomlab.lens.lengths import Progress
from bloomlab.lens.refute import in_case, number
from bloomlab.lens.trials import METRICS, SpotEdits, Texts, Trial, measured, names_places, run
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tracing.donors import hold
from bloomlab.tracing.record import record
from bloomlab.tracing.trace import Trace

MOST = 5  # heads that are held, and MLPs
WAYS = ("whole", "q", "k", "v")
SPOTS = {"whole": "attn.mixed", "q": "attn.q", "k": "attn.k", "v": "attn.v"}
READ = ["attn.probs", "mlp.out"]


@dataclass(frozen=True)
class Held(NearMatches):
    """What is left of a change while parts are held as they were.

    Attributes:
        metric: "logit difference" or "probability".
        answer, rival: the tokens that are compared after the first text, as texts.
        parts: "head 1.1", "MLP 0", each kind with the one that moved most first.
        before, after: (text) the metric without the edit, and with nothing held.
        left: (part, way, text) the metric with the edit and this part held, as a whole or its q, k or v; NaN where a
            part has no such way.
        together: (text) the metric with all these parts held as wholes.
    """

    metric: str
    answer: str
    rival: str
    parts: tuple[str, ...]
    before: Tensor
    after: Tensor
    left: Tensor
    together: Tensor

    @property
    def order(self) -> list[int]:
        """The parts, first the one that most of the change went by: with it held, least is left."""
        left = (self.left[:, 0].mean(-1) - self.before.mean()).abs()
        return [int(part) for part in left.argsort(stable=True)]

    @property
    def sentence(self) -> str:
        """With which part held least is left, in words with its numbers."""
        shown = (
            f"p({self.answer!r})" if self.metric == "probability" else f"logit of {self.answer!r} less {self.rival!r}"
        )
        texts = "" if len(self.before) == 1 else f"mean of {len(self.before)} texts: "
        said = f"{texts}{shown} {_mean(self.before)} → {_mean(self.after)}"
        if not self.parts:
            return f"{said}; no head and no MLP noticed the edit, so there is none to be held."
        first = self.order[0]
        apart = [f"its {way} {_mean(self.left[first, place])}" for place, way in enumerate(WAYS) if place]
        alone = f" ({', '.join(apart)})" if self.left[first, 1:].isfinite().all() else ""
        said += f"; holding {self.parts[first]} as it was, {_mean(self.left[first, 0])} is left{alone}"
        if len(self.before) > 1:
            said += f", in 8 of 10 texts {' to '.join(map(number, spread(self.left[first, 0])))}"
        several = f"; holding all {len(self.parts)} that noticed most, {_mean(self.together)}"
        return f"{said}{several if len(self.parts) > 1 else ''}."


def _mean(values: Tensor) -> str:
    return number(values.mean().item())


def holding(edits: SpotEdits, parts: Mapping[str, tuple[Edit, ...]]) -> SpotEdits:
    """These edits, and after them those that hold parts: what is held wins over what reaches it.

    >>> from bloomlab.tracing.edits import zero
    >>> holding({"h.0.mlp.out": (zero(),)}, {"h.0.mlp.out": (hold(pos=3),), "h.1.mlp.out": (hold(),)})
    {'h.0.mlp.out': (zero(), hold(pos=3)), 'h.1.mlp.out': (hold(),)}
    """
    return {spot: (*edits.get(spot, ()), *parts.get(spot, ())) for spot in dict.fromkeys([*edits, *parts])}


def held(
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    cases: Sequence[Case],
    edits: SpotEdits,
    metric: str = "logit difference",
) -> Iterator[Progress[Held]]:
    """Hold each part that noticed the edit, a batch of runs at a time; the last step has what is left.

    Args:
        cases: the text, whose parts are looked at, then others; of as many tokens if an edit names positions.
        edits: by the exact names of their spots, see `bloomlab.lens.trials.by_spot`.

    Raises:
        InputError: no text, no such metric, an answer is not one token, or the texts have other token counts.
        HookError: an edit cannot be made.
    """
    one_of("metric", metric, METRICS)
    if not cases:
        raise InputError("there is no text to hold a part in; name at least one")
    read = Texts(model, tokenizer, cases)
    if names_places(edits):
        read.check_lengths()
    return _steps(read, edits, metric)


def noticed(before: Trace, after: Trace) -> dict[str, dict[str, tuple[str, dict[str, Any]]]]:
    """The parts that moved most between two traces, which have read READ: by part and way, the spot and its axes.

    >>> import bloomlab
    >>> lab, edit = bloomlab.load(), {"h.3.attn.mixed": bloomlab.zero(head=1)}
    >>> runs = [lab.trace("Leo lives in Oslo.", [*READ, *edit], one) for one in (None, edit)]
    >>> noticed(*runs)                                       # in the last layer only its MLP can notice
    {'MLP 3': {'whole': ('h.3.mlp.out', {})}}
    """
    looks = attention_change(before, after).noticed(MOST)
    found: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
        f"head {look.layer}.{look.head}": {
            way: (f"h.{look.layer}.{spot}", {"head": look.head}) for way, spot in SPOTS.items()
        }
        for look in looks
    }
    spots = names("mlp.out", before.config.n_layer)
    moved = torch.stack([relative_distance(before[spot][0], after[spot][0]).max() for spot in spots])
    order = moved.argsort(descending=True, stable=True)[:MOST].tolist()
    return found | {f"MLP {layer}": {"whole": (f"h.{layer}.mlp.out", {})} for layer in order if moved[layer] > 0}


def _steps(read: Texts, edits: SpotEdits, metric: str) -> Iterator[Progress[Held]]:
    count = len(read.cases)
    # reading the edited spots sends both runs through the same code for attention, so that they round alike
    text, spots = read.cases[0].text, [*READ, *edits]
    runs = [record(read.model, read.tokenizer, text, spots, one) for one in (None, edits)]
    parts = noticed(*runs)
    wholes = [part["whole"] for part in parts.values()]
    asked = [[], *([way] for part in parts.values() for way in part.values()), wholes]
    jobs = [holding(edits, _held(some)) for some in asked]
    total, done = count * (len(jobs) + 1), 0
    for done in read.without_edits(metric):
        yield Progress(done, total, ())
    values = torch.zeros(len(jobs), count)
    trials = [Trial(row, in_case(job, case)) for job in jobs for row, case in zip(read.rows, read.cases, strict=True)]
    for places, logits in run(read.model, read.tokenizer, trials):
        for place, row in zip(places, logits, strict=True):
            values[place // count, place % count] = measured(row, *read.pairs[place % count], metric)
        done += len(places)
        if done < total:
            yield Progress(done, total, ())
    left, rows = torch.full((len(parts), len(WAYS), count), torch.nan), iter(values[1:-1])
    for place, part in enumerate(parts.values()):
        for way in part:
            left[place, WAYS.index(way)] = next(rows)
    before = torch.tensor(read.before)
    yield Progress(total, total, (Held(metric, *read.tokens(), tuple(parts), before, values[0], left, values[-1]),))


def _held(places: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, tuple[Edit, ...]]:
    found: dict[str, tuple[Edit, ...]] = {}
    for spot, axes in places:
        found[spot] = (*found.get(spot, ()), hold(**axes))
    return found
