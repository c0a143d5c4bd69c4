"""The attention view: every head in small, one head's matrix, and the sum behind each of its cells."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import traitlets
from torch import Tensor

from bloomlab.views.attention.payload import (
    CODE,
    attention_payload,
    average_values,
    colour_steps,
    exact_reach,
    exact_values,
    saved_averages,
    saved_values,
    strongest,
    together,
)
from bloomlab.views.attention.still import static_html, static_text
from bloomlab.views.shared.assets import module_text, style_text
from bloomlab.views.shared.tables import names
from bloomlab.views.shared.text_view import TextView, code_parts

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace


class AttentionView(TextView):
    """Every attention head of a text, one head's matrix, and the sum behind each of its cells.

    `read(text)` gives the Trace to show, with READ of every layer.

        view = lab.attention("Leo lives in Oslo.")
        view.layer, view.head, view.query, view.key = 2, 5, 4, 0     # point at a cell, here or in the page
        view.mode = "content"                                        # or "position", "both", "probability"
        view.pattern = "rollout"                                     # or "layer", "all": means; "head"
        view.show("Another text.")
        view.trace                                                   # the numbers themselves
        view.save("leo.html")                                        # works offline; also .png and .svg
    """

    module = "attention"
    _esm = module_text(module)
    _css = style_text(module)

    # what the page sets
    pattern = traitlets.Enum(("head", "layer", "all", "rollout"), "head").tag(sync=True)
    mode = traitlets.Enum(("probability", "content", "position", "both"), "probability").tag(sync=True)

    # what the page draws
    thumbs = traitlets.Bytes().tag(sync=True)
    exact = traitlets.Dict({"first": 0, "count": 0}).tag(sync=True)
    scores = traitlets.Bytes().tag(sync=True)
    probs = traitlets.Bytes().tag(sync=True)
    averaged: Any = traitlets.Dict({"patterns": []}).tag(sync=True)
    averages = traitlets.Bytes().tag(sync=True)

    def _take(self, trace: "Trace", place: dict[str, int]) -> None:
        payload = attention_payload(trace, place["layer"], place["head"])
        payload |= average_values(trace, self._together(place["layer"]))
        payload["picture"]["code"] = code_parts(CODE, trace, self._setup)
        for name, value in payload.items():
            setattr(self, name, value)

    def _first_place(self, trace: "Trace", place: dict[str, int]) -> dict[str, int]:
        return strongest(trace, place["layer"], place["head"])

    def _saved(self) -> dict[str, Any]:
        trace = self._shown()
        exact = saved_values(trace, self.layer, self.head)
        return super()._saved() | exact | saved_averages(trace, self._together(self.layer))

    def _matrix(self) -> tuple[Tensor, str]:
        """The probabilities that the matrix shows, (query, key), and whose they are."""
        trace, patterns = self._shown(), self._together(self.layer)
        words = {
            "head": f"layer {self.layer}, head {self.head}",
            "layer": f"mean of the {trace.config.n_head} heads of layer {self.layer}",
            "all": f"mean of all {trace.config.n_layer * trace.config.n_head} heads",
            "rollout": f"rollout up to layer {self.layer}",
        }[self.pattern]
        matrix = together(trace, patterns)[0] if patterns else trace[f"h.{self.layer}.attn.probs"][0, self.head]
        return matrix, words

    def _still(self) -> str:
        if self.trace is None:
            return "<p>bloomlab attention: nothing read yet.</p>"
        matrix, words = self._matrix()
        steps = colour_steps(matrix[None], self.picture["block"])[0].numpy()
        return static_html(self.picture, self.thumbs, steps, words, self.query)

    def _draw(self, path: Path) -> None:
        from bloomlab.views.attention.figure import matrix_figure  # matplotlib, only when it is asked for
        from bloomlab.views.shared.figure import save_figure

        matrix, words = self._matrix()
        save_figure(matrix_figure, path, matrix, names(self.picture), words, self.picture["stamp"])

    def __repr__(self) -> str:
        return static_text(self.picture, self.layer, self.head)

    @traitlets.observe("layer", "head")
    def _send_exact_values(self, _: dict[str, Any]) -> None:
        number = self.layer * self.picture.get("heads", 0) + self.head
        if self.trace is None or 0 <= number - self.exact["first"] < self.exact["count"]:
            return
        first, count = exact_reach(self.picture["heads"], len(self.picture["tokens"]), self.layer, self.head)
        with self.hold_sync():
            for name, value in exact_values(self.trace, first, count).items():
                setattr(self, name, value)

    def _together(self, layer: int) -> list[tuple[str, int]]:
        """The pattern of several heads that is shown, if it is one."""
        return [] if self.pattern == "head" else [(self.pattern, 0 if self.pattern == "all" else layer)]

    @traitlets.observe("layer", "pattern")
    def _send_averages(self, _: dict[str, Any]) -> None:
        patterns = self._together(self.layer)
        if self.trace is None or not patterns or list(patterns[0]) in self.averaged["patterns"]:
            return
        with self.hold_sync():
            for name, value in average_values(self.trace, patterns).items():
                setattr(self, name, value)
