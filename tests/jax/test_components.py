"""The pure functions of the JAX files give what their torch namesakes give, so a reader can compare them in pairs."""

import inspect

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from bloomlab.generation import rules
from bloomlab.generation import sampling as torch_sampling
from bloomlab.jax import alibi, attention, bloom, causal_lm, sampling
from bloomlab.model import alibi as torch_alibi
from bloomlab.model import attention as torch_attention
from tests.tiny_random import padded_mask

MASK = padded_mask()
LOGITS = torch.randn(2, 9, generator=torch.Generator().manual_seed(0))


def array(tensor: torch.Tensor) -> jnp.ndarray:
    return jnp.asarray(tensor.numpy())


def test_both_languages_share_the_slopes() -> None:
    assert alibi.slopes is torch_alibi.slopes


@pytest.mark.slow
def test_positions_and_biases_are_the_same() -> None:
    positions, slopes = torch_alibi.key_positions(MASK), torch.tensor(torch_alibi.slopes(6))
    assert np.array_equal(alibi.key_positions(array(MASK)), positions)
    assert np.array_equal(alibi.alibi_bias(array(slopes), array(positions)), torch_alibi.alibi_bias(slopes, positions))


@pytest.mark.slow
@pytest.mark.parametrize("n_query", [1, 2, 5])
def test_who_sees_whom_is_the_same(n_query: int) -> None:
    columns = jnp.arange(5 - n_query, 5)
    theirs = torch_attention.make_bias(MASK, n_query, 6, torch.float32)
    ours = attention.make_bias(array(MASK), columns, 6, jnp.float32)
    assert np.array_equal(ours.visible, theirs.visible)
    assert np.array_equal(ours.alibi, theirs.alibi)
    assert int(ours.column) == 5 - n_query


@pytest.mark.slow
def test_heads_are_cut_and_merged_the_same_way() -> None:
    fused = torch.arange(2.0 * 3 * 4 * 3 * 2).view(2, 3, 24)
    ours, theirs = attention.split_heads(array(fused), 4), torch_attention.split_heads(fused, 2)
    for part, expected in zip(ours, theirs, strict=True):
        assert np.array_equal(part, expected)
    assert np.array_equal(attention.merge_heads(ours[0]), torch_attention.merge_heads(theirs[0]))


@pytest.mark.slow
def test_the_past_is_written_into_a_copy_as_wide_as_before() -> None:
    old = jnp.zeros((1, 2, 4, 3)), jnp.ones((1, 2, 4, 3))
    new = jnp.full((1, 2, 1, 3), 5.0), jnp.full((1, 2, 1, 3), 6.0)
    k, v = attention.extend(old, *new, jnp.array(2))
    assert k[0, 0, :, 0].tolist() == [0, 0, 5, 0] and v[0, 0, :, 0].tolist() == [1, 1, 6, 1]
    assert old[0].sum() == 0
    assert attention.extend(None, *new, jnp.array(0)) == new


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"), [("scale_temperature", 0.7), ("keep_top_k", 3), ("keep_top_p", 0.5), ("keep_top_p", 1e-9)]
)
def test_what_narrows_the_choice_is_the_same(name: str, value: float) -> None:
    ours, theirs = getattr(sampling, name)(array(LOGITS), value), getattr(torch_sampling, name)(LOGITS, value)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.slow
def test_repetition_is_penalised_once_however_often_a_token_stands_there() -> None:
    ids = torch.tensor([[0, 1, 1], [8, 8, 8]])
    theirs = rules.penalise_repetition(LOGITS, ids, 1.7)
    np.testing.assert_allclose(sampling.penalise_repetition(array(LOGITS), array(ids), 1.7), theirs, rtol=1e-6)


@pytest.mark.slow
def test_the_loss_is_the_same_and_leaves_out_what_is_masked() -> None:
    from bloomlab.heads.causal_lm import next_token_loss

    logits = torch.randn(2, 4, 9, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([[1, 2, 3, 4], [5, -100, 7, -100]])
    ours = causal_lm.next_token_loss(array(logits), array(labels))
    np.testing.assert_allclose(ours, next_token_loss(logits, labels), rtol=1e-6)
    with pytest.raises(ValueError, match=r"labels must have shape \(2, 4\) like the inputs, but have \(2, 3\)"):
        causal_lm.next_token_loss(array(logits), array(labels[:, :3]))


def test_the_call_takes_the_documented_arguments_in_their_order() -> None:
    documented = "input_ids attention_mask past_key_values params dropout_rng train output_attentions "
    documented += "output_hidden_states return_dict"
    for kind in (bloom.FlaxBloomModel, causal_lm.FlaxBloomForCausalLM):
        assert list(inspect.signature(kind.__call__).parameters)[1:10] == documented.split()
        assert list(inspect.signature(kind).parameters) == ["config", "input_shape", "seed", "dtype", "_do_init"]
