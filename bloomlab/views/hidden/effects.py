"""Where the answer is carried: a map of effects, estimated first and then measured, as the page draws it."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from bloomlab.errors import BloomlabError, InputError
from bloomlab.guards.markup import escaped
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens.patching import effects
from bloomlab.tasks.results import readable
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tracing.donors import drawn
from bloomlab.tracing.edits import NamedEdit, zero
from bloomlab.views.effects import EffectMap
from bloomlab.views.shared.panel import Shown, stamp
from bloomlab.views.shared.tables import change_cell, table, text_cell

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace

Like = Callable[[str], Sequence[str]]
"""Texts like one, of as many tokens."""

NOWHERE: dict[str, Any] = {
    "state": "idle",  # or running, done, stopped, error
    "message": "",
    "done": 0,  # cells
    "total": 0,
    "what": "",
    "kind": "",  # what stands in a cell's place, as the page asks for it: zero or drawn; "" of another text
    "rows": [],
    "columns": [],
    "values": [],  # row by row, shares of the lead: measured, else estimated; None where there is no cell
    "measured": [],  # whether each was measured
    "unit": 0.0,  # nats of a share of 1
    "floor": None,  # the noise, as a share
    "largest": [0, 0],
    "says": "",
    "trust": "",
    "code": "",
}
SHOWN = 12  # cells in the table without script: the largest


def effect_steps(
    trace: "Trace", model: BloomForCausalLM, tokenizer: BloomTokenizerFast, shown: Shown, like: Like | None
) -> Iterator[tuple[dict[str, Any], EffectMap | None]]:
    """The map, a batch of cells each step.

    Raises:
        BloomlabError: before the first step, the run was edited, or the two texts do not fit each other.
    """
    if trace.edit:
        raise InputError("the map is of the text as it is; choose “as it is”, or take the changes back")
    text, other = str(trace.text), shown["map_other"] or None
    kind, instead, given = "", None, f", {other!r}"
    if other is None:
        kind, instead, given = _in_place(text, shown["map_instead"], like)
    what, mode = shown["map_what"], shown["map_mode"]
    place = {"layer": shown["layer"], "head": shown["head"]} if what == "looks" else {}
    steps = effects(model, tokenizer, text, other, instead, what, mode, **place)
    where = "".join(f", {name}={value}" for name, value in place.items())
    code = f"print(lab.effects({text!r}{given}, what={what!r}, mode={mode!r}{where}))\n"
    piece = {**shown["effects"], "state": "running", "message": "", "done": 0, "total": 0}
    yield {"effects": piece, "mapping": "open"}, None
    for step in steps:
        piece = {**piece, "done": step.done, "total": step.total}
        shows = None
        if step.results:
            shows = EffectMap(step.results[0], stamp(trace.provenance))
            piece |= {"what": what, "kind": kind, "code": code, **_page(shows)}
        yield {"effects": piece}, shows


def _in_place(text: str, kind: str, like: Like | None) -> tuple[str, NamedEdit, str]:
    """What stands in a cell's place: as the page asks for it, the edit, and the Python for it."""
    if kind == "drawn" and like is not None:
        try:
            return "drawn", drawn(list(like(text))), f", instead=bloomlab.drawn(lab.like({text!r}).texts)"
        except BloomlabError:  # nothing is known that is like this text
            pass
    return "zero", zero(), ", instead=bloomlab.zero()"


def _page(shows: EffectMap) -> dict[str, Any]:
    """A map as the page draws it."""
    found = shows.found
    known = bool(shows.values.isfinite().any())
    return {
        "rows": [readable(name) for name in shows.rows],
        "columns": [readable(name) for name in shows.columns],
        "values": _numbers(shows.values),
        "measured": shows.exact.isfinite().flatten().tolist(),
        "unit": found.unit,
        "floor": found.floor,
        "largest": list(shows.largest()[0]) if known else [0, 0],
        "says": shows.sentence if known else "",
        "trust": shows.trust if known else "",
    }


def _numbers(values: Tensor) -> list[float | None]:
    return [None if value != value else value for value in values.flatten().tolist()]


def effects_html(found: dict[str, Any]) -> str:
    """The largest cells of the map as a table, where no script runs; nothing if there is none."""
    if not found["says"]:
        return ""
    width, values = len(found["columns"]), found["values"]
    order = sorted((i for i, one in enumerate(values) if one is not None), key=lambda i: -abs(values[i]))[:SHOWN]
    rows = [
        [
            f"{text_cell(found['rows'][i // width])} {text_cell(found['columns'][i % width])}",
            ("" if found["measured"][i] else "~") + change_cell(values[i], 2),
            change_cell(values[i] * found["unit"], 2),
        ]
        for i in order
    ]
    caption = f"The largest of {len(values)} cells. {found['trust']}"
    body = table(("cell", "share", "nats"), rows, caption)
    return f'<p dir="auto">{escaped(found["says"])}</p>{body}'
