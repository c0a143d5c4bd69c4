"""A .bin file: a pickle, which can be a program. Another process follows it, within bounds, and says where tensors lie;
one process for all files of a folder, since to start it takes longer than to follow a file.

What that process says is read as data and checked; the numbers themselves are memory-mapped here.
"""

import math
import mmap
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bloomlab.errors import CheckpointError, shorten, shorten_path
from bloomlab.guards.files import Version, check_unchanged, parse_json
from bloomlab.weights import bin_process

PATIENCE = 30  # seconds on the clock; the process has less to compute in
MAX_ANSWER = 16 << 20  # bytes
DTYPES = {
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
}


class Place(NamedTuple):
    """Where a tensor lies in a file: the first byte of its storage and how many it has; then as torch counts."""

    dtype: torch.dtype
    start: int
    held: int
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def first(self) -> int | None:
        """The byte at which its numbers begin, if they lie one after the other."""
        steps = [math.prod(self.shape[axis + 1 :]) for axis in range(len(self.shape))]
        in_a_row = all(n == 1 or have == step for n, have, step in zip(self.shape, self.stride, steps, strict=True))
        return self.start + self.offset * self.dtype.itemsize if in_a_row else None


def places(paths: Sequence[Path], meanwhile: Callable[[], object] | None = None) -> list[dict[str, Place]]:
    """The tensors in each of these .bin files, which are in one folder, by name.

    What there is to do `meanwhile` is done while the other process looks.

    Raises:
        CheckpointError: one holds something other than plain tensors, or cannot be followed within bounds.
    """
    *lines, _ = _ask(paths, meanwhile).split(b"\n")  # what a process that dies says last is cut
    found = []
    for path, line in zip_longest(paths, lines[: len(paths)]):
        if line is None:
            raise _refused(path, "following it took more time or memory than any honest file does")
        answer = parse_json(line, f"the table of {shorten_path(path)}", MAX_ANSWER, CheckpointError)
        if not isinstance(answer, dict) or not isinstance(answer.get("tensors"), list):
            raise _refused(path, str(answer.get("refused") if isinstance(answer, dict) else ""))
        size = path.stat().st_size
        found.append(dict(_checked(path, size, *said) for said in answer["tensors"]))
    return found


def _checked(
    path: Path, size: int, name: str, kind: str, start: int, held: int, offset: int, shape: Any, stride: Any
) -> tuple[str, Place]:
    """The name of a tensor and its place, which must lie inside its storage and the file."""
    if kind not in DTYPES:
        raise _refused(path, f"{shorten(name)} has numbers of type {kind.removesuffix('Storage')}")
    place, count = Place(DTYPES[kind], start, held, offset, tuple(shape), tuple(stride)), math.prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True)) if count else -1
    if start + held > size or max(last + 1, count) * place.dtype.itemsize > held:  # a stride may be 0
        raise _refused(path, f"{shorten(name)} of shape {shorten(place.shape)} is more than its {held} bytes")
    return name, place


def tensor(place: Place, target: torch.dtype, pages: Callable[[], mmap.mmap]) -> Tensor:
    """A tensor; `pages` gives the file's bytes, mapped.

    Raises:
        RuntimeError, ValueError: they are fewer than they were.
    """
    if not math.prod(place.shape):
        return torch.empty(place.shape, dtype=target)
    count = place.held // place.dtype.itemsize
    flat = torch.frombuffer(pages(), dtype=place.dtype, count=count, offset=place.start)
    found = flat.as_strided(place.shape, place.stride, place.offset)
    if target == place.dtype and place.start % place.dtype.itemsize == 0:
        return found.contiguous()
    return found.to(target, memory_format=torch.contiguous_format, copy=True)


def mapped(path: Path, seen: Version | None) -> Callable[[], mmap.mmap]:
    """The file's bytes, mapped once, when they are first needed: a page is read when it is used, and never written."""
    return cache(partial(_map, path, seen))


def _map(path: Path, seen: Version | None) -> mmap.mmap:
    with path.open("rb") as file:
        check_unchanged(path, seen, CheckpointError)
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def _ask(paths: Sequence[Path], meanwhile: Callable[[], object] | None) -> bytes:
    """What the other process says: a line for each file."""
    where, name = os.path.split(bin_process.__file__)
    # imported, and not run as a file, for which Python would compile it each time
    start = "import sys; sys.path.append(sys.argv[1]); __import__(sys.argv[2]).main(*sys.argv[3:])"
    files = [os.fspath(paths[0].parent.absolute()), *(path.name for path in paths)]
    program = [sys.executable, "-I", "-S", "-c", start, where, name.removesuffix(".py"), *files]
    try:
        process = subprocess.Popen(program, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"cannot start the process that looks into {shorten_path(paths[0])}: {str(error)[:120]}; "
            "end other programs first"
        ) from None
    try:
        if meanwhile:
            meanwhile()
        return _said_by(process)
    finally:
        process.kill()
        with process:  # waits, and closes the pipe
            pass


def _said_by(process: "subprocess.Popen[bytes]") -> bytes:
    """All that a process says; nothing if it says too much, or takes too long. No thread waits: one needs memory."""
    if os.name == "nt" or process.stdout is None:  # there, pipes cannot be waited for
        try:
            return process.communicate(timeout=PATIENCE)[0]
        except subprocess.TimeoutExpired:
            return b""
    said, until = bytearray(), time.monotonic() + PATIENCE
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(max(0.0, until - time.monotonic())):
            part = os.read(process.stdout.fileno(), 1 << 16)
            said += part
            if not part:
                return bytes(said)
            if len(said) > MAX_ANSWER:
                break
    return b""


def _refused(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"expected plain tensors in {shorten_path(path)}, but the restricted loader refused it: {shorten(why, 120)}; "
        "take the model's safetensors, or fetch the file again"
    )
