"""The map of the model: its parts from the text to the next token, with this text's own shapes and sizes."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets

from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.views.map.figure import map_figure
from bloomlab.views.map.payload import CODE, NO_DIFFERENCE, difference_values, map_payload, parts_payload
from bloomlab.views.map.still import small_html, still_html, still_text
from bloomlab.views.shared.figure import save_figure
from bloomlab.views.shared.panel import Panel, Piece, Shown, own

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace

PARTS = ("text", "tokens", "embed", "attn", "alibi", "mlp", "stream", "norm", "scores", "next")
LEVELS = ("whole", "small")


class MapPanel(Panel):
    """The whole model in one picture: text, table, layers of attention and MLP, scores.

    The trace must have read payload.READ; `model` reads the last state out. `level` is the form that it
    is first shown in: "small" is one line, with one part lit and what it does.

        view = lab.map("Leo lives in Oslo.")     # the explorer, with this tab open
        view.map.part = "mlp"                    # a part: what it does, its shape here, its numbers, its file
    """

    name, title, compares = "map", "Map", True
    pieces: ClassVar = {
        "parts": Piece(empty=[]),
        "norms": Piece("float32", "state pos"),
        "written": Piece("float32", "step pos"),
        "next": Piece(empty=[]),
        "norms_before": Piece("float32", "state pos"),  # of a difference, as the next two
        "written_before": Piece("float32", "step pos"),
        "next_before": Piece(empty=[]),
    }

    def __init__(self, model: BloomForCausalLM, tokenizer: BloomTokenizerFast, level: str = LEVELS[0]) -> None:
        self._model, self._tokenizer, self._level = model, tokenizer, level

    def settings(self) -> dict[str, traitlets.TraitType[Any, Any]]:
        """How much is shown; `part`: the chosen one."""
        return {"part": traitlets.Enum(PARTS, "attn"), "level": traitlets.Enum(LEVELS, self._level)}

    def of_model(self, trace: "Trace") -> dict[str, Any]:
        """The parts."""
        return {"parts": parts_payload(own(trace, "model", self._model))}

    def numbers(self, trace: "Trace", shown: Shown, base: "Trace | None" = None) -> dict[str, Any]:
        """The parts, and what this text has at each; of a difference, beside what it had there."""
        model, tokenizer = own(trace, "model", self._model), own(trace, "tokenizer", self._tokenizer)
        payload = map_payload(trace, model, tokenizer) | NO_DIFFERENCE | self.of_model(trace)
        if base is not None:
            payload |= difference_values(payload, base, own(base, "model", self._model))
            payload["picture"]["difference"] = {}
        return payload

    def template(self, picture: Mapping[str, Any]) -> str:
        """The Python that reads what the chosen part makes, and lists all parts."""
        return CODE

    def derived(self, shown: Shown) -> dict[str, Any]:
        """`spot`, where the chosen part is read, as Python, and its `axes`. Of one that makes no tensor, `embed`."""
        part = next((part for part in shown["parts"] if part["name"] == shown["part"] and part["spot"]), None)
        spot = part["spot"].format(layer=shown["layer"]) if part else "embed"
        return {"spot": repr(spot), "axes": ", ".join(axis for axis, *_ in part["axes"]) if part else "pos, hidden"}

    def still(self, trace: "Trace | None", shown: Shown) -> str:
        """The parts as a table; in one line, as a line."""
        return small_html(shown) if shown["level"] == "small" else still_html(shown)

    def draw(self, trace: "Trace", shown: Shown, path: Path) -> None:
        """Write the boxes to a .png or .svg."""
        save_figure(map_figure, path, dict(shown))

    def says(self, shown: Shown) -> str:
        """The whole in a line."""
        return still_text(shown)
