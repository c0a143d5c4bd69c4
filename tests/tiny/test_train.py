"""Training reads what it should, moves what it should, and can be stopped."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bloomlab.errors import CheckpointError
from bloomlab.tiny import folder, train
from bloomlab.tiny.train import LENGTH, REPEATS, ROWS, batch, new_model, optimizers, rate
from bloomlab.tokenizer import BloomTokenizerFast


@pytest.fixture(scope="module")
def tokenizer() -> BloomTokenizerFast:
    return BloomTokenizerFast.from_pretrained(folder())


def test_a_step_always_reads_the_same(tokenizer: BloomTokenizerFast) -> None:
    first, labels = batch(7, 0, tokenizer, 3072)
    assert first.shape == labels.shape == (ROWS, LENGTH)
    assert torch.equal(first, batch(7, 0, tokenizer, 3072)[0])
    assert not torch.equal(first, batch(8, 0, tokenizer, 3072)[0])
    assert not torch.equal(first, batch(7, 1, tokenizer, 3072)[0])


def test_repeated_rows_repeat_and_are_learned_from_the_second_time_on(tokenizer: BloomTokenizerFast) -> None:
    for step in range(1, 11):
        ids, labels = batch(step, 0, tokenizer, 3072)
        first_copies = [int((row == -100).sum()) for row in labels]
        assert all(size in train.SEGMENT for size in first_copies[:REPEATS]) and not any(first_copies[REPEATS:])
        for row, label, size in zip(ids, labels, first_copies, strict=True):
            assert torch.equal(label[size:], row[size:])
            assert not size or torch.equal(row[size:], row[:-size])


def test_the_rate_rises_in_sixty_steps_and_falls_to_two_percent() -> None:
    rates = [rate(step, 3000) for step in range(1, 3001)]
    assert rates.index(max(rates)) == 59 and rates[-1] == pytest.approx(0.02)
    assert rates[:59] == sorted(rates[:59]) and rates[60:] == sorted(rates[60:], reverse=True)


def test_every_weight_has_one_optimizer() -> None:
    model = new_model(seed=0)
    groups = [[w for group in optimizer.param_groups for w in group["params"]] for optimizer in optimizers(model)]
    ids = [id(weight) for group in groups for weight in group]
    assert sorted(ids) == sorted(map(id, model.parameters()))
    assert len(groups[0]) == 4 * model.config.n_layer and all(weight.ndim == 2 for weight in groups[0])


def test_a_new_model_is_small_what_it_adds_to_the_stream_smaller_and_the_seed_decides() -> None:
    model = new_model(seed=0)
    assert model.config.parameter_count() == 1_186_816
    block = model.transformer.h[0]
    assert float(block.self_attention.query_key_value.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    for added in (block.self_attention.dense, block.mlp.dense_4h_to_h):
        assert float(added.weight.detach().std()) == pytest.approx(0.02 / 8**0.5, rel=0.05)
    assert torch.equal(new_model(0).lm_head.weight, model.lm_head.weight)
    assert not torch.equal(new_model(1).lm_head.weight, model.lm_head.weight)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short rows, a tokenizer from few documents: what is tested is the run, not the model."""
    monkeypatch.setattr(train, "ROWS", 4)
    monkeypatch.setattr(train, "LENGTH", 32)
    monkeypatch.setattr(train, "MEASURE_EVERY", 4)
    few, few_rows = train.train_tokenizer, train.validation_rows
    monkeypatch.setattr(train, "train_tokenizer", lambda seed: few(seed, count=3000))
    monkeypatch.setattr(train, "validation_rows", lambda tokenizer: few_rows(tokenizer, 32, 4))


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_run_that_was_stopped_and_resumed_ends_like_one_that_was_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train.train(whole / "out", whole, steps=6)
    shown = capsys.readouterr().err
    assert "6/6 [" in shown and re.search(r"<00:00, .*step.*, loss=\d", shown)  # time left, loss
    assert "step 4  loss" in shown and "wrote the model" in shown
    assert not train.train(parts / "out", parts, steps=6, stop_after=3)
    shown = capsys.readouterr().err
    assert "3/6 [" in shown and "stopped after 3 of 6 steps; --resume goes on" in shown
    assert not (parts / "out").exists()
    assert train.train(parts / "out", parts, steps=6, resume=True)
    assert "3/6 [" in capsys.readouterr().err  # it goes on where it stopped
    a, b = load_file(whole / "out" / "model.safetensors"), load_file(parts / "out" / "model.safetensors")
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    for file in ("history.json", "golden.json", "config.json", "tokenizer.json"):
        assert (whole / "out" / file).read_bytes() == (parts / "out" / file).read_bytes(), file


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_resuming_another_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no run to resume"):
        train.train(tmp_path / "out", tmp_path, steps=6, resume=True)
    train.train(tmp_path / "out", tmp_path, steps=6, stop_after=1)
    with pytest.raises(CheckpointError, match=r"'steps': 6.*'steps': 7"):
        train.train(tmp_path / "out", tmp_path, steps=7, resume=True)
