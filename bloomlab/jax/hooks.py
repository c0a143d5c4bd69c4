"""Hooks for arrays: the same argument, the same names and axes as in torch.

    hooks = Hooks(read=["h.3.attn.probs"], edit={"h.2.attn.mixed": lambda x, at: x.at[:, 3].set(0.0)})
    model(ids, hooks=hooks)
    hooks["h.3.attn.probs"]                                       # an array (batch, head, query, key)

A caller passes `bloomlab.Hooks`. A compiled function cannot have side effects, so inside a pass other hooks record,
and their readings come out as a result. An edit is a function of arrays, and stands under `jax.grad`,
`jax.vmap` and `jax.jit` like everything around it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from jax import Array, lax

from bloomlab import hooks as torch_hooks
from bloomlab.errors import HookError
from bloomlab.hooks import At, Edit, Reading, Spot


class Hooks(torch_hooks.Hooks):
    """A caller's hooks, as the components of `bloomlab.jax` see them; readings land in the caller's own."""

    def __init__(self, hooks: torch_hooks.Hooks) -> None:
        self.__dict__.update(vars(hooks))  # the same names, and the same list of readings

    def __call__(self, name: str, array: Array, axes: str) -> Array:  # type: ignore[override]  # arrays, not tensors
        """Pass an array through the spot `name`: edited if asked, then recorded if asked."""
        name = self._prefix + name
        if name not in self._names:
            return array
        if not self._steps:
            raise HookError("a component on its own starts no step; call hooks.start(0) before it")
        step = self._steps[-1]
        for edit in self.edit.get(name, ()):
            array = edited(array, edit, At(name, tuple(axes.split()), step.column))
        if name in self.read:
            step.readings[name] = Reading(array, axes)  # type: ignore[arg-type]  # as above
        return array

    def start(self, column: Any) -> None:
        """Begin the pass. These hooks serve one pass only: a compiled generation shows nothing on its way."""
        if self._steps and self._names:
            raise HookError("these Hooks have already served a run; make new Hooks for each call")
        super().start(column)

    def keep(self, readings: Mapping[str, Array], list_spots: Callable[[], Mapping[str, Spot]]) -> None:
        """Take what a pass has read, in the order of the model."""
        spots = list_spots() if self.read else {}
        for name in (name for name in spots if name in self.read):
            array = lax.stop_gradient(readings[name]) if self.detach else readings[name]
            self._steps[-1].readings[name] = Reading(array, spots[name].axes)  # type: ignore[arg-type]  # as above


NO_HOOKS = Hooks(torch_hooks.NO_HOOKS)
"""Nothing read, nothing changed: what `hooks=None` means."""


def edited(array: Array, edit: Edit, at: At) -> Array:
    """The edited array, once it is sure to be fit to take the array's place."""
    new: Any = edit(array, at)  # type: ignore[arg-type]  # an edit of arrays
    if not isinstance(new, jax.Array):
        raise HookError(f"the edit at {at.name!r} must return a JAX array, but returned {type(new).__name__}")
    if new.shape != array.shape or new.dtype != array.dtype:
        raise HookError(
            f"the edit at {at.name!r} must return {array.shape} {array.dtype} ({' '.join(at.axes)}), "
            f"but returned {new.shape} {new.dtype}"
        )
    return new
