"""The MLP: works on each position by itself.

    pre  = x · up + bias          four times as wide: one number a neuron
    post = gelu(pre)              close to 0 for pre < 0, close to pre for pre > 0
    out  = post · down + bias     what is added to the residual stream

    gelu(x) = x/2 · (1 + tanh(sqrt(2/π) · (x + 0.044715 x³)))

Source of the formula: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016, section 2.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from bloomlab.config import BloomConfig
from bloomlab.jax.attention import sliced_dot
from bloomlab.jax.hooks import NO_HOOKS, Hooks


class FlaxBloomMLP(nn.Module):
    """Up, GELU, down. x (batch, pos, hidden) -> what to add to it (batch, pos, hidden)."""

    config: BloomConfig
    dtype: Any = jnp.float32

    def setup(self) -> None:
        config = self.config
        slices = config.pretraining_tp if config.slow_but_exact else 1
        linear = partial(nn.Dense, dtype=self.dtype, kernel_init=nn.initializers.normal(config.initializer_range))
        self.dense_h_to_4h = linear(4 * config.hidden_size)
        self.dense_4h_to_h = linear(config.hidden_size, dot_general=sliced_dot(slices))
        self.hidden_dropout = nn.Dropout(config.hidden_dropout)

    def __call__(self, x: Array, hooks: Hooks = NO_HOOKS, train: bool = False) -> Array:
        pre = hooks("pre", self.dense_h_to_4h(x), "batch pos neuron")
        post = hooks("post", jax.nn.gelu(pre, approximate=True), "batch pos neuron")
        out = self.hidden_dropout(self.dense_4h_to_h(post), deterministic=not train)
        return hooks("out", out, "batch pos hidden")
