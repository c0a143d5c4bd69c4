"""A folder of weights: compared with what the model needs before anything is read."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from bloomlab.errors import CheckpointError, InputError, MemoryLimitError
from bloomlab.weights.checkpoint import match, open_folder, read_state, shard_bytes, write_state
from bloomlab.weights.tensor_file import open_safetensors

STATE = {
    "transformer.word_embeddings.weight": torch.arange(12.0).view(4, 3),
    "transformer.ln_f.weight": torch.ones(3),
    "transformer.ln_f.bias": torch.zeros(3),
    "lm_head.weight": torch.ones(4, 3),
}
SHAPES = {name: tuple(tensor.shape) for name, tensor in STATE.items()}
HEAD = ["lm_head.weight"]


def load(folder: Path, shapes: dict[str, tuple[int, ...]] = SHAPES) -> dict[str, torch.Tensor]:
    return read_state(match(open_folder(folder), shapes, HEAD), torch.float32)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert [path.name for path in write_state(tmp_path, STATE)] == ["model.safetensors"]
    read = load(tmp_path)
    assert read.keys() == STATE.keys()
    assert all(read[name].equal(STATE[name]) for name in STATE)


@pytest.mark.parametrize("limit", [1, 12, 24, 60, 96])
def test_shards_hold_at_most_their_size_and_everything_once(tmp_path: Path, limit: int) -> None:
    *shards, index = write_state(tmp_path, STATE, limit)
    about = json.loads(index.read_text())
    assert about["metadata"]["total_size"] == sum(tensor.nbytes for tensor in STATE.values())
    assert about["weight_map"].keys() == STATE.keys()
    assert {path.name for path in shards} == set(about["weight_map"].values())
    for path in shards:
        inside = [STATE[name] for name, file in about["weight_map"].items() if file == path.name]
        assert sum(tensor.nbytes for tensor in inside) <= limit or len(inside) == 1
    assert all(load(tmp_path)[name].equal(STATE[name]) for name in STATE)


def test_a_second_save_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    """An older model.safetensors would be found first, an older index would name other files."""
    changed = {name: tensor + 1 for name, tensor in STATE.items()}
    (tmp_path / "model-card.safetensors").write_text("somebody else's")
    for limit in (1, 1000, 60):
        write_state(tmp_path, STATE, limit)
        write_state(tmp_path, changed, limit)
        assert all(load(tmp_path)[name].equal(changed[name]) for name in STATE)
        assert len(list(tmp_path.glob("*.safetensors"))) <= 1 + max(2, len(STATE))
    write_state(tmp_path, STATE, 60)  # the names that the second save could not take are free again
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model-card.safetensors",
        "model.safetensors.index.json",
    ]


@pytest.mark.parametrize("limit", [1000, 60])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_weights_that_change_while_they_are_read_are_refused(tmp_path: Path, limit: int, dtype: torch.dtype) -> None:
    write_state(tmp_path, STATE, limit)
    for change in (lambda: write_state(tmp_path, STATE, limit), lambda: shutil.rmtree(tmp_path)):
        plan = match(open_folder(tmp_path), SHAPES, HEAD)
        change()
        with pytest.raises(CheckpointError, match=r"changed while it was read; open|cannot read .*; load again"):
            read_state(plan, dtype)


def test_a_file_that_changed_before_it_is_mapped_says_only_that(tmp_path: Path) -> None:
    write_state(tmp_path, STATE)
    stored = open_folder(tmp_path)
    write_state(tmp_path, STATE)
    name, tensor = next(iter(stored.items()))
    with pytest.raises(CheckpointError) as said:
        tensor.load(tensor.dtype)
    assert str(said.value).endswith("changed while it was read; open it again") and "cannot read" not in str(said.value)
    assert name in STATE


def test_shards_of_two_saves_are_not_taken_for_one_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_state(tmp_path, STATE, 60)

    def between(path: Path) -> Any:
        monkeypatch.undo()
        opened = open_safetensors(path)
        write_state(tmp_path, {name: tensor + 1 for name, tensor in STATE.items()}, 60)
        return opened

    monkeypatch.setattr("bloomlab.weights.tensor_file.open_safetensors", between)
    with pytest.raises(CheckpointError, match=r"model\.safetensors\.index\.json changed while it was read"):
        open_folder(tmp_path)


def test_a_save_that_fails_leaves_the_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_state(tmp_path, STATE)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def full(tensors: Any, path: Path, metadata: Any) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bloomlab.weights.checkpoint.save_file", full)
    with pytest.raises(InputError, match=r"cannot write .*no space left on device; name a folder"):
        write_state(tmp_path, STATE)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_views_and_tensors_that_share_memory_are_written_whole(tmp_path: Path) -> None:
    table = torch.arange(12.0).view(3, 4)
    write_state(tmp_path, {"a": table.T, "b": table[1:]})
    stored = open_folder(tmp_path)
    assert stored["a"].load(torch.float32).equal(table.T)
    assert stored["b"].load(torch.float32).equal(table[1:])


def test_names_are_found_with_and_without_the_prefix(tmp_path: Path) -> None:
    save_file(
        {name.removeprefix("transformer."): t.clone() for name, t in STATE.items()}, tmp_path / "model.safetensors"
    )
    assert load(tmp_path).keys() == STATE.keys()
    base = {name.removeprefix("transformer."): shape for name, shape in SHAPES.items() if name not in HEAD}
    assert load(tmp_path, base).keys() == base.keys()


def test_both_spellings_of_one_name_are_an_error(tmp_path: Path) -> None:
    save_file({"ln_f.bias": torch.zeros(3), "transformer.ln_f.bias": torch.zeros(3)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"both 'ln_f\.bias' and 'transformer\.ln_f\.bias'"):
        open_folder(tmp_path)


def test_a_head_may_be_missing_and_another_head_may_be_there(tmp_path: Path) -> None:
    write_state(tmp_path, {**STATE, "score.weight": torch.ones(2, 3)})
    assert match(open_folder(tmp_path), SHAPES, HEAD).new == []
    shapes = {**SHAPES, "classifier.weight": (2, 3), "classifier.bias": (2,)}
    plan = match(open_folder(tmp_path), shapes, ["classifier.weight", "classifier.bias"])
    assert plan.new == ["classifier.weight", "classifier.bias"]


def changed(**changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    state = {**STATE, **{name.replace("__", "."): tensor for name, tensor in changes.items()}}
    return {name: tensor for name, tensor in state.items() if tensor is not None}


WRONG: list[tuple[dict[str, torch.Tensor], str]] = [
    (changed(transformer__ln_f__weight=torch.ones(4)), r"\(3,\) for 'transformer\.ln_f\.weight', but .* holds \(4,\)"),
    (changed(transformer__ln_f__weight=torch.ones(3, 1)), r"holds \(3, 1\)"),
    (changed(lm_head__weight=torch.ones(5, 3)), r"\(4, 3\) for 'lm_head\.weight'.*\(5, 3\)"),
    (changed(transformer__ln_f__bias=None), r"expected 4 tensors in .* lacks 'transformer\.ln_f\.bias'; check"),
    (changed(transformer__ln_f__bias=None, transformer__ln_f__biaz=torch.ones(3)), r"did you mean 'ln_f\.biaz'"),
    (changed(transformer__h__9__x=torch.ones(1)), r"holds 'h\.9\.x', which the model does not have"),
    ({}, r"lacks 'transformer\.word_embeddings\.weight', .* check"),
]  # fmt: skip


@pytest.mark.parametrize(("state", "message"), WRONG, ids=[message[:30] for _, message in WRONG])
def test_tensors_that_do_not_fit_are_named_before_any_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: dict[str, torch.Tensor], message: str
) -> None:
    save_file(state, tmp_path / "model.safetensors")
    monkeypatch.setattr("bloomlab.weights.tensor_file._mapped", lambda *_: pytest.fail("a tensor was read"))
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path)


def test_an_empty_folder_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"expected one of model\.safetensors, .*pytorch_model\.bin"):
        open_folder(tmp_path)


INDEXES: list[tuple[Any, str]] = [
    ({}, "expected a weight_map"),
    ({"weight_map": {}}, "expected a weight_map"),
    ({"weight_map": ["a"]}, "expected a weight_map"),
    ({"weight_map": {"a": "../model.safetensors"}}, "expected the name of a file beside"),
    ({"weight_map": {"a": "/etc/model.safetensors"}}, "expected the name of a file beside"),
    ({"weight_map": {"a": "sub/model.safetensors"}}, "expected the name of a file beside"),
    ({"weight_map": {"a": "..\\model.safetensors"}}, "expected the name of a file beside"),
    ({"weight_map": {"a": "C:model.safetensors"}}, "expected the name of a file beside"),
    ({"weight_map": {"a": "a\0.safetensors"}}, "expected the name of a file beside"),
    ({"weight_map": {"a": ".."}}, "expected the name of a file beside"),
    ({"weight_map": {"a": "passwd"}}, "expected the name of a file beside"),
    ({"weight_map": {"a": 7}}, "expected the name of a file beside"),
    ({"weight_map": {"a": "lost.safetensors"}}, r"expected a file .*lost\.safetensors"),
    ({"weight_map": {"a": "one.safetensors", "z": "one.safetensors"}}, r"one\.safetensors holds 'z', but it does not"),
    ({"weight_map": {"z": "one.safetensors"}}, r"one\.safetensors holds 'a', which .*index\.json does not say"),
    ({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}, r"two\.safetensors holds 'a', which"),
    ([], "expected a JSON object"),
]


@pytest.mark.parametrize(("index", "message"), INDEXES, ids=[json.dumps(index)[:50] for index, _ in INDEXES])
def test_an_index_that_leads_astray_is_refused(tmp_path: Path, index: Any, message: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"a": torch.ones(1)}, tmp_path / "model.safetensors")
    save_file({"a": torch.ones(1)}, folder / "one.safetensors")
    save_file({"a": torch.ones(1), "b": torch.ones(1)}, folder / "two.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=message):
        open_folder(folder)


def test_links_are_followed_as_the_hubs_cache_lays_them(tmp_path: Path) -> None:
    write_state(tmp_path, STATE)
    (tmp_path / "model.safetensors").rename(tmp_path / "blob")
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "model.safetensors").symlink_to("../blob")
    assert load(tmp_path / "snapshot").keys() == STATE.keys()


def test_a_model_that_does_not_fit_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_state(tmp_path, STATE)
    plan = match(open_folder(tmp_path), SHAPES, HEAD)
    monkeypatch.setattr("bloomlab.guards.memory.free_bytes", lambda: 119)
    with pytest.raises(MemoryLimitError, match=r"30 parameters in float32 needs 120 bytes.*dtype='bfloat16'"):
        read_state(plan, torch.float32)
    assert read_state(plan, torch.bfloat16).keys() == STATE.keys()


@pytest.mark.parametrize("size", ["", "5", "5gb", "1.5GB", "-5GB", "GB", 0, -1, True, None])
def test_a_shard_size_is_a_number_with_or_without_a_unit(size: Any) -> None:
    if size in ("5", "5gb"):
        assert shard_bytes(size) in (5, 5 * 10**9)
        return
    with pytest.raises(InputError, match=r"such as '5GB'"):
        shard_bytes(size)
