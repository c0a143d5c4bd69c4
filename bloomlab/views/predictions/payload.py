"""Predictions: the four heads over the same tokens: the next token, a label, tags, an answer, each at every layer.

`predictions_payload(trace, …)` is everything the picture needs, as numbers and bytes. `Predictions` carries it to the
page, and asks again when another question is typed.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import traitlets
from torch import Tensor

from bloomlab.arguments import whole_text
from bloomlab.asking import best_answer, entities, label_names
from bloomlab.errors import BloomlabError, InputError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.heads.question_answering import BloomForQuestionAnswering
from bloomlab.heads.sequence_classification import BloomForSequenceClassification, last_token
from bloomlab.heads.token_classification import BloomForTokenClassification
from bloomlab.lens.predictions import READ as READ
from bloomlab.lens.predictions import answer_probs, label_probs, next_tokens
from bloomlab.lens.reads import positions_at_once
from bloomlab.pretrained import BloomPreTrainedModel
from bloomlab.tokenizer import BloomTokenizerFast
from bloomlab.verdicts import readable
from bloomlab.views._assets import module_text, style_text
from bloomlab.views._cells import word
from bloomlab.views._predictions_still import still_html, still_text
from bloomlab.views._reading import PAUSE, ReadingView, code_parts, text_picture

if TYPE_CHECKING:
    from bloomlab.trace import Trace

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


# ---- what the picture needs: pure functions of a trace and the heads ----


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
    found, missing = usable(heads)
    ids = trace.ids[0].cpu()
    values = {
        **next_values(trace, model, tokenizer, token),
        **answer_values(trace, tokenizer, found.get("answer"), question),
    }
    labels = {task: label_names(found[task], HEADS[task]) for task in ("language", "tags") if task in found}
    padding = found["language"].config.pad_token_id if "language" in found else None
    picture = {
        **text_picture(trace),
        "vocab": model.config.vocab_size,
        "labels": labels,
        "missing": missing,
        "column": int(last_token(ids[None], padding, torch.zeros(1).long())) % len(ids),
        "edited": bool(trace.provenance.get("edits")),
    }
    for task in ("language", "tags"):
        probs = label_probs(found[task], ids) if task in found else torch.empty(0)
        values[task] = _bytes(probs)
    values["named"] = [_named(trace, labels["tags"], layer) for layer in probs]  # those of the tags
    return {"picture": picture, **values}


def _named(trace: "Trace", labels: list[str], probs: Tensor) -> list[list[Any]]:
    """What the tags of one layer name, from their probabilities (pos, label)."""
    best, tags = probs.max(-1)
    found = entities(str(trace.text), trace.tokens, [labels[i] for i in tags.tolist()], best.tolist())
    return [[readable(entity.text), entity.tag, entity.columns[0], entity.columns[-1]] for entity in found]


def usable(heads: Mapping[str, BloomPreTrainedModel]) -> tuple[dict[str, BloomPreTrainedModel], dict[str, str]]:
    """The task heads there are, and of the others why not, in words."""
    found, missing = {}, {}
    for task, kind in HEADS.items():
        try:
            label_names(heads[task], kind)
            found[task] = heads[task]
        except BloomlabError as error:
            missing[task] = str(error)
    return found, missing


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


# ---- the view: traits only ----


class Predictions(ReadingView):
    """What the four heads say of a text, at every layer.

    `read(text)` gives the Trace to show, with READ; `model` predicts the next token, `heads` do the rest: "language",
    "tags" and "answer", those that there are. `setup` is the Python that made `lab`, for `.code`.

        view = lab.predictions("Leo lives in Oslo.", "Where does Leo live?")
        view.layer, view.query = 1, 3              # after which layer, and at which token
        view.asked = "answer"                      # one head at every layer; or "next", "language", "tags", "all"
        view.question = "Who lives in Oslo?"
        view.save("leo.html")                      # works offline; also .png and .svg
    """

    module = "predictions"
    _esm = module_text(module)
    _css = style_text(module)

    # what the page sets
    asked = traitlets.Enum(("all", "next", "language", "tags", "answer"), "all").tag(sync=True)
    question = traitlets.Unicode().tag(sync=True)

    # what the page draws
    window = traitlets.Dict({"first": 0, "count": 0, "top": 0}).tag(sync=True)
    words = traitlets.Dict().tag(sync=True)
    ids = traitlets.Bytes().tag(sync=True)
    probs = traitlets.Bytes().tag(sync=True)
    language = traitlets.Bytes().tag(sync=True)
    tags = traitlets.Bytes().tag(sync=True)
    ends = traitlets.Bytes().tag(sync=True)
    named: Any = traitlets.List().tag(sync=True)
    answers: Any = traitlets.List().tag(sync=True)
    trouble = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        read: Callable[[str], "Trace"],
        model: BloomForCausalLM,
        tokenizer: BloomTokenizerFast,
        heads: Mapping[str, BloomPreTrainedModel],
        text: "str | Trace" = "",
        question: str = "",
        setup: str = "",
        **traits: Any,
    ) -> None:
        self._model, self._tokenizer, self._heads = model, tokenizer, heads
        self._asking: asyncio.TimerHandle | None = None
        super().__init__(read, text, setup, question=question, **traits)

    def _take(self, trace: "Trace", place: dict[str, int]) -> None:
        payload = predictions_payload(trace, self._model, self._tokenizer, self._heads, self.question, place["query"])
        present = [CODE_OF[task] for task in HEADS if task not in payload["picture"]["missing"]]
        payload["picture"]["code"] = code_parts(CODE + "".join(present), trace, self._setup)
        for name, value in payload.items():
            setattr(self, name, value)

    def _first_place(self, trace: "Trace", place: dict[str, int]) -> dict[str, int]:
        return super()._first_place(trace, place) | self._last_layer_at_first(trace)

    @property
    def quoted(self) -> str:
        """The question as Python writes it, and as the page does."""
        return json.dumps(self.question, ensure_ascii=False)

    def _still(self) -> str:
        return still_html(self._saved())

    def _draw(self, path: Path) -> None:
        """What the still picture shows: all heads at the selected layer, or one head at every layer."""
        from bloomlab.views._figure import save_figure  # matplotlib, only when it is asked for
        from bloomlab.views._predictions_figure import predictions_figure

        save_figure(predictions_figure, path, self._saved())

    def __repr__(self) -> str:
        return still_text(self._saved())

    # ---- listening to the page ----

    @traitlets.observe("query")
    def _send_another_window(self, _: dict[str, Any]) -> None:
        first, count = self.window["first"], self.window["count"]
        if self.trace is None or first <= self.query < first + count:
            return
        self._set_all(next_values(self.trace, self._model, self._tokenizer, self.query))

    @traitlets.observe("question")
    def _ask_the_last_question(self, _: dict[str, Any]) -> None:
        """Typing comes in bursts: only the last question of one is asked."""
        if self._asking is not None:
            self._asking.cancel()
        try:
            self._asking = asyncio.get_running_loop().call_later(PAUSE, self._ask)
        except RuntimeError:  # no event loop, so nothing more can come while we are here
            self._ask()

    def _ask(self) -> None:
        self._asking = None
        if self.trace is None:
            return
        try:
            self._set_all(
                answer_values(self.trace, self._tokenizer, usable(self._heads)[0].get("answer"), self.question)
            )
        except Exception as error:  # nobody is there to catch it: it is shown where the question was typed
            self.trouble = f"{type(error).__name__}: {error}"

    def _set_all(self, values: dict[str, Any]) -> None:
        with self.hold_sync():
            for name, value in values.items():
                setattr(self, name, value)
