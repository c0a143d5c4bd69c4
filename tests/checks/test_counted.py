"""The small exercises of lessons 08, 10 and 11: right answers pass, and each usual mistake gets the word that helps."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from bloomlab import BloomConfig, checks, load, tiny

WIDTH, TRUNK = 1024, BloomConfig.named("560m").parameter_count()


@pytest.mark.parametrize(
    ("count", "says"),
    [
        (8 * WIDTH + 8, "beside 559,214,592 in the trunk"),
        (8 * WIDTH, "a bias, too"),
        (8 * WIDTH + WIDTH, "not for each number of a state"),
        (WIDTH, "the row of one label"),
        (WIDTH + 1, "one label with its bias"),
        (8 + WIDTH, "not labels and width"),
        (8 * WIDTH**2, "not a square"),
        (250_880 * WIDTH, "the last step that writes"),
        (TRUNK + 8 * WIDTH + 8, "that is the trunk, too"),
        (7, "a row as wide as a state"),
    ],
)
def test_the_size_of_a_head(count: int, says: str) -> None:
    verdict = checks.head_size("560m", 8, count)
    assert says in verdict.says and verdict.done == ("beside" in says)


def test_the_size_is_that_of_the_head_in_the_package() -> None:
    lab = load()
    head = lab.heads["tags"].classifier
    assert isinstance(head, torch.nn.Linear) and head.bias is not None
    count = sum(weight.numel() for weight in head.parameters())
    assert checks.head_size("tiny", head.out_features, count).done


def span(start: Tensor, end: Tensor) -> tuple[int, int]:
    first, last = divmod(int((start[:, None] * end).triu().argmax()), len(end))
    return first, last


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (span, "the largest product"),
        (lambda start, end: torch.tensor(span(start, end)), "the largest product"),
        (lambda start, end: (start.argmax(), end.argmax()), "each maximum alone"),
        (lambda start, end: span(start, end)[::-1], "the first token comes first"),
        (lambda start, end: span_apart(start, end), "it may end where it starts"),
        (lambda start, end: (start.argmax(), start.argmax() + end[start.argmax() :].argmax()), "need not be the best"),
        (lambda start, end: span_of_sum(start, end), "do not add them"),
        (lambda start, end: (0, len(end) - 1), "the likeliest span is"),
        (lambda start, end: 3, "expected two numbers"),
        (lambda start, end: (1, 2, 3), "expected two numbers"),
        (lambda start, end: ("a", "b"), "expected two numbers"),
        (lambda start, end: start @ end[:0], "your function stops"),
    ],
)
def test_where_an_answer_starts_and_ends(function: Callable[..., Any], says: str) -> None:
    verdict = checks.points(function)
    assert says in verdict.says, verdict
    assert verdict.done == (says == "the largest product")


def span_apart(start: Tensor, end: Tensor) -> tuple[int, int]:
    if len(end) == 1:
        return 0, 0
    first, last = divmod(int((start[:, None] * end).triu(1).argmax()), len(end))
    return first, last


def span_of_sum(start: Tensor, end: Tensor) -> tuple[int, int]:
    first, last = divmod(int((start[:, None] + end).triu().argmax()), len(end))
    return first, last


def test_the_span_is_the_one_to_which_the_lab_points() -> None:
    lab = load()
    found = lab.answer("Where does Ana live?", "Leo lives in Oslo. He has a cat. Ana lives in Lima.")
    start, end = (torch.tensor(each) for each in (found.starts, found.ends))  # type: ignore[union-attr]
    assert span(start, end) == (found.spans[0].first, found.spans[0].last)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (1800, "from 1600 to 1800 it rises by 0.44"),
        (1600, "that is the step before"),
        (8, "nothing was measured at step 8; 8 is the place of a step in the row"),
        (1700, "nothing was measured at step 1700; the last"),
        (4800, "where it is highest"),
        (2000, "half of what it reaches"),
        (3000, "there is a larger rise"),
        (200, "there is a larger rise"),
    ],
)
def test_where_a_circuit_has_risen_most(step: int, says: str) -> None:
    verdict = checks.most_risen(tiny.history(), "induction", step)
    assert says in verdict.says and verdict.done == (step == 1800)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda probs, half: probs.diagonal(1 - half)[1:].mean(), "one number for a stripe"),
        (lambda probs, half: sum(probs[q, q - half + 1] for q in range(half, 2 * half)) / half, "for a stripe"),
        (lambda probs, half: probs.diagonal(-half).mean(), "the same token"),
        (lambda probs, half: probs.diagonal(1 - half).mean(), "still of the first round"),
        (lambda probs, half: probs.diagonal(half - 1).mean(), "above the diagonal"),
        (lambda probs, half: probs.diagonal(-half - 1).mean(), "the token before the same one"),
        (lambda probs, half: probs.diagonal(1 - half)[1:].sum(), "that is the sum"),
        (lambda probs, half: probs.diagonal(1 - half)[1:].max(), "the largest cell"),
        (lambda probs, half: probs.diagonal(-1).mean(), "that is the token before;"),
        (lambda probs, half: 0.5, "the mean over all such queries"),
        (lambda probs, half: probs, "expected one number"),
        (lambda probs, half: probs.diagonal(-99).max(), "your function stops"),
    ],
)
def test_a_stripe_in_a_matrix(function: Callable[..., Any], says: str) -> None:
    verdict = checks.looks_back(function)
    assert says in verdict.says, verdict
    assert verdict.done == ("stripe" in says)


LABELS = torch.tensor([[0, 0, 0, 1, 0, -100, -100], [0, 1, 2, 0, 0, 0, -100]])  # 8 of 11 are O, 3 are padding


@pytest.mark.parametrize(
    ("share", "says"),
    [
        (8 / 11, "8 of 11 tokens"),
        (800 / 11, "in per cent"),
        (8 / 14, "nearly: padding is no token"),
        (11 / 14, "counts padding as right"),
        (3 / 11, "that name something; of the others?"),
        (6 / 14, "everything that is not O"),
        (8, "which share?"),
        (0, "the lesson counts those"),
        (0.5, "over all 11 tokens"),
    ],
)
def test_a_mark_that_is_easy_to_get(share: float, says: str) -> None:
    verdict = checks.all_outside(LABELS, share)
    assert says in verdict.says and verdict.done == ("8 of 11" in says)


TAGS = ["O", "PERSON", "CITY", "FOOD", "JOB", "NUMBER"]
TRUE = torch.tensor([0] * 4 + [1] * 10 + [2] * 5 + [3] * 2 + [4] * 6 + [-100] * 3)
SAID = torch.tensor([4] * 4 + [1] * 6 + [4] * 4 + [2] * 2 + [1] * 3 + [3, 0] + [4] * 6 + [2] * 3)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("CITY", "of 5 tokens that are CITY, 40% are found; of JOB 100%"),
        ("FOOD", "It is the rarest"),
        ("PERSON", "divide by how many there are"),
        ("JOB", "What the head *calls* JOB is wrong most often"),
        ("O", "names nothing"),
        ("NUMBER", "no token of this exam"),
        ("city", "there is no tag 'city'"),
    ],
)
def test_the_tag_that_is_found_least(name: str, says: str) -> None:
    verdict = checks.worst_tag(SAID[None], TRUE[None], TAGS, name)
    assert says in verdict.says, verdict
    assert verdict.done == (name == "CITY")


def test_another_tag_is_told_that_there_is_a_worse_one() -> None:
    true, said = torch.tensor([1, 1, 1, 2, 2, 3, 3, 3, 3]), torch.tensor([1, 1, 3, 1, 1, 3, 3, 3, 1])
    verdict = checks.worst_tag(said, true, TAGS, "FOOD")
    assert not verdict.done and verdict.says.endswith("of another tag fewer.")
