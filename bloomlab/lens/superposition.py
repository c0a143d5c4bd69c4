"""Superposition: more features than dimensions, in the smallest model that shows it.

    directions = squeezed(often=0.1)        (room, feature): where each of 20 features points in 5 dimensions
    kept(directions)                        how many of them have a direction at all

Each of n features is there with a probability, `often`, and then has a strength between 0 and 1. They are pressed into
m < n dimensions and brought back, y = ReLU(WᵀWx + b), and the error is counted less for each further feature (0.9 of
the one before), so that it is worth more to keep the first. Column i of W is the direction of feature i.

Source: Elhage et al., "Toy Models of Superposition", 2022 (arXiv 2209.10652), section 2.
"""

import torch
from torch import Tensor

IMPORTANCE = 0.9
ROWS, RATE = 256, 0.02


def squeezed(often: float, features: int = 20, room: int = 5, steps: int = 600, seed: int = 0) -> Tensor:
    """Train such a model, in a few seconds; its W: (room, feature).

    Args:
        often: the probability that a feature is there, 0 to 1.

    >>> squeezed(1.0, features=3, room=2, steps=1).shape
    torch.Size([2, 3])
    """
    draw = torch.Generator().manual_seed(seed)
    directions = (0.2 * torch.randn(room, features, generator=draw)).requires_grad_()
    bias = torch.zeros(features, requires_grad=True)
    importance = IMPORTANCE ** torch.arange(features)
    optimizer = torch.optim.Adam([directions, bias], lr=RATE)
    for _ in range(steps):
        there = torch.rand(ROWS, features, generator=draw) < often
        x = torch.rand(ROWS, features, generator=draw) * there
        y = torch.relu(x @ directions.T @ directions + bias)
        error = (importance * (x - y) ** 2).mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    return directions.detach()


def kept(directions: Tensor) -> int:
    """How many columns, (room, feature), are longer than one half: a feature that is given up shrinks to nearly 0.

    >>> kept(torch.tensor([[1.0, 0.0, 0.1], [0.0, 0.9, 0.1]]))
    2
    """
    return int((directions.norm(dim=0) > 0.5).sum())


def overlaps(directions: Tensor) -> Tensor:
    """What feature i answers when feature j alone is there, before bias and ReLU: WᵀW, (feature, feature).

    >>> overlaps(torch.tensor([[1.0, -2.0]])).tolist()
    [[1.0, -2.0], [-2.0, 4.0]]
    """
    return directions.T @ directions
