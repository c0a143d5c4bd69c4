"""The KV cache as a ledger: what it holds, what it saves, and what is lost where part of it goes.

    bytes            2 · n_layer · hidden · columns · bytes of a number          keys and values
    multiplications  of a step that reads c columns and has k keys:
                     n_layer · (c · 12 · hidden² + 2 · hidden · looks) + hidden · vocab
                     looks = c · k - c · (c - 1) / 2                             causal: a query sees no later key

With a cache a step reads one column (c = 1), without it all of them (c = k). Biases, norms and softmax are left out, as
in Kaplan et al., "Scaling Laws for Neural Language Models", 2020, section 2.1.

ALiBi's bias grows with the key's place, and softmax does not see what a whole row shares. So columns can go from the
front, and nothing that is left stands any further away. Where a gap comes between the columns that are left (the first
token and a window: Xiao et al., "Efficient Streaming Language Models with Attention Sinks", 2024, section 3), those
before the gap come nearer, unless their distance is kept; both are measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bloomlab.config import BloomConfig
from bloomlab.errors import InputError, NearMatches, did_you_mean
from bloomlab.generation.predict import predict
from bloomlab.hooks import Edit, Edits, Hooks, in_order
from bloomlab.lens.effect import kl
from bloomlab.model.cache import KVCache
from bloomlab.tracing.edits import cut
from bloomlab.weights.pretrained import BloomPreTrainedModel

KEEP = ("all", "without the oldest", "window", "first and window")
"""What can be left of a cache."""


def cache_bytes(config: BloomConfig, columns: int, number: int = 4) -> int:
    """How many bytes a cache of so many columns takes, `number` bytes for each of its numbers.

    >>> cache_bytes(BloomConfig(hidden_size=1024, n_layer=24, n_head=16), 2048)      # bloom-560m in float32: 384 MiB
    402653184
    """
    return int(2 * config.n_layer * config.hidden_size * columns * number)


def multiplications(config: BloomConfig, keys: int, cached: bool = True) -> int:
    """How many multiplications the step takes that predicts the token after `keys` columns, with a cache or without.

    >>> small = BloomConfig(vocab_size=10, hidden_size=2, n_layer=1, n_head=1)
    >>> multiplications(small, 3), multiplications(small, 3, cached=False)     # 48 + 12 + 20; 144 + 24 + 20
    (80, 188)
    """
    columns = 1 if cached else keys
    looks = columns * keys - columns * (columns - 1) // 2
    hidden = config.hidden_size
    return int(config.n_layer * (columns * 12 * hidden**2 + 2 * hidden * looks) + hidden * config.vocab_size)


def value_norms(cache: KVCache) -> Tensor:
    """How long the values of each cell are, all heads together: (layer, pos)."""
    return torch.stack([values[0].float().square().sum((0, 2)).sqrt() for _, values in cache]).cpu()


def kept(keep: str, columns: int, window: int = 8) -> list[int]:
    """Which of so many columns are left.

    >>> kept("without the oldest", 4), kept("window", 4, 2), kept("first and window", 4, 2)
    ([1, 2, 3], [2, 3], [0, 2, 3])

    Raises:
        InputError: there is no such way, or no such window.
    """
    if keep not in KEEP:
        raise InputError(f"there is no way {keep!r} to keep a cache{did_you_mean(keep, KEEP)}; {', '.join(KEEP)}")
    if not isinstance(window, int) or isinstance(window, bool) or window < 1:
        raise InputError(f"a window is at least 1 column, but got {window!r}")
    first = {"all": 0, "without the oldest": 1}.get(keep, max(0, columns - window))
    return [*([0] if keep == "first and window" and first > 0 and columns else []), *range(first, columns)]


@dataclass(frozen=True)
class Eviction(NearMatches):
    """What the next token loses with part of the cache.

    Attributes:
        kept: the columns that are left, of those before the newest.
        nbytes: what they take up.
        kl: how far the next token moves, nats: KL of what is said with the whole cache to what is said without.
        kl_in_place: the same where every column that is left keeps its distance.
        logits: (vocab) of the next token.
    """

    kept: list[int]
    nbytes: int
    kl: float
    kl_in_place: float
    logits: Tensor


def evict(
    model: BloomPreTrainedModel, ids: Tensor, past: KVCache, keep: Sequence[int], edit: Edits | None = None
) -> Eviction:
    """Predict the next token with only some columns of the cache.

    Args:
        ids: (pos) the text.
        past: the cache of all its columns but the newest, which always reads itself.
        keep: which of these are left, in order.
        edit: what else is changed in the model.

    Raises:
        InputError: the cache is not that of the text, or a column is named that it does not have.
    """
    columns, keep = len(ids) - 1, list(keep)
    if past.length != columns:
        raise InputError(f"the cache must hold all columns but the newest, {columns}, but it holds {past.length}")
    if keep != sorted({column for column in keep if 0 <= column < columns}):
        raise InputError(f"keep must name columns from 0 to {columns - 1}, each once and in order, but got {keep}")
    index = torch.tensor(keep, dtype=torch.long, device=ids.device)
    rest = past.columns(index)
    left = torch.cat([ids[index], ids[-1:]])
    gone = sorted({*range(columns)} - {*keep})
    in_place: dict[str, Edit | Sequence[Edit]] = dict(edit or {})
    for spot in [f"h.{layer}.attn.biased" for layer in range(model.config.n_layer)] if gone else []:
        in_place[spot] = [*(in_order(spot, in_place[spot]) if spot in in_place else ()), cut(key=gone)]
    whole = _next(model, ids, past, edit)
    logits = _next(model, left, rest if keep else None, edit)
    return Eviction(
        kept=keep,
        nbytes=rest.nbytes,
        kl=_moved(whole, logits),
        kl_in_place=_moved(whole, _next(model, ids, past, in_place)),
        logits=logits,
    )


def transplant(cache: KVCache, other: KVCache, columns: Sequence[int]) -> KVCache:
    """A cache in which these columns, in every layer, are those of another cache of the same length.

    Raises:
        InputError: the two do not fit, or there is no such column.
    """
    shapes = [[keys.shape for keys, _ in one] for one in (cache, other)]
    if shapes[0] != shapes[1]:
        raise InputError(f"two caches must be of one size, but they are {cache!r} and {other!r}")
    if any(not 0 <= column < cache.length for column in columns):
        raise InputError(f"the columns must be from 0 to {cache.length - 1}, but got {list(columns)}")
    here = torch.zeros(cache.length, dtype=torch.bool, device=cache[0][0].device)
    here[list(columns)] = True
    pairs = zip(cache, other, strict=True)
    return KVCache([tuple(map(lambda own, its: torch.where(here[:, None], its, own), *pair)) for pair in pairs])  # type: ignore[misc]  # a pair stays a pair


def change_of(
    model: BloomPreTrainedModel, ids: Tensor, past: KVCache, other: KVCache, edit: Edits | None = None
) -> tuple[float, Tensor]:
    """How far the next token moves with another cache of all columns but the newest: KL in nats, logits (vocab)."""
    logits = _next(model, ids, other, edit)
    return _moved(_next(model, ids, past, edit), logits), logits


def uncached_difference(model: BloomPreTrainedModel, ids: Tensor, logits: Tensor, edit: Edits | None = None) -> float:
    """The largest difference between these logits (vocab) of the next token and those of the text read afresh."""
    return float((_next(model, ids, None, edit) - logits).abs().max())


def _next(model: BloomPreTrainedModel, ids: Tensor, past: KVCache | None, edit: Edits | None) -> Tensor:
    row = ids[None]
    return predict(model, row, torch.ones_like(row), past, True, Hooks(edit=edit))[0][0]


def _moved(before: Tensor, after: Tensor) -> float:
    return float(kl(before.double().log_softmax(-1), after.double().log_softmax(-1)))
