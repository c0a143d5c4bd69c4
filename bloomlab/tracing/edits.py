"""Edits: functions that change a tensor at a named spot, addressed by the names of its axes.

    zero(head=3)                     switch head 3 off
    scale(0.5, pos=[0, 1])           halve two positions
    add(direction, pos=4)            steer
    mean()                           what is usual in this batch, in place of what is
    patch(clean["h.1.resid_post"], pos=4)      what another run had here

An axis that is not named is meant whole. On `pos`, `query` and `key` an index is an absolute column of the input,
padding included, so one edit means the same in a full pass and in each step of a cached generation; a column that is
not in a pass is left out there. Columns count from 0; there are no negative ones.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from bloomlab.errors import HookError, did_you_mean
from bloomlab.hooks import At

Index = int | slice | Sequence[int]


@dataclass(frozen=True)
class NamedEdit:
    """An edit that can say what it does; made by the functions of this module."""

    text: str
    change: Callable[[Tensor, At], Tensor]

    def __call__(self, tensor: Tensor, at: At) -> Tensor:
        return self.change(tensor, at)

    def __repr__(self) -> str:
        return self.text


def zero(**where: Index) -> NamedEdit:
    """Put zeros there.

    >>> zero(head=0)(torch.ones(1, 2, 1, 2), At("h.0.attn.mixed", ("batch", "head", "query", "head_dim"), 0))
    tensor([[[[0., 0.]],
    <BLANKLINE>
             [[1., 1.]]]])
    """
    return _edit("zero", where, lambda part: torch.zeros_like(part))


def scale(factor: float, **where: Index) -> NamedEdit:
    """Multiply by a number.

    >>> scale(3, pos=1)(torch.ones(1, 2, 2), At("embed", ("batch", "pos", "hidden"), 0))
    tensor([[[1., 1.],
             [3., 3.]]])
    """
    if not _is_number(factor):
        raise HookError(f"the factor of scale must be a number, but got {factor!r}")
    return _edit("scale", where, lambda part: part * factor, factor)


def add(value: float | Tensor, **where: Index) -> NamedEdit:
    """Add a number, or a tensor that fits the place (for one vector a position: its width).

    >>> add(torch.tensor([1.0, 2.0]), pos=0)(torch.zeros(1, 2, 2), At("embed", ("batch", "pos", "hidden"), 0))
    tensor([[[1., 2.],
             [0., 0.]]])
    """
    if not _is_number(value) and not isinstance(value, Tensor):
        raise HookError(f"the value of add must be a number or a tensor, but got {value!r}")
    return _edit("add", where, lambda part: part + (value.to(part) if isinstance(value, Tensor) else value), value)


def mean(**where: Index) -> NamedEdit:
    """Put the mean over the rows of the batch there. (Over positions it would look ahead.)

    >>> mean()(torch.tensor([[[1.0]], [[3.0]]]), At("embed", ("batch", "pos", "hidden"), 0)).flatten()
    tensor([2., 2.])
    """

    def change(tensor: Tensor, at: At) -> Tensor:
        place = _place(tensor, at, where)
        return _replaced(tensor, place, tensor.mean(at.axes.index("batch"), keepdim=True).expand_as(tensor)[place.here])

    return NamedEdit(_text("mean", where), change)


def patch(source: Tensor, **where: Index) -> NamedEdit:
    """Put there what `source` has there: a reading of the same spot in another run, all columns from the first.

    A source with one row serves every row.

    >>> patch(torch.tensor([[[5.0], [6.0]]]), pos=1)(torch.zeros(1, 2, 1), At("embed", ("batch", "pos", "hidden"), 0))
    tensor([[[0.],
             [6.]]])
    """

    if not isinstance(source, Tensor):
        raise HookError(f"the source of patch must be a tensor such as trace[…], but got {type(source).__name__}")

    def change(tensor: Tensor, at: At) -> Tensor:
        if source.dim() != tensor.dim():
            raise HookError(
                f"the patch at {at.name!r} needs axes {' '.join(at.axes)}, but its source is {tuple(source.shape)}"
            )
        place = _place(tensor, at, where)
        if not place.touches:
            return tensor
        there = []
        for axis, index, size, own in zip(at.axes, place.columns, source.shape, tensor.shape, strict=True):
            if axis == "batch" and size == 1:
                index = torch.zeros_like(index)
            elif axis in ("pos", "query", "key"):
                if int(index.max()) >= size:
                    raise HookError(
                        f"the patch at {at.name!r} asks for column {int(index.max())} of {axis}, "
                        f"but its source has only {size} columns; name fewer with {axis}=…"
                    )
            elif size != own:
                raise HookError(f"the patch at {at.name!r} needs {own} along {axis}, but its source has {size}")
            there.append(index.to(source.device))
        return _replaced(tensor, place, source[tuple(there)].to(tensor))

    return NamedEdit(_text("patch", where, source), change)


@dataclass(frozen=True)
class _Place:
    """The part of one pass's tensor that an edit is about: an index for each axis, shaped to span a block."""

    here: tuple[Tensor, ...]  # counted within this pass
    columns: tuple[Tensor, ...]  # the same, counted from the input's left edge

    @property
    def touches(self) -> bool:
        return all(index.numel() for index in self.here)


def _place(tensor: Tensor, at: At, where: dict[str, Index]) -> _Place:
    for axis in where:
        if axis not in at.axes:
            raise HookError(
                f"{at.name!r} has no axis {axis!r}{did_you_mean(axis, at.axes)}; it has {', '.join(at.axes)}"
            )
    here, columns = [], []
    for i, (axis, size) in enumerate(zip(at.axes, tensor.shape, strict=True)):
        first = at.column if axis in ("pos", "query") else 0
        wanted = _indices(where.get(axis, slice(None)), first + size, axis, at.name)
        shape = [-1 if j == i else 1 for j in range(tensor.dim())]
        column = torch.tensor([n for n in wanted if n >= first], dtype=torch.long, device=tensor.device).view(shape)
        here.append(column - first)
        columns.append(column)
    return _Place(tuple(here), tuple(columns))


def _indices(index: Index, end: int, axis: str, name: str) -> list[int]:
    """The wanted indices of one axis, those that this pass has."""
    if isinstance(index, slice):
        parts = [n for n in (index.start, index.stop, index.step) if n is not None]
        wanted = list(range(end)[index])
    else:
        parts = wanted = list(index) if isinstance(index, Sequence) else [index]
    if not all(_is_index(n) for n in parts):
        raise HookError(f"{axis} at {name!r} counts from 0 in whole numbers, but got {index!r}")
    beyond = [n for n in wanted if n >= end]
    if beyond and axis not in ("pos", "query", "key"):
        raise HookError(f"{axis} at {name!r} goes from 0 to {end - 1}, but got {beyond[0]}")
    return [n for n in wanted if n < end]


def check_columns(where: Mapping[str, Index], columns: int) -> None:
    """Refuse positions that a text of so many columns does not have: an edit leaves them out without a word.

    Raises:
        HookError: a named position is not in the text.
    """
    for axis, index in where.items():
        named = index if isinstance(index, Sequence) else [] if isinstance(index, slice) else [index]
        beyond = [n for n in named if _is_index(n) and n >= columns]
        if axis in ("pos", "query", "key") and beyond:
            raise HookError(
                f"the text has {columns} tokens, so {axis} goes from 0 to {columns - 1}, but got {beyond[0]}"
            )


def _replaced(tensor: Tensor, place: _Place, part: Tensor) -> Tensor:
    """A new tensor with `part` in that place."""
    return tensor.index_put(place.here, part) if place.touches else tensor


def _edit(name: str, where: dict[str, Index], new_part: Callable[[Tensor], Tensor], *args: Any) -> NamedEdit:
    def change(tensor: Tensor, at: At) -> Tensor:
        place = _place(tensor, at, where)
        part = tensor[place.here]
        for value in args:
            shape = value.shape if isinstance(value, Tensor) else ()
            if not _fits(tuple(shape), tuple(part.shape)):
                raise HookError(
                    f"{name} at {at.name!r} needs a value that fits {tuple(part.shape)} ({' '.join(at.axes)}), "
                    f"but got {tuple(shape)}"
                )
        return _replaced(tensor, place, new_part(part))

    return NamedEdit(_text(name, where, *args), change)


def _is_index(value: Any) -> bool:
    return type(value) is not bool and isinstance(value, Integral) and int(value) >= 0  # numpy's are Integral too


def _is_number(value: object) -> bool:
    return isinstance(value, Real)


def _fits(shape: tuple[int, ...], place: tuple[int, ...]) -> bool:
    """Whether a tensor of this shape can stand for every part of the place: from the right, equal or 1."""
    return len(shape) <= len(place) and all(n in (1, m) for n, m in zip(shape[::-1], place[::-1], strict=False))


def _text(name: str, where: dict[str, Index], *args: Any) -> str:
    """The edit as one would write it; a tensor by its shape."""
    shown = [f"tensor{tuple(arg.shape)}" if isinstance(arg, Tensor) else repr(arg) for arg in args]
    return f"{name}({', '.join([*shown, *(f'{axis}={index!r}' for axis, index in where.items())])})"
