"""Many runs at once: each row of a batch has its own edits, and is what it would be by itself."""

import pytest
import torch

from bloomlab.errors import HookError, InputError
from bloomlab.hooks import Edit
from bloomlab.lab import Lab
from bloomlab.lens.trials import Trial, Variant, by_spot, dosed, run, token_id, turned
from bloomlab.tracing.donors import copied, drawn, hold, usual
from bloomlab.tracing.edits import add, cut, mean, scale, zero

TEXTS = [f"{name} lives in {city}. Leo lives in" for name in ("Leo", "Ana") for city in ("Oslo", "Lima", "Tokyo")]
BOUND = 2e-5  # logits, float32; measured 5e-6
MIXED, MLP, BIASED = "h.1.attn.mixed", "h.2.mlp.out", "h.0.attn.biased"

EDITS: list[dict[str, tuple[Edit, ...]]] = [
    {},
    {MIXED: (zero(head=3),)},
    {MIXED: (scale(3.0, query=2), add(0.5, head=1))},
    {MIXED: (usual(TEXTS, head=2),), MLP: (drawn(TEXTS),)},
    {MIXED: (copied(TEXTS[1], head=0),)},
    {MIXED: (copied("Leo lives in", columns=2, query=4),)},
    {MIXED: (zero(),), MLP: (hold(pos=3),)},
    {MLP: (mean(),)},
    {BIASED: (cut(query=5, key=1),)},
    {MIXED: (dosed(copied(TEXTS[2]), 2.0),)},
    {MLP: (turned(drawn(TEXTS, seed=4), 7),)},
]


@pytest.mark.slow
def test_a_batch_of_trials_is_each_of_them_by_itself(lab: Lab) -> None:
    """And as lab.trace has it, where that takes the edit."""
    texts = [TEXTS[0], TEXTS[4], "Leo has a cat and a dog."]
    every = [Trial(tuple(lab.tokenizer.encode(text)), edits) for text in texts for edits in EDITS]
    trials = [trial for trial in every if len(trial.ids) == len(every[0].ids) or not _waits(trial)]
    together: dict[int, torch.Tensor] = {}
    for places, logits in run(lab.model, lab.tokenizer, trials):
        together.update(zip(places, logits, strict=True))
    assert sorted(together) == list(range(len(trials)))
    for place, trial in enumerate(trials):
        ((_, alone),) = run(lab.model, lab.tokenizer, [trial])
        torch.testing.assert_close(together[place], alone[0], atol=BOUND, rtol=0)
        edit = {spot: list(edits) for spot, edits in trial.edits.items()}
        if not any(isinstance(one, Variant) for edits in trial.edits.values() for one in edits):
            traced = lab.trace(torch.tensor([trial.ids]), ["logits"], edit)["logits"][0, -1]
            torch.testing.assert_close(together[place], traced, atol=BOUND, rtol=0)


def _waits(trial: Trial) -> bool:
    return any(word in repr(trial.edits) for word in ("usual", "drawn", "copied"))


def test_a_dose_of_one_is_the_edit_and_of_zero_nothing(lab: Lab) -> None:
    ids = tuple(lab.tokenizer.encode(TEXTS[0]))
    trials = [Trial(ids, {MIXED: (edit,)}) for edit in (zero(head=1), dosed(zero(head=1), 1), dosed(zero(head=1), 0))]
    ((_, logits),) = run(lab.model, lab.tokenizer, [*trials, Trial(ids, {})])
    torch.testing.assert_close(logits[0], logits[1], atol=BOUND, rtol=0)
    torch.testing.assert_close(logits[2], logits[3], atol=BOUND, rtol=0)
    assert (logits[0] - logits[3]).abs().max() > 0.01


def test_a_random_direction_changes_only_what_the_edit_changes_and_as_much(lab: Lab) -> None:
    whole = lab.trace(TEXTS[0], [MIXED])[MIXED]
    edits = [zero(head=1, query=4), turned(zero(head=1, query=4), 0), turned(zero(head=1, query=4), 1)]
    zeroed, first, second = (lab.trace(TEXTS[0], [MIXED], {MIXED: edit})[MIXED] - whole for edit in edits)
    torch.testing.assert_close(first.norm(dim=-1), zeroed.norm(dim=-1))
    assert not first[zeroed == 0].any() and not first.allclose(second) and not first.allclose(zeroed)


def test_a_large_model_reads_fewer_rows_at_a_time(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bloomlab.lens.trials.NUMBERS_AT_ONCE", 1)
    trials = [Trial(tuple(range(10, 138)), {MIXED: (scale(k + 1.0),)}) for k in range(5)]
    assert [places for places, _ in run(lab.model, lab.tokenizer, trials)] == [[0], [1], [2], [3], [4]]


def test_a_token_that_is_not_one_is_refused(lab: Lab) -> None:
    assert token_id(lab.tokenizer, " Oslo", "answer") == lab.tokenizer.encode(" Oslo")[0]
    for text, words in (("Oslo", "with the space before it"), (" Oslo or Lima", "is 4"), ("", "one token"), (3, "one")):
        with pytest.raises(InputError, match=words):
            token_id(lab.tokenizer, text, "answer")  # type: ignore[arg-type]


def test_edits_that_are_none_are_refused(lab: Lab) -> None:
    for edit, words in (
        ({}, "such as"),
        (zero(), "such as"),
        ({"h.9.mlp.out": zero()}, "no spot"),
        ({MLP: []}, "empty"),
    ):
        with pytest.raises(HookError, match=words):
            by_spot(lab.model, edit)


def test_logits_beyond_all_bounds_are_refused_and_no_number_is_made_of_them(lab: Lab) -> None:
    edits: dict[str, tuple[Edit, ...]] = {"h.0.mlp.out": (scale(1e30),), "h.1.mlp.out": (scale(1e30),)}
    with pytest.raises(HookError, match="beyond all bounds"):
        list(run(lab.model, lab.tokenizer, [Trial((5, 6), {"logits": (scale(1e30), scale(1e30))}), Trial((5,), edits)]))
    with pytest.raises(InputError, match="the same token"):
        lab.refute(TEXTS[0], {MIXED: zero()}, answer=" Oslo", rival=" Oslo")
