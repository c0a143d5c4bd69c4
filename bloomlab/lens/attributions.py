"""The attributions of several texts: how far what a token gives in one text holds at its place in others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bloomlab.errors import InputError, NearMatches
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import NamedEdit
from bloomlab.lens.attribution import STEPS, Attribution, attribution
from bloomlab.lens.cases import Case, of_texts
from bloomlab.lens.lengths import Progress
from bloomlab.text.tokenizer import BloomTokenizerFast

PARTS = 1000  # of a text's progress


@dataclass(frozen=True)
class Attributions(NearMatches):
    """What the token at each place gives, in each of several texts of as many tokens; in nats.

    Attributes:
        found: the attribution of each text, each of its own answer and rival.
    """

    found: tuple[Attribution, ...]

    def of(self, name: str) -> Tensor:
        """(text, pos) one of the three answers: "left_out", "gradient" or "integrated"."""
        return torch.stack([getattr(one, name) for one in self.found])

    def spread(self, name: str) -> Tensor:
        """(pos) the standard deviation over the texts of one of the three answers."""
        return self.of(name).std(0, unbiased=False)

    @property
    def difference(self) -> Tensor:
        """(text) of the logits."""
        return torch.tensor([one.difference for one in self.found])

    @property
    def mean(self) -> Attribution:
        """The means, at the tokens of the first text; answer and rival are "" where the texts' differ."""
        first, pairs = self.found[0], {(one.answer, one.rival) for one in self.found}
        answer, rival = (first.answer, first.rival) if len(pairs) == 1 else ("", "")
        return replace(
            first,
            answer=answer,
            rival=rival,
            difference=self.difference.mean().item(),
            baseline=sum(one.baseline for one in self.found) / len(self.found),
            left_out=self.of("left_out").mean(0),
            gradient=self.of("gradient").mean(0),
            integrated=self.of("integrated").mean(0),
            steps=max(one.steps for one in self.found),
        )


def attributions(
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    texts: Sequence[str | Case],
    instead: NamedEdit | None = None,
    steps: int = STEPS,
) -> Iterator[Progress[Attributions]]:
    """The attribution of each text; after each, those so far. A case names its answer and rival.

    Raises:
        InputError, HookError: as `attribution` does; or the texts have different token counts.
    """
    cases = of_texts(texts)
    counts = {len(tokenizer.encode(case.text)) for case in cases}
    if len(counts) > 1:
        raise InputError(
            f"places mean the same only in texts of as many tokens, but these have {min(counts)} to {max(counts)}; "
            "lab.cases makes texts of one count"
        )
    asked = [
        attribution(model, tokenizer, case.text, case.answer or None, case.rival or None, instead, steps)
        for case in cases
    ]
    return _steps(asked)


def _steps(asked: Sequence[Iterator[Progress[Attribution]]]) -> Iterator[Progress[Attributions]]:
    found: list[Attribution] = []
    for number, steps in enumerate(asked):
        last = None
        for last in steps:
            part = int((PARTS - 1) * last.done / last.total)
            so_far = (Attributions(tuple(found)),) if found else ()
            yield Progress(PARTS * number + part, PARTS * len(asked), so_far)
        if last is not None:
            found.append(last.results[0])
        yield Progress(PARTS * (number + 1), PARTS * len(asked), (Attributions(tuple(found)),))
