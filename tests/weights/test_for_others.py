"""What other libraries ask of a model; tests/ecosystem runs those libraries."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from bloomlab.config import BloomConfig
from bloomlab.errors import InputError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.weights.for_others import adapters, linear_map, prompt_adapters, without_adapter_wrapper
from tests.tiny_random import random_ids, random_model


def test_a_tied_matrix_is_in_the_state_once_and_comes_back(tmp_path: Any) -> None:
    model, other = random_model(), BloomForCausalLM(random_model().config).eval()
    state = model.state_dict()
    assert "lm_head.weight" not in state and len(state) == len(list(model.parameters()))
    save_file(state, tmp_path / "state.safetensors")  # which refuses one memory under two names
    other.load_state_dict(load_file(tmp_path / "state.safetensors"))
    assert other(random_ids()).logits.equal(model(random_ids()).logits)
    assert other.lm_head.weight is other.transformer.word_embeddings.weight
    other.load_state_dict({**state, "lm_head.weight": state["transformer.word_embeddings.weight"]})  # as theirs says it
    wrapped = nn.ModuleDict({"inner": random_model()})
    assert "inner.lm_head.weight" not in wrapped.state_dict()
    wrapped.load_state_dict(wrapped.state_dict())


def test_an_untied_matrix_is_in_the_state_of_its_own() -> None:
    config = BloomConfig(vocab_size=30, hidden_size=16, n_layer=1, n_head=2, tie_word_embeddings=False)
    model = BloomForCausalLM(config)
    state = model.state_dict()
    assert "lm_head.weight" in state
    with pytest.raises(RuntimeError, match="lm_head"):
        model.load_state_dict({name: value for name, value in state.items() if name != "lm_head.weight"})


def test_the_arguments_of_the_next_pass_leave_out_what_is_in_the_cache() -> None:
    model, ids = random_model(), random_ids(1, 6)
    first = model.prepare_inputs_for_generation(ids[:, :4])
    past = model(**{**first, "use_cache": True}).past_key_values
    second = model.prepare_inputs_for_generation(ids, past_key_values=past, attention_mask=torch.ones_like(ids))
    assert second["input_ids"].equal(ids[:, 4:])
    torch.testing.assert_close(model(**second).logits, model(ids).logits[:, 4:], atol=1e-5, rtol=0)
    vectors = model.get_input_embeddings()(ids)
    assert model.prepare_inputs_for_generation(ids, inputs_embeds=vectors)["inputs_embeds"] is vectors


def test_it_says_what_it_can_do() -> None:
    model = random_model()
    assert model.can_generate() and not model.transformer.can_generate()
    assert model.accepts_loss_kwargs and not model.transformer.accepts_loss_kwargs
    assert model.generation_config.eos_token_id == 2 and model.generation_config.to_diff_dict() == {}
    model.generation_config = model.generation_config  # as PEFT does
    with pytest.raises(InputError, match="how to generate is said in the call"):
        model.generation_config = {"max_new_tokens": 5}
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    assert model.is_gradient_checkpointing and model.transformer.is_gradient_checkpointing
    model.enable_input_require_grads(), model.disable_input_require_grads()
    assert model.name_or_path == "" and model.main_input_name == "input_ids"


def test_a_layer_is_the_matrix_and_the_bias_that_it_acts_as() -> None:
    layer = nn.Linear(3, 2)
    assert all(map(torch.equal, linear_map(layer), (layer.weight, layer.bias)))
    assert linear_map(nn.Linear(3, 2, bias=False))[1] is None
    wrapped = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    wrapped.in_features = 3
    weight, bias = linear_map(wrapped)
    torch.testing.assert_close(weight, wrapped[1].weight @ wrapped[0].weight)
    torch.testing.assert_close(bias, wrapped(torch.zeros(3)))


def test_adapters_are_told_by_what_their_layers_have() -> None:
    model = random_model()
    assert adapters(model) == [] and without_adapter_wrapper(model) is model and prompt_adapters(model) == []

    class Adapted(nn.Module):
        active_adapters = ("a", "b")

    layer = model.transformer.h[0].mlp = Adapted()
    layer.base_layer = nn.Identity()
    assert adapters(model) == ["a", "b"] and adapters(SimpleNamespace()) == []
    layer.merged_adapters = ["a"]
    assert adapters(model) == ["a (merged)"]
    layer.merged_adapters, layer.disable_adapters = [], True
    assert adapters(model) == []
    wrapper = SimpleNamespace(
        peft_config={"soft": SimpleNamespace(is_prompt_learning=True)}, get_base_model=lambda: model
    )
    assert without_adapter_wrapper(wrapper) is model and prompt_adapters(wrapper) == ["soft"]
