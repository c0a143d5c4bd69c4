"""Edits address axes by name and columns from the left edge; one that does not fit is refused with a reason."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bloomlab.errors import HookError
from bloomlab.hooks import At, Hooks, Reading
from bloomlab.tracing.edits import add, check_numbers, cut, fill, from_the_left, mean, patch, scale, zero
from tests.tiny_random import BATCH, POS, random_ids, random_model

MODEL = random_model()
STREAM = At("h.0.resid_post", ("batch", "pos", "hidden"), 0)
LATER = At("h.0.resid_post", ("batch", "pos", "hidden"), 3)  # a pass whose first column is 3
PROBS = At("h.0.attn.probs", ("batch", "head", "query", "key"), 3)


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


# -- each edit ----


def test_zero_scale_and_add_change_the_named_block_and_nothing_else() -> None:
    x = numbers(2, 4, 3)
    block = torch.zeros(2, 4, 3, dtype=torch.bool)
    block[1, :, 2] = True
    for edit, expected in (
        (zero(batch=1, hidden=2), torch.zeros_like(x)),
        (scale(-2.5, batch=1, hidden=2), x * -2.5),
        (add(7.0, batch=1, hidden=2), x + 7),
    ):
        changed = edit(x, STREAM)
        assert changed.equal(torch.where(block, expected, x))
        assert changed is not x


def test_an_axis_that_is_not_named_is_changed_whole() -> None:
    assert zero()(numbers(2, 4, 3), STREAM).equal(torch.zeros(2, 4, 3))


def test_add_takes_a_vector_for_each_position_or_a_tensor_for_the_whole_block() -> None:
    x, direction, whole = numbers(2, 4, 3), torch.tensor([1.0, 2.0, 3.0]), torch.ones(2, 2, 3, dtype=torch.float64)
    assert add(direction, pos=1)(x, STREAM)[:, 1].equal(x[:, 1] + direction)
    changed = add(whole, pos=[0, 3])(x, STREAM)
    assert changed.dtype == torch.float32
    assert changed[:, [0, 3]].equal(x[:, [0, 3]] + 1) and changed[:, [1, 2]].equal(x[:, [1, 2]])


def test_mean_is_over_the_rows_of_the_batch_only() -> None:
    x = numbers(4, 3, 2)
    assert mean()(x, STREAM).equal(x.mean(0, keepdim=True).expand_as(x))
    one = mean(batch=2, pos=1)(x, STREAM)
    assert one[2, 1].equal(x.mean(0)[1])
    one[2, 1] = x[2, 1]
    assert one.equal(x)


def test_patch_puts_the_same_block_of_another_run() -> None:
    x, source = numbers(2, 4, 3), numbers(2, 4, 3) + 10
    assert patch(source)(x, STREAM).equal(source)
    changed = patch(source, pos=[1, 3], hidden=slice(1, None))(x, STREAM)
    expected = x.clone()
    expected[:, [1, 3], 1:] = source[:, [1, 3], 1:]
    assert changed.equal(expected)
    one_row = patch(source[:1])(x, STREAM)
    assert one_row.equal(source[:1].expand_as(x))
    assert patch(source.double())(x, STREAM).dtype == torch.float32


def test_a_cut_look_is_impossible_and_the_row_shares_out_anew() -> None:
    hooks = Hooks(read=["h.1.attn.probs"])
    MODEL(random_ids(), hooks=hooks)
    whole = hooks["h.1.attn.probs"]
    for where, gone in (
        ({"query": 4, "key": [1, 2], "head": 3}, (slice(None), 3, 4, [1, 2])),
        ({"key": 0}, (slice(None), slice(None), slice(1, None), 0)),
        ({"head": 2, "query": 3}, (slice(None), 2, 3, slice(0, 3))),  # all it can look at, but itself
    ):
        cuts = Hooks(read=["h.1.attn.probs"], edit={"h.1.attn.biased": cut(**where)})
        MODEL(random_ids(), hooks=cuts)
        left = whole.clone()
        left[gone] = 0
        assert cuts["h.1.attn.probs"][gone].eq(0).all()
        torch.testing.assert_close(cuts["h.1.attn.probs"], left / left.sum(-1, keepdim=True))  # p / (1 − p of the cut)
    alone = Hooks(read=["h.1.attn.probs"], edit={"h.1.attn.biased": cut()})
    MODEL(random_ids(), hooks=alone)
    assert alone["h.1.attn.probs"].equal(torch.eye(POS).expand_as(whole))  # a query keeps itself


@pytest.mark.parametrize(("slope", "shares"), [(0.5, [0.186, 0.307, 0.506]), (0.25, [0.254, 0.326, 0.419])])
def test_what_is_cut_from_a_row_that_position_alone_makes(slope: float, shares: list[float]) -> None:
    at = At("h.0.attn.biased", ("batch", "head", "query", "key"), 2)
    row = -slope * torch.tensor([[[[2.0, 1.0, 0.0]]]])
    assert row.softmax(-1).flatten().tolist() == pytest.approx(shares, abs=6e-4)
    cut_row = cut(key=1)(row, at).softmax(-1).flatten().tolist()
    assert cut_row == pytest.approx([shares[0] / (1 - shares[1]), 0, shares[2] / (1 - shares[1])], abs=2e-3)


def test_a_cut_means_the_same_in_every_step_of_a_generation() -> None:
    edit = {"h.0.attn.biased": cut(query=[5, 6], key=[1, 5]), "h.2.attn.biased": cut(head=[0, 4], key=2)}
    generated = MODEL.generate(random_ids(1, 4), max_new_tokens=5, eos_token_id=None, hooks=Hooks(edit=edit))
    logits = MODEL(generated[:, :-1], hooks=Hooks(edit=edit)).logits[0, 3:]
    assert logits.argmax(-1).equal(generated[0, 4:])


def test_a_cut_is_made_before_the_softmax_only() -> None:
    for spot in ("h.0.attn.probs", "h.0.attn.scores", "h.0.resid_post"):
        with pytest.raises(HookError, match=r"cut works at attn\.biased, before the softmax"):
            MODEL(random_ids(), hooks=Hooks(edit={spot: cut(key=0)}))
    with pytest.raises(HookError, match="has no axis 'pos'"):
        MODEL(random_ids(), hooks=Hooks(edit={"h.0.attn.biased": cut(pos=0)}))


# -- columns ----


def test_a_patch_cuts_this_passs_columns_out_of_the_whole_run() -> None:
    whole = numbers(2, 9, 3)
    assert patch(whole)(torch.zeros(2, 4, 3), LATER).equal(whole[:, 3:7])
    assert patch(whole, pos=5)(torch.zeros(2, 4, 3), LATER)[:, 2].equal(whole[:, 5])
    probs = numbers(2, 6, 9, 9)
    assert patch(probs)(torch.zeros(2, 6, 4, 7), PROBS).equal(probs[:, :, 3:7, :7])


def test_query_and_pos_count_from_the_left_edge_of_the_input_and_so_does_key() -> None:
    changed = zero(query=4, key=[0, 6])(torch.ones(2, 6, 4, 7), PROBS)
    expected = torch.ones(2, 6, 4, 7)
    expected[:, :, 1, [0, 6]] = 0
    assert changed.equal(expected)
    assert zero(pos=slice(2, 5))(torch.ones(2, 4, 3), LATER)[0, :, 0].tolist() == [0, 0, 1, 1]
    assert zero(pos=slice(None, None, 2))(torch.ones(2, 4, 3), LATER)[0, :, 0].tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("edit", [zero, mean, lambda **w: scale(2, **w), lambda **w: add(1, **w)])
@pytest.mark.parametrize("pos", [0, 2, 7, 10**12, [0, 1, 99], [], slice(0, 3), slice(50, 60)])
def test_a_column_outside_this_pass_does_nothing(edit: Any, pos: Any) -> None:
    x = numbers(2, 4, 3)
    assert edit(pos=pos)(x, LATER).equal(x)
    assert patch(numbers(2, 7, 3) + 1, pos=pos)(x, LATER).equal(x)


def test_an_edit_of_one_column_means_the_same_in_every_step_of_a_generation() -> None:
    ids = random_ids(1, 4)
    edit = {"h.0.attn.out": add(torch.ones(24), pos=5), "h.1.resid_mid": zero(pos=[1, 6])}
    generated = MODEL.generate(ids, max_new_tokens=5, eos_token_id=None, hooks=Hooks(edit=edit))
    logits = MODEL(generated[:, :-1], hooks=Hooks(edit=edit)).logits[0, 3:]
    assert logits.argmax(-1).equal(generated[0, 4:])
    assert not MODEL.generate(ids, max_new_tokens=5, eos_token_id=None).equal(generated)


# -- what does not fit ----


@pytest.mark.parametrize("index", [-1, [0, -2], slice(-3, None), slice(None, -1), slice(None, None, -1)], ids=str)
def test_a_column_from_the_end_needs_a_text_that_is_known_whole(index: Any) -> None:
    for at in (STREAM, LATER):
        with pytest.raises(HookError, match=r"counts from 0 in whole numbers, .*only where the text is known"):
            zero(pos=index)(numbers(2, 4, 3), at)


@pytest.mark.parametrize("index", [-1, [0, -2], slice(-3, None), slice(None, -1)], ids=str)
def test_an_index_from_the_end_is_the_one_python_means(index: Any) -> None:
    x = numbers(2, 4, 3)
    hidden, pos = (torch.arange(size)[index].view(-1) for size in (3, 4))
    assert zero(hidden=index)(x, STREAM).equal(x.index_fill(2, hidden, 0.0))
    assert from_the_left(zero(pos=index), 4)(x, STREAM).equal(x.index_fill(1, pos, 0.0))


def test_numpys_whole_numbers_are_whole_numbers() -> None:
    x = numbers(2, 4, 3)
    assert zero(pos=np.argmax([0, 1]))(x, STREAM).equal(zero(pos=1)(x, STREAM))
    assert zero(pos=[np.int32(0), 2])(x, STREAM).equal(zero(pos=[0, 2])(x, STREAM))


@pytest.mark.parametrize("index", [1.5, "abc", [0.5], True, [True], None, torch.tensor([1.5])], ids=str)
def test_an_index_that_is_not_a_whole_number_is_an_error(index: Any) -> None:
    with pytest.raises(HookError, match=r"'h.0.resid_post' counts from 0 in whole numbers"):
        zero(pos=index)(numbers(2, 4, 3), STREAM)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (zero(head=1), "'h.0.resid_post' has no axis 'head'; it has batch, pos, hidden"),
        (zero(poss=1), "has no axis 'poss'; did you mean 'pos'"),
        (zero(hidden=3), "hidden at 'h.0.resid_post' goes from 0 to 2, but got 3"),
        (mean(batch=2), "batch at 'h.0.resid_post' goes from 0 to 1, but got 2"),
        (add(torch.ones(7)), r"add at 'h.0.resid_post' needs a value that fits \(2, 4, 3\).*\(7,\)"),
        (add(torch.ones(5, 2, 4, 3)), r"needs a value that fits \(2, 4, 3\)"),
        (patch(torch.ones(4, 3)), r"needs axes batch pos hidden, but its source is \(4, 3\)"),
        (patch(torch.ones(2, 3, 3)), "asks for column 3 of pos, but its source has only 3 columns"),
        (patch(torch.ones(2, 4, 5)), "needs 3 along hidden, but its source has 5"),
        (patch(torch.ones(3, 4, 3)), "needs 2 along batch, but its source has 3"),
        (fill(torch.ones(1, 3, 3)), r"stands \(2, 4, 3\), which \(1, 3, 3\) does not fill"),
        (fill(torch.ones(4, 3)), r"which \(4, 3\) does not fill"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_an_edit_that_does_not_fit_its_spot_is_refused_with_the_reason(edit: Any, words: str) -> None:
    with pytest.raises(HookError, match=words):
        edit(numbers(2, 4, 3), STREAM)


@pytest.mark.parametrize("make", [lambda: scale("x"), lambda: add("x"), lambda: add(None), lambda: patch([[1.0]])])  # type: ignore[arg-type]
def test_an_edit_made_of_something_else_is_refused_when_it_is_made(make: Any) -> None:
    with pytest.raises(HookError, match=r"must be .*, but got"):
        make()


@pytest.mark.parametrize(
    ("columns", "pos"), [([2, 3], 4), (2, [4, 5]), (1, None), ("2", 4), (2, slice(0, 1)), (2**63, 4)]
)
def test_a_patch_takes_a_column_for_each_position(columns: Any, pos: Any) -> None:
    with pytest.raises(HookError, match="patch takes a column of its source for each position"):
        patch(torch.ones(1, 6, 3), columns, **({} if pos is None else {"pos": pos}))


def test_a_factor_of_nan_is_stopped_by_the_hooks() -> None:
    with pytest.raises(HookError, match="NaN"):
        MODEL(random_ids(), hooks=Hooks(edit={"embed": scale(float("nan"), pos=1)}))


# -- in a model ----


@pytest.mark.parametrize("number", [torch.nan, torch.inf, -torch.inf])
def test_numbers_beyond_all_bounds_are_refused_and_a_look_that_is_cut_is_none(number: float) -> None:
    fine = {"embed": Reading(torch.ones(1, 2, 3), "batch pos hidden")}
    biased = {"h.0.attn.biased": Reading(torch.tensor([[[[0.0, number]]]]), "batch head query key")}
    check_numbers(fine)
    with pytest.raises(HookError, match=r"with these edits the numbers at 'h.0.mlp.out' grow beyond all bounds"):
        check_numbers(fine | {"h.0.mlp.out": Reading(torch.tensor([[[1.0, number]]]), "batch pos hidden")})
    if number == -torch.inf:
        check_numbers(biased)
    else:
        with pytest.raises(HookError, match=r"'h\.0\.attn\.biased' grow"):
            check_numbers(biased)


def test_switching_a_head_off_leaves_the_others() -> None:
    hooks = Hooks(read=["h.1.attn.mixed"], edit={"h.1.attn.mixed": zero(head=3)})
    plain = Hooks(read=["h.1.attn.mixed"])
    out, before = MODEL(random_ids(), hooks=hooks).logits, MODEL(random_ids(), hooks=plain).logits
    rest = [0, 1, 2, 4, 5]
    assert not hooks["h.1.attn.mixed"][:, 3].any()
    assert hooks["h.1.attn.mixed"][:, rest].equal(plain["h.1.attn.mixed"][:, rest])
    assert (out - before).abs().max() > 1e-3


def test_gradients_flow_around_and_into_an_edit() -> None:
    direction = torch.zeros(24, requires_grad=True)
    MODEL(random_ids(), hooks=Hooks(edit={"h.0.resid_post": add(direction, pos=2)})).logits[:, -1].sum().backward()
    assert direction.grad is not None and direction.grad.abs().max() > 0
    MODEL.zero_grad()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_edits_keep_the_models_dtype(dtype: torch.dtype) -> None:
    model = random_model().to(dtype)
    clean = Hooks(read=["h.0.resid_post"])
    model(random_ids(), hooks=clean)
    edit = {
        "h.0.mlp.out": scale(0.5, pos=1),
        "h.0.resid_post": patch(clean["h.0.resid_post"].float(), pos=2),
        "h.1.resid_mid": add(torch.ones(24), pos=3),
        "h.1.resid_post": mean(pos=4),
        "h.2.attn.mixed": zero(head=0),
    }
    assert model(random_ids(), hooks=Hooks(edit=edit)).logits.dtype == dtype


def test_an_edit_says_what_it_does() -> None:
    assert repr(zero(head=3)) == "zero(head=3)"
    assert repr(scale(0.5, pos=[0, 1])) == "scale(0.5, pos=[0, 1])"
    assert repr(add(torch.ones(BATCH, POS), pos=4)) == "add(tensor(2, 5), pos=4)"
    assert repr(patch(torch.ones(1, 2, 3))) == "patch(tensor(1, 2, 3))"
    assert repr(mean()) == "mean()"


@pytest.mark.parametrize("edit", [zero(), scale(0.5), add(2.0), scale(3, head=1), zero(key=[0, 2]), scale(2, query=1)])
def test_an_edit_of_what_repeats_itself_is_the_same_and_takes_no_room(edit: Any) -> None:
    at = At("h.0.attn.alibi", ("batch", "head", "query", "key"), 0)
    repeated = torch.randn(1, 2, 1, 5, generator=torch.Generator().manual_seed(0)).expand(1, 2, 64, 5)
    changed = edit(repeated, at)
    assert changed.shape == repeated.shape and changed.equal(edit(repeated.contiguous(), at))
    numbers = changed.untyped_storage().nbytes() // 4
    assert numbers == (repeated.numel() if "query" in edit.where else 10)
