import math

import pytest
import torch
from torch import Tensor

from bloomlab.errors import InputError
from bloomlab.hooks import Hooks
from bloomlab.lens.ledger import ScoreLedger, score_ledger
from bloomlab.model.alibi import slopes
from tests.tiny_random import random_model

SLOPE = 1 / 16


def scores_of_nine_tokens(seed: int = 0) -> Tensor:
    return 3 * torch.randn(9, 9, generator=torch.Generator().manual_seed(seed))


def attention(scores: Tensor, slope: float, bias_of_key: bool) -> Tensor:
    """What a model does: scores + ALiBi, masked, softmax; in the trained form or the paper's."""
    pos = torch.arange(len(scores))
    bias = slope * pos if bias_of_key else slope * (pos - pos[:, None])
    later = pos > pos[:, None]
    return (scores + bias).masked_fill(later, float("-inf")).softmax(dim=-1)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("trained_form", [True, False])
def test_every_cell_resums_to_the_probability_in_both_forms_of_alibi(seed: int, trained_form: bool) -> None:
    scores = scores_of_nine_tokens(seed)
    probs = attention(scores, SLOPE, trained_form)
    for query in range(9):
        for key in range(query + 1):
            cell = score_ledger(scores, SLOPE, query, key)
            assert abs(cell.probability - probs[query, key].item()) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("n_head", [1, 6, 8])
def test_the_parts_resum_to_the_probability_a_model_used(n_head: int) -> None:
    """A random BLOOM, every parameter drawn wide enough that attention is not flat."""
    model = random_model(scale=0.4, vocab_size=50, hidden_size=48, n_layer=2, n_head=n_head)
    ids = torch.randint(50, (1, 40), generator=torch.Generator().manual_seed(n_head))
    names = [f"h.{layer}.attn.{spot}" for layer in (0, 1) for spot in ("scores", "probs")]
    hooks = Hooks(read=names)
    with torch.no_grad():
        model(ids, hooks=hooks)

    furthest, largest = 0.0, 0.0
    for layer in (0, 1):
        for head, slope in enumerate(slopes(n_head)):
            scores, probs = (hooks[f"h.{layer}.attn.{spot}"][0, head] for spot in ("scores", "probs"))
            for query in range(0, 40, 3):
                for key in range(query + 1):
                    error = abs(score_ledger(scores, slope, query, key).probability - probs[query, key].item())
                    furthest = max(furthest, error)
                    largest = max(largest, probs[query, key].item() if query else 0)
    assert furthest < 1e-6
    assert largest > 0.5  # the model does look somewhere


def test_a_row_of_ledgers_sums_to_one() -> None:
    scores = scores_of_nine_tokens()
    assert sum(score_ledger(scores, SLOPE, 7, key).probability for key in range(8)) == pytest.approx(1, abs=1e-12)


def test_the_parts_are_the_ones_named() -> None:
    scores = scores_of_nine_tokens()
    cell = score_ledger(scores, SLOPE, query=8, key=1)
    assert cell.content == scores[8, 1].item()
    assert cell.distance == 7
    assert cell.position == -7 / 16
    assert cell.total == cell.content + cell.position
    assert math.log(cell.probability) == pytest.approx(cell.total - cell.normaliser)


def test_position_is_never_above_zero_and_is_zero_for_the_token_itself() -> None:
    scores = scores_of_nine_tokens()
    assert score_ledger(scores, SLOPE, 5, 5).position == 0
    assert all(score_ledger(scores, SLOPE, 5, key).position < 0 for key in range(5))


def test_scores_that_would_overflow_are_still_taken_apart() -> None:
    cell = score_ledger(torch.tensor([[0.0, 0.0], [2000.0, 1999.0]]), 0.5, query=1, key=0)
    assert cell.probability == pytest.approx(1 / (1 + math.exp(-0.5)))


def test_values_the_query_cannot_see_do_not_matter() -> None:
    scores = scores_of_nine_tokens()
    spoiled = scores.masked_fill(torch.ones(9, 9).triu(1).bool(), float("nan"))
    assert score_ledger(spoiled, SLOPE, 4, 2) == score_ledger(scores, SLOPE, 4, 2)


def test_low_precision_scores_and_a_slope_from_a_tensor_are_taken() -> None:
    scores = scores_of_nine_tokens().bfloat16().requires_grad_()
    cell = score_ledger(scores, torch.tensor(SLOPE), 4, 2)  # type: ignore[arg-type]
    assert isinstance(cell, ScoreLedger)
    assert cell.content == scores[4, 2].item()
    assert isinstance(cell.slope, float)


def test_the_printed_ledger_shows_each_part() -> None:
    lines = str(ScoreLedger(query=8, key=1, slope=0.0625, content=3.21, position=-0.4375, normaliser=4.5)).split("\n")
    assert [line.split()[0] for line in lines] == [
        "content",
        "position",
        "total",
        "normaliser",
        "probability",
    ]
    for line, end in zip(lines, ["+3.2100", "-0.4375", "+2.7725", "+4.5000", "0.1777"], strict=True):
        assert line.endswith(end)
    assert len({len(line) for line in lines}) == 1  # the numbers stand under each other


def test_a_later_key_is_refused() -> None:
    with pytest.raises(InputError, match="query 2 cannot see key 3"):
        score_ledger(scores_of_nine_tokens(), SLOPE, query=2, key=3)


@pytest.mark.parametrize(("query", "key"), [(9, 0), (-1, 0), (3, -1), (3, 9)])
def test_a_cell_outside_the_matrix_is_refused(query: int, key: int) -> None:
    with pytest.raises(InputError, match="9 queries and 9 keys"):
        score_ledger(scores_of_nine_tokens(), SLOPE, query, key)


def test_the_scores_of_many_heads_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(1, 2, 9, 9\)"):
        score_ledger(scores_of_nine_tokens().expand(1, 2, 9, 9), SLOPE, 0, 0)
