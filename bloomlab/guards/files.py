"""Small JSON files that nobody vouches for, and writing that never leaves half a file behind."""

import itertools
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bloomlab.errors import BloomlabError, InputError


def read_json(path: Path, limit: int, error: type[BloomlabError]) -> dict[str, Any]:
    """The dictionary in a JSON file of at most `limit` bytes.

    Raises:
        error: there is no such file, it is too long, it is not JSON, or it does not hold a dictionary.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            names = sorted(name for name, _ in pairs)
            twice = next(a for a, b in itertools.pairwise(names) if a == b)
            raise error(f"{path} names {shorten(twice)} twice; keep one of them")
        return values

    if not path.is_file():
        raise error(f"expected a file {path}, but there is none; check the folder's name")
    size = path.stat().st_size
    if size > limit:
        raise error(f"expected {path} to have at most {limit} bytes, but it has {size}; fetch it again")
    try:
        data = path.read_bytes()
        values = json.loads(data.decode("utf-8-sig"), object_pairs_hook=unique)
    except BloomlabError:
        raise
    except OSError as reason:
        raise error(f"cannot read {path}: {reason.strerror}") from None
    except UnicodeDecodeError as reason:
        raise error(f"expected UTF-8 text in {path}, but byte {reason.start} is not; fetch it again") from None
    except RecursionError:
        raise error(f"expected JSON in {path}, but it is nested too deep; fetch it again") from None
    except ValueError as reason:  # not JSON, or a number of thousands of digits
        why = what_it_is(data) or str(reason)[:120]
        raise error(f"expected JSON in {path}, but {why}; fetch it again") from None
    if not isinstance(values, dict):
        kind = type(values).__name__
        raise error(f"expected a JSON object {{…}} in {path}, but it holds a {kind}; fetch it again")
    return values


def what_it_is(start: bytes) -> str:
    """What a file really is when it is not what its name says, judged by its first bytes; "" when unknown.

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


def shorten(value: object, limit: int = 80) -> str:
    """A value for an error message: it came from a file or a person, so it may be huge."""
    try:
        text = repr(value)
    except ValueError:  # Python does not spell out numbers of thousands of digits
        text = f"a {type(value).__name__} too long to show"
    return text if len(text) <= limit else text[: limit - 1] + "…"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to; it becomes `path` if all goes well, else nothing has changed.

    >>> with replacing(Path(tempfile.gettempdir()) / "bloomlab-example.txt") as draft:
    ...     _ = draft.write_text("whole or not at all")
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    draft = Path(name)
    try:
        yield draft
        draft.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def saying_why_not(path: Path) -> Iterator[None]:
    """What is written here and cannot be is said in one sentence.

    Raises:
        InputError: the folder is missing, full or read-only, or the name is one of a folder.
    """
    try:
        yield
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise InputError(f"cannot write {path}: {why}; name a folder that is there and yours to write to") from None


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a dictionary as JSON that people can read, whole or not at all."""
    text = json.dumps(values, indent=2, ensure_ascii=False)
    with replacing(path) as draft:
        draft.write_text(text + "\n", encoding="utf-8")


def _umask() -> int:
    """The permissions new files are not given (reading it means setting it for a moment)."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
