"""The KV cache: keys and values of the columns already read, so that the next pass does not compute them again.

A cache is never changed. Each pass makes a new one from the old, so two continuations of one prompt can start from the
same cache. Its width is fixed when it is made: a function that was compiled for one column serves them all.
"""

from typing import Any, TypedDict

import jax.numpy as jnp
from jax import Array

from bloomlab.config import BloomConfig
from bloomlab.jax.attention import KeyValue


class KVCache(TypedDict):
    """One pair (keys, values) a layer, each (batch, head, max_length, head_dim), and how many columns are in use."""

    pairs: tuple[KeyValue, ...]
    column: Array


def init_cache(config: BloomConfig, batch_size: int, max_length: int, dtype: Any = jnp.float32) -> KVCache:
    """An empty cache with room for `max_length` columns.

    >>> cache = init_cache(BloomConfig(n_layer=2, n_head=4, hidden_size=16), batch_size=1, max_length=10)
    >>> len(cache["pairs"]), cache["pairs"][0][0].shape, int(cache["column"])
    (2, (1, 4, 10, 4), 0)
    """
    empty = jnp.zeros((batch_size, config.n_head, max_length, config.head_dim), dtype)
    return KVCache(pairs=((empty, empty),) * config.n_layer, column=jnp.zeros((), jnp.int32))
