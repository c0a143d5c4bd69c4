"""The hidden states: what BLOOM would say at every step, how long its vectors are, and who added what."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import traitlets

from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.views.hidden.payload import CODE, hidden_payload, window_values
from bloomlab.views.hidden.still import still_html, still_text
from bloomlab.views.shared.assets import module_text, style_text
from bloomlab.views.shared.text_view import TextView, code_parts

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace


class HiddenStates(TextView):
    """What BLOOM would say at every step of every layer, how long its vectors are, and who added what.

    `read(text)` gives the Trace to show, with READ; `model` and `tokenizer` read its states as predictions.
    `setup` is the Python that made `lab`, for `.code`.

        view = lab.hidden_states("Leo lives in Oslo.")
        view.layer, view.part, view.query = 1, "mid", 2  # the state after attention in layer 1, and a token
        view.mode = "entropy"                            # or "prediction", "script", "rank", "norm", "added"
        view.show("Another text.")
        view.save("leo.html")                            # works offline; also .png and .svg
    """

    module = "hidden"
    _esm = module_text(module)
    _css = style_text(module)

    # what the page sets
    part = traitlets.Enum(("embed", "mid", "post"), "post").tag(sync=True)  # the embedding; after attention; after MLP
    mode = traitlets.Enum(("prediction", "script", "entropy", "rank", "norm", "added"), "prediction").tag(sync=True)

    # what the page draws
    points = traitlets.Bytes().tag(sync=True)
    window = traitlets.Dict({"first": 0, "count": 0}).tag(sync=True)
    words = traitlets.Dict().tag(sync=True)
    ids = traitlets.Bytes().tag(sync=True)
    probs = traitlets.Bytes().tag(sync=True)
    entropy = traitlets.Bytes().tag(sync=True)
    rank = traitlets.Bytes().tag(sync=True)
    surprise = traitlets.Bytes().tag(sync=True)
    norms = traitlets.Bytes().tag(sync=True)
    cosines = traitlets.Bytes().tag(sync=True)
    shares = traitlets.Bytes().tag(sync=True)
    added = traitlets.Bytes().tag(sync=True)

    def __init__(
        self,
        read: Callable[[str], "Trace"],
        model: BloomForCausalLM,
        tokenizer: BloomTokenizerFast,
        text: "str | Trace" = "",
        setup: str = "",
        **traits: Any,
    ) -> None:
        self._model, self._tokenizer = model, tokenizer
        super().__init__(read, text, setup, **traits)

    @property
    def row(self) -> int:
        """The number of the selected state: the embedding, then two for each layer."""
        return 0 if self.part == "embed" else 2 * self.layer + (1 if self.part == "mid" else 2)

    def _take(self, trace: "Trace", place: dict[str, int]) -> None:
        payload = hidden_payload(trace, self._model, self._tokenizer, place["query"])
        payload["picture"]["code"] = code_parts(CODE, trace, self._setup)
        if trace.provenance.get("edits"):
            payload["picture"]["code"][0] = (
                "# the trace shown was edited; add its edit=… below\n" + (payload["picture"]["code"][0])
            )
        for name, value in payload.items():
            setattr(self, name, value)

    def _first_place(self, trace: "Trace", place: dict[str, int]) -> dict[str, int]:
        return super()._first_place(trace, place) | self._last_layer_at_first(trace)

    def _still(self) -> str:
        return still_html(self._values())

    def _draw(self, path: Path) -> None:
        """The grid as it is shown, in its mode; of a text of more than WINDOW tokens, the WINDOW that is shown."""
        from bloomlab.views.hidden.figure import lens_figure
        from bloomlab.views.shared.figure import save_figure  # matplotlib, only when it is asked for

        save_figure(lens_figure, path, self._values())

    def _values(self) -> dict[str, Any]:
        """What a still picture shows: the traits, and the row of the selected state."""
        return self._saved() | {"row": self.row}

    def __repr__(self) -> str:
        return still_text(self._values())

    @traitlets.observe("query")
    def _send_another_window(self, _: dict[str, Any]) -> None:
        first, count = self.window["first"], self.window["count"]
        if self.trace is None or first <= self.query < first + count:
            return
        values = window_values(self.trace, self._model, self._tokenizer, self.query)
        with self.hold_sync():
            for name, value in values.items():
                setattr(self, name, value)
