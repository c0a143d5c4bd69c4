"""Reading small JSON files that cannot be trusted, and writing files whole or not at all."""

import contextlib
import itertools
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from bloomlab.errors import BloomlabError, InputError, shorten, shorten_path
from bloomlab.guards.memory import check_memory

MANY_VALUES, MOST_VALUES = 100_000, 2_000_000  # in a file of JSON; BLOOM's tokenizer.json has a million
BYTES_OF_A_VALUE = 250  # in memory, at most: a name in a dictionary, with its number


def read_json(path: Path, limit: int, error: type[BloomlabError]) -> dict[str, Any]:
    """The dictionary in a JSON file of at most `limit` bytes.

    Raises:
        error: there is no such file, it is too long, it is not JSON, or it does not hold a dictionary.
        MemoryLimitError: what it holds would not fit.
    """
    try:
        if not path.is_file():
            raise error(f"expected a file {shorten_path(path)}, but there is none; check the folder's name")
        size = path.stat().st_size
        if size > limit:
            raise error(
                f"expected {shorten_path(path)} to have at most {limit} bytes, but it has {size}; fetch it again"
            )
        data = path.read_bytes()
    except BloomlabError:
        raise
    except OSError as reason:
        raise error(f"cannot read {shorten_path(path)}: {reason.strerror}; check who may read it") from None
    values = parse_json(data, shorten_path(path), limit, error)
    if not isinstance(values, dict):
        kind = type(values).__name__
        raise error(f"expected a JSON object {{…}} in {shorten_path(path)}, but it holds a {kind}; fetch it again")
    return values


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
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=unique)
    except UnicodeDecodeError as reason:
        raise error(f"expected UTF-8 text in {where}, but byte {reason.start} is not; fetch it again") from None
    except RecursionError:
        raise error(f"expected JSON in {where}, but it is nested too deep; fetch it again") from None
    except BloomlabError:
        raise
    except ValueError as reason:  # not JSON, or a number of thousands of digits
        why = what_it_is(data) or str(reason)[:120]
        raise error(f"expected JSON in {where}, but {why}; fetch it again") from None


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
    with saying_why_not(path):
        # a long name has no room for more letters
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        draft = Path(name)
        try:
            yield draft
            draft.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
            draft.replace(path)
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)


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
    text = json.dumps(values, indent=2, ensure_ascii=False)
    with replacing(path) as draft:
        draft.write_text(text + "\n", encoding="utf-8")


def _umask() -> int:
    """The permissions that new files do not get (it can only be read by setting it for a moment)."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
