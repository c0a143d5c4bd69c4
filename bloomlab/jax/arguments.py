"""The arguments of a call as the documentation has them, kept out of the lesson.

Inputs are checked by the functions that check torch's, in the same words. Under `jax.jit`, `grad` and `vmap` an input
has a shape but no values yet, so there only its shape is checked.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jax import Array

from bloomlab.config import BloomConfig
from bloomlab.errors import InputError, did_you_mean, shorten
from bloomlab.guards.arguments import whole_number
from bloomlab.jax.cache import KVCache
from bloomlab.model.arguments import full_mask, past_pairs
from bloomlab.weights.pretrained import DTYPES as OF_TORCH

DTYPES = [name for name in OF_TORCH if name != "int8"]  # whose product is torch's own


def checked_inputs(
    input_ids: Any, attention_mask: Any, past: Any, config: BloomConfig
) -> tuple[Array, Array, KVCache | None]:
    """The ids, the mask (batch, key) of all columns there is room for, and the cache, once they fit each other.

    Raises:
        InputError: they do not, or the cache has no room for so many columns.
    """
    ids = _stand_in(input_ids)
    if past is None:
        mask = full_mask(ids, None, _stand_in(attention_mask), None, None, config)
        return _ids(input_ids), _array(mask if attention_mask is None else attention_mask), None
    room, rows = _checked_cache(past, config)
    if isinstance(past["column"], jax.core.Tracer):  # inside a compiled function nobody knows the column yet
        column = room - (ids.shape[1] if getattr(ids, "ndim", 0) == 2 else 0)
    else:
        column = int(past["column"])
    before = torch.empty(rows, config.n_head, column, config.head_dim, device="meta")
    mask = _stand_in(attention_mask)
    width = column + ids.shape[1] if getattr(ids, "ndim", 0) == 2 else 0
    if width > room:
        raise InputError(
            f"past_key_values has room for {room} columns, but {column} past and {width - column} new ones make "
            f"{width}; make a wider one with init_cache"
        )
    whole = getattr(mask, "shape", ())[1:] == (room,)  # flax's way: the mask of all columns there will ever be
    full_mask(ids, None, mask[:, :width] if whole else mask, None, [(before, before)], config)
    if attention_mask is None or whole:
        wide = jnp.ones((rows, room), jnp.int32) if attention_mask is None else _array(attention_mask)
    else:
        wide = jnp.pad(_array(attention_mask), ((0, 0), (0, room - width)), constant_values=1)
    return _ids(input_ids), wide, past


def _checked_cache(past: Any, config: BloomConfig) -> tuple[int, int]:
    """How many columns and rows a cache has room for, if it is one, and of this model."""
    is_cache = isinstance(past, Mapping) and {"pairs", "column"} <= past.keys()
    if not is_cache or not isinstance(past["pairs"], Sequence) or getattr(past["column"], "ndim", 1) != 0:
        raise InputError(
            f"past_key_values must be what init_cache or an earlier call returned, but got {type(past).__name__}"
        )
    shapes = [
        tuple(torch.empty(getattr(half, "shape", ()), device="meta") for half in tuple(pair)) for pair in past["pairs"]
    ]
    past_pairs(shapes, config)
    return shapes[0][0].shape[2], shapes[0][0].shape[0]


def _stand_in(value: Any) -> Any:
    """A torch tensor for the checks; anything else stays as it is, for them to refuse."""
    if isinstance(value, jax.core.Tracer):
        return torch.zeros(
            value.shape, dtype=torch.float32 if jnp.issubdtype(value.dtype, jnp.floating) else torch.long
        )
    if value is None or isinstance(value, torch.Tensor):
        return value
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):  # rows of different lengths
        return value
    return torch.tensor(array) if array.dtype.kind in "iubf" else value


def _ids(value: Any) -> Array:
    return _array(value).astype(jnp.int32)


def _array(value: Any) -> Array:
    return jnp.asarray(value.numpy() if isinstance(value, torch.Tensor) else value)


def asked(
    output_attentions: bool | None, output_hidden_states: bool | None, config: BloomConfig
) -> tuple[list[str], list[str]]:
    """The spots that the documented switches read: of the attentions, and of the hidden states."""
    layers = range(config.n_layer)
    attentions = config.output_attentions if output_attentions is None else output_attentions
    states = config.output_hidden_states if output_hidden_states is None else output_hidden_states
    return (
        [f"h.{i}.attn.probs" for i in layers] if attentions else [],
        [*(f"h.{i}.resid_pre" for i in layers), "final"] if states else [],
    )


def checked_dtype(dtype: Any) -> Any:
    """The type of number to compute in.

    >>> checked_dtype("bfloat16") is checked_dtype(jnp.bfloat16)
    True
    """
    try:
        name = dtype if isinstance(dtype, str) else str(dtype).removeprefix("torch.")
        name = name if name in DTYPES else jnp.dtype(dtype).name
    except TypeError:
        name = str(dtype)
    if name not in DTYPES:
        hint = did_you_mean(name, [*DTYPES, "auto"])
        raise InputError(f"dtype must be 'auto' or one of {', '.join(DTYPES)}, but got {dtype!r}{hint}")
    if name == "float64" and not jax.config.jax_enable_x64:  # type: ignore[attr-defined]  # it has
        raise InputError(
            "JAX computes in float64 only after jax.config.update('jax_enable_x64', True); call that first"
        )
    return getattr(jnp, name)


def checked_shape(shape: Any) -> tuple[int, int]:
    """(batch, pos), two whole numbers from 1 on."""
    if not isinstance(shape, tuple | list) or len(shape) != 2:
        raise InputError(f"input_shape must be (batch, pos), such as (1, 1), but got {shorten(shape)}")
    batch, pos = shape
    return whole_number("batch of input_shape", batch), whole_number("pos of input_shape", pos)


def checked_key(name: str, key: Any) -> Any:
    """The key of random numbers, of the new kind (jax.random.key) or the old (jax.random.PRNGKey).

    Raises:
        InputError: it is not a key; a plain number is not one.
    """
    dtype, axes = getattr(key, "dtype", None), getattr(key, "ndim", None)
    new = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key) and axes == 0
    if not new and not (dtype == jnp.uint32 and axes == 1):
        raise InputError(f"{name} must be one key, such as jax.random.key(0), but got {shorten(key)}")
    return key


def checked_cache_size(batch_size: Any, max_length: Any) -> None:
    """Refuse a cache of no rows or columns."""
    whole_number("batch_size", batch_size)
    whole_number("max_length", max_length)
