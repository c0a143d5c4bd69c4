"""One file of weights: read right, or refused with one clear sentence and nothing executed."""

import errno
import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from bloomlab.errors import CheckpointError
from bloomlab.weights import tensor_file
from bloomlab.weights.tensor_file import CHUNK, MAX_HEADER, open_file
from tests.hostile.folders import overlapping

TENSORS = {
    "a": torch.arange(6, dtype=torch.float32).view(2, 3),
    "b": torch.tensor([1.5, -2.0], dtype=torch.float16),
    "c": torch.tensor(7.0, dtype=torch.bfloat16),
    "d": torch.zeros(0, 4, dtype=torch.float64),
}


@pytest.fixture
def safetensors(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_file(TENSORS, path, {"format": "pt"})
    return path


@pytest.fixture
def bin_file(tmp_path: Path) -> Path:
    path = tmp_path / "pytorch_model.bin"
    torch.save(TENSORS, path)
    return path


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("small", [tensor_file.SMALL, 0])
def test_tensors_come_back_in_any_dtype(
    safetensors: Path, bin_file: Path, dtype: torch.dtype, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensor_file, "SMALL", small)
    for path in (safetensors, bin_file):
        stored = open_file(path)
        assert stored.keys() == TENSORS.keys()
        for name, tensor in TENSORS.items():
            assert (stored[name].shape, stored[name].dtype) == (tuple(tensor.shape), tensor.dtype)
            assert torch.equal(stored[name].load(dtype), tensor.to(dtype))
            assert stored[name].load(dtype).dtype == dtype


@pytest.mark.slow
def test_a_tensor_longer_than_one_chunk_is_cast_whole(tmp_path: Path) -> None:
    numbers = torch.arange(CHUNK + 5, dtype=torch.float32)
    save_file({"x": torch.zeros(3), "y": numbers}, tmp_path / "big.safetensors")
    assert torch.equal(open_file(tmp_path / "big.safetensors")["y"].load(torch.float64), numbers.double())


def test_changing_a_mapped_tensor_does_not_change_the_file(safetensors: Path) -> None:
    before = safetensors.read_bytes()
    open_file(safetensors)["a"].load(torch.float32).fill_(9)
    assert safetensors.read_bytes() == before
    assert torch.equal(open_file(safetensors)["a"].load(torch.float32), TENSORS["a"])


def test_a_file_is_mapped_once_for_all_its_tensors(safetensors: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mapping it anew for each of the 293 tensors of bloom-560m takes longer than all else."""
    opened: list[Path] = []

    def noted(path: Path, framework: str) -> Any:
        opened.append(path)
        return safe_open(path, framework)

    monkeypatch.setattr("bloomlab.weights.tensor_file.safe_open", noted)
    stored = open_file(safetensors)
    assert opened == []
    for name, tensor in stored.items():
        assert tensor.load(tensor.dtype).equal(TENSORS[name])
    assert opened == [safetensors]


def test_a_file_that_shrinks_after_it_was_opened_is_an_error(safetensors: Path) -> None:
    stored = open_file(safetensors)
    safetensors.write_bytes(safetensors.read_bytes()[:-8])
    for dtype in (torch.float32, torch.float64):
        with pytest.raises(CheckpointError, match="load again"):
            stored["a"].load(dtype)
            stored["b"].load(dtype)


@pytest.mark.parametrize(("axis", "stop"), [(0, 2), (1, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("small", [tensor_file.SMALL, 0])
def test_a_share_of_a_file_that_shrinks_or_goes_is_an_error(
    tmp_path: Path, axis: int, stop: int, dtype: torch.dtype, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows and columns are read where they lie, past the library: a mapping beyond the file's end would be fatal."""
    monkeypatch.setattr(tensor_file, "SMALL", small)
    path = tmp_path / "model.safetensors"
    save_file({"a": TENSORS["a"]}, path)
    stored, whole = open_file(path)["a"], path.read_bytes()
    assert stored.load_share(dtype, axis, 1, stop).equal(TENSORS["a"].narrow(axis, 1, stop - 1).to(dtype))
    path.write_bytes(whole[:-4])
    with pytest.raises(CheckpointError, match=r"cannot read 'a' from .*model\.safetensors: the file became shorter"):
        stored.load_share(dtype, axis, 1, stop)
    path.unlink()
    with pytest.raises(CheckpointError, match=r"cannot read 'a' from .*model\.safetensors: No such file.*load again"):
        stored.load_share(dtype, axis, 1, stop)


def lengths(path: Path) -> list[int]:
    size = path.stat().st_size
    return [0, 4, 8, 20, size // 2, size - 1]


@pytest.mark.parametrize("cut", range(6))
def test_a_cut_file_is_one_clear_error(safetensors: Path, bin_file: Path, cut: int) -> None:
    for path in (safetensors, bin_file):
        path.write_bytes(path.read_bytes()[: lengths(path)[cut]])
        with pytest.raises(CheckpointError, match=path.name):
            open_file(path)


def test_a_trailing_byte_is_noticed(safetensors: Path) -> None:
    size = safetensors.stat().st_size
    safetensors.write_bytes(safetensors.read_bytes() + b"\0")
    with pytest.raises(CheckpointError, match=f"end at byte {size}, but the file at {size + 1}"):
        open_file(safetensors)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>404</html>", "web page"),
        (b"<html>captive portal</html>", "web page"),
        (b"404: Not Found", "model.safetensors|pytorch_model.bin"),
        (b"PK\x03\x04 and then nothing", "model.safetensors|pytorch_model.bin"),
        (b"\x80\x02.", "model.safetensors|pytorch_model.bin"),
    ],
)
def test_files_that_are_something_else_are_named_as_what_they_are(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        open_file(tmp_path / name)


def test_a_folder_or_nothing_in_the_files_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").mkdir()
    for name in ("model.safetensors", "pytorch_model.bin"):
        with pytest.raises(CheckpointError, match="expected a file"):
            open_file(tmp_path / name)


def test_a_file_that_cannot_be_read_is_said(safetensors: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CheckpointError, match=r"cannot read .*model\.safetensors: Permission denied"):
        open_file(safetensors)


# -- headers that lie ----


def entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}


HEADERS: list[Any] = [
    [],
    "text",
    {"a": []},
    {"a": {"dtype": "F32", "shape": [2]}},
    {"a": entry(shape=[3])},
    {"a": entry(shape=[-1, -2])},
    {"a": entry(shape=[True, 2])},
    {"a": entry(shape=[2.0])},
    {"a": entry(shape="2")},
    {"a": entry(shape=[1 << 61, 8])},
    {"a": entry(shape=[1 << 70])},
    {"a": entry(shape=[1 << 40], data_offsets=[0, 1 << 42])},
    {"a": entry(data_offsets=[0, 8, 8])},
    {"a": entry(data_offsets=[8, 0])},
    {"a": entry(data_offsets=[-8, 0])},
    {"a": entry(data_offsets=[4, 12])},
    {"a": entry(data_offsets=[0, 1 << 63])},
    {"a": entry(), "b": entry()},
    {"a": entry(), "b": entry(data_offsets=[4, 12])},
    {"a": entry(dtype="I64", shape=[1])},
    {"a": entry(dtype="BOOL", shape=[8])},
    {"a": entry(dtype="C64", shape=[1])},
    {"a": entry(dtype="F8_E4M3", shape=[8])},
    {"a": entry(dtype="nonsense")},
    {"a": entry(dtype=["F32"])},
    {},
]


@pytest.mark.parametrize("header", HEADERS, ids=lambda header: json.dumps(header)[:60])
def test_a_header_that_does_not_account_for_the_file_is_refused(tmp_path: Path, header: Any) -> None:
    text = json.dumps(header).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        open_file(path)


def test_the_same_bytes_with_an_honest_header_are_read(tmp_path: Path) -> None:
    """What the headers above are made of does open when nothing in it lies."""
    text = json.dumps({"a": entry()}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    assert open_file(tmp_path / "model.safetensors")["a"].load(torch.float32).tolist() == [0, 0]


@pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 1, MAX_HEADER + 1, 200])
def test_a_header_length_that_cannot_be_is_refused_before_it_is_read(tmp_path: Path, length: int) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b"{}" + bytes(100))
    with pytest.raises(CheckpointError, match=f"its header would have {length} bytes"):
        open_file(path)


@pytest.mark.parametrize(
    "text",
    [b'{"a": 1, "a": 2}', b'{"a":' * 50_000, b'{"a": ' + b"9" * 5000 + b"}", b"\xff\xfe", b'{"a"', b'{"a": NaN}'],
    ids=["twice", "deep", "digits", "utf-16", "cut", "nan"],
)
def test_a_header_that_is_no_honest_json_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        open_file(path)


def test_a_header_that_names_a_tensor_twice_is_refused(tmp_path: Path) -> None:
    """Even if both times it says the same: one of them could be what another reader of the file believes."""
    one = f'"a": {json.dumps(entry())}'
    text = f"{{{one}, {one}}}".encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    with pytest.raises(CheckpointError, match=r"the header of .* names .* twice"):
        open_file(path)


# -- pickles that are more than tensors ----


class Malicious:
    """Unpickling this writes a file: the sign that something was executed."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return (Path.touch, (self.canary,))


def as_zip(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def as_legacy(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


@pytest.mark.parametrize("write", [as_zip, as_legacy, pickle.dumps], ids=["zip", "legacy", "raw"])
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
@pytest.mark.parametrize("loosened", [False, True], ids=["", "loosened"])
def test_a_program_in_a_pickle_is_not_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Any], bytes],
    name: str,
    loosened: bool,
) -> None:
    canary = tmp_path / "canary"
    if loosened:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    (tmp_path / name).write_bytes(write({"a": torch.zeros(2), "b": Malicious(canary)}))
    with pytest.raises(CheckpointError, match=name):
        open_file(tmp_path / name)
    assert not canary.exists()


def test_the_program_would_have_run_in_a_loader_that_is_not_restricted(tmp_path: Path) -> None:
    """So the test above can fail."""
    canary = tmp_path / "canary"
    torch.load(io.BytesIO(as_zip({"b": Malicious(canary)})), weights_only=False)
    assert canary.exists()


NOT_PLAIN: dict[str, Any] = {
    "a list": [torch.zeros(2)],
    "a list inside": {"a": [torch.zeros(2)]},
    "integer keys": {0: torch.zeros(2)},
    "integers": {"a": torch.zeros(2, dtype=torch.long)},
    "complex": {"a": torch.zeros(2, dtype=torch.complex64)},
    "a bool": {"a": torch.zeros(2, dtype=torch.bool)},
    "sparse": {"a": torch.eye(2).to_sparse()},
    "meta": {"a": torch.zeros(2, device="meta")},
    "stride 0": {"a": torch.zeros(1).expand(1 << 40)},
    "a module": torch.nn.Linear(2, 2),
    "numpy": {"a": np.zeros(2)},
    "a number": {"a": 1.5},
    "nothing": None,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NOT_PLAIN)
def test_what_is_no_plain_tensor_is_refused(tmp_path: Path, name: str) -> None:
    for write in (as_zip, as_legacy):
        (tmp_path / "pytorch_model.bin").write_bytes(write(NOT_PLAIN[name]))
        with pytest.raises(CheckpointError, match=r"pytorch_model\.bin"):
            open_file(tmp_path / "pytorch_model.bin")


def test_a_tensor_seen_from_the_side_is_read_as_it_is_meant(tmp_path: Path) -> None:
    tensor = torch.arange(6.0).view(2, 3)
    torch.save({"a": tensor.T, "b": torch.nn.Parameter(tensor)}, tmp_path / "pytorch_model.bin")
    stored = open_file(tmp_path / "pytorch_model.bin")
    assert stored["a"].load(torch.float32).equal(tensor.T)
    assert stored["b"].load(torch.float32).equal(tensor)
    assert not stored["b"].load(torch.float32).requires_grad


def test_a_zip_whose_list_of_parts_is_broken_is_refused(tmp_path: Path, bin_file: Path) -> None:
    broken = tmp_path / "broken.bin"
    broken.write_bytes(bin_file.read_bytes().replace(b"PK\x01\x02", b"PK\x01\x03"))
    assert zipfile.is_zipfile(broken)
    with pytest.raises(CheckpointError, match="its list of parts is broken"):
        open_file(broken)


def test_a_compressed_zip_is_refused(tmp_path: Path, bin_file: Path) -> None:
    """torch never compresses; a few bytes could stand for any number of gigabytes."""
    bomb = tmp_path / "bomb.bin"
    with zipfile.ZipFile(bin_file) as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target:
        for part in source.infolist():
            target.writestr(part.filename, source.read(part))
    with pytest.raises(CheckpointError, match="is compressed"):
        open_file(bomb)


def test_a_zip_whose_parts_lie_over_each_other_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(overlapping(tmp_path))
    with pytest.raises(CheckpointError, match=r"its parts claim \d+ bytes, but the file has \d+"):
        open_file(tmp_path / "pytorch_model.bin")
