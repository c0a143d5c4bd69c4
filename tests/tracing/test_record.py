"""A run that is recorded: several edits at a spot, and one that begins where a known run has come to."""

from typing import Any

import pytest
import torch

from bloomlab.errors import HookError, InputError
from bloomlab.hooks import Hooks, Known
from bloomlab.tracing.edits import add, cut, scale, zero
from bloomlab.tracing.record import record
from tests.tiny_random import random_ids, random_model
from tests.tracing.test_trace import MODEL, TEXT, TOKENIZER, trace_of


def test_several_edits_at_one_spot_are_made_in_their_order() -> None:
    first, second = add(1.0, pos=3), scale(2.0, pos=3)
    spot, whole = "h.1.resid_post", trace_of(read=["h.1.resid_post"])
    for edits, expected in (([first, second], lambda x: (x + 1) * 2), ((second, first), lambda x: x * 2 + 1)):
        trace = trace_of(read=[spot], edit={spot: edits})
        assert trace[spot][:, 3].equal(expected(whole[spot][:, 3]))
        assert trace[spot][:, :3].equal(whole[spot][:, :3])
        assert trace.provenance["edits"] == {spot: repr(list(edits))}
    named_twice = trace_of(read=[spot], edit={"resid_post": first, spot: second})  # by two names
    assert named_twice.provenance["edits"][spot] == repr([first, second])
    assert named_twice.provenance["edits"]["h.0.resid_post"] == repr(first)
    assert trace_of(read=[spot], edit={spot: [first]}).provenance["edits"] == {spot: repr(first)}


def test_several_edits_mean_the_same_in_a_generation_and_each_is_checked() -> None:
    edit = {"h.0.attn.out": [add(1.0, pos=5), scale(3.0)], "h.1.resid_mid": [zero(pos=1), add(2.0)]}
    generated = MODEL.generate(random_ids(1, 4), max_new_tokens=5, eos_token_id=None, hooks=Hooks(edit=edit))
    logits = MODEL(generated[:, :-1], hooks=Hooks(edit=edit)).logits[0, 3:]
    assert logits.argmax(-1).equal(generated[0, 4:])
    with pytest.raises(HookError, match=r"the edit at 'embed' must take \(tensor, at\)"):
        trace_of(edit={"embed": [zero(), lambda x: x]})
    with pytest.raises(HookError, match="the list of edits at 'embed' is empty"):
        trace_of(edit={"embed": []})
    with pytest.raises(HookError, match="the edit at 'embed' must return a tensor"):
        trace_of(edit={"embed": [zero(), lambda x, at: None]})
    with pytest.raises(HookError, match=r"a dictionary of names and functions, such as .*, but got \[zero\(\)\]"):
        trace_of(edit=[zero()])


# -- an edited run that begins where the edit does ----

EDITS: list[dict[str, Any]] = [
    {"embed": add(1.0, pos=2)},
    {"h.0.attn.mixed": zero(head=1)},
    {"h.1.resid_pre": scale(2.0, pos=3)},
    {"h.1.attn.biased": cut(key=0, head=2)},
    {"h.2.mlp.post": zero(neuron=[3, 5]), "h.1.attn.q": [scale(0.5), add(1.0, query=4)]},
    {"final": scale(2.0)},
    {"logits": add(1.0)},
    {},
]


@pytest.mark.slow
@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: "+".join(edit) or "none")
@pytest.mark.parametrize(
    "read", [["*"], ["resid_post", "embed", "logits"], ["attn.probs", "resid_post", "embed", "logits"]]
)
def test_a_run_that_begins_from_a_known_state_is_bit_for_bit_the_full_one(edit: Any, read: list[str]) -> None:
    base = trace_of(read=read)
    full, short = trace_of(read=read, edit=edit), trace_of(read=read, edit=edit, base=base)
    assert short.names == full.names and all(short[name].equal(full[name]) for name in full.names)
    assert short.provenance == full.provenance
    changed = [name for name in full.names if not full[name].equal(base[name])]
    assert bool(changed) == bool(edit)


def blocks_of(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Which blocks run from now on."""
    ran: list[int] = []
    for i, block in enumerate(MODEL.transformer.h):
        forward = block.forward
        monkeypatch.setattr(block, "forward", lambda *a, i=i, f=forward: (ran.append(i), f(*a))[1])
    return ran


def test_only_the_layers_from_the_lowest_edit_up_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    base, everything = trace_of(read=["resid_post", "embed", "logits"]), trace_of(read=["*"])
    ran = blocks_of(monkeypatch)
    for edit, expected in zip(EDITS, ([0, 1, 2], [0, 1, 2], [1, 2], [1, 2], [1, 2], [], [], []), strict=True):
        trace_of(read=["resid_post", "logits"], edit=edit, base=base)
        assert ran == expected, edit
        ran.clear()
    trace_of(read=["resid_post", "attn.q"], edit=EDITS[2], base=base)  # it lacks the q of layer 0
    trace_of(read=["resid_post", "attn.probs"], edit=EDITS[5], base=base)  # and came by the other path
    trace_of(read=["resid_post"], edit=EDITS[5], base=everything)
    assert ran == 3 * [0, 1, 2]


def test_a_base_that_says_nothing_of_this_run_is_refused() -> None:
    for base, why in (
        (trace_of(edit=EDITS[1]), "the base of an edited run must be a run without edits"),
        (trace_of("Leo."), "the base is a trace of another text"),
        (record(random_model(seed=3), TOKENIZER, TEXT, ["embed"]), "the base is a trace of another model"),
        (record(random_model().double(), TOKENIZER, TEXT, ["embed"]), "the base is a trace of another model"),
    ):
        with pytest.raises(InputError, match=why):
            trace_of(edit=EDITS[1], base=base)


def test_a_known_state_must_fit_and_leaves_no_cache() -> None:
    state = trace_of(read=["embed"])["embed"]
    ids = torch.tensor([TOKENIZER.encode(TEXT)])
    with pytest.raises(InputError, match="computes no cache"):
        MODEL(ids, hooks=Hooks(known=Known(0, state)))
    for known in (Known(4, state), Known(-1, state), Known(0, state[:, 1:]), Known(0, state[..., 1:])):
        with pytest.raises(InputError, match="a known state must be"):
            MODEL(ids, use_cache=False, hooks=Hooks(known=known))
