"""From the scores of all tokens to the choice of one: pure functions on logits (batch, vocab).

    repetition penalty  ->  temperature  ->  top-k  ->  top-p  ->  draw

Each step makes some tokens less likely; a token at -inf cannot be drawn. Greedy choice takes the largest logit after
the repetition penalty: the other steps do not change which one that is.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax


def penalise_repetition(logits: Array, ids: Array, penalty: float | Array) -> Array:
    """Make tokens that already stand in the row less likely: positive logits are divided, negative ones multiplied.

    logits (batch, vocab), ids (batch, pos) -> (batch, vocab). Source: Keskar et al., "CTRL", 2019, section 4.1.

    >>> penalise_repetition(jnp.array([[2.0, -2.0, 1.0]]), jnp.array([[0, 1]]), 2.0).tolist()
    [[1.0, -4.0, 1.0]]
    """
    seen = jnp.take_along_axis(logits, ids, 1)
    rows = jnp.arange(len(ids))[:, None]
    return logits.at[rows, ids].set(jnp.where(seen < 0, seen * penalty, seen / penalty))


def scale_temperature(logits: Array, temperature: float | Array) -> Array:
    """Below 1 the likely become likelier, above 1 all come closer together.

    >>> scale_temperature(jnp.array([[1.0, 2.0]]), 0.5).tolist()
    [[2.0, 4.0]]
    """
    return logits / temperature


def keep_top_k(logits: Array, k: int) -> Array:
    """Keep the k likeliest tokens (and those that tie with the last of them).

    >>> keep_top_k(jnp.array([[1.0, 3.0, 2.0]]), 2).tolist()
    [[-inf, 3.0, 2.0]]
    """
    lowest_kept = lax.top_k(logits, min(k, logits.shape[-1]))[0][:, -1:]
    return jnp.where(logits < lowest_kept, -jnp.inf, logits)


def keep_top_p(logits: Array, p: float | Array) -> Array:
    """Keep the smallest set of likeliest tokens whose probabilities reach p; always at least one.

    Source: Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020, section 3.1.

    >>> probs = jnp.array([[0.5, 0.3, 0.2]])
    >>> jax.nn.softmax(keep_top_p(jnp.log(probs), 0.6))
    Array([[0.625, 0.375, 0.   ]], dtype=float32)
    """
    order = logits.argsort(-1)
    ascending = jnp.take_along_axis(logits, order, -1)
    drop = jax.nn.softmax(ascending).cumsum(-1) <= 1 - p
    drop = drop.at[:, -1].set(False)
    rows = jnp.arange(len(logits))[:, None]
    return jnp.where(jnp.zeros_like(drop).at[rows, order].set(drop), -jnp.inf, logits)


def draw(logits: Array, key: Array) -> Array:
    """One token a row, each as often as its probability says: (batch, vocab) -> (batch)."""
    return jax.random.categorical(key, logits, -1)
