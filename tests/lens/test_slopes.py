import math

import pytest
import torch

from bloomlab.errors import HookError, InputError
from bloomlab.hooks import At, Hooks
from bloomlab.lab import Lab
from bloomlab.lens.slopes import READ, loss_by_slope, slopes_used, text_effect
from bloomlab.model.alibi import alibi_bias, slopes
from bloomlab.tracing.edits import scale
from tests.tiny_random import byte_tokenizer, random_ids, random_model

TEXT = "Leo lives in Oslo."


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(random_model(), byte_tokenizer(), name="random")


def test_half_the_slope_shares_attention_as_worked_out_by_hand() -> None:
    """Scores 0, distances 2, 1, 0."""
    for slope, row in ((0.5, [0.186, 0.307, 0.506]), (0.25, [0.254, 0.326, 0.419])):
        bias = alibi_bias(torch.tensor([0.5]), torch.arange(3)[None])
        edited = scale(slope / 0.5)(bias, At("h.0.attn.alibi", ("batch", "head", "query", "key"), 0))
        assert edited.softmax(-1).flatten().tolist() == pytest.approx(row, abs=5e-4)


def test_the_model_itself_shares_so_where_its_scores_are_0(lab: Lab) -> None:
    """Heads 4 and 5 of six have the slopes 1/2 and 1/8."""
    flat = {"attn.scores": scale(0.0)}
    for edit, row in (({}, [0.186, 0.307, 0.506]), ({"attn.alibi": scale(0.5, head=4)}, [0.254, 0.326, 0.419])):
        trace = lab.trace("abc", ["attn.probs"], edit={**flat, **edit})
        for layer in range(3):
            assert trace[f"h.{layer}.attn.probs"][0, 4, 2].tolist() == pytest.approx(row, abs=5e-4)


def test_a_slope_times_1_changes_no_bit_on_the_readable_path(lab: Lab) -> None:
    read = ["attn.biased", "attn.probs", "final", "logits"]
    whole, same = (lab.trace(TEXT, read, edit) for edit in (None, {"attn.alibi": scale(1.0, head=2)}))
    assert all(whole[name].equal(same[name]) for name in whole.names)
    half = lab.trace(TEXT, read, {"attn.alibi": scale(0.5, head=2)})
    assert not half["logits"].equal(whole["logits"])


def test_the_slopes_used_are_those_that_the_softmax_has_seen(lab: Lab) -> None:
    """Independent of the biases: what the shares say beyond the scores, from one key to the next."""
    edit = {"attn.alibi": [scale(0.3), scale(2, head=1)], "h.2.attn.alibi": scale(0.0, head=3)}
    trace = lab.trace(TEXT, [*READ, "attn.scores", "attn.probs"], edit)
    used = slopes_used(trace)
    expected = torch.tensor(slopes(6), dtype=torch.float64).repeat(3, 1) * 0.3
    expected[:, 1] *= 2
    expected[2, 3] = 0
    assert torch.allclose(used, expected, atol=1e-7, rtol=1e-6)
    for layer in range(3):
        seen = trace[f"h.{layer}.attn.probs"][0].double().log() - trace[f"h.{layer}.attn.scores"][0].double()
        rise = seen[:, -1, -1] - seen[:, -1, -2]
        assert torch.allclose(rise, used[layer], atol=1e-5)


def test_a_run_without_edited_biases_has_the_trained_slopes_whatever_it_has_read(lab: Lab) -> None:
    trained = torch.tensor(slopes(6), dtype=torch.float64).expand(3, 6)
    for read, edit in (([], None), (READ, None), ([], {"h.0.attn.mixed": scale(2.0)})):
        assert slopes_used(lab.trace(TEXT, read, edit)).equal(trained)
    assert slopes_used(lab.trace("a", READ, {"attn.alibi": scale(0.5)})).equal(trained)  # one token has no distance
    with pytest.raises(InputError, match="has not read them"):
        slopes_used(lab.trace(TEXT, ["final"], {"h.1.attn.alibi": scale(0.5)}))


def test_slopes_that_half_precision_rounds_are_still_the_trained_ones() -> None:
    lab = Lab(random_model(n_head=12).bfloat16(), byte_tokenizer(), name="half")
    trained = torch.tensor(slopes(12), dtype=torch.float64).expand(3, 12)
    trace = lab.trace(TEXT, READ)
    row = trace["h.0.attn.alibi"][0, :, -1].double()
    assert not ((row[:, -1] - row[:, 0]) / 17).equal(trained[0])  # they are rounded there
    assert slopes_used(trace).equal(trained)


def test_the_effect_on_a_text_is_that_of_the_logits(lab: Lab) -> None:
    read = [*READ, "attn.probs", "logits"]
    whole, edited = lab.trace(TEXT, read), lab.trace(TEXT, read, {"attn.alibi": scale(0.0)})
    found = text_effect(lab.model, whole, edited)
    ids = whole.ids[0]
    for losses, run in ((found.before, whole), (found.after, edited)):
        expected = torch.nn.functional.cross_entropy(run["logits"][0, :-1], ids[1:], reduction="none")
        assert torch.allclose(losses, expected, atol=1e-6)
    p, q = (run["logits"][0, -1].double().log_softmax(-1) for run in (whole, edited))
    assert found.next.kl.item() == pytest.approx((p.exp() * (p - q)).sum().item(), abs=1e-6)
    assert found.next.predicted[:, 0].tolist() == [int(p.argmax()), int(q.argmax())]
    nothing = text_effect(lab.model, whole, whole)
    assert nothing.next.kl.item() == 0 and nothing.before.equal(nothing.after)
    one = lab.trace("a", READ)
    assert text_effect(lab.model, one, one).before.shape == (0,)


def test_runs_that_cannot_be_compared_are_refused(lab: Lab) -> None:
    with pytest.raises(HookError, match="final"):
        text_effect(lab.model, lab.trace(TEXT, []), lab.trace(TEXT, READ))
    with pytest.raises(InputError, match="different tokens"):
        text_effect(lab.model, lab.trace("abc", READ), lab.trace("abd", READ))


def test_the_loss_by_slope_is_the_models_own_with_that_edit() -> None:
    model, ids = random_model(), random_ids(5, 12)
    *_, last = loss_by_slope(model, ids, [1, 0.5, [1, 1, 1, 1, 0.25, 1]], head=4, batch_tokens=24)
    spots = [f"h.{layer}.attn.alibi" for layer in range(3)]
    for result, factor in zip(last.results, (1, 0.5, 0.25), strict=True):
        hooks = Hooks(edit=dict.fromkeys(spots, scale(factor, head=4)))
        assert result.mean == pytest.approx(model(ids, labels=ids, hooks=hooks).loss.item(), abs=1e-6)
    assert len({result.mean for result in last.results}) == 3
    assert (last.done, last.total, last.results[0].tokens) == (180, 180, 55)


def test_the_loss_by_slope_comes_in_steps_and_what_is_finished_stays() -> None:
    steps = loss_by_slope(random_model(), random_ids(4, 10), [0, 1], batch_tokens=20)
    assert [(step.done, len(step.results)) for step in steps] == [(20, 0), (40, 1), (60, 1), (80, 2)]


@pytest.mark.parametrize(
    ("factors", "head", "message"),
    [
        ([-1], None, "0 or more"),
        ([math.nan], None, "0 or more"),
        ([[1.0, 2.0]], None, "each of 6 heads"),
        ([10**400], None, "a factor must be 0 or more"),
        ([None], None, "a factor must be 0 or more"),
        ([1], 6, "heads 0 to 5"),
        ([1], True, "heads 0 to 5"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(factors: list[float], head: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        loss_by_slope(random_model(), random_ids(1, 4), factors, head)
    with pytest.raises(InputError, match="two tokens"):
        loss_by_slope(random_model(), random_ids(1, 1), [1])
