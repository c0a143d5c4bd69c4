"""Hooks in JAX: the same names and axes as in torch, readings and edits, also under jit, grad and vmap."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from bloomlab import Hooks, zero
from bloomlab.errors import HookError, InputError
from bloomlab.jax import next_token_loss, record
from bloomlab.tracing.record import record as torch_record
from tests.jax.twins import jax_twin
from tests.tiny_random import byte_tokenizer, padded_mask, random_ids, random_model

pytestmark = pytest.mark.slow

IDS, MASK = random_ids(), padded_mask()
TORCH = random_model()


@pytest.fixture(scope="module")
def model() -> Any:
    return jax_twin(TORCH)


def test_the_spots_are_those_of_torch_with_their_axes_and_shapes_in_their_order(model: Any) -> None:
    assert list(model.hook_names().items()) == list(TORCH.hook_names().items())


def test_every_reading_is_equal_to_torch_s(model: Any) -> None:
    spots = list(model.hook_names())
    ours, theirs = Hooks(read=spots), Hooks(read=spots)
    model(IDS, hooks=ours)
    TORCH(IDS, hooks=theirs)
    for name in spots:
        np.testing.assert_allclose(np.asarray(ours[name]), theirs[name], atol=2e-5, rtol=1e-5, err_msg=name)
        assert ours.readings[name].axes == theirs.readings[name].axes
    assert list(ours) == spots


def test_an_edit_is_a_function_of_arrays_and_the_reading_shows_it(model: Any) -> None:
    name = "h.1.attn.mixed"
    ours = Hooks(read=[name], edit={name: lambda x, at: x.at[:, 3].set(0.0)})
    logits = model(IDS, MASK, hooks=ours).logits
    expected = TORCH(IDS, attention_mask=MASK, hooks=Hooks(edit={name: zero(head=3)})).logits.detach()
    real = MASK.bool().numpy()
    np.testing.assert_allclose(np.asarray(logits)[real], expected[real], atol=2e-5)
    assert jnp.all(ours[name][:, 3] == 0) and jnp.any(ours[name][:, 2] != 0)


def test_several_edits_at_one_spot_are_made_in_their_order(model: Any) -> None:
    spot = "h.1.resid_post"
    for edits in ([lambda x, at: x + 1, lambda x, at: 2 * x], [lambda x, at: 2 * x, lambda x, at: x + 1]):
        ours, theirs = Hooks(read=[spot], edit={spot: edits}), Hooks(read=[spot], edit={spot: edits})
        model(IDS, hooks=ours)
        TORCH(IDS, hooks=theirs)
        np.testing.assert_allclose(np.asarray(ours[spot]), theirs[spot], atol=2e-5, rtol=1e-5)


def test_an_edit_sees_the_column_a_cached_pass_begins_at(model: Any) -> None:
    seen = []
    past = model(IDS, past_key_values=model.init_cache(2, 8)).past_key_values
    model(IDS[:, :1], past_key_values=past, hooks=Hooks(edit={"embed": lambda x, at: (seen.append(at), x)[1]}))
    assert int(seen[0].column) == 5 and seen[0].axes == ("batch", "pos", "hidden")


def test_misuse_is_refused(model: Any) -> None:
    with pytest.raises(HookError, match=r"there is no spot 'h\.1\.attn\.prob' in this model; did you mean"):
        model(IDS, hooks=Hooks(read=["h.1.attn.prob"]))
    with pytest.raises(
        HookError, match=r"must return \(2, 5, 24\) float32 \(batch pos hidden\), but returned \(2, 5, 1\)"
    ):
        model(IDS, hooks=Hooks(edit={"embed": lambda x, at: x[..., :1]}))
    with pytest.raises(HookError, match="must return a JAX array, but returned Tensor"):
        model(IDS, hooks=Hooks(edit={"embed": lambda x, at: torch.zeros(2, 5, 24)}))
    once = Hooks(read=["embed"])
    model(IDS, hooks=once)
    with pytest.raises(HookError, match="already served a run; make new Hooks for each call"):
        model(IDS, hooks=once)
    with pytest.raises(InputError, match="hooks must be Hooks"):
        model(IDS, hooks={"read": ["embed"]})


def test_readings_are_detached_unless_asked(model: Any) -> None:
    def total(params: Any, detach: bool) -> Any:
        hooks = Hooks(read=["h.0.mlp.out"], detach=detach)
        model(IDS, params=params, hooks=hooks)
        return jnp.asarray(hooks["h.0.mlp.out"]).sum()

    size = [sum(jnp.abs(leaf).sum() for leaf in jax.tree.leaves(jax.grad(total)(model.params, detach)))
            for detach in (True, False)]  # fmt: skip
    assert size[0] == 0 and size[1] > 1


def test_the_gradient_of_the_loss_goes_through_an_edit_for_many_texts_at_once(model: Any) -> None:
    """By vmap over texts, and against the slope of the torch loss at one of the numbers."""
    spots = [f"h.{i}.attn.alibi" for i in range(3)]

    def loss(factors: Any, ids: Any) -> Any:
        edits = {spot: lambda x, at, f=f: x * f[:, None, None] for spot, f in zip(spots, factors, strict=True)}
        return next_token_loss(model(ids[None], hooks=Hooks(edit=edits)).logits, ids[None])

    each = jax.jit(jax.vmap(jax.grad(loss), in_axes=(None, 0)))(jnp.ones((3, 6)), jnp.asarray(IDS.numpy()))
    assert each.shape == (2, 3, 6)

    def torch_loss(factor: float) -> float:
        def longer(alibi: torch.Tensor, at: Any) -> torch.Tensor:
            return torch.cat([alibi[:, :2], factor * alibi[:, 2:3], alibi[:, 3:]], 1)

        logits = double(IDS[1:], hooks=Hooks(edit={spots[1]: longer})).logits.detach()
        return float(torch.nn.functional.cross_entropy(logits[0, :-1], IDS[1, 1:]))  # the model's own loss is float32

    double = random_model().double()
    slope = (torch_loss(1.001) - torch_loss(0.999)) / 0.002
    assert float(each[1, 1, 2]) == pytest.approx(slope, rel=1e-2, abs=1e-5)


# -- the same Trace ----


def test_a_trace_of_a_jax_run_is_the_trace_of_torch(model: Any) -> None:
    read = ["attn.probs", "attn.scores", "resid_post", "final"]
    for text in ("Leo lives.", ["Leo lives.", "No"]):
        ours = record(model, byte_tokenizer(), text, read)
        theirs = torch_record(TORCH, byte_tokenizer(), text, read)
        assert ours.names == theirs.names and ours.tokens if isinstance(text, str) else True
        assert ours.provenance["weights"] == theirs.provenance["weights"] and ours.provenance["model"] == "unnamed"
        assert {"jax", "flax", "torch"} <= ours.provenance["versions"].keys()
        row, expected = (ours, theirs) if isinstance(text, str) else (ours.row(1), theirs.row(1))
        for name in theirs.names:
            torch.testing.assert_close(row[name], expected[name], atol=2e-5, rtol=1e-5)
            assert ours.axes(name) == theirs.axes(name)


def test_the_edits_of_torch_work_in_a_jax_run(model: Any) -> None:
    edit = {"h.1.attn.probs": zero(head=3)}
    ours = record(model, byte_tokenizer(), "Leo lives.", ["logits", "attn.probs"], edit)
    theirs = torch_record(TORCH, byte_tokenizer(), "Leo lives.", ["logits", "attn.probs"], edit)
    torch.testing.assert_close(ours["logits"], theirs["logits"], atol=2e-5, rtol=0)
    assert ours["h.1.attn.probs"][:, 3].count_nonzero() == 0
    assert ours.provenance["edits"] == theirs.provenance["edits"]
    with pytest.raises(HookError, match="in place"):
        record(model, byte_tokenizer(), "Leo", ["embed"], {"embed": lambda x, at: x.mul_(2)})


def test_every_view_of_a_trace_shows_a_jax_run() -> None:
    import bloomlab
    from bloomlab.views.alibi import payload as alibi
    from bloomlab.views.attention import payload as attention
    from bloomlab.views.hidden import payload as hidden

    lab = bloomlab.load()
    model = bloomlab.FlaxBloomForCausalLM.from_pretrained(bloomlab.tiny.folder())
    text = "Leo lives in Oslo."
    trace = record(model, lab.tokenizer, text, sorted({*alibi.READ, *hidden.READ, *attention.READ}))
    assert trace.provenance["model"] == lab.name == "tiny"
    assert str(lab.alibi(trace)) == str(lab.alibi(text))
    assert str(lab.hidden_states(trace)) == str(lab.hidden_states(text))
    assert str(lab.attention(trace)) == str(lab.attention(text))
