"""What can stand in a place, side by side: each number is the run that one would make by hand."""

from typing import Any

import pytest
import torch

from bloomlab.errors import InputError
from bloomlab.lab import Lab
from bloomlab.lens.cases import Case
from bloomlab.lens.instead import Effects, effects, ends, moved_most
from bloomlab.tiny.like import like
from bloomlab.tracing.donors import copied, drawn, usual
from bloomlab.tracing.edits import patch, zero

TEXT = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
SPOT, WHERE = "h.0.attn.mixed", {"head": 1, "query": 16}
BOUND = 2e-5


def last(steps: Any) -> Effects:
    *_, step = steps
    assert step.done == step.total
    found: Effects = step.results[-1]
    return found


@pytest.fixture(scope="module")
def cases(lab: Lab) -> list[Case]:
    return [Case(TEXT, "", " Oslo", " Lima"), *like(lab.tokenizer, TEXT, 6, answer=" Oslo", rival=" Lima")]


def p(lab: Lab, case: Case, edit: Any) -> float:
    probs = lab.trace(case.text, ["logits"], edit)["logits"][0, -1].softmax(-1)
    return float(probs[lab.tokenizer.encode(case.answer)[0]])


@pytest.mark.slow
def test_each_number_is_the_run_by_hand(lab: Lab, cases: list[Case]) -> None:
    texts = [case.text for case in cases[1:]]
    ways = {
        "zero": {SPOT: (zero(**WHERE),)},
        "usual": {SPOT: (usual(texts, **WHERE),)},
        "drawn": {SPOT: (drawn(texts, **WHERE),)},
    }
    found = last(effects(lab.model, lab.tokenizer, cases, ways, "probability"))
    assert (found.answer, found.rival, found.refused) == (" Oslo", " Lima", {})
    for place, case in enumerate(cases):
        assert found.before[place].item() == pytest.approx(p(lab, case, None), abs=BOUND)
        for name, edit in ways.items():
            assert found.after[name][place].item() == pytest.approx(p(lab, case, edit), abs=BOUND), name
    mean = torch.stack([lab.trace(text, [SPOT])[SPOT] for text in texts]).mean(0)
    by_hand = p(lab, cases[0], {SPOT: patch(mean, **WHERE)})
    assert found.after["usual"][0].item() == pytest.approx(by_hand, abs=BOUND)
    assert found.mean("zero") == pytest.approx(float(found.after["zero"].mean()))
    low, high = found.spread("zero")
    assert found.after["zero"].min() <= low <= found.mean("zero") and high <= found.after["zero"].max()


def test_a_way_that_cannot_be_made_says_why_and_the_others_are_measured(lab: Lab, cases: list[Case]) -> None:
    ways = {"usual": {SPOT: (usual(["Leo."], **WHERE),)}, "zero": {SPOT: (zero(**WHERE),)}}
    found = last(effects(lab.model, lab.tokenizer, cases[:1], ways))
    assert found.after.keys() == {"zero"} and "needs texts of 20 tokens" in found.refused["usual"]


def test_each_text_can_have_an_edit_of_its_own(lab: Lab, cases: list[Case]) -> None:
    own = [{SPOT: (copied(case.text),)} for case in cases]  # each copies from itself
    found = last(effects(lab.model, lab.tokenizer, cases, {"own": own}))
    torch.testing.assert_close(found.after["own"], found.before, atol=BOUND, rtol=0)


def test_the_tokens_that_move_most_are_named(lab: Lab) -> None:
    logits = ends(lab.model, lab.tokenizer, TEXT, {SPOT: (zero(**WHERE),)})
    answer, rival = moved_most(lab.tokenizer, logits)
    change = logits[1].softmax(-1) - logits[0].softmax(-1)
    first, second = (lab.tokenizer.encode(token)[0] for token in (answer, rival))
    assert answer == " Oslo" and change[first] == change.min() and change[second] == change.max()
    same = torch.stack([logits[0]] * 2)
    top = [lab.tokenizer.decode([token]) for token in logits[0].topk(2).indices.tolist()]
    assert list(moved_most(lab.tokenizer, same)) == top


def test_texts_of_other_lengths_and_other_metrics_are_refused(lab: Lab, cases: list[Case]) -> None:
    ways = {"zero": {SPOT: (zero(**WHERE),)}}
    with pytest.raises(InputError, match="1 of 1 texts have others"):
        effects(lab.model, lab.tokenizer, [cases[0], Case("Leo lives in")], ways)
    with pytest.raises(InputError, match="'logit difference' or 'probability'"):
        effects(lab.model, lab.tokenizer, cases, ways, "loss")
