"""From token ids to vectors.

Each id picks a row of a table. BLOOM then normalises that row (most models do not; the large training run was
steadier with it). Nothing here says where a token stands: positions enter only in attention, through ALiBi.

    embed = layer_norm(table[id])                                        (batch, pos, hidden)
"""

import flax.linen as nn
from jax import Array

from bloomlab.jax.hooks import NO_HOOKS, Hooks


def embed(
    input_ids: Array, word_embeddings: nn.Embed, word_embeddings_layernorm: nn.LayerNorm, hooks: Hooks = NO_HOOKS
) -> Array:
    """The first state of the residual stream: ids (batch, pos) -> (batch, pos, hidden)."""
    vectors: Array = word_embeddings_layernorm(word_embeddings(input_ids))
    return hooks("embed", vectors, "batch pos hidden")
