"""What stands in ALiBi's place in a model that knows positions otherwise: angles, waves or vectors, and how alike two
places are by their distance.

    none          nothing; the causal mask alone
    sinusoidal    waves: each is so many radians a token
    learned       a vector for each position
    rotary        angles: each pair of a query's and a key's numbers turns by so many radians a token

"Alike" is 1 at distance 0: for rotary and sinusoidal the mean of cos(distance · frequency), which is the product of a
turned vector of equal pairs with the same vector so many tokens back, and the cosine of two places' waves; for learned
positions the mean cosine of the vectors that stand so far apart.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bloomlab.config import BloomConfig
from bloomlab.model.positions import BASE, frequencies, kind_of


@dataclass(frozen=True)
class InPlace:
    """What a model has in ALiBi's place.

    Attributes:
        kind: "none", "sinusoidal", "learned" or "rotary".
        frequencies: radians a token, of each wave or pair; empty if there are none.
        sizes: of learned positions, how long each vector is; empty if there are none.
        alike: (distance), from 0 on; empty if positions are unknown to the model, or its vectors not at hand.
    """

    kind: str
    frequencies: Tensor
    sizes: Tensor
    alike: Tensor


def in_place(config: BloomConfig, n: int, table: nn.Embedding | None = None) -> InPlace:
    """What a model of this config has in ALiBi's place, for distances below `n`; `table` are its learned positions.

    >>> found = in_place(BloomConfig(hidden_size=8, n_head=2, positions="rotary"), 3)
    >>> found.frequencies, found.alike  # two pairs: cos(0), (cos(1) + cos(.01)) / 2, …
    (tensor([1.0000, 0.0100]), tensor([1.0000, 0.7701, 0.2918]))
    """
    kind, nothing = kind_of(config), torch.zeros(0)
    if kind in ("rotary", "sinusoidal"):
        width = config.head_dim // 2 * 2 if kind == "rotary" else config.hidden_size
        turns = frequencies(width, BASE)
        return InPlace(kind, turns, nothing, (torch.arange(n)[:, None] * turns).cos().mean(1))
    if kind == "learned" and table is not None:
        vectors = table.weight.detach().float().cpu()
        return InPlace(kind, nothing, vectors.norm(dim=1), alike(vectors)[:n])
    return InPlace(kind, nothing, nothing, nothing)


def alike(vectors: Tensor) -> Tensor:
    """The mean cosine of two vectors, by how far apart they stand: (pos, hidden) -> (distance).

    >>> alike(torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 0.0]]))
    tensor([1., 0., 1.])
    """
    unit = torch.nn.functional.normalize(vectors, dim=-1)
    cosines = unit @ unit.T
    return torch.stack([cosines.diagonal(-distance).mean() for distance in range(len(vectors))])
