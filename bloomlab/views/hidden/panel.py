"""The hidden states: what BLOOM would say at every step, how long its vectors are, and who added what.

And, where somebody asks, where the answer is carried: a map of effects.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets

from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens.difference import stream_change
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.views.hidden.effects import NOWHERE, effect_steps, effects_html
from bloomlab.views.hidden.payload import (
    CODE,
    column_values,
    difference_values,
    hidden_payload,
    rest_of_window,
    window_values,
)
from bloomlab.views.hidden.said import NOT_READING, kept_cells, unread_columns
from bloomlab.views.hidden.still import still_html, still_text
from bloomlab.views.shared.like_texts import OVER, LikeTexts
from bloomlab.views.shared.panel import Job, Panel, Piece, Place, Shown, last_layer_first, own

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace


NO_DIFFERENCE = {"moved": b"", "ids_before": b""}


class HiddenPanel(Panel):
    """What BLOOM would say at every step of every layer, how long its vectors are, and who added what.

    The trace must have READ; `model` and `tokenizer` read its states as predictions. `like` gives other texts, to
    draw from and to measure in for a map of effects.

        view = lab.hidden_states("Leo lives in Oslo.")
        view.layer, view.part, view.query = 1, "mid", 2  # the state after attention in layer 1, and a token
        view.mode = "entropy"                            # or "prediction", "script", "rank", "norm", "added"
        view.read_on()                                   # of a large model: the rest of the window, here and now
        view.map_what, view.map_other = "heads", "Leo lives in Lima."
        view.map_over = "texts"                          # the mean of the maps of this text and of others like it
        view.map_effects()                               # where the answer is carried; Ctrl-C keeps what is finished
    """

    name, title, compares = "hidden", "Hidden states", True
    pieces: ClassVar = {
        "points": Piece("float32", "state pos 2"),
        "window": Piece(empty={"first": 0, "count": 0}),  # the tokens whose numbers are here
        "words": Piece(empty={}),
        "ids": Piece("int32", "state count 5"),
        "probs": Piece("float32", "state count 5"),
        "entropy": Piece("float32", "state count"),
        "rank": Piece("int32", "state count"),
        "surprise": Piece("float32", "state count"),
        "norms": Piece("float32", "state count"),
        "cosines": Piece("float32", "count half"),
        "shares": Piece("float32", "part count"),
        "added": Piece("float32", "part count"),
        "moved": Piece("float32", "state count"),  # of a difference: how far what it would say has moved
        "ids_before": Piece("int32", "state count"),
        "reading": Piece(empty=NOT_READING),  # how far it is, where the window comes a column at a time
        "effects": Piece(empty=NOWHERE),
    }
    jobs = (
        Job("reading", "read_on", "columns_read", 0, of_text=True),
        Job("effects", "map_effects", "effect_map", of_text=True),
    )

    def __init__(self, model: BloomForCausalLM, tokenizer: BloomTokenizerFast, like: LikeTexts | None = None) -> None:
        self._model, self._tokenizer, self._like = model, tokenizer, like

    def settings(self) -> dict[str, traitlets.TraitType[Any, Any]]:
        """`part`: the embedding, the state after attention, or after the MLP. `mode`: what the cells show.

        Those of the map are what `lab.effects` takes; with no other text, `map_instead` stands in a cell's place.
        """
        return {
            "part": traitlets.Enum(("embed", "mid", "post"), "post"),
            "mode": traitlets.Enum(("prediction", "script", "entropy", "rank", "norm", "added"), "prediction"),
            "filling": traitlets.Enum(("on", "stopped"), "on"),  # whether what is not read yet comes by itself
            "mapping": traitlets.Enum(("closed", "open", "stopped"), "closed"),
            "map_what": traitlets.Enum(("stream", "mlps", "heads", "positions", "looks"), "stream"),
            "map_mode": traitlets.Enum(("needed", "enough"), "needed"),
            "map_other": traitlets.Unicode(),
            "map_instead": traitlets.Enum(("drawn", "zero"), "drawn"),
            "map_answer": traitlets.Unicode(),  # the likeliest next token
            "map_rival": traitlets.Unicode(),  # that of the other text, or the runner-up
            "map_over": traitlets.Enum(OVER, OVER[0]),
        }

    def place(self, trace: "Trace", place: Place, first: bool) -> Place:
        """The last token, in the last layer."""
        return super().place(trace, place, first) | last_layer_first(trace, first)

    def numbers(self, trace: "Trace", shown: Shown, base: "Trace | None" = None) -> dict[str, Any]:
        """The states' names, the maps, and the numbers of the window that the token is in."""
        payload = hidden_payload(trace, *self._reader(trace), shown["query"]) | NO_DIFFERENCE
        payload["effects"] = NOWHERE
        if base is not None:
            reached = stream_change(base, trace).reached.tolist()
            payload["picture"]["difference"] = {"reached": reached}
            model, tokenizer = self._reader(trace)
            payload |= difference_values(trace, (base, self._reader(base)[0]), model, tokenizer, payload)
        return payload

    def _reader(self, trace: "Trace") -> tuple[BloomForCausalLM, BloomTokenizerFast]:
        """The model that reads a trace's states, and the tokenizer that names its tokens."""
        return own(trace, "model", self._model), own(trace, "tokenizer", self._tokenizer)

    def _measure(self, base: "Trace | None") -> "tuple[Trace, BloomForCausalLM] | None":
        """The run that a difference is measured by, and its model."""
        return None if base is None else (base, self._reader(base)[0])

    def more(self, trace: "Trace", shown: Shown, changed: str, base: "Trace | None" = None) -> dict[str, Any]:
        """The numbers of another window; or of the chosen column, if it is not read yet."""
        first, count = shown["window"]["first"], shown["window"]["count"]
        model, tokenizer = self._reader(trace)
        if first <= shown["query"] < first + count:
            if shown["query"] - first not in unread_columns(kept_cells(shown)):
                return {}
            return column_values(trace, model, tokenizer, shown, self._measure(base))
        values = {
            "picture": shown["picture"],
            **NO_DIFFERENCE,
            **window_values(trace, model, tokenizer, shown["query"]),
        }
        if base is not None:
            values |= difference_values(trace, (base, self._reader(base)[0]), model, tokenizer, values)
        return {name: value for name, value in values.items() if name != "picture"}

    def saved(self, trace: "Trace", shown: Shown, base: "Trace | None" = None) -> dict[str, Any]:
        """All of the window is read for it; a map that is being made will not be finished there."""
        found = shown["effects"]
        pieces = {"effects": {**found, "state": "stopped"}} if found["state"] == "running" else {}
        if unread_columns(kept_cells(shown)):
            for step, _ in self.steps("reading", trace, shown, base):
                pieces |= step
            pieces["reading"] = NOT_READING
        return pieces

    def more_code(self, shown: Shown) -> str:
        """The map, if there is one."""
        return str(shown["effects"]["code"])

    def template(self, picture: Mapping[str, Any]) -> str:
        """The Python that computes the chosen state's numbers."""
        return CODE

    def derived(self, shown: Shown) -> dict[str, Any]:
        """`row`: the number of the selected state: the embedding, then two for each layer."""
        return {"row": 0 if shown["part"] == "embed" else 2 * shown["layer"] + (1 if shown["part"] == "mid" else 2)}

    def still(self, trace: "Trace | None", shown: Shown) -> str:
        """The grid as it is shown, in its mode; and the map of effects, if one was asked for."""
        return still_html(dict(shown)) + effects_html(shown["effects"])

    def draw(self, trace: "Trace", shown: Shown, path: Path) -> None:
        """The map of effects while it is open; else the grid as it is shown, of a long text the shown WINDOW."""
        from bloomlab.views.hidden.effects_figure import effects_figure
        from bloomlab.views.hidden.figure import lens_figure
        from bloomlab.views.shared.figure import save_figure  # matplotlib, only when it is asked for

        if shown["mapping"] != "closed" and shown["effects"]["says"]:
            save_figure(effects_figure, path, shown["effects"], shown["picture"]["stamp"])
        else:
            whole = {} if "difference" in shown["picture"] else self.saved(trace, shown)
            save_figure(lens_figure, path, {**shown, **whole})

    def says(self, shown: Shown) -> str:
        """What the model would say at the chosen state."""
        return still_text(dict(shown))

    # ---- the rest of the window, and the map of effects ----

    def asked(self, job: str, changed: str, shown: Shown) -> str:
        """The window is read from the chosen token on; the map is measured when it is opened, and then anew for another
        map or text.
        """
        if job == "reading":
            if changed not in ("picture", "query", "filling"):
                return ""
            if shown["filling"] == "stopped":
                return "stop"
            return "run" if unread_columns(kept_cells(shown)) else ""
        if changed not in ("mapping", "picture") and not changed.startswith("map_"):
            return ""
        if shown["mapping"] != "open":
            return "stop"
        return "run" if changed.startswith("map_") or shown["effects"]["state"] not in ("running", "done") else ""

    def steps(
        self, job: str, trace: "Trace", shown: Shown, base: "Trace | None" = None
    ) -> Iterator[tuple[dict[str, Any], Any]]:
        """The columns around the chosen token; or the estimate of the map, then measured cells.

        Raises:
            BloomlabError: of the map, the run was edited, or the two texts do not fit each other.
        """
        if job == "reading":
            return rest_of_window(trace, *self._reader(trace), shown, self._measure(base))
        return effect_steps(trace, *self._reader(trace), shown, self._like)
