"""Two runs compared in every part: exactly 0 where nothing has changed, and elsewhere what the definitions say."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from bloomlab.errors import HookError, InputError
from bloomlab.hooks import Hooks
from bloomlab.lab import Lab
from bloomlab.lens.difference import (
    READ_SHARES,
    READ_STATES,
    attention_change,
    label_change,
    lens_change,
    next_change,
    relative_distance,
    stream_change,
)
from bloomlab.lens.effect import READ as READ_LOGITS
from bloomlab.lens.effect import effect
from bloomlab.lens.predictions import answer_probs, as_traced, label_probs, next_tokens
from bloomlab.tracing.edits import add, cut, patch, scale, zero
from tests.tasks.task_heads import random_lab as lab_with_heads
from tests.tiny_random import random_model

TEXT = "Leo lives in Oslo."
READ = ["attn.probs", *READ_STATES, *READ_SHARES, *READ_LOGITS]
EDITS: dict[str, tuple[dict[str, Any], str, int]] = {  # what is changed; the first state and the first token it reaches
    "a head at a token": ({"h.1.attn.mixed": zero(head=2, query=5)}, "1 mid", 5),
    "a look": ({"h.1.attn.biased": cut(query=7, key=3)}, "1 mid", 7),
    "an MLP": ({"h.2.mlp.out": scale(2.0)}, "2 post", 0),
    "a token": ({"embed": add(0.5, pos=4)}, "embed", 4),
}


@pytest.fixture(scope="module")
def lab(random_lab: Callable[..., Lab]) -> Lab:
    return random_lab()


def test_a_run_against_itself_is_exactly_zero_in_every_part(lab: Lab) -> None:
    one, other = lab.trace(TEXT, READ), lab.trace(TEXT, READ, {"h.0.resid_post": scale(1.0)})
    attention, states = attention_change(one, other), stream_change(one, other)
    said = lens_change(lab.model, one, other)
    assert not attention.moved.any() and attention.largest() is None
    assert not states.distance.any() and not states.reached.any()
    assert states.shares is not None and not states.shares.any()
    assert not said.kl.any() and said.ids[0].equal(said.ids[1]) and said.probs[0].equal(said.probs[1])


@pytest.mark.parametrize("edited", EDITS)
def test_nothing_below_an_edit_or_before_its_token_is_reached(lab: Lab, edited: str) -> None:
    edit, state, token = EDITS[edited]
    before, after = lab.trace(TEXT, READ), lab.trace(TEXT, READ, edit)
    states, said = stream_change(before, after), lens_change(lab.model, before, after)
    row = states.labels.index(state)
    assert states.reached.tolist() == [i >= row for i in range(len(states.labels))]
    assert not states.distance[:, :token].any() and (states.distance[row:, token] > 0).all()
    assert not said.kl[:row].any() and not said.kl[:, :token].any() and (said.kl[row:, token] > 0).all()
    assert not attention_change(before, after).moved[:, :, :token].any()


def test_the_distances_are_those_of_their_definitions(lab: Lab) -> None:
    before, after = lab.trace(TEXT, READ), lab.trace(TEXT, READ, EDITS["a head at a token"][0])
    attention = attention_change(before, after)
    p, q = before.stack("attn.probs")[:, 0], after.stack("attn.probs")[:, 0]
    torch.testing.assert_close(attention.moved, 1 - torch.minimum(p, q).sum(-1), atol=1e-6, rtol=0)
    look = attention.largest()
    assert look is not None and attention.heads[look.layer, look.head] == attention.heads.max()
    assert (look.before, look.after) == (p[look[:4]].item(), q[look[:4]].item())

    states = stream_change(before, after)
    first, second = before["h.2.resid_mid"][0], after["h.2.resid_mid"][0]
    torch.testing.assert_close(states.distance[5], torch.linalg.norm(second - first, dim=-1) / first.norm(dim=-1))
    torch.testing.assert_close(states.norms[:, 5], torch.stack([first.norm(dim=-1), second.norm(dim=-1)]))
    assert states.shares is not None
    torch.testing.assert_close(states.shares.sum(0), torch.zeros(len(before.tokens)), atol=1e-5, rtol=0)


def test_what_the_last_state_says_is_what_the_model_says(lab: Lab) -> None:
    before, after = lab.trace(TEXT, READ), lab.trace(TEXT, READ, EDITS["an MLP"][0])
    said, whole = lens_change(lab.model, before, after), effect(before, after)
    torch.testing.assert_close(said.kl[-1], whole.kl, atol=1e-6, rtol=1e-4)
    assert said.ids[:, -1].equal(whole.predicted)
    probs = after["logits"][0].softmax(-1).gather(-1, said.ids[1, -1][:, None])[:, 0]
    torch.testing.assert_close(said.probs[1, -1], probs)

    trunk = lab.model.transformer
    read = [lab.model.lm_head(trunk.ln_f(run["h.2.resid_post"][0])).detach() for run in (before, after)]
    p, q = (logits.log_softmax(-1) for logits in read)
    expected = F.kl_div(q, p, reduction="none", log_target=True).sum(-1)
    torch.testing.assert_close(said.kl[6], expected, atol=1e-6, rtol=1e-4)


def test_states_of_two_models_are_each_read_by_their_own(random_lab: Callable[..., Lab]) -> None:
    lab, other = random_lab(), random_lab()
    with torch.no_grad():
        for parameter in other.model.parameters():
            parameter.mul_(1.5)
    before, after = other.trace(TEXT, READ), lab.trace(TEXT, READ)
    with pytest.raises(InputError, match="two models"):
        lens_change(lab.model, before, after)
    with pytest.raises(InputError, match="two models"):
        next_change(lab.model, before, after)
    said, whole = lens_change(lab.model, before, after, before_model=other.model), effect(before, after)
    torch.testing.assert_close(said.kl[-1], whole.kl, atol=1e-5, rtol=1e-3)
    assert said.ids[:, -1].equal(whole.predicted)
    change = next_change(lab.model, before, after, before_model=other.model)
    for run, found in zip((before, after), change.probs[:, -1], strict=True):
        torch.testing.assert_close(found, run["logits"][0].softmax(-1).gather(-1, change.ids[-1]))
    small = random_model(vocab_size=299)
    with pytest.raises(InputError, match="other vocabularies, of 299 and 300 tokens"):
        lens_change(lab.model, before, after, before_model=small)


def test_the_next_tokens_that_have_changed_most_come_first(lab: Lab) -> None:
    before, after = lab.trace(TEXT, READ), lab.trace(TEXT, READ, EDITS["an MLP"][0])
    change = next_change(lab.model, before, after, slice(2, 7), top=3)
    assert change.ids.shape == (3, 5, 3) and change.probs.shape == (2, 3, 5, 3)
    p, q = (run["logits"][0, 2:7].softmax(-1) for run in (before, after))
    assert change.ids[-1].equal((q - p).abs().topk(3).indices)
    likeliest = next_tokens(lab.model, after, slice(2, 7), 3)[0]
    assert change.ids[:2].equal(likeliest[:2]) and change.probs[0, :2].equal(change.probs[1, :2])  # below the edit
    with pytest.raises(InputError, match="no difference; look at each by itself"):
        next_change(lab.model, before, lab.trace("Leo.", READ))
    with pytest.raises(HookError, match="resid_post"):
        next_change(lab.model, before, lab.trace(TEXT, ["embed"]))


def test_a_large_vocabulary_is_compared_in_parts(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = lab.trace(TEXT, READ), lab.trace(TEXT, READ, EDITS["a token"][0])
    whole = lens_change(lab.model, before, after)
    monkeypatch.setattr("bloomlab.lens.inputs.AT_ONCE", 4 * lab.model.config.vocab_size)  # two positions at a time
    torch.testing.assert_close(lens_change(lab.model, before, after).kl, whole.kl)


def test_a_stream_that_is_no_sum_has_no_shares(random_lab: Callable[..., Lab]) -> None:
    edit = EDITS["a token"][0]
    replaced = random_lab(apply_residual_connection_post_layernorm=True)
    change = stream_change(replaced.trace(TEXT, READ), replaced.trace(TEXT, READ, edit))
    assert change.shares is None and change.reached.all()
    some = random_lab()
    assert stream_change(some.trace(TEXT, READ_STATES), some.trace(TEXT, READ_STATES, edit)).shares is None


def test_two_texts_of_other_lengths_cannot_be_compared(lab: Lab) -> None:
    before, after = lab.trace(TEXT, READ), lab.trace("Leo.", READ)
    for compare in (attention_change, stream_change, lambda a, b: lens_change(lab.model, a, b)):
        with pytest.raises(InputError, match="must have the same tokens, layers and sizes"):
            compare(before, after)
    with pytest.raises(InputError, match=r"one shape, \(layer, pos, label\)"):
        label_change(torch.zeros(2, 3, 4), torch.zeros(2, 3, 5))
    with pytest.raises(HookError, match=r"this lens needs attn\.probs"):
        attention_change(lab.trace(TEXT, ["embed"]), after)


def test_a_vector_that_was_zero_has_moved_infinitely_far() -> None:
    assert relative_distance(torch.zeros(2, 3), torch.tensor([[1.0, 0, 0], [0, 0, 0]])).tolist() == [torch.inf, 0]


def test_patching_a_state_everywhere_gives_the_other_text_s_states_from_there_on(lab: Lab) -> None:
    before, other = lab.trace(TEXT, READ), lab.trace("Lea loves an owl!!", READ)
    after = lab.trace(TEXT, READ, {"h.1.resid_post": patch(other["h.1.resid_post"])})
    change, whole = stream_change(before, after), stream_change(before, other)
    row = change.labels.index("1 post")
    assert change.distance[row:].equal(whole.distance[row:]) and not change.distance[:row].any()
    assert not lens_change(lab.model, other, after).kl[row:].any()


# ---- a task head reads the text with its own copy of the model, which is edited at the same spots ----


def test_an_edit_reaches_the_task_heads() -> None:
    lab = lab_with_heads()
    head, ids = lab.heads["tags"], torch.tensor(lab.tokenizer.encode(TEXT))
    edit = {"h.1.attn.mixed": [zero(head=2, query=5), scale(0.5, query=9)]}
    whole = label_probs(head, ids)
    change = label_change(whole, label_probs(head, ids, edit))
    assert not change.change[0].any() and not change.change[:, :5].any() and change.change[1:, 5].abs().min() > 0
    assert change.change[change.largest()].abs() == change.change.abs().max()
    assert not label_change(whole, label_probs(head, ids)).change.any()


def test_a_head_is_edited_as_a_trace_was_at_the_spots_it_has() -> None:
    lab = lab_with_heads()
    head, ids = lab.heads["tags"], torch.tensor(lab.tokenizer.encode(TEXT))
    mlp, looks = scale(2.0), cut(query=7, key=3)
    trace = lab.trace(TEXT, ["h.0.attn.scores"], {"h.2.mlp.out": mlp, "h.1.attn.biased": looks, "logits": zero()})
    alike = as_traced(trace, head)
    assert alike == {"edit": {"h.2.mlp.out": (mlp,), "h.1.attn.biased": (looks,)}, "read": ["h.0.attn.probs"]}
    expected = label_probs(head, ids, {"h.2.mlp.out": mlp, "h.1.attn.biased": looks})
    torch.testing.assert_close(label_probs(head, ids, **alike), expected)
    assert as_traced(lab.trace(TEXT, ["embed"]), head) == {"edit": {}, "read": []}
    trace.edit = {}
    with pytest.raises(InputError, match="only the words are left"):
        as_traced(trace, head)


def test_an_edit_after_the_last_norm_reaches_what_a_head_says() -> None:
    lab = lab_with_heads()
    head, ids = lab.heads["tags"], torch.tensor(lab.tokenizer.encode(TEXT))
    edit = {"final": zero(pos=5)}
    found, whole = label_probs(head, ids, edit), label_probs(head, ids)
    expected = head(ids[None], hooks=Hooks(edit=edit)).logits[0].softmax(-1)
    assert found[-1].equal(expected.detach()) and found[:-1].equal(whole[:-1])
    assert not found[-1, 5].allclose(whole[-1, 5])


AT_A_COLUMN: dict[str, Callable[[int], Any]] = {
    "h.1.attn.mixed": lambda first: zero(head=2, query=first + 5),
    "h.1.attn.biased": lambda first: cut(query=first + 7, key=first + 3),
}


@pytest.mark.parametrize("spot", AT_A_COLUMN)
def test_an_edit_of_an_answer_s_context_has_the_context_s_columns(spot: str) -> None:
    lab, edit = lab_with_heads(), AT_A_COLUMN[spot]
    head, question, context = lab.heads["answer"], *(torch.tensor(lab.tokenizer.encode(t)) for t in ("Where?\n", TEXT))
    found = answer_probs(head, question, context, {spot: edit(0)})[-1]
    output = head(torch.cat([question, context])[None], hooks=Hooks(edit={spot: edit(len(question))}))
    expected = torch.stack([output.start_logits[0], output.end_logits[0]]).softmax(-1)[:, len(question) :]
    torch.testing.assert_close(found, expected.detach())
    assert not found.allclose(answer_probs(head, question, context)[-1], atol=1e-4)
