"""Ctrl-C while controls are run: the model, its random numbers and the next result are as they were."""

import random
from collections.abc import Callable

import pytest
import torch

from bloomlab.lab import Lab
from bloomlab.lens.cases import Case
from bloomlab.lens.held import held
from bloomlab.lens.trials import SpotEdits
from bloomlab.tracing.donors import drawn, steer
from bloomlab.tracing.edits import zero
from tests.test_interrupts import once

INTERRUPTS = 100
TEXTS = [f"{name} lives in {city}. Leo lives in" for name in ("Leo", "Ana") for city in ("Oslo", "Lima", "Tokyo")]


def left(lab: Lab, edits: SpotEdits) -> str:
    """What is left of edits with each part held."""
    *_, last = held(lab.model, lab.tokenizer, [Case(TEXTS[0])], edits)
    return last.results[-1].sentence


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("verb", ["refute", "keep", "direction", "held"])
def test_after_each_of_100_interrupts_everything_is_as_it_was(lab: Lab, verb: str) -> None:
    edit = {"h.1.attn.mixed": drawn(TEXTS, head=2)}
    made: SpotEdits = {spot: (one,) for spot, one in edit.items()}
    verbs: dict[str, Callable[[], object]] = {
        "refute": lambda: lab.refute(TEXTS[0], edit, texts=TEXTS[1:], n=4).found.sentence,
        "keep": lambda: lab.keep(TEXTS[:3], ["3.4"], drawn(TEXTS), n=3).found.sentence,
        "direction": lambda: (
            lab.direction(TEXTS[:3], TEXTS[3:], "h.1.resid_post", TEXTS[0], doses=[2], n=1).found.sentence
        ),
        "held": lambda: left(lab, {"h.1.resid_post": (steer(TEXTS[:3], TEXTS[3:]),), **made}),
    }
    run, chance = verbs[verb], random.Random(0)
    expected = run()
    weights = [parameter.clone() for parameter in lab.model.parameters()]
    state, logits = torch.get_rng_state(), lab.trace(TEXTS[0], ["logits"], {"embed": zero(pos=1)})["logits"]
    interrupts, longest = 0, 0.05
    while interrupts < INTERRUPTS:
        came = once(run, chance.uniform(1e-4, longest))
        interrupts += came
        longest *= 1.05 if came else 0.8  # up to as long as it takes
        assert torch.is_grad_enabled() and torch.get_rng_state().equal(state)
    assert all(map(torch.equal, weights, lab.model.parameters()))
    assert lab.trace(TEXTS[0], ["logits"], {"embed": zero(pos=1)})["logits"].equal(logits)
    assert run() == expected
