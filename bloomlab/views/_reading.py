"""What every view of a text is: something that reads a text, here or typed into the page, and shows it.

A view is a subclass with its own traits and one method, `_take(trace)`, that fills them.
"""

import asyncio
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from bloomlab.errors import BloomlabError

if TYPE_CHECKING:
    from bloomlab.trace import Trace

PAUSE = 0.06  # seconds without a new text from the page before the model runs


def stamp(provenance: dict[str, Any]) -> str:
    """Where the numbers come from, in one line: model, weights, dtype, seed, edits."""
    weights = str(provenance.get("weights") or "")[:12]
    seed, edits = provenance.get("seed"), provenance.get("edits") or {}
    parts = [
        str(provenance.get("model") or "unnamed model"),
        f"weights {weights}" if weights else "weights not hashed",
        str(provenance.get("dtype") or "").removeprefix("torch."),
        f"seed {seed}" if seed is not None else "no seed",
        "edited: " + ", ".join(f"{spot} {edit}" for spot, edit in edits.items()) if edits else "no edits",
    ]
    return " · ".join(part for part in parts if part)


def code_parts(template: str, trace: "Trace", setup: str = "") -> list[str]:
    """The Python behind a picture, cut at the numbers that a selection changes: {layer}, {head}, … in the template.

    Every second part is such a name, to be replaced by its number. (A template with marks would be wrong for a text
    that contains such a mark.) SETUP, TEXT and HEADS in the template become what they are of this trace.
    """
    setup = setup or f"lab = bloomlab.load({str(trace.provenance.get('model') or 'tiny')!r})"
    words = {"SETUP": setup, "TEXT": repr(trace.text), "HEADS": str(trace.config.n_head)}
    parts = re.split(r"\{(\w+)\}", template)
    parts[::2] = [re.sub("SETUP|TEXT|HEADS", lambda mark: words[mark[0]], part) for part in parts[::2]]
    return parts


class ReadingView(anywidget.AnyWidget):
    """`read(text)` gives the Trace to show; it is called again for each text typed into the page."""

    # what the page sets
    typed: Any = traitlets.Dict({"text": "", "number": 0}).tag(sync=True)  # the number tells one wish from the next

    # what the page draws
    live = traitlets.Bool(True).tag(sync=True)  # False in a saved page
    scale = traitlets.Float(1.0, min=0.5, max=3.0).tag(sync=True)  # larger for a projector
    state = traitlets.Enum(("ready", "working", "empty", "error"), "empty").tag(sync=True)
    message = traitlets.Unicode().tag(sync=True)
    answered = traitlets.Int(0).tag(sync=True)  # the number of the typed text that `state` is about
    picture = traitlets.Dict().tag(sync=True)

    def __init__(
        self, read: Callable[[str], "Trace"], text: "str | Trace" = "", setup: str = "", **traits: Any
    ) -> None:
        self._read = read
        self._setup = setup
        self._timer: asyncio.TimerHandle | None = None
        self.trace: Trace | None = None
        super().__init__(**traits)  # its traits are observed from here on
        if text != "":
            self.show(text)

    def show(self, text: "str | Trace") -> None:
        """Read a text, or take a trace, and show it. If that raises, the old picture stays."""
        trace = self._read(text) if isinstance(text, str) else text
        with self.hold_sync():  # one message: the page never sees half a picture
            self._take(trace)
            self.trace = trace
            self.state, self.message = "ready", ""

    def _take(self, trace: "Trace") -> None:
        """Set the traits to what this trace shows; what can raise comes before the first is set."""
        raise NotImplementedError

    @property
    def text(self) -> str:
        """The text that is shown."""
        return str(self.picture.get("text", ""))

    # ---- listening to the page ----

    @traitlets.observe("typed")
    def _wait_for_the_last_text(self, _: dict[str, Any]) -> None:
        """Typing comes in bursts: only the last text of one is read."""
        if self._timer is not None:
            self._timer.cancel()
        try:
            self._timer = asyncio.get_running_loop().call_later(PAUSE, self._read_typed)
        except RuntimeError:  # no event loop, so nothing more can come while we are here
            self._read_typed()

    def _read_typed(self) -> None:
        self._timer = None
        text, number = str(self.typed["text"]), int(self.typed["number"])
        if not text.strip():
            self._say("empty", "", number)
        elif text == self.text:
            self._say("ready", "", number)
        else:
            self._say("working", "", self.answered)
            try:
                self.show(text)
                self._say("ready", "", number)
            except BloomlabError as error:
                self._say("error", str(error), number)
            except KeyboardInterrupt:
                self._say("error", "the reading was interrupted; type again to read the text", number)
            except Exception as error:  # nobody is there to catch it: it is shown where the text was typed
                self._say("error", f"{type(error).__name__}: {error}", number)

    def _say(self, state: str, message: str, answered: int) -> None:
        with self.hold_sync():
            self.state, self.message, self.answered = state, message, answered
