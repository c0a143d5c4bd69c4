"""Each warp of the logits, against its definition."""

import pytest
import torch

from bloomlab.generation.rules import penalise_repetition
from bloomlab.generation.sampling import draw, keep_top_k, keep_top_p, scale_temperature

LOGITS = torch.tensor([[2.0, -1.0, 0.5, 0.0, 1.5], [0.0, 0.0, 3.0, -2.0, 1.0]])


def kept(logits: torch.Tensor) -> list[list[int]]:
    return [row.isfinite().nonzero()[:, 0].tolist() for row in logits]


def test_repeated_tokens_become_less_likely_once_however_often_they_came() -> None:
    out = penalise_repetition(LOGITS, torch.tensor([[0, 1, 0], [3, 2, 2]]), 2.0)
    assert out.tolist() == [[1.0, -2.0, 0.5, 0.0, 1.5], [0.0, 0.0, 1.5, -4.0, 1.0]]
    assert penalise_repetition(LOGITS, torch.tensor([[0], [1]]), 1.0).equal(LOGITS)


def test_temperature_divides_the_logits() -> None:
    assert scale_temperature(LOGITS, 0.5).equal(LOGITS * 2)


@pytest.mark.parametrize(
    ("k", "expected"),
    [(1, [[0], [2]]), (2, [[0, 4], [2, 4]]), (3, [[0, 2, 4], [0, 1, 2, 4]]), (5, [[0, 1, 2, 3, 4]] * 2)],
)
def test_top_k_keeps_the_likeliest_and_what_ties_with_the_last(k: int, expected: list[list[int]]) -> None:
    out = keep_top_k(LOGITS, k)
    assert kept(out) == expected
    assert out[out.isfinite()].equal(LOGITS[out.isfinite()])


@pytest.mark.parametrize(
    ("p", "expected"), [(1e-9, [0]), (0.5, [0]), (0.51, [0, 2]), (0.79, [0, 2]), (0.81, [0, 1, 2]), (1.0, [0, 1, 2, 3])]
)
def test_top_p_keeps_the_fewest_that_reach_p(p: float, expected: list[int]) -> None:
    probs = torch.tensor([[0.5, 0.125, 0.3, 0.075]], dtype=torch.float64)
    out = keep_top_p(probs.log(), p)
    assert kept(out) == [expected]
    assert out[out.isfinite()].equal(probs.log()[out.isfinite()])


def test_top_p_keeps_no_more_once_p_is_reached_exactly() -> None:
    assert kept(keep_top_p(torch.tensor([[2.0, 1.0, 1.0]]).log(), 0.5)) == [[0]]


def test_each_row_has_its_own_choice() -> None:
    both = keep_top_p(LOGITS, 0.7)
    for row in range(2):
        assert both[row].equal(keep_top_p(LOGITS[row : row + 1], 0.7)[0])


def test_tokens_are_drawn_as_often_as_their_probability_says() -> None:
    probs = torch.tensor([[0.6, 0.3, 0.1, 0.0]])
    generator = torch.Generator().manual_seed(0)
    drawn = draw(probs.log().expand(20_000, 4), generator)
    share = drawn.bincount(minlength=4) / 20_000
    torch.testing.assert_close(share, probs[0], rtol=0, atol=0.015)
    assert share[3] == 0  # log 0 is -inf


def test_drawing_uses_the_given_numbers_only() -> None:
    state = torch.get_rng_state()
    first, second = (draw(LOGITS.repeat(50, 1), torch.Generator().manual_seed(3)) for _ in range(2))
    assert first.equal(second) and torch.get_rng_state().equal(state)
