"""A .bin is a program: it is followed in a process of its own, and whatever it does there is one error here."""

import ast
import io
import json
import os
import pickle
import struct
import subprocess
import time
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from bloomlab.errors import CheckpointError
from bloomlab.weights import bin_file, bin_process, tensor_file
from bloomlab.weights.checkpoint import convert, open_folder
from bloomlab.weights.tensor_file import open_file
from tests.hostile.folders import as_legacy, as_zip
from tests.hostile.probe import forget_peak, peak

STATE: dict[str, torch.Tensor] = {
    "whole": torch.arange(6.0).view(2, 3),
    "half": torch.arange(5).half(),
    "brain": torch.arange(3).bfloat16(),
    "double": torch.tensor(2.0, dtype=torch.float64),
    "none": torch.zeros(0, 4),
}


def in_zip(table: bytes, data: bytes = bytes(64), **parts: bytes) -> bytes:
    """A file as torch writes it, with this pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        for name, content in {"data.pkl": table, "data/0": data, **parts}.items():
            out.writestr(f"archive/{name}", content)
    return buffer.getvalue()


def dumped(value: Any) -> bytes:
    """The instructions that build a value, to be put between others."""
    return pickle.dumps(value, 2)[2:-1]


def storage(kind: bytes = b"ctorch\nFloatStorage\n", key: Any = "0", count: Any = 16) -> bytes:
    return b"(" + dumped("storage") + kind + dumped(key) + dumped("cpu") + dumped(count) + b"tQ"


def table(of: bytes = storage(), offset: Any = 0, shape: Any = (2,), stride: Any = (1,), name: Any = "a") -> bytes:
    """The pickle of a table of one tensor."""
    arguments = of + dumped(offset) + dumped(shape) + dumped(stride)
    return b"\x80\x02}" + dumped(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tRs."


def shared(depth: int) -> bytes:
    """A tuple of two of the same tuple, so deep: its hash is that of 2**depth."""
    return b"\x80\x02}" + b")" + b"2\x86" * depth + b"Ns."


def with_items(value: bytes) -> bytes:
    """An OrderedDict whose attribute `items` is this."""
    return b"\x80\x02ccollections\nOrderedDict\n)R}" + dumped("items") + value + b"sb."


PROGRAMS: dict[str, bytes] = {
    "a key that hashes for ever": in_zip(shared(60)),
    "nested a million deep": in_zip(b"\x80\x02" + b"(" * 10**6 + b"t" * 10**6 + b"."),
    "nested ten thousand deep": in_zip(b"\x80\x02" + b"]" * 10**4 + b"a" * (10**4 - 1) + b"."),
    "a key nested ten thousand deep": in_zip(b"\x80\x02})" + b"\x85" * 10**4 + b"Ns."),
    "a million bytes a thousand times": in_zip(b"\x80\x02" + b"cbuiltins\nbytearray\n(J\x00\x00\x00\x10tR."),
    "an array of gigabytes": in_zip(b"\x80\x05\x96" + struct.pack("<Q", 8 << 30) + b"."),
    "bytes of gigabytes": in_zip(b"\x80\x05\x8e" + struct.pack("<Q", 8 << 30) + b"."),
    "a memo of gigabytes": in_zip(b"\x80\x02Nr\xff\xff\xff\x7f."),
    "a number of a million digits": in_zip(b"\x80\x02I" + b"9" * 10**6 + b"\n."),
    "a program": in_zip(b"\x80\x02cos\nsystem\n(" + dumped("true") + b"tR."),
    "a program behind a dot": in_zip(b"\x80\x04" + b"\x8c\x0bcollections\x8c\x14OrderedDict.__class__\x93."),
    "a name of its own": in_zip(b"\x80\x02ctorch._utils\n_rebuild_sparse_tensor\n."),
    "nothing": in_zip(b""),
    "a table that was changed": in_zip(table(name="a")).replace(dumped("a"), dumped("b")),
    "a locked part": in_zip(table()).replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"),
    "a list of parts that lies elsewhere": in_zip(table())[:-6] + struct.pack("<L", 1 << 31) + bytes(2),
    "a list of parts that ends early": in_zip(table())[:-10] + struct.pack("<LLH", 60, 0, 0),
    "a part that lies elsewhere": in_zip(table()).replace(b"PK\x03\x04", b"PK\x03\x05"),
    "half a table": in_zip(table()[:-9]),
    "two tables": in_zip(table(), **{"x/data.pkl": table()}),
    "numbers from the other end": in_zip(table(), byteorder=b"big"),
    "a list": in_zip(b"\x80\x02]."),
    "a number as a name": in_zip(table(name=5)),
    "a tensor of words": in_zip(table(of=dumped("words"))),
    "an offset below 0": in_zip(table(offset=-1)),
    "an offset that is a text": in_zip(table(offset="1")),
    "an offset outside": in_zip(table(offset=15)),
    "a shape of fractions": in_zip(table(shape=(1.5,))),
    "a shape that is a number": in_zip(table(shape=2)),
    "a shape outside": in_zip(table(shape=(17,))),
    "a shape without steps": in_zip(table(stride=())),
    "a step outside": in_zip(table(shape=(2,), stride=(16,))),
    "one number a million times": in_zip(table(shape=(10**6,), stride=(0,))),
    "a kind of its own": in_zip(table(of=storage(kind=dumped("FloatStorage2")))),
    "whole numbers": in_zip(table(of=storage(kind=b"ctorch\nLongStorage\n"))),
    "numbers that are not there": in_zip(table(of=storage(key="1"))),
    "numbers by a number": in_zip(table(of=storage(key=0))),
    "fewer numbers than it says": in_zip(table(shape=(9,)), data=bytes(32)),
    "what is no storage": in_zip(b"\x80\x02" + dumped(("x", 1)) + b"Q."),
}


LONG = ("a key that hashes for ever", "nested a million deep")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [one if one not in LONG else pytest.param(one, marks=pytest.mark.slow) for one in PROGRAMS]
)
def test_whatever_a_file_does_is_one_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(PROGRAMS[name])
    forget_peak()
    before, started = peak(), time.monotonic()
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin.*refused it.*take the model's safetensors") as said:
        open_file(path)
    assert len(str(said.value)) <= 400 and peak() - before < 50 << 20
    assert time.monotonic() - started < bin_file.PATIENCE


def test_the_same_file_made_honestly_opens(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(in_zip(with_items(dumped(5))))  # an attribute that nobody asks for
    assert open_file(path) == {}
    path.write_bytes(in_zip(table(offset=14), data=struct.pack("<16f", *range(16)), byteorder=b"little"))
    assert open_file(path)["a"].load(torch.float32).tolist() == [14, 15]


@pytest.mark.parametrize("write", [as_zip, as_legacy])
def test_every_plain_tensor_comes_as_it_was_written(tmp_path: Path, write: Any) -> None:
    weights = torch.arange(24.0).view(4, 6)
    odd = {"turned": weights.T, "cut": weights[1:3, ::2], "kept": torch.nn.Parameter(weights), "again": weights}
    ordered: Any = OrderedDict(STATE | odd)
    ordered._metadata = {"": {"version": 1}}
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(write(ordered))
    stored = open_file(path)
    assert list(stored) == list(ordered)
    for name, tensor in ordered.items():
        assert stored[name].shape == tuple(tensor.shape) and stored[name].dtype == tensor.dtype
        assert stored[name].load(tensor.dtype).equal(tensor) and stored[name].load(tensor.dtype).is_contiguous()
        assert stored[name].load(torch.float32).equal(tensor.float())
    stored["kept"].load(torch.float32).zero_()  # is not written back
    path.read_bytes()
    assert open_file(path)["kept"].load(torch.float32).equal(weights)


@pytest.mark.parametrize("large", [False, True])
def test_a_zip_is_read_as_the_library_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool) -> None:
    path = tmp_path / "pytorch_model.bin"
    if large:  # what four bytes cannot hold stands elsewhere; here, that is all above 20
        monkeypatch.setattr("zipfile.ZIP64_LIMIT", 20)
    with zipfile.ZipFile(path, "w") as out:
        for name, content in {"a/data.pkl": table(), "a/é": b"", "a/data/0": bytes(range(64)), "a/b": bytes(9)}.items():
            out.writestr(name, content)
        out.comment = b"PK\x05 said"
    assert (b"PK\x06\x06" in path.read_bytes()) == large
    with path.open("rb") as file, zipfile.ZipFile(path) as archive:
        parts = bin_process.parts_of(file)
        assert list(parts) == archive.namelist()
        for each in archive.infolist():
            assert parts[each.filename][1:] == (each.file_size, each.CRC)
            assert bin_process.content(file, *parts[each.filename]) == archive.read(each)
    assert open_file(path)["a"].load(torch.float32).tolist() == list(struct.unpack("<2f", bytes(range(8))))


def test_the_process_loads_little() -> None:
    """Each of these takes longer to load than a file to be followed, and whoever opens one waits."""
    where = str(Path(bin_process.__file__).parent)
    program = f"import sys; sys.path.append({where!r}); import bin_process; print(sorted(sys.modules))"
    loaded = ast.literal_eval(subprocess.check_output(["python3", "-I", "-S", "-c", program], text=True))
    assert "bin_process" in loaded
    dear = {"zipfile", "json", "typing", "re", "contextlib", "pathlib", "struct", "collections", "functools", "types"}
    assert not dear & set(loaded)


def test_the_wait_for_the_process_is_used(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "pytorch_model.bin")
    done: list[str] = []
    assert set(open_folder(tmp_path, lambda: done.append("done"))) == set(STATE)
    assert done == ["done"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there are no such limits")
def test_the_process_has_bounds(tmp_path: Path) -> None:
    """Without them the tests above would take all the memory, or end for other reasons."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    (tmp_path / "x.py").write_text(
        f"import sys; sys.path[:0] = [{str(Path(bin_process.__file__).parent)!r}]\n"
        "import bin_process, resource; bin_process.limit()\n"
        "print([resource.getrlimit(each)[0] for each in (resource.RLIMIT_AS, resource.RLIMIT_CPU)])"
    )
    done = subprocess.run(["python3", tmp_path / "x.py"], capture_output=True, text=True)
    assert ast.literal_eval(done.stdout) == [bin_process.BYTES, bin_process.SECONDS]
    assert resource.getrlimit(resource.RLIMIT_AS) == before


@pytest.mark.parametrize(
    "program",
    [
        "",
        "import os; os.abort()",
        pytest.param("while True: print('x' * 10**6)", marks=pytest.mark.slow),
        pytest.param("import time; time.sleep(60)", marks=pytest.mark.slow),
    ],
)
def test_a_process_that_says_nothing_or_too_much_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    path, script = tmp_path / "pytorch_model.bin", tmp_path / "script.py"
    path.write_bytes(as_zip(STATE))
    script.write_text(program)
    monkeypatch.setattr(bin_process, "__file__", str(script))
    monkeypatch.setattr(bin_file, "PATIENCE", 0.5)
    with pytest.raises(CheckpointError, match="took more time or memory than any honest file does"):
        open_file(path)


def test_a_process_that_cannot_be_started_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(as_zip(STATE))
    monkeypatch.setattr("sys.executable", str(tmp_path / "none"))
    with pytest.raises(CheckpointError, match="cannot start the process that looks into"):
        open_file(path)


def test_an_answer_that_is_no_table_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(as_zip(STATE))
    monkeypatch.setattr(bin_file, "_ask", lambda paths, meanwhile: b"[]\n")
    with pytest.raises(CheckpointError, match="refused it"):
        open_file(path)


def test_what_fails_meanwhile_is_said_as_it_is(tmp_path: Path) -> None:
    def fail() -> None:
        raise RuntimeError("no memory for the model")

    torch.save(STATE, tmp_path / "pytorch_model.bin")
    with pytest.raises(RuntimeError, match="no memory for the model"):
        open_folder(tmp_path, fail)


def test_a_file_that_became_shorter_is_said(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(as_zip(STATE))
    stored = open_file(path)
    path.write_bytes(path.read_bytes()[:10])
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin changed while it was read; open it again"):
        stored["whole"].load(torch.float32)


def test_a_folder_is_converted_to_safetensors(tmp_path: Path) -> None:
    weights = torch.arange(6.0).view(2, 3)
    torch.save({"a.weight": weights, "lm_head.weight": weights, "b": weights.T}, tmp_path / "pytorch_model.bin")
    written = convert(tmp_path)
    assert [path.name for path in written] == ["model.safetensors"]
    (tmp_path / "pytorch_model.bin").unlink()
    stored = open_folder(tmp_path)
    assert stored["a.weight"].load(torch.float32).equal(weights) and stored["b"].load(torch.float32).equal(weights.T)
    assert stored["lm_head.weight"].load(torch.float32).equal(weights)
    with pytest.raises(CheckpointError, match=r"holds model\.safetensors already"):
        convert(tmp_path)


@pytest.mark.parametrize("fault", [OSError("gone"), ValueError("too short"), RuntimeError("no memory")])
def test_a_file_that_changes_after_it_was_followed_is_one_error(tmp_path: Path, fault: Exception) -> None:
    def pages() -> Any:
        raise fault

    path, place = tmp_path / "pytorch_model.bin", bin_file.Place(torch.float32, 0, 16, 0, (4,), (1,))
    with pytest.raises(CheckpointError, match=f"{fault}; load again"):
        tensor_file._bin_loader(path, place, None, pages)(torch.float32)
    path.write_bytes(bytes(8))
    with pytest.raises(CheckpointError, match="the file became shorter; load again"):
        tensor_file._bin_loader(path, place, None, pages)(torch.float64)


SHARDS = [f"pytorch_model-0000{i}-of-00003.bin" for i in (1, 2, 3)]


def in_shards(folder: Path) -> None:
    """A folder of three shards with a tensor each."""
    for i, name in enumerate(SHARDS):
        torch.save({f"{i}.weight": torch.full((2, 3), float(i))}, folder / name)
    weight_map = {f"{i}.weight": name for i, name in enumerate(SHARDS)}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_one_process_follows_all_files_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_shards(tmp_path)
    started: list[Any] = []
    popen = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda program, **named: started.append(program) or popen(program, **named)
    )
    stored = open_folder(tmp_path)
    assert len(started) == 1
    assert [stored[f"{i}.weight"].load(torch.float32).unique().tolist() for i in range(3)] == [[0], [1], [2]]


@pytest.mark.parametrize("name", ["a program", pytest.param("a key that hashes for ever", marks=pytest.mark.slow)])
def test_the_error_names_the_file_that_the_process_refused_or_died_of(tmp_path: Path, name: str) -> None:
    in_shards(tmp_path)
    (tmp_path / SHARDS[1]).write_bytes(PROGRAMS[name])
    with pytest.raises(CheckpointError, match=rf"expected plain tensors in \S*{SHARDS[1]}, but the restricted loader"):
        open_folder(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there are no such limits")
def test_each_file_has_as_much_time(tmp_path: Path) -> None:
    """Seconds of computing that were used for one file are not missing for the next."""
    (tmp_path / "x.py").write_text(
        f"import sys; sys.path[:0] = [{str(Path(bin_process.__file__).parent)!r}]\n"
        "import bin_process, resource; used = type('', (), {'ru_utime': 1.5, 'ru_stime': 1.6})\n"
        "resource.getrusage = lambda who: used\n"
        "bin_process.limit(3); bin_process.more_time(); print(resource.getrlimit(resource.RLIMIT_CPU))"
    )
    done = subprocess.run(["python3", tmp_path / "x.py"], capture_output=True, text=True)
    seconds = bin_process.SECONDS
    assert ast.literal_eval(done.stdout) == (3 + seconds, 3 * seconds + 1)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system does not say the most memory held")
@pytest.mark.parametrize("turned", [False, True])
def test_an_honest_file_takes_the_memory_of_its_weights(tmp_path: Path, turned: bool) -> None:
    """Cast, a tensor of 96 MB: without its file's pages, which are 48 MB."""
    weights = torch.ones(6_000, 4_000, dtype=torch.float16)
    small = {f"{i}": torch.ones(500, 4_000, dtype=torch.float16) for i in range(12)}
    torch.save({"a": weights.T if turned else weights, **small}, tmp_path / "pytorch_model.bin")
    del weights, small
    stored = open_file(tmp_path / "pytorch_model.bin")
    forget_peak()
    before = peak()
    held = {name: each.load(torch.float32) for name, each in stored.items()}
    total = sum(tensor.nbytes for tensor in held.values())
    assert peak() - before < 1.15 * total
