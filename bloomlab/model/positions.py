"""Other ways to know where a token stands, as edits on the same BLOOM.

BLOOM's one unusual choice is ALiBi. Everything else about positions is one of these, put in its place:

    none          nothing: the causal mask alone tells early from late
    sinusoidal    a wave at each of many lengths, added to the embedding
    learned       a vector for each position, learned like a word's, added to the embedding
    rotary        queries and keys turned by an angle that grows with their position

A model whose config says `positions="rotary"` makes these edits in every call; any other model makes them when asked:

    lab.trace(text, edit=in_place_of_alibi("rotary", n_layer=4))

Positions count the tokens of a row from 0, as ALiBi's do: an edit takes them as `positions` (batch, key), for padding
is not counted; without them a token's position is its column.

Sources: Vaswani et al., "Attention Is All You Need", 2017, section 3.5 (waves); Su et al., "RoFormer", 2021, section
3.2 (rotary); Haviv et al., "Transformer Language Models without Positional Encodings Still Learn Positional
Information", 2022 (none).
"""

import math
import sys

import torch
from torch import Tensor, nn

from bloomlab.config import BloomConfig
from bloomlab.errors import ConfigError, HookError, InputError, did_you_mean, shorten
from bloomlab.hooks import NO_HOOKS, At, Edit, Hooks, NamedEdit, values_hidden
from bloomlab.model.alibi import key_positions, slopes

KINDS = ("alibi", "none", "sinusoidal", "learned", "rotary")

MOST_POSITIONS = 1_000_000

BASE = 10_000.0
"""Wavelengths go from 2π to nearly 2π · BASE tokens, in both papers."""


# ------------------------------------------------------------------------------------------ the four ways


def no_positions() -> NamedEdit:
    """At `attn.alibi`: the biases are 0, so that a key's place says nothing.

    >>> at = At("h.0.attn.alibi", ("batch", "head", "query", "key"), 0)
    >>> no_positions()(torch.tensor([[[[0.0, 0.5]]]]), at)
    tensor([[[[0., 0.]]]])
    """
    return NamedEdit("no_positions()", lambda alibi, at: torch.zeros_like(_at(alibi, at, "alibi")), {})


def sinusoidal(positions: Tensor | None = None, base: float = BASE) -> NamedEdit:
    """At `embed`: add sin and cos of the position, at wavelengths from 2π to 2π · base.

        wave[p, 2i] = sin(p / base^(2i / hidden))        wave[p, 2i + 1] = cos(p / base^(2i / hidden))

    >>> at = At("embed", ("batch", "pos", "hidden"), 0)
    >>> sinusoidal()(torch.zeros(1, 2, 2), at)
    tensor([[[0.0000, 1.0000],
             [0.8415, 0.5403]]])

    Raises:
        HookError: on use, at another spot.
    """
    check_base(base)

    def change(x: Tensor, at: At) -> Tensor:
        return _at(x, at, "embed") + waves(_places(x, at, positions), x.shape[-1], base).to(x)

    return NamedEdit("sinusoidal()", change, {})


def waves(positions: Tensor, hidden: int, base: float = BASE) -> Tensor:
    """The vectors that `sinusoidal` adds: positions (batch, pos) -> (batch, pos, hidden), in float32."""
    angles = positions[..., None] * frequencies(hidden, base).to(positions.device)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)[..., :hidden]


def learned(table: Tensor, positions: Tensor | None = None) -> NamedEdit:
    """At `embed`: add a position's row of a table (n_positions, hidden). What has no row is refused.

    >>> at = At("embed", ("batch", "pos", "hidden"), 0)
    >>> learned(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))(torch.zeros(1, 2, 2), at)
    tensor([[[1., 2.],
             [3., 4.]]])

    Raises:
        HookError: on use, at another spot, or if the rows are not as wide as the stream.
        InputError: on use, if a position has no row.
    """

    def change(x: Tensor, at: At) -> Tensor:
        places = _places(_at(x, at, "embed"), at, positions)
        if table.dim() != 2 or table.shape[1] != x.shape[-1]:
            raise HookError(f"learned needs a table (n_positions, {x.shape[-1]}), but got {tuple(table.shape)}")
        if not values_hidden() and int(places.max()) >= len(table):
            raise InputError(
                f"there are learned vectors for {len(table)} positions, but the text has {int(places.max()) + 1} "
                "tokens; shorten it, or take positions that need no table"
            )
        return x + table[places].to(x)

    return NamedEdit(f"learned(tensor{tuple(table.shape)})", change, {})


def rotary(positions: Tensor | None = None, base: float = BASE, slower: float = 1.0) -> NamedEdit:
    """At `attn.q` and at `attn.k`: turn each pair of numbers (2i, 2i + 1) by an angle that grows with the position.

        angle[p, i] = p / slower / base^(2i / head_dim)

    The product of a query and a key, turned so, depends on how far apart they stand, not on where. `slower` squeezes
    the positions of a long text into those that were trained (Chen et al., "Extending Context Window of Large
    Language Models via Positional Interpolation", 2023). Of an odd head_dim the last number stays as it is.

    >>> at = At("h.0.attn.q", ("batch", "head", "query", "head_dim"), 1)        # a query at column 1: by 1 radian
    >>> rotary()(torch.tensor([[[[1.0, 0.0]]]]), at)
    tensor([[[[0.5403, 0.8415]]]])

    Raises:
        HookError: on use, at another spot.
    """
    check_base(base)
    if not slower > 0:
        raise HookError(f"slower must be a number above 0, but got {slower!r}")

    def change(x: Tensor, at: At) -> Tensor:
        places = _places(_at(x, at, "q", "k"), at, positions, axis=2) / slower
        pairs = x.shape[-1] // 2
        angles = (places[:, None, :, None] * frequencies(2 * pairs, base).to(x.device)).expand(*x.shape[:3], -1)
        even, odd = x[..., 0 : 2 * pairs : 2].float(), x[..., 1 : 2 * pairs : 2].float()
        turned = torch.stack([even * angles.cos() - odd * angles.sin(), even * angles.sin() + odd * angles.cos()], -1)
        return torch.cat([turned.flatten(-2).to(x), x[..., 2 * pairs :]], -1)

    named = [f"base={base:g}"] * (base != BASE) + [f"slower={slower:g}"] * (slower != 1)
    return NamedEdit(f"rotary({', '.join(named)})", change, {})


def frequencies(width: int, base: float = BASE) -> Tensor:
    """Radians a token, for each pair of a vector's numbers: (width / 2, rounded up), from 1 down to nearly 1 / base.

    >>> frequencies(4)
    tensor([1.0000, 0.0100])
    """
    return base ** (-torch.arange(0, width, 2) / max(width, 1))


# ------------------------------------------------------------------------- remedies for longer texts


def stretched_base(longer: float, head_dim: int, base: float = BASE) -> float:
    """The base for `rotary` with which a text may be so many times longer: the slowest pair turns that much slower, the
    fastest as before ("NTK-aware" scaling; Peng et al., "YaRN", 2023, section 3.1).

    >>> round(stretched_base(4, head_dim=16))
    48761
    """
    if not longer > 0 or head_dim <= 2:
        raise InputError(f"it takes a factor above 0 and a head_dim above 2, but got {longer!r} and {head_dim!r}")
    return float(base * longer ** (head_dim / (head_dim - 2)))


def gentler(longer: float) -> NamedEdit:
    """At `attn.alibi`: slopes so many times gentler, as if the text were so much shorter.

    >>> gentler(4)(torch.tensor([0.0, 1.0, 2.0]), At("h.0.attn.alibi", ("key",), 0))
    tensor([0.0000, 0.2500, 0.5000])

    Raises:
        HookError: the factor is not above 0; on use, at another spot.
    """
    if not longer > 0:
        raise HookError(f"it takes a factor above 0, but got {longer!r}")
    return NamedEdit(f"gentler({longer:g})", lambda alibi, at: _at(alibi, at, "alibi") / longer, {})


def window(width: int, first: int = 0) -> NamedEdit:
    """At `attn.biased`: a query sees itself and the `width` - 1 columns before it, and the `first` columns of all.

    With the first tokens kept, attention that has nothing to look for still has its usual place to rest (Xiao et al.,
    "Efficient Streaming Language Models with Attention Sinks", 2023). Columns are counted, padding too.

    >>> at = At("h.0.attn.biased", ("batch", "head", "query", "key"), 0)
    >>> window(2, first=1)(torch.zeros(1, 1, 4, 4), at)[0, 0, 3]
    tensor([0., -inf, 0., 0.])

    Raises:
        HookError: the width is not at least 1, or `first` not at least 0; on use, at another spot.
    """
    if type(width) is not int or type(first) is not int or width < 1 or first < 0:
        raise HookError(f"window takes whole numbers, width ≥ 1 and first ≥ 0, but got {width!r} and {first!r}")

    def change(biased: Tensor, at: At) -> Tensor:
        key = torch.arange(_at(biased, at, "biased").shape[-1], device=biased.device)
        query = at.column + torch.arange(biased.shape[-2], device=biased.device)[:, None]
        return biased.masked_fill((query - key >= width) & (key >= first), -math.inf)

    return NamedEdit(f"window({width}{f', first={first}' if first else ''})", change, {})


# ------------------------------------------------------------------------------------- a model's own


def in_place_of_alibi(
    kind: str,
    n_layer: int,
    positions: Tensor | None = None,
    table: Tensor | None = None,
    base: float = BASE,
    slower: float = 1.0,
) -> dict[str, Edit]:
    """What a run changes to know positions in this way and in no other: for each spot its edit.

    Args:
        kind: "alibi" (nothing changes), "none", "sinusoidal", "learned" or "rotary".
        n_layer: the model's layers.
        positions: (batch, key) where each column's token stands; its column, if not given.
        table: (n_positions, hidden), of "learned".
        base, slower: of "rotary" and "sinusoidal"; see there.

    >>> list(in_place_of_alibi("rotary", n_layer=1))
    ['h.0.attn.alibi', 'h.0.attn.q', 'h.0.attn.k']

    Raises:
        InputError: there is no such kind, or "learned" has no table.
    """
    if kind not in KINDS:
        raise InputError(f"positions are {', '.join(KINDS)}, but got {shorten(kind)}{did_you_mean(str(kind), KINDS)}")
    if kind == "learned" and not isinstance(table, Tensor):
        raise InputError(f"learned positions need a table (n_positions, hidden), but got {type(table).__name__}")
    layers = range(n_layer) if kind != "alibi" else []
    edits: dict[str, Edit] = {f"h.{i}.attn.alibi": no_positions() for i in layers}
    if kind == "sinusoidal":
        edits["embed"] = sinusoidal(positions, base)
    if kind == "learned" and table is not None:
        edits["embed"] = learned(table, positions)
    if kind == "rotary":
        turn = rotary(positions, base, slower)
        edits |= {f"h.{i}.attn.{spot}": turn for i in layers for spot in ("q", "k")}
    return edits


def kind_of(config: BloomConfig) -> str:
    """How a model of this config knows positions: "alibi" unless it says otherwise.

    Raises:
        ConfigError: it says something else than these five.
    """
    kind = getattr(config, "positions", "alibi")
    if kind not in KINDS:
        raise ConfigError(f"positions must be one of {', '.join(KINDS)}, but the config says {shorten(kind)}")
    return str(kind)


def own_slopes(config: BloomConfig) -> list[float]:
    """The slope of each head of a model of this config: ALiBi's, or 0 of each where it knows positions otherwise.

    >>> own_slopes(BloomConfig(n_head=2)), own_slopes(BloomConfig(n_head=2, positions="rotary"))
    ([0.0625, 0.00390625], [0.0, 0.0])
    """
    return slopes(config.n_head) if kind_of(config) == "alibi" else [0.0] * config.n_head


def reached(config: BloomConfig, longest: int) -> int:
    """How many of `longest` tokens a model of this config has positions for: all, unless its positions are learned."""
    return min(longest, int(config.n_positions)) if kind_of(config) == "learned" else longest


def own_table(config: BloomConfig) -> nn.Embedding | None:
    """The table of a model whose positions are learned: a row for each of `config.n_positions`; None for any other.

    Raises:
        ConfigError: the config does not say how many positions there are.
    """
    if kind_of(config) != "learned":
        return None
    n_positions = getattr(config, "n_positions", None)
    if type(n_positions) is not int or not 1 <= n_positions <= MOST_POSITIONS:
        raise ConfigError(
            f"learned positions need n_positions, a whole number from 1 to {MOST_POSITIONS}, but the config says "
            f"{shorten(n_positions)}"
        )
    return nn.Embedding(n_positions, config.hidden_size)


def own_hooks(config: BloomConfig, attention_mask: Tensor, table: nn.Embedding | None) -> Hooks:
    """The edits that a model makes in each of its calls: none at all where its positions are ALiBi's.

    Raises:
        ConfigError: the config asks for learned positions, and the model has no table of them.
    """
    kind = kind_of(config)
    if kind == "alibi":
        return NO_HOOKS
    if kind == "learned" and table is None:
        raise ConfigError("the config says learned positions, but this model was made without; make the model anew")
    rows = None if table is None else table.weight
    return Hooks(edit=in_place_of_alibi(kind, config.n_layer, key_positions(attention_mask), rows))


# ------------------------------------------------------------------------------------------------ checks


def _at(tensor: Tensor, at: At, *spots: str) -> Tensor:
    if at.name.rpartition(".")[2] not in spots:
        raise HookError(f"this edit belongs at {' and '.join(spots)}, but got {at.name!r}")
    return tensor


def _places(x: Tensor, at: At, positions: Tensor | None, axis: int = 1) -> Tensor:
    """Where the columns of this pass stand: (batch or 1, pos)."""
    columns = range(at.column, at.column + x.shape[axis])
    if positions is None:
        return torch.arange(columns.start, columns.stop, device=x.device)[None]
    if positions.dim() != 2 or positions.shape[0] not in (1, x.shape[0]) or positions.shape[1] < columns.stop:
        raise HookError(f"positions must be ({x.shape[0]}, {columns.stop}) here, but are {tuple(positions.shape)}")
    return positions[:, columns.start : columns.stop].to(x.device)


def check_base(base: float) -> None:
    """Refuse a base that makes no waves."""
    if not 1 <= base < sys.float_info.max:  # a whole number can be larger
        raise HookError(f"the base must be a number of at least 1, but got {shorten(base)}")
