"""The ALiBi panel: how steep each head's line is, how far that lets it look, and what it makes of it.

Its slopes can be moved: each is an edit. Its lab asks whether longer texts are harder, what other slopes would do to
held-out texts, or how far twins of the model get that know positions in other ways; it runs only when someone asks.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets

from bloomlab.errors import InputError
from bloomlab.lens.lengths import Progress
from bloomlab.lens.slopes import Factor
from bloomlab.views.alibi.lengths import FACTORS, LengthTexts, curve, desk_factors, slope_curve, twin_curves
from bloomlab.views.alibi.payload import CODE, OTHER_CODE, alibi_payload
from bloomlab.views.alibi.still import measured_of, still_html, still_text
from bloomlab.views.lengths import Lengths
from bloomlab.views.shared.panel import Job, Panel, Piece, Shown

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace


class AlibiPanel(Panel):
    """How steep each head's line is, how far that lets it look, and what it makes of it.

    The trace must have READ of every layer; what edits do to the text is shown where it has READ_EFFECT, too. `texts`
    is what the lab reads, or says in an InputError why there is nothing fit to be read; `twins` measures the model's
    twins, if it has any.

        view = lab.alibi("Leo lives in Oslo.")
        view.layer, view.head = 2, 5
        view.query, view.key = 7, 4                   # two tokens: their distance is what the lines are read at
        view.run_length_lab()                         # loss by position; Ctrl-C keeps what is finished
        view.question, view.whose = "slopes", "head"  # loss by slope instead, of the selected head or of "all"
        view.run_length_lab()
        view.question = "twins"                       # loss by length of its five twins, if it has any
        view.run_length_lab().figure()
    """

    name, title, compares = "alibi", "ALiBi", True
    pieces: ClassVar = {
        "measured": Piece("float32", "what layer head"),
        "before": Piece("float32", "what layer head"),  # of a difference: of the run it is measured by
        "twins": Piece(empty={"any": False}),  # whether the lab can measure some
        "lengths": Piece(
            empty={
                **{"state": "idle", "done": 0, "total": 0, "message": "", "asked": ""},
                **{"curves": [], "by_slope": {}, "twins": {}},  # what was found, for each question
            }
        ),
    }
    jobs = (Job("lengths", "run_length_lab", "length_losses", ()),)

    def __init__(
        self,
        texts: Callable[[str], LengthTexts] | None = None,
        twins: Callable[[], Iterator[Progress[Lengths]]] | None = None,
    ) -> None:
        self._texts, self._twins = texts, twins

    def settings(self) -> dict[str, traitlets.TraitType[Any, Any]]:
        """`far`: how far the lines are drawn; 0: as far as the text. The others are about the lab."""
        return {
            "far": traitlets.Int(0, min=0, max=4096),
            "question": traitlets.Enum(("lengths", "slopes", "twins"), "lengths"),  # what it is asked
            "whose": traitlets.Enum(("all", "head"), "all"),  # slopes: every head's, or the selected one's
            "wanted": traitlets.Int(0),  # grows by one for each run that is asked for
            "stopped": traitlets.Int(0),  # the number of a run that is no longer wanted
        }

    def numbers(self, trace: "Trace", shown: Shown, base: "Trace | None" = None) -> dict[str, Any]:
        """What follows from the slopes and the text's length, and what the heads do."""
        return alibi_payload(trace, base) | self.of_model(trace)

    def of_model(self, trace: "Trace") -> dict[str, Any]:
        """Whether it has twins."""
        return {"twins": {"any": self._twins is not None}}

    def saved(self, trace: "Trace", shown: Shown, base: "Trace | None" = None) -> dict[str, Any]:
        """A run that is going on, or has failed, will not go on there."""
        lengths = shown["lengths"]
        if lengths["state"] not in ("running", "error"):
            return {}
        found = lengths["curves"] or lengths["by_slope"] or lengths["twins"]
        return {"lengths": {**lengths, "state": "done" if found else "idle"}}

    def template(self, picture: Mapping[str, Any]) -> str:
        """The Python that computes the numbers of the chosen head and distance."""
        return OTHER_CODE if "other" in picture else CODE

    def derived(self, shown: Shown) -> dict[str, Any]:
        """`distance`: between the two selected tokens; the lines are read there."""
        return {"distance": int(shown["query"] - shown["key"])}

    def still(self, trace: "Trace | None", shown: Shown) -> str:
        """The text's chips, and a row of numbers for every head of one layer."""
        return still_html(shown["picture"], shown["measured"], shown["layer"], shown["before"])

    def draw(self, trace: "Trace", shown: Shown, path: Path) -> None:
        """The lines, and the reaches; of a difference, which lines have moved, and who looks farther.

        Of a model without ALiBi, what stands in its place.
        """
        # matplotlib, only when it is asked for
        from bloomlab.views.alibi.figure import alibi_figure, difference_figure, other_figure
        from bloomlab.views.shared.figure import save_figure

        measured = measured_of(shown["picture"], shown["measured"])[0].numpy()
        if "other" in shown["picture"]:
            save_figure(other_figure, path, shown["picture"], measured, shown["layer"])
            return
        if "difference" in shown["picture"]:
            change = measured - measured_of(shown["picture"], shown["before"])[0].numpy()
            save_figure(difference_figure, path, shown["picture"], change, shown["layer"])
            return
        save_figure(alibi_figure, path, shown["picture"], measured, shown["layer"], shown["head"])

    def says(self, shown: Shown) -> str:
        """The reaches, and which head is shown."""
        return still_text(shown["picture"], shown["layer"], shown["head"])

    # ---- the lab ----

    def asked(self, job: str, changed: str, shown: Shown) -> str:
        """It runs, and stops, on a click."""
        return {"wanted": "run", "stopped": "stop"}.get(changed, "")

    def steps(
        self, job: str, trace: "Trace", shown: Shown, base: "Trace | None" = None
    ) -> Iterator[tuple[dict[str, Any], Any]]:
        """Measure the loss by position for texts of growing length, by slope, or of the twins, a batch each.

        What the other questions have found stays.

        Raises:
            InputError: there are no texts that are long enough; the message says what to pass. Or there are no twins.
        """
        if shown["question"] == "twins":
            yield from self._twin_steps(shown["lengths"])
            return
        if self._texts is None:
            raise InputError("this view was made without a model to measure; lab.alibi(text) has a length lab")
        texts, question, kept = self._texts(str(trace.text)), shown["question"], shown["lengths"]
        if question == "slopes" and texts.by_slope is None:
            raise InputError("these texts cannot be measured with other slopes")
        lengths = {
            **self.pieces["lengths"].empty,
            "state": "running",
            "asked": question,
            "message": texts.says,
            "trained": texts.trained,
            "twins": kept["twins"],
        }
        if question == "slopes" and texts.by_slope is not None:
            head, desk = shown["head"] if shown["whose"] == "head" else None, desk_factors(trace)
            factors: list[Factor] = [1.0, *desk, *(factor for factor in FACTORS if factor != 1)]
            lengths |= {"curves": kept["curves"], "by_slope": slope_curve(head, texts.says, ())}
            yield {"lengths": lengths}, ()
            for step in texts.by_slope(factors, head):
                points = slope_curve(head, texts.says, step.results)
                lengths = {**lengths, "done": step.done, "total": step.total, "by_slope": points}
                yield {"lengths": lengths}, step.results
            return
        lengths |= {"by_slope": kept["by_slope"]}
        yield {"lengths": lengths}, ()
        for reading in texts.run():
            lengths = {
                **lengths,
                "done": reading.done,
                "total": reading.total,
                "curves": list(map(curve, reading.results)),
            }
            yield {"lengths": lengths}, reading.results

    def _twin_steps(self, kept: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
        if self._twins is None:
            raise InputError(
                "only the embedded model has twins that know positions in other ways; open it, bloomlab.load(), or "
                "measure models of your own with lab.lengths(other, …)"
            )
        begun = {"state": "running", "asked": "twins", "done": 0, "total": 0, "twins": {}}
        lengths = kept | begun | {"message": "documents that training never drew"}
        yield {"lengths": lengths}, ()
        for step in self._twins():
            (found,) = step.results
            now = {"done": step.done, "total": step.total, "message": found.says, "twins": twin_curves(found)}
            lengths = lengths | now
            yield {"lengths": lengths}, found
