"""Predictions: the four heads over the same tokens: the next token, a label, tags, an answer, each at every layer."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets

from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.views.predictions.payload import (
    answer_values,
    code,
    difference_payload,
    next_difference,
    next_values,
    predictions_payload,
    usable,
)
from bloomlab.views.predictions.still import still_html, still_text
from bloomlab.views.shared.code import quoted
from bloomlab.views.shared.panel import Panel, Piece, Place, Shown, last_layer_first, own
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
        "language": Piece("float32", "layer pos label"),
        "tags": Piece("float32", "layer pos label"),
        "ends": Piece("float32", "layer 2 pos"),
        "before": Piece("float32", "layer count top"),  # of a difference: the same in the run as it is
        "language_before": Piece("float32", "layer pos label"),
        "tags_before": Piece("float32", "layer pos label"),
        "ends_before": Piece("float32", "layer 2 pos"),
        "named_before": Piece(empty=[]),
        "answers_before": Piece(empty=[]),
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
        """What every head says; the next tokens of the window that the token is in. Of a difference, in both runs."""
        asked = (shown["question"], shown["query"])
        if base is None:
            return predictions_payload(trace, *self._reader(trace), self._heads_of(trace), *asked)
        heads = (self._heads_of(trace), self._heads_of(base))
        return difference_payload(trace, base, *self._readers(trace, base), *heads, *asked)

    def _reader(self, trace: "Trace") -> tuple[BloomForCausalLM, BloomTokenizerFast]:
        """The model that reads a trace's states, and the tokenizer that names its tokens."""
        return own(trace, "model", self._model), own(trace, "tokenizer", self._tokenizer)

    def _heads_of(self, trace: "Trace") -> Mapping[str, BloomPreTrainedModel]:
        heads: Mapping[str, BloomPreTrainedModel] = own(trace, "heads", self._heads)
        return heads

    def _readers(
        self, trace: "Trace", base: "Trace"
    ) -> tuple[tuple[BloomForCausalLM, BloomForCausalLM], BloomTokenizerFast]:
        model, tokenizer = self._reader(trace)
        return (self._reader(base)[0], model), tokenizer

    def more(self, trace: "Trace", shown: Shown, changed: str, base: "Trace | None" = None) -> dict[str, Any]:
        """The next tokens of another window; the answer to another question."""
        if changed == "question":
            try:
                return self._answers(trace, shown, base)
            except Exception as error:  # nobody is there to catch it, so the page shows it
                return {"trouble": f"{type(error).__name__}: {error}"}
        first, count = shown["window"]["first"], shown["window"]["count"]
        if first <= shown["query"] < first + count:
            return {}
        if base is None:
            return next_values(trace, *self._reader(trace), shown["query"])
        return next_difference(trace, base, *self._readers(trace, base), shown["query"])

    def _answers(self, trace: "Trace", shown: Shown, base: "Trace | None") -> dict[str, Any]:
        """Where the answer to the question is; of a difference, in both runs, if both have such a head."""
        runs = [trace] if base is None else [trace, base]
        there = "answer" not in shown["picture"]["missing"]
        heads = [usable(self._heads_of(run))[0].get("answer") if there else None for run in runs]
        said = [
            answer_values(run, self._reader(run)[1], head, shown["question"])
            for run, head in zip(runs, heads, strict=True)
        ]
        before = {"ends_before": said[-1]["ends"], "answers_before": said[-1]["answers"]} if base is not None else {}
        return said[0] | before

    def template(self, picture: Mapping[str, Any]) -> str:
        """The Python that asks each head at the chosen layer and token."""
        return code(picture)

    def derived(self, shown: Shown) -> dict[str, Any]:
        """`quoted`: the question as Python writes it, and as the page does."""
        return {"quoted": quoted(shown["question"])}

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
