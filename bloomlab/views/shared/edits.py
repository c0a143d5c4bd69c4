"""Edits in a view: the list of them, what a chip says of one, and those that a page may ask for.

A list never changes; a wish of the page gives another one. A page sends an edit as data, {"spot", "kind", "axes"} and
for some kinds "number", and Python builds it from this list alone. Nothing that a page sends is ever evaluated.
"""

import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from bloomlab.errors import HookError
from bloomlab.hooks import Edit, Edits, Spot, in_order
from bloomlab.tracing.edits import NamedEdit, add, cut, scale, zero

KINDS: dict[str, Callable[..., NamedEdit]] = {"zero": zero, "scale": scale, "add": add, "cut": cut}
WITH_A_NUMBER = ("scale", "add")
WISHES = ("add", "remove", "clear", "undo", "redo")
MOST = 100  # edits that a page may ask for
LARGEST = 1e4  # a factor or a number to add
VERBS = {"zero": "silent", "mean": "its mean", "patch": "copied", "cut": "cut"}


@dataclass(frozen=True)
class EditList:
    """Edits in their order, each with its spot; those that are switched off; and the lists before and after this one.

    >>> edits = EditList.of({"h.0.attn.mixed": [zero(head=1), scale(0.5, head=2)]})
    >>> edits.words, edits.switched([0]).on
    (['head 0.1 silent', 'head 0.2 × 0.5'], {'h.0.attn.mixed': [scale(0.5, head=2)]})
    """

    entries: tuple[tuple[str, Edit], ...] = ()
    off: tuple[int, ...] = ()
    past: tuple["EditList", ...] = field(default=(), repr=False)  # what undo goes back to, the last one first
    future: tuple["EditList", ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, edits: Edits | None) -> Self:
        """The list of edits as `lab.trace` takes them."""
        return cls(tuple((spot, one) for spot, several in (edits or {}).items() for one in in_order(spot, several)))

    @property
    def on(self) -> dict[str, list[Edit]]:
        """Those that are on, by their spots, as `lab.trace(text, edit=…)` takes them."""
        found: dict[str, list[Edit]] = {}
        for number, (spot, one) in enumerate(self.entries):
            if number not in self.off:
                found.setdefault(spot, []).append(one)
        return found

    @property
    def words(self) -> list[str]:
        """What the chips say."""
        return [words(spot, one) for spot, one in self.entries]

    def switched(self, off: object) -> "EditList":
        """With these off, by number; whatever else a page sends is no number of an edit."""
        numbers = off if isinstance(off, list | tuple) else ()
        there = {n for n in numbers if type(n) is int and 0 <= n < len(self.entries)}
        return EditList(self.entries, tuple(sorted(there)), self.past, self.future)

    def after(self, wish: object, spots: Mapping[str, Spot], tokens: int) -> "EditList":
        """The list that a page wishes for: {"do": "add", "edit": …}, {"do": "remove", "at": 2}, clear, undo or redo.

        Raises:
            HookError: it is no such wish, there is no such edit, or it cannot be made.
        """
        if not isinstance(wish, dict) or wish.get("do") not in WISHES:
            raise HookError(f"the page can ask for {', '.join(WISHES)}, but it asked for {_quoted(wish)}")
        do, before = wish["do"], EditList(self.entries, self.off)
        if do == "undo" and self.past:
            back, *past = self.past
            return EditList(back.entries, back.off, tuple(past), (before, *self.future))
        if do == "redo" and self.future:
            again, *future = self.future
            return EditList(again.entries, again.off, (before, *self.past), tuple(future))
        entries, off = self.entries, self.off
        if do == "clear":
            entries, off = (), ()
        elif do == "remove":
            at = wish.get("at")
            if type(at) is not int or not 0 <= at < len(entries):
                raise HookError(f"there is no edit {_quoted(at)} to take back; there are {len(entries)}")
            entries = (*entries[:at], *entries[at + 1 :])
            off = tuple(n - (n > at) for n in off if n != at)
        elif do == "add":
            if len(entries) >= MOST:
                raise HookError(f"there are {len(entries)} edits, and no more fit; take some back, or clear the list")
            entries = (*entries, built(wish.get("edit"), spots, tokens))
        else:  # nothing to undo, or to make again
            return self
        return EditList(entries, off, (before, *self.past)[:MOST])


def words(spot: str, edit: Edit) -> str:
    """What a chip says of an edit.

    >>> words("h.0.attn.mixed", zero(head=1, query=16)), words("mlp.out", scale(0.5))
    ('head 0.1 silent at 16', 'mlp.out of every layer × 0.5')
    >>> words("h.3.attn.biased", cut(query=19, key=[3, 4], head=5))
    'head 3.5 cut at 19 to 3, 4'
    """
    layer, _, part = spot.removeprefix("h.").partition(".") if spot.startswith("h.") else ("", "", spot)
    if not isinstance(edit, NamedEdit):
        return f"{spot}: {getattr(edit, '__name__', 'an edit')}"
    where = dict(edit.where)
    name, _, rest = edit.text.partition("(")
    number = rest.partition(",")[0].rstrip(")")
    does = {"scale": f"× {number}", "add": f"+ {number}"}.get(name, VERBS.get(name, name))
    head = where.pop("head", None)
    if isinstance(head, int):
        what = f"head {layer}.{head}" if layer else f"head {head} of every layer"
    else:
        what = (
            f"{part} of layer {layer}"
            if layer
            else spot
            if spot in ("embed", "final", "logits")
            else f"{spot} of every layer"
        )
        what += "" if head is None else f", heads {_listed(head)}"
    at = [_listed(where.pop(axis)) for axis in ("query", "pos") if axis in where]
    places = [f"at {', '.join(at)}"] if at else []
    places += [f"to {_listed(where.pop('key'))}"] if "key" in where else []
    places += [f"{axis} {_listed(index)}" for axis, index in where.items()]
    return " ".join([what, does, *places])


def _listed(index: Any) -> str:
    """An index in words: 3, "3, 4", "2 to 5"."""
    if isinstance(index, slice):
        return f"{index.start or 0} to {'the end' if index.stop is None else index.stop - 1}"
    return ", ".join(map(str, index)) if isinstance(index, Sequence) else str(index)


def built(wish: object, spots: Mapping[str, Spot], tokens: int) -> tuple[str, NamedEdit]:
    """The edit that a page asks for, at a spot of this model, in a text of so many tokens.

    >>> spots = {"h.0.attn.mixed": Spot("batch head query head_dim", ("batch", 8, "query", 16))}
    >>> built({"spot": "h.0.attn.mixed", "kind": "zero", "axes": {"head": [1], "query": [3]}}, spots, 5)
    ('h.0.attn.mixed', zero(head=1, query=3))

    Raises:
        HookError: it is not such data, or asks for what is not there.
    """
    if not isinstance(wish, dict) or not wish.keys() <= {"spot", "kind", "axes", "number"}:
        raise HookError("an edit from the page must have a spot, a kind, axes and perhaps a number")
    spot, kind, axes, number = (wish.get(name) for name in ("spot", "kind", "axes", "number"))
    if not isinstance(spot, str) or spot not in spots:
        raise HookError(f"the page asked to change {_quoted(spot)}, but this model has no such spot")
    if not isinstance(kind, str) or kind not in KINDS:
        raise HookError(f"the page asked for {_quoted(kind)}, but it can ask for {', '.join(KINDS)}")
    if (number is not None) != (kind in WITH_A_NUMBER):
        raise HookError(f"an edit of the kind {kind} takes {'a' if kind in WITH_A_NUMBER else 'no'} number")
    if number is not None and (type(number) not in (int, float) or not -LARGEST <= number <= LARGEST):
        raise HookError(f"the number of {kind} must be between -{LARGEST:,.0f} and {LARGEST:,.0f}")
    if not isinstance(axes, dict):
        raise HookError("the axes of an edit must name what it changes, such as {head: [1], query: [16]}")
    sizes: dict[str, Any] = dict(zip(spots[spot].axes.split(), spots[spot].shape, strict=True))
    where = {str(axis): _indices(axis, indices, spot, sizes, tokens) for axis, indices in axes.items()}
    return spot, KINDS[kind](*([] if number is None else [number]), **where)


def _quoted(value: object) -> str:
    """What a page sent, in at most 60 characters, however long or deep it is."""
    short = reprlib.Repr()
    short.maxlevel, short.maxdict, short.maxlist, short.maxstring = 2, 3, 4, 40
    try:
        return short.repr(value)[:60]
    except ValueError:  # a number of more digits than Python writes down
        return "a number of thousands of digits"


def _indices(axis: object, indices: object, spot: str, sizes: Mapping[str, Any], tokens: int) -> Any:
    if axis not in sizes or axis == "batch":
        raise HookError(f"{spot!r} has no axis {_quoted(axis)} that can be named; it has {', '.join(sizes)}")
    size = sizes[str(axis)] if isinstance(sizes[str(axis)], int) else tokens
    if not isinstance(indices, list) or not indices or not all(type(i) is int and 0 <= i < size for i in indices):
        raise HookError(f"{axis} at {spot!r} goes from 0 to {size - 1}, but the page asked for {_quoted(indices)}")
    return indices[0] if len(indices) == 1 else sorted(set(indices))
