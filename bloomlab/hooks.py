"""Hooks: what to read and what to change in one call of a model.

Hooks are an argument of `forward`, never an attachment. The source of each component names the spots where a
value can be read or changed, in reading order:

    q = hooks("q", q, "batch head query head_dim")

returns `q`, first edited if this call asked for an edit there, then recorded if it asked for a reading.
The call ends and nothing stays behind: no state on the model, nothing global, nothing to remove.

    hooks = Hooks(read=["h.3.attn.probs"], edit={"h.2.attn.mixed": zero(head=3)})
    model(ids, hooks=hooks)
    hooks["h.3.attn.probs"]                                       # (batch, head, query, key)

Axes, the same words everywhere:

    batch    rows of the batch            query  columns this pass computes, as those who look
    pos      columns this pass computes   key    every column so far, as those looked at
    head     attention heads              hidden, head_dim, neuron, vocab, label: widths of a vector

Columns count from the left edge of the input, padding included.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from bloomlab.elsewhere import spot_elsewhere
from bloomlab.errors import HookError, NearNames, did_you_mean

WIDTHS = ("vocab", "hidden", "head", "head_dim", "neuron", "label")
"""Axes whose size the config fixes; batch, pos, query and key differ from call to call."""


class At(NamedTuple):
    """Where an edit is: the spot's name, its axes, and the absolute column of this pass's first position."""

    name: str
    axes: tuple[str, ...]
    column: int


class Spot(NamedTuple):
    """One line of `model.hook_names()`: axes, and sizes where the config fixes them (else the axis' name)."""

    axes: str
    shape: tuple[int | str, ...]


Edit = Callable[[Tensor, At], Tensor]
"""A new tensor for a spot: `edit(tensor, at)` returns one of the same shape and dtype and leaves its input alone."""

Index = int | slice | Sequence[int]
"""What an edit names on an axis: a column, a range of them, or a list."""


@dataclass(frozen=True)
class NamedEdit:
    """An edit that can say what it does, as the functions of `bloomlab.tracing.edits` return it."""

    text: str
    change: Callable[[Tensor, At], Tensor]
    where: Mapping[str, Index] = field(default_factory=dict)  # the axes that were named
    source: str = ""  # of a copy, from which text, if that is known
    again: "partial[NamedEdit] | None" = field(default=None, repr=False)  # what makes it, but for the axes

    def at(self, **where: Index) -> "NamedEdit":
        """The same edit with these axes named instead: `zero(head=3).at(head=4)` is zero(head=4).

        Raises:
            HookError: it was not made by a function of this package that could make it again.
        """
        if self.again is None:
            raise HookError(f"{self.text} cannot be made again at another place; use zero, scale, add, patch, …")
        made: NamedEdit = self.again(**where)
        return made

    def __call__(self, tensor: Tensor, at: At) -> Tensor:
        return self.change(tensor, at)

    def __repr__(self) -> str:
        return self.text


Edits = Mapping[str, Edit | Sequence[Edit]]
"""What to change in a run: for a spot's name an edit, or several, made in their order."""


class Known(NamedTuple):
    """A state that another run of the same text has reached: the residual stream before a layer, (batch, pos, hidden).

    A run that begins there computes this layer and those above it; `layer` n_layer leaves only the last norm.
    """

    layer: int
    state: Tensor


class Hooks(NearNames):
    """What to read and what to change in one run: one call, or one generation.

    Args:
        read: exact names of spots, as `model.hook_names()` lists them.
        edit: for a spot's exact name, a function `edit(tensor, at)` that returns the tensor to use instead; or a list
            of several, each of which gets what the one before it returned.
        detach: readings are detached from the graph of gradients; `False` keeps them in it.
        known: where to begin, for a run that differs from a known one only from some layer up.
        passing: exact names of spots that the run passes as if they were read, and nothing of them is kept. What is
            read or edited at an attention pattern sends its layer through other lines, which round otherwise.

    Raises:
        HookError: on use, if a name does not exist or an edit returns something unfit.

    >>> double = Hooks(read=["a.x"], edit={"a.x": lambda x, at: 2 * x})
    >>> double.start(0)
    >>> double.at("a")("x", torch.ones(2), "hidden")
    tensor([2., 2.])
    >>> double["a.x"]
    tensor([2., 2.])
    """

    def __init__(
        self,
        read: Iterable[str] = (),
        edit: Edits | None = None,
        detach: bool = True,
        known: Known | None = None,
        passing: Iterable[str] = (),
    ) -> None:
        if isinstance(read, str):
            raise HookError(f"read must be a list of names, but got the single text {read!r}; write [{read!r}]")
        if not isinstance(read, Iterable):
            raise HookError(f"read must be a list of names, but got {read!r}")
        if not isinstance(edit, Mapping | None):
            raise HookError(f"edit must be a dictionary of names and functions, but got {type(edit).__name__}")
        names = list(read)
        for name in [*names, *(edit or {})]:
            if not isinstance(name, str):
                raise HookError(f"the name of a spot is a text, but got {name!r}")
        self.read = frozenset(names)
        self.edit = {name: in_order(name, edits) for name, edits in (edit or {}).items()}
        self.detach, self.known = detach, known
        self._names: frozenset[str] = self.read | self.edit.keys() | set(passing)
        self._prefix = ""
        self._steps: list[_Step] = []  # shared by all views that `at` makes
        self._checked = False

    # -- what a model calls ---------------------------------------------------------------------------

    def __call__(self, name: str, tensor: Tensor, axes: str) -> Tensor:
        """Pass a tensor through the spot `name`: edited if asked, then recorded if asked."""
        name = self._prefix + name
        if name not in self._names:
            return tensor
        if not self._steps:
            raise HookError("a component on its own starts no step; call hooks.start(0) before it")
        step = self._steps[-1]
        for edit in self.edit.get(name, ()):
            tensor = edited(tensor, edit, At(name, tuple(axes.split()), step.column))
        if name in self.read and name not in step.readings:  # gradient checkpointing passes here twice
            step.readings[name] = Reading(tensor.detach() if self.detach else tensor, axes)
        return tensor

    def wants(self, *names: str) -> bool:
        """Whether any of these spots is read, edited or passed."""
        return any(self._prefix + name in self._names for name in names)

    def at(self, place: str) -> Self:
        """The same hooks seen from inside a component: `hooks.at("h.3.attn")("probs", …)` is h.3.attn.probs."""
        if not self._names:
            return self
        view = copy(self)
        view._prefix = f"{self._prefix}{place}."
        return view

    def start(self, column: int) -> None:
        """Begin a step of the run, whose first position is this absolute column."""
        if not self._names:
            return
        if self._steps and column <= self._steps[-1].column:
            raise HookError("these Hooks have already served a run; make new Hooks for each call or generation")
        self._steps.append(_Step(column))

    def take(self, column: int, readings: Mapping[str, "Reading"]) -> None:
        """A step of the run that was made elsewhere, in another process: where it began, and what was read in it."""
        self.start(column)
        if self._names:
            self._steps[-1].readings.update(readings)

    def check(self, list_spots: Callable[[], Mapping[str, Spot]]) -> None:
        """Refuse names of spots that do not exist. The outermost model checks, so the models inside it need not."""
        if self._checked or not self._names or torch.compiler.is_compiling():  # compiled code cannot look names up
            return
        spots = list_spots()
        for name in sorted(self._names - spots.keys()):
            raise HookError(
                f"there is no spot {name!r} in this model{spot_elsewhere(name, spots)}; model.hook_names() lists all"
            )
        self._checked = True

    # -- what the caller reads ------------------------------------------------------------------------

    @property
    def readings(self) -> dict[str, "Reading"]:
        """All readings of the run, the steps of a generation joined."""
        names = dict.fromkeys(name for step in self._steps for name in step.readings)
        return {name: self._joined(name) for name in names}

    def __getitem__(self, name: str) -> Tensor:
        """The reading at a spot, the steps of a generation joined."""
        if name not in self.read:
            raise HookError(f"{name!r} was not read{did_you_mean(name, self.read)}; name it in Hooks(read=[…])")
        return self._joined(name).tensor

    def ending(self, *ends: str) -> tuple[Tensor, ...] | None:
        """The readings at all spots whose names have one of these endings, in the order of the model, or None."""
        return tuple(self[name] for name in self.readings if name.endswith(ends)) or None

    def __iter__(self) -> Iterator[str]:
        return iter(self.readings)

    def _joined(self, name: str) -> "Reading":
        steps = [step.readings[name] for step in self._steps if name in step.readings]
        if not steps:
            raise HookError(f"{name!r} has no reading yet; pass these hooks to a model first")
        return steps[0] if len(steps) == 1 else _join(name, steps)

    def __repr__(self) -> str:
        return f"Hooks(read={sorted(self.read)}, edit={sorted(self.edit)}, steps={len(self._steps)})"


class Reading(NamedTuple):
    """A recorded tensor and the names of its axes."""

    tensor: Tensor
    axes: str


class _Step:
    """One pass of a model: where it begins, and what was read in it."""

    def __init__(self, column: int) -> None:
        self.column = column
        self.readings: dict[str, Reading] = {}


class Chain(Hooks):
    """Several Hooks that act as one, one after the other; each keeps its own readings."""

    def __init__(self, *links: Hooks) -> None:
        self.links = links
        self.known = next((link.known for link in links if link.known), None)
        self._names = frozenset().union(*(link._names for link in self.links))

    def __call__(self, name: str, tensor: Tensor, axes: str) -> Tensor:
        for link in self.links:
            tensor = link(name, tensor, axes)
        return tensor

    def wants(self, *names: str) -> bool:
        return any(link.wants(*names) for link in self.links)

    def at(self, place: str) -> Self:
        view = copy(self)
        view.links = tuple(link.at(place) for link in self.links)
        return view

    def start(self, column: int) -> None:
        for link in self.links:
            link.start(column)

    def check(self, list_spots: Callable[[], Mapping[str, Spot]]) -> None:
        for link in self.links:
            link.check(list_spots)


def chain(*links: Hooks) -> Hooks:
    """Hooks that do what each of these does, in this order."""
    busy = [link for link in links if link._names or link.known]
    return Chain(*busy) if len(busy) > 1 else busy[0] if busy else NO_HOOKS


NO_HOOKS = Hooks()
"""Nothing read, nothing changed: what `hooks=None` means."""


def in_transform() -> bool:
    """Whether this runs inside a transform of torch.func: vmap, grad, jvp, … (torch has no public name for it)."""
    return not torch.compiler.is_compiling() and torch._C._functorch.peek_interpreter_stack() is not None


def values_hidden() -> bool:
    """Whether nobody can look at the values of tensors: while torch compiles or exports, or inside a transform."""
    return torch.compiler.is_compiling() or in_transform()


class _Everything(frozenset[str]):
    """The set of all names."""

    def __contains__(self, name: object) -> bool:
        return True


def list_spots(run: Callable[[Hooks], object]) -> dict[str, Spot]:
    """All spots that `run(hooks)` passes, in order, with axes and shapes."""
    hooks = Hooks()
    hooks._names = hooks.read = _Everything(["all"])
    hooks._checked = True
    run(hooks)
    return {
        name: Spot(
            axes,
            tuple(size if axis in WIDTHS else axis for axis, size in zip(axes.split(), tensor.shape, strict=True)),
        )
        for name, (tensor, axes) in hooks._steps[0].readings.items()
    }


def in_order(name: str, edits: Edit | Sequence[Edit]) -> tuple[Edit, ...]:
    """The edits at a spot, each checked to be a function of two arguments.

    Raises:
        HookError: one of them is not, or there is none.
    """
    several = tuple(edits) if isinstance(edits, list | tuple) else (edits,)
    if not several:
        raise HookError(f"the list of edits at {name!r} is empty; name an edit, or leave the spot out")
    for function in several:
        if not callable(function):
            got = type(function).__name__
            raise HookError(f"the edit at {name!r} must be a function, such as zero(head=3), but got {got}")
        if not torch.compiler.is_compiling() and not _takes_two(function):
            raise HookError(f"the edit at {name!r} must take (tensor, at), as in `lambda x, at: 2 * x`")
    return several


def _takes_two(function: Callable[..., Any]) -> bool:
    """Whether a function takes two arguments, as far as Python can tell without calling it."""
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # functions not written in Python may not say
        return True
    return True


def edited(tensor: Tensor, edit: Edit, at: At) -> Tensor:
    """The edited tensor, once it is sure to be fit to take the tensor's place."""
    compiling = values_hidden()  # compiled code cannot stop halfway to look at values
    edited = edit(tensor, at) if compiling else _returned(edit, tensor, at)
    if not isinstance(edited, Tensor):
        raise HookError(f"the edit at {at.name!r} must return a tensor, but returned {type(edited).__name__}")
    if edited.shape != tensor.shape or edited.dtype != tensor.dtype or edited.device != tensor.device:
        raise HookError(
            f"the edit at {at.name!r} must return {tuple(tensor.shape)} {tensor.dtype} on {tensor.device} "
            f"({' '.join(at.axes)}), but returned {tuple(edited.shape)} {edited.dtype} on {edited.device}"
        )
    if not compiling and edited.isnan().any():
        raise HookError(f"the edit at {at.name!r} returned NaN (not a number) in {int(edited.isnan().sum())} places")
    return edited


def _returned(edit: Edit, tensor: Tensor, at: At) -> Any:
    """What an edit returns, once it is sure that it has left its input alone."""
    before = _fingerprint(tensor)  # (torch's own count misses `.data` and `.numpy()`)
    found = edit(tensor, at)
    if any(not one.equal(two) for one, two in zip(before, _fingerprint(tensor), strict=True)):
        raise HookError(f"the edit at {at.name!r} changed its input in place; return a new tensor instead")
    return found


def _fingerprint(tensor: Tensor) -> list[Tensor]:
    """Sums along the last two axes of a tensor's bits, read as whole numbers: a copy would take as much room again.

    >>> [sums.tolist() for sums in _fingerprint(torch.zeros(2, 3))]
    [[0, 0], [0, 0, 0]]
    """
    bits = tensor.detach().view({1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.itemsize])
    # (as wide as they are: in wider numbers torch would first make a wider copy)
    return [bits.sum(axis, dtype=bits.dtype) for axis in range(-min(2, bits.dim()), 0)][::-1]


def _join(name: str, steps: list[Reading]) -> Reading:
    """The steps of a generation as one reading: positions in a row, and blanks where a query never met a key."""
    axes = steps[0].axes.split()
    tensors = [step.tensor for step in steps]
    if "key" in axes:  # the last axis: an early query met fewer keys
        width = tensors[-1].shape[-1]
        empty = 0.0 if name.endswith("probs") else float("nan")
        tensors = [F.pad(tensor, (0, width - tensor.shape[-1]), value=empty) for tensor in tensors]
    along = axes.index("query" if "query" in axes else "pos")
    return Reading(torch.cat(tensors, along), steps[0].axes)
