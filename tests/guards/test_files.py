"""Small files that nobody vouches for, and writing whole or not at all."""

import os
import signal
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from bloomlab.errors import BloomlabError, CheckpointError, ConfigError, InputError, MemoryLimitError, shorten
from bloomlab.guards.files import (
    MOST_VALUES,
    check_unchanged,
    make_folder,
    parse_json,
    read_json,
    replacing,
    replacing_all,
    saying_why_not,
    version,
    write_json,
)
from bloomlab.lab import Lab
from bloomlab.tiny.snapshot import write_snapshot
from bloomlab.views.cover import Cover
from tests.tiny_random import byte_tokenizer, random_model


def test_what_is_written_is_read(tmp_path: Path) -> None:
    values = {"é": [1, None, True], "nested": {"a": 0.5}}
    write_json(tmp_path / "a.json", values)
    assert read_json(tmp_path / "a.json", 1000, CheckpointError) == values
    assert "é" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_the_error_is_of_the_kind_asked_for(tmp_path: Path) -> None:
    for kind in (CheckpointError, ConfigError):
        with pytest.raises(kind, match="expected a file"):
            read_json(tmp_path / "missing.json", 10, kind)
        with pytest.raises(kind, match="expected a file"):
            read_json(tmp_path, 10, kind)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    for error, as_said in ((KeyboardInterrupt, KeyboardInterrupt), (OSError, InputError), (InputError, InputError)):
        with pytest.raises(as_said), replacing(path) as draft:
            draft.write_text("half")
            raise error
        assert path.read_text() == "old"
    with replacing(path) as draft:
        draft.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


def test_files_that_belong_together_are_replaced_all_or_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "folder").mkdir()
    for failing in ("folder", "nul\0", "x" * 300, "none/x"):
        with pytest.raises(InputError, match=r"cannot write .*; name a folder"), replacing_all(tmp_path) as draft:
            draft("a").write_text("new")
            draft(failing).write_text("new")
        assert (tmp_path / "a").read_text() == "old" and len(list(tmp_path.iterdir())) == 2
    done = []
    with replacing_all(tmp_path, lambda: done.append((tmp_path / "b").read_text())) as draft:
        draft("a").write_text("new")
        draft("b").write_text("newer")
        assert (tmp_path / "a").read_text() == "old" and done == []
    assert (tmp_path / "a").read_text() == "new" and done == ["newer"] and len(list(tmp_path.iterdir())) == 3


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such locks")
def test_one_save_waits_for_another(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with replacing_all(tmp_path, lambda: order.append("second")) as draft:
            order.append("second begins")
            draft("a").write_text("second")

    waiting = threading.Thread(target=second)
    with replacing_all(tmp_path, lambda: order.append("first")) as draft:
        draft("a").write_text("first")
        waiting.start()
        waiting.join(0.1)
    waiting.join()
    assert order == ["first", "second begins", "second"] and (tmp_path / "a").read_text() == "second"


def test_half_a_character_is_written_in_letters_and_read_again(tmp_path: Path) -> None:
    values = {"a\ud800": "é\udfff"}
    write_json(tmp_path / "a.json", values)
    assert read_json(tmp_path / "a.json", 1000, ConfigError) == values


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert version(path) is None
    path.write_text("one")
    seen = version(path)
    check_unchanged(path, seen, CheckpointError)
    for change in (lambda: path.write_text("longer"), path.unlink):
        change()
        with pytest.raises(CheckpointError, match="a changed while it was read; open it again"):
            check_unchanged(path, seen, CheckpointError)


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_permissions_are_those_of_the_old_file_or_of_any_new_one(tmp_path: Path) -> None:
    """A temporary file is readable by its owner only; what is saved should be as readable as any file."""
    (tmp_path / "plain").write_text("")
    write_json(tmp_path / "new.json", {})
    assert (tmp_path / "new.json").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "new.json").chmod(0o640)
    write_json(tmp_path / "new.json", {"a": 1})
    assert (tmp_path / "new.json").stat().st_mode & 0o777 == 0o640


def test_a_value_in_a_message_is_never_huge() -> None:
    assert shorten("a b") == "'a b'"
    assert len(shorten("x" * 10_000)) == 80
    assert shorten(10**5000) == "a value of the type int that is too long to show"


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ConfigError, match=r"cannot read .*config\.json: Permission denied"):
        read_json(tmp_path / "config.json", 1000, ConfigError)


NAMES = {"missing": "no/such/folder.txt", "nul": "a\0b", "long": "x" * 300, "folder": "here"}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_that_no_file_can_have_is_said_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    (tmp_path / "here").mkdir()
    with pytest.raises(InputError, match=r"cannot write .*; name a folder"), replacing(tmp_path / name) as draft:
        draft.write_text("new")
    assert [each.name for each in tmp_path.iterdir()] == ["here"]
    with pytest.raises(InputError, match="cannot write"):
        make_folder(tmp_path / "here" / ("y" * 300))


class FullDisk:
    """Every file of this process ends here, as on a disk that has become full."""

    def __enter__(self) -> None:
        import resource

        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, self.before[1]))

    def __exit__(self, *_: object) -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)
        signal.signal(signal.SIGXFSZ, self.handler)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="there is no such limit")
def test_a_save_on_a_full_disk_is_one_error_and_leaves_the_old_file(tmp_path: Path) -> None:
    lab = Lab(random_model(), byte_tokenizer())
    trace, view, cover = lab.trace("Leo"), lab.attention("Leo"), Cover("How many?", 3)
    saves: dict[str, Callable[[], object]] = {
        "trace.safetensors": lambda: trace.save(tmp_path / "trace.safetensors"),
        "page.html": lambda: view.save(tmp_path / "page.html"),
        "picture.png": lambda: view.save(tmp_path / "picture.png"),
        "picture.svg": lambda: view.save(tmp_path / "picture.svg"),
        "cover.html": lambda: cover.save(tmp_path / "cover.html"),
        "model.safetensors": lambda: lab.model.save_pretrained(tmp_path),
        "tokenizer.json": lambda: lab.tokenizer.save_pretrained(tmp_path),
        "snapshot": lambda: write_snapshot(dict(lab.model.named_parameters()), tmp_path / "snapshot"),
    }
    for save in saves.values():
        save()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for name, save in saves.items():
        with pytest.raises(BloomlabError, match=r"cannot write .*; name a folder"), FullDisk():
            save()
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before, name


def test_a_place_that_cannot_be_written_to_is_said_with_the_next_step(tmp_path: Path) -> None:
    for number, says in ((30, "read-only file system"), (28, "no space left on device"), (13, "permission denied")):
        with (
            pytest.raises(InputError, match=f"cannot write .*x: {says}; name a folder"),
            saying_why_not(tmp_path / "x"),
        ):
            raise OSError(number, os.strerror(number))


@pytest.mark.slow
@pytest.mark.parametrize("unit", [b"[]", b"{}", b'"a"', b'{"a":0}'])
def test_values_are_counted_before_they_are_made(unit: bytes) -> None:
    """A file within its limit of bytes would take many times that in memory."""
    data = b"[" + b",".join([unit] * (MOST_VALUES + 1)) + b"]"
    with pytest.raises(InputError, match="expected at most 2,000,000 values in a text"):
        parse_json(data, "a text", len(data), InputError)


def test_values_that_do_not_fit_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"[" + b"0," * 200_000 + b"0]"
    assert len(parse_json(data, "a text", len(data), InputError)) == 200_001
    monkeypatch.setattr("bloomlab.guards.memory.free_bytes", lambda: 10_000_000)
    with pytest.raises(MemoryLimitError, match=r"a text needs 50.4 MB, but 10.0 MB are free here"):
        parse_json(data, "a text", len(data), InputError)


@pytest.mark.slow
def test_a_text_is_not_in_memory_three_times(tmp_path: Path) -> None:
    size = 20_000_000
    (tmp_path / "a.json").write_bytes(b'{"a": "' + b"x" * size + b'"}')
    tracemalloc.start()
    try:
        assert len(read_json(tmp_path / "a.json", 2 * size, InputError)["a"]) == size
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size < most < 2.1 * size


def test_a_text_of_too_many_bytes_is_not_parsed() -> None:
    with pytest.raises(ConfigError, match="to have at most 5 bytes, but it has 6; fetch it again"):
        parse_json(b"[1, 2]", "a text", 5, ConfigError)
