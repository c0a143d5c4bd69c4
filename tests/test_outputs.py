"""Outputs answer by name, by key, by place and as a tuple; what was not asked for does not count."""

import pytest
import torch

from bloomlab.outputs import BaseModelOutputWithPastAndCrossAttentions, CausalLMOutputWithCrossAttentions
from tests.tiny_random import random_ids, random_model

LOGITS, LOSS = torch.zeros(1, 2, 3), torch.tensor(1.0)


def test_values_are_the_same_by_attribute_key_place_and_tuple() -> None:
    out = CausalLMOutputWithCrossAttentions(loss=LOSS, logits=LOGITS)
    assert out.loss is out["loss"] is out[0] is out.to_tuple()[0] is LOSS
    assert out.logits is out["logits"] is out[1] is out[-1] is LOGITS
    assert out[:2] == out.to_tuple() == out.values() == (LOSS, LOGITS)


def test_missing_values_do_not_count() -> None:
    out = CausalLMOutputWithCrossAttentions(logits=LOGITS)
    assert out[0] is LOGITS
    assert out.loss is None
    assert len(out) == 1
    assert list(out) == list(out.keys()) == ["logits"]
    assert "logits" in out and "loss" not in out
    assert {**out} == dict(out.items()) == {"logits": LOGITS}
    with pytest.raises(KeyError, match="loss"):
        out["loss"]
    with pytest.raises(KeyError, match="logit"):
        out["logit"]
    with pytest.raises(IndexError):
        out[1]


def test_a_model_returns_the_documented_fields_in_order() -> None:
    model, ids = random_model(), random_ids()
    base = model.transformer(ids, output_attentions=True, output_hidden_states=True)
    assert isinstance(base, BaseModelOutputWithPastAndCrossAttentions)
    assert list(base) == ["last_hidden_state", "past_key_values", "hidden_states", "attentions"]
    head = model(ids, labels=ids, output_attentions=True, output_hidden_states=True)
    assert isinstance(head, CausalLMOutputWithCrossAttentions)
    assert list(head) == ["loss", "logits", "past_key_values", "hidden_states", "attentions"]


def test_return_dict_false_gives_the_same_values_as_a_plain_tuple() -> None:
    model, ids = random_model(), random_ids()
    named = model(ids, labels=ids, use_cache=False, output_hidden_states=True)
    plain = model(ids, labels=ids, use_cache=False, output_hidden_states=True, return_dict=False)
    assert type(plain) is tuple and len(plain) == len(named) == 3
    assert plain[0].equal(named[0]) and plain[1].equal(named[1])
    assert all(a.equal(b) for a, b in zip(plain[2], named[2], strict=True))
    model.config.return_dict = False
    assert type(model(ids)) is tuple and type(model.transformer(ids)) is tuple
