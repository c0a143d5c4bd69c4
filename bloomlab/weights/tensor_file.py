"""One file of weights: what is in it, and how to read it without trusting it.

A safetensors file starts with its table of contents, so everything about it is known before any memory is
used. A .bin file is a pickle, which could contain a program: bin_file.py has another process look into it.
"""

import math
import mmap
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bloomlab.errors import CheckpointError, shorten, shorten_path
from bloomlab.guards.files import Version, check_unchanged, parse_json, saying_why_unread, version, what_it_is
from bloomlab.weights import bin_file

DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}
MAX_HEADER = 1 << 20  # bytes; 70 blocks need 0.1 MB
LARGE = 1 << 24  # numbers in a tensor whose file pages are given back while it is read
CHUNK = 1 << 23  # numbers read at a time when they are cast; fewer are slower
SMALL = 1 << 20  # bytes of a tensor that is cast: to read so few is quicker than to map them


@dataclass(frozen=True)
class Stored:
    """A tensor in a file: everything about it, and `load(dtype)` to get it."""

    name: str
    file: Path
    shape: tuple[int, ...]
    dtype: torch.dtype
    load: Callable[[torch.dtype], Tensor]
    seen: Version | None = None  # the file as it was when it was opened
    place: int | None = None  # the byte at which its numbers begin; None if they do not lie one after the other

    def load_share(self, dtype: torch.dtype, axis: int, start: int, stop: int) -> Tensor:
        """Some of its rows (axis 0) or columns (axis 1), in memory of their own; of the file, little else is read."""
        if self.place is None or 0 in self.shape or start == stop:
            return self.load(dtype).narrow(axis, start, stop - start).clone()
        try:
            if axis == 0:
                before = start * math.prod(self.shape[1:]) * self.dtype.itemsize
                return _cast(self.file, (stop - start, *self.shape[1:]), self.dtype, self.place + before, dtype)
            return _columns(self.file, self.shape, self.dtype, self.place, dtype, start, stop)
        except OSError as error:
            why = f"{error.strerror or error}; load again"
            raise CheckpointError(f"cannot read {self.name!r} from {shorten_path(self.file)}: {why}") from None

    def check_unchanged(self) -> None:
        """Refuse numbers of a file that is no longer the one that was opened.

        Raises:
            CheckpointError: somebody has written to it.
        """
        if self.seen is not None:
            check_unchanged(self.file, self.seen, CheckpointError)


def open_file(path: Path) -> dict[str, Stored]:
    """The tensors in a .safetensors or .bin file.

    Raises:
        CheckpointError: the file is missing, broken, or holds something other than plain tensors.
    """
    return open_files([path])[path]


def open_files(paths: Sequence[Path], meanwhile: Callable[[], object] | None = None) -> dict[Path, dict[str, Stored]]:
    """The same of several files in one folder; `meanwhile` is called if there is something to wait for.

    Raises:
        CheckpointError: a file is missing, broken, or holds something other than plain tensors.
    """
    opened: dict[Path, dict[str, Stored]] = {path: {} for path in paths}
    for path in paths:
        if not path.is_file():
            raise CheckpointError(
                f"expected a file {shorten_path(path)}, but there is none; fetch the model's files again"
            )
        with saying_why_unread(path, CheckpointError):
            with path.open("rb") as file:
                start = file.read(512)
            if strange := what_it_is(start):
                raise CheckpointError(f"expected weights in {shorten_path(path)}, but {strange}; fetch the file itself")
            if path.suffix == ".safetensors":
                opened[path] = open_safetensors(path)
    programs = [path for path in paths if path.suffix != ".safetensors"]
    return opened | (open_bins(programs, meanwhile) if programs else {})


# -- safetensors ----


def open_safetensors(path: Path) -> dict[str, Stored]:
    """The tensors in a safetensors file, from its header, which must account for every byte."""
    seen = version(path)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(MAX_HEADER, size - 8):
            raise _broken(path, f"its header would have {length} bytes, but the file has {size}")
        data = file.read(length)
    header = parse_json(data, f"the header of {shorten_path(path)}", MAX_HEADER, CheckpointError)
    if not isinstance(header, dict) or not data.startswith(b"{"):
        raise _broken(path, "its header is not a table of tensors")
    header.pop("__metadata__", None)
    entries = sorted((_entry(path, name, about) for name, about in header.items()), key=lambda each: each[3:])
    place = 0
    for name, _, _, start, stop in entries:
        if start != place:
            raise _broken(path, f"{shorten(name)} starts at byte {start} where {place} was expected")
        place = stop
    if 8 + length + place != size:
        raise _broken(path, f"its tensors end at byte {8 + length + place}, but the file at {size}")
    opened = cache(partial(_opened, path, seen))  # once for all tensors, when the first is needed
    return {
        name: Stored(
            name,
            path,
            shape,
            dtype,
            _loader(opened, path, name, shape, dtype, 8 + length + start),
            seen,
            8 + length + start,
        )
        for name, shape, dtype, start, _ in entries
    }


def _entry(path: Path, name: str, about: Any) -> tuple[str, tuple[int, ...], torch.dtype, int, int]:
    """One line of the header: name, shape, dtype, first byte, last byte + 1."""
    if not isinstance(about, dict) or not {"dtype", "shape", "data_offsets"} <= about.keys():
        raise _broken(path, f"{shorten(name)} has no dtype, shape and data_offsets")
    shape, offsets = about["shape"], about["data_offsets"]
    for numbers in (shape, offsets):
        if not isinstance(numbers, list) or not all(type(n) is int and 0 <= n < 1 << 62 for n in numbers):
            raise _broken(path, f"{shorten(name)} has sizes {shorten(numbers)}")
    if not isinstance(about["dtype"], str) or about["dtype"] not in DTYPES:
        raise _unfit(path, name, f"numbers of type {shorten(about['dtype'])}")
    dtype = DTYPES[about["dtype"]]
    if len(offsets) != 2 or offsets[1] - offsets[0] != math.prod(shape) * dtype.itemsize:
        raise _broken(path, f"{shorten(name)} of shape {shorten(shape)} cannot lie at bytes {shorten(offsets)}")
    return name, tuple(shape), dtype, offsets[0], offsets[1]


def _loader(
    opened: Callable[[], Any], path: Path, name: str, shape: tuple[int, ...], dtype: torch.dtype, start: int
) -> Callable[[torch.dtype], Tensor]:
    def load(target: torch.dtype) -> Tensor:
        try:
            return _mapped(opened(), name) if target == dtype else _cast(path, shape, dtype, start, target)
        except CheckpointError:
            raise
        except (OSError, RuntimeError, SafetensorError) as error:  # the file was whole a moment ago
            # the message has the path once more, and the reason last; torch can map only what has a text for a name
            said = shorten_path(str(error).removeprefix("Path ").replace(str(path), "").strip(), 120)
            why = f"{said}; load again, or from a folder whose name is a text"
            raise CheckpointError(f"cannot read {name!r} from {shorten_path(path)}: {why}") from None

    return load


def _opened(path: Path, seen: Version | None) -> Any:
    file = safe_open(path, "pt")
    check_unchanged(path, seen, CheckpointError)
    return file


def _mapped(file: Any, name: str) -> Tensor:
    """The tensor where it lies: pages are read when they are used, and a change to it is not written back."""
    tensor: Tensor = file.get_tensor(name)
    return tensor


def _cast(path: Path, shape: tuple[int, ...], dtype: torch.dtype, start: int, target: torch.dtype) -> Tensor:
    """The tensor in another dtype, a chunk at a time, so that it is never in memory twice."""
    tensor = torch.empty(shape, dtype=target, device="cpu")
    if not tensor.numel():
        return tensor
    flat, size = tensor.view(-1), dtype.itemsize
    if flat.numel() * size <= SMALL:
        numbers = bytearray(flat.numel() * size)
        with path.open("rb") as raw:  # buffered: it reads on after a short answer
            raw.seek(start)
            if raw.readinto(numbers) != len(numbers):
                raise OSError("the file became shorter")
        flat[:] = torch.frombuffer(numbers, dtype=dtype)
        return tensor
    before = start % mmap.ALLOCATIONGRANULARITY  # a mapping begins at a page
    length = before + flat.numel() * size
    if path.stat().st_size < start - before + length:
        raise OSError("the file became shorter")
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), length, access=mmap.ACCESS_COPY, offset=start - before) as pages,
    ):
        for first in range(0, flat.numel(), CHUNK):
            n, place = min(CHUNK, flat.numel() - first), before + first * size
            flat[first : first + n] = torch.frombuffer(pages, dtype=dtype, count=n, offset=place)
            if flat.numel() > LARGE and hasattr(mmap, "MADV_DONTNEED"):  # release what was read
                page = place - place % mmap.PAGESIZE
                pages.madvise(mmap.MADV_DONTNEED, page, place + n * size - page)
    return tensor


def _columns(
    path: Path, shape: tuple[int, ...], dtype: torch.dtype, place: int, target: torch.dtype, start: int, stop: int
) -> Tensor:
    """Some columns of a matrix, some rows at a time: the pages between them are not touched where rows are long."""
    rows, width = shape
    tensor = torch.empty(rows, stop - start, dtype=target, device="cpu")
    step = max(1, CHUNK // width)
    with path.open("rb") as file:
        for first in range(0, rows, step):
            n, begin = min(step, rows - first), place + first * width * dtype.itemsize
            before = begin % mmap.ALLOCATIONGRANULARITY  # a mapping begins at a page
            length = before + n * width * dtype.itemsize
            if path.stat().st_size < begin - before + length:
                raise OSError("the file became shorter")
            with mmap.mmap(file.fileno(), length, access=mmap.ACCESS_COPY, offset=begin - before) as pages:
                block = torch.frombuffer(pages, dtype=dtype, count=n * width, offset=before).view(n, width)
                tensor[first : first + n] = block[:, start:stop]
                del block  # a mapping with a tensor on it cannot be closed
    return tensor


# -- .bin ----


def open_bins(paths: Sequence[Path], meanwhile: Callable[[], object] | None = None) -> dict[Path, dict[str, Stored]]:
    """The tensors in .bin files of one folder, memory-mapped."""
    versions = [version(path) for path in paths]
    opened = {}
    for path, seen, inside in zip(paths, versions, bin_file.places(paths, meanwhile), strict=True):
        pages = bin_file.mapped(path, seen)
        opened[path] = {
            name: Stored(name, path, place.shape, place.dtype, _bin_loader(path, place, seen, pages), seen, place.first)
            for name, place in inside.items()
        }
    return opened


def _bin_loader(
    path: Path, place: bin_file.Place, seen: Version | None, pages: Callable[[], mmap.mmap]
) -> Callable[[torch.dtype], Tensor]:
    """How to get a tensor: where it lies, in the file's `pages`; in another dtype, by pages that are given back."""

    def load(target: torch.dtype) -> Tensor:
        try:
            if target != place.dtype and place.first is not None:
                return _cast(path, place.shape, place.dtype, place.first, target)
            return bin_file.tensor(place, target, pages if target == place.dtype else bin_file.mapped(path, seen))
        except CheckpointError:
            raise
        except (OSError, RuntimeError, ValueError) as error:  # the file was whole a moment ago
            raise CheckpointError(f"cannot read {shorten_path(path)}: {str(error)[:120]}; load again") from None

    return load


def _broken(path: Path, why: str) -> CheckpointError:
    return CheckpointError(f"{shorten_path(path)} is broken: {why}; fetch it again")


def _unfit(path: Path, name: str, got: str) -> CheckpointError:
    return CheckpointError(
        f"expected plain tensors of float16, bfloat16, float32 or float64 in {shorten_path(path)}, "
        f"but {shorten(name)} is {got}; save the model again"
    )
