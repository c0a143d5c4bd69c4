"""Predictions: the four heads over the same tokens: the next token, a label, tags, an answer, each at every layer."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets

from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.views.predictions.payload import (
    CODE,
    CODE_OF,
    HEADS,
    answer_values,
    before_values,
    next_values,
    predictions_payload,
    usable,
)
from bloomlab.views.predictions.still import still_html, still_text
from bloomlab.views.shared.panel import Panel, Piece, Place, Shown, last_layer_first
from bloomlab.weights.pretrained import BloomPreTrainedModel

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace


class PredictionsPanel(Panel):
    """What the four heads say of a text, at every layer.

    The trace must have READ; `model` predicts the next token, `heads` do the rest: "language", "tags" and "answer",
    those that there are. `question` is asked at first.

        view = lab.predictions("Leo lives in Oslo.", "Where does Leo live?")
        view.layer, view.query = 1, 3              # after which layer, and at which token
        view.asked = "answer"                      # one head at every layer; or "next", "language", "tags", "all"
        view.question = "Who lives in Oslo?"
    """

    name, title, compares = "predictions", "Predictions", True
    pieces: ClassVar = {
        "window": Piece(empty={"first": 0, "count": 0, "top": 0}),  # the tokens whose next tokens are here
        "words": Piece(empty={}),
        "ids": Piece("int32", "layer count top"),
        "probs": Piece("float32", "layer count top"),
        "before": Piece("float32", "layer count top"),  # of a difference: how likely the other run finds the same
        "language": Piece("float32", "layer pos label"),
        "tags": Piece("float32", "layer pos label"),
        "ends": Piece("float32", "layer 2 pos"),
        "named": Piece(empty=[]),
        "answers": Piece(empty=[]),
        "trouble": Piece(empty=""),
    }
    typed = ("question",)

    def __init__(
        self,
        model: BloomForCausalLM,
        tokenizer: BloomTokenizerFast,
        heads: Mapping[str, BloomPreTrainedModel],
        question: str = "",
    ) -> None:
        self._model, self._tokenizer, self._heads, self._question = model, tokenizer, heads, question

    def settings(self) -> dict[str, traitlets.TraitType[Any, Any]]:
        """Which head is shown at every layer, and what is asked of the text."""
        return {
            "asked": traitlets.Enum(("all", "next", "language", "tags", "answer"), "all"),
            "question": traitlets.Unicode(self._question),
        }

    def place(self, trace: "Trace", place: Place, first: bool) -> Place:
        """The last token, after the last layer."""
        return super().place(trace, place, first) | last_layer_first(trace, first)

    def numbers(self, trace: "Trace", shown: Shown, base: "Trace | None" = None) -> dict[str, Any]:
        """What every head says; the next tokens of the window that the token is in, and how likely they were before."""
        parts = (self._model, self._tokenizer, self._heads)
        values = predictions_payload(trace, *parts, shown["question"], shown["query"]) | {"before": b""}
        if base is not None:
            values |= before_values(trace, base, self._model, values)
            values["picture"]["difference"] = {}
        return values

    def more(self, trace: "Trace", shown: Shown, changed: str, base: "Trace | None" = None) -> dict[str, Any]:
        """The next tokens of another window; the answer to another question."""
        if changed == "question":
            try:
                return answer_values(trace, self._tokenizer, usable(self._heads)[0].get("answer"), shown["question"])
            except Exception as error:  # nobody is there to catch it, so the page shows it
                return {"trouble": f"{type(error).__name__}: {error}"}
        first, count = shown["window"]["first"], shown["window"]["count"]
        if first <= shown["query"] < first + count:
            return {}
        values = next_values(trace, self._model, self._tokenizer, shown["query"])
        return values if base is None else values | before_values(trace, base, self._model, values)

    def template(self, picture: Mapping[str, Any]) -> str:
        """The Python that asks each head at the chosen layer and token."""
        return CODE + "".join(CODE_OF[task] for task in HEADS if task not in picture["missing"])

    def derived(self, shown: Shown) -> dict[str, Any]:
        """`quoted`: the question as Python writes it, and as the page does."""
        return {"quoted": json.dumps(shown["question"], ensure_ascii=False)}

    def still(self, trace: "Trace | None", shown: Shown) -> str:
        """All heads at the selected layer, or one head at every layer."""
        return still_html(dict(shown))

    def draw(self, trace: "Trace", shown: Shown, path: Path) -> None:
        """What the still picture shows."""
        from bloomlab.views.predictions.figure import predictions_figure
        from bloomlab.views.shared.figure import save_figure  # matplotlib, only when it is asked for

        save_figure(predictions_figure, path, dict(shown))

    def says(self, shown: Shown) -> str:
        """What the heads say at the chosen layer and token."""
        return still_text(dict(shown))
