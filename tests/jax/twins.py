"""The same random BLOOM in both languages."""

from typing import Any

import numpy as np
from torch import Tensor

from bloomlab.config import BloomConfig
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.jax.causal_lm import FlaxBloomForCausalLM
from bloomlab.jax.checkpoint import to_params
from tests.parity.pairs import VOCAB, randomise


def make_twins(n_head: int = 6, head_dim: int = 4, seed: int = 0, **config: Any) -> tuple[Any, Any]:
    """The torch model and the JAX model, with equal weights of a size that makes every term count."""
    values = {"vocab_size": VOCAB, "hidden_size": head_dim * n_head, "n_layer": 2, "n_head": n_head, **config}
    torch_model = BloomForCausalLM(BloomConfig(**values)).eval()
    randomise(torch_model, seed)
    return torch_model, jax_twin(torch_model)


def jax_twin(torch_model: BloomForCausalLM) -> FlaxBloomForCausalLM:
    """A JAX model with the weights of a torch model."""
    model = FlaxBloomForCausalLM(torch_model.config, _do_init=False)
    model.params = to_params(torch_model.state_dict(), model.params_shape_tree)
    return model


def assert_close(ours: Any, theirs: Tensor, mask: Tensor | None = None, atol: float = 2e-5) -> None:
    """Equal where the mask (batch, pos) has a token: what padding columns hold means nothing."""
    array, tensor = np.asarray(ours), theirs.detach().numpy()
    assert array.shape == tensor.shape
    if mask is not None:
        array, tensor = array[mask.bool().numpy()], tensor[mask.bool().numpy()]
    np.testing.assert_allclose(array, tensor, atol=atol, rtol=0)
