"""Which part holds what: a matrix is cut so that each part works on its share alone, as far as it can.

    query_key_value   rows      by heads: BLOOM keeps q, k and v of one head together, so some heads are some rows
    dense             columns   by heads: what those heads have gathered; the parts' products are added up
    dense_h_to_4h     rows      by neurons
    dense_4h_to_h     columns   by neurons; the products are added up
    the table         rows      by tokens of the vocabulary, and so is the head
    all else          whole     layer norms, and the biases of what is added up (each is added once)

Source: Shoeybi et al., "Megatron-LM", 2019, section 3. Where a count does not divide, the first parts
have one more.
"""

from itertools import pairwise
from typing import NamedTuple

from bloomlab.config import BloomConfig


class Share(NamedTuple):
    """The indices of one axis of a tensor that a part holds."""

    axis: int
    start: int
    stop: int


def ranges(count: int, parts: int) -> list[range]:
    """So many things dealt to so many parts, in order; the first parts get one more if it does not divide.

    >>> ranges(7, 3)
    [range(0, 3), range(3, 5), range(5, 7)]
    >>> ranges(1, 2)
    [range(0, 1), range(1, 1)]
    """
    base, more = divmod(count, parts)
    starts = [part * base + min(part, more) for part in range(parts + 1)]
    return [range(start, stop) for start, stop in pairwise(starts)]


def share(name: str, config: BloomConfig, part: int, parts: int) -> Share | None:
    """What one part of a model holds of a parameter; None for all of it.

    >>> config = BloomConfig(vocab_size=100, hidden_size=16, n_layer=1, n_head=4)
    >>> share("transformer.h.0.self_attention.query_key_value.weight", config, 1, 2)
    Share(axis=0, start=24, stop=48)
    >>> share("transformer.h.0.self_attention.dense.weight", config, 1, 2)
    Share(axis=1, start=8, stop=16)
    >>> share("transformer.h.0.self_attention.dense.bias", config, 1, 2)
    """
    heads = ranges(config.n_head, parts)[part]
    neurons = ranges(4 * config.hidden_size, parts)[part]
    tokens = ranges(config.vocab_size, parts)[part]
    layer, _, kind = name.rpartition(".")
    match layer.rpartition(".")[2], kind:
        case "query_key_value", _:
            return Share(0, 3 * config.head_dim * heads.start, 3 * config.head_dim * heads.stop)
        case "dense", "weight":
            return Share(1, config.head_dim * heads.start, config.head_dim * heads.stop)
        case "dense_h_to_4h", _:
            return Share(0, neurons.start, neurons.stop)
        case "dense_4h_to_h", "weight":
            return Share(1, neurons.start, neurons.stop)
        case "word_embeddings" | "lm_head", _:
            return Share(0, tokens.start, tokens.stop)
    return None


def share_bytes(shapes: dict[str, tuple[int, ...]], config: BloomConfig, part: int, parts: int, itemsize: int) -> int:
    """How many bytes a part holds of parameters of these shapes, each number so many bytes long."""
    total = 0
    for name, shape in shapes.items():
        mine = share(name, config, part, parts)
        size = 1
        for axis, length in enumerate(shape):
            size *= mine.stop - mine.start if mine and mine.axis == axis else length
        total += size * itemsize
    return total
