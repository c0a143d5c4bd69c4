"""Weights as whole numbers: against the matrices they stand for, in every place that a model is used."""

from pathlib import Path

import pytest
import torch
from torch import nn

import bloomlab
from bloomlab.errors import CheckpointError, InputError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import Hooks
from bloomlab.lab import Lab
from bloomlab.tracing.edits import zero
from bloomlab.weights.int8 import AFEW, Int8Embedding, Int8Linear, dtype_name, quantised, to_int8
from tests.tiny_random import random_model

STORY = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
MOST = 1e-3  # nats a token


@pytest.fixture(scope="module")
def lab() -> Lab:
    return bloomlab.load(dtype="int8")


@pytest.fixture(scope="module")
def plain() -> Lab:
    return bloomlab.load(dtype="bfloat16")


def linear(rows: int, columns: int) -> tuple[nn.Linear, Int8Linear]:
    torch.manual_seed(rows)
    model = nn.Sequential(nn.Linear(columns, rows))
    whole = nn.Sequential(nn.Linear(columns, rows))
    whole.load_state_dict(model.state_dict())
    to_int8(whole)
    return model[0], whole[0]  # type: ignore[return-value]  # it is one


@pytest.mark.parametrize("size", [(5, 3), (64, 128), (96, 32)])
def test_a_weight_is_at_most_half_a_step_from_the_one_it_stands_for(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    weight = torch.randn(size) * torch.logspace(-3, 3, size[0])[:, None]
    weight[0] = 0
    numbers, scale = quantised(weight)
    assert numbers.dtype == torch.int8 and numbers.abs().max() == 127
    far = (numbers.double() * scale.double()[:, None] - weight.double()).abs()
    assert (far <= 0.5001 * scale.double()[:, None]).all()  # the scale is one that bfloat16 holds, so nothing is added


@pytest.mark.parametrize("rows", [1, 2, AFEW, AFEW + 1, 40])
def test_few_rows_and_many_are_the_product_with_the_weight_it_stands_for(rows: int) -> None:
    _, whole = linear(96, 64)
    x = torch.randn(2, rows, 64).bfloat16() if rows > AFEW else torch.randn(rows, 64).bfloat16()
    expected = x.double() @ whole.weight.double().T + whole.bias.double()
    # (bfloat16 holds eight bits: the product is rounded, and its sum with the bias again)
    assert whole(x).shape == expected.shape
    assert (whole(x).double() - expected).abs().max() <= 2**-7 * expected.abs().max()


def test_gradients_go_through_it_to_what_was_read() -> None:
    _, whole = linear(32, 16)
    x = torch.randn(3, 16).bfloat16().requires_grad_()
    whole(x).sum().backward()
    assert x.grad is not None and torch.allclose(x.grad.float(), whole.weight.float().sum(0).expand(3, -1), atol=0.1)


def test_a_shared_weight_is_rounded_once_and_a_row_of_the_table_is_a_row_of_the_head(lab: Lab) -> None:
    table, head = lab.model.transformer.word_embeddings, lab.model.lm_head
    assert isinstance(table, Int8Embedding) and isinstance(head, Int8Linear)
    assert table.numbers is head.numbers and table.scale is head.scale
    ids = torch.tensor([[3, 1, 5]])
    assert table(ids).equal(head.weight[ids])


@pytest.mark.slow
def test_the_embedded_model_says_the_same_but_for_a_thousandth_of_a_nat(lab: Lab, plain: Lab) -> None:
    ids = torch.tensor([lab.tokenizer.encode(STORY)])
    ours, theirs = (each.model(ids).logits.float().log_softmax(-1) for each in (lab, plain))
    kl = (theirs.exp() * (theirs - ours)).sum(-1)
    assert 0 < kl.mean() <= MOST
    assert lab.generate(STORY, max_new_tokens=8) == plain.generate(STORY, max_new_tokens=8)


def test_a_cache_a_batch_and_a_whole_pass_agree(lab: Lab) -> None:
    ids = torch.tensor([lab.tokenizer.encode(STORY)])
    whole = lab.model(ids).logits.float()
    past = lab.model(ids[:, :-1]).past_key_values
    last = lab.model(ids[:, -1:], past_key_values=past).logits.float()
    assert (last[:, 0] - whole[:, -1]).abs().max() < 2e-2 * whole.abs().max()


@pytest.mark.slow
def test_hooks_edits_lenses_and_views_are_as_ever(lab: Lab) -> None:
    hooks = Hooks(read=["h.1.attn.probs", "h.2.mlp.post"], edit={"h.2.attn.mixed": zero(head=3)})
    ids = torch.tensor([lab.tokenizer.encode(STORY)])
    assert not lab.model(ids, hooks=hooks).logits.equal(lab.model(ids).logits)
    assert hooks["h.2.mlp.post"].dtype == torch.bfloat16
    assert lab.trace(STORY).provenance["dtype"] == dtype_name(lab.model) == "int8"
    receipt = lab.receipt(STORY)
    assert "parts sum to it" in repr(receipt)
    view = lab.explore(STORY)
    for tab in view.panels:
        view.tab = tab
    assert view.troubles == {} and "int8" in view.picture["stamp"]
    assert "int8" in repr(lab) and "dtype='int8'" in lab.code


def test_training_and_saving_are_refused_in_words_and_leave_the_model_as_it_is(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be trained: a small step leaves whole numbers as they are"):
        lab.model.train()
    assert not any(part.training for part in lab.model.modules())
    assert not any(weights.requires_grad for weights in lab.model.parameters())
    with pytest.raises(CheckpointError, match="a model in int8 is not saved"):
        lab.model.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
    with pytest.raises(InputError, match="stay as they are"):
        lab.model.tie_weights()


def test_a_file_of_any_dtype_is_rounded_from_what_it_holds(tmp_path: Path) -> None:
    model = random_model()
    model.save_pretrained(tmp_path)
    opened = BloomForCausalLM.from_pretrained(tmp_path, dtype="int8")
    weight = model.transformer.h[0].mlp.dense_h_to_4h.weight
    numbers, scale = quantised(weight.detach())
    layer = opened.transformer.h[0].mlp.dense_h_to_4h
    assert torch.equal(layer.numbers, numbers) and torch.equal(layer.scale, scale)
    assert opened.dtype == torch.bfloat16 and opened.transformer.ln_f.weight.dtype == torch.bfloat16
    held = sum(weights.nbytes for weights in opened.parameters())
    assert held < 0.6 * sum(2 * weights.numel() for weights in model.parameters())
