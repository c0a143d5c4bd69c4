"""What every check does with an answer before it looks at it."""

import math

import pytest
import torch

from bloomlab import checks
from bloomlab.checks.verdict import Verdict, exercise

LAST_ARGUMENT = {
    "most_common_pair": ({"the": 1},),
    "layer_norm": (None, None),
    "attention": (),
    "half_weight": (20,),
    "head_line": ("scores", None, None, None, 0.25),
    "wrote": (None, None, "", ""),
    "neuron_off": (None, None, 0, ()),
    "columns_computed": (50, 100),
    "says_instead": (None, "", "", 128),
    "enough_tokens": (None, "", ""),
    "tells_people_apart": ({}, [], 0.75),
    "guess_among": (8,),
    "tokens_that_fit": ("3b", 16e9),
    "wishes": (None, "", ""),
    "follows": (),
    "surprise": (),
    "nudge": (),
    "downhill": (),
    "learning_rate": (2.0, abs),
    "rotary_score": (),
    "beyond_chance": ({"alibi": [1.0, 1.1], "none": [2.0, 2.1]}, "none"),
    "stretched": (32, 4.0, 10_000.0),
    "farthest_heard": (64, 4),
    "differs_most": (None,),
    "rival_for": (None, "", "", ""),
    "lead_lost": (None, "", "", "", {}),
    "forbidden": (),
    "costs_more": (None,),
    "has_token": (None, ""),
    "cosine": (),
    "table_size": ("560m",),
    "state_after": (None, 1),
    "bend": (),
    "mlp_numbers": (128,),
    "heated": (),
    "kept_by_top_p": (),
    "head_size": ("560m", 8),
    "points": (),
    "most_risen": ({"step": [200, 400], "near": [0.1, 0.5]}, "near"),
    "looks_back": (),
    "all_outside": (torch.zeros(1, 4),),
    "worst_tag": (torch.zeros(1, 4), torch.tensor([[0, 1, 1, 2]]), ["O", "PERSON", "CITY"]),
    "straight": (),
    "hesitates": (2.0,),
    "rare_enough": (abs, 12),
    "grams_a_kilowatt_hour": (1000.0, 1.0),
    "in_every": ({"en": torch.zeros(1, 2)}, 0.1),
}


def test_every_check_is_tried_here() -> None:
    assert LAST_ARGUMENT.keys() == set(checks.__all__) - {
        "Verdict",
        "cover",
        "language",
        "report",
        "class_of",
    }  # these look at no answer


@pytest.mark.parametrize("name", LAST_ARGUMENT)
def test_an_answer_that_is_not_there_yet_is_told_what_is_wanted(name: str) -> None:
    verdict = getattr(checks, name)(*LAST_ARGUMENT[name], ...)
    assert not verdict.done and "in place of the three dots" in verdict.says


@pytest.mark.parametrize("name", LAST_ARGUMENT)
@pytest.mark.parametrize("answer", [None, True, b"bytes", {1}, object()], ids=lambda answer: type(answer).__name__)
def test_an_answer_of_another_kind_is_refused_in_words(name: str, answer: object) -> None:
    verdict = getattr(checks, name)(*LAST_ARGUMENT[name], answer)
    assert not verdict.done and verdict.says.startswith("expected")


@pytest.mark.parametrize("name", [name for name, before in LAST_ARGUMENT.items() if None not in before])  # no lab
@pytest.mark.parametrize("answer", [10**400, -(10**5000), lambda *given: 10**400], ids=["large", "larger", "function"])
def test_a_number_too_large_for_a_float_is_not_the_answer(name: str, answer: object) -> None:
    verdict = getattr(checks, name)(*LAST_ARGUMENT[name], answer)
    assert not verdict.done and len(verdict.says) < 400


def test_a_verdict_shows_itself() -> None:
    assert repr(Verdict(True, "a sentence.")) == "Well done: a sentence."
    assert repr(Verdict(False, "a sentence.")) == "Not yet: a sentence."


def test_a_long_answer_of_another_kind_is_cut_short() -> None:
    checked = exercise("a number", int)(lambda answer: Verdict(True, ""))
    assert len(checked("x" * 10_000).says) < 120


def test_a_function_that_stops_or_gives_something_else_gets_a_verdict() -> None:
    assert "ZeroDivisionError" in checks.attention(lambda *given: 1 / 0).says
    assert "expected" in checks.attention(lambda *given: "text").says
    assert "expected" in checks.attention(lambda *given: torch.zeros(3)).says
    assert not checks.attention(lambda first, *given: first * math.nan).done
