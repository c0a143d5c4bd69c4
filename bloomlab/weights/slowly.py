"""A model that is larger than the memory: its weights stay in their file, and every pass reads them from the disk.

The system keeps what it has room for and reads the rest again when it is used. Nothing else changes; it only takes as
long as the disk does, which is said before, from the disk's own measured speed.
"""

import mmap
import os
import time
import warnings
from collections.abc import Iterable
from pathlib import Path

from bloomlab.errors import InputError
from bloomlab.guards.memory import free_bytes, gigabytes

SAMPLE = 1 << 26  # bytes that are read to learn the disk's speed
HINT = "allow='slow' opens it all the same and reads it from the disk in every pass"
OTHERWISE = "dtype='auto' with "  # where the files have another dtype, so that weights could not stay in them


def checked(allow: object) -> bool:
    """Whether a model larger than the memory may be opened.

    Raises:
        InputError: `allow` is neither None nor "slow".
    """
    if allow not in (None, "slow"):
        raise InputError(f"allow must be 'slow' or left out, but got {str(allow)[:40]!r}")
    return allow == "slow"


def expect(size: int, files: Iterable[Path]) -> None:
    """Say, as a warning, how long a pass over so many bytes of these files will take; nothing if they fit."""
    free = free_bytes()
    if free is None or size <= free:
        return
    speed = disk_speed(max(files, key=lambda path: path.stat().st_size))
    warnings.warn(
        f"a model of {gigabytes(size)} in {gigabytes(free)} of memory: its weights stay in their file, and a pass "
        f"reads most of them from the disk, which gives {gigabytes(int(speed))} a second here: about "
        f"{size / speed:,.0f} s a pass, and as long once more before the first trace, to tell which weights these are",
        stacklevel=3,
    )


def disk_speed(path: Path) -> float:
    """Bytes a second that come from the disk: a piece in the middle of a file, after the system was told to drop it."""
    size = path.stat().st_size
    length = min(SAMPLE, size)
    start = (size - length) // 2 // mmap.PAGESIZE * mmap.PAGESIZE
    with path.open("rb", buffering=0) as file:
        if hasattr(os, "posix_fadvise"):  # Linux
            os.posix_fadvise(file.fileno(), start, length, os.POSIX_FADV_DONTNEED)
        file.seek(start)
        began, left = time.perf_counter(), length
        while left > 0 and (read := len(file.read(min(left, 1 << 22)))):
            left -= read
    return length / max(1e-9, time.perf_counter() - began)
