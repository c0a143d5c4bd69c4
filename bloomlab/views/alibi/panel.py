"""The ALiBi panel: how steep each head's line is, how far that lets it look, and what it makes of it.

Its length lab asks whether longer texts are harder; it runs only when someone asks.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets

from bloomlab.errors import InputError
from bloomlab.views.alibi.lengths import LengthTexts, curve
from bloomlab.views.alibi.payload import CODE, alibi_payload
from bloomlab.views.alibi.still import measured_of, still_html, still_text
from bloomlab.views.shared.panel import Panel, Piece, Shown

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace


class AlibiPanel(Panel):
    """How steep each head's line is, how far that lets it look, and what it makes of it.

    The trace must have READ of every layer. `texts` is what the length lab reads, or says in an InputError why there
    is nothing fit to be read.

        view = lab.alibi("Leo lives in Oslo.")
        view.layer, view.head = 2, 5
        view.query, view.key = 7, 4                   # two tokens: their distance is what the lines are read at
        view.run_length_lab()                         # loss by position; Ctrl-C keeps what is finished
    """

    name, title = "alibi", "ALiBi"
    pieces: ClassVar = {
        "measured": Piece("float32", "what layer head"),
        "lengths": Piece(empty={"state": "idle", "done": 0, "total": 0, "message": "", "curves": []}),
    }
    job, verb, found, nothing_found = "lengths", "run_length_lab", "length_losses", ()

    def __init__(self, texts: Callable[[str], LengthTexts] | None = None) -> None:
        self._texts = texts

    def settings(self) -> dict[str, traitlets.TraitType[Any, Any]]:
        """`far`: how far the lines are drawn; 0: as far as the text. The other two ask for the length lab."""
        return {
            "far": traitlets.Int(0, min=0, max=4096),
            "wanted": traitlets.Int(0),  # grows by one for each run that is asked for
            "stopped": traitlets.Int(0),  # the number of a run that is no longer wanted
        }

    def numbers(self, trace: "Trace", shown: Shown, base: "Trace | None" = None) -> dict[str, Any]:
        """What follows from the slopes and the text's length, and what the heads do."""
        return alibi_payload(trace)

    def saved(self, trace: "Trace", shown: Shown, base: "Trace | None" = None) -> dict[str, Any]:
        """A run that is going on, or has failed, will not go on there."""
        lengths = shown["lengths"]
        if lengths["state"] not in ("running", "error"):
            return {}
        return {"lengths": {**lengths, "state": "done" if lengths["curves"] else "idle"}}

    def template(self, picture: Mapping[str, Any]) -> str:
        """The Python that computes the numbers of the chosen head and distance."""
        return CODE

    def derived(self, shown: Shown) -> dict[str, Any]:
        """`distance`: between the two selected tokens; the lines are read there."""
        return {"distance": int(shown["query"] - shown["key"])}

    def still(self, trace: "Trace | None", shown: Shown) -> str:
        """The text's chips, and a row of numbers for every head of one layer."""
        return still_html(shown["picture"], shown["measured"], shown["layer"])

    def draw(self, trace: "Trace", shown: Shown, path: Path) -> None:
        """The lines, and the reaches."""
        from bloomlab.views.alibi.figure import alibi_figure  # matplotlib, only when it is asked for
        from bloomlab.views.shared.figure import save_figure

        measured = measured_of(shown["picture"], shown["measured"])[0].numpy()
        save_figure(alibi_figure, path, shown["picture"], measured, shown["layer"], shown["head"])

    def says(self, shown: Shown) -> str:
        """The reaches, and which head is shown."""
        return still_text(shown["picture"], shown["layer"], shown["head"])

    # ---- the length lab ----

    def asked(self, changed: str, shown: Shown) -> str:
        """It runs, and stops, on a click."""
        return {"wanted": "run", "stopped": "stop"}.get(changed, "")

    def steps(self, trace: "Trace", shown: Shown) -> Iterator[tuple[dict[str, Any], Any]]:
        """Measure the loss by position for texts of growing length, a batch each.

        Raises:
            InputError: there are no texts that are long enough; the message says what to pass.
        """
        if self._texts is None:
            raise InputError("this view was made without a model to measure; lab.alibi(text) has a length lab")
        texts = self._texts(str(trace.text))
        lengths = {**self.pieces["lengths"].empty, "state": "running", "message": texts.says, "trained": texts.trained}
        yield {"lengths": lengths}, ()
        for step in texts.run():
            lengths = {**lengths, "done": step.done, "total": step.total, "curves": list(map(curve, step.results))}
            yield {"lengths": lengths}, step.results
