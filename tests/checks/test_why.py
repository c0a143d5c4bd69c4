"""Lessons 10b and 10c: right answers pass, and each usual mistake gets the word that helps."""

import pytest
import torch

from bloomlab import Lab, checks, load, zero
from bloomlab.lens.receipt import Receipt

TEXT = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
BOTH = {"h.3.attn.mixed": zero(head=[4, 5])}


@pytest.fixture(scope="module")
def lab() -> Lab:
    return load()


def of(total: list[float] | None) -> Receipt:
    direct = torch.tensor([0.0, 3.0, 1.0])
    return Receipt(
        ("embedding", "head 0.0", "MLP 0"), direct, direct, 4.0, 0.0, None if total is None else torch.tensor(total)
    )


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("head 0.0", "the largest line, but both its numbers are nearly alike"),
        ("MLP 0", "the largest total, but another part's"),
        ("head 9", "there is no part"),
    ],
)
def test_a_part_that_differs_less_is_told_why(name: str, says: str) -> None:
    found = of([5.0, 2.9, 5.5])
    assert checks.differs_most(found, "embedding").done
    assert not checks.differs_most(found, name).done and says in checks.differs_most(found, name).says


def test_a_receipt_without_totals_is_sent_back() -> None:
    assert "no totals" in checks.differs_most(of(None), "embedding").says


def test_a_part_in_between_is_sent_on() -> None:
    assert "lie farther apart" in checks.differs_most(of([5.0, 6.0, 1.0]), "MLP 0").says


@pytest.mark.parametrize(
    ("rival", "says"),
    [
        (" Sydney", "What kind of word does MLP 3 tell from a city?"),
        (" Oslo", "has no lead over itself"),
        ("a house", "tokens; take one"),
    ],
)
def test_a_rival_that_does_not_do_is_told_why(lab: Lab, rival: str, says: str) -> None:
    verdict = checks.rival_for(lab, TEXT, " Oslo", "MLP 3", rival)
    assert not verdict.done and says in verdict.says


def test_a_rival_of_another_kind_is_found(lab: Lab) -> None:
    assert checks.rival_for(lab, TEXT, " Oslo", "MLP 3", " a").done
    assert "has no lead over" in checks.rival_for(lab, TEXT, " a", "MLP 3", " Oslo").says


def leads(lab: Lab) -> tuple[float, float, float, float]:
    """The lead and p(Oslo) without the edit and with it."""
    found: list[float] = []
    for edit in ({}, BOTH):
        scores = lab.trace(TEXT, read=["logits"], edit=edit)["logits"][0, -1]
        oslo, sydney = (lab.tokens(word)[0].id for word in (" Oslo", " Sydney"))
        found += [float(scores[oslo] - scores[sydney]), float(scores.softmax(-1)[oslo])]
    before, chance, after, left = found
    return before, after, chance, left


@pytest.mark.slow
def test_a_lead_lost_by_hand(lab: Lab) -> None:
    before, after, chance, left = leads(lab)

    def check(nats: float) -> checks.Verdict:
        return checks.lead_lost(lab, TEXT, " Oslo", " Sydney", BOTH, nats)

    assert check(before - after).done
    slips = {
        after - before: "the sign",
        after: "that is left",
        before: "once more, with the edit",
        chance - left: "of the probability",
        77.0: "logit of",
    }
    for nats, says in slips.items():
        assert not check(nats).done and says in check(nats).says
    assert "does not fit" in checks.lead_lost(lab, TEXT, " Oslo", " Sydney", {"h.9.attn.mixed": zero()}, 1.0).says


LOSSES = {"en": torch.tensor([[0.5, 0.2, 0.3]]), "fr": torch.tensor([[0.4, 0.0, 0.2]])}


@pytest.mark.parametrize(
    ("heads", "says"),
    [
        ({(0, 0), (0, 1), (0, 2)}, "head 0.1 costs 0.00 in fr"),
        ([(0, 0)], "one is missing: there is a head of layer 0 that costs 0.20"),
        ({(0, 7)}, "expected pairs"),
        ({3}, "expected pairs"),
    ],
)
def test_heads_that_are_not_those_of_every_language(heads: set[tuple[int, int]], says: str) -> None:
    verdict = checks.in_every(LOSSES, 0.1, heads)
    assert not verdict.done and says in verdict.says


def test_heads_of_every_language() -> None:
    assert checks.in_every(LOSSES, 0.1, {(0, 0), (0, 2)}).done
