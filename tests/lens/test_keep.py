"""Keep some parts, replace the others: each number is the run that one would make by hand."""

import random
from typing import Any

import pytest
import torch

from bloomlab.errors import HookError, InputError
from bloomlab.lab import Lab
from bloomlab.lens.cases import Case, Cases
from bloomlab.lens.keep import _another, keep, part_name, parts_of
from bloomlab.tiny.pairs import recaps
from bloomlab.tracing.donors import drawn, usual
from bloomlab.tracing.edits import zero
from tests.tiny_random import random_model

BOUND = 1e-4


@pytest.fixture(scope="module")
def pairs(lab: Lab) -> Cases:
    return recaps(lab.tokenizer, 8, between=" ")


def by_hand(lab: Lab, case: Case, edit: Any) -> float:
    logits = lab.trace(case.text, ["logits"], edit)["logits"][0, -1]
    answer, rival = (lab.tokenizer.encode(token)[0] for token in (case.answer, case.rival))
    return float(logits[answer] - logits[rival])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zero", "usual", "drawn"])
def test_keeping_two_heads_is_replacing_all_other_parts_by_hand(lab: Lab, pairs: Cases, kind: str) -> None:
    texts = [case.text for case in pairs]
    instead = {"zero": zero(), "usual": usual(texts), "drawn": drawn(texts)}[kind]
    found = lab.keep(pairs, ["3.4", "3.5"], instead, n=1).found
    rest = {f"h.{layer}.attn.mixed": instead for layer in range(3)} | {
        f"h.{layer}.mlp.out": instead for layer in range(4)
    }
    for row in (0, 5):
        others = instead.at(head=[0, 1, 2, 3, 6, 7])
        assert found.values[2, row].item() == pytest.approx(
            by_hand(lab, pairs[row], rest | {"h.3.attn.mixed": others}), abs=BOUND
        )
        assert found.nothing[row].item() == pytest.approx(
            by_hand(lab, pairs[row], rest | {"h.3.attn.mixed": instead}), abs=BOUND
        )
        assert found.whole[row].item() == pytest.approx(by_hand(lab, pairs[row], None), abs=BOUND)
    assert found.values[0].allclose(found.nothing, atol=BOUND)


@pytest.mark.slow
def test_taking_out_is_keeping_turned_around(lab: Lab, pairs: Cases) -> None:
    found = lab.without(pairs, ["3.4", "mlp 3"], n=1).found
    edit = {"h.3.attn.mixed": zero(head=4), "h.3.mlp.out": zero()}
    assert found.values[2, 3].item() == pytest.approx(by_hand(lab, pairs[3], edit), abs=BOUND)
    assert found.values[0].allclose(found.whole, atol=BOUND)
    assert found.share(found.values[0]).item() == pytest.approx(1, abs=1e-4)
    every = [part_name(part) for part in parts_of(lab.model.config, "all")]
    kept, taken = lab.keep(pairs[:2], every, n=1).found, lab.without(pairs[:2], every, n=1).found
    assert kept.values[-1].allclose(kept.whole, atol=BOUND) and taken.values[-1].allclose(taken.nothing, atol=BOUND)


@pytest.mark.slow
def test_what_stands_in_the_place_of_the_others_decides(lab: Lab) -> None:
    """Two heads alone, on 16 stories: with no other head nearly the whole answer, with other stories' half of it."""
    pairs = recaps(lab.tokenizer, 16, between=" ")
    texts = [case.text for case in pairs]
    alone, among_drawn, among_all = (
        lab.keep(pairs, ["3.4", "3.5"], instead, among, n=3).found
        for instead, among in ((zero(), "heads"), (drawn(texts), "heads"), (zero(), "all"))
    )
    assert alone.share(alone.values[-1]) > 0.85 > 0.7 > among_drawn.share(among_drawn.values[-1]) > 0.3
    assert among_all.share(among_all.values[-1]) < 0.3
    assert alone.share(alone.chance[-1]).max() < 0.3


def test_a_random_set_is_never_the_set_itself_unless_there_is_no_other() -> None:
    every = parts_of(random_model().config, "heads")[:4]
    drawn_sets = [frozenset(_another(every, every[:3], random.Random(seed))) for seed in range(40)]
    assert frozenset(every[:3]) not in drawn_sets and len(set(drawn_sets)) == 3
    assert set(_another(every, every, random.Random(0))) == set(every)


@pytest.mark.slow
def test_random_sets_are_as_large_and_depend_on_the_seed(lab: Lab, pairs: Cases) -> None:
    first, again, other = (lab.keep(pairs[:2], ["3.4", "3.5"], n=4, seed=seed).found for seed in (0, 0, 1))
    assert first.chance.shape == (3, 4, 2)
    assert first.chance.equal(again.chance) and not first.chance.equal(other.chance)


@pytest.mark.slow
def test_the_sentence_and_the_table_say_the_numbers(lab: Lab, pairs: Cases) -> None:
    result = lab.keep(pairs, ["3.4", "3.5"], n=2)
    found = result.found
    share = f"{found.share(found.values[-1]).item():.3f}".replace("-", "−")
    assert (
        f"mean of 8 texts: logit of answer less rival {found.values[-1].mean():.3f} with only 3.4, 3.5 kept"
        in result.sentence
    )
    assert f": {share} of the answer is left" in result.sentence
    assert f"in {found.against} of 8 texts less than half is left" in result.sentence
    halves = (found.values[-1] < (found.whole + found.nothing) / 2).sum()
    assert found.against == halves and [row[0] for row in found.rows()] == ["none of them", "3.4", "+ 3.5"]
    assert len(found.records()) == 3 * 8 and repr(result).splitlines()[-1].startswith("+ 3.5")
    one = lab.keep(pairs[0].text, ["3.4"], answer=pairs[0].answer, n=1)
    assert f"logit of {pairs[0].answer!r} less" in one.sentence and "texts" not in one.sentence


@pytest.mark.slow
def test_progress_counts_every_run(lab: Lab, pairs: Cases) -> None:
    *steps, last = keep(lab.model, lab.tokenizer, pairs, ["3.4"], zero(), n=10)
    assert [step.results for step in steps] == [()] * len(steps) and steps
    assert last.done == last.total == 8 * (2 + 10 + 1 + 1) and torch.is_tensor(last.results[0].values)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"parts": []}, InputError, "a list of names"),
        ({"parts": "3.4"}, InputError, "a list of names"),
        ({"parts": ["3.9"]}, InputError, "did you mean"),
        ({"parts": [34]}, InputError, "none of 36 parts is 34"),
        ({"parts": ["3.4", "3.4"]}, InputError, "twice"),
        ({"parts": ["mlp 3"], "among": "heads"}, InputError, "none of 32 parts"),
        ({"among": "mlps"}, InputError, "'all' or 'heads'"),
        ({"metric": "loss"}, InputError, "'probability'"),
        ({"n": 0}, InputError, "from 1 to 1000"),
        ({"seed": None}, InputError, "whole number"),
        ({"texts": []}, InputError, "is empty"),
        ({"texts": ["Leo", "Leo lives in"], "instead": usual(["Leo"])}, InputError, "1 of 1 texts have others"),
        ({"texts": ["Leo"], "instead": drawn(["Leo"])}, HookError, "no other text"),
        ({"instead": zero(head=1)}, HookError, "an edit of no head"),
        ({"instead": "usual"}, HookError, "an edit of no head"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(
    lab: Lab, pairs: Cases, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        lab.keep(**{"texts": pairs, "parts": ["3.4"], **arguments})
    assert len(str(caught.value)) < 400
