"""A panel: one part of a view, as functions of a trace. It has no page and no state of its own.

A view keeps what the page shows: the selection (`layer`, `head`, `query`, `key`), each panel's settings, which a person
changes, and each panel's pieces, which it draws from. A panel says by name what settings and pieces it has, makes the
pieces of a trace, and draws the picture where no script runs. widgets/NAME/NAME.js, or widgets/NAME.js, draws it
where one does. `Shown` is all of it together: the place, the settings and the pieces, by name.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import traitlets

from bloomlab.tasks.results import readable
from bloomlab.text.tokens import display_tokens

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace

SELECTION = ("layer", "head", "query", "key")
LONGEST_STAMPED = 200  # characters of an edit in a stamp
Shown = Mapping[str, Any]
Place = dict[str, int]


class Piece(NamedTuple):
    """What a panel draws from: numbers as bytes, row by row, with the names of their axes; or plain data.

    Axes that are not the model's or the text's: `cell` is the causal half of a matrix, key ≤ query, row by row;
    `half` the half of a symmetric one; those in quotes are named in the panel's payload.
    """

    dtype: str = ""  # "float32", "int32" or "uint8"; "" for plain data
    axes: str = ""
    empty: Any = b""  # what it is while nothing is read


class Job(NamedTuple):
    """A long job of a panel: it goes on while the page stays responsive, and can be stopped."""

    piece: str  # that tells how it goes
    verb: str  # that does it here and now
    found: str  # what it finds is called so
    nothing: Any = None  # that, before it has run
    of_text: bool = False  # another text makes what it found worthless


class Panel:
    """One part of a view. A subclass names itself, its settings and its pieces; "picture" is one of every panel's."""

    name: ClassVar[str]
    title: ClassVar[str]
    pieces: ClassVar[Mapping[str, Piece]] = {}

    compares: ClassVar[bool] = False  # whether it can draw the difference of two runs
    typed: ClassVar[tuple[str, ...]] = ()  # settings that are typed: only the last of a burst counts

    jobs: ClassVar[tuple[Job, ...]] = ()

    def settings(self) -> dict[str, traitlets.TraitType[Any, Any]]:
        """What the page, or Python, can set: by name, with what it may be and what it is at first."""
        return {}

    def place(self, trace: "Trace", place: Place, first: bool) -> Place:
        """Where the eye goes in a new text: the last token, and the one before it. `first`: nothing was shown yet."""
        last = len(trace.tokens) - 1
        return {"query": last, "key": max(0, last - 1)}

    def numbers(self, trace: "Trace", shown: Shown, base: "Trace | None" = None) -> dict[str, Any]:
        """The pieces of a new picture, at the place and with the settings in `shown`.

        With `base`, which only a panel that compares gets, they are those of the difference to that run.
        """
        raise NotImplementedError

    def of_model(self, trace: "Trace") -> dict[str, Any]:
        """Those of the pieces that are the same for every text that the model reads."""
        return {}

    def more(self, trace: "Trace", shown: Shown, changed: str, base: "Trace | None" = None) -> dict[str, Any]:
        """The pieces to replace after a place, a setting or the tab has changed; none, if the page has all it needs."""
        return {}

    def saved(self, trace: "Trace", shown: Shown, base: "Trace | None" = None) -> dict[str, Any]:
        """Pieces for a page that has no kernel to ask, where they are others."""
        return {}

    def begun(self, trace: "Trace", edited: bool) -> dict[str, Any] | None:
        """What a page that computes by itself begins with, where that is more than the trace.

        Raises:
            InputError: a page cannot begin with it.
        """
        return None

    def template(self, picture: Mapping[str, Any]) -> str:
        """The Python that computes what is selected, with marks as `code.code_parts` takes them."""
        raise NotImplementedError

    def derived(self, shown: Shown) -> dict[str, Any]:
        """What follows from what is shown, by name: for the code, and for Python."""
        return {}

    def more_code(self, shown: Shown) -> str:
        """What is added to the code after the template."""
        return ""

    def still(self, trace: "Trace | None", shown: Shown) -> str:
        """The picture as HTML without script, of text and images only."""
        raise NotImplementedError

    def draw(self, trace: "Trace", shown: Shown, path: Path) -> None:
        """Write the main picture to a .png or .svg."""
        raise NotImplementedError

    def says(self, shown: Shown) -> str:
        """What is shown, in one line for a terminal."""
        raise NotImplementedError

    # ---- long jobs ----

    def asked(self, job: str, changed: str, shown: Shown) -> str:
        """Whether a change asks for a job, by its piece: "run", "stop" or ""."""
        return ""

    def steps(
        self, job: str, trace: "Trace", shown: Shown, base: "Trace | None" = None
    ) -> Iterator[tuple[dict[str, Any], Any]]:
        """A job, by its piece: first the pieces that say it has begun, then a step each; with each, what it has found.

        `base` is the run that a difference is measured by, while that is shown.

        Raises:
            InputError: before the first, if there is nothing to be done.
        """
        raise NotImplementedError


def here(shown: Shown) -> Place:
    """The selection."""
    return {name: shown[name] for name in SELECTION}


def own(trace: "Trace", name: str, otherwise: Any) -> Any:
    """What the lab that read a trace has by this name, such as its model; a trace of no lab takes what the panel has.

    The two runs of a comparison may come from two labs, and states are read by their own model only.
    """
    return otherwise if trace.lab is None else getattr(trace.lab, name)


def last_layer_first(trace: "Trace", first: bool) -> Place:
    """The last layer, for only what comes after it is what the model says; later, the layer that was chosen."""
    return {"layer": trace.config.n_layer - 1} if first else {}


def stamp(provenance: dict[str, Any], layers: int = 0) -> str:
    """Where the numbers come from, in one line: model, weights, dtype, seed, edits; those of all `layers` once."""
    if provenance.get("given"):  # numbers of nobody's model
        return readable(str(provenance["given"]))
    weights = str(provenance.get("weights") or "")[:12]
    seed, edits = provenance.get("seed"), by_part(provenance.get("edits") or {}, layers)
    parts = [
        str(provenance.get("model") or "unnamed model"),
        f"weights {weights}" if weights else "weights not hashed",
        "".join(f"adapter {name}" for name in [", ".join(provenance.get("adapters") or [])] if name),
        str(provenance.get("dtype") or "").removeprefix("torch."),
        f"seed {seed}" if seed is not None else "no seed",
        "edited: " + ", ".join(f"{spot} {_stamped(edit)}" for spot, edit in edits.items()) if edits else "no edits",
    ]
    return readable(" · ".join(part for part in parts if part))


def _stamped(edit: str) -> str:
    """An edit as a stamp has it; one that names many texts is cut short, and the code has all of it."""
    return edit if len(edit) <= LONGEST_STAMPED else f"{edit[: LONGEST_STAMPED - 1]}…"


def by_part(edits: Mapping[str, str], layers: int) -> dict[str, str]:
    """Edits by their spots, with one for a part that was edited alike in each of so many layers, as `trace` takes it.

    >>> by_part({"h.0.attn.alibi": "scale(2)", "h.1.attn.alibi": "scale(2)", "embed": "zero()"}, 2)
    {'attn.alibi': 'scale(2)', 'embed': 'zero()'}
    """
    found: dict[str, str] = {}
    for spot, edit in edits.items():
        part = spot.split(".", 2)[-1]
        alike = layers > 1 and all(edits.get(f"h.{layer}.{part}") == edit for layer in range(layers))
        found[part if alike else spot] = edit
    return found


def text_picture(trace: "Trace") -> dict[str, Any]:
    """What every picture of a trace has: its text as tokens and chips, the model's size, the stamp."""
    tokens = list(trace.tokens)
    return {
        "text": trace.text,
        "layers": trace.config.n_layer,
        "heads": trace.config.n_head,
        "tokens": [{"id": token.id, "bytes": token.bytes.hex(" ")} for token in tokens],
        "chips": [{"shown": chip.shown, "tokens": list(chip.tokens)} for chip in display_tokens(tokens)],
        "stamp": stamp(trace.provenance, trace.config.n_layer),
        "edited": bool(trace.provenance.get("edits")),
    }
