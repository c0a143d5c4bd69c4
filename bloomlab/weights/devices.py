"""A model on several devices: which part goes where, and what is brought to it when it is called.

accelerate plans: which blocks fit on which card, what is left for the CPU's memory and what for the disk. A part that a
card cannot hold ("cpu" or "disk" beside a card) still computes on one: its weights are lent to it for each call. They
stay where they are all the while, and a copy of the module holds what was lent. So an interrupt finds every weight in
its place, and a lens, a hash or a file can read any of them. (accelerate's own dispatch leaves empty tensors there, and
after an interrupt whatever the pass had put in their place.)
"""

import warnings
from collections.abc import Mapping
from copy import copy
from functools import partial
from typing import Any

import torch
from torch import nn

from bloomlab.errors import InputError, MissingPackageError, did_you_mean, shorten
from bloomlab.guards.memory import free_bytes

NEEDED = "device_map='auto' needs accelerate: pip install 'bloomlab[large]'"
DISK = "disk"
WAITING = ("cpu", DISK)  # where weights of a part may be that computes on a card
Place = torch.device | str  # a device, or DISK


def plan(model: nn.Module, device_map: Any, max_memory: Any, dtype: torch.dtype) -> dict[str, Place]:
    """Where each part's weights go, by the name of a module: "" for all, a block, or what stands beside the blocks.

    Args:
        model: with shapes, no numbers are needed.
        device_map: "auto", or such names and their places: a device, "cpu" or "disk".
        max_memory: for "auto", how much of each device may be used, as {0: "20GB", "cpu": "8GB"}.
        dtype: of the weights.

    Raises:
        InputError: a name or place is not there, a part is left out, or max_memory is no such table.
        MissingPackageError: "auto", and accelerate is not installed.
    """
    if isinstance(device_map, str):
        if device_map != "auto":
            raise InputError(f"device_map must be 'auto' or {{name: place}}, but got {device_map[:40]!r}")
        device_map = _planned(model, max_memory, dtype)
    elif max_memory is not None:
        raise InputError("max_memory is what device_map='auto' plans with; leave it out where places are named")
    if not isinstance(device_map, Mapping) or not device_map:
        raise InputError(f"device_map must be 'auto' or {{name: place}}, but got {shorten(device_map, 40)}")
    names = ["", *(name for name, part in model.named_modules() if name and not _inside_block(model, name))]
    for name in device_map:
        if name not in names:
            inside = isinstance(name, str) and _inside_block(model, name)
            hint = "; a block stays on one device" if inside else did_you_mean(str(name), names)
            raise InputError(f"device_map names {shorten(name, 60)}, which is not a part to place{hint}")
    places = {name: _place(place) for name, place in device_map.items()}
    for name, _ in model.named_parameters():
        if _entry(places, name) is None:
            raise InputError(f"device_map has no place for {name}; add one for it, or '' for all that is not named")
    return places


def _planned(model: nn.Module, max_memory: Any, dtype: torch.dtype) -> dict[str, Any]:
    """accelerate's plan."""
    try:
        from accelerate import infer_auto_device_map  # type: ignore[import-untyped]  # it has no types
        from accelerate.utils import (  # type: ignore[import-untyped]  # as above
            get_balanced_memory,
            get_max_memory,
        )
    except ImportError:
        raise MissingPackageError(NEEDED) from None
    if not isinstance(max_memory, Mapping | None):
        raise InputError(f"max_memory must be {{device: bytes}}, but got {shorten(max_memory, 40)}")
    for device, size in (max_memory or {}).items():
        if type(size) not in (int, str) or (isinstance(size, int) and size < 0):
            raise InputError(
                f"max_memory must give bytes or a text such as '8GB' for each device, but got {shorten(size, 40)}"
            )
        _place(device)
    whole = sorted({type(block).__name__ for block in _blocks(model).values()})
    try:
        memory = get_max_memory(None if max_memory is None else dict(max_memory))
        free = free_bytes()
        if max_memory is None and free is not None and "cpu" in memory:  # a container may be allowed less
            memory["cpu"] = min(memory["cpu"], free)
        memory = get_balanced_memory(model, memory, no_split_module_classes=whole, dtype=dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of buffers, which BLOOM has none of
            return dict(infer_auto_device_map(model, memory, no_split_module_classes=whole, dtype=dtype))
    except ValueError as error:
        raise InputError(f"max_memory does not fit: {str(error)[:160]}") from None


def weights_place(places: Mapping[str, Place], name: str) -> torch.device:
    """The device that a parameter or module of this name has its weights on; the CPU for those on the disk."""
    place = _entry(places, name)
    return place if isinstance(place, torch.device) else torch.device("cpu")


def on_disk(places: Mapping[str, Place], name: str) -> bool:
    """Whether its weights stay in their file."""
    return _entry(places, name) == DISK


def computes_on(places: Mapping[str, Place], name: str) -> torch.device:
    """The device that a module of this name computes on: where its weights are; beside cards, always a card."""
    cards = [place for place in places.values() if str(place) not in WAITING]
    place = weights_place(places, name)
    return torch.device(cards[0]) if cards and str(place) in WAITING else place


def attach(model: nn.Module, places: Mapping[str, Place]) -> None:
    """Have every part of a model called on its device, its input brought there; beside the blocks, results come back to
    the first device, where the ids are."""
    first = computes_on(places, next(name for name, _ in model.named_parameters()))
    blocks = _blocks(model)
    for name, part in model.named_modules():
        if name in blocks or next(part.parameters(recurse=False), None) is not None:
            back = None if name in blocks or _inside_block(model, name) else first
            part.forward = partial(_call, part, computes_on(places, name), back)


def is_placed(part: nn.Module) -> bool:
    """Whether this is how a module computes: its own forward, on its device."""
    forward = vars(part).get("forward")
    return isinstance(forward, partial) and forward.func is _call


def _call(part: nn.Module, device: torch.device, back: torch.device | None, *arguments: Any, **named: Any) -> Any:
    """`part.forward`, on this device."""
    arguments = tuple(_brought(each, device) for each in arguments)
    named = {name: _brought(each, device) for name, each in named.items()}
    if any(weight.device != device for weight in part.parameters(recurse=False)):
        part = _lent(part, device)
    found = type(part).forward(part, *arguments, **named)
    return found if back is None else _brought(found, back)


def _lent(part: nn.Module, device: torch.device) -> nn.Module:
    """A copy of a module whose weights are on this device; gradients find the way back to its own."""
    borrower, own = copy(part), part._parameters
    lent: Any = {name: None if weight is None else weight.to(device) for name, weight in own.items()}
    borrower._parameters = lent
    return borrower


def _brought(value: Any, device: torch.device) -> Any:
    """An argument, on this device: a tensor, several, or what says itself how it goes there."""
    if type(value) is tuple:
        return tuple(_brought(each, device) for each in value)
    return value.to(device) if hasattr(type(value), "to") else value


def _blocks(model: nn.Module) -> dict[str, nn.Module]:
    """The blocks of a model, by name."""
    lists = [(name, part) for name, part in model.named_modules() if isinstance(part, nn.ModuleList)]
    return {f"{name}.{i}": block for name, part in lists for i, block in enumerate(part)}


def _inside_block(model: nn.Module, name: str) -> bool:
    return any(name.startswith(f"{block}.") for block in _blocks(model))


def _entry(places: Mapping[str, Place], name: str) -> Place | None:
    """The place of the longest name that this one begins with."""
    parts = name.split(".") if name else []
    beginnings = (".".join(parts[:count]) for count in range(len(parts), -1, -1))
    return next((places[each] for each in beginnings if each in places), None)


def _place(asked: Any) -> Place:
    """A device that this machine has, or DISK.

    Raises:
        InputError: it is neither.
    """
    if asked == DISK:
        return DISK
    try:
        if isinstance(asked, int | str | torch.device) and not isinstance(asked, bool):
            return torch.empty(0, device=f"cuda:{asked}" if isinstance(asked, int) else asked).device
        why = type(asked).__name__
    except (RuntimeError, AssertionError, TypeError) as error:
        why = str(error).partition("\n")[0][:80]
    raise InputError(f"a place must be a device that works here, 'cpu' or 'disk', but got {shorten(asked, 40)} ({why})")
