"""What the view of predictions draws from, as numbers and bytes: pure functions of a trace and the heads."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bloomlab.errors import BloomlabError, InputError
from bloomlab.guards.arguments import whole_text
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.heads.question_answering import BloomForQuestionAnswering
from bloomlab.heads.sequence_classification import BloomForSequenceClassification, last_token
from bloomlab.heads.token_classification import BloomForTokenClassification
from bloomlab.lens.inputs import positions_at_once
from bloomlab.lens.logit_lens import read_out
from bloomlab.lens.predictions import READ as READ
from bloomlab.lens.predictions import answer_probs, label_probs, next_tokens
from bloomlab.tasks.ask import best_answer, entities, label_names
from bloomlab.tasks.results import readable
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.views.shared.panel import text_picture
from bloomlab.views.shared.tables import word
from bloomlab.weights.pretrained import BloomPreTrainedModel

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace

HEADS: dict[str, type[BloomPreTrainedModel]] = {
    "language": BloomForSequenceClassification,
    "tags": BloomForTokenClassification,
    "answer": BloomForQuestionAnswering,
}
TOP = 8  # next tokens listed
WINDOW = 64  # tokens whose next tokens cross to the page at a time; fewer where there are many layers or words
LONGEST_QUESTION = 256  # tokens

CODE = """\
import torch
import bloomlab
from bloomlab.lens.predictions import answer_probs, label_probs, next_tokens

SETUP
trace = lab.trace(TEXT, read=["resid_post"])
ids, probs = next_tokens(lab.model, trace)  # (layer, pos, top)
print([lab.tokenizer.decode([i]) for i in ids[{layer}, {query}]], probs[{layer}, {query}])
"""
CODE_OF = {
    "language": 'print(label_probs(lab.heads["language"], trace.ids[0])[{layer}, {query}])  # if it ended there\n',
    "tags": 'print(label_probs(lab.heads["tags"], trace.ids[0])[{layer}, {query}])\n',
    "answer": 'question = torch.tensor(lab.tokenizer.encode({quoted} + "\\n"))\n'
    'print(answer_probs(lab.heads["answer"], question, trace.ids[0])[{layer}, :, {query}])  # starts, ends there\n',
}


def predictions_payload(
    trace: "Trace",
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    heads: Mapping[str, BloomPreTrainedModel],
    question: str = "",
    token: int = 0,
) -> dict[str, Any]:
    """All that the page draws from.

    `language` and `tags` (layer, pos, label) are probabilities in float32, empty where there is no such head: then
    `picture["missing"]` says so in words. `picture["column"]` is the token the language is read from.
    `named` lists, for each layer, what its tags name: [text, tag, first token, last token].
    `next_values` and `answer_values` are in it.
    """
    usable_heads, missing = usable(heads)
    ids = trace.ids[0].cpu()
    values = {
        **next_values(trace, model, tokenizer, token),
        **answer_values(trace, tokenizer, usable_heads.get("answer"), question),
    }
    labels = {
        task: label_names(usable_heads[task], HEADS[task]) for task in ("language", "tags") if task in usable_heads
    }
    padding = usable_heads["language"].config.pad_token_id if "language" in usable_heads else None
    picture = {
        **text_picture(trace),
        "vocab": model.config.vocab_size,
        "labels": labels,
        "missing": missing,
        "column": int(last_token(ids[None], padding, torch.zeros(1).long())) % len(ids),
    }
    for task in ("language", "tags"):
        probs = label_probs(usable_heads[task], ids) if task in usable_heads else torch.empty(0)
        values[task] = _bytes(probs)
    values["named"] = [_named(trace, labels["tags"], layer) for layer in probs]  # those of the tags
    return {"picture": picture, **values}


def _named(trace: "Trace", labels: list[str], probs: Tensor) -> list[list[Any]]:
    """What the tags of one layer name, from their probabilities (pos, label)."""
    best, tags = probs.max(-1)
    entity_list = entities(str(trace.text), trace.tokens, [labels[i] for i in tags.tolist()], best.tolist())
    return [[readable(entity.text), entity.tag, entity.columns[0], entity.columns[-1]] for entity in entity_list]


def usable(heads: Mapping[str, BloomPreTrainedModel]) -> tuple[dict[str, BloomPreTrainedModel], dict[str, str]]:
    """The usable task heads, and for each other one why it is not usable, in words."""
    fitting, missing = {}, {}
    for task, kind in HEADS.items():
        try:
            label_names(heads[task], kind)
            fitting[task] = heads[task]
        except BloomlabError as error:
            missing[task] = str(error)
    return fitting, missing


def next_values(trace: "Trace", model: BloomForCausalLM, tokenizer: BloomTokenizerFast, token: int) -> dict[str, Any]:
    """The TOP next tokens of the window that `token` is in: ids (int32) and probabilities, (layer, pos, top) each."""
    width = min(WINDOW, positions_at_once(model.config.vocab_size * model.config.n_layer))
    first = token // width * width
    ids, probs = next_tokens(model, trace, slice(first, first + width), min(TOP, model.config.vocab_size))
    return {
        "window": {"first": first, "count": ids.shape[1], "top": ids.shape[2]},
        "words": {str(i): word(tokenizer, i) for i in sorted(set(ids.flatten().tolist()))},
        "ids": _bytes(ids.int()),
        "probs": _bytes(probs),
    }


def before_values(trace: "Trace", base: "Trace", model: BloomForCausalLM, values: Mapping[str, Any]) -> dict[str, Any]:
    """`before` (layer, pos, top), float32: how likely another run of the text finds the next tokens in `values`.

    Raises:
        InputError: the two runs are not of one length.
    """
    if base.ids.shape != trace.ids.shape:
        raise InputError("the two runs have other numbers of tokens, so there is no difference; look at each by itself")
    window = values["window"]
    here = slice(window["first"], window["first"] + window["count"])
    ids = torch.frombuffer(bytearray(values["ids"]), dtype=torch.int32).long()
    ids = ids.view(trace.config.n_layer, window["count"], window["top"])
    states = base.stack("resid_post")[:, 0, here]
    layers = zip(states, ids, strict=True)
    probs = [read_out(model, state).float().cpu().softmax(-1).gather(-1, best) for state, best in layers]
    return {"before": _bytes(torch.stack(probs))}


def answer_values(
    trace: "Trace", tokenizer: BloomTokenizerFast, head: BloomPreTrainedModel | None, question: str
) -> dict[str, Any]:
    """`ends` (layer, 2, pos): how likely the answer starts (0) and ends (1) at each token; `answers`: one a layer,
    its `spans` [text, score, first token, last token].

    Nothing where there is no head or no question; `trouble` says what is wrong with a question.
    """
    nothing: dict[str, Any] = {"ends": b"", "answers": [], "trouble": ""}
    if head is None or not str(question).strip():
        return nothing
    try:
        asked = tokenizer.encode(f"{whole_text(question, 'question')}\n")
    except InputError as error:
        return nothing | {"trouble": str(error)}
    if len(asked) > LONGEST_QUESTION:
        trouble = f"the question has {len(asked)} tokens, but at most {LONGEST_QUESTION} are asked; shorten it"
        return nothing | {"trouble": trouble}
    probs = answer_probs(head, torch.tensor(asked), trace.ids[0].cpu())
    answers = []
    for starts, ends in probs:
        answer = best_answer(question, str(trace.text), trace.tokens, starts, ends)
        spans = [[readable(span.text), span.score, span.first, span.last] for span in answer.spans]
        answers.append({"spans": spans, "note": answer.note, "outside": answer.outside})
    return {"ends": _bytes(probs), "answers": answers, "trouble": ""}


def _bytes(values: Tensor) -> bytes:
    return values.contiguous().numpy().tobytes()
