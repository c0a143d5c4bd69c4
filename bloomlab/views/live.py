"""A view as a page that computes by itself: what its host (widgets/page/host.js) begins with.

The host does what `View` does, in JavaScript: it takes the same traits and wishes, and gives the same numbers. Here is
what only Python knows: the model, what each trait is at first and may be, each panel's code, and the edits as a page
would wish for them.
"""

from collections.abc import Mapping
from typing import Any

import traitlets

from bloomlab.errors import HookError, InputError
from bloomlab.hooks import Edit, NamedEdit
from bloomlab.tracing.donors import copied, drawn, steer, usual
from bloomlab.views.page_model import page_model
from bloomlab.views.shared.edits import MOST_TEXTS, SEED
from bloomlab.views.shared.panel import SELECTION
from bloomlab.views.worth import NOTHING

TASKS = ("language", "tags", "answer")  # heads that are models of their own, and not in the page
KINDS = {traitlets.Int: "whole", traitlets.Float: "number", traitlets.Bool: "truth", traitlets.Unicode: "text"}


def live_given(view: Any) -> dict[str, Any]:
    """All that a page needs to go on where a view stands.

    Raises:
        InputError: its model is not at hand or too large; it compares two models; or an edit is one that a page cannot
            make.
    """
    trace = view.trace
    lab = None if trace is None else trace.lab
    if trace is None or lab is None:
        raise InputError(
            "a live page needs the model that has read the text, but this trace has none at hand; "
            "show the text instead: view.show(text)"
        )
    if view.runs and not view.changes and not view.compared:
        raise InputError("a live page holds one model, so it compares texts only; save this view without live=True")
    names = [name for name in view.traits(sync=True) if not name.startswith("_") and name not in HOSTS]
    panels = list(view.panels.values())
    empty = {view._trait(panel, name): piece.empty for panel in panels for name, piece in panel.pieces.items()}
    pictures: dict[str, Any] = {"picture": {}, **{view._trait(panel, "picture"): {} for panel in panels}}
    state = {name: getattr(view, name) for name in names}
    state |= {**empty, **pictures, **AT_FIRST, "worth": NOTHING}
    state |= {"troubles": {}} if len(panels) > 1 else {}
    state |= {"typed": {"text": str(trace.text), "number": 0}, "name": ""}  # there is no still beside it
    said = {"missing": dict.fromkeys(TASKS, ""), "given": False}
    pictures_of = [{**said, "edited": edited} for edited in (False, True)]
    templates = {panel.name: [panel.template(picture) for picture in pictures_of] for panel in panels}
    given_texts = None if view._worth is None else view._worth.like.given
    return {
        "model": page_model(lab),
        "panels": [panel.name for panel in panels],
        "state": state,
        "sets": {name: _may_be(view, name) for name in view.page_sets()},
        "templates": templates,
        "empty": empty,
        "of_model": {panel.name: panel.of_model(trace) for panel in panels},
        "wishes": [wish_of(spot, edit) for spot, edit in view._edits.entries],
        "off": list(view.off),
        "texts": None if given_texts is None else [case._asdict() for case in given_texts],
        "run": view.run,
        "worth": NOTHING,
        "edits": view.module != "writing",  # what is written alone belongs to its Writing, with its edits
        "written": next(filter(None, (panel.begun(view._two[0], bool(view.changes)) for panel in panels)), None),
    }


HOSTS = ("layout", "comm", "tabbable", "tooltip")  # what Jupyter keeps in a widget
AT_FIRST: dict[str, Any] = {
    **{"live": True, "editable": True, "answered": 0, "heard": 0, "state": "ready", "message": "", "donor": {}},
    **{"trace_rows": [], "trace_row": 0, "runs": [], "changes": [], "off": [], "wished": {"number": 0}, "tries": []},
    "run": "what if",
    "linked": [],  # the edits as a link holds them,
    "text": "",  # and the text that it opens
    "page": True,  # there is no kernel to be interrupted
}


def _may_be(view: Any, name: str) -> dict[str, Any]:
    """What a page may set a trait to."""
    trait: Any = view.traits()[name]
    if isinstance(trait, traitlets.Enum):
        return {"values": list(trait.values or ())}
    if name == "tab":
        return {"values": list(view.panels)}
    if name in SELECTION:
        return {"kind": "whole"}
    kind = next((kind for of, kind in KINDS.items() if isinstance(trait, of)), "")
    return {"kind": kind} | {end: getattr(trait, end) for end in ("min", "max") if abs(getattr(trait, end, None) or 0)}


def wish_of(spot: str, edit: Edit) -> dict[str, Any]:
    """An edit as a page wishes for it.

    >>> from bloomlab.tracing.edits import scale
    >>> wish_of("h.0.attn.mixed", scale(0.5, head=1, query=slice(3, None)))
    {'spot': 'h.0.attn.mixed', 'kind': 'scale', 'axes': {'head': [1], 'query': {'from': 3}}, 'number': 0.5}

    Raises:
        InputError: a page cannot make it.
    """
    made = edit.again if isinstance(edit, NamedEdit) else None
    kind = edit.text.partition("(")[0] if isinstance(edit, NamedEdit) else ""
    given: Mapping[str, Any] = {}
    if made is not None and kind in ("scale", "add") and isinstance(made.args[0], int | float):
        given = {"number": made.args[0]}
    elif made is not None and made.func is copied:
        columns = made.args[1]
        given = {"text": made.args[0], **({} if columns is None else {"columns": _listed(columns, edit)})}
    elif made is not None and isinstance(edit, NamedEdit) and made.func is steer:
        towards, away, dose = made.args
        return {"spot": spot, "kind": kind, "axes": _axes(edit), "number": dose, **_ends(edit, towards, away)}
    elif made is not None and isinstance(edit, NamedEdit) and made.func in (drawn, usual) and _as_usual(made.args):
        code = edit.text.partition("(")[2].partition(".texts")[0] if "(lab.like(" in edit.text else ""
        given = {"texts": {"name": edit.source.partition(", seed ")[0], "code": code, "texts": list(made.args[0])}}
    elif made is None or kind not in ("zero", "cut", "hold"):
        raise InputError(
            f"a live page cannot make the edit {edit!r}; it can make zero, scale, add and cut, hold, copied, usual, "
            "drawn and steer: take this one back, or save without live=True"
        )
    return {"spot": spot, "kind": kind, "axes": _axes(edit), **given}


def _axes(edit: Edit) -> dict[str, Any]:
    where = edit.where if isinstance(edit, NamedEdit) else {}
    return {axis: _listed(index, edit) for axis, index in where.items()}


def _as_usual(args: tuple[Any, ...]) -> bool:
    """Whether these are what a page takes: a mean for each position, the first of the texts that are drawn."""
    return len(args) < 2 or args[1] in ("position", SEED)


def _ends(edit: NamedEdit, towards: tuple[str, ...], away: tuple[str, ...]) -> dict[str, list[str]]:
    """What a direction leads to and away from, as a page gives it."""
    if not (1 <= len(towards) <= MOST_TEXTS and 1 <= len(away) <= MOST_TEXTS):
        raise InputError(f"a live page takes at most {MOST_TEXTS} texts for each end of a direction, but got {edit!r}")
    return {"towards": list(towards), "away": list(away)}


def _listed(index: Any, edit: Edit) -> Any:
    if isinstance(index, slice):
        if index.stop is not None or index.step is not None:
            raise InputError(f"a live page names positions one by one, or all from one on, but this edit is {edit!r}")
        return {"from": index.start or 0}
    try:
        return [int(index)] if not isinstance(index, list | tuple) else [int(each) for each in index]
    except (TypeError, ValueError):
        raise HookError(f"an index is a whole number, but this edit is {edit!r}") from None
