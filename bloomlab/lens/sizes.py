"""Where a model's parameters are: in its embedding, its attention, its MLPs and its layer norms.

    embedding      V·H                 one vector a token; the causal head reads with the same table (tied)
    attention      L·(4H² + 4H)        fused query, key, value: 3H² + 3H; projection: H² + H
    MLPs           L·(8H² + 5H)        up: 4H² + 4H; down: 4H² + H
    layer norms    L·4H + 4H           two in each layer, one after the embedding, one at the end; 2H each

V: vocab_size, H: hidden_size, L: n_layer. ALiBi has none: its slopes are computed.
"""

import os
from dataclasses import dataclass

from bloomlab.config import BloomConfig
from bloomlab.errors import NearMatches
from bloomlab.weights.fits import Fit, config_of, fit_of


def parts(config: BloomConfig) -> dict[str, int]:
    """How many parameters each kind of component has, all layers together, in the base model and its tied head.

    >>> parts(BloomConfig(vocab_size=10, hidden_size=2, n_layer=3, n_head=1))
    {'embedding': 20, 'attention': 72, 'MLPs': 126, 'layer norms': 32}
    """
    v, h, n = config.vocab_size, config.hidden_size, config.n_layer
    return {
        "embedding": v * h,
        "attention": n * (4 * h * h + 4 * h),
        "MLPs": n * (8 * h * h + 5 * h),
        "layer norms": (n + 1) * 4 * h,
    }


@dataclass(frozen=True, repr=False)
class Info(NearMatches):
    """The sizes of one model, where its parameters are, and whether it fits here. Its repr is a short page.

    Attributes:
        name: of the model.
        config: its sizes.
        fit: how much memory it needs by dtype, and what fits here.
        opened: dtype, device and weights of a model that is open; "" for another.
    """

    name: str
    config: BloomConfig
    fit: Fit
    opened: str = ""

    @property
    def parts(self) -> dict[str, int]:
        """How many parameters each kind of component has."""
        return parts(self.config)

    def __repr__(self) -> str:
        config, total = self.config, self.fit.parameters
        sizes = f"{config.n_layer} layers, {config.n_head} heads of {config.head_dim}, width {config.hidden_size}"
        lines = [f"{self.name}: BLOOM of {sizes}, {config.vocab_size:,} tokens"]
        lines += [f"  {part:<12}{count:>17,}  {count / total:6.1%}" for part, count in self.parts.items()]
        _, *fit = repr(self.fit).split("\n")
        lines += [f"  {'parameters':<12}{total:>17,}", *fit[: -1 if self.opened else None]]
        return "\n".join([*lines, f"  open in {self.opened}"] if self.opened else lines)


def info(
    name_or_folder: str | os.PathLike[str],
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Info:
    """The same for a model that is not open; see `bloomlab.fits` for the names and the errors."""
    name, config = os.fspath(name_or_folder), config_of(name_or_folder, revision, cache_dir)
    return Info(name, config, fit_of(name, config))
