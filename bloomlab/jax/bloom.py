"""BLOOM without a head: embedding, blocks, final layer norm.

x = embed(ids)
x = block(x)                   n_layer times
final = layer_norm(x)          (batch, pos, hidden)

A flax module holds no weights: `module.apply({"params": params}, …)` is a function of them. FlaxBloomModel keeps a
module and its params together, as the documentation has it.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from bloomlab.config import BloomConfig
from bloomlab.jax.attention import Bias, make_bias
from bloomlab.jax.block import FlaxBloomBlock, layer_norm
from bloomlab.jax.cache import KVCache
from bloomlab.jax.embedding import embed
from bloomlab.jax.hooks import NO_HOOKS, Hooks
from bloomlab.jax.outputs import FlaxBaseModelOutput
from bloomlab.jax.pretrained import FlaxBloomPreTrainedModel


class FlaxBloomBlocks(nn.Module):
    """The blocks, one after the other; what nn.ModuleList is in torch. Their names are "0", "1", …"""

    config: BloomConfig
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.blocks = [FlaxBloomBlock(self.config, self.dtype, name=str(i)) for i in range(self.config.n_layer)]

    def __call__(self, x: Array, bias: Bias, past: KVCache | None, hooks: Hooks, train: bool) -> tuple[Array, KVCache]:
        pairs = []
        for i, block in enumerate(self.blocks):
            x, key_value = block(x, bias, past["pairs"][i] if past else None, hooks.at(f"h.{i}"), train)
            pairs.append(key_value)
        return x, KVCache(pairs=tuple(pairs), column=bias.column + x.shape[1])


class FlaxBloomModule(nn.Module):
    """The computation of the base model."""

    config: BloomConfig
    dtype: Any = jnp.float32

    def setup(self) -> None:
        config, normal = self.config, nn.initializers.normal(self.config.initializer_range)
        self.word_embeddings = nn.Embed(config.vocab_size, config.hidden_size, self.dtype, embedding_init=normal)
        self.word_embeddings_layernorm = layer_norm(config, self.dtype)
        self.h = FlaxBloomBlocks(config, self.dtype)
        self.ln_f = layer_norm(config, self.dtype)

    def __call__(
        self,
        input_ids: Array,
        attention_mask: Array,
        past: KVCache | None = None,
        hooks: Hooks = NO_HOOKS,
        train: bool = False,
    ) -> FlaxBaseModelOutput:
        """One pass over the new columns.

        ids (batch, pos), mask (batch, key): past and new columns together; with a cache, all it has room for.
        """
        column = past["column"] if past else 0
        hooks.start(column)
        columns = column + jnp.arange(input_ids.shape[1])

        x = embed(input_ids, self.word_embeddings, self.word_embeddings_layernorm, hooks)
        bias = make_bias(attention_mask, columns, self.config.n_head, x.dtype)
        x, cache = self.h(x, bias, past, hooks, train)
        x = hooks("final", self.ln_f(x), "batch pos hidden")
        return FlaxBaseModelOutput(last_hidden_state=x, past_key_values=cache if past else None)


class FlaxBloomModel(FlaxBloomPreTrainedModel):
    """The base model: ids in, the final state of the residual stream out.

    >>> model = FlaxBloomModel(BloomConfig(vocab_size=100, hidden_size=16, n_layer=2, n_head=4))
    >>> model(jnp.array([[5, 6, 7]])).last_hidden_state.shape
    (1, 3, 16)
    """

    module_class = FlaxBloomModule
