"""What the models return: values by name, by key or by place, as in torch; and JAX can look inside.

A value nobody asked for is None and does not count, so `out[0]` is the first one that is there.
"""

from dataclasses import dataclass, fields
from typing import Any

import jax
from jax import Array

from bloomlab.jax.cache import KVCache
from bloomlab.outputs import ModelOutput


def _tree(cls: Any) -> Any:
    """Let `jax.jit` and `jax.vmap` return such a record."""
    return jax.tree_util.register_dataclass(cls, [field.name for field in fields(cls)], [])


@_tree
@dataclass
class FlaxBaseModelOutput(ModelOutput):
    """What FlaxBloomModel returns.

    last_hidden_state (batch, pos, hidden), after the final layer norm; past_key_values, if some were given;
    hidden_states, n_layer + 1 of (batch, pos, hidden), the first after the embedding layer norm, the last after the
    final one; attentions, n_layer of (batch, head, query, key).
    """

    last_hidden_state: Array
    past_key_values: KVCache | None = None
    hidden_states: tuple[Array, ...] | None = None
    attentions: tuple[Array, ...] | None = None


@_tree
@dataclass
class FlaxMaskedLMOutput(ModelOutput):
    """What FlaxBloomForCausalLM returns: logits (batch, pos, vocab), and what the model returned."""

    logits: Array
    past_key_values: KVCache | None = None
    hidden_states: tuple[Array, ...] | None = None
    attentions: tuple[Array, ...] | None = None


@_tree
@dataclass
class FlaxGenerateOutput(ModelOutput):
    """What generate returns: sequences (batch · returns, longer) ids, prompt included."""

    sequences: Array
