"""The ALiBi view: how steep each head's line is, how far that lets it look, and what it makes of it.

Its length lab asks whether longer texts are harder; it runs only when someone asks.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import traitlets

from bloomlab.errors import BloomlabError, InputError
from bloomlab.lens.lengths import LengthLoss
from bloomlab.views.alibi.lengths import LengthTexts, curve
from bloomlab.views.alibi.payload import CODE, alibi_payload
from bloomlab.views.alibi.still import measured_of, still_html, still_text
from bloomlab.views.shared.assets import module_text, style_text
from bloomlab.views.shared.steps import Steps
from bloomlab.views.shared.text_view import TextView, code_parts

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace


class AlibiView(TextView):
    """How steep each head's line is, how far that lets it look, and what it makes of it.

    `read(text)` gives the Trace to show, with READ of every layer. `texts` is what the length lab reads, or says in
    an InputError why there is nothing fit to be read.

        view = AlibiView(read, "Leo lives in Oslo.")
        view.layer, view.head = 2, 5
        view.query, view.key = 7, 4                   # two tokens: their distance is what the lines are read at
        view.run_length_lab()                         # loss by position; Ctrl-C keeps what is finished
        view.save("leo.html")                         # works offline; also .png and .svg
    """

    module = "alibi"
    _esm = module_text(module)
    _css = style_text(module)

    # what the page sets
    far = traitlets.Int(0, min=0, max=4096).tag(sync=True)  # how far the lines are drawn; 0: as far as the text
    wanted = traitlets.Int(0).tag(sync=True)  # grows by one for each run of the length lab that is asked for
    stopped = traitlets.Int(0).tag(sync=True)  # the number of a run that is no longer wanted

    # what the page draws
    measured = traitlets.Bytes().tag(sync=True)
    lengths = traitlets.Dict({"state": "idle", "done": 0, "total": 0, "message": "", "curves": []}).tag(sync=True)

    def __init__(
        self,
        read: Callable[[str], "Trace"],
        text: "str | Trace" = "",
        setup: str = "",
        texts: "Callable[[str], LengthTexts] | None" = None,
        **traits: Any,
    ) -> None:
        self._texts = texts
        self._run: Steps | None = None
        self.length_losses: tuple[LengthLoss, ...] = ()
        super().__init__(read, text, setup, **traits)

    def _take(self, trace: "Trace", place: dict[str, int]) -> None:
        payload = alibi_payload(trace)
        payload["picture"]["code"] = code_parts(CODE, trace, self._setup)
        for name, value in payload.items():
            setattr(self, name, value)

    @property
    def distance(self) -> int:
        """Between the two selected tokens: the lines are read there."""
        return int(self.query - self.key)

    def _saved(self) -> dict[str, Any]:
        state = super()._saved()
        if self.lengths["state"] in ("running", "error"):
            state["lengths"] = {**self.lengths, "state": "done" if self.lengths["curves"] else "idle"}
        return state

    def _still(self) -> str:
        return still_html(self.picture, self.measured, self.layer)

    def _draw(self, path: Path) -> None:
        from bloomlab.views.alibi.figure import alibi_figure  # matplotlib, only when it is asked for
        from bloomlab.views.shared.figure import save_figure

        measured = measured_of(self.picture, self.measured)
        save_figure(alibi_figure, path, self.picture, measured[0].numpy(), self.layer, self.head)

    def __repr__(self) -> str:
        return still_text(self.picture, self.layer, self.head)

    # ---- the length lab ----

    def run_length_lab(self) -> tuple[LengthLoss, ...]:
        """Measure the loss by position for texts of growing length, here and now; Ctrl-C keeps what is finished.

        Raises:
            InputError: the view has no texts that are long enough; the message says what to pass.
        """
        self._begin().run()
        return self.length_losses

    @traitlets.observe("wanted")
    def _run_when_asked(self, _: dict[str, Any]) -> None:
        try:
            self._begin().start()
        except BloomlabError as error:
            self.lengths = {**self.lengths, "state": "error", "message": str(error)}

    @traitlets.observe("stopped")
    def _stop(self, _: dict[str, Any]) -> None:
        if self._run is not None:
            self._run.stop()

    def _begin(self) -> Steps:
        """A new run of the length lab, in place of one that may still be going on."""
        if self._texts is None:
            raise InputError("this view was made without a model to measure; lab.alibi(text) has a length lab")
        texts = self._texts(self.text)
        if self._run is not None:
            self._run.open = False
        self._run = Steps(self._measure(texts), self._end)
        self.lengths = {
            "state": "running",
            "done": 0,
            "total": 0,
            "message": texts.says,
            "trained": texts.trained,
            "curves": [],
        }
        return self._run

    def _measure(self, texts: LengthTexts) -> Iterator[None]:
        """A step for each batch that is read."""
        for step in texts.run():
            self.length_losses = step.results
            self.lengths = {
                **self.lengths,
                "done": step.done,
                "total": step.total,
                "curves": [curve(result) for result in step.results],
            }
            yield

    def _end(self, state: str, message: str = "") -> None:
        self.lengths = {**self.lengths, "state": state, "message": message or self.lengths["message"]}
