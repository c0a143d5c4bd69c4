"""What the documentation promises of JAX: jit, grad, vmap, and one computation on two devices."""

import os
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bloomlab.jax import next_token_loss
from tests.jax.twins import make_twins
from tests.parity.pairs import make_batch

pytestmark = pytest.mark.slow

IDS, MASK = make_batch()


@pytest.fixture(scope="module")
def twins() -> tuple[Any, Any]:
    return make_twins()


def test_jit_compiles_a_function_that_calls_the_model(twins: tuple[Any, Any]) -> None:
    model = twins[1]
    runs = []

    @jax.jit
    def last(params: Any, ids: Any, mask: Any) -> Any:
        runs.append(1)  # Python runs while JAX looks at the function, and never again
        output = model(ids, mask, params=params, output_hidden_states=True)
        return output, output.logits[:, -1].argmax(-1)

    ids, mask = jnp.asarray(IDS.numpy()), jnp.asarray(MASK.numpy())
    output, best = last(model.params, ids, mask)
    last(model.params, ids, mask)
    assert len(runs) == 1
    expected = model(IDS, MASK)
    np.testing.assert_allclose(output.logits, expected.logits, atol=1e-5)  # the output itself comes out of jit
    assert len(output.hidden_states) == 3
    assert best.tolist() == expected.logits[:, -1].argmax(-1).tolist()


def test_jit_compiles_a_cached_step_once_for_every_column(twins: tuple[Any, Any]) -> None:
    model = twins[1]

    @jax.jit
    def step(params: Any, ids: Any, past: Any) -> Any:
        return model(ids, params=params, past_key_values=past)

    past, logits = model.init_cache(3, 11), []
    for column in range(11):
        output = step(model.params, jnp.asarray(IDS[:, column : column + 1].numpy()), past)
        past = output.past_key_values
        logits.append(output.logits)
    assert step._cache_size() == 1
    np.testing.assert_allclose(np.concatenate(logits, 1), model(IDS).logits, atol=1e-5)


def test_grad_gives_torch_s_gradient_of_every_parameter(twins: tuple[Any, Any]) -> None:
    from bloomlab.jax.checkpoint import to_state

    torch_model, model = twins
    torch_model.zero_grad()
    loss = torch_model(IDS, labels=IDS).loss
    loss.backward()

    def of(params: Any) -> Any:
        return next_token_loss(model(IDS, params=params).logits, jnp.asarray(IDS.numpy()))

    value, gradient = jax.value_and_grad(of)(model.params)
    assert float(value) == pytest.approx(loss.item(), abs=1e-5)
    ours = to_state(gradient)
    expected = dict(torch_model.named_parameters())
    assert ours.keys() == expected.keys()
    for name, parameter in expected.items():
        assert parameter.grad is not None
        np.testing.assert_allclose(ours[name], parameter.grad, atol=2e-5, rtol=1e-3, err_msg=name)


def test_vmap_over_rows_is_the_batch(twins: tuple[Any, Any]) -> None:
    model = twins[1]
    rows = jax.vmap(lambda ids, mask: model(ids[None], mask[None]).logits[0])(
        jnp.asarray(IDS.numpy()), jnp.asarray(MASK.numpy())
    )
    real = MASK.bool().numpy()
    np.testing.assert_allclose(np.asarray(rows)[real], np.asarray(model(IDS, MASK).logits)[real], atol=1e-5)


TWO_DEVICES = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from bloomlab import BloomConfig, FlaxBloomForCausalLM
from bloomlab.jax import next_token_loss

assert jax.device_count() == 2
model = FlaxBloomForCausalLM(BloomConfig(vocab_size=50, hidden_size=16, n_layer=1, n_head=4))
ids = jnp.asarray(np.random.default_rng(0).integers(4, 50, (4, 6)))
mesh = Mesh(jax.devices(), ("batch",))

# a mesh and shardings: jit divides the work by itself
rows = jax.device_put(ids, NamedSharding(mesh, P("batch")))
params = jax.device_put(model.params, NamedSharding(mesh, P()))
logits = jax.jit(lambda params, ids: model(ids, params=params).logits)(params, rows)
assert {shard.device.id for shard in logits.addressable_shards} == {0, 1}
assert {shard.data.shape for shard in logits.addressable_shards} == {(2, 6, 50)}
np.testing.assert_allclose(logits, model(ids).logits, atol=1e-5)

# shard_map: what one device does with its rows, said by hand; the mean of both gradients is the whole one
def gradient(params, ids):
    return jax.grad(lambda params: next_token_loss(model(ids, params=params).logits, ids))(params)

def each(params, ids):
    assert ids.shape == (2, 6)
    return jax.tree.map(lambda leaf: jax.lax.pmean(leaf, "batch"), gradient(params, ids))

divided = jax.jit(jax.shard_map(each, mesh=mesh, in_specs=(P(), P("batch")), out_specs=P(), check_vma=False))
both, whole = divided(params, rows), gradient(model.params, ids)
jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), both, whole)
print("two devices, one result")
"""


def test_two_devices_share_one_computation() -> None:
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    run = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES], capture_output=True, text=True, env={**os.environ, **flags}
    )
    assert run.stdout == "two devices, one result\n", run.stderr
