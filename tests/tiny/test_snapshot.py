"""A snapshot is a model of its step, a little rounded."""

from pathlib import Path

import pytest
import torch

from bloomlab import tiny
from bloomlab.errors import InputError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.tiny import folder, snapshots
from bloomlab.tiny.measure import look_back
from bloomlab.tiny.snapshot import open_snapshot, quantize, write_snapshot
from bloomlab.tiny.train import new_model, write_model


def test_a_weight_is_kept_to_half_a_step_of_its_row() -> None:
    weight = torch.randn(7, 9, generator=torch.Generator().manual_seed(0))
    whole, scale = quantize(weight)
    assert whole.dtype == torch.int8 and whole.shape == weight.shape and scale.shape == (7, 1)
    assert ((whole * scale - weight).abs() <= scale / 2 + 1e-7).all()
    assert (whole.abs().amax(1) == 127).all()


def test_a_row_of_zeros_stays_one() -> None:
    whole, scale = quantize(torch.zeros(2, 3))
    assert not (whole * scale).any() and scale.isfinite().all()


def test_a_snapshot_says_nearly_what_its_model_says(tmp_path: Path) -> None:
    model = new_model(seed=0).eval()
    write_model(model, tmp_path)
    write_snapshot(dict(model.named_parameters()), tmp_path / "snapshots" / "step5.safetensors")
    kept = open_snapshot("step5", tmp_path)
    assert isinstance(kept, BloomForCausalLM) and not kept.training
    assert kept.lm_head.weight is kept.transformer.word_embeddings.weight
    ids = torch.arange(4, 20)[None]
    with torch.no_grad():
        assert float((kept(ids).logits - model(ids).logits).abs().max()) < 0.05
    assert (tmp_path / "snapshots" / "step5.safetensors").stat().st_size < 1_300_000


@pytest.mark.slow
def test_the_shipped_snapshots_show_the_induction_head_form() -> None:
    steps = snapshots()
    assert steps == tiny.snapshots() and len(steps) >= 4
    best = [float(look_back(open_snapshot(f"step{step}"))[0].max()) for step in (steps[0], steps[-1])]
    assert best[0] < 0.1 and best[1] > 0.5


@pytest.mark.parametrize("revision", ["step7", "main", "", "../step1200"])
def test_a_step_that_was_not_kept_is_an_error_that_lists_those_that_were(revision: str) -> None:
    with pytest.raises(InputError, match=f"no snapshot.*step{snapshots()[0]}"):
        open_snapshot(revision)


def test_the_snapshots_are_in_the_folder_of_the_model() -> None:
    assert all((folder() / "snapshots" / f"step{step}.safetensors").is_file() for step in snapshots())
