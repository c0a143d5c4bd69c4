"""ALiBi's slopes, positions and biases, against formulas written down another way."""

from fractions import Fraction

import pytest
import torch

from bloomlab.model.alibi import alibi_bias, key_positions, slopes

HEADS = (1, 2, 6, 7, 8, 12, 16, 32, 112)


def exponents(n_head: int) -> list[Fraction]:
    """Minus log2 of each slope: 8/p, 16/p, … for the power of two p; then every other one of 2p, from the first."""
    power = 1
    while power * 2 <= n_head:
        power *= 2
    first = [Fraction(8 * i, power) for i in range(1, power + 1)]
    return first + [Fraction(8 * i, 2 * power) for i in range(1, 2 * power + 1, 2)][: n_head - power]


@pytest.mark.parametrize("n_head", HEADS)
def test_slopes_are_the_papers_geometric_sequence(n_head: int) -> None:
    found = slopes(n_head)
    assert len(found) == n_head == len(set(found))
    assert found == pytest.approx([2.0 ** -float(e) for e in exponents(n_head)], rel=1e-12)


@pytest.mark.parametrize("n_head", HEADS)
def test_biases_equal_the_references_under_left_padding(n_head: int) -> None:
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor

    mask = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 1]])
    ours = alibi_bias(torch.tensor(slopes(n_head)), key_positions(mask))
    theirs = build_alibi_tensor(mask, n_head, torch.float32).view(3, n_head, 1, 7)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)


def test_positions_count_tokens_only() -> None:
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0], [1, 0, 1, 0]])
    expected = [[0, 0, 0, 1], [0, 1, 2, 3], [0, 0, 0, 0], [0, 0, 1, 0]]
    assert key_positions(mask).tolist() == key_positions(mask.bool()).tolist() == expected
    assert key_positions(mask.float()).tolist() == expected


def test_the_bias_grows_with_the_keys_position_and_does_not_know_the_query() -> None:
    bias = alibi_bias(torch.tensor([0.5, 0.25]), torch.tensor([[0, 1, 2], [0, 0, 1]]))
    assert bias.shape == (2, 2, 1, 3)
    assert bias[:, :, 0].tolist() == [[[0, 0.5, 1], [0, 0.25, 0.5]], [[0, 0, 0.5], [0, 0, 0.25]]]


def test_a_bias_by_key_and_one_by_distance_give_the_same_probabilities() -> None:
    """Softmax does not notice slope · query, the same for a whole row."""
    scores = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    pos = torch.arange(5)
    later = pos > pos[:, None]
    by_key = (scores + 0.5 * pos).masked_fill(later, -torch.inf).softmax(-1)
    by_distance = (scores - 0.5 * (pos[:, None] - pos)).masked_fill(later, -torch.inf).softmax(-1)
    torch.testing.assert_close(by_key, by_distance)
