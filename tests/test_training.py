"""What training needs of every class: dropout, gradients, new weights, and that the numbers follow the weights."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import bloomlab
from bloomlab.config import BloomConfig
from bloomlab.hooks import Hooks
from tests.tiny_random import padded_mask, random_ids

CLASSES = [name for name in bloomlab.__all__ if name.startswith("BloomFor")]
SIZES: dict[str, Any] = {"vocab_size": 300, "hidden_size": 24, "n_layer": 2, "n_head": 6, "pad_token_id": 3}
N_LABELS = {"BloomForSequenceClassification": 3, "BloomForTokenClassification": 5}


def made(name: str, seed: int = 0, **changes: Any) -> Any:
    """A new model, in training mode, with larger weights than the recipe's, so that every part counts."""
    torch.manual_seed(seed)
    return getattr(bloomlab, name)(
        BloomConfig(**{**SIZES, "num_labels": N_LABELS.get(name, 2), "initializer_range": 0.3, **changes})
    ).train()


def lesson(name: str) -> dict[str, Tensor]:
    """A batch with the labels of a class."""
    ids = random_ids(3, 6)
    if name == "BloomForSequenceClassification":
        return {"input_ids": ids, "labels": torch.tensor([2, 0, 1])}
    if name == "BloomForTokenClassification":
        return {"input_ids": ids, "labels": ids % 5}
    if name == "BloomForQuestionAnswering":
        return {"input_ids": ids, "start_positions": torch.tensor([0, 2, 3]), "end_positions": torch.tensor([1, 2, 5])}
    return {"input_ids": ids, "labels": ids}


def first(output: Any) -> Tensor:
    """The logits of any class."""
    tensor: Tensor = output.start_logits if "start_logits" in output else output.logits
    return tensor


# Dropout


@pytest.mark.slow
@pytest.mark.parametrize("path", ["fused", "eager"])
@pytest.mark.parametrize("kind", ["hidden_dropout", "attention_dropout", "classifier_dropout"])
@pytest.mark.parametrize("name", CLASSES)
def test_dropout_works_in_training_and_only_then(name: str, kind: str, path: str) -> None:
    ids = random_ids()
    plain = first(made(name, attn_implementation=path).eval()(ids))
    model = made(name, attn_implementation=path, **{kind: 0.5})
    one, two = first(model(ids)), first(model(ids))
    drops = kind != "classifier_dropout" or name == "BloomForTokenClassification"  # the only one that has it
    assert one.equal(two) != drops
    model.eval()
    assert first(model(ids)).equal(plain)


def test_hidden_dropout_zeroes_its_share_and_scales_the_rest_up() -> None:
    model = made("BloomForCausalLM", hidden_dropout=0.3)
    ids = random_ids(1, 5)
    for spot in ("h.0.attn.out", "h.1.mlp.out"):
        hooks = Hooks(read=[spot])
        model(ids.expand(400, -1), hooks=hooks)
        assert hooks[spot].eq(0).double().mean() == pytest.approx(0.3, abs=0.01)
    before, after = Hooks(read=["h.0.attn.out"]), Hooks(read=["h.0.attn.out"])
    model(ids, hooks=after)
    model.eval()(ids, hooks=before)
    kept = after["h.0.attn.out"] != 0
    torch.testing.assert_close(after["h.0.attn.out"][kept], before["h.0.attn.out"][kept] / 0.7)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["fused", "eager"])
def test_attention_dropout_drops_its_share_of_the_probabilities_and_changes_no_average(path: str) -> None:
    """In the first layer the mix is a sum over keys, so mean and variance over many draws follow from p."""
    p, draws = 0.4, 8000
    model = made("BloomForCausalLM", attention_dropout=p, attn_implementation=path)
    ids = random_ids(1, 4)
    many, exact = Hooks(read=["h.0.attn.mixed"]), Hooks(read=["h.0.attn.probs", "h.0.attn.v"])
    model(ids.expand(draws, -1), hooks=many)
    model.eval()(ids, hooks=exact)
    probs, v, mixed = exact["h.0.attn.probs"][0], exact["h.0.attn.v"][0], many["h.0.attn.mixed"]
    variance = p / (1 - p) * probs.square() @ v.square()
    torch.testing.assert_close(mixed.var(0), variance, rtol=0.15, atol=1e-6)
    assert ((mixed.mean(0) - probs @ v).abs() <= 5 * (variance / draws).sqrt() + 1e-6).all()


# Gradients


@pytest.mark.slow
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("name", CLASSES)
def test_gradients_are_the_same_when_blocks_are_computed_twice(name: str, dropout: float) -> None:
    """With dropout, too: the second time the same numbers are dropped."""
    gradients = []
    for recompute in (False, True):
        model = made(name, hidden_dropout=dropout, attention_dropout=dropout, use_cache=False)
        if recompute:
            model.gradient_checkpointing_enable()
        torch.manual_seed(7)
        model(**lesson(name)).loss.backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for one, two in zip(*gradients, strict=True):
        assert one.abs().max() > 0
        torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", CLASSES)
def test_a_frozen_base_leaves_the_head_to_learn(name: str) -> None:
    model = made(name, tie_word_embeddings=False)
    model.transformer.requires_grad_(False)
    model(**lesson(name)).loss.backward()
    learnt = {parameter for parameter, weights in model.named_parameters() if weights.grad is not None}
    assert learnt == {parameter for parameter, _ in model.named_parameters() if "transformer" not in parameter}
    assert model.num_parameters(only_trainable=True) < 0.5 * model.num_parameters()


@pytest.mark.slow
@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("name", CLASSES)
def test_every_class_learns_a_batch_by_heart(name: str, recompute: bool) -> None:
    model = made(name, initializer_range=0.02, hidden_dropout=0.05, use_cache=False)
    if recompute:
        model.gradient_checkpointing_enable()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = model(**lesson(name)).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 10


def test_a_tied_head_stays_tied_through_training_moving_and_copying() -> None:
    model = made("BloomForCausalLM")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(**lesson("BloomForCausalLM")).loss.backward()
    optimizer.step()
    for same in (model, model.double(), copy.deepcopy(model)):
        assert same.lm_head.weight is same.get_input_embeddings().weight
        assert same.get_output_embeddings() is same.lm_head


def test_rows_added_to_the_table_are_learnt_too() -> None:
    model = made("BloomForCausalLM")
    table = model.resize_token_embeddings(310)
    ids = torch.tensor([[5, 6, 305]])
    model(ids, labels=ids).loss.backward()
    assert table is model.get_input_embeddings() and table.weight.requires_grad
    assert table.weight.grad[305].abs().max() > 0
    assert model.num_parameters() == model.config.parameter_count() == made("BloomForCausalLM").num_parameters() + 240


# New weights


@pytest.mark.parametrize("name", ["BloomModel", *CLASSES])
def test_every_new_weight_follows_the_recipe(name: str) -> None:
    """normal(0, initializer_range); biases 0; layer norms 1 and 0. The heads' own layers, too."""
    model = made(name, hidden_size=96, num_labels=40, initializer_range=0.05, tie_word_embeddings=False)
    for path, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            n = module.weight.numel()
            assert abs(module.weight.mean()) < 5 * 0.05 / n**0.5, path
            assert abs(module.weight.std() - 0.05) < 5 * 0.05 / (2 * n) ** 0.5, path
        if isinstance(module, nn.LayerNorm):
            assert module.weight.eq(1).all() and not module.bias.any(), path
        if isinstance(module, nn.Linear) and module.bias is not None:
            assert not module.bias.any(), path


# Moving


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", CLASSES)
def test_bias_mask_and_outputs_follow_the_weights_dtype(name: str, dtype: torch.dtype) -> None:
    model = made(name, initializer_range=0.02).eval()
    ids, mask = random_ids(), padded_mask()
    expected = first(model(ids, attention_mask=mask))
    hooks = Hooks(read=["embed", "h.1.attn.alibi", "h.1.attn.biased", "h.1.attn.probs", "final"])
    moved = model.to(dtype)
    got = first(moved(ids, attention_mask=mask, hooks=hooks))
    assert moved.dtype == got.dtype == dtype
    assert {hooks[spot].dtype for spot in hooks} == {dtype}
    row = slice(1, None)  # the row without padding
    torch.testing.assert_close(got[row].float(), expected[row], atol=2e-2, rtol=2e-2)
    assert first(moved(ids, attention_mask=mask)).dtype == dtype  # the fused path, too
    assert moved(**lesson(name)).loss.isfinite()


@pytest.mark.parametrize("name", CLASSES)
def test_training_under_autocast_gives_the_same_loss_to_half_precision(name: str) -> None:
    model = made(name, initializer_range=0.02)
    exact = model(**lesson(name)).loss
    for path in ([], ["h.0.attn.probs"]):
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(**lesson(name), hooks=Hooks(read=path)).loss
        loss.backward()
        torch.testing.assert_close(loss.float(), exact, atol=2e-2, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
@pytest.mark.parametrize("name", CLASSES)
def test_a_model_on_the_gpu_gives_the_cpus_numbers(name: str) -> None:
    model = made(name).eval()
    ids, mask = random_ids(), padded_mask()
    expected = first(model(ids, attention_mask=mask))
    hooks = Hooks(read=["h.1.attn.alibi", "h.1.attn.probs"])
    moved = model.to("cuda")
    got = first(moved(ids.cuda(), attention_mask=mask, hooks=hooks))  # the mask is moved where the ids are
    assert moved.device.type == got.device.type == hooks["h.1.attn.alibi"].device.type == "cuda"
    real = slice(None) if name == "BloomForSequenceClassification" else mask.bool()
    torch.testing.assert_close(got.cpu()[real], expected[real], atol=1e-3, rtol=1e-3)
    batch = {key: value.cuda() for key, value in lesson(name).items()}
    moved.train()(**batch).loss.backward()
    assert all(parameter.grad.is_cuda for parameter in moved.parameters())
