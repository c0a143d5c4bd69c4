import itertools

import pytest
import torch

from bloomlab.errors import InputError
from bloomlab.lab import Lab
from bloomlab.lens import inputs
from bloomlab.lens.lengths import LengthLoss, length_lab, token_losses
from bloomlab.tiny.measure import validation_rows
from tests.tiny_random import random_ids, random_model


def test_the_mean_is_the_models_own_loss() -> None:
    model, ids = random_model(), random_ids(3, 16)
    *_, step = length_lab(model, ids, [4, 16], batch_tokens=16)
    for result, pieces in zip(step.results, (ids.view(12, 4), ids), strict=True):
        assert (result.length, result.rows) == (pieces.shape[1], len(pieces))
        assert result.mean == pytest.approx(model(pieces, labels=pieces).loss.item(), abs=1e-5)


def test_each_position_is_the_mean_over_pieces() -> None:
    model, ids = random_model(), random_ids(2, 11)  # 11 is two pieces of 5, and one token that is not read
    *_, step = length_lab(model, ids, [5])
    pieces = ids[:, :10].reshape(4, 5)
    log_probs = model(pieces).logits.log_softmax(-1)
    for pos in range(1, 5):
        expected = -sum(log_probs[i, pos - 1, pieces[i, pos]].item() for i in range(4)) / 4
        assert step.results[0].losses[pos - 1].item() == pytest.approx(expected, abs=1e-5)


def test_the_size_of_batches_and_of_parts_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids = random_model(), random_ids(4, 12)
    whole = token_losses(model, ids)
    *_, small = length_lab(model, ids, [12], batch_tokens=1)
    monkeypatch.setattr(inputs, "AT_ONCE", 900)  # the logits of three positions
    assert torch.allclose(token_losses(model, ids), whole, atol=1e-5)
    assert torch.allclose(small.results[0].losses, whole.mean(0), atol=1e-5)


def test_a_texts_first_tokens_cost_the_same_however_long_it_is() -> None:
    model, ids = random_model(), random_ids(1, 30)
    *_, step = length_lab(model, ids, [16, 30])  # one piece each
    assert torch.allclose(step.results[0].losses, step.results[1].losses[:15], atol=1e-5)


def test_progress_grows_to_the_total_and_results_come_one_by_one() -> None:
    steps = list(length_lab(random_model(), random_ids(4, 8), [2, 8], batch_tokens=16))
    assert [step.done for step in steps] == [16, 32, 48, 64]
    assert {step.total for step in steps} == {64}
    assert [len(step.results) for step in steps] == [0, 1, 1, 2]


def test_a_cancelled_run_leaves_gradients_as_they_were() -> None:
    model, ids = random_model(), random_ids(4, 8)
    runs = length_lab(model, ids, [8], batch_tokens=8)
    assert next(runs).done == 8
    assert torch.is_grad_enabled()
    runs.close()
    assert model(ids).logits.requires_grad


def test_octaves_cover_every_position_once() -> None:
    losses = torch.arange(1.0, 100.0)
    octaves = LengthLoss(100, 1, losses).by_octave()
    assert [(o.first, o.last) for o in octaves] == [(1, 1), (2, 3), (4, 7), (8, 15), (16, 31), (32, 63), (64, 99)]
    assert sum(o.mean * (o.last - o.first + 1) for o in octaves) == pytest.approx(losses.sum().item())


@pytest.mark.slow
def test_a_text_of_eight_times_the_trained_length_is_no_harder_for_the_embedded_model(lab: Lab) -> None:
    """It was trained on 128 tokens; the same 2048 tokens are read in pieces of 32, 128 and 1024."""
    ids = validation_rows(lab.tokenizer, length=1024, rows=2)
    *_, step = length_lab(lab.model, ids, [32, 128, 1024])
    short, trained, long = (result.mean for result in step.results)
    assert long < trained < short  # more to look back on
    octaves = step.results[-1].by_octave()
    assert octaves[-1].first == 512 and octaves[-1].mean < trained
    assert all(later.mean < octaves[0].mean for _, later in itertools.pairwise(octaves))


@pytest.mark.parametrize("length", [0, 1, 31])
def test_a_length_the_rows_do_not_have_is_refused_before_anything_runs(length: int) -> None:
    with pytest.raises(InputError, match=f"from 2 to 30, the tokens of a row, but got {length}"):
        length_lab(random_model(), random_ids(2, 30), [16, length])


def test_ids_without_rows_are_refused() -> None:
    with pytest.raises(InputError, match="at least one row"):
        length_lab(random_model(), random_ids()[0], [2])
