"""Is that all? Keep only some parts, all others replaced, and see how much of the answer is left; or the other way.

    share = (value - nothing) / (whole - nothing)         nothing: every part replaced

1: these parts do it alone. With them taken out instead, 1 says that nothing is lost without them. Both are a question
of what stands in the place of the others, so it is named. Beside the parts stand random sets of as many.

Sources: keeping and removing a circuit, Wang et al., "Interpretability in the Wild", 2022 (arXiv 2211.00593); random
sets of the same size, Shi et al., "Hypothesis Testing the Circuit Hypothesis in LLMs", 2024 (2410.13032).
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bloomlab.config import BloomConfig
from bloomlab.errors import HookError, InputError, NearMatches, did_you_mean, shorten
from bloomlab.guards.arguments import a_seed, one_of, whole_within
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import Edit, NamedEdit
from bloomlab.lens.cases import Case, of_texts
from bloomlab.lens.instead import spread
from bloomlab.lens.lengths import Progress
from bloomlab.lens.refute import number
from bloomlab.lens.trials import METRICS, SpotEdits, Texts, Trial, measured, names_places, run
from bloomlab.text.tokenizer import BloomTokenizerFast

MODES = ("keep", "without")
AMONG = ("all", "heads")
MOST_SETS = 1000
Part = tuple[int, int]  # layer and head; head -1 is the layer's MLP


@dataclass(frozen=True)
class Kept(NearMatches):
    """How much of an answer some parts keep, or how much is left without them.

    Attributes:
        mode: "keep" or "without".
        parts: their names, in the order in which the curve takes them.
        instead: what stands in the place of what is replaced, in words.
        among: how many parts there are in all, of which kind.
        metric, answer, rival: as in `Refutation`; "" where the texts have several.
        whole, nothing: (text) the metric with no part replaced, and with all of them.
        values: (size, text) the metric for the first 0, 1, … of the parts.
        chance: (size, set, text) the same for random sets of as many parts.
    """

    mode: str
    parts: tuple[str, ...]
    instead: str
    among: str
    metric: str
    answer: str
    rival: str
    whole: Tensor
    nothing: Tensor
    values: Tensor
    chance: Tensor

    def share(self, values: Tensor) -> Tensor:
        """(…, text) -> (…) how much of the answer is left: 0 as if all parts were replaced, 1 as if none.

        The means over the texts are compared, since in a single one the two may lie close together.
        """
        whole, nothing = self.whole.mean(), self.nothing.mean()
        return (values.mean(-1) - nothing) / (whole - nothing)

    @property
    def against(self) -> int:
        """In how many texts less than half of the answer is left."""
        half = (self.whole + self.nothing) / 2
        return int(((self.values[-1] - half) * (self.whole - self.nothing) < 0).sum())

    @property
    def sentence(self) -> str:
        """What is left, in words with its numbers."""
        answer, rival = (repr(self.answer), repr(self.rival)) if self.answer else ("answer", "rival")
        shown = f"p({answer})" if self.metric == "probability" else f"logit of {answer} less {rival}"
        texts = "" if len(self.whole) == 1 else f"mean of {len(self.whole)} texts: "
        names, by_chance = ", ".join(self.parts), self.share(self.chance[-1])
        if self.mode == "keep":
            done = f"only {names} kept and the rest of {self.among} replaced by {self.instead}"
            best = f"at most {number(by_chance.max().item())}"
        else:
            done = f"{names} of {self.among} replaced by {self.instead}"
            best = f"at least {number(by_chance.min().item())}"
        share = number(self.share(self.values[-1]).item())
        said = (
            f"{texts}{shown} {number(self.values[-1].mean().item())} with {done}; "
            f"{number(self.whole.mean().item())} with all kept, {number(self.nothing.mean().item())} with none: "
            f"{share} of the answer is left, of {len(by_chance)} random sets of as many {best}"
        )
        ends = " to ".join(map(number, spread(self.values[-1])))
        several = f"; in 8 of 10 texts {ends}; in {self.against} of {len(self.whole)} texts less than half is left"
        return f"{said}{several if len(self.whole) > 1 else ''}."

    head = ("parts", "value", "share left", "random sets: lowest", "mean", "highest")

    def rows(self) -> list[list[str]]:
        """The curve: a row for each number of parts."""
        rows = []
        for size, values in enumerate(self.values):
            by_chance = self.share(self.chance[size])
            numbers = [values.mean(), self.share(values), by_chance.min(), by_chance.mean(), by_chance.max()]
            cells = [number(float(one)) for one in numbers]
            name = f"+ {self.parts[size - 1]}" if size > 1 else self.parts[0] if size else "none of them"
            rows.append([name, *(cells if size else [*cells[:2], "", "", ""])])
        return rows

    def records(self) -> list[dict[str, Any]]:
        """A row for each text and number of parts."""
        return [
            {"parts": ", ".join(self.parts[:size]), "text": text, "value": value}
            for size, values in enumerate(self.values.tolist())
            for text, value in enumerate(values)
        ]


def parts_of(config: BloomConfig, among: str) -> list[Part]:
    """All heads of a model and, among "all", its MLPs.

    >>> parts_of(BloomConfig(n_layer=1, n_head=2, hidden_size=4), "all")
    [(0, 0), (0, 1), (0, -1)]
    """
    last = config.n_head if among == "heads" else config.n_head + 1
    return [(layer, head if head < config.n_head else -1) for layer in range(config.n_layer) for head in range(last)]


def part_name(part: Part) -> str:
    """What a part is called.

    >>> part_name((3, 4)), part_name((3, -1))
    ('3.4', 'mlp 3')
    """
    return f"{part[0]}.{part[1]}" if part[1] >= 0 else f"mlp {part[0]}"


def read_parts(parts: Sequence[str], every: Sequence[Part]) -> list[Part]:
    """The parts of these names.

    Raises:
        InputError: one is none, or is named twice.
    """
    if isinstance(parts, str) or not isinstance(parts, Sequence) or not parts:
        raise InputError(f"parts is a list of names such as ['3.4', 'mlp 3'], but got {shorten(parts)}")
    by_name = {part_name(part): part for part in every}
    found = []
    for name in parts:
        plain = re.sub(r"\s+", " ", name).strip() if isinstance(name, str) else name
        if plain not in by_name:
            hint = did_you_mean(str(name), by_name)
            raise InputError(f"none of {len(every)} parts is {shorten(name)}{hint}; a head is '3.4', an MLP 'mlp 3'")
        found.append(by_name[plain])
    if len(set(found)) < len(found):
        raise InputError(f"parts names one of them twice: {shorten(list(parts))}")
    return found


def replacing(replaced: Sequence[Part], instead: NamedEdit) -> SpotEdits:
    """The edits that put `instead` in the place of these parts.

    >>> from bloomlab.tracing.edits import zero
    >>> replacing([(0, 1), (0, 3), (2, -1)], zero())
    {'h.0.attn.mixed': (zero(head=[1, 3]),), 'h.2.mlp.out': (zero(),)}
    """
    heads: dict[int, list[int]] = {}
    edits: dict[str, tuple[Edit, ...]] = {}
    for layer, head in replaced:
        if head >= 0:
            heads.setdefault(layer, []).append(head)
    for layer, some in heads.items():
        edits[f"h.{layer}.attn.mixed"] = (instead.at(**instead.where, head=some),)
    for layer, head in replaced:
        if head < 0:
            edits[f"h.{layer}.mlp.out"] = (_as_pos(instead),)
    return edits


def _as_pos(instead: NamedEdit) -> NamedEdit:
    """An edit for an MLP, whose positions are called pos."""
    return instead.at(**{"pos" if axis == "query" else axis: index for axis, index in instead.where.items()})


def keep(
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    texts: Sequence[str | Case],
    parts: Sequence[str],
    instead: NamedEdit,
    mode: str = "keep",
    among: str = "all",
    metric: str = "logit difference",
    answer: str | None = None,
    rival: str | None = None,
    n: int = 20,
    seed: int = 0,
) -> Iterator[Progress[Kept]]:
    """Keep only these parts, or all but these, a batch of runs at a time; stop iterating to cancel.

    Args:
        texts: texts or cases of as many tokens, see `bloomlab.lens.cases`.
        parts: heads "3.4" and MLPs "mlp 3", in the order in which the curve takes them.
        instead: what stands in the place of the others: zero(), usual(texts), drawn(texts); at named positions
            (query=…) only these are replaced.
        mode: "keep" replaces all others, "without" replaces these.
        among: "all" parts, or only "heads": then every MLP is left as it is.
        metric: as in `bloomlab.lens.refute.refute`.
        answer, rival: of every text that names none itself.
        n: random sets of each size.

    Raises:
        InputError: an argument makes no sense, or the texts have different token counts.
        HookError: `instead` is no such edit.
    """
    one_of("mode", mode, MODES)
    one_of("among", among, AMONG)
    one_of("metric", metric, METRICS)
    whole_within("n", n, 1, MOST_SETS)
    a_seed(seed)
    if not isinstance(instead, NamedEdit) or instead.again is None or "head" in instead.where:
        raise HookError(f"instead is an edit of no head, such as zero() or usual(texts), but got {shorten(instead)}")
    every = parts_of(model.config, among)
    chosen = read_parts(parts, every)
    cases = [
        case._replace(answer=case.answer or answer or "", rival=case.rival or rival or "") for case in of_texts(texts)
    ]
    read = Texts(model, tokenizer, cases)
    if names_places({"": (instead,)}):
        read.check_lengths()
    return _steps(read, every, chosen, instead, mode, among, metric, n, seed)


def _another(every: Sequence[Part], own: Sequence[Part], rng: random.Random) -> list[Part]:
    """As many parts at random: another set than this one, if there is another."""
    some = rng.sample(list(every), len(own))
    while len(own) < len(every) and set(some) == set(own):
        some = rng.sample(list(every), len(own))
    return some


def _steps(
    read: Texts,
    every: Sequence[Part],
    chosen: Sequence[Part],
    instead: NamedEdit,
    mode: str,
    among: str,
    metric: str,
    n: int,
    seed: int,
) -> Iterator[Progress[Kept]]:
    rng, count = random.Random(seed), len(read.cases)
    sets = [list(chosen[:size]) for size in range(len(chosen) + 1)]
    sets += [_another(every, chosen[:size], rng) for size in range(1, len(chosen) + 1) for _ in range(n)]
    replaced = [[part for part in every if (part in some) == (mode == "without")] for some in sets]
    jobs = [replacing(some, instead) for some in [*replaced, every]]
    total, done = count * (len(jobs) + 1), 0
    for done in read.without_edits(metric):
        yield Progress(done, total, ())
    values = torch.zeros(len(jobs), count)
    trials = [Trial(row, edits) for edits in jobs for row in read.rows]
    for places, logits in run(read.model, read.tokenizer, trials):
        for place, row in zip(places, logits, strict=True):
            values[place // count, place % count] = measured(row, *read.pairs[place % count], metric)
        done += len(places)
        if done < total:
            yield Progress(done, total, ())
    whole, curve = torch.tensor(read.before), values[: len(chosen) + 1]
    by_chance = values[len(chosen) + 1 : -1].view(len(chosen), n, count)
    alike = len(set(read.pairs)) == 1
    found = Kept(
        mode,
        tuple(map(part_name, chosen)),
        repr(instead),
        f"{len(every)} {'heads' if among == 'heads' else 'heads and MLPs'}",
        metric,
        *(read.tokens() if alike else ("", "")),
        whole,
        values[-1],
        curve,
        torch.cat([curve[:1, None].expand(1, n, count), by_chance]),
    )
    yield Progress(done, total, (found,))
