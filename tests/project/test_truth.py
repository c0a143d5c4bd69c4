"""What answers yes or no is false when it says no: `assert checks.attention(answer)` is what an autograder writes."""

import importlib
import pkgutil
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

import bloomlab
from bloomlab.checks import Verdict
from bloomlab.notebook.doctor import Check, Report
from bloomlab.tasks.results import Answer, Span
from bloomlab.tiny.floors import Floor
from bloomlab.weights.fits import Fit

# A yes or no that is a detail: the object says something else, or is a wish and not an answer.
DETAILS = {
    "Bias",  # whether its columns are whole is one of what attention adds
    *("Asked", "BeamSearch", "ForOthers", "ParsedLine", "Part", "Pool", "Refutation", "Settings", "TokenizerParts"),
    "Trace",
    "Writing",
}


def _answer(outside: float, text: str) -> Answer:
    return Answer("Who?", text, (Span(text, 0, len(text), 0, 0, 0.9),), outside, (), (), ())


PAIRS: list[tuple[Any, Any]] = [
    (Verdict(True, "yes."), Verdict(False, "no.")),
    (Fit("a", 10, {"float32": 40}, 100), Fit("a", 10, {"float32": 40}, 8)),
    (Check("memory", "much"), Check("memory", "none", "end other programs")),
    (Report((Check("memory", "much"),)), Report((Check("memory", "none", "end other programs"),))),
    (Floor("right", 0.9, "≥", 0.8), Floor("right", 0.7, "≥", 0.8)),
    (_answer(0.1, "Leo"), _answer(0.9, "Leo")),
    (_answer(0.1, "Leo"), _answer(0.1, "")),
]


@pytest.mark.parametrize("yes, no", PAIRS)
def test_an_object_that_answers_is_as_true_as_its_answer(yes: Any, no: Any) -> None:
    assert yes
    assert not no


def test_every_object_that_answers_yes_or_no_does_so_to_an_assert() -> None:
    found = set()
    for module in pkgutil.walk_packages(bloomlab.__path__, "bloomlab."):
        if module.name.startswith("bloomlab.jax") or module.name.endswith("__main__"):
            continue
        for name, kind in vars(importlib.import_module(module.name)).items():
            if not isinstance(kind, type) or kind.__module__ != module.name or name.startswith("_"):
                continue
            own = vars(kind)
            asked = [value for key, value in own.items() if isinstance(value, property) and key[0] != "_"]
            hints = [p.fget.__annotations__.get("return") for p in asked if p.fget]
            hints += [field.type for field in fields(kind)] if is_dataclass(kind) else []
            if {bool, "bool"} & set(hints) and "__bool__" not in own:
                found.add(name)
    assert found == DETAILS, "these answer yes or no; give them __bool__, or say why not in DETAILS"
