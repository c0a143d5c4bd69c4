"""Every setting: what is refused, in one sentence that names it and what came; and lengths that count the prompt."""

import math
from dataclasses import fields
from typing import Any

import pytest
import torch

from bloomlab.errors import GenerationError
from bloomlab.generation.settings import Settings, lengths
from bloomlab.generation.values import CHECKS
from tests.tiny_random import random_ids, random_model

MODEL = random_model()
HUGE = 10**400
NUMBERS = ("1", True, [1], math.nan, math.inf, HUGE)
PARTS = (*NUMBERS, -0.1, 1.5)
LISTS = ("5", 5, True, math.nan, [], ["5"], [-1], [True], [1.5], [300], [HUGE], {})
BAD: dict[str, tuple[Any, ...]] = {
    "max_length": (-1, 1.5, "3", True, math.nan, HUGE, 5, 4),
    "min_length": (-1, 1.5, "3", True, math.nan, HUGE, 99),
    "min_p": PARTS,
    "typical_p": (*PARTS, 0),
    "epsilon_cutoff": (*PARTS, 1),
    "eta_cutoff": (*PARTS, 1),
    "renormalize_logits": (1, "yes", None),
    "remove_invalid_values": (0, "no", None),
    "no_repeat_ngram_size": (-1, 1.5, "3", True, math.nan, HUGE, []),
    "suppress_tokens": LISTS,
    "begin_suppress_tokens": LISTS,
    "bad_words_ids": ("5", 5, [], [[]], [5], [["5"]], [[-1]], [[300]], [[True]], [[HUGE]], {}),
    "forced_eos_token_id": ("5", True, [], -1, 300, [300], [True], math.nan, HUGE),
    "sequence_bias": (
        *("5", 5, {}, [], [[5]], {5: 1.0}, {(): 1.0}, {("5",): 1.0}, {(-1,): 1.0}, {(300,): 1.0}),
        *({(5,): bias} for bias in ("1", True, None, math.nan, math.inf, HUGE)),
    ),
    "exponential_decay_length_penalty": (
        *(5, "5, 2", [], (1,), (1, 2, 3), (-1, 2.0), (1.5, 2.0), ("1", 2.0), (HUGE, 2.0)),
        *((1, factor) for factor in ("2", 0, -1, True, math.nan, math.inf, HUGE)),
    ),
    "logits_processor": (5, "f", ["f"], [None], {}, len),
    "stopping_criteria": (5, "f", ["f"], [None], {}, len),
    "max_time": (*NUMBERS, 0, -1),
    "early_stopping": ("always", 1, None, math.nan, []),
    "length_penalty": NUMBERS,
    "num_beams": (0, -1, 1.5, "2", True, HUGE, math.nan),
    "num_return_sequences": (0, -1, 1.5, "2", True, HUGE, math.nan),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_value_is_refused_in_one_sentence_before_anything_runs(name: str) -> None:
    for value in BAD[name]:
        with pytest.raises(GenerationError) as caught:
            MODEL.stream(random_ids(), **{"max_new_tokens": 8, "max_length": None, name: value} | _room(name))
        message = str(caught.value)
        assert name in message or name == "min_length", (value, message)
        assert len(message) < 250 and "\n" not in message, (value, message)


def _room(name: str) -> dict[str, Any]:
    return {"max_new_tokens": None} if name == "max_length" else {}


def test_every_setting_is_checked() -> None:
    assert {each.name for each in fields(Settings)} - CHECKS.keys() == {"eos_token_id", "pad_token_id"}
    assert CHECKS.keys() <= {each.name for each in fields(Settings)}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("penalty_alpha", "typical_p=… or top_p=… with do_sample=True comes nearest"),
        ("num_beam_groups", "num_beams=… with do_sample=True"),
        ("assistant_model", "the same text; leave it out"),
        ("watermarking_config", "logits_processor"),
        ("force_words_ids", "sequence_bias"),
    ],
)
def test_what_is_not_offered_says_what_comes_nearest(name: str, words: str) -> None:
    with pytest.raises(GenerationError, match=f"{name} is not offered here: .*{words}"):
        MODEL.generate(random_ids(), **{name: 1})


def test_lengths_count_the_prompt_and_a_number_of_new_tokens_wins() -> None:
    assert MODEL.generate(random_ids(), max_length=9, eos_token_id=None).shape == (2, 9)
    assert MODEL.generate(random_ids(), max_length=9, max_new_tokens=2, eos_token_id=None).shape == (2, 7)
    assert lengths({"max_length": 9, "min_length": 7}, 5) == {"max_new_tokens": 4, "min_new_tokens": 2}
    assert lengths({"min_length": 3, "max_new_tokens": None}, 5) == {"min_new_tokens": 0}
    assert Settings.of({"max_length": None}, 5) == Settings()
    with pytest.raises(GenerationError, match=r"counts the prompt, which is not known here; pass max_new_tokens=…"):
        Settings.of({"max_length": 9})


def test_an_end_that_grows_needs_an_end() -> None:
    with pytest.raises(GenerationError, match="but nothing ends a row; pass eos_token_id=…"):
        MODEL.generate(random_ids(), exponential_decay_length_penalty=(1, 2.0), eos_token_id=None)


def test_an_enormous_growth_of_the_end_ends_a_row() -> None:
    out = MODEL.generate(random_ids(), exponential_decay_length_penalty=(2, 1e30), eos_token_id=9, max_new_tokens=30)
    assert out.shape[1] == 5 + 4 and out[:, -1].tolist() == [9, 9]


@pytest.mark.parametrize("more", [{}, {"do_sample": True, "seed": 0}, {"num_beams": 2}], ids=str)
def test_rules_that_leave_no_token_say_so(more: dict[str, Any]) -> None:
    with pytest.raises(GenerationError, match="leave no token to choose"):
        MODEL.generate(random_ids(), suppress_tokens=list(range(300)), **more)


def test_a_function_of_ones_own_changes_the_scores_and_nothing_else() -> None:
    def only_nine(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores[:] = -math.inf  # even where it writes into what it was given
        scores[:, 9] = 0.0
        return scores

    step = next(MODEL.stream(random_ids(), logits_processor=[only_nine]))
    assert step.token_ids.tolist() == [9, 9] and step.logits.isfinite().all()
    for wrong in (None, torch.zeros(2, 3), torch.zeros(2, 300).long()):
        with pytest.raises(GenerationError, match=r"logits_processor\[0\] must return the scores, a tensor \(2, 300\)"):
            next(MODEL.stream(random_ids(), logits_processor=[lambda ids, scores, wrong=wrong: wrong]))


def test_padding_is_not_text_to_any_rule() -> None:
    ids = random_ids()
    ids[:, :2] = 9
    mask = torch.ones_like(ids)
    mask[0, :2] = 0
    settings = {"no_repeat_ngram_size": 1, "sequence_bias": {(9, int(ids[0, 2]), 7): 50.0}, "max_new_tokens": 12}
    out = MODEL.generate(ids, mask, eos_token_id=None, **settings)
    alone = MODEL.generate(ids[:1, 2:], eos_token_id=None, **settings)
    assert out[0, 2:].equal(alone[0])


def test_numbers_that_are_none_are_removed_if_asked() -> None:
    model = random_model()
    with torch.no_grad():
        model.transformer.ln_f.bias[0] = torch.nan
    with pytest.raises(GenerationError, match="not finite"):
        model.generate(random_ids())
    out = model.generate(random_ids(), remove_invalid_values=True, suppress_tokens=[0], max_new_tokens=2)
    assert out[:, 5:].tolist() == [[1, 1], [1, 1]]  # all scores are 0, so the first that may come
    assert model.generate(random_ids(), remove_invalid_values=True, num_beams=2, max_new_tokens=2).shape == (2, 7)


def test_the_time_ends_every_row_and_functions_end_their_own() -> None:
    assert MODEL.generate(random_ids(), max_time=1e-9, max_new_tokens=50).shape == (2, 6)
    assert MODEL.generate(random_ids(), max_time=1e-9, max_new_tokens=50, num_beams=3).shape == (2, 6)
    third = [lambda ids, scores: ids.shape[1] >= 8]
    assert MODEL.generate(random_ids(), stopping_criteria=third, eos_token_id=None).shape == (2, 8)
    first_row = [lambda ids, scores: torch.tensor([True, False])]
    out = MODEL.generate(random_ids(), stopping_criteria=first_row, eos_token_id=None, pad_token_id=3, max_new_tokens=4)
    assert out[0, 6:].tolist() == [3, 3, 3] and out.shape == (2, 9)
    for wrong in (None, 1, torch.tensor([1, 0]), torch.tensor([True])):
        with pytest.raises(GenerationError, match=r"stopping_criteria\[0\] must return True, False or a bool tensor"):
            MODEL.generate(random_ids(), stopping_criteria=[lambda ids, scores, wrong=wrong: wrong])
