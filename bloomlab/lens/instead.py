"""What stands in the place of what is taken out, side by side: in one text, or in many.

    ways = {"zero": {spot: (zero(head=1),)}, "drawn": {spot: (drawn(texts, head=1),)}}
    for step in effects(lab.model, lab.tokenizer, cases, ways, "logit difference"):
        print(step.done, "of", step.total)                          # stop when you like: what is finished stays
    step.results[-1].mean("drawn"), step.results[-1].against("drawn")

Which head matters most depends on it: see `tests/claims/replaced.py`.

Sources: Zhang and Nanda, "Towards Best Practices of Activation Patching", 2023 (arXiv 2309.16042), section 4.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from bloomlab.errors import BloomlabError
from bloomlab.guards.arguments import one_of
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens.cases import Case
from bloomlab.lens.lengths import Progress
from bloomlab.lens.trials import METRICS, SpotEdits, Texts, Trial, asked, measured, names_places, run
from bloomlab.text.tokenizer import BloomTokenizerFast

LIKELY = 50  # tokens whose chance changes most, among which those that are compared are looked for
SPREAD = 0.1, 0.9


@dataclass(frozen=True)
class Effects:
    """A metric after each of several edits, in each of several texts.

    Attributes:
        metric: "logit difference" or "probability".
        answer, rival: the tokens that are compared after the first text, as texts.
        before: (text) the metric without edits.
        after: (text) by the name of the edit, the metric with it.
        refused: by the name of an edit, why it cannot be made.
        pairs: (answer, rival) of each text.
    """

    metric: str
    answer: str
    rival: str
    before: Tensor
    after: Mapping[str, Tensor] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    pairs: tuple[tuple[str, str], ...] = ()

    def mean(self, name: str) -> float:
        """The mean over the texts."""
        return float(self.after[name].mean())

    def spread(self, name: str) -> tuple[float, float]:
        """Between which two numbers eight in ten of the texts are."""
        return spread(self.after[name])

    def against(self, name: str) -> int:
        """In how many texts the edit has the opposite effect of its mean, or none.

        >>> Effects("probability", "a", "b", torch.zeros(3), {"e": torch.tensor([0.5, 0.25, -0.25])}).against("e")
        1
        """
        return against(self.after[name] - self.before)


def spread(values: Tensor) -> tuple[float, float]:
    """Between which two of these numbers eight in ten of them are.

    >>> spread(torch.arange(11.0))
    (1.0, 9.0)
    """
    low, high = values.quantile(torch.tensor(SPREAD)).tolist()
    return low, high


def against(changes: Tensor) -> int:
    """How many of these changes are opposite to their mean, or none.

    >>> against(torch.tensor([2.0, 1.0, 0.0, -1.0]))
    2
    """
    return int((changes * changes.mean() <= 0).sum())


def effects(
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    cases: Sequence[Case],
    ways: Mapping[str, SpotEdits | Sequence[SpotEdits]],
    metric: str = "logit difference",
) -> Iterator[Progress[Effects]]:
    """Measure each edit in each text, an edit at a time; stop iterating to cancel.

    Args:
        cases: the texts, of as many tokens if an edit names positions; the first is the one that is shown.
        ways: the edits by name; for each one edit, or one for each text.

    Raises:
        InputError: the texts have other token counts than the first, an answer is not one token, or no such metric.
    """
    one_of("metric", metric, METRICS)
    read = Texts(model, tokenizer, cases)
    each = {name: [edits] * len(cases) if isinstance(edits, Mapping) else list(edits) for name, edits in ways.items()}
    if any(names_places(several[0]) for several in each.values()):
        read.check_lengths()
    return _steps(read, each, metric)


def _steps(read: Texts, each: Mapping[str, Sequence[SpotEdits]], metric: str) -> Iterator[Progress[Effects]]:
    count = len(read.cases)
    total, done = count * (1 + len(each)), 0
    for done in read.without_edits(metric):
        yield Progress(done, total, ())
    pairs = tuple(map(read.tokens, range(count)))
    found = Effects(metric, *pairs[0], torch.tensor(read.before), pairs=pairs)
    yield Progress(done, total, (found,))
    for place, (name, edits) in enumerate(each.items(), 1):
        values = torch.zeros(count)
        try:
            for places, logits in run(read.model, read.tokenizer, [*map(Trial, read.rows, edits)]):
                for text, row in zip(places, logits, strict=True):
                    values[text] = measured(row, *read.pairs[text], metric)
                done += len(places)
                yield Progress(min(done, total), total, (found,))
            found = replace(found, after={**found.after, name: values})
        except BloomlabError as error:  # another way may well be possible
            found = replace(found, refused={**found.refused, name: str(error)})
        done = count * (1 + place)
        yield Progress(done, total, (found,))


def ends(model: BloomForCausalLM, tokenizer: BloomTokenizerFast, text: str, edits: SpotEdits) -> Tensor:
    """The logits after the last token of a text, without and with edits: (run, vocab).

    Raises:
        HookError: an edit cannot be made, or the numbers grow beyond all bounds.
    """
    ids = tuple(tokenizer.encode(text))
    found = torch.zeros(2, model.config.vocab_size)
    for places, logits in run(model, tokenizer, [Trial(ids, {}), Trial(ids, edits)]):
        found[places] = logits
    return found


def moved_most(tokenizer: BloomTokenizerFast, logits: Tensor) -> tuple[str, str]:
    """Of two runs (run, vocab): the token whose chance changes most, and the one that changes most the other way.

    Only tokens that can be named by their text are taken. Where nothing changes: the likeliest, and the next likeliest.
    """
    before, after = logits.double().softmax(-1)
    change = after - before
    if not change.any():
        answer, rival = asked(logits[0], None, None)
        return tokenizer.decode([answer]), tokenizer.decode([rival])
    most = _named(tokenizer, change.abs())
    return most[0], next(
        (text for text in _named(tokenizer, -change * change[tokenizer.encode(most[0])[0]].sign()) if text != most[0]),
        most[1],
    )


def _named(tokenizer: BloomTokenizerFast, sizes: Tensor) -> list[str]:
    """The tokens of the largest sizes (vocab) that are one token when their text is read, the largest first."""
    order = sizes.topk(min(LIKELY, len(sizes))).indices.tolist()
    texts = ((token, tokenizer.decode([token])) for token in order)
    return [text for token, text in texts if text and tokenizer.encode(text) == [token]]
