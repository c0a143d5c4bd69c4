"""What the view of predictions draws from, as numbers and bytes: pure functions of a trace and the heads."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bloomlab.errors import BloomlabError, InputError
from bloomlab.guards.arguments import whole_text
from bloomlab.guards.memory import said_of
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.heads.question_answering import BloomForQuestionAnswering
from bloomlab.heads.sequence_classification import BloomForSequenceClassification, last_token
from bloomlab.heads.token_classification import BloomForTokenClassification
from bloomlab.lens.difference import next_change
from bloomlab.lens.inputs import positions_at_once
from bloomlab.lens.predictions import READ as READ
from bloomlab.lens.predictions import answer_probs, as_traced, label_probs, next_tokens
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
    "language": 'print(label_probs(lab.heads["language"], trace.ids[0]ALIKE)[{layer}, {query}])  # if it ended there\n',
    "tags": 'print(label_probs(lab.heads["tags"], trace.ids[0]ALIKE)[{layer}, {query}])\n',
    "answer": 'question = torch.tensor(lab.tokenizer.encode({quoted} + "\\n"))\n'
    'print(answer_probs(lab.heads["answer"], question, trace.ids[0]ALIKE)[{layer}, :, {query}])  # starts, ends\n',
}
PIECES_OF = {"language": ["language"], "tags": ["tags", "named"], "answer": ["ends", "answers"]}
BEFORE: dict[str, Any] = {
    **dict.fromkeys(("before", "language_before", "tags_before", "ends_before"), b""),
    "named_before": [],
    "answers_before": [],
}
"""What only a difference has."""


def code(picture: Mapping[str, Any]) -> str:
    """The Python that asks each head at the chosen layer and token; of an edited run, edited alike."""
    asks = {task: text for task, text in CODE_OF.items() if task not in picture["missing"]}
    if not picture["edited"]:
        return CODE + "".join(asks.values()).replace("ALIKE", "")
    alike = [text.replace("ALIKE", f', **as_traced(trace, lab.heads["{task}"])') for task, text in asks.items()]
    return CODE.replace("import answer_probs", "import answer_probs, as_traced") + "".join(alike)


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
    picture, values = head_values(trace, tokenizer, heads, question)
    picture = {**text_picture(trace), "vocab": model.config.vocab_size, **picture}
    return {"picture": picture, **next_values(trace, model, tokenizer, token), **values, **BEFORE}


def head_values(
    trace: "Trace", tokenizer: BloomTokenizerFast, heads: Mapping[str, BloomPreTrainedModel], question: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the task heads say of a text, edited as its trace was: their part of the picture, and their pieces."""
    fitting, missing = usable(heads)
    ids = trace.ids[0].cpu()
    probs: dict[str, Tensor] = {}
    for task, head in fitting.items():
        try:
            alike = as_traced(trace, head)
            if task != "answer":
                probs[task] = label_probs(head, ids, **alike)
        except Exception as error:  # an edit that the model took need not fit the head's own copy of it
            missing[task] = said_of(error)
    fitting = {task: head for task, head in fitting.items() if task not in missing}
    labels = {task: label_names(fitting[task], HEADS[task]) for task in probs}
    padding = fitting["language"].config.pad_token_id if "language" in fitting else None
    column = int(last_token(ids[None], padding, torch.zeros(1).long())) % len(ids)
    values = {
        **{task: _bytes(probs[task]) if task in probs else b"" for task in ("language", "tags")},
        "named": [_named(trace, labels["tags"], layer) for layer in probs.get("tags", [])],
        **answer_values(trace, tokenizer, fitting.get("answer"), question),
    }
    return {"labels": labels, "missing": missing, "column": column}, values


def difference_payload(
    trace: "Trace",
    base: "Trace",
    models: tuple[BloomForCausalLM, BloomForCausalLM],
    tokenizer: BloomTokenizerFast,
    heads: Mapping[str, BloomPreTrainedModel],
    base_heads: Mapping[str, BloomPreTrainedModel],
    question: str = "",
    token: int = 0,
) -> dict[str, Any]:
    """The same for the difference of two runs, `trace` − `base`; `models` are the base's and the trace's.

    The next tokens listed are those whose probability has changed most. What ends in `_before` is what the run as it is
    says. A head that one of the runs lacks, or that has other labels there, has no difference, and `missing` says why.
    """
    values = predictions_payload(trace, models[1], tokenizer, heads, question, token)
    values |= next_difference(trace, base, models, tokenizer, token)
    first, before = head_values(base, tokenizer, base_heads, question)
    picture = values["picture"]
    missing = {task: f"as it is: {why}" for task, why in first["missing"].items()}
    for task, names in first["labels"].items():
        if picture["labels"].get(task, names) != names:
            missing[task] = "the two heads have other labels, so there is no difference; look at each by itself"
    missing |= {task: f"what if: {why}" for task, why in picture["missing"].items()}
    for task, pieces in PIECES_OF.items():
        for name in pieces:
            values[f"{name}_before"] = before[name]
            if task in missing:
                values[name] = values[f"{name}_before"] = type(before[name])()
    labels = {task: names for task, names in picture["labels"].items() if task not in missing}
    values["picture"] = {**picture, "labels": labels, "missing": missing, "difference": {}}
    return values


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
    here, top = _window(model, token)
    return _next(*next_tokens(model, trace, here, top), here, tokenizer)


def next_difference(
    trace: "Trace",
    base: "Trace",
    models: tuple[BloomForCausalLM, BloomForCausalLM],
    tokenizer: BloomTokenizerFast,
    token: int,
) -> dict[str, Any]:
    """The TOP next tokens that have changed most, of the window that `token` is in, and how likely: (layer, pos, top).

    `before` (float32) is how likely they were.

    Raises:
        InputError: the two runs are not of one length, or of other vocabularies.
    """
    here, top = _window(models[1], token)
    change = next_change(models[1], base, trace, here, top, models[0])
    return _next(change.ids, change.probs[1], here, tokenizer) | {"before": _bytes(change.probs[0])}


def _window(model: BloomForCausalLM, token: int) -> tuple[slice, int]:
    """The tokens whose next tokens are sent along with this one's, and how many of each."""
    width = min(WINDOW, positions_at_once(model.config.vocab_size * model.config.n_layer))
    first = token // width * width
    return slice(first, first + width), min(TOP, model.config.vocab_size)


def _next(ids: Tensor, probs: Tensor, here: slice, tokenizer: BloomTokenizerFast) -> dict[str, Any]:
    return {
        "window": {"first": here.start, "count": ids.shape[1], "top": ids.shape[2]},
        "words": {str(i): word(tokenizer, i) for i in sorted(set(ids.flatten().tolist()))},
        "ids": _bytes(ids.int()),
        "probs": _bytes(probs),
    }


def answer_values(
    trace: "Trace", tokenizer: BloomTokenizerFast, head: BloomPreTrainedModel | None, question: str
) -> dict[str, Any]:
    """`ends` (layer, 2, pos): how likely the answer starts (0) and ends (1) at each token; `answers`: one a layer,
    its `spans` [text, score, first token, last token].

    Nothing where there is no head or no question; `trouble` says what is wrong with a question, or with an edit.
    """
    nothing: dict[str, Any] = {"ends": b"", "answers": [], "trouble": ""}
    if head is None or not str(question).strip():
        return nothing
    try:
        least = tokenizer.least_tokens(whole_text(question, "question"))  # one without end is not cut into tokens
        asked = tokenizer.encode(f"{question}\n") if least <= LONGEST_QUESTION else []
    except InputError as error:
        return nothing | {"trouble": str(error)}
    if max(least, len(asked)) > LONGEST_QUESTION:
        count = len(asked) or f"at least {least}"
        trouble = f"the question has {count} tokens, but at most {LONGEST_QUESTION} are asked; shorten it"
        return nothing | {"trouble": trouble}
    try:
        probs = answer_probs(head, torch.tensor(asked), trace.ids[0].cpu(), **as_traced(trace, head))
    except Exception as error:  # nobody is there to catch it when a question is typed, so the page shows it
        return nothing | {"trouble": said_of(error)}
    answers = []
    for starts, ends in probs:
        answer = best_answer(question, str(trace.text), trace.tokens, starts, ends)
        spans = [[readable(span.text), span.score, span.first, span.last] for span in answer.spans]
        answers.append({"spans": spans, "note": answer.note, "outside": answer.outside})
    return {"ends": _bytes(probs), "answers": answers, "trouble": ""}


def _bytes(values: Tensor) -> bytes:
    return values.contiguous().numpy().tobytes()
