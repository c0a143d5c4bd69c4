"""Training reads what it should, moves what it should, and can be stopped."""

import os
import re
import signal
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from bloomlab.errors import CheckpointError
from bloomlab.tiny import rows, train
from bloomlab.tiny.heads import HEADS
from bloomlab.tiny.train import new_model, optimizers, rate
from tests.hostile.in_copies import in_a_new_python
from tests.tiny_random import random_model


def test_the_rate_rises_in_sixty_steps_and_falls_to_two_percent() -> None:
    rates = [rate(step, 5400) for step in range(1, 5401)]
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
    monkeypatch.setattr(rows, "ROWS", 4)
    monkeypatch.setattr(rows, "LENGTH", 32)
    monkeypatch.setattr(train, "MEASURE_EVERY", 4)
    monkeypatch.setattr(train, "SNAPSHOTS", (2, 5))
    few, few_rows, few_questions = train.train_tokenizer, train.validation_rows, train.questions
    monkeypatch.setattr(train, "questions", lambda tokenizer, count, gap=0: few_questions(tokenizer, 3, gap=gap // 4))
    monkeypatch.setattr(train, "train_tokenizer", lambda seed: few(seed, count=3000))
    monkeypatch.setattr(train, "validation_rows", lambda tokenizer: few_rows(tokenizer, 32, 4))


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_run_that_was_stopped_and_resumed_ends_like_one_that_was_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train.train(whole / "out", whole, steps=6, head_steps=2)
    shown = capsys.readouterr().err
    assert "6/6 [" in shown and re.search(r"<00:00, .*step.*, loss=\d", shown)  # time left, loss
    assert "step 4  loss" in shown and "wrote the model" in shown
    assert not train.train(parts / "out", parts, steps=6, stop_after=3)
    shown = capsys.readouterr().err
    assert "3/6 [" in shown and "stopped after 3 of 6 steps; --resume goes on" in shown
    assert not (parts / "out").exists()
    assert train.train(parts / "out", parts, steps=6, resume=True, head_steps=2)
    assert "3/6 [" in capsys.readouterr().err  # it goes on where it stopped
    weights = ["model.safetensors", *(f"snapshots/step{step}.safetensors" for step in (2, 5))]
    for file in [*weights, *(f"heads/{task}/model.safetensors" for task in HEADS)]:
        a, b = load_file(whole / "out" / file), load_file(parts / "out" / file)
        assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a), file
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
    (state,) = tmp_path.rglob("*.pt")
    state.write_bytes(state.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"cannot be read: .*; leave --resume out"):
        train.train(tmp_path / "out", tmp_path, steps=6, resume=True)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_run_stopped_in_a_head_goes_on_with_that_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(task: str, *rest: Any) -> Any:
        if task == "tags":
            signal.raise_signal(signal.SIGINT)
        return tune(task, *rest)

    tune = train.tune
    monkeypatch.setattr(train, "tune", interrupted)
    assert not train.train(tmp_path / "out", tmp_path, steps=2, head_steps=2)
    assert "stopped before the head 'tags' was done; --resume goes on" in capsys.readouterr().err
    done = {path.name for path in (tmp_path / "model" / "heads").iterdir()}
    assert done == {"language"} and not (tmp_path / "out").exists()
    monkeypatch.setattr(train, "tune", tune)
    assert train.train(tmp_path / "out", tmp_path, steps=2, head_steps=2, resume=True)
    assert "the head for language" not in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "out" / "heads").iterdir()} == set(HEADS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed",
    [
        {"settings": None},
        {"done": "soon"},
        {"model": {"lm_head.weight": torch.zeros(2)}},
        {"model": 5},
        {"optimizers": [{}, {}, {}]},
        {"optimizers": [5]},
        {"history": 3},
        None,
    ],
)
def test_a_run_that_holds_something_else_says_so(tmp_path: Path, changed: dict[str, Any] | None) -> None:
    model = random_model(n_layer=1)
    run = train.Run({"steps": 1}, model, [torch.optim.SGD(model.parameters(), 0.1)], [])
    run.keep(tmp_path / "run.pt", 1)
    assert run.restore(tmp_path / "run.pt") == 1
    state = torch.load(tmp_path / "run.pt", weights_only=True)
    if changed and changed.get("settings", 0) is None:
        del state["settings"]
    torch.save([state] if changed is None else state | (changed if "settings" in state else {}), tmp_path / "run.pt")
    with pytest.raises(
        CheckpointError, match=r"^the run at .*run\.pt cannot be read: .*; leave --resume out to start one$"
    ):
        run.restore(tmp_path / "run.pt")


def small_run(seed: int) -> train.Run:
    model = random_model(seed, n_layer=1)
    return train.Run({"steps": 14}, model, train.optimizers(model), [])


def go_on(run: train.Run, first: int, kept: Path, whose: int, stop_after: int | None = None) -> bool:
    """Train on one row, and keep the run after each step."""
    ids = torch.arange(8).view(1, 8)
    return train.train_steps(run, first, kept, lambda step: (ids, ids), lambda: {"whose": whose}, 1, None, stop_after)


def two_trainings(folder: str) -> dict[str, Any]:
    """Train in two copies of this process, which keep their runs in one file; how they end, what is there meanwhile."""
    kept = Path(folder) / "checkpoint.pt"
    small_run(2).keep(kept, 0)
    small_run(2).restore(kept)  # so that all is loaded that the copies need
    children = {}
    for whose in (0, 1):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                go_on(small_run(whose), 0, kept, whose, stop_after=12)
                code = 0
            finally:
                os._exit(code)
        children[child] = -1
    looks: list[tuple[int, list[float], list[float]]] = []
    while -1 in children.values():
        run = small_run(2)
        done = run.restore(kept)
        looks.append((done, [line["step"] for line in run.history], [line["whose"] for line in run.history]))
        for child, code in children.items():
            if code == -1 and (ended := os.waitpid(child, os.WNOHANG))[0]:
                children[child] = os.waitstatus_to_exitcode(ended[1])
    return {"codes": list(children.values()), "looks": looks}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the programs are copies of one")
def test_two_programs_that_train_in_one_folder_leave_one_run_whole(tmp_path: Path) -> None:
    """And a third that looks meanwhile finds the run of one of them, with which it can go on."""
    found = in_a_new_python(__name__, "two_trainings", str(tmp_path))
    assert found["codes"] == [0, 0]
    for done, steps, whose in found["looks"]:
        assert steps == list(range(1, done + 1)) and len(set(whose)) == (done > 0)
    assert {done for done, *_ in found["looks"]} - {0, 12}
    kept = tmp_path / "checkpoint.pt"
    assert list(tmp_path.iterdir()) == [kept]
    run = small_run(2)
    assert run.restore(kept) == 12 and go_on(run, 12, kept, whose=2) and small_run(2).restore(kept) == 14


@pytest.mark.slow
def test_two_runs_that_are_kept_in_one_place_leave_one_whole(tmp_path: Path) -> None:
    path, models = tmp_path / "run.pt", [random_model(seed, n_layer=1) for seed in (0, 1, 2)]
    runs = [train.Run({"steps": 1}, model, [], []) for model in models]
    runs[0].keep(path, 0)

    def keep(n: int) -> None:
        for _ in range(20):
            runs[n].keep(path, n)

    writers = [Thread(target=keep, args=(n,)) for n in (0, 1)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        whose = models[runs[2].restore(path)].state_dict()
        assert all(tensor.equal(whose[name]) for name, tensor in models[2].state_dict().items())
    assert [each.name for each in tmp_path.iterdir()] == ["run.pt"]
