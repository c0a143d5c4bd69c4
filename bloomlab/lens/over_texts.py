"""How far does the effect of an edit hold? The same edit in one text and in others of its kind, text by text.

    for step in over_texts(lab.model, lab.tokenizer, cases, {"h.3.attn.mixed": zero(head=4)}):
        print(step.done, "of", step.total)
    step.results[-1].mean, step.results[-1].spread, step.results[-1].against

Texts of one length go through the model together, those of another apart: nothing is padded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from bloomlab.errors import HookError, NearMatches
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens.cases import Case
from bloomlab.lens.instead import against, effects, spread
from bloomlab.lens.lengths import Progress
from bloomlab.lens.refute import number
from bloomlab.lens.trials import SpotEdits
from bloomlab.text.tokenizer import BloomTokenizerFast

ENDS = 4  # texts at either end of the order by change: the table shows these, where there are more
SHOWN = 60  # characters of a text in the table


@dataclass(frozen=True)
class OverTexts(NearMatches):
    """A metric without and with an edit, in each of several texts.

    Attributes:
        edit: what was done, as Python.
        metric: "logit difference", of the answer less the rival, in nats; or "probability", of the answer.
        texts: what was read, first the text that the edit was made for.
        pairs: (answer, rival) of each: the tokens that are compared after it.
        before, after: (text) the metric without, and with the edit.
    """

    edit: str
    metric: str
    texts: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    before: Tensor
    after: Tensor

    @property
    def change(self) -> Tensor:
        """(text) what the edit adds to the metric."""
        return self.after - self.before

    @property
    def mean(self) -> float:
        """The mean change."""
        return self.change.mean().item()

    @property
    def spread(self) -> tuple[float, float]:
        """Between which two changes eight in ten of the texts are: 10 % are below the first, 10 % above the second."""
        return spread(self.change)

    @property
    def against(self) -> int:
        """In how many texts the metric changes the other way than its mean, or not at all."""
        return against(self.change)

    @property
    def sentence(self) -> str:
        """The mean, the spread, and how many texts go the other way, in words."""
        answer, rival = map(repr, self.pairs[0]) if len(set(self.pairs)) == 1 else ("answer", "rival")
        shown = f"p({answer})" if self.metric == "probability" else f"logit of {answer} less {rival}"
        before, after = (number(values.mean().item()) for values in (self.before, self.after))
        said, count = f"{shown} {before} → {after} with {self.edit}", len(self.texts)
        if count == 1:
            return f"{said}."
        low, high = map(number, self.spread)
        return (
            f"mean of {count} texts: {said}; a change of {number(self.mean)}, in 8 of 10 texts from {low} to {high}; "
            f"{self.against} of {count} go the other way."
        )

    head = ("text", "answer", "rival", "before", "after", "change")

    def rows(self) -> list[list[str]]:
        """The mean, the first text, then the others by their change; of many, those at either end."""
        means = [number(values.mean().item()) for values in (self.before, self.after, self.change)]
        order = [place for place in self.change.argsort(stable=True).tolist() if place > 0]
        rows = [*([["mean", "", "", *means]] if order else []), self._row(0), *map(self._row, order[:ENDS])]
        between, last = order[ENDS:-ENDS], order[max(ENDS, len(order) - ENDS) :]
        if between:
            rows.append([f"… {len(between)} texts between", *[""] * 5])
        return [*rows, *map(self._row, last)]

    def _row(self, place: int) -> list[str]:
        numbers = (number(values[place].item()) for values in (self.before, self.after, self.change))
        text = self.texts[place]
        return [text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…", *map(repr, self.pairs[place]), *numbers]

    def records(self) -> list[dict[str, Any]]:
        """A row for each text."""
        numbers = zip(self.before.tolist(), self.after.tolist(), self.change.tolist(), strict=True)
        return [
            {"text": text, "answer": answer, "rival": rival, "before": before, "after": after, "change": change}
            for text, (answer, rival), (before, after, change) in zip(self.texts, self.pairs, numbers, strict=True)
        ]


def over_texts(
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    cases: Sequence[Case],
    edits: SpotEdits,
    metric: str = "logit difference",
) -> Iterator[Progress[OverTexts]]:
    """Measure an edit in each text, a batch at a time; the last step has what was found. Stop iterating to cancel.

    Args:
        cases: the text that the edit is made for, then the others; of as many tokens if it names positions.
        edits: by the exact names of their spots, see `bloomlab.lens.trials.by_spot`.

    Raises:
        InputError: no such metric, an answer is not one token, or the texts have other token counts than the first.
        HookError: the edit cannot be made.
    """
    shown = ", ".join(f"{edit!r} at {spot}" for spot, several in edits.items() for edit in several)
    return _steps(effects(model, tokenizer, cases, {shown: edits}, metric), [case.text for case in cases], shown)


def _steps(steps: Iterator[Progress[Any]], texts: Sequence[str], shown: str) -> Iterator[Progress[OverTexts]]:
    for step in steps:
        found = step.results[-1] if step.results else None
        if found is not None and shown in found.refused:
            raise HookError(found.refused[shown])
        if found is None or shown not in found.after:
            yield Progress(step.done, step.total, ())
        else:
            whole = OverTexts(shown, found.metric, tuple(texts), found.pairs, found.before, found.after[shown])
            yield Progress(step.done, step.total, (whole,))
