"""Edits in a view: the list of them, what a chip says of one, and those that a page may ask for.

A list never changes; a wish of the page gives another one. A page sends an edit as data, {"spot", "kind", "axes"} and
for some kinds "number" or "columns", and Python builds it from this list alone. What is usual, and what is drawn, is so
in a set of texts that Python has; the page only asks for it. Nothing that a page sends is ever evaluated.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from bloomlab.errors import HookError, shorten
from bloomlab.hooks import Edit, Edits, NamedEdit, Spot, in_order
from bloomlab.tasks.results import readable
from bloomlab.tiny.language import LANGUAGES
from bloomlab.tiny.world import story
from bloomlab.tracing.donors import copied, drawn, hold, steer, usual
from bloomlab.tracing.edits import add, cut, scale, zero

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace

KINDS: dict[str, Callable[..., NamedEdit]] = {
    "zero": zero,
    "usual": usual,
    "drawn": drawn,
    "copied": copied,
    "hold": hold,
    "steer": steer,
    "scale": scale,
    "add": add,
    "cut": cut,
}
WITH_A_NUMBER = ("scale", "add", "steer")
FROM_TEXTS = ("usual", "drawn", "copied")
SETS = ("towards", "away")
"""What a direction leads to and away from: the name of a language, or texts."""
COPIED = ("embed", "attn.mixed", "attn.out", "resid_mid", "mlp.out", "resid_post")
"""What other texts have that can stand here: there is one for each token, and it has a length of its own."""
INSTEAD = ("zero", "usual", "drawn", "copied")
"""What can stand in the place of what is taken out."""
SEED = 0  # which of a set of texts is drawn
WISHES = ("add", "set", "dose", "remove", "clear", "undo", "redo")
MOST = 100  # edits that a page may ask for
LARGEST = 1e4  # a factor or a number to add
LONGEST_NAME = 24  # characters of a text that a chip quotes
LANGUAGE_NAMES = {language.label.rstrip(" :："): code for code, language in LANGUAGES.items()}
STORIES = 8  # of a language, which stand for it
MOST_TEXTS = 64  # that a page may give for one end of a direction
LONGEST_TEXT = 500  # characters of each
VERBS = {
    "zero": "silent",
    "mean": "its mean",
    "patch": "copied",
    "cut": "cut",
    "usual": "the usual",
    "hold": "held as it was",
}


class TextSet(NamedTuple):
    """Texts that a view draws from: what they are called, and the Python that gives them, if that is known."""

    name: str
    code: str
    texts: tuple[str, ...]


Sets = Callable[[], TextSet]


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
    gesture: int | None = field(default=None, repr=False)  # that made it: undo takes back the whole of it

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

    @property
    def direction(self) -> "tuple[int, str, NamedEdit] | None":
        """The last direction that is on: its number, its spot and the edit that adds it."""
        for number, (spot, one) in reversed([*enumerate(self.entries)]):
            if number not in self.off and isinstance(one, NamedEdit) and is_steer(one):
                return number, spot, one
        return None

    def switched(self, off: object) -> "EditList":
        """With these off, by number; whatever else a page sends is no number of an edit."""
        numbers = off if isinstance(off, list | tuple) else ()
        there = {n for n in numbers if type(n) is int and 0 <= n < len(self.entries)}
        return EditList(self.entries, tuple(sorted(there)), self.past, self.future)

    def after(
        self,
        wish: object,
        spots: Mapping[str, Spot],
        tokens: int,
        donor: "Trace | None" = None,
        texts: Sets | None = None,
    ) -> "EditList":
        """The list that a page wishes for.

            {"do": "add", "edit": …}                        one more; `donor` is what is copied from, `texts` gives
                                                            what is usual and what is drawn from
            {"do": "set", "edits": […], "gesture": 3}       each in place of the one of its kind that changes the same;
                                                            a factor of 1 takes that out; a gesture is one step of undo
            {"do": "dose", "at": 1, "dose": 2, "gesture": 3}   a direction is added so many times
            {"do": "remove", "at": 2}, {"do": "clear"}, {"do": "undo"}, {"do": "redo"}

        Raises:
            HookError: it is no such wish, there is no such edit, or it cannot be made.
        """
        if not isinstance(wish, dict) or wish.get("do") not in WISHES:
            raise HookError(f"the page can ask for {', '.join(WISHES)}, but it asked for {shorten(wish, 60)}")
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
                raise HookError(f"there is no edit {shorten(at, 60)} to take back; there are {len(entries)}")
            entries = (*entries[:at], *entries[at + 1 :])
            off = tuple(n - (n > at) for n in off if n != at)
        elif do == "add":
            if len(entries) >= MOST:
                raise HookError(f"there are {len(entries)} edits, and no more fit; take some back, or clear the list")
            entries = (*entries, built(wish.get("edit"), spots, tokens, donor, texts))
        elif do == "set":
            return self._set(wish, spots, tokens)
        elif do == "dose":
            return self._dosed(wish)
        else:  # nothing to undo, or to make again
            return self
        return EditList(entries, off, (before, *self.past)[:MOST])

    def _set(self, wish: Mapping[str, Any], spots: Mapping[str, Spot], tokens: int) -> "EditList":
        """The list with edits in place of those that they are another dose of."""
        wishes, gesture = wish.get("edits"), wish.get("gesture")
        if not isinstance(wishes, list) or not 0 < len(wishes) <= MOST:
            raise HookError(f"the page may set 1 to {MOST} edits at once, in a list")
        if type(gesture) is not int:
            raise HookError("edits that are set come with the number of the gesture they belong to")
        new = {_place(spot, edit): (spot, edit) for spot, edit in (built(one, spots, tokens) for one in wishes)}
        kept: list[tuple[tuple[str, Edit], bool]] = []  # each with whether it is off
        for number, entry in enumerate(self.entries):
            setting = new.pop(_place(*entry), None)
            if setting is None:
                kept.append((entry, number in self.off))
            elif not _changes_nothing(setting[1]):
                kept.append((setting, False))
        kept += [(setting, False) for setting in new.values() if not _changes_nothing(setting[1])]
        if len(kept) > MOST:
            raise HookError(f"there are {len(self.entries)} edits, and no more fit; take some back, or clear the list")
        entries = tuple(entry for entry, _ in kept)
        off = tuple(number for number, (_, is_off) in enumerate(kept) if is_off)
        if [(spot, repr(edit)) for spot, edit in entries] == [(spot, repr(edit)) for spot, edit in self.entries]:
            entries = self.entries
        return self._by_gesture(entries, off, gesture)

    def _by_gesture(self, entries: "tuple[tuple[str, Edit], ...]", off: tuple[int, ...], gesture: int) -> "EditList":
        """The next list, one step of undo with all others of the same gesture."""
        if (entries, off) == (self.entries, self.off):
            return self
        goes_on = gesture == self.gesture and self.past
        past = self.past if goes_on else (EditList(self.entries, self.off), *self.past)[:MOST]
        return EditList(entries, off, past, gesture=gesture)

    def _dosed(self, wish: Mapping[str, Any]) -> "EditList":
        """The list with another dose of a direction."""
        at, dose, gesture = (wish.get(name) for name in ("at", "dose", "gesture"))
        one = self.entries[at][1] if type(at) is int and 0 <= at < len(self.entries) else None
        if type(at) is not int or not isinstance(one, NamedEdit) or not is_steer(one) or one.again is None:
            raise HookError(f"edit {shorten(at, 60)} is no direction, so it has no dose")
        if type(dose) not in (int, float) or not -LARGEST <= dose <= LARGEST:  # type: ignore[operator]  # it is one
            raise HookError(f"a dose must be between -{LARGEST:,.0f} and {LARGEST:,.0f}")
        if type(gesture) is not int:
            raise HookError("a dose comes with the number of the gesture it belongs to")
        first, second, before = one.again.args
        if dose == before:
            return self
        edit = steered(first, second, float(dose), one.where, one.source)  # type: ignore[arg-type]  # as was asked
        entries: tuple[tuple[str, Edit], ...] = (
            *self.entries[:at],
            (self.entries[at][0], edit),
            *self.entries[at + 1 :],
        )
        return self._by_gesture(entries, tuple(n for n in self.off if n != at), gesture)


def _place(spot: str, edit: Edit) -> object:
    """What edits have in common that are doses of one: an edit of Python's own is like no other."""
    if not isinstance(edit, NamedEdit):
        return id(edit)
    return spot, edit.text.partition("(")[0], repr(sorted(edit.where.items()))


def _changes_nothing(edit: Edit) -> bool:
    return isinstance(edit, NamedEdit) and edit.text.partition(",")[0].rstrip(")") in ("scale(1", "scale(1.0")


def words(spot: str, edit: Edit) -> str:
    """What a chip says of an edit.

    >>> words("h.0.attn.mixed", zero(head=1, query=16)), words("mlp.out", scale(0.5))
    ('head 0.1 silent at 16', 'mlp.out of every layer × 0.5')
    >>> words("h.3.attn.biased", cut(query=19, key=[3, 4], head=5))
    'head 3.5 cut at 19 to 3, 4'
    >>> words("attn.alibi", scale(0.5, head=3)), words("attn.alibi", scale(1.189207))
    ('slope of head 3 × 0.5', 'all slopes × 1.19')
    """
    layer, _, part = spot.removeprefix("h.").partition(".") if spot.startswith("h.") else ("", "", spot)
    if not isinstance(edit, NamedEdit):
        return f"{spot}: {getattr(edit, '__name__', 'an edit')}"
    where = dict(edit.where)
    name, _, rest = edit.text.partition("(")
    number = rest.partition(",")[0].rstrip(")")
    does = {"scale": f"× {number}", "add": f"+ {number}"}.get(name, VERBS.get(name, name))
    if is_steer(edit) and edit.again is not None:
        does = f"+ {edit.again.args[2]:g} × ({edit.source})"
    head = where.pop("head", None)
    if part == "attn.alibi" and name == "scale" and not where and (head is None or isinstance(head, int)):
        of_head = f"slope of head {layer}.{head}" if layer else f"slope of head {head}"
        of_all = f"all slopes of layer {layer}" if layer else "all slopes"
        return f"{of_all if head is None else of_head} × {float(number):.3g}"
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
    places += [f"from {edit.source}"] if edit.source and not is_steer(edit) else []
    return " ".join([what, does, *places])


def _listed(index: Any) -> str:
    """An index in words: 3, "3, 4", "2 to 5"."""
    if isinstance(index, slice):
        return f"{index.start or 0} to {'the end' if index.stop is None else index.stop - 1}"
    return ", ".join(map(str, index)) if isinstance(index, Sequence) else str(index)


def built(
    wish: object,
    spots: Mapping[str, Spot],
    tokens: int,
    donor: "Trace | None" = None,
    texts: Sets | None = None,
) -> tuple[str, NamedEdit]:
    """The edit that a page asks for, at a spot of this model, in a text of so many tokens.

    A spot without its layer, "attn.mixed", stands for that of every layer. Indices are a list, or {"from": 3}: that one
    and all after it. A copy takes the columns of `donor` that have the same number, or those in "columns"; what is
    usual, or drawn, is so in `texts`.

    >>> spots = {"h.0.attn.mixed": Spot("batch head query head_dim", ("batch", 8, "query", 16))}
    >>> built({"spot": "h.0.attn.mixed", "kind": "zero", "axes": {"head": [1], "query": [3]}}, spots, 5)
    ('h.0.attn.mixed', zero(head=1, query=3))
    >>> built({"spot": "attn.mixed", "kind": "scale", "number": 2, "axes": {"query": {"from": 3}}}, spots, 5)
    ('attn.mixed', scale(2, query=slice(3, None, None)))

    Raises:
        HookError: it is not such data, or asks for what is not there.
    """
    if not isinstance(wish, dict) or not wish.keys() <= {"spot", "kind", "axes", "number", "columns", *SETS}:
        raise HookError("an edit from the page must have a spot, a kind, axes and perhaps a number or columns")
    spot, kind, axes, number = (wish.get(name) for name in ("spot", "kind", "axes", "number"))
    names = (spot, f"h.0.{spot}") if isinstance(spot, str) else ()
    found = next((spots[name] for name in names if name in spots), None)
    if not isinstance(spot, str) or found is None:
        raise HookError(f"the page asked to change {shorten(spot, 60)}, but this model has no such spot")
    if not isinstance(kind, str) or kind not in KINDS:
        raise HookError(f"the page asked for {shorten(kind, 60)}, but it can ask for {', '.join(KINDS)}")
    if (number is not None) != (kind in WITH_A_NUMBER):
        raise HookError(f"an edit of the kind {kind} takes {'a' if kind in WITH_A_NUMBER else 'no'} number")
    if number is not None and (type(number) not in (int, float) or not -LARGEST <= number <= LARGEST):
        raise HookError(f"the number of {kind} must be between -{LARGEST:,.0f} and {LARGEST:,.0f}")
    if not isinstance(axes, dict):
        raise HookError("the axes of an edit must name what it changes, such as {head: [1], query: [16]}")
    sizes: dict[str, Any] = dict(zip(found.axes.split(), found.shape, strict=True))
    where = {str(axis): _indices(axis, indices, spot, sizes, tokens) for axis, indices in axes.items()}
    if kind != "steer" and wish.keys() & {*SETS}:
        raise HookError(f"only a direction leads from texts to texts, but the page asked for {kind}")
    if kind == "steer":
        if wish.get("columns") is not None:
            raise HookError("a direction takes no columns; it is the same at every token")
        if found.axes != "batch pos hidden":
            raise HookError(f"a direction is added to states, and {spot!r} holds none; choose a state")
        (towards, first), (away, second) = (_set_of(wish.get(end)) for end in SETS)
        return spot, steered(first, second, number, where, f"{towards} − {away}")  # type: ignore[arg-type]  # it is one
    if kind in FROM_TEXTS:
        return spot, _from_texts(kind, spot, where, wish.get("columns"), donor, texts)
    return spot, KINDS[kind](*([] if number is None else [number]), **where)


def _from_texts(
    kind: str, spot: str, where: dict[str, Any], columns: object, donor: "Trace | None", texts: Sets | None
) -> NamedEdit:
    """What other texts have there, in place of what this one has."""
    if not any(spot == part or spot.endswith(f".{part}") for part in COPIED):
        raise HookError(f"other texts have nothing that could stand at {spot!r}; choose one of {', '.join(COPIED)}")
    named = ", ".join(f"{axis}={index!r}" for axis, index in where.items())
    if kind == "copied":
        if donor is None:
            raise HookError("there is nothing to copy from; read another text first")
        if columns is not None and (not isinstance(columns, list) or len(columns) != 1):
            raise HookError("the page names one column of the other text, for one token of this one")
        taken = None if columns is None else _indices("pos", columns, spot, {"pos": "pos"}, len(donor.tokens))
        text = str(donor.text)
        arguments = [repr(text), *([] if taken is None else [f"columns={taken}"]), *filter(None, [named])]
        # Python can read the text again, so that the code of the view has all it needs
        return replace(
            copied(text, taken, **where), text=f"copied({', '.join(arguments)})", source=f"“{short_name(text)}”"
        )
    if columns is not None:
        raise HookError(f"an edit of the kind {kind} takes no columns; each text has its own at the same tokens")
    if texts is None:
        raise HookError(f"this view has no texts that {kind} could be taken from; choose zero, or copy from a text")
    return in_place(kind, texts(), where)


def in_place(kind: str, texts: TextSet, where: Mapping[str, Any]) -> NamedEdit:
    """What is usual in a set of texts, or drawn from it, named by the set."""
    edit = usual(texts.texts, **where) if kind == "usual" else drawn(texts.texts, SEED, **where)
    source = texts.name if kind == "usual" else f"{texts.name}, seed {SEED}"
    if not texts.code:
        return replace(edit, source=source)
    arguments = [f"{texts.code}.texts", *([f"seed={SEED}"] if kind == "drawn" else [])]
    arguments += [f"{axis}={index!r}" for axis, index in where.items()]
    return replace(edit, text=f"{kind}({', '.join(arguments)})", source=source)


def is_steer(edit: NamedEdit) -> bool:
    """Whether it adds a direction."""
    return edit.again is not None and edit.again.func is steer


def steered(
    first: Sequence[str], second: Sequence[str], dose: float, where: Mapping[str, Any], source: str
) -> NamedEdit:
    """A direction that is added, which says all that Python needs to find it again."""
    arguments = [repr([*first]), repr([*second]), f"dose={dose:g}", *(f"{axis}={i!r}" for axis, i in where.items())]
    return replace(steer(first, second, dose, **where), text=f"steer({', '.join(arguments)})", source=source)


def stories_of(code: str) -> tuple[str, ...]:
    """The texts that stand for a language, by its code."""
    return tuple(story(code, seed).text for seed in range(STORIES))


def _set_of(end: object) -> tuple[str, tuple[str, ...]]:
    """What a page calls one end of a direction, and its texts."""
    for name, code in LANGUAGE_NAMES.items():
        if end == name:
            return name, stories_of(code)
    texts = end if isinstance(end, list) else []
    if (
        not 0 < len(texts) <= MOST_TEXTS
        or not all(isinstance(text, str) and 0 < len(text) <= LONGEST_TEXT for text in texts)
        or any(text != text.encode("utf-8", "ignore").decode() for text in texts)
    ):
        raise HookError(
            f"each end of a direction is a language or 1 to {MOST_TEXTS} texts of at most {LONGEST_TEXT} characters, "
            f"but the page gave {shorten(end, 60)}"
        )
    return (f"“{short_name(texts[0])}”" if len(texts) == 1 else f"{len(texts)} texts"), tuple(texts)


def short_name(text: str) -> str:
    """A text as a chip quotes it."""
    name = readable(text)
    return f"{name[:LONGEST_NAME].rstrip()}{'…' if len(name) > LONGEST_NAME else ''}"


def _indices(axis: object, indices: object, spot: str, sizes: Mapping[str, Any], tokens: int) -> Any:
    if axis not in sizes or axis == "batch":
        raise HookError(f"{spot!r} has no axis {shorten(axis, 60)} that can be named; it has {', '.join(sizes)}")
    size = sizes[str(axis)] if isinstance(sizes[str(axis)], int) else tokens
    onwards = isinstance(indices, dict) and indices.keys() == {"from"} and axis in ("pos", "query", "key")
    numbers = [indices["from"]] if isinstance(indices, dict) and onwards else indices
    if not isinstance(numbers, list) or not numbers or not all(type(i) is int and 0 <= i < size for i in numbers):
        raise HookError(f"{axis} at {spot!r} goes from 0 to {size - 1}, but the page asked for {shorten(indices, 60)}")
    if onwards:
        return slice(numbers[0], None)
    return numbers[0] if len(numbers) == 1 else sorted(set(numbers))
