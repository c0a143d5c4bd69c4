"""What an edit changes: KL against torch's own, the change of the loss against the models' losses."""

import pytest
import torch
import torch.nn.functional as F

from bloomlab.errors import HookError, InputError
from bloomlab.lab import Lab
from bloomlab.lens.effect import READ, effect
from bloomlab.tracing.edits import scale, zero
from tests.tiny_random import byte_tokenizer, random_model

TEXT = "Leo lives in Oslo."


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(random_model(), byte_tokenizer())


def test_the_numbers_are_torchs_own(lab: Lab) -> None:
    p, q = torch.randn(2, 7, 300, generator=torch.Generator().manual_seed(0))
    ids = torch.arange(7)
    found = effect(p, q, ids)
    kl = F.kl_div(q.log_softmax(-1), p.log_softmax(-1), reduction="none", log_target=True).sum(-1)
    torch.testing.assert_close(found.kl, kl)
    torch.testing.assert_close(found.before[:-1], F.cross_entropy(p[:-1], ids[1:], reduction="none"))
    torch.testing.assert_close(found.after[:-1], F.cross_entropy(q[:-1], ids[1:], reduction="none"))
    assert found.loss_change[-1].isnan() and found.predicted.tolist() == [p.argmax(-1).tolist(), q.argmax(-1).tolist()]


def test_the_change_of_the_loss_is_what_the_model_reports(lab: Lab) -> None:
    edit = {"h.1.attn.mixed": zero(head=2)}
    before, after = lab.trace(TEXT, READ), lab.trace(TEXT, READ, edit)
    found = effect(before, after)
    loss = lab.model(input_ids=before.ids, labels=before.ids).loss
    torch.testing.assert_close(found.before[:-1].mean(), loss.detach())
    assert found.kl.min() > 0 and found.loss_change[:-1].abs().min() > 0


def test_the_same_run_twice_changes_exactly_nothing(lab: Lab) -> None:
    found = effect(lab.trace(TEXT, READ), lab.trace(TEXT, READ, {"embed": scale(1)}))
    assert not found.kl.any() and not found.loss_change[:-1].any() and found.predicted[0].equal(found.predicted[1])
    assert found.probs[0].equal(found.probs[1])


def test_an_edit_at_one_position_changes_nothing_before_it(lab: Lab) -> None:
    found = effect(lab.trace(TEXT, READ), lab.trace(TEXT, READ, {"h.0.mlp.out": zero(pos=5)}))
    assert not found.kl[:5].any() and found.kl[5] > 0


def test_the_next_tokens_are_those_likely_before_or_after() -> None:
    before, after = torch.tensor([[5.0, 0, 0, 1]]), torch.tensor([[0.0, 5, 0, 1]])
    found = effect(before, after, torch.tensor([0]), top=2)
    assert found.ids.tolist() == [0, 1]
    torch.testing.assert_close(found.probs, torch.cat([before, after]).softmax(-1)[:, :2])


def test_a_long_text_is_compared_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    p, q = torch.randn(2, 9, 30, generator=torch.Generator().manual_seed(0))
    whole = effect(p, q, torch.arange(9))
    monkeypatch.setattr("bloomlab.lens.inputs.AT_ONCE", 60)  # two positions at a time
    assert effect(p, q, torch.arange(9)).kl.equal(whole.kl)


def test_two_texts_cannot_be_compared(lab: Lab) -> None:
    with pytest.raises(InputError, match=r"\(18, 300\) and \(1, 300\)"):
        effect(lab.trace(TEXT, READ), lab.trace("a", READ))
    with pytest.raises(InputError, match="different tokens"):
        effect(lab.trace("abc", READ), lab.trace("abd", READ))
    with pytest.raises(InputError, match="ids of None"):
        effect(torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(HookError, match="logits"):
        effect(lab.trace(TEXT), lab.trace(TEXT))
