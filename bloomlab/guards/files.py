"""Reading small JSON files that cannot be trusted, and writing files whole or not at all."""

import contextlib
import errno
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError

from bloomlab.errors import BloomlabError, InputError, shorten, shorten_path
from bloomlab.guards.memory import check_memory
from bloomlab.guards.uninterrupted import interrupts_wait

MANY_VALUES, MOST_VALUES = 100_000, 2_000_000  # in a file of JSON; BLOOM's tokenizer.json has a million
BYTES_OF_A_VALUE = 250  # in memory, at most: a name in a dictionary, with its number


def read_json(path: Path, limit: int, error: type[BloomlabError]) -> dict[str, Any]:
    """The dictionary in a JSON file of at most `limit` bytes.

    Raises:
        error: there is no such file, it is too long, it is not JSON, or it does not hold a dictionary.
        MemoryLimitError: what it holds would not fit.
    """
    values = parse_json(read_bytes(path, limit, error), shorten_path(path), limit, error)
    if not isinstance(values, dict):
        kind = type(values).__name__
        raise error(f"expected a JSON object {{…}} in {shorten_path(path)}, but it holds a {kind}; fetch it again")
    return values


def read_bytes(path: Path, limit: int, error: type[BloomlabError]) -> bytes:
    """What is in a file of at most `limit` bytes.

    Raises:
        error: there is no such file, it is too long, or it may not be read.
    """
    with saying_why_unread(path, error):
        if not path.is_file():
            raise error(f"expected a file {shorten_path(path)}, but there is none; check the folder's name")
        size = path.stat().st_size
        if size > limit:
            raise error(
                f"expected {shorten_path(path)} to have at most {limit} bytes, but it has {size}; fetch it again"
            )
        return path.read_bytes()


@contextmanager
def saying_why_unread(path: Path, error: type[BloomlabError]) -> Iterator[None]:
    """Say in one sentence why a file or a folder cannot be read.

    Raises:
        error: it is gone, or may not be read.
    """
    try:
        yield
    except BloomlabError:
        raise
    except OSError as reason:
        why = reason.strerror or str(reason)[:160]
        raise error(f"cannot read {shorten_path(path)}: {why}; check who may read it") from None


def parse_json(data: bytes, where: str, limit: int, error: type[BloomlabError]) -> Any:
    """What is in so many bytes of JSON, once it is sure how much memory it can take.

    A value of two bytes, such as [], takes many times that in memory; so values are counted before they are made.

    >>> parse_json(b'{"a": [1, 2]}', "a text", 100, InputError)
    {'a': [1, 2]}

    Raises:
        error: it is too long, holds too many values, is not JSON, or names something twice.
        MemoryLimitError: what it holds would not fit.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            names = sorted(name for name, _ in pairs)
            twice = next(a for a, b in itertools.pairwise(names) if a == b)
            raise error(f"{where} names {shorten(twice)} twice; keep one of them")
        return values

    if len(data) > limit:
        raise error(f"expected {where} to have at most {limit} bytes, but it has {len(data)}; fetch it again")
    count = sum(map(data.count, (b",", b"[", b"{")))  # at least as many as there are values, and quick to find
    if count > MOST_VALUES:
        raise error(f"expected at most {MOST_VALUES:,} values in {where}, but it has about {count:,}; fetch it again")
    if count > MANY_VALUES:
        check_memory(len(data) + count * BYTES_OF_A_VALUE, where, "end other programs first")
    start = data[:512]
    try:
        text = data.decode("utf-8-sig")
        del data  # so that it is not in memory three times
        return json.loads(text, object_pairs_hook=unique)
    except UnicodeDecodeError as reason:
        raise error(f"expected UTF-8 text in {where}, but byte {reason.start} is not; fetch it again") from None
    except RecursionError:
        raise error(f"expected JSON in {where}, but it is nested too deep; fetch it again") from None
    except BloomlabError:
        raise
    except ValueError as reason:  # not JSON, or a number of thousands of digits
        why = what_it_is(start) or str(reason)[:120]
        raise error(f"expected JSON in {where}, but {why}; fetch it again") from None


class Version(NamedTuple):
    """What tells a file from another that is written in its place."""

    number: int
    size: int
    written: int


def version(path: Path) -> Version | None:
    """The version of a file that is there now; None if there is none."""
    try:
        about = path.stat()
    except OSError:
        return None
    return Version(about.st_ino, about.st_size, about.st_mtime_ns)


def versions(paths: Iterable[Path]) -> dict[Path, Version | None]:
    """The versions of several files."""
    return {path: version(path) for path in paths}


def check_unchanged(path: Path, seen: Version | None, error: type[BloomlabError]) -> None:
    """Refuse a file that is no longer the one that was seen.

    Raises:
        error: it was written to, replaced or removed.
    """
    if version(path) != seen:
        raise error(f"{shorten_path(path)} changed while it was read; open it again")


def what_it_is(start: bytes) -> str:
    """What a file really is, judged by its first bytes, if its name is misleading; "" when unknown.

    >>> what_it_is(b"version https://git-lfs.github.com/spec/v1")
    'it is a Git LFS pointer, a note that stands for the real file'
    """
    head = start[:512].lstrip().lower()
    if not start:
        return "the file is empty"
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, a note that stands for the real file"
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "it is a web page"
    return ""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A draft to write to. It becomes `path` if all goes well; otherwise nothing has changed.

    Raises:
        InputError: the folder is missing, full or read-only, or the name belongs to a folder.

    >>> with replacing(Path(tempfile.gettempdir()) / "bloomlab-example.txt") as draft:
    ...     _ = draft.write_text("whole or not at all")
    """
    with saying_why_not(path), _draft(path) as draft:
        yield draft
        _put(draft, path)


@contextmanager
def replacing_all(folder: Path, then: Callable[[], None] = lambda: None) -> Iterator[Callable[[str], Path]]:
    """Drafts to write to, by name, of files that belong together. If all goes well, they become the files of these
    names at the end, in the order in which they were asked for, and `then()` is called; otherwise nothing has changed.

    Between two of the moves lie some millionths of a second, in which the program can be killed; so the order matters.
    Of several programs that do this in one folder, one is let in at a time.

    Raises:
        InputError: the folder is missing, full or read-only, or a name belongs to a folder.

    >>> with replacing_all(Path(tempfile.gettempdir())) as draft:
    ...     for name in ("bloomlab-a.txt", "bloomlab-b.txt"):
    ...         _ = draft(name).write_text("both or neither")
    """
    moves: list[tuple[Path, Path]] = []
    with saying_why_not(folder), _one_at_a_time(folder), ExitStack() as drafts:

        def draft(name: str) -> Path:
            path = folder / name
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, f"{shorten(name)} is a folder")
            moves.append((drafts.enter_context(_draft(path)), path))
            return moves[-1][0]

        yield draft
        with interrupts_wait():
            for made, path in moves:
                _put(made, path)
            then()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for files of a moment.

    Raises:
        InputError: there is no room for one.
    """
    with ExitStack() as opened:
        try:
            folder = opened.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        except OSError as error:
            raise InputError(
                f"cannot make a temporary folder: {(error.strerror or str(error)).lower()}; make room for one, or name "
                "another place in TMPDIR"
            ) from None
        yield Path(folder)


@contextmanager
def _draft(path: Path) -> Iterator[Path]:
    """A new file beside `path`, which is gone at the end unless it has been moved."""
    # a long name has no room for more letters
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    draft = Path(name)
    try:
        yield draft
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def _put(draft: Path, path: Path) -> None:
    """Move a draft into its place, with the permissions of the file that was there."""
    draft.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
    draft.replace(path)


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Wait until no other program is here. A program that ends, or is killed, is no longer here."""
    place = -1
    try:
        with contextlib.suppress(ImportError, OSError):  # a system without such locks
            import fcntl

            place = os.open(folder, os.O_RDONLY)
            fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        if place >= 0:
            os.close(place)


@contextmanager
def saying_why_not(path: Path) -> Iterator[None]:
    """Say in one sentence why a file cannot be written.

    Raises:
        InputError: the folder is missing, full or read-only, or the name belongs to a folder.
    """
    try:
        yield
    except BloomlabError:
        raise
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:  # a NUL in the name; torch's; safetensors'
        why = (getattr(error, "strerror", None) or str(error)).strip()[:160].lower()
        raise InputError(
            f"cannot write {shorten_path(path)}: {why}; name a folder that is there, has room and is yours to write to"
        ) from None


def make_folder(path: Path) -> None:
    """Make a folder, and those it is in, unless it is there.

    Raises:
        InputError: it cannot be made.
    """
    with saying_why_not(path):
        path.mkdir(parents=True, exist_ok=True)


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a dictionary as JSON that people can read, whole or not at all."""
    with replacing(path) as draft:
        draft.write_bytes(json_bytes(values))


def json_bytes(values: dict[str, Any]) -> bytes:
    r"""A dictionary as a file of JSON that people can read.

    >>> json_bytes({"é": "\ud800"})  # half a character has no bytes, so all of them are written in letters
    b'{\n  "\\u00e9": "\\ud800"\n}\n'
    """
    try:
        return json.dumps(values, indent=2, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(values, indent=2).encode() + b"\n"


def _umask() -> int:
    """The permissions that new files do not get (it can only be read by setting it for a moment)."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
