"""One block: attention, then the MLP, each added to the residual stream.

    resid_mid  = resid_pre + attention(layer_norm(resid_pre))
    resid_post = resid_mid + mlp(layer_norm(resid_mid))

Attention moves information between positions; the MLP works on each position alone; the stream carries the sum.
With `apply_residual_connection_post_layernorm` the stream itself is replaced by its layer norm before each addition.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from bloomlab.config import BloomConfig
from bloomlab.jax.attention import Bias, FlaxBloomAttention, KeyValue
from bloomlab.jax.hooks import NO_HOOKS, Hooks
from bloomlab.jax.mlp import FlaxBloomMLP


def layer_norm(config: BloomConfig, dtype: Any) -> nn.LayerNorm:
    """A layer norm that takes the mean before the variance, as torch does (flax's shortcut loses digits)."""
    return nn.LayerNorm(epsilon=config.layer_norm_epsilon, dtype=dtype, use_fast_variance=False)


class FlaxBloomBlock(nn.Module):
    """Two residual additions. x (batch, pos, hidden) -> (batch, pos, hidden), and the layer's keys and values."""

    config: BloomConfig
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.input_layernorm = layer_norm(self.config, self.dtype)
        self.self_attention = FlaxBloomAttention(self.config, self.dtype)
        self.post_attention_layernorm = layer_norm(self.config, self.dtype)
        self.mlp = FlaxBloomMLP(self.config, self.dtype)

    def __call__(
        self, x: Array, bias: Bias, past: KeyValue | None = None, hooks: Hooks = NO_HOOKS, train: bool = False
    ) -> tuple[Array, KeyValue]:
        residual_is_normed = self.config.apply_residual_connection_post_layernorm
        x = hooks("resid_pre", x, "batch pos hidden")
        normed = self.input_layernorm(x)
        attn_out, key_value = self.self_attention(normed, bias, past, hooks.at("attn"), train)
        x = hooks("resid_mid", (normed if residual_is_normed else x) + attn_out, "batch pos hidden")

        normed = self.post_attention_layernorm(x)
        mlp_out = self.mlp(normed, hooks.at("mlp"), train)
        x = hooks("resid_post", (normed if residual_is_normed else x) + mlp_out, "batch pos hidden")
        return x, key_value
