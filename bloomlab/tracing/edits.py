"""Edits: functions that change a tensor at a named spot, addressed by the names of its axes.

    zero(head=3)                     switch head 3 off
    scale(0.5, pos=[0, 1])           halve two positions
    add(direction, pos=4)            steer
    mean()                           put the mean over the batch instead of each value
    patch(clean["h.1.resid_post"], pos=4)      put the value of another run
    cut(query=7, key=3, head=5)      at attn.biased: these looks are no longer possible

An axis that is not named is changed whole. On `pos`, `query` and `key` an index is a column of the whole input,
padding included, so an edit means the same in a full pass and in each step of a cached generation; a pass that lacks
the column is left as it is. An index below 0 counts from the end, as in Python; of columns only where the whole text is
known, as in `lab.trace(text, edit=…)`: a call of the model does not know what comes later.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from typing import Any, TypeGuard, TypeVar, cast

import torch
from torch import Tensor

from bloomlab.elsewhere import axis_elsewhere
from bloomlab.errors import HookError, shorten
from bloomlab.hooks import At, Edit, Index, NamedEdit, Reading

LARGEST = 1e30  # what a number in an edit may be; a model's own are far smaller

AnyEdit = TypeVar("AnyEdit", bound=Edit)
COLUMNS = ("pos", "query", "key")
"""The axes of positions, whose indices are columns of the whole input."""


def zero(**where: Index) -> NamedEdit:
    """Replace the values with zeros.

    >>> zero(head=0)(torch.ones(1, 2, 1, 2), At("h.0.attn.mixed", ("batch", "head", "query", "head_dim"), 0))
    tensor([[[[0., 0.]],
    <BLANKLINE>
             [[1., 1.]]]])
    """
    return _edit("zero", where, torch.zeros_like, again=partial(zero))


def scale(factor: float, **where: Index) -> NamedEdit:
    """Multiply by a number.

    >>> scale(3, pos=1)(torch.ones(1, 2, 2), At("embed", ("batch", "pos", "hidden"), 0))
    tensor([[[1., 1.],
             [3., 3.]]])
    """
    if not is_number(factor):
        raise HookError(f"the factor of scale must be a number, but got {factor!r}")
    return _edit("scale", where, lambda values: values * factor, factor, again=partial(scale, factor))


def add(value: float | Tensor, **where: Index) -> NamedEdit:
    """Add a number, or a tensor that fits the values there; a vector of the spot's width is added at each position.

    >>> add(torch.tensor([1.0, 2.0]), pos=0)(torch.zeros(1, 2, 2), At("embed", ("batch", "pos", "hidden"), 0))
    tensor([[[1., 2.],
             [0., 0.]]])
    """
    if not is_number(value) and not isinstance(value, Tensor):
        raise HookError(f"the value of add must be a number or a tensor, but got {value!r}")

    def added(values: Tensor) -> Tensor:
        return values + (value.to(values) if isinstance(value, Tensor) else value)

    return _edit("add", where, added, value, again=partial(add, value))


def mean(**where: Index) -> NamedEdit:
    """Replace the values with their mean over the rows of the batch. (A mean over positions would look ahead.)

    >>> mean()(torch.tensor([[[1.0]], [[3.0]]]), At("embed", ("batch", "pos", "hidden"), 0)).flatten()
    tensor([2., 2.])
    """

    def change(tensor: Tensor, at: At) -> Tensor:
        block = _block(tensor, at, where)
        means = tensor.mean(at.axes.index("batch"), keepdim=True).expand_as(tensor)
        return _replaced(tensor, block, means[block.indices])

    return NamedEdit(_text("mean", where), change, where, again=partial(mean))


def patch(source: Tensor, columns: Index | None = None, **where: Index) -> NamedEdit:
    """Replace the values with those of `source`, a reading of the same spot in another run, from column 0 on.

    A source with one row serves every row of the batch. Of another text the positions may be others: `columns` are
    those of the source, one for each position that is named.

    >>> at = At("embed", ("batch", "pos", "hidden"), 0)
    >>> patch(torch.tensor([[[5.0], [6.0]]]), pos=1)(torch.zeros(1, 2, 1), at)
    tensor([[[0.],
             [6.]]])
    >>> patch(torch.tensor([[[5.0], [6.0]]]), columns=0, pos=1)(torch.zeros(1, 2, 1), at)
    tensor([[[0.],
             [5.]]])

    Raises:
        HookError: the source is no tensor, or there are not as many columns as positions; on use, if it does not fit.
    """

    if not isinstance(source, Tensor):
        raise HookError(f"the source of patch must be a tensor such as trace[…], but got {type(source).__name__}")
    taken = None if columns is None else _taken(columns, where)

    def change(tensor: Tensor, at: At) -> Tensor:
        if source.dim() != tensor.dim():
            raise HookError(
                f"the patch at {at.name!r} needs axes {' '.join(at.axes)}, but its source is {tuple(source.shape)}"
            )
        block = _block(tensor, at, where)
        if block.is_empty:
            return tensor
        source_indices = []
        for axis, index, size, own_size in zip(at.axes, block.columns, source.shape, tensor.shape, strict=True):
            if axis == "batch" and size == 1:
                index = torch.zeros_like(index)
            elif axis in COLUMNS:
                if taken and axis != "key":
                    index = index.clone().apply_(taken.__getitem__)
                if int(index.max()) >= size:
                    raise HookError(
                        f"the patch at {at.name!r} asks for column {int(index.max())} of {axis}, "
                        f"but its source has only {size} columns; name fewer with {axis}=…"
                    )
            elif size != own_size:
                raise HookError(f"the patch at {at.name!r} needs {own_size} along {axis}, but its source has {size}")
            source_indices.append(index.to(source.device))
        return _replaced(tensor, block, source[tuple(source_indices)].to(tensor))

    named = where if columns is None else {"columns": columns, **where}
    return NamedEdit(_text("patch", named, source), change, where, again=partial(patch, source, columns))


def _taken(columns: Index, where: Mapping[str, Index]) -> dict[int, int]:
    """For each position that a copy replaces, the column of its source."""
    sides = (where.get("pos", where.get("query")), columns)
    pairs = [list(side) if isinstance(side, Sequence) else [side] for side in sides]
    if not all(_is_column(n) for side in pairs for n in side) or len(pairs[0]) != len(pairs[1]):
        raise HookError(
            f"patch takes a column of its source for each position, such as columns=[2, 3], pos=[4, 5]; but got "
            f"columns={shorten(columns, 60)} for {shorten(dict(where), 60)}"
        )
    return dict(zip(*pairs, strict=True))


def fill(value: Tensor, **where: Index) -> NamedEdit:
    """Put the same values everywhere that they do not tell apart: an axis of `value` may have size 1.

    >>> fill(torch.tensor([[[5.0, 6.0]]]), pos=1)(torch.zeros(1, 2, 2), At("embed", ("batch", "pos", "hidden"), 0))
    tensor([[[0., 0.],
             [5., 6.]]])
    """

    def change(tensor: Tensor, at: At) -> Tensor:
        block = _block(tensor, at, where)
        if value.dim() != tensor.dim() or not _fits(tuple(value.shape), tuple(tensor.shape)):
            raise HookError(f"at {at.name!r} stands {tuple(tensor.shape)}, which {tuple(value.shape)} does not fill")
        return _replaced(tensor, block, value.to(tensor).expand_as(tensor)[block.indices])

    return NamedEdit(_text("fill", where, value), change, where, again=partial(fill, value))


def cut(**where: Index) -> NamedEdit:
    """At `attn.biased`: these looks are no longer possible. The row shares its attention out anew.

    Softmax comes after the cut, so each other key of the row gets p / (1 - the sum of what was cut), p being its share
    before, and the row still sums to 1. A query always keeps its look at itself: a row must have something to share
    out. (To lose what was cut, use zero(query=…, key=…) at `attn.probs`: then the row sums to less than 1.)

    >>> at = At("h.0.attn.biased", ("batch", "head", "query", "key"), 0)
    >>> row = torch.tensor([[[[0.5, 0.25, 0.25]]]]).log()                    # one head, one query, at column 2
    >>> cut(key=0)(row, at._replace(column=2)).softmax(-1).flatten()
    tensor([0.0000, 0.5000, 0.5000])

    Raises:
        HookError: on use, at another spot.
    """

    def change(tensor: Tensor, at: At) -> Tensor:
        if at.name.rpartition(".")[2] != "biased":
            raise HookError(
                f"cut works at attn.biased, before the softmax, but got {at.name!r}; at attn.probs use zero"
            )
        block = _block(tensor, at, where)
        columns = dict(zip(at.axes, block.columns, strict=True))
        itself = columns["query"] == columns["key"]
        return _replaced(tensor, block, tensor[block.indices].masked_fill(~itself, -torch.inf))

    return NamedEdit(_text("cut", where), change, where, again=partial(cut))


@dataclass(frozen=True)
class _Block:
    """The part of one pass's tensor that an edit changes: indices for each axis, shaped to span a block."""

    indices: tuple[Tensor, ...]  # counted within this pass
    columns: tuple[Tensor, ...]  # the same, counted from the input's left edge

    @property
    def is_empty(self) -> bool:
        return not all(index.numel() for index in self.indices)


def _block(tensor: Tensor, at: At, where: dict[str, Index]) -> _Block:
    for axis in where:
        if axis not in at.axes:
            raise HookError(
                f"{at.name!r} has no axis {axis!r}{axis_elsewhere(axis, at.axes)}; it has {', '.join(at.axes)}"
            )
    indices, columns = [], []
    for i, (axis, size) in enumerate(zip(at.axes, tensor.shape, strict=True)):
        first = at.column if axis in ("pos", "query") else 0
        chosen = [n for n in _chosen(where.get(axis, slice(None)), first + size, axis, at.name) if n >= first]
        shape = [-1 if j == i else 1 for j in range(tensor.dim())]
        column = torch.tensor(chosen, dtype=torch.long, device=tensor.device).view(shape)
        indices.append(column - first)
        columns.append(column)
    return _Block(tuple(indices), tuple(columns))


def _chosen(index: Index, end: int, axis: str, name: str) -> list[int]:
    """The indices below `end` that an edit names on one axis."""
    if axis not in COLUMNS:
        index = _from_the_left(index, end)
    if isinstance(index, slice):
        parts = [n for n in (index.start, index.stop, index.step) if n is not None]
        indices = list(range(end)[index])
    else:
        parts = indices = list(index) if isinstance(index, Sequence) else [index]
    if not all(_is_index(n) for n in parts):
        end_of_text = "; from the end only where the text is known: lab.trace(text, edit=…)" * (axis in COLUMNS)
        raise HookError(f"{axis} at {name!r} counts from 0 in whole numbers, but got {index!r}{end_of_text}")
    beyond = [n for n in indices if n >= end]
    if beyond and axis not in COLUMNS:
        raise HookError(f"{axis} at {name!r} goes from 0 to {end - 1}, but got {beyond[0]}")
    return [n for n in indices if n < end]


def _from_the_left(index: Index, end: int) -> Index:
    """The index with what counts from the end, as Python counts, counted from the left; what is unfit stays."""
    if isinstance(index, slice):
        negative = any(_is_whole(n) and n < 0 for n in (index.start, index.stop))
        return list(range(end)[index]) if negative else index
    if isinstance(index, Sequence):
        return [n + end if _is_whole(n) and -end <= n < 0 else n for n in index]
    return index + end if _is_whole(index) and -end <= index < 0 else index


def from_the_left(edit: AnyEdit, columns: int) -> AnyEdit:
    """The edit with positions that count from the end of a text of so many columns counted from its left edge.

    >>> from_the_left(zero(head=3, query=-1), 10)
    zero(head=3, query=9)

    Raises:
        HookError: a position lies before the text.
    """
    where = getattr(edit, "where", {})
    counted = {axis: _from_the_left(index, columns) if axis in COLUMNS else index for axis, index in where.items()}
    for axis in COLUMNS:
        for n in _listed(counted.get(axis, ())):
            if _is_whole(n) and n < 0:
                raise HookError(f"the text has {columns} tokens, so {axis} goes from {-columns} on, but got {n}")
    changed = any(counted[axis] is not where[axis] and counted[axis] != where[axis] for axis in where)
    return cast(Any, edit).at(**counted) if changed and isinstance(edit, NamedEdit) else edit


def _listed(index: Index) -> Sequence[Any]:
    return index if isinstance(index, Sequence) else [] if isinstance(index, slice) else [index]


def check_columns(where: Mapping[str, Index], columns: int) -> None:
    """Refuse positions that a text of this many columns does not have: an edit would silently ignore them.

    Raises:
        HookError: a position is not in the text.
    """
    for axis, index in where.items():
        beyond = [n for n in _listed(index) if _is_index(n) and n >= columns]
        if axis in COLUMNS and beyond:
            raise HookError(
                f"the text has {columns} tokens, so {axis} goes from 0 to {columns - 1}, but got {beyond[0]}"
            )


def check_numbers(readings: Mapping[str, Reading]) -> None:
    """Refuse an edited run whose numbers grew beyond all bounds: nothing that follows from them means anything.

    Raises:
        HookError: a reading is infinite or NaN; at attn.biased, -inf is a look that is not possible.
    """
    for name, reading in readings.items():
        tensor = reading.tensor.clamp(min=0) if name.endswith(".attn.biased") else reading.tensor
        if not tensor.isfinite().all():
            raise HookError(
                f"with these edits the numbers at {name!r} grow beyond all bounds (infinite, or not a number); "
                "take one back, or use smaller numbers"
            )


def _replaced(tensor: Tensor, block: _Block, values: Tensor) -> Tensor:
    """A new tensor with these values in the block."""
    return tensor if block.is_empty else tensor.index_put(block.indices, values)


def _once(tensor: Tensor, at: At, where: Mapping[str, Index]) -> Tensor:
    """One of each axis along which a tensor only repeats itself, and the edit names nothing: the rest is the same.

    ALiBi's bias is one row for every query; of a long text all of them are as large as the scores.

    >>> at = At("h.0.attn.alibi", ("batch", "head", "query", "key"), 0)
    >>> _once(torch.zeros(1, 2, 1, 3).expand(1, 2, 4, 3), at, {"head": 1}).shape
    torch.Size([1, 2, 1, 3])
    """
    for axis, name in enumerate(at.axes):
        if tensor.stride(axis) == 0 and name not in where:
            tensor = tensor.narrow(axis, 0, 1)
    return tensor


def _edit(
    name: str,
    where: dict[str, Index],
    new_values: Callable[[Tensor], Tensor],
    *args: Any,
    again: "partial[Any]",
) -> NamedEdit:
    """An edit that computes the new values of a block from the old ones."""

    def change(tensor: Tensor, at: At) -> Tensor:
        repeated = not any(isinstance(value, Tensor) for value in args)
        small = _once(tensor, at, where) if repeated else tensor
        block = _block(small, at, where)
        values = small[block.indices] if where else small
        for value in args:
            shape = value.shape if isinstance(value, Tensor) else ()
            if not _fits(tuple(shape), tuple(values.shape)):
                raise HookError(
                    f"{name} at {at.name!r} needs a value that fits {tuple(values.shape)} ({' '.join(at.axes)}), "
                    f"but got {tuple(shape)}"
                )
        return (_replaced(small, block, new_values(values)) if where else new_values(values)).expand_as(tensor)

    return NamedEdit(_text(name, where, *args), change, where, again=again)


def _is_index(value: Any) -> bool:
    return _is_whole(value) and value >= 0


def _is_column(value: Any) -> bool:
    return _is_index(value) and value < 2**31  # torch counts columns


def _is_whole(value: Any) -> TypeGuard[int]:
    # Integral, because numpy's whole numbers are indices too
    return type(value) is not bool and isinstance(value, Integral)


def is_number(value: Any) -> bool:
    """Whether it is a number that an edit takes."""
    # compared as it is: a whole number of 400 digits is no float. Not a number is let through, and refused by the run
    return isinstance(value, Real) and not abs(cast(float, value)) > LARGEST


def _fits(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Whether a tensor of this shape broadcasts to the target's: each size, from the right, is equal or 1."""
    return len(shape) <= len(target) and all(n in (1, m) for n, m in zip(shape[::-1], target[::-1], strict=False))


def _text(name: str, where: dict[str, Index], *args: Any) -> str:
    """The edit as you would write it, with only the shape of a tensor."""
    shown = [f"tensor{tuple(arg.shape)}" if isinstance(arg, Tensor) else repr(arg) for arg in args]
    return f"{name}({', '.join([*shown, *(f'{axis}={index!r}' for axis, index in where.items())])})"
