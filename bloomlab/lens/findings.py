"""A finding: a claim about an edit with its controls, and all that it takes to measure it again.

    finding = lab.finding("Sixteen numbers switch copying on.", text, edit, metric="probability", answer=" Oslo")
    finding.save("sixteen.json")
    bloomlab.finding("sixteen.json").check()         in another process, another month: what moved

The file is JSON and holds data only: an edit is the name of one of a few functions, its numbers and its axes.
"""

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from bloomlab.errors import HookError, InputError, NearMatches, NearNames, shorten
from bloomlab.guards.arguments import whole_text
from bloomlab.guards.files import json_bytes, read_json, write_json
from bloomlab.guards.memory import saying_that_memory_is_full
from bloomlab.hooks import Edit
from bloomlab.lens.cases import Case, of_texts
from bloomlab.lens.refute import Control, Refutation, number
from bloomlab.tasks.results import readable
from bloomlab.tracing.donors import copied, drawn, hold, steer, usual
from bloomlab.tracing.edits import add, cut, scale, zero

LIMIT = 2_000_000  # bytes of a file
FORMAT = 1
LARGEST = 1e30  # a number that a model has said; of larger ones the square would be infinite
SHOWN = 3  # numbers that moved, in the sentence
EDITS: dict[str, tuple[Any, tuple[str, ...]]] = {  # what a file may name, and what each takes beside axes
    "zero": (zero, ()),
    "scale": (scale, ("factor",)),
    "add": (add, ("value",)),
    "cut": (cut, ()),
    "usual": (usual, ("texts", "per")),
    "drawn": (drawn, ("texts", "seed")),
    "copied": (copied, ("text", "columns")),
    "hold": (hold, ()),
    "steer": (steer, ("texts_a", "texts_b", "dose")),
}
REQUEST = ("text", "metric", "answer", "rival", "n", "seed", "everywhere")


@dataclass(frozen=True)
class Check(NearMatches):
    """A finding measured again. It is true if it holds: `assert finding.check()`.

    Attributes:
        moved: (what, then, now) of each number that moved by more than `tolerance`, the furthest first.
        numbers: how many there are.
        tolerance: what counts as the same.
        others: what else is not as it was: the weights, a version.
        found: the table of controls as it is now.
    """

    moved: tuple[tuple[str, float, float], ...]
    numbers: int
    tolerance: float
    others: tuple[str, ...]
    found: Refutation

    def __bool__(self) -> bool:
        return self.holds

    @property
    def holds(self) -> bool:
        """Whether every number is as it was."""
        return not self.moved

    @property
    def sentence(self) -> str:
        """What moved, in words with the numbers."""
        what = f"{self.numbers} numbers"
        if self.moved:
            some = ", ".join(
                f"{shorten(name, 60)} {number(then)} → {number(now)}" for name, then, now in self.moved[:SHOWN]
            )
            said = f"{len(self.moved)} of {what} moved by more than {self.tolerance:g}: {some}"
            said += f" and {len(self.moved) - SHOWN} more" if len(self.moved) > SHOWN else ""
        else:
            said = f"all {what} are as they were, to {self.tolerance:g}"
        return readable("; ".join([said, *self.others]) + ".")

    def __repr__(self) -> str:
        return self.sentence


@saying_that_memory_is_full
@dataclass
class Finding(NearNames):
    """A claim about an edit, with its controls.

    Attributes:
        claim: what is claimed, in somebody's words.
        request: what `lab.refute` was asked: text, metric, answer, rival, n, seed, everywhere.
        edit: the edits, by their spots.
        texts: the other texts.
        found: the table of controls.
        provenance: model, weights, dtype, code, versions.
        lab: the Lab that measures it again; a file does not keep it.
    """

    claim: str
    request: dict[str, Any]
    edit: dict[str, list[Edit]]
    texts: list[Case]
    found: Refutation
    provenance: dict[str, Any]
    lab: Any = field(default=None, repr=False)  # of a floor above, whose type is not known here

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it to one JSON file.

        Raises:
            InputError: the file cannot be written, or would be larger than `bloomlab.finding` reads.
            HookError: an edit is more than a name with numbers, such as a function or a tensor of yours.
        """
        values = {
            "bloomlab_finding": FORMAT,
            "claim": self.claim,
            "verdict": self.found.sentence,
            **self.request,
            "edit": {spot: [as_data(one) for one in edits] for spot, edits in self.edit.items()},
            "texts": [list(case) for case in self.texts],
            "compared": [self.found.answer, self.found.rival],
            "before": self.found.before,
            "after": self.found.after,
            "controls": [list(control) for control in self.found.controls],
            "provenance": self.provenance,
        }
        size = len(json_bytes(values))
        if size > LIMIT:
            raise InputError(f"this finding would have {size:,} bytes, but at most {LIMIT:,} are read; use fewer texts")
        path = Path(path)
        write_json(path, values)
        return path

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote. Nothing in the file is ever run but the edits named in EDITS.

        Raises:
            InputError: there is no such file, or it is not a finding.
        """
        path = Path(path)
        values = read_json(path, LIMIT, InputError)
        try:
            return cls._of(values)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            why = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise InputError(
                f"{shorten(str(path), 100)} is not a finding that was saved: {shorten(why, 200)}"
            ) from None

    @classmethod
    def _of(cls, values: Mapping[str, Any]) -> Self:
        if values["bloomlab_finding"] != FORMAT:
            raise ValueError(f"its format is {shorten(values['bloomlab_finding'], 20)}, but {FORMAT} is read here")
        request = {name: values[name] for name in REQUEST}
        _text(request["text"])
        for name, kind in (("metric", str), ("n", int), ("seed", int), ("everywhere", bool)):
            if type(request[name]) is not kind:
                raise ValueError(f"its {name} is no {kind.__name__}")
        if not all(isinstance(case, list) and len(case) == len(Case._fields) for case in values["texts"]):
            raise ValueError("its texts are no lists of four texts")
        texts = of_texts(Case(*case) for case in values["texts"]) if values["texts"] else []
        for token in (request["answer"], request["rival"]):
            _text("" if token is None else token)
        edit = {spot: [of_data(one) for one in edits] for spot, edits in values["edit"].items()}
        controls = [
            Control(_text(kind), _text(name), _number(a), _number(b)) for kind, name, a, b in values["controls"]
        ]
        answer, rival = map(_text, values["compared"])
        words = ", ".join(f"{', then '.join(map(repr, edits))} at {spot}" for spot, edits in edit.items())
        numbers = _number(values["before"]), _number(values["after"])
        found = Refutation(
            words, request["metric"], answer, rival, *numbers, tuple(controls), {}, request["everywhere"]
        )
        made = values["provenance"]
        provenance: dict[str, Any] = {name: _text(made[name]) for name in ("model", "weights", "dtype", "code")}
        provenance["versions"] = {_text(name): _text(version) for name, version in made["versions"].items()}
        return cls(_text(values["claim"]), request, edit, texts, found, provenance)

    def check(self, lab: Any = None, tolerance: float = 1e-3) -> Check:
        """Measure it again, with this lab or the embedded model, and say what moved.

        Raises:
            InputError, HookError: the model has no such spot or token, or the lab cannot read the text.
        """
        lab = self.lab if lab is None else lab
        if lab is None:
            raise InputError("there is no lab to measure with; pass one: finding.check(lab)")
        now = lab.finding(self.claim, edit=self.edit, texts=self.texts or None, **self.request)
        then, again = self._numbers(), now._numbers()
        names = dict.fromkeys([*then, *again])
        absent = math.nan
        pairs = [(name, then.get(name, absent), again.get(name, absent)) for name in names]
        moved = [(name, a, b) for name, a, b in pairs if not abs(a - b) <= tolerance]
        moved.sort(key=lambda one: -abs(one[1] - one[2]) if one[1] == one[1] and one[2] == one[2] else -math.inf)
        return Check(tuple(moved), len(names), tolerance, tuple(self._others(now)), now.found)

    def _numbers(self) -> dict[str, float]:
        found = self.found
        numbers = {"before": found.before, "after": found.after}
        seen = Counter[str]()
        for control in found.controls:
            name = f"{control.kind}: {control.name}"
            seen[name] += 1
            name += f" ({seen[name]})" if seen[name] > 1 else ""
            numbers |= {f"{name}, before": control.before, name: control.after}
        return numbers

    def _others(self, again: "Finding") -> list[str]:
        then, now = self.provenance, again.provenance
        compared = [(found.answer, found.rival) for found in (self.found, again.found)]
        others = [f"compared {shorten(compared[0], 60)} → {compared[1]}"] if compared[0] != compared[1] else []
        others += [
            f"{name} {shorten(then[name], 30)} → {now[name]}"
            for name in ("weights", "dtype")
            if then[name] != now[name]
        ]
        versions = ((name, then["versions"].get(name), version) for name, version in now["versions"].items())
        return others + [f"{name} {shorten(a, 30)} → {b}" for name, a, b in versions if a != b]

    def __repr__(self) -> str:
        made = f"{self.provenance['model']} · weights {self.provenance['weights']} · {self.provenance['dtype']}"
        return readable(f"{self.claim} | {self.found.sentence} | {made} · seed {self.request['seed']}")


def as_data(edit: Any) -> dict[str, Any]:
    """An edit as a file keeps it.

    >>> as_data(copied("Leo", head=1, query=[2, 3]))
    {'kind': 'copied', 'text': 'Leo', 'columns': None, 'where': {'head': 1, 'query': [2, 3]}}

    Raises:
        HookError: it is more than a name with numbers.
    """
    again = getattr(edit, "again", None)
    kind = "" if again is None else again.func.__name__
    if again is None or kind not in EDITS or EDITS[kind][0] is not again.func:
        raise HookError(f"a finding holds data only, so not {shorten(edit)}; use {', '.join(EDITS)}")
    arguments = dict(zip(EDITS[kind][1], again.args, strict=True))
    for name, value in arguments.items():
        if not isinstance(value, int | float | str | list | tuple | None):
            raise HookError(f"a finding holds data only, but the {name} of {shorten(edit)} is a {type(value).__name__}")
    where = {axis: _listed(axis, index) for axis, index in edit.where.items()}
    return {"kind": kind, **arguments, "where": where}


def of_data(data: Mapping[str, Any]) -> Edit:
    """The edit that a file names.

    >>> of_data({"kind": "scale", "factor": 0.5, "where": {"head": 1}})
    scale(0.5, head=1)

    Raises:
        ValueError, TypeError, KeyError: it is none.
    """
    function, names = EDITS[_text(data["kind"])]
    if data.keys() != {"kind", "where", *names}:
        raise ValueError(
            f"the edit {data['kind']} takes {', '.join(names) or 'axes only'}, but has {shorten(list(data))}"
        )
    where = {_text(axis): _index(index) for axis, index in data["where"].items()}
    if data.get("columns") is not None:
        _index(data["columns"])
    if clash := where.keys() & {*names}:
        raise ValueError(f"{shorten(clash)} is no axis")
    edit: Edit = function(*(data[name] for name in names), **where)
    return edit


def _listed(axis: str, index: Any) -> Any:
    if isinstance(index, slice):
        raise HookError(f"a finding names {axis} in whole numbers, but the edit has {index!r}; write them out")
    return [int(one) for one in index] if isinstance(index, Sequence) else int(index)


def _index(index: Any) -> Any:
    every = index if isinstance(index, list) else [index]
    if not all(type(one) is int and 0 <= one < 2**31 for one in every):
        raise ValueError(f"the axes of an edit are whole numbers, but one is {shorten(index, 40)}")
    return index


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a text is expected, but there is {shorten(value, 40)}")
    return str(whole_text(value, "its texts"))


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) < LARGEST:  # nor is it nan
        raise ValueError(f"a number is expected, but there is {shorten(value, 40)}")
    return float(value)
