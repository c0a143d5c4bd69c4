"""The head BLOOM was trained with: from the final state of each position, a score for every possible next token.

    logits = final · table^T                                             (batch, pos, vocab)

The table is the embedding table itself: the weights are tied, so a token is scored by how well the final state
points along its own embedding.
"""

from functools import cached_property, partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from bloomlab.config import BloomConfig
from bloomlab.errors import InputError
from bloomlab.jax.bloom import FlaxBloomModule
from bloomlab.jax.cache import KVCache
from bloomlab.jax.decode import generate, write
from bloomlab.jax.hooks import NO_HOOKS, Hooks
from bloomlab.jax.outputs import FlaxGenerateOutput, FlaxMaskedLMOutput
from bloomlab.jax.pretrained import FlaxBloomPreTrainedModel


class FlaxBloomForCausalLMModule(nn.Module):
    """The computation of the language model."""

    config: BloomConfig
    dtype: Any = jnp.float32

    def setup(self) -> None:
        config, normal = self.config, nn.initializers.normal(self.config.initializer_range)
        self.transformer = FlaxBloomModule(config, self.dtype)
        if not config.tie_word_embeddings:
            self.lm_head = nn.Dense(config.vocab_size, use_bias=False, dtype=self.dtype, kernel_init=normal)

    def __call__(
        self,
        input_ids: Array,
        attention_mask: Array,
        past: KVCache | None = None,
        hooks: Hooks = NO_HOOKS,
        train: bool = False,
        logits_to_keep: int = 0,
    ) -> FlaxMaskedLMOutput:
        """FlaxBloomModule's arguments, and logits_to_keep: only the last so many positions (0: all)."""
        output = self.transformer(input_ids, attention_mask, past, hooks, train)
        x = output.last_hidden_state[:, -logits_to_keep:]
        head = self.transformer.word_embeddings.attend if self.config.tie_word_embeddings else self.lm_head
        logits = hooks("logits", head(x), "batch pos vocab")
        return FlaxMaskedLMOutput(logits=logits, past_key_values=output.past_key_values)


class FlaxBloomForCausalLM(FlaxBloomPreTrainedModel):
    """BLOOM as a language model.

    >>> model = FlaxBloomForCausalLM(BloomConfig(vocab_size=100, hidden_size=16, n_layer=2, n_head=4))
    >>> model(jnp.array([[5, 6, 7]])).logits.shape
    (1, 3, 100)
    """

    module_class = FlaxBloomForCausalLMModule

    def generate(self, input_ids: Any, attention_mask: Any = None, **settings: Any) -> FlaxGenerateOutput:
        """Continue each row: (batch, pos) ids -> `.sequences` (batch, longer), prompt included. See `Settings`.

        Raises:
            GenerationError, InputError: as the torch classes do.
        """
        return generate(self, input_ids, attention_mask, **settings)

    @cached_property
    def _write(self) -> Any:
        """The compiled loop."""
        return jax.jit(partial(write, self.module, self.config, self.dtype), static_argnames="plan")


def next_token_loss(logits: Array, labels: Array) -> Array:
    """Mean surprise at the next token, in nats: position i's logits against the label at i + 1; -100 is left out.

    logits (batch, pos, vocab), labels (batch, pos) -> a number, in float32. For `jax.grad`:

    >>> next_token_loss(jnp.zeros((1, 3, 4)), jnp.array([[0, 1, 2]]))  # no idea among 4: log(4)
    Array(1.3862944, dtype=float32)
    """
    if logits.shape[:2] != labels.shape:
        raise InputError(
            f"labels must have shape {tuple(logits.shape[:2])} like the inputs, but have {tuple(labels.shape)}"
        )
    log_probs, truth = jax.nn.log_softmax(logits[:, :-1].astype(jnp.float32)), labels[:, 1:]
    counted = truth != -100
    surprise = -jnp.take_along_axis(log_probs, jnp.where(counted, truth, 0)[..., None], -1)[..., 0]
    return jnp.where(counted, surprise, 0.0).sum() / counted.sum()
