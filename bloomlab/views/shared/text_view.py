"""What every view of a text has in common: it reads a text, from Python or typed into the page, and shows it.

A view is a subclass that names its module, widgets/MODULE.js, has the traits that are its own, and three methods:
`_take(trace, place)` fills the traits, `_still()` is the picture without script, `_draw(path)` as a figure.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from bloomlab.errors import BloomlabError, InputError
from bloomlab.guards.files import saying_why_not
from bloomlab.tasks.results import readable
from bloomlab.text.tokens import display_tokens
from bloomlab.views.shared.page import page

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace

PAUSE = 0.06  # seconds without a new text from the page before the model runs
SELECTION = ("layer", "head", "query", "key")


def stamp(provenance: dict[str, Any]) -> str:
    """Where the numbers come from, in one line: model, weights, dtype, seed, edits."""
    weights = str(provenance.get("weights") or "")[:12]
    seed, edits = provenance.get("seed"), provenance.get("edits") or {}
    parts = [
        readable(str(provenance.get("model") or "unnamed model")),
        f"weights {weights}" if weights else "weights not hashed",
        str(provenance.get("dtype") or "").removeprefix("torch."),
        f"seed {seed}" if seed is not None else "no seed",
        "edited: " + ", ".join(f"{spot} {edit}" for spot, edit in edits.items()) if edits else "no edits",
    ]
    return " · ".join(part for part in parts if part)


def text_picture(trace: "Trace") -> dict[str, Any]:
    """What every picture of a trace has: its text as tokens and chips, the model's size, the stamp."""
    tokens = list(trace.tokens)
    return {
        "text": trace.text,
        "layers": trace.config.n_layer,
        "heads": trace.config.n_head,
        "tokens": [{"id": token.id, "bytes": token.bytes.hex(" ")} for token in tokens],
        "chips": [{"shown": chip.shown, "tokens": list(chip.tokens)} for chip in display_tokens(tokens)],
        "stamp": stamp(trace.provenance),
    }


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


class TextView(anywidget.AnyWidget):
    """`read(text)` gives the Trace to show; it is called again for each text typed into the page.

    `setup` is the Python that made `lab`, for `.code`. A view that is `inside` another has no line to the page of its
    own: the other one carries its traits.
    """

    module: str  # the view is drawn by widgets/MODULE.js

    # what the page sets
    typed: Any = traitlets.Dict({"text": "", "number": 0}).tag(
        sync=True
    )  # the number distinguishes one wish from the next
    layer = traitlets.Int(0).tag(sync=True)
    head = traitlets.Int(0).tag(sync=True)
    query = traitlets.Int(0).tag(sync=True)
    key = traitlets.Int(0).tag(sync=True)

    # what the page draws
    live = traitlets.Bool(True).tag(sync=True)  # False in a saved page
    scale = traitlets.Float(1.0, min=0.5, max=3.0).tag(sync=True)  # larger for a projector
    state = traitlets.Enum(("ready", "working", "empty", "error"), "empty").tag(sync=True)
    message = traitlets.Unicode().tag(sync=True)
    answered = traitlets.Int(0).tag(sync=True)  # the number of the typed text that `state` is about
    picture = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        read: Callable[[str], "Trace"],
        text: "str | Trace" = "",
        setup: str = "",
        inside: "TextView | None" = None,
        **traits: Any,
    ) -> None:
        self._read = read
        self._setup = setup
        self._inside = inside
        self._timer: asyncio.TimerHandle | None = None
        self.trace: Trace | None = None
        super().__init__(**traits)  # its traits are observed from here on
        if text != "":
            self.show(text)

    def open(self) -> None:
        """Tell the page that this view is there, unless the one it stands in does."""
        if self._inside is None:
            super().open()

    @contextmanager
    def hold_sync(self) -> Iterator[None]:
        """Changes made inside reach the page in one message."""
        with super().hold_sync() if self._inside is None else self._inside.hold_sync():
            yield

    def show(self, text: "str | Trace", place: dict[str, int] | None = None) -> None:
        """Read a text, or take a trace, and show it, at its first place or this one. If it raises, nothing changes."""
        trace = self._read(text) if isinstance(text, str) else text
        ends = (trace.config.n_layer, trace.config.n_head, len(trace.tokens), len(trace.tokens))
        here = {name: min(getattr(self, name), end - 1) for name, end in zip(SELECTION, ends, strict=True)}
        here |= self._first_place(trace, here) if place is None else place
        with self.hold_sync():  # in one message, so that the page never sees half a picture
            self._take(trace, here)
            self.trace = trace
            with self.hold_trait_notifications():  # a place, not one coordinate after the other
                for name, value in here.items():
                    setattr(self, name, value)
            self.state, self.message = "ready", ""

    def _take(self, trace: "Trace", place: dict[str, int]) -> None:
        """Set the traits to what this trace shows at this place; what can raise comes before the first is set."""
        raise NotImplementedError

    def _first_place(self, trace: "Trace", place: dict[str, int]) -> dict[str, int]:
        """Where the eye goes first in a new text: the last token, and the one before it."""
        last = len(trace.tokens) - 1
        return {"query": last, "key": max(0, last - 1)}

    def _last_layer_at_first(self, trace: "Trace") -> dict[str, int]:
        """The last layer, for only what comes after it is what the model says; later, the layer that was chosen."""
        return {} if self.picture else {"layer": trace.config.n_layer - 1}

    @property
    def text(self) -> str:
        """The text that is shown."""
        return str(self.picture.get("text", ""))

    @property
    def code(self) -> str:
        """The Python that computes the numbers of what is selected."""
        parts = self.picture.get("code", [])
        return "".join(str(getattr(self, part)) if i % 2 else part for i, part in enumerate(parts))

    # ---- the same elsewhere: in a file, in a page without a kernel, in a terminal ----

    def save(self, path: str | Path) -> Path:
        """Write the view to a file: .html (interactive, needs no network), .png or .svg (its main picture).

        Raises:
            InputError: nothing is shown yet, the name ends otherwise, or the file cannot be written.
        """
        path = Path(path)
        self._shown()
        if path.suffix == ".html":
            text = page(self.module, self._saved(), self._still(), self.text)
            with saying_why_not(path):
                path.write_text(text, encoding="utf-8")
        elif path.suffix in (".png", ".svg"):
            with saying_why_not(path):
                self._draw(path)
        else:
            raise InputError(f"a view is saved as .html, .png or .svg; got {str(path)!r}")
        return path

    def _shown(self) -> "Trace":
        """The trace that is on the page.

        Raises:
            InputError: there is none yet.
        """
        if self.trace is None:
            raise InputError("there is nothing to save yet; show a text first: view.show('Leo lives in Oslo.')")
        return self.trace

    def _saved(self) -> dict[str, Any]:
        """The traits of a page that has no kernel to ask."""
        return {name: getattr(self, name) for name in (*SELECTION, "scale", "picture", *self.own_traits())}

    @classmethod
    def own_traits(cls) -> list[str]:
        """The names of the traits that the page and this view share, and no other view has."""
        common = TextView.class_traits()
        return [name for name in cls.class_traits(sync=True) if name not in common and not name.startswith("_")]

    def _still(self) -> str:
        """The picture as HTML without script, of text and images only."""
        raise NotImplementedError

    def _draw(self, path: Path) -> None:
        """Write the main picture to a .png or .svg."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget; and for a page without a kernel, or a terminal, the same in still form."""
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        data["text/html"] = self._still()
        return data, metadata

    # ---- listening to the page ----

    @traitlets.validate(*SELECTION)
    def _inside_the_picture(self, proposal: dict[str, Any]) -> int:
        """A place that a shorter text or a smaller model no longer has becomes the last one it has."""
        value = max(0, int(proposal["value"]))
        if not self.picture:
            return value
        name, tokens = proposal["trait"].name, len(self.picture["tokens"])
        ends = {"layer": self.picture["layers"], "head": self.picture["heads"], "query": tokens}
        return min(value, self.query if name == "key" else ends[name] - 1)

    @traitlets.observe("query")
    def _no_key_after_the_query(self, _: dict[str, Any]) -> None:
        self.key = min(self.key, self.query)

    @traitlets.observe("typed")
    def _wait_for_the_last_text(self, _: dict[str, Any]) -> None:
        """Typing comes in bursts: only the last text of one is read."""
        if self._timer is not None:
            self._timer.cancel()
        try:
            self._timer = asyncio.get_running_loop().call_later(PAUSE, self._read_typed)
        except RuntimeError:  # without an event loop, nothing more can come while this runs
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
            except Exception as error:  # nobody is there to catch it, so the page shows it
                self._say("error", f"{type(error).__name__}: {error}", number)

    def _say(self, state: str, message: str, answered: int) -> None:
        with self.hold_sync():
            self.state, self.message, self.answered = state, message, answered
