"""Our model gives the numbers that transformers gives, on real (not padding) positions."""

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import Hooks, Known
from bloomlab.tracing.edits import cut
from tests.parity.pairs import N_HEADS, make_batch, make_pair

ATOL = 2e-5  # float32


def assert_real_close(ours: Tensor, theirs: Tensor, mask: Tensor, atol: float = ATOL) -> None:
    real = mask.bool()
    torch.testing.assert_close(ours[real], theirs[real], atol=atol, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("post_layernorm", [False, True])
@pytest.mark.parametrize("n_head", N_HEADS)
def test_logits_hidden_states_and_attentions_equal_the_reference(n_head: int, post_layernorm: bool) -> None:
    ours, theirs = make_pair(n_head, apply_residual_connection_post_layernorm=post_layernorm)
    ids, mask = make_batch()
    everything = {"attention_mask": mask, "output_attentions": True, "output_hidden_states": True}
    mine, reference = ours(ids, **everything), theirs(ids, **everything)

    assert_real_close(mine.logits, reference.logits, mask)
    assert len(mine.hidden_states) == len(reference.hidden_states) == ours.config.n_layer + 1
    for a, b in zip(mine.hidden_states, reference.hidden_states, strict=True):
        assert_real_close(a, b, mask)
    assert len(mine.attentions) == len(reference.attentions) == ours.config.n_layer
    for a, b in zip(mine.attentions, reference.attentions, strict=True):
        assert_real_close(a.transpose(1, 2), b.transpose(1, 2), mask)
    # and the fused path, which no reading asks to be readable
    assert_real_close(ours(ids, attention_mask=mask).logits, reference.logits, mask)


@pytest.mark.parametrize("n_head", N_HEADS)
def test_loss_and_its_gradients_equal_the_reference(n_head: int) -> None:
    ours, theirs = make_pair(n_head)
    ids, _ = make_batch(left=())
    labels = ids.clone()
    labels[0, 3:5] = -100
    mine, reference = ours(ids, labels=labels).loss, theirs(ids, labels=labels).loss
    torch.testing.assert_close(mine, reference, atol=ATOL, rtol=0)

    mine.backward()
    reference.backward()
    gradients = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name].grad, atol=ATOL, rtol=1e-4, msg=name)
    assert [name for name, _ in ours.named_parameters()] == list(gradients)


def test_a_loss_divided_by_a_given_number_equals_the_reference() -> None:
    ours, theirs = make_pair()
    ids, _ = make_batch(left=())
    mine, reference = (model(ids, labels=ids, num_items_in_batch=7).loss for model in (ours, theirs))
    torch.testing.assert_close(mine, reference, atol=ATOL, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("post_layernorm", [False, True])
@pytest.mark.parametrize("n_head", N_HEADS)
def test_cached_decoding_in_uneven_steps_under_left_padding_equals_the_reference(
    n_head: int, post_layernorm: bool
) -> None:
    ours, theirs = make_pair(n_head, apply_residual_connection_post_layernorm=post_layernorm)
    ids, mask = make_batch()
    full = theirs(ids, attention_mask=mask).logits
    mine_past = their_past = None
    for start, end in [(0, 5), (5, 6), (6, 9), (9, 11)]:
        step = {"attention_mask": mask[:, :end], "use_cache": True}
        mine = ours(ids[:, start:end], past_key_values=mine_past, **step)
        reference = theirs(ids[:, start:end], past_key_values=their_past, **step)
        mine_past, their_past = mine.past_key_values, reference.past_key_values
        assert_real_close(mine.logits, reference.logits, mask[:, start:end])
        assert_real_close(mine.logits, full[:, start:end], mask[:, start:end])
    for layer, (k, v) in enumerate(mine_past):
        assert_real_close(k.transpose(1, 2), their_past.layers[layer].keys.transpose(1, 2), mask)
        assert_real_close(v.transpose(1, 2), their_past.layers[layer].values.transpose(1, 2), mask)


def test_right_padding_equals_the_reference() -> None:
    ours, theirs = make_pair()
    ids, mask = make_batch()
    ids, mask = ids.flip(1), mask.flip(1)
    assert_real_close(ours(ids, attention_mask=mask).logits, theirs(ids, attention_mask=mask).logits, mask)


def test_vectors_in_place_of_ids_equal_the_reference() -> None:
    ours, theirs = make_pair()
    vectors = torch.randn(2, 6, 64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        ours(inputs_embeds=vectors).logits, theirs(inputs_embeds=vectors).logits, atol=ATOL, rtol=0
    )


@pytest.mark.parametrize("keep", [1, 3, torch.tensor([0, 2])])
def test_keeping_some_logits_equals_the_reference(keep: int | Tensor) -> None:
    ours, theirs = make_pair()
    ids, _ = make_batch(left=())
    mine, reference = ours(ids, logits_to_keep=keep).logits, theirs(ids, logits_to_keep=keep).logits
    torch.testing.assert_close(mine, reference, atol=ATOL, rtol=0)


def test_training_mode_with_dropout_equals_the_reference_under_the_same_seed() -> None:
    ours, theirs = make_pair(hidden_dropout=0.3, attention_dropout=0.0)
    ids, _ = make_batch(left=())
    logits = []
    for model in (ours.train(), theirs.train()):
        torch.manual_seed(5)
        logits.append(model(ids, output_attentions=True).logits)
    torch.testing.assert_close(*logits, atol=ATOL, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("readable", [False, True])
def test_half_precision_is_as_good_as_the_reference(dtype: torch.dtype, readable: bool) -> None:
    """At initialiser-scale weights: within 2e-2 of the logits' scale, and the same argmax where it is clear."""
    ours, theirs = make_pair(scale=0.02, dtype=dtype)
    exact, _ = make_pair(scale=0.02)
    ids, mask = make_batch()
    real = mask.bool()
    with torch.no_grad():
        mine = ours(ids, attention_mask=mask, output_attentions=readable).logits[real].float()
        reference = theirs(ids, attention_mask=mask).logits[real].float()
        truth = exact(ids, attention_mask=mask).logits[real]
    scale = truth.abs().max()
    assert (mine - reference).abs().max() <= 2e-2 * scale
    top = reference.topk(2).values
    clear = top[:, 0] - top[:, 1] > 2 * 2e-2 * scale
    assert clear.any()
    assert torch.equal(mine.argmax(-1)[clear], reference.argmax(-1)[clear])
    assert (mine - truth).abs().max() <= 1.5 * (reference - truth).abs().max()


def test_module_and_parameter_names_are_the_reference_s() -> None:
    ours, theirs = make_pair()
    assert [*ours.state_dict(), "lm_head.weight"] == list(theirs.state_dict())  # a tied matrix is in ours once
    assert isinstance(ours, BloomForCausalLM)
    assert ours.num_parameters() == theirs.num_parameters()


@pytest.mark.parametrize("n_head", N_HEADS)
def test_a_text_whose_first_tokens_nobody_may_look_at_is_the_rest_of_it_to_the_reference(n_head: int) -> None:
    """Each query then shares out anew among the others; and ALiBi counts distances, so that a shift changes nothing."""
    ours, theirs = make_pair(n_head)
    ids, _ = make_batch(left=())
    cuts = {f"h.{i}.attn.biased": cut(query=slice(2, None), key=[0, 1]) for i in range(ours.config.n_layer)}
    hooks = Hooks(read=[f"h.{i}.attn.probs" for i in range(ours.config.n_layer)], edit=cuts)
    logits = ours(ids, hooks=hooks).logits[:, 2:]
    reference = theirs(ids[:, 2:], output_attentions=True)
    torch.testing.assert_close(logits, reference.logits, atol=ATOL, rtol=0)
    for name, expected in zip(hooks, reference.attentions, strict=True):
        torch.testing.assert_close(hooks[name][:, :, 2:, 2:], expected, atol=ATOL, rtol=0)
    assert not logits.allclose(ours(ids).logits[:, 2:], atol=1e-3)


@pytest.mark.parametrize("n_head", N_HEADS)
def test_a_run_from_a_known_state_ends_as_the_reference_does(n_head: int) -> None:
    ours, theirs = make_pair(n_head)
    ids, _ = make_batch(left=())
    reference = theirs(ids, output_hidden_states=True)
    for layer in range(ours.config.n_layer):  # the reference's last state is after the final norm
        known = Known(layer, reference.hidden_states[layer])
        found = ours(ids, use_cache=False, hooks=Hooks(known=known)).logits
        torch.testing.assert_close(found, reference.logits, atol=ATOL, rtol=0)


def test_a_dynamic_cache_of_the_reference_is_read_and_ours_is_returned() -> None:
    ours, theirs = make_pair()
    ids, _ = make_batch(left=(0, 0, 0))
    empty = DynamicCache()
    first = ours(ids[:, :6], past_key_values=empty)
    assert type(first.past_key_values).__name__ == "KVCache" and not empty.get_seq_length()
    filled = theirs(ids[:, :6], use_cache=True).past_key_values
    got = ours(ids[:, 6:], past_key_values=filled)
    torch.testing.assert_close(got.logits, ours(ids).logits[:, 6:], atol=2e-5, rtol=0)
    assert got.past_key_values.length == ids.shape[1] and filled.get_seq_length() == 6  # theirs stays as it was
    written = ours.generate(ids, past_key_values=filled, max_new_tokens=3, eos_token_id=None)
    assert written.equal(ours.generate(ids, max_new_tokens=3, eos_token_id=None))
    again = ours.generate(ids, past_key_values=DynamicCache(), max_new_tokens=3, eos_token_id=None)
    assert again.equal(written)
