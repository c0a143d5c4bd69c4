"""Predictions: the four heads over the same tokens: the next token, a label, tags, an answer, each at every layer.

And, where somebody asks, which part of the model wrote the next token: the receipt.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets

from bloomlab.guards.memory import said_of
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.views.predictions.inside import SHUT, inside_steps
from bloomlab.views.predictions.payload import (
    HEADS,
    answer_values,
    code,
    difference_payload,
    next_difference,
    next_values,
    predictions_payload,
    usable,
)
from bloomlab.views.predictions.question import NEXT, question
from bloomlab.views.predictions.receipt import IDLE, receipt_bars, receipt_html, receipt_steps
from bloomlab.views.predictions.still import still_html, still_text
from bloomlab.views.shared.code import quoted
from bloomlab.views.shared.like_texts import OVER, LikeTexts
from bloomlab.views.shared.panel import Job, Panel, Piece, Place, Shown, last_layer_first, own
from bloomlab.weights.pretrained import BloomPreTrainedModel

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace


OPENED = ("opened_mlp", "opened_as")


class PredictionsPanel(Panel):
    """What the four heads say of a text, at every layer.

    The trace must have READ; `model` predicts the next token, `heads` do the rest: "language", "tags" and "answer",
    those that there are. `question` is asked at first. `like` gives other texts, to draw from and to measure in
    for the receipt.

        view = lab.predictions("Leo lives in Oslo.", "Where does Leo live?")
        view.layer, view.query = 1, 3              # after which layer, and at which token
        view.asked = "answer"                      # one head at every layer; or "next", "language", "tags", "all"
        view.question = "Who lives in Oslo?"
        view.receipt_versus = " Lima"              # by default the runner-up
        view.explain()                             # which part wrote the next token; Ctrl-C keeps what is finished
        view.explaining = "direct"                 # without the totals; "total": with them
        view.receipt_over = "texts"                # mean and spread over other texts like this one
        view.receipt_head = "tags"                 # of a task head's label; "next": of the next token
        view.opened_mlp, view.opened_as = 3, "neurons"  # one MLP's line; or "without" each head
        view.open_mlp().to_pandas()
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
        "receipt": Piece(empty=IDLE),
        "inside": Piece(empty=SHUT),
    }
    typed = ("question",)
    jobs = (
        Job("receipt", "explain", "explained", of_text=True),
        Job("inside", "open_mlp", "mlp_lines", of_text=True),
    )

    def __init__(
        self,
        model: BloomForCausalLM,
        tokenizer: BloomTokenizerFast,
        heads: Mapping[str, BloomPreTrainedModel],
        question: str = "",
        like: LikeTexts | None = None,
    ) -> None:
        self._model, self._tokenizer, self._heads, self._question = model, tokenizer, heads, question
        self._like = like

    def settings(self) -> dict[str, traitlets.TraitType[Any, Any]]:
        """Which head is shown at every layer, what is asked of the text, and what the receipt is of.

        By default, of the likeliest token against the runner-up; `receipt_rival` is an id, where no text is given.
        """
        return {
            "asked": traitlets.Enum(("all", "next", "language", "tags", "answer"), "all"),
            "question": traitlets.Unicode(self._question),
            "explaining": traitlets.Enum(("closed", "direct", "total", "stopped"), "closed"),
            "receipt_token": traitlets.Unicode(),
            "receipt_versus": traitlets.Unicode(),
            "receipt_rival": traitlets.Int(-1),
            "receipt_by": traitlets.Enum(("token", "mean", "nothing"), "token"),
            "receipt_instead": traitlets.Enum(("drawn", "zero"), "drawn"),
            "receipt_over": traitlets.Enum(OVER, OVER[0]),
            "receipt_head": traitlets.Enum((NEXT, *HEADS), NEXT),
            "opened_mlp": traitlets.Int(-1),  # none
            "opened_as": traitlets.Enum(("neurons", "without"), "neurons"),
        }

    def place(self, trace: "Trace", place: Place, first: bool) -> Place:
        """The last token, after the last layer."""
        return super().place(trace, place, first) | last_layer_first(trace, first)

    def numbers(self, trace: "Trace", shown: Shown, base: "Trace | None" = None) -> dict[str, Any]:
        """What every head says; the next tokens of the window that the token is in. Of a difference, in both runs."""
        asked = shown["question"], shown["query"]
        nothing = {"receipt": IDLE, "inside": SHUT}  # those of another run say nothing here
        if base is None:
            return predictions_payload(trace, *self._reader(trace), self._heads_of(trace), *asked) | nothing
        heads = (self._heads_of(trace), self._heads_of(base))
        return difference_payload(trace, base, *self._readers(trace, base), *heads, *asked) | nothing

    def saved(self, trace: "Trace", shown: Shown, base: "Trace | None" = None) -> dict[str, Any]:
        """A receipt that is being made will not be finished there."""
        pieces = {"receipt": "lines", "inside": "rows"}
        return {
            name: {**shown[name], "state": "stopped" if shown[name][part] else "idle"}
            for name, part in pieces.items()
            if shown[name]["state"] in ("running", "error")
        }

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
                return {"trouble": said_of(error)}
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
        """All heads at the selected layer, or one head at every layer; and the receipt, if one was asked for."""
        return still_html(dict(shown)) + receipt_html(shown["receipt"])

    def more_code(self, shown: Shown) -> str:
        """The receipt, if there is one."""
        return str(shown["receipt"]["code"] + shown["inside"]["code"])

    def draw(self, trace: "Trace", shown: Shown, path: Path) -> None:
        """The receipt while it is open; else what the still picture shows."""
        from bloomlab.views.predictions.figure import predictions_figure
        from bloomlab.views.shared.bars import bars_figure
        from bloomlab.views.shared.figure import save_figure  # matplotlib, only when it is asked for

        receipt = shown["receipt"]
        if shown["explaining"] != "closed" and receipt["lines"]:
            save_figure(bars_figure, path, receipt["says"], *receipt_bars(receipt), shown["picture"]["stamp"])
        else:
            save_figure(predictions_figure, path, dict(shown))

    def says(self, shown: Shown) -> str:
        """What the heads say at the chosen layer and token."""
        return still_text(dict(shown))

    # ---- the receipt ----

    def asked(self, job: str, changed: str, shown: Shown) -> str:
        """Each is made anew for another token, and while it is open for another place or text."""
        if changed not in ("explaining", "query", "tab", "picture", "question", *OPENED) and (
            not changed.startswith("receipt_")
        ):
            return ""
        mode = shown["explaining"]
        if job == "inside":
            opened = shown["opened_mlp"] >= 0 and mode in ("direct", "total") and "difference" not in shown["picture"]
            return ("" if changed == "explaining" and shown["inside"]["rows"] else "run") if opened else "stop"
        receipt = shown["receipt"]
        if mode not in ("direct", "total"):
            return "stop"
        if changed in OPENED or (changed == "question" and shown["receipt_head"] != "answer"):
            return ""
        idle, there = receipt["state"] == "idle", receipt["at"] == shown["query"]
        if changed in ("query", "tab") and (idle or there):
            return ""
        return "" if changed == "explaining" and receipt["state"] == "running" and receipt["mode"] == mode else "run"

    def steps(
        self, job: str, trace: "Trace", shown: Shown, base: "Trace | None" = None
    ) -> Iterator[tuple[dict[str, Any], Any]]:
        """The receipt of the next token, then some totals a step; or one MLP's line, opened.

        Raises:
            InputError: what is asked for is no token.
        """
        read = (trace, *self._reader(trace), self._heads_of(trace), shown)
        if job == "inside":
            return inside_steps(*read)
        before = None
        if base is not None:
            before = partial(question, base, *self._reader(base), self._heads_of(base), shown)
        return receipt_steps(*read, self._like, before)
