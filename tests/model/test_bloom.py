"""The whole stack: one pass or many, padded or not, the same numbers; what does not fit is refused in words."""

import re
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from bloomlab.config import BloomConfig
from bloomlab.errors import InputError, MemoryLimitError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import Hooks
from bloomlab.model.bloom import BloomModel
from bloomlab.model.cache import KVCache
from tests.tiny_random import SIZES, padded_mask, random_ids, random_model

CLOSE = {"rtol": 0, "atol": 3e-6}


@pytest.mark.slow
@pytest.mark.parametrize("extra", [{}, {"attn_implementation": "eager"}], ids=["fused", "readable"])
@pytest.mark.parametrize("n_head", [1, 6, 8])
@pytest.mark.parametrize("steps", [[9], [1] * 9, [4, 1, 3, 1], [1, 8]])
def test_cached_uneven_steps_equal_one_full_pass_under_left_padding(
    steps: list[int], n_head: int, extra: dict[str, Any]
) -> None:
    model = random_model(n_head=n_head, **extra).transformer
    ids, mask = random_ids(2, 9), padded_mask(9)
    full = model(ids, attention_mask=mask).last_hidden_state
    past, parts, column = None, [], 0
    for step in steps:
        end = column + step
        out = model(ids[:, column:end], attention_mask=mask[:, :end], past_key_values=past)
        past, column = out.past_key_values, end
        parts.append(out.last_hidden_state)
    torch.testing.assert_close(torch.cat(parts, 1), full, **CLOSE)  # padding columns too


def test_left_padding_changes_nothing_for_the_tokens() -> None:
    model, ids = random_model().transformer, random_ids(1, 6)
    alone = model(ids).last_hidden_state
    for n in (1, 5):
        padded = torch.cat([torch.full((1, n), 3), ids], 1)
        mask = torch.cat([torch.zeros(1, n), torch.ones(1, 6)], 1).long()
        torch.testing.assert_close(model(padded, attention_mask=mask).last_hidden_state[:, n:], alone, **CLOSE)


def test_right_padding_changes_nothing_for_the_tokens() -> None:
    model, ids = random_model().transformer, random_ids(1, 6)
    padded = torch.cat([ids, torch.full((1, 3), 3)], 1)
    mask = torch.tensor([[1] * 6 + [0] * 3])
    torch.testing.assert_close(
        model(padded, attention_mask=mask).last_hidden_state[:, :6], model(ids).last_hidden_state, **CLOSE
    )


def test_a_padding_columns_values_do_not_depend_on_what_surrounds_it() -> None:
    model, ids = random_model().transformer, random_ids(2, 9)
    other = ids.clone()
    other[0, 3:] = 77
    mask = padded_mask(9)
    one, two = (model(each, attention_mask=mask).last_hidden_state for each in (ids, other))
    assert one[0, :2].equal(two[0, :2])
    alone = model(ids[:1, 1:2], attention_mask=torch.zeros(1, 1)).last_hidden_state
    torch.testing.assert_close(one[0, 1:2], alone[0], **CLOSE)


def test_a_later_token_changes_nothing_before_it() -> None:
    model, ids = random_model().transformer, random_ids(1, 6)
    changed = ids.clone()
    changed[0, 4] = (changed[0, 4] + 1) % 260
    one, two = model(ids).last_hidden_state, model(changed).last_hidden_state
    assert one[0, :4].equal(two[0, :4])
    assert (one[0, 4:] - two[0, 4:]).abs().amax(-1).min() > 1e-3


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32, torch.int32, torch.uint8])
def test_a_mask_of_any_kind_of_ones_and_zeros_means_the_same(dtype: torch.dtype) -> None:
    model, ids, mask = random_model().transformer, random_ids(), padded_mask()
    expected = model(ids, attention_mask=mask).last_hidden_state
    assert model(ids, attention_mask=mask.to(dtype)).last_hidden_state.equal(expected)


def test_the_documented_outputs_are_the_hooks_readings() -> None:
    model, ids = random_model().transformer, random_ids()
    hooks = Hooks(read=["embed", "h.1.resid_pre", "h.2.resid_post", "final", "h.1.attn.probs"])
    out = model(ids, output_hidden_states=True, output_attentions=True, hooks=hooks)
    assert len(out.hidden_states) == 4 and len(out.attentions) == 3
    assert out.hidden_states[0].equal(hooks["embed"])  # after the embedding layer norm
    assert out.hidden_states[1].equal(hooks["h.1.resid_pre"])
    assert out.hidden_states[3].equal(hooks["final"]) and out.hidden_states[3].equal(out.last_hidden_state)
    assert out.hidden_states[3].equal(model.ln_f(hooks["h.2.resid_post"]))
    assert out.attentions[1].equal(hooks["h.1.attn.probs"])


def test_outputs_that_were_asked_for_stay_in_the_graph_of_gradients() -> None:
    out = random_model().transformer(random_ids(), output_hidden_states=True, output_attentions=True)
    assert all(tensor.requires_grad for tensor in (*out.hidden_states, *out.attentions))


def test_the_config_decides_what_a_call_does_not_say() -> None:
    model, ids = random_model(use_cache=False, output_attentions=True).transformer, random_ids()
    assert list(model(ids)) == ["last_hidden_state", "attentions"]
    assert list(model(ids, use_cache=True, output_attentions=False)) == ["last_hidden_state", "past_key_values"]
    assert isinstance(model(ids, use_cache=True).past_key_values, KVCache)


def test_head_mask_multiplies_the_probabilities_of_each_head() -> None:
    model, ids = random_model(attn_implementation="eager").transformer, random_ids()
    keep = torch.tensor([1.0, 0.0, 1.0, 0.5, 1.0, 1.0])
    plain, masked = (model(ids, head_mask=mask, output_attentions=True) for mask in (None, keep))
    torch.testing.assert_close(masked.attentions[0], plain.attentions[0] * keep[:, None, None])
    assert model(ids, head_mask=torch.ones(3, 6)).last_hidden_state.equal(plain.last_hidden_state)
    one_layer = torch.ones(3, 6)
    one_layer[2, 4] = 0
    only_last = model(ids, head_mask=one_layer, output_attentions=True)
    assert only_last.attentions[1].equal(plain.attentions[1])
    assert not only_last.attentions[2][:, 4].any() and only_last.attentions[2][:, 3].equal(plain.attentions[2][:, 3])


def test_an_edit_of_the_caller_comes_after_the_head_mask() -> None:
    seen = []
    hooks = Hooks(edit={"h.0.attn.probs": lambda probs, at: (seen.append(probs), probs)[1]})
    random_model().transformer(random_ids(), head_mask=torch.zeros(6), hooks=hooks)
    assert not seen[0].any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "exactly one of the two"),
        ({"input_ids": random_ids(), "inputs_embeds": torch.zeros(2, 5, 24)}, "exactly one of the two"),
        ({"input_ids": [[1, 2]]}, "the input must be a tensor, but got list"),
        ({"input_ids": torch.tensor([1, 2])}, r"\(batch, pos\).*have \(2,\)"),
        ({"input_ids": torch.zeros(2, 0).long()}, r"with no empty axis, but have \(2, 0\)"),
        ({"input_ids": torch.zeros(1, 2)}, "whole numbers, but are torch.float32"),
        ({"input_ids": torch.tensor([[300]])}, "from 0 to 299, but go from 300 to 300"),
        ({"input_ids": torch.tensor([[-1, 5]])}, "from 0 to 299, but go from -1 to 5"),
        ({"inputs_embeds": torch.zeros(2, 24)}, r"\(batch, pos, 24\).*\(2, 24\)"),
        ({"inputs_embeds": torch.zeros(2, 5, 23)}, r"\(batch, pos, 24\).*\(2, 5, 23\)"),
        ({"input_ids": random_ids(), "attention_mask": torch.ones(2, 4)}, r"shape \(2, 5\).*it has \(2, 4\)"),
        ({"input_ids": random_ids(), "attention_mask": [[1] * 5] * 2}, "attention_mask must be a tensor, but got list"),
        (
            {"input_ids": random_ids(), "attention_mask": torch.full((2, 5), 2)},
            "1 for a token and 0 for padding, but goes from 2 to 2",
        ),
        ({"input_ids": random_ids(), "attention_mask": torch.full((2, 5), -1e9)}, "1 for a token and 0 for padding"),
        (
            {"input_ids": random_ids(), "attention_mask": torch.full((2, 5), 0.5)},
            "but goes from 0.5 to 0.5",
        ),
        ({"input_ids": random_ids(), "head_mask": torch.ones(5)}, r"\(6,\).*\(3, 6\).*has \(5,\)"),
        ({"input_ids": random_ids(), "cache_position": torch.tensor([1])}, "cache_position must be 0 to 4"),
        ({"input_ids": random_ids(), "past_key_values": 5}, "past_key_values must be a KVCache"),
        ({"input_ids": random_ids(), "layer_head_mask": 1, "colour": 2}, "colour, layer_head_mask"),
        ({"input_ids": random_ids(), "hooks": {"read": ["embed"]}}, r"hooks must be Hooks\(.*but got dict"),
    ],
    ids=lambda value: re.sub(r"\W+", " ", str(value))[:40],
)
def test_what_does_not_fit_is_an_input_error_that_says_so(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        random_model().transformer(**arguments)


def test_position_ids_are_accepted_with_a_warning_and_ignored() -> None:
    model, ids = random_model(), random_ids()
    expected = model(ids).logits
    with pytest.warns(FutureWarning, match="position_ids have no effect"):
        assert model(ids, position_ids=ids).logits.equal(expected)
    model(ids, position_ids=None)


def test_the_right_cache_position_is_accepted() -> None:
    model, ids = random_model(), random_ids()
    past = model(ids).past_key_values
    out = model(ids, past_key_values=past, cache_position=torch.arange(5, 10))
    assert out.logits.equal(model(ids, past_key_values=past).logits)


def test_new_weights_are_drawn_as_documented() -> None:
    torch.manual_seed(0)
    model = BloomModel(BloomConfig(vocab_size=1000, hidden_size=64, n_layer=2, n_head=8, initializer_range=0.5))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
        elif "layernorm" in name or "ln_f" in name:
            assert (parameter == 1).all()
        else:
            assert parameter.std().item() == pytest.approx(0.5, rel=0.05)
            assert parameter.mean().abs() < 0.03
            assert parameter.abs().max() > 1.0  # a plain normal, not a truncated one


def test_a_model_is_made_from_a_config_only() -> None:
    with pytest.raises(InputError, match="BloomConfig, but got dict"):
        BloomModel({"n_layer": 2})  # type: ignore[arg-type]


# -- gradient checkpointing ----


def run_and_differentiate(recompute: bool) -> tuple[Tensor, list[Tensor], Hooks, list[int]]:
    model, ids = random_model().train(), random_ids()
    model.transformer.gradient_checkpointing = recompute
    edits: list[int] = []

    def steer(x: Tensor, at: Any) -> Tensor:
        edits.append(at.column)
        return x + 0.25

    hooks = Hooks(read=["h.1.attn.probs", "h.1.mlp.pre"], edit={"h.1.resid_mid": steer}, detach=False)
    loss = model(ids, labels=ids, use_cache=False, hooks=hooks).loss + hooks["h.1.mlp.pre"].square().mean()
    first = hooks["h.1.attn.probs"]
    loss.backward()
    assert hooks["h.1.attn.probs"] is first  # a block that is computed again is not read again
    return loss.detach(), [parameter.grad for parameter in model.parameters()], hooks, edits


def test_checkpointing_gives_the_same_loss_gradients_and_readings_with_hooks() -> None:
    plain, checkpointed = run_and_differentiate(False), run_and_differentiate(True)
    assert plain[0].equal(checkpointed[0])
    for one, two in zip(plain[1], checkpointed[1], strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-7)
    for name in ("h.1.attn.probs", "h.1.mlp.pre"):
        assert plain[2][name].equal(checkpointed[2][name])
    assert plain[3] == [0] and checkpointed[3] == [0, 0]  # made again when the block is recomputed


def test_checkpointing_turns_the_cache_off_in_training_and_says_so() -> None:
    model, ids = random_model(), random_ids()
    model.transformer.gradient_checkpointing = True
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert model(ids).past_key_values is not None  # not in training
        assert model.train()(ids, use_cache=False).past_key_values is None
    with pytest.warns(UserWarning, match="use_cache is off"):
        assert model(ids).past_key_values is None


def test_a_pass_that_memory_cannot_hold_ends_in_words() -> None:
    """2⁴⁶ positions' logits: no machine has an address for each; and what is no lack of memory stays as it is."""
    model = BloomForCausalLM(BloomConfig(**SIZES))
    everywhere = torch.zeros(1, dtype=torch.long).expand(1 << 46)
    words = r"^a pass of BloomForCausalLM needs more memory than is left; give it fewer tokens at a time, "
    with pytest.raises(MemoryLimitError, match=words) as said:
        model(random_ids(), logits_to_keep=everywhere)
    assert said.value.__context__ is None  # an error behind it would keep all that the pass had made
    with pytest.raises(RuntimeError, match="a bug"):
        model(random_ids(), hooks=Hooks(edit={"embed": bug}))


def bug(tensor: Tensor, at: Any) -> Tensor:
    raise RuntimeError("a bug")
