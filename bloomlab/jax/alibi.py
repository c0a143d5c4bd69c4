"""ALiBi: attention with linear biases, how BLOOM knows where a token stands.

Every head adds a straight line to its scores, so that a key far back starts at a disadvantage:

    biased[query, key] = scores[query, key] - slope · (query - key)

Softmax does not notice a constant added to a whole row, so BLOOM adds slope · key instead. `slopes` is plain Python
and serves both languages.

Source: Press, Smith and Lewis, "Train Short, Test Long", 2022, section 3 and its footnote on head counts.
"""

from jax import Array

from bloomlab.model.alibi import slopes as slopes


def key_positions(attention_mask: Array) -> Array:
    """Each column's position among the tokens of its row; padding counts for nothing and stands at 0.

    (batch, key) -> (batch, key)

    >>> import jax.numpy as jnp
    >>> key_positions(jnp.array([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])).tolist()
    [[0, 0, 0, 1, 2], [0, 1, 2, 3, 4]]
    """
    mask = attention_mask.astype(int)
    return (mask.cumsum(-1) - 1) * mask


def alibi_bias(head_slopes: Array, positions: Array) -> Array:
    """What ALiBi adds to the scores: slope · position of the key, the same for every query.

    Slopes (head), positions (batch, key) -> (batch, head, 1, key), in the slopes' dtype. A model casts the float32
    result to its own dtype, as the trained models did.

    >>> import jax.numpy as jnp
    >>> alibi_bias(jnp.array([0.5, 0.25]), jnp.array([[0, 1, 2]])).tolist()
    [[[[0.0, 0.5, 1.0]], [[0.0, 0.25, 0.5]]]]
    """
    return head_slopes[None, :, None, None] * positions[:, None, None, :]
