"""One step of writing: its bars are what generation draws from, and its numbers say why this token was drawn."""

import math
from typing import Any

import pytest
import torch

from bloomlab.errors import InputError
from bloomlab.generation.sampling import draw, race
from bloomlab.generation.settings import Settings
from bloomlab.lens.writing import choice, loop_period
from tests.tiny_random import random_ids, random_model

MODEL = random_model(scale=0.1)
SAMPLED = {"do_sample": True, "temperature": 1.3, "top_k": 40, "top_p": 0.9, "repetition_penalty": 1.4}


@pytest.mark.parametrize("settings", [{}, {"repetition_penalty": 5.0}, {"do_sample": True}, SAMPLED])
def test_every_step_of_a_stream_is_explained(settings: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(5)
    ids = random_ids(batch=1)
    steps = MODEL.stream(ids, generator=generator, max_new_tokens=12, eos_token_id=None, **settings)
    chosen, again = Settings.of(settings), torch.Generator().manual_seed(5)
    for n_new, step in enumerate(steps):
        token, before = int(step.token_ids), step.ids[0, :-1]
        numbers = None if chosen.greedy else race(step.logits, again)[0]
        found = choice(step.logits[0], before, chosen, token, numbers, top=300, n_new=n_new)
        assert found.before.sum() == pytest.approx(1, abs=1e-5) and found.after.sum() == pytest.approx(1, abs=1e-5)
        assert found.ids[0] == step.logits[0].argmax() and found.before.equal(found.before.sort(descending=True).values)
        place = found.ids.tolist().index(token)
        assert found.before[place] == pytest.approx(found.probability, rel=1e-5)
        assert found.after[place] == pytest.approx(found.probability_after, rel=1e-5)
        assert found.rank == int((step.logits[0] > step.logits[0, token]).sum()) + 1
        if chosen.greedy:
            assert found.open == 1 and found.probability_after == 1 and found.entropy_after == 0
        else:
            assert found.numbers is not None and found.open == int((found.after > 0).sum())
            assert found.ids[(found.after / found.numbers).argmax()] == token
            assert found.entropy <= math.log(300)
    assert n_new == 11


def test_the_race_is_the_draw_and_leaves_the_generator_where_the_draw_leaves_it() -> None:
    for seed in range(50):
        logits = torch.randn(2, 3072, generator=torch.Generator().manual_seed(seed))
        one, other = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed)
        assert (logits.softmax(-1) / race(logits, other)).argmax(-1).equal(draw(logits, one))
        assert one.get_state().equal(other.get_state())


def test_a_token_far_down_is_listed_when_it_was_chosen() -> None:
    logits = torch.arange(20.0)
    found = choice(logits, torch.tensor([3]), Settings(), chosen=0, top=4)
    assert found.ids.tolist() == [19, 18, 17, 16, 0] and found.rank == 20
    nothing = choice(logits, torch.tensor([3]), Settings(), top=4)
    assert nothing.rank == 0 and nothing.chosen is None and math.isnan(nothing.probability)


def test_what_may_not_end_yet_cannot_be_drawn() -> None:
    settings = Settings(do_sample=True, min_new_tokens=2)
    early, late = (choice(torch.zeros(4), torch.tensor([0]), settings, n_new=n, stop_ids=[2]) for n in (1, 2))
    assert (early.open, late.open) == (3, 4) and early.after[early.ids.tolist().index(2)] == 0


@pytest.mark.parametrize("logits", [torch.zeros(1, 4), torch.zeros(())])
def test_a_step_is_one_rows(logits: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"a step has logits \(vocab\)"):
        choice(logits, torch.tensor([0]), Settings())
    with pytest.raises(InputError, match="top must be"):
        choice(torch.zeros(4), torch.tensor([0]), Settings(), top=0)


@pytest.mark.parametrize(
    ("ids", "period"),
    [
        ([], 0),
        ([1] * 11, 0),
        ([1] * 12, 1),
        ([5, 6] * 6, 2),
        ([9, 9, *[1, 2, 3, 4, 5, 6, 7] * 3], 7),
        ([9, 9, *[1, 2, 3, 4, 5, 6, 7] * 3, 1], 7),
        ([9, 9, *[1, 2, 3, 4, 5, 6, 7] * 3, 8], 0),
        ([1, 2, 3, 4, 5, 6, 7] * 2, 0),
    ],
)
def test_a_loop_is_recognised_by_its_period(ids: list[int], period: int) -> None:
    assert loop_period(ids) == period
