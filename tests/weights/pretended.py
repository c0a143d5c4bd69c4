"""Devices that are not there: tensors on "card:0" or "card:1" whose numbers the CPU keeps, for machines without a card.

They behave as a card's do in what programs stumble over: an operation takes tensors of one device only (numbers without
an axis may come from the CPU), nothing looks at their memory from Python, and they come back by `.cpu()` alone.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

CPU = torch.device("cpu")
CARD = "card"
COUNT = 2


class OnCard(Tensor):
    """Numbers of the CPU that say they are on a card."""

    numbers: Tensor
    card: torch.device

    @staticmethod
    def __new__(cls, numbers: Tensor, card: torch.device) -> "OnCard":
        made: OnCard = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]  # torch's own name for such tensors
            cls, numbers.shape, strides=numbers.stride(), dtype=numbers.dtype, device=card
        )
        made.numbers, made.card = numbers, card
        return made

    def __repr__(self) -> str:  # type: ignore[override]  # torch's takes what it shows
        return f"OnCard({self.card}, {self.numbers})"

    # torch asks a driver before these, or has none of them for such tensors

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def item(self) -> Any:
        return self.cpu().item()

    def __bool__(self) -> bool:
        return bool(self.cpu())

    def __float__(self) -> float:
        return float(self.cpu())

    def __int__(self) -> int:
        return int(self.cpu())

    def __index__(self) -> int:
        return int(self.cpu())

    def equal(self, other: Tensor) -> bool:
        return self.device == other.device and self.cpu().equal(other.cpu())

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, types: Any, arguments: tuple[Any, ...] = (), named: Mapping[str, Any] | None = None
    ) -> Any:
        return _done(function, arguments, dict(named or {}))


def _done(function: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    tensors = [each for each in tree_flatten((arguments, named))[0] if isinstance(each, Tensor)]
    devices = {each.device for each in tensors if each.dim() or isinstance(each, OnCard)}
    copies = function in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
    if len(devices) > 1 and not copies and any(isinstance(each, OnCard) for each in tensors):
        raise RuntimeError(f"Expected all tensors to be on the same device, but found {devices} in {function}")
    target = named.get("device")
    if target is not None:
        target = torch.device(target)
        named["device"] = CPU if target.type == "card" else target
        if target.type == "card" and target.index is None:
            target = torch.device(CARD, 0)
    elif function == torch.ops.aten.copy_.default:
        target = arguments[0].device
    else:
        target = next((each.device for each in tensors if isinstance(each, OnCard)), CPU)
    if target.type == "card" and target.index >= COUNT:
        raise RuntimeError(f"no such card: device ordinal {target}")
    plain = tree_map(lambda each: each.numbers if isinstance(each, OnCard) else each, (arguments, named))
    with torch._C._DisableTorchDispatch():
        found = function(*plain[0], **plain[1])
    if target.type != CARD:
        return found
    found = tree_map(lambda each: OnCard(each, target) if isinstance(each, Tensor) else each, found)
    if any(isinstance(each, OnCard) for each in tensors):
        return return_and_correct_aliasing(function, arguments, named, found)
    return found


class _Cards(TorchDispatchMode):
    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), named: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(named or {})
        device = named.get("device")
        tensors = tree_flatten((arguments, named))[0]
        if (device is not None and torch.device(device).type == "card") or any(isinstance(t, OnCard) for t in tensors):
            return _done(function, arguments, named)
        return function(*arguments, **named)


MADE = torch.Generator


class Drawn(MADE):
    """Random numbers of a card, which the CPU makes."""

    def __new__(cls, device: Any = None) -> Any:
        return MADE()


@contextmanager
def two_cards() -> Iterator[None]:
    """Inside, tensors can go to "card:0" and "card:1". Only in a process of its own: torch then knows them for good."""
    _setup_privateuseone_for_python_backend(CARD)
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(…, device=…) makes its tensor here and brings it there
    torch.Generator = Drawn  # type: ignore[misc]
    with _Cards():
        yield
