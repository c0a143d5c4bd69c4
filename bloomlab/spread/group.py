"""What the parts of a model say to each other in a pass: sums and shares of tensors, by torch.distributed's gloo.

Every part runs the same lines at the same time. Where a tensor is whole, it is the same on all of them, bit for bit.
"""

import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor
from torch._C._distributed_c10d import (  # torch.distributed has them too, but does not tell type checkers
    AllgatherOptions,
    AllreduceOptions,
    BroadcastOptions,
    PrefixStore,
    ProcessGroupGloo,
    TCPStore,
)

from bloomlab.spread.shares import ranges

HERE = "127.0.0.1"
START = 120.0  # seconds in which the parts must find each other, the first time
MEETING = 10.0  # and each time that they meet anew


class LostTouch(Exception):
    """Another part did not answer: it has failed, was interrupted, or is gone. What it says itself is the reason."""


class Group:
    """The parts of one model, as one of them sees it.

    Args:
        rank, size: which part this is, of how many.
        address: where this part listens to the others: 127.0.0.1 unless they are on several machines.

    Attributes:
        sent: bytes of tensors that this part has handed to the others since it was made.
    """

    def __init__(self, rank: int, size: int, address: str = HERE) -> None:
        self.rank, self.size, self.address = rank, size, address
        self.sent = 0
        self._talk: tuple[int, float] | None = None
        self._store: Any = None
        self._pg: Any = None

    # -- meeting -----------------------------------------------------------------------------------------

    def host(self) -> tuple[str, int]:
        """Listen, as the first part does, for the others to learn each other's addresses: where they find it."""
        listener = socket.socket(socket.AF_INET6 if ":" in self.address else socket.AF_INET)
        listener.bind((self.address, 0))
        listener.listen(128)
        port = listener.getsockname()[1]
        # (by itself, torch would listen at every address that the machine has)
        self._store = TCPStore(
            self.address, port, self.size, True, wait_for_workers=False, master_listen_fd=listener.detach()
        )
        return self.address, port

    def find(self, place: tuple[str, int]) -> None:
        """Where the first part listens."""
        if self._store is None:
            self._store = TCPStore(*place, self.size, False, timedelta(seconds=START), wait_for_workers=False)

    def meet(self, talk: tuple[int, float]) -> None:
        """Take part in these talks: their number, and how many seconds to wait for another part.

        They last until something goes wrong in them: then all meet anew.
        """
        if talk == self._talk:
            return
        self.leave()
        options: Any = ProcessGroupGloo._Options()  # type: ignore[attr-defined]  # where it listens is said only there
        options._devices = [ProcessGroupGloo.create_device(hostname=self.address)]
        options._timeout = timedelta(seconds=MEETING)
        store = PrefixStore(f"talk {talk[0]}, {talk[1]:g} s", self._store)
        self._pg = self._said(lambda: ProcessGroupGloo(store, self.rank, self.size, options))
        self._talk = talk

    def leave(self) -> None:
        """Hang up: parts that wait for this one learn at once that it will not answer."""
        if self._pg is not None:
            self._pg.shutdown()
        self._pg = self._talk = None

    def _waiting(self, options: Any) -> Any:
        """Options of something that is said: how long to wait for the others."""
        options.timeout = timedelta(seconds=self._talk[1] if self._talk else MEETING)
        return options

    def _said(self, talk: Callable[[], Any]) -> Any:
        try:
            return talk()
        except RuntimeError as error:
            raise LostTouch(f"part {self.rank} lost touch with the others: {str(error)[-160:]}") from None

    # -- what is said ------------------------------------------------------------------------------------

    def summed(self, x: Tensor) -> Tensor:
        """The sum of what the parts have; each of them gets it."""
        return Summed.apply(x, self)  # type: ignore[no-any-return, no-untyped-call]  # a Function of torch's

    def shown_to_all(self, x: Tensor) -> Tensor:
        """A tensor that is whole, before each part makes something else of it: their gradients add up."""
        return Shown.apply(x, self)  # type: ignore[no-any-return, no-untyped-call]  # as above

    def joined(self, x: Tensor, axis: int, count: int) -> Tensor:
        """The shares of all parts side by side along an axis, which has `count` entries in all."""
        return Joined.apply(x, self, axis, count)  # type: ignore[no-any-return, no-untyped-call]  # as above

    def own(self, x: Tensor, axis: int) -> Tensor:
        """This part's share of a tensor that is whole."""
        return Own.apply(x, self, axis)  # type: ignore[no-any-return, no-untyped-call]  # as above

    def from_first(self, x: Tensor) -> Tensor:
        """The first part's tensor; the others pass one of the same shape and dtype."""
        told = x.detach().contiguous().clone()
        if self.size > 1:
            self.sent += told.nbytes if self.rank == 0 else 0
            options = self._waiting(BroadcastOptions())
            options.rootRank = options.rootTensor = 0
            self._said(lambda: self._pg.broadcast([told], options).wait())
        return told

    def sum_now(self, x: Tensor) -> Tensor:
        """`summed`, without a gradient."""
        total = x.detach().contiguous().clone()
        if self.size > 1:
            self.sent += total.nbytes
            self._said(lambda: self._pg.allreduce([total], self._waiting(AllreduceOptions())).wait())
        return total

    def join_now(self, x: Tensor, axis: int, count: int) -> Tensor:
        """`joined`, without a gradient. Shares may be uneven: the short ones travel with some zeros behind them."""
        if self.size == 1:
            return x
        sizes = [len(each) for each in ranges(count, self.size)]
        rest = x.shape[:axis] + x.shape[axis + 1 :]
        mine = x.new_zeros((max(sizes), *rest))
        mine[: x.shape[axis]] = x.detach().movedim(axis, 0)
        found = [torch.empty_like(mine) for _ in sizes]
        self.sent += mine.nbytes
        self._said(lambda: self._pg.allgather([found], [mine], self._waiting(AllgatherOptions())).wait())
        return torch.cat([each[:size] for each, size in zip(found, sizes, strict=True)]).movedim(0, axis).contiguous()

    def own_now(self, x: Tensor, axis: int) -> Tensor:
        """`own`, without a gradient."""
        mine = ranges(x.shape[axis], self.size)[self.rank]
        return x.narrow(axis, mine.start, len(mine))


class Summed(torch.autograd.Function):
    """What follows a sum is the same on all parts, and so is its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group) -> Tensor:
        return group.sum_now(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return grad, None


class Shown(torch.autograd.Function):
    """The same tensor; its gradient is what all parts have made of it together."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group) -> Tensor:
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return ctx.group.sum_now(grad), None


class Joined(torch.autograd.Function):
    """Shares side by side; of the gradient each part takes its share."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group, axis: int, count: int) -> Tensor:
        ctx.group, ctx.axis = group, axis
        return group.join_now(x, axis, count)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return ctx.group.own_now(grad, ctx.axis), None, None, None


class Own(torch.autograd.Function):
    """One share; the gradients of all shares are joined."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group, axis: int) -> Tensor:
        ctx.group, ctx.axis, ctx.count = group, axis, x.shape[axis]
        return group.own_now(x, axis).clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return ctx.group.join_now(grad, ctx.axis, ctx.count), None, None
