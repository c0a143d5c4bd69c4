"""Weights as whole numbers from -127 to 127, with one scale for each row: half of bfloat16's bytes.

    weight ≈ scale · numbers              scale = largest of the row / 127, rounded up to a bfloat16

A token that is generated reads every weight once, so half of the bytes is nearly half of the time. What is computed
with stays bfloat16: spots, hooks, edits and lenses do not notice. `layer.weight` is the weight that the numbers stand
for, so what reads a matrix (a receipt, a direction) reads that one.

The product is torch's own (`_weight_int8pack_mm`): one kernel, nothing to install, and the weights stay as they are.
torchao, which was tried, puts tensors of its own class in their place, which a hash, a lens or a saved file would meet.
From a few rows on, it is quicker to turn the numbers into bfloat16 and to multiply as usual.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bloomlab.errors import CheckpointError, InputError

AFEW = 8  # rows up to which torch's product of whole numbers is the quicker one: 16 take as long either way
LARGEST = 127


def quantised(weight: Tensor) -> tuple[Tensor, Tensor]:
    """The whole numbers (row, column) and the scale (row) of a matrix (row, column).

    >>> numbers, scale = quantised(torch.tensor([[1.0, -0.5], [0.0, 0.0]]))
    >>> numbers, scale[0] * 127 >= 1
    (tensor([[126, -63],
            [  0,   0]], dtype=torch.int8), tensor(True))
    """
    exact = weight.abs().amax(-1).float() / LARGEST
    scale = exact.bfloat16()
    # rounded up, so that no number is larger than 127; the numbers are then those of the scale that is kept
    scale = torch.where(scale.float() < exact, torch.nextafter(scale, torch.full_like(scale, torch.inf)), scale)
    scale = scale.clamp(min=torch.finfo(torch.bfloat16).tiny)
    return (weight.float() / scale.float()[:, None]).round().clamp(-LARGEST, LARGEST).to(torch.int8), scale


class Int8(nn.Module):
    """A layer whose matrix is `numbers` (row, column), whole ones, times `scale` (row)."""

    numbers: nn.Parameter
    scale: nn.Parameter

    def __init__(self, numbers: nn.Parameter, scale: nn.Parameter) -> None:
        nn.Module.__init__(self)  # the layers below make no weight of their own
        self.numbers, self.scale = numbers, scale

    @property
    def weight(self) -> Tensor:
        """The matrix that the numbers stand for, in the dtype that is computed in. Another one cannot be put there.

        Raises:
            InputError: on setting it.
        """
        return self.numbers.to(self.scale.dtype) * self.scale[:, None]

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "weight":
            raise InputError("weights in int8 stay as they are; open the model in bfloat16 to give it others")
        super().__setattr__(name, value)


class Int8Linear(Int8, nn.Linear):  # type: ignore[override]  # its weight can be read, as one is, but not put there
    """A linear layer with such a weight. x (…, in) -> (…, out)."""

    def __init__(self, numbers: nn.Parameter, scale: nn.Parameter, bias: nn.Parameter | None) -> None:
        Int8.__init__(self, numbers, scale)
        self.out_features, self.in_features = numbers.shape
        self.bias = bias  # type: ignore[assignment]  # a linear layer may have none

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, self.in_features)
        by_gradients = torch.is_grad_enabled() and x.requires_grad  # of which torch's product knows nothing
        few = len(rows) <= AFEW and x.is_cpu and x.dtype == torch.bfloat16 and not by_gradients
        if few:
            product = torch.ops.aten._weight_int8pack_mm(rows, self.numbers, self.scale)
        else:
            product = F.linear(rows, self.numbers.to(x.dtype)) * self.scale
        out: Tensor = product if self.bias is None else product + self.bias
        return out.reshape(*x.shape[:-1], self.out_features)


class Int8Embedding(Int8, nn.Embedding):  # type: ignore[override]  # the same
    """A table of such rows. ids (…) -> (…, hidden)."""

    def __init__(self, numbers: nn.Parameter, scale: nn.Parameter) -> None:
        Int8.__init__(self, numbers, scale)
        self.num_embeddings, self.embedding_dim = numbers.shape
        self.padding_idx = None

    def forward(self, ids: Tensor) -> Tensor:
        return self.numbers[ids].to(self.scale.dtype) * self.scale[ids][..., None]


def to_int8(model: nn.Module) -> None:
    """Put whole numbers in the place of a model's matrices, one after the other; the rest becomes bfloat16.

    A weight that two of them share is rounded once and stays shared.
    """
    matrices: list[tuple[nn.Module, str, Any]] = [
        (parent, name, part)
        for parent in model.modules()
        for name, part in parent.named_children()
        if type(part) in (nn.Linear, nn.Embedding)
    ]
    rounded: dict[nn.Parameter, tuple[nn.Parameter, nn.Parameter]] = {}
    for parent, name, part in matrices:
        key = part.weight
        if key not in rounded:
            numbers, scale = quantised(part.weight.detach())
            rounded[key] = (nn.Parameter(numbers, requires_grad=False), nn.Parameter(scale, requires_grad=False))
        new: Int8 = Int8Embedding(*rounded[key])
        if type(part) is nn.Linear:
            new = Int8Linear(*rounded[key], part.bias)
        setattr(parent, name, new.train(part.training))
    for parameter in model.parameters():
        parameter.requires_grad_(False)
        if parameter.is_floating_point():
            parameter.data = parameter.data.bfloat16()


def is_int8(model: object) -> bool:
    """Whether a model's matrices are whole numbers."""
    return isinstance(model, nn.Module) and any(isinstance(part, Int8) for part in model.modules())  # or one in JAX


def dtype_name(model: Any) -> str:
    """What a model's weights are, in a word: float32, bfloat16, …, or int8."""
    return "int8" if is_int8(model) else str(model.dtype).removeprefix("torch.")


def refuse_training(model: nn.Module) -> None:
    """A small step leaves whole numbers as they are.

    Raises:
        InputError: the weights are such.
    """
    if is_int8(model):
        raise InputError(
            "weights in int8 cannot be trained: a small step leaves whole numbers as they are; open the model with "
            "dtype='bfloat16'"
        )


def refuse_saving(model: nn.Module) -> None:
    """No published layout holds whole numbers, and what they were rounded from is gone.

    Raises:
        CheckpointError: the weights are such.
    """
    if is_int8(model):
        raise CheckpointError(
            "a model in int8 is not saved: its weights are rounded, and no other program would open them; keep the "
            "files that it was opened from, or open these with dtype='bfloat16' and save that"
        )
