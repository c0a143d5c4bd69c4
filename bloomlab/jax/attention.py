"""Attention: every position gathers from the positions before it.

    scores = q·k / sqrt(head_dim)          how well a query fits each key
    biased = scores + slope · position     ALiBi: near keys start ahead
    probs  = softmax(biased)               over the keys this query may see
    mixed  = probs · v                     the values, averaged with these weights
    out    = dense(heads side by side)     what is added to the residual stream

There is one path here: the compiler fuses the readable lines by itself. Shapes are fixed when a function is compiled,
so a cache is as wide as it will ever be, and what changes from token to token is the column the new pass begins at.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax

from bloomlab.config import BloomConfig
from bloomlab.jax.alibi import alibi_bias, key_positions, slopes
from bloomlab.jax.hooks import NO_HOOKS, Hooks

KeyValue = tuple[Array, Array]
"""The keys and the values of one layer, each (batch, head, key, head_dim)."""


class Bias(NamedTuple):
    """What every layer of one pass adds to its scores, made once by FlaxBloomModule."""

    alibi: Array  # (batch, head, 1, key)
    visible: Array  # (batch, 1, query, key): may this query see this key?
    column: Array  # where this pass begins


def visible_keys(attention_mask: Array, columns: Array) -> Array:
    """Which keys the queries in these columns may see: itself and the real tokens before it.

    A padding column sees itself only, so that its values do not depend on what surrounds it.
    (batch, key), (query) -> (batch, 1, query, key)

    >>> visible_keys(jnp.array([[0, 1, 1]]), jnp.arange(3)).astype(int).tolist()
    [[[[1, 0, 0], [0, 1, 0], [0, 1, 1]]]]
    """
    real = attention_mask.astype(bool)
    key = jnp.arange(real.shape[1])
    query = columns[:, None]
    both_real = real[:, None, :] & real[:, columns][:, :, None]  # (batch, query, key)
    return ((key < query) & both_real | (key == query))[:, None]


def make_bias(attention_mask: Array, columns: Array, n_head: int, dtype: Any) -> Bias:
    """The bias of a pass over these columns, from the mask (batch, key) of all columns there is room for."""
    head_slopes = jnp.array(slopes(n_head), jnp.float32)
    alibi = alibi_bias(head_slopes, key_positions(attention_mask)).astype(dtype)  # float32 until here
    return Bias(alibi, visible_keys(attention_mask, columns), columns[0])


def split_heads(fused: Array, n_head: int) -> tuple[Array, Array, Array]:
    """Cut the fused projection into q, k and v. BLOOM stores them interleaved: q, k, v of head 0, then of head 1, …

    (batch, pos, 3 · hidden) -> three times (batch, head, pos, head_dim)
    """
    q, k, v = jnp.moveaxis(fused.reshape(*fused.shape[:2], n_head, 3, -1), 3, 0)  # (batch, pos, head, head_dim)
    return q.swapaxes(1, 2), k.swapaxes(1, 2), v.swapaxes(1, 2)


def merge_heads(mixed: Array) -> Array:
    """Heads side by side again: (batch, head, query, head_dim) -> (batch, query, hidden)."""
    mixed = mixed.swapaxes(1, 2)
    return mixed.reshape(*mixed.shape[:2], -1)


def extend(past: KeyValue | None, k: Array, v: Array, column: Array) -> KeyValue:
    """The keys and values so far, as a new pair; with a past, of its width, the new ones written from `column` on."""
    if past is None:
        return k, v
    return (
        lax.dynamic_update_slice_in_dim(past[0], k.astype(past[0].dtype), column, 2),
        lax.dynamic_update_slice_in_dim(past[1], v.astype(past[1].dtype), column, 2),
    )


def sliced_dot(slices: int) -> Callable[..., Array]:
    """A matrix product that is summed over column slices, as the training run did on several devices.

    `nn.Dense` takes it in place of its own product, and adds the bias once.

    >>> x, kernel = jnp.ones(4), jnp.arange(8.0).reshape(4, 2)
    >>> sliced_dot(2)(x, kernel, (((0,), (0,)), ((), ()))).tolist(), (x @ kernel).tolist()
    ([12.0, 16.0], [12.0, 16.0])
    """
    if slices == 1:
        return lax.dot_general

    def dot(x: Array, kernel: Array, *how: Any, **more: Any) -> Array:
        parts = zip(jnp.array_split(x, slices, -1), jnp.array_split(kernel, slices, 0), strict=True)
        first, *rest = (lax.dot_general(part, rows, *how, **more) for part, rows in parts)
        return sum(rest, first)

    return dot


class FlaxBloomAttention(nn.Module):
    """Self-attention with ALiBi. x (batch, pos, hidden) -> what to add to it (batch, pos, hidden), and the new pair."""

    config: BloomConfig
    dtype: Any = jnp.float32

    def setup(self) -> None:
        config = self.config
        slices = config.pretraining_tp if config.slow_but_exact else 1
        linear = partial(nn.Dense, dtype=self.dtype, kernel_init=nn.initializers.normal(config.initializer_range))
        self.query_key_value = linear(3 * config.hidden_size)
        self.dense = linear(config.hidden_size, dot_general=sliced_dot(slices))
        self.attention_dropout = nn.Dropout(config.attention_dropout)
        self.hidden_dropout = nn.Dropout(config.hidden_dropout)

    def __call__(
        self, x: Array, bias: Bias, past: KeyValue | None = None, hooks: Hooks = NO_HOOKS, train: bool = False
    ) -> tuple[Array, KeyValue]:
        q, k, v = split_heads(self.query_key_value(x), self.config.n_head)
        q = hooks("q", q, "batch head query head_dim")
        k = hooks("k", k, "batch head pos head_dim")  # before the cache: an edit applies once
        v = hooks("v", v, "batch head pos head_dim")
        k, v = key_value = extend(past, k, v, bias.column)

        scores = hooks("scores", q @ k.mT / math.sqrt(self.config.head_dim), "batch head query key")
        alibi = hooks("alibi", jnp.broadcast_to(bias.alibi, scores.shape), "batch head query key")
        biased = hooks("biased", scores + alibi, "batch head query key")
        # filled, not added: two very low numbers would sum to -inf and a whole row of those to NaN
        seen = jnp.where(bias.visible, biased, jnp.finfo(biased.dtype).min)
        probs = jax.nn.softmax(seen.astype(jnp.float32), -1).astype(q.dtype)
        probs = hooks("probs", self.attention_dropout(probs, deterministic=not train), "batch head query key")
        mixed = hooks("mixed", probs @ v, "batch head query head_dim")

        out = self.hidden_dropout(self.dense(merge_heads(mixed)), deterministic=not train)
        return hooks("out", out, "batch pos hidden"), key_value
