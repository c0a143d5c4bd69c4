"""The gradient at a spot is what a small change there does."""

import pytest
import torch

from bloomlab.lab import Lab
from bloomlab.lens.gradients import gradients
from bloomlab.tracing.edits import add
from tests.tiny_random import byte_tokenizer, random_model


@pytest.mark.parametrize("spot", ["embed", "h.0.attn.mixed", "h.1.resid_pre", "h.1.attn.probs", "h.2.mlp.out", "final"])
def test_a_gradient_is_the_slope_of_a_small_change(spot: str) -> None:
    """In float64, where a small change is no rounding."""
    lab = Lab(random_model().double(), byte_tokenizer(), name="random")
    trace = lab.trace("Leo lives", ["embed", spot, "logits"])
    name = "h.0.resid_pre" if spot == "embed" else spot
    value, found = gradients(lab.model, trace.ids, trace["embed"], (40, 50), [name])
    gradient = found[name]
    way = torch.randn(gradient.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    if spot.endswith("probs"):
        way = way.tril()
    said = [lab.trace("Leo lives", ["logits"], {spot: add(step * way)})["logits"][0, -1] for step in (-1e-4, 0.0, 1e-4)]
    before, same, after = ((row[40] - row[50]).item() for row in said)
    assert value.item() == pytest.approx(same, abs=1e-5)
    assert (gradient * way).sum().item() == pytest.approx((after - before) / 2e-4, rel=2e-2, abs=1e-4)


def test_runs_of_a_batch_are_what_each_is_by_itself() -> None:
    lab = Lab(random_model(), byte_tokenizer(), name="random")
    trace = lab.trace("Leo lives", ["embed"])
    states = trace["embed"] * torch.tensor([0.5, 1.0, 2.0])[:, None, None]
    values, found = gradients(lab.model, trace.ids, states, (40, 50), ["h.2.resid_pre"])
    for row, state in enumerate(states):
        value, alone = gradients(lab.model, trace.ids, state[None], (40, 50), ["h.2.resid_pre"])
        assert values[row].item() == pytest.approx(value.item(), abs=1e-4)
        torch.testing.assert_close(found["h.2.resid_pre"][row], alone["h.2.resid_pre"][0], atol=1e-5, rtol=1e-4)
