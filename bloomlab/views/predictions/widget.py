"""Predictions: the four heads over the same tokens: the next token, a label, tags, an answer, each at every layer."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import traitlets

from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens.predictions import READ as READ
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.views.predictions.payload import (
    CODE,
    CODE_OF,
    HEADS,
    answer_values,
    next_values,
    predictions_payload,
    usable,
)
from bloomlab.views.predictions.still import still_html, still_text
from bloomlab.views.shared.assets import module_text, style_text
from bloomlab.views.shared.text_view import PAUSE, TextView, code_parts
from bloomlab.weights.pretrained import BloomPreTrainedModel

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace


class Predictions(TextView):
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
        from bloomlab.views.predictions.figure import predictions_figure
        from bloomlab.views.shared.figure import save_figure  # matplotlib, only when it is asked for

        save_figure(predictions_figure, path, self._saved())

    def __repr__(self) -> str:
        return still_text(self._saved())

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
        except RuntimeError:  # without an event loop, nothing more can come while this runs
            self._ask()

    def _ask(self) -> None:
        self._asking = None
        if self.trace is None:
            return
        try:
            self._set_all(
                answer_values(self.trace, self._tokenizer, usable(self._heads)[0].get("answer"), self.question)
            )
        except Exception as error:  # nobody is there to catch it, so the page shows it
            self.trouble = f"{type(error).__name__}: {error}"

    def _set_all(self, values: dict[str, Any]) -> None:
        with self.hold_sync():
            for name, value in values.items():
                setattr(self, name, value)
