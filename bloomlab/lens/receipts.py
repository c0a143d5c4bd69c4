"""The receipts of several texts: how far a line of one text holds in others of its kind."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens.cases import Case
from bloomlab.lens.lengths import Progress
from bloomlab.lens.receipt import MEAN, READ, part_names, places_of_parts, receipt
from bloomlab.lens.trials import Texts, Trial, rows_at_once, run
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tracing.edits import NamedEdit
from bloomlab.tracing.record import record


@dataclass(frozen=True)
class Receipts:
    """The lines of several texts' receipts, each of its own answer.

    Attributes:
        names: the lines, as in `Receipt`.
        direct: (text, part) the lines.
        total: (text, part) what is lost when the part is replaced; 0 of the biases, which are not.
        difference: (text) of the logits.
    """

    names: tuple[str, ...]
    direct: Tensor
    total: Tensor
    difference: Tensor


def receipts(
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    cases: Sequence[Case],
    instead: Callable[..., NamedEdit],
    versus: str | None = "runner-up",
) -> Iterator[Progress[Receipts]]:
    """The receipts of several texts of as many tokens, after the last; the last step has them.

    Args:
        cases: each text's answer and rival; "" is the likeliest next token, and the runner-up.
        instead: what stands in a part's place, as in `total_effects`.
        versus: "runner-up" is each text's own rival; "mean" and None are as in `receipt`.

    Raises:
        InputError: a token is not one token, or the stream is no sum.
        HookError: nothing can stand in a text's place.
    """
    texts = Texts(model, tokenizer, cases)
    for done in texts.without_edits("logit difference"):
        yield Progress(done, 0, ())
    config, count = model.config, len(cases)
    others = [versus if versus in (MEAN, None) else rival for _, rival in texts.pairs]
    direct, difference = [], []
    rows = rows_at_once(model, len(texts.rows[0]))
    for first in range(0, count, rows):
        some = range(first, min(count, first + rows))
        trace = record(model, tokenizer, torch.tensor([texts.rows[place] for place in some]), READ)
        for row, place in enumerate(some):
            found = receipt(model, trace.row(row), texts.pairs[place][0], others[place])
            direct.append(found.direct)
            difference.append(found.difference)
        yield Progress(len(direct), 0, ())
    parts = places_of_parts(config.n_layer, config.n_head)
    jobs = [
        (place, number, Trial(texts.rows[place], {spot: (instead(**axes),)}))
        for number, (spot, axes) in parts.items()
        for place in range(count)
    ]
    total, done = torch.zeros(count, len(direct[0])), 0
    names = (*part_names(config.n_layer, config.n_head), "norm bias", "head bias")
    for some_jobs, logits in run(model, tokenizer, [trial for *_, trial in jobs]):
        for job, row in zip(some_jobs, logits, strict=True):
            place, number, _ = jobs[job]
            total[place, number] = difference[place] - _lead(row, texts.pairs[place][0], others[place])
        done += len(some_jobs)
        whole = Receipts(names, torch.stack(direct), total.clone(), torch.tensor(difference))
        yield Progress(done, len(jobs), (whole,) if done == len(jobs) else ())


def _lead(logits: Tensor, token: int, versus: str | int | None) -> float:
    rival = 0.0 if versus is None else logits[versus] if isinstance(versus, int) else logits.mean()
    return (logits[token] - rival).item()
