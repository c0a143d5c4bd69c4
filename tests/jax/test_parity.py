"""The JAX model against its torch twin: the same numbers for every head count, residual and kind of padding."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.jax.twins import assert_close, make_twins
from tests.parity.pairs import make_batch

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[1, 6, 7, 8, 12, 16, 112], ids=lambda n: f"{n} heads")
def n_head(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module", params=[False, True], ids=["usual residual", "normed residual"])
def twins(request: pytest.FixtureRequest, n_head: int) -> tuple[Any, Any]:
    head_dim = 2 if n_head == 112 else 4
    return make_twins(n_head, head_dim, apply_residual_connection_post_layernorm=request.param)


def masks() -> dict[str, Tensor]:
    left = make_batch()[1]
    return {"none": torch.ones_like(left), "left": left, "right": left.flip(1)}


@pytest.mark.parametrize("padding", ["none", "left", "right"])
def test_logits_hidden_states_and_attentions_are_equal(padding: str, twins: tuple[Any, Any]) -> None:
    torch_model, jax_model = twins
    ids, mask = make_batch()[0], masks()[padding]
    everything = {"output_attentions": True, "output_hidden_states": True}
    theirs = torch_model(ids, attention_mask=mask, **everything)
    ours = jax_model(ids, mask, **everything)
    assert ours.keys() == ("logits", "hidden_states", "attentions")
    assert_close(ours.logits, theirs.logits, mask)
    for state, expected in zip(ours.hidden_states, theirs.hidden_states, strict=True):
        assert_close(state, expected, mask)
    for probs, expected in zip(ours.attentions, theirs.attentions, strict=True):
        assert_close(probs, expected)


def test_uneven_cached_steps_are_equal_to_the_whole_pass(twins: tuple[Any, Any]) -> None:
    torch_model, jax_model = twins
    ids, mask = make_batch()
    past, logits = jax_model.init_cache(3, 14), []
    for start, stop in ((0, 5), (5, 6), (6, 11)):
        output = jax_model(ids[:, start:stop], mask[:, :stop], past_key_values=past)
        past = output.past_key_values
        logits.append(output.logits)
    assert int(past["column"]) == 11
    assert_close(np.concatenate(logits, 1), torch_model(ids, attention_mask=mask).logits, mask)


def test_greedy_ids_are_equal(twins: tuple[Any, Any]) -> None:
    torch_model, jax_model = twins
    ids, mask = make_batch()
    settings = {"max_new_tokens": 10, "eos_token_id": None, "repetition_penalty": 1.2}
    ours = jax_model.generate(ids, mask, **settings).sequences
    assert np.array_equal(ours, torch_model.generate(ids, mask, **settings))


@pytest.mark.parametrize(
    "config",
    [{"slow_but_exact": True, "pretraining_tp": 2}, {"tie_word_embeddings": False}, {"layer_norm_epsilon": 0.1}],
    ids=lambda config: next(iter(config)),
)
def test_every_choice_of_the_config_is_equal(config: dict[str, Any]) -> None:
    torch_model, jax_model = make_twins(**config)
    ids, mask = make_batch()
    assert_close(jax_model(ids, mask).logits, torch_model(ids, attention_mask=mask).logits, mask)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_as_close_to_float32_as_torch_s(dtype: str) -> None:
    torch_model, jax_model = make_twins(hidden_size=48)
    ids, mask = make_batch()
    exact = torch_model(ids, attention_mask=mask).logits.detach()
    theirs = torch_model.to(getattr(torch, dtype))(ids, attention_mask=mask).logits.detach()
    half = type(jax_model)(jax_model.config, dtype=dtype, _do_init=False)
    logits = half(ids, mask, params=jax_model.params).logits
    assert logits.dtype.name == dtype
    real = mask.bool().numpy()
    error = np.abs(np.asarray(logits, np.float32) - exact.numpy())[real].max()
    assert error < 1.5 * np.abs(theirs.float().numpy() - exact.numpy())[real].max() < 0.05 * np.abs(exact.numpy()).max()
