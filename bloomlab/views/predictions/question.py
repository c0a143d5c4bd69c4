"""What a receipt in the page is of: the next token, or a task head's label, each against another."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from bloomlab.errors import InputError
from bloomlab.guards.arguments import whole_text
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import Edits, in_order
from bloomlab.lens import receipt as lens
from bloomlab.lens.predictions import as_traced, behind
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tracing.record import record
from bloomlab.views.predictions.payload import usable
from bloomlab.views.receipt import labels_to_compare, rival_of, token_number, where_in
from bloomlab.views.shared.panel import Shown
from bloomlab.views.shared.tables import word
from bloomlab.weights.pretrained import BloomPreTrainedModel

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace

NEXT = "next"


@dataclass(frozen=True)
class Question:
    """What a receipt is of: a model with a head, the run that it has read, and the two outputs."""

    head: str
    model: BloomPreTrainedModel
    run: Callable[..., "Trace"]  # reads ids with edits
    read: "Trace"
    text: str
    at: int
    first: int
    second: lens.Versus
    words: tuple[str, str]
    where: str
    edit: Edits
    named: tuple[str | int, Any]  # the two, as lab.receipt takes them


def measured_by(shown: Shown, tokenizer: BloomTokenizerFast, size: int) -> str | int | None:
    """What the token is measured by, as `lab.receipt` takes it; the vocabulary has `size` tokens.

    Raises:
        InputError: it is no token.
    """
    if shown["receipt_by"] == "token":
        rival = shown["receipt_versus"] or shown["receipt_rival"]
        return "runner-up" if rival == -1 else token_number(tokenizer, size, rival)
    return lens.MEAN if shown["receipt_by"] == "mean" else None


def question(
    trace: "Trace",
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    heads: Mapping[str, BloomPreTrainedModel],
    shown: Shown,
    spots: Sequence[str] = lens.READ,
) -> Question:
    """What is asked, with the run read anew: an edited one with its edits.

    Raises:
        InputError: a token is no token, there is no such head or label, or the stream is no sum.
    """
    if shown["receipt_head"] != NEXT:
        return _of_head(trace, tokenizer, heads, shown, spots)
    size, at = model.config.vocab_size, shown["query"]
    named = None if shown["receipt_token"] == "" else token_number(tokenizer, size, shown["receipt_token"])
    versus = measured_by(shown, tokenizer, size)
    run = partial(record, model, tokenizer)
    read = run(trace.ids, spots, trace.edit)
    best: list[int] = lens.said(model, read, at).topk(2).indices.tolist()
    first = named if named is not None else next(one for one in best if one != versus)
    second, rival = rival_of(tokenizer, size, versus, next(one for one in best if one != first))
    if second == first:
        raise InputError("the token and what it is measured by are the same, so their difference is 0; name another")
    words, where = (word(tokenizer, first), rival), _where(trace, at)
    return Question(
        NEXT, model, run, read, str(trace.text), at, first, second, words, where, trace.edit, (first, second)
    )


def _of_head(
    trace: "Trace",
    tokenizer: BloomTokenizerFast,
    heads: Mapping[str, BloomPreTrainedModel],
    shown: Shown,
    spots: Sequence[str],
) -> Question:
    name, at, text = shown["receipt_head"], shown["query"], str(trace.text)
    fitting, missing = usable(heads)
    if name not in fitting:
        raise InputError(missing[name])
    model, ids = fitting[name], trace.ids
    edit: Edits = dict(as_traced(trace, model)["edit"])
    if name == "answer":
        words = whole_text(shown["question"], "question")
        if not words.strip():
            raise InputError("the receipt of an answer needs a question; write one into the box beside the answer")
        asked = tokenizer.encode(f"{words}\n")
        ids = torch.cat([torch.tensor([asked]).to(ids), ids], 1)
        edit = {spot: [behind(one, len(asked)) for one in in_order(spot, several)] for spot, several in edit.items()}
        at, text = at + len(asked), f"{words}\n{text}"
    run = partial(record, lens.body(model), tokenizer)
    read = run(ids, spots, edit)
    label = shown["receipt_token"] or None
    by = {"mean": lens.MEAN, "nothing": None}
    versus = by.get(shown["receipt_by"], shown["receipt_versus"] or "runner-up")
    first, second, rival = labels_to_compare(model, lens.said(model, read, at), label, versus)
    if second == first:
        raise InputError("the label and what it is measured by are the same, so their difference is 0; name another")
    labels = model.config.id2label
    as_named = labels[second] if isinstance(second, int) else second
    where = f"{_where(trace, shown['query'])}, of the head {name!r}"
    return Question(
        name, model, run, read, text, at, first, second, (labels[first], rival), where, edit, (labels[first], as_named)
    )


def _where(trace: "Trace", at: int) -> str:
    return where_in(trace, at) + (", with the changes" if trace.edit else "")
