"""A lab on a model with an adapter: what is traced, edited and taken apart is the adapted model, and it says so."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

import bloomlab
from bloomlab import tiny, zero
from bloomlab.errors import InputError
from bloomlab.lab import Lab
from bloomlab.lens.look_receipt import READ, look_receipt
from bloomlab.tracing.record import weights_hash
from bloomlab.weights.for_others import adapters, linear_map

peft = pytest.importorskip("peft")
TEXT = "Leo lives in Oslo. Leo lives in"

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture
def adapted() -> Any:
    torch.manual_seed(0)
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["query_key_value", "dense", "dense_4h_to_h"])
    model = peft.get_peft_model(bloomlab.BloomForCausalLM.from_pretrained(tiny.folder()), config).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.normal_(0, 0.05)
    return model


def test_a_lab_on_it_sees_the_adapted_model_and_says_so(adapted: Any) -> None:
    plain = bloomlab.load()
    lab = Lab(adapted, plain.tokenizer, "tiny")
    assert lab.model is adapted.get_base_model()
    ids = lab.tokenizer(TEXT, return_tensors="pt").input_ids
    trace = lab.trace(TEXT, ["logits", "attn.probs", "attn.mixed"])
    with torch.no_grad():
        torch.testing.assert_close(trace["logits"], adapted(ids).logits, atol=1e-4, rtol=0)
    assert not torch.allclose(trace["logits"], plain.trace(TEXT, ["logits"])["logits"], atol=0.1)
    silent = lab.trace(TEXT, ["h.1.attn.mixed"], {"h.1.attn.mixed": zero(head=2)})
    assert not silent["h.1.attn.mixed"][:, 2].any()
    for said in (repr(lab), lab._stamp(), repr(lab.info()), repr(lab.attention(TEXT))):
        assert "adapter default" in said
    assert trace.provenance["adapters"] == ["default"]
    assert isinstance(lab.generate(TEXT, 3), str)


def test_what_is_taken_apart_still_sums_up(adapted: Any) -> None:
    """The receipts use matrices, which are those with the adapter in them."""
    lab = Lab(adapted, bloomlab.load().tokenizer)
    assert lab.receipt(TEXT).receipt.error < 1e-3
    looks = look_receipt(lab.model, lab.trace(TEXT, READ), 2, 1, 5, 3)
    assert looks.error < 1e-3 * max(1, abs(looks.score))  # the score, from the matrices that it was made with
    layer = lab.model.transformer.h[1].self_attention.dense
    weight, bias = linear_map(layer)
    x = torch.randn(3, 128)
    with torch.no_grad():
        torch.testing.assert_close(x @ weight.T + bias, layer(x), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(weight, layer.weight)


def test_an_adapter_that_is_off_or_merged_is_another_model(adapted: Any) -> None:
    lab = Lab(adapted, bloomlab.load().tokenizer)
    on = weights_hash(lab.model)
    with adapted.disable_adapter():
        assert adapters(lab.model) == [] and weights_hash(lab.model) != on
        assert "adapter" not in lab._stamp()
    assert weights_hash(lab.model) == on
    adapted.merge_adapter()
    assert adapters(lab.model) == ["default (merged)"]
    adapted.unmerge_adapter()
    merged = Lab(adapted.merge_and_unload(), lab.tokenizer)
    assert adapters(merged.model) == [] and "adapter" not in repr(merged)


def test_a_model_with_an_adapter_is_not_saved_as_a_plain_one(adapted: Any, tmp_path: Any) -> None:
    with pytest.raises(bloomlab.BloomlabError, match="merged into its weights"):
        adapted.get_base_model().save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_adapter_of_columns_is_refused_in_words() -> None:
    """Told by what PEFT's wrapper has."""
    model = bloomlab.load().model
    model.peft_config = {"soft": SimpleNamespace(is_prompt_learning=True)}
    with pytest.raises(InputError, match="the adapter 'soft' puts columns before the text"):
        Lab(model, bloomlab.load().tokenizer)
