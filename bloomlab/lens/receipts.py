"""The receipts of several texts: how far a line of one text holds in others of its kind."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bloomlab.errors import InputError, NearMatches
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import NamedEdit
from bloomlab.lens.cases import Case
from bloomlab.lens.lengths import Progress
from bloomlab.lens.receipt import MEAN, READ, part_names, places_of_parts, receipt
from bloomlab.lens.trials import Texts, Trial, rows_at_once, run
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tracing.record import record


@dataclass(frozen=True)
class Receipts(NearMatches):
    """The lines of several texts' receipts, each of its own answer.

    Attributes:
        names: the lines, as in `Receipt`.
        direct: (text, part) the lines.
        total: (text, part) what is lost when the part is replaced; 0 of the biases, which are not; NaN where it was
            not measured yet, or in some of the texts.
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
    instead: Callable[..., NamedEdit] | None,
    versus: str | None = "runner-up",
    position: int = -1,
) -> Iterator[Progress[Receipts]]:
    """The receipts of several texts of as many tokens, at one position; from the direct lines on, those so far.

    Args:
        cases: each text's answer and rival; "" is the likeliest next token, and the runner-up.
        instead: what stands in a part's place, as in `total_effects`; None leaves the totals out.
        versus: "runner-up" is each text's own rival; "mean" and None are as in `receipt`.
        position: after which token they are read.

    Raises:
        InputError: a token is not one token, the texts have different token counts, or the stream is no sum.
        HookError: nothing can stand in a text's place.
    """
    texts = Texts(model, tokenizer, cases)
    if len({len(row) for row in texts.rows}) > 1:
        raise InputError("the receipts of several texts are of texts of as many tokens; lab.cases makes such")
    for done in texts.without_edits("logit difference", position):
        yield Progress(done, 0, ())
    config, count = model.config, len(cases)
    others = [versus if versus in (MEAN, None) else rival for _, rival in texts.pairs]
    direct, difference = [], []
    rows = rows_at_once(model, len(texts.rows[0]))
    for first in range(0, count, rows):
        some = range(first, min(count, first + rows))
        trace = record(model, tokenizer, torch.tensor([texts.rows[place] for place in some]), READ)
        for row, place in enumerate(some):
            found = receipt(model, trace.row(row), texts.pairs[place][0], others[place], position)
            direct.append(found.direct)
            difference.append(found.difference)
        yield Progress(len(direct), 0, ())
    names = (*part_names(config.n_layer, config.n_head), "norm bias", "head bias")
    parts = {} if instead is None else places_of_parts(config.n_layer, config.n_head)
    total = torch.zeros(count, len(names))
    total[:, list(parts) if parts else slice(None)] = torch.nan
    whole = Receipts(names, torch.stack(direct), total.clone(), torch.tensor(difference))
    yield Progress(0, len(parts) * count, (whole,))
    if instead is None:
        return
    jobs = [
        (place, number, Trial(texts.rows[place], {spot: (instead(**axes),)}))
        for number, (spot, axes) in parts.items()
        for place in range(count)
    ]
    done = 0
    for some_jobs, logits in run(model, tokenizer, [trial for *_, trial in jobs], position):
        for job, row in zip(some_jobs, logits, strict=True):
            place, number, _ = jobs[job]
            total[place, number] = difference[place] - _lead(row, texts.pairs[place][0], others[place])
        done += len(some_jobs)
        yield Progress(done, len(jobs), (replace(whole, total=total.clone()),))


def _lead(logits: Tensor, token: int, versus: str | int | None) -> float:
    rival = 0.0 if versus is None else logits[versus] if isinstance(versus, int) else logits.mean()
    return (logits[token] - rival).item()
