"""Attention: who sees whom, two paths with one meaning, and heads cut as BLOOM interleaves them."""

import math

import pytest
import torch
from torch import Tensor

from bloomlab.config import BloomConfig
from bloomlab.hooks import Hooks
from bloomlab.model.attention import (
    Bias,
    BloomAttention,
    extend,
    fused,
    make_bias,
    merge_heads,
    sliced_linear,
    split_heads,
    visible_keys,
)
from tests.tiny_random import BATCH, POS, padded_mask, random_ids, random_model

READABLE = ["h.0.attn.probs", "h.1.attn.probs", "h.2.attn.probs"]


def test_a_query_sees_itself_and_the_tokens_before_it() -> None:
    assert visible_keys(torch.ones(1, 3), 3)[0, 0].tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_padding_sees_itself_only_and_nobody_else_sees_it() -> None:
    visible = visible_keys(torch.tensor([[0, 1, 0, 1]]), 4)[0, 0]
    assert visible.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 1, 0, 1]]


@pytest.mark.parametrize("n_query", [1, 2, 4])
def test_a_pass_over_the_last_columns_has_the_last_rows_of_the_whole(n_query: int) -> None:
    mask = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1]])
    whole, part = make_bias(mask, 4, 6, torch.float32), make_bias(mask, n_query, 6, torch.float32)
    assert part.visible.equal(whole.visible[:, :, -n_query:])
    assert part.fused.equal(whole.fused[:, :, -n_query:])
    assert part.alibi.equal(whole.alibi) and part.alibi.shape == (2, 6, 1, 4)


def test_the_bias_is_computed_in_float32_and_then_cast() -> None:
    mask = torch.ones(1, 1001)
    in_bfloat16 = make_bias(mask, 1, 1, torch.bfloat16).alibi
    in_float32 = make_bias(mask, 1, 1, torch.float32).alibi
    assert in_bfloat16.equal(in_float32.bfloat16())
    assert in_float32[0, 0, 0, 1000] == 1000 * 2.0**-8
    row = make_bias(mask, 1, 8, torch.bfloat16).alibi[0, :, 0]
    assert row[:, 1000].equal(row[:, 999])  # far back, neighbours are equal in every head


def test_heads_are_cut_q_k_v_of_one_head_after_another() -> None:
    fused = torch.arange(2 * 3 * 2).view(1, 1, 12)  # 2 heads of q, k, v, each of width 2
    q, k, v = split_heads(fused, 2)
    assert [part[0, :, 0].tolist() for part in (q, k, v)] == [
        [[0, 1], [6, 7]],
        [[2, 3], [8, 9]],
        [[4, 5], [10, 11]],
    ]
    assert merge_heads(q)[0, 0].tolist() == [0, 1, 6, 7]


def test_the_past_is_extended_by_a_new_pair() -> None:
    old = torch.zeros(1, 2, 3, 4), torch.ones(1, 2, 3, 4)
    new = torch.full((1, 2, 1, 4), 5.0), torch.full((1, 2, 1, 4), 6.0)
    k, v = extend(old, *new)
    assert k.shape == v.shape == (1, 2, 4, 4)
    assert k[:, :, -1].unique().item() == 5 and v[:, :, -1].unique().item() == 6
    assert old[0].shape[2] == old[1].shape[2] == 3
    assert extend(None, *new) == new


def by_hand(attention: BloomAttention, x: Tensor, slopes: list[float]) -> Tensor:
    """One head, one row, one number after another, in float64."""
    weight, bias = attention.query_key_value.weight.double(), attention.query_key_value.bias.double()
    n, width = x.shape[1], attention.head_dim
    mixed = torch.zeros(n, attention.n_head * width, dtype=torch.float64)
    fused = (x[0].double() @ weight.T + bias).view(n, attention.n_head, 3, width)
    for head in range(attention.n_head):
        q, k, v = fused[:, head, 0], fused[:, head, 1], fused[:, head, 2]
        for i in range(n):
            scores = [float(q[i] @ k[j]) / math.sqrt(width) - slopes[head] * (i - j) for j in range(i + 1)]
            weights = [math.exp(score - max(scores)) for score in scores]
            mixed[i, head * width : (head + 1) * width] = sum(w / sum(weights) * v[j] for j, w in enumerate(weights))
    return mixed @ attention.dense.weight.double().T + attention.dense.bias.double()


@pytest.mark.parametrize("spots", [[], ["probs"]], ids=["fused", "readable"])
@torch.no_grad()
def test_both_paths_compute_the_formula(spots: list[str]) -> None:
    attention = random_model(n_head=3, hidden_size=12).transformer.h[0].self_attention
    x = torch.randn(1, 4, 12, generator=torch.Generator().manual_seed(0))
    hooks = Hooks(read=spots)
    hooks.start(0)
    out, _ = attention(x, make_bias(torch.ones(1, 4), 4, 3, torch.float32), None, hooks)
    torch.testing.assert_close(out[0].double(), by_hand(attention, x, [1 / 16, 1 / 256, 1 / 4]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("spot", ["scores", "alibi", "biased", "probs"])
def test_the_readable_lines_run_exactly_when_something_only_they_have_is_asked_for(
    spot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr("bloomlab.model.attention.fused", lambda *a, **k: calls.append(1) or fused(*a, **k))
    model, ids = random_model(), random_ids()
    model(ids, hooks=Hooks(read=["h.1.attn.q", "h.1.attn.mixed", "h.1.attn.out", "logits"]))
    assert len(calls) == 3
    model(ids, hooks=Hooks(read=[f"h.1.attn.{spot}"]))
    assert len(calls) == 5  # chosen per layer
    model(ids, hooks=Hooks(edit={f"h.1.attn.{spot}": lambda x, at: x}))
    assert len(calls) == 7
    random_model(attn_implementation="eager")(ids)
    assert len(calls) == 7
    model(ids[:, :1], past_key_values=model(ids).past_key_values)
    assert len(calls) == 13
    half = model.bfloat16()
    half(ids[:, :1], past_key_values=half(ids).past_key_values)  # one query: the readable lines are the faster
    assert len(calls) == 16


@pytest.mark.slow
def test_without_padding_no_mask_is_made_and_the_numbers_and_gradients_are_those_with_one() -> None:
    for heads, n, width, rows in [(1, 2, 4, 1), (6, 33, 64, 3), (7, 70, 8, 2), (16, 520, 64, 1)]:
        torch.manual_seed(n)
        q, k, v = (x.transpose(1, 2).requires_grad_() for x in torch.randn(rows, n, heads, 3, width).unbind(-2))
        bias = make_bias(torch.ones(rows, n), n, heads, torch.float32)
        without = fused(q, k, v, bias)
        assert bias.causal and bias.both is None
        masked = fused(q, k, v, Bias(bias.alibi, bias.visible))
        torch.testing.assert_close(without, masked, rtol=1e-6, atol=1e-6)
        ours, theirs = (torch.autograd.grad(mixed.square().sum(), (q, k, v)) for mixed in (without, masked))
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_mask_is_made_where_something_is_padded_continued_or_laid_out_otherwise() -> None:
    assert make_bias(torch.ones(2, 4), 4, 6, torch.float32).causal
    assert not make_bias(torch.tensor([[0, 1, 1], [1, 1, 1]]), 3, 6, torch.float32).causal
    assert not make_bias(torch.ones(1, 4), 2, 6, torch.float32).causal
    model, ids = random_model().double(), random_ids()  # in float32 the two paths may round apart
    turned = {"h.1.attn.v": lambda x, at: x.mT.contiguous().mT}
    assert model(ids, hooks=Hooks(edit=turned)).logits.allclose(model(ids).logits, atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_the_two_paths_differ_by_rounding_only(seed: int) -> None:
    model, ids = random_model(seed), random_ids(seed=seed)
    mixed = "h.0.attn.mixed"  # later layers carry the earlier ones' rounding on
    for mask in (None, padded_mask()):
        fused, readable = Hooks(read=[mixed]), Hooks(read=[mixed, *READABLE])
        a = model(ids, attention_mask=mask, hooks=fused).logits
        b = model(ids, attention_mask=mask, hooks=readable).logits
        real = torch.ones(BATCH, POS).bool() if mask is None else mask.bool()
        assert (a - b)[real].abs().max() < 1e-6 * a.abs().max()
        seen = real[:, None, :, None].expand_as(fused[mixed])
        assert (fused[mixed] - readable[mixed])[seen].abs().max() < 1e-6


def test_the_two_paths_differ_by_rounding_only_in_bfloat16() -> None:
    model, ids = random_model(scale=0.05).bfloat16(), random_ids()
    a, b = model(ids).logits.float(), model(ids, hooks=Hooks(read=READABLE)).logits.float()
    assert a.isfinite().all()
    assert (a - b).abs().max() / a.abs().max() < 2e-2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_the_probabilities_are_still_sums_to_one(dtype: torch.dtype) -> None:
    hooks = Hooks(read=READABLE)
    random_model().to(dtype)(random_ids(), attention_mask=padded_mask(), hooks=hooks)
    for name in READABLE:
        assert hooks[name].dtype == dtype
        torch.testing.assert_close(hooks[name].float().sum(-1), torch.ones(BATCH, 6, POS), rtol=0, atol=1e-2)


@pytest.mark.parametrize("slices", [1, 2, 3, 24, 30])
@pytest.mark.parametrize("bias", [True, False])
def test_a_product_summed_over_slices_is_the_product_with_its_bias_once(slices: int, bias: bool) -> None:
    torch.manual_seed(0)
    linear, x = torch.nn.Linear(24, 5, bias=bias), torch.randn(2, 3, 24)
    torch.testing.assert_close(sliced_linear(x, linear, slices), linear(x), rtol=0, atol=4e-6)


def test_slow_but_exact_equals_the_fast_path_with_its_biases() -> None:
    """transformers forgets both biases here; the model was trained with them."""
    ids = random_ids()
    fast = random_model(pretraining_tp=4)(ids).logits
    slow = random_model(pretraining_tp=4, slow_but_exact=True)(ids).logits
    assert not slow.equal(fast)  # it did sum in another order
    torch.testing.assert_close(slow, fast, rtol=0, atol=4e-6)


def test_dropout_acts_in_training_only_and_on_both_paths() -> None:
    config = {"attention_dropout": 0.5}
    for extra in ({}, {"attn_implementation": "eager"}):
        model, ids = random_model(**config, **extra), random_ids()
        assert model(ids).logits.equal(model(ids).logits)
        model.train()
        torch.manual_seed(0)
        assert not model(ids).logits.equal(model(ids).logits)
    assert BloomConfig().attention_dropout == 0
