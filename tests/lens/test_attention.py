import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bloomlab.errors import InputError
from bloomlab.lab import Lab
from bloomlab.lens.attention import (
    READ,
    Arc,
    arcs,
    content_only,
    content_share,
    head_average,
    overlap,
    position_only,
    position_share,
    rollout,
)
from bloomlab.model.alibi import alibi_bias, slopes
from bloomlab.tracing.edits import scale
from tests.lens.sentences import SENTENCES


def random_patterns(*shape: int, seed: int = 0) -> Tensor:
    """Causal patterns: every row sums to 1, later keys have 0."""
    scores = 2 * torch.randn(*shape, shape[-1], generator=torch.Generator().manual_seed(seed))
    return scores.masked_fill(torch.ones(shape[-1], shape[-1]).triu(1).bool(), -math.inf).softmax(-1)


# -- rollout ----


def test_rollout_is_the_sum_over_all_paths() -> None:
    """The definition: each path from a token up through the layers has the product of its steps as its weight."""
    probs = random_patterns(3, 2, 4)
    n = probs.shape[-1]
    identity = [[float(i == j) for j in range(n)] for i in range(n)]
    step = [
        [[0.5 * identity[i][j] + 0.5 * (probs[layer, :, i, j].mean().item()) for j in range(n)] for i in range(n)]
        for layer in range(3)
    ]
    for query, key in itertools.product(range(n), repeat=2):
        paths = itertools.product(range(n), repeat=2)  # where the path stands after layer 1 and after layer 0
        total = sum(step[2][query][a] * step[1][a][b] * step[0][b][key] for a, b in paths)
        assert rollout(probs)[2, query, key].item() == pytest.approx(total, abs=1e-6)


def test_rollout_rows_sum_to_one_and_never_look_ahead() -> None:
    flow = rollout(random_patterns(4, 3, 7))
    assert torch.allclose(flow.sum(-1), torch.ones(4, 7))
    assert not flow.triu(1).any()


def test_heads_that_look_at_themselves_move_nothing() -> None:
    assert torch.equal(rollout(torch.eye(5).expand(3, 2, 5, 5)), torch.eye(5).expand(3, 5, 5))


def test_the_average_of_heads_is_a_pattern_itself() -> None:
    probs = random_patterns(2, 3, 5)
    assert torch.allclose(head_average(probs)[1], (probs[1, 0] + probs[1, 1] + probs[1, 2]) / 3)
    assert torch.allclose(head_average(probs).sum(-1), torch.ones(2, 5))


# -- position and content ----


@pytest.mark.parametrize("n_head", [1, 6, 7, 8])
def test_position_only_is_what_the_models_own_alibi_makes_of_equal_scores(n_head: int) -> None:
    """The model adds slope · key, the lens slope · -distance; softmax sees no difference."""
    head_slopes = slopes(n_head)
    bias = alibi_bias(torch.tensor(head_slopes), torch.arange(30)[None])[0].expand(n_head, 30, 30)
    trained = bias.masked_fill(torch.ones(30, 30).triu(1).bool(), -math.inf).softmax(-1)
    assert torch.allclose(position_only(head_slopes, 30), trained, atol=1e-6)


def test_position_only_is_a_geometric_row() -> None:
    """Query q, key k: e^(-s·(q-k)) · (1 - e^(-s)) / (1 - e^(-s·(q+1)))."""
    slope = 0.3
    pattern = position_only([slope], 9)[0]
    for query in range(9):
        for key in range(query + 1):
            row = math.exp(-slope * (query - key)) * (1 - math.exp(-slope)) / (1 - math.exp(-slope * (query + 1)))
            assert pattern[query, key].item() == pytest.approx(row, rel=1e-5)


def test_position_only_of_a_long_text_stays_finite() -> None:
    pattern = position_only([8.0, 2**-8], 600)
    assert torch.allclose(pattern.sum(-1), torch.ones(2, 600))


@pytest.mark.parametrize("n_head", [1, 6, 7])
def test_content_and_position_together_are_the_models_pattern(n_head: int, random_lab: Callable[..., Lab]) -> None:
    """content · position, normalised, is probs: the two softmaxes multiply."""
    trace = random_lab(n_head).trace(["abcdefgh", "xyz"], read=READ).row(1)
    both = content_only(trace) * position_only(slopes(n_head), 3)
    probs = trace.stack("attn.probs")[:, 0]
    assert torch.allclose(both / both.sum(-1, keepdim=True), probs, atol=1e-6)


def test_content_only_does_not_mind_empty_scores_of_keys_a_query_never_met() -> None:
    scores = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    unmet = torch.ones(4, 4).triu(1).bool()
    assert torch.equal(content_only(scores.masked_fill(unmet, math.nan)), content_only(scores))


def test_overlap_is_one_for_the_same_pattern_and_zero_for_disjoint_ones() -> None:
    itself = torch.eye(6)
    first = torch.zeros(6, 6)
    first[:, 0] = 1
    pattern = random_patterns(1, 1, 6)[0, 0]
    assert overlap(pattern, pattern).item() == pytest.approx(1, abs=1e-6)
    assert overlap(itself, first).item() == 0


def test_overlap_is_one_minus_the_total_variation_distance() -> None:
    a, b = random_patterns(1, 1, 6)[0, 0], random_patterns(1, 1, 6, seed=1)[0, 0]
    distance = 0.5 * (a - b).abs().sum(-1)[1:].mean()
    assert overlap(a, b).item() == pytest.approx(1 - distance.item(), abs=1e-6)
    assert overlap(a, b) == overlap(b, a)
    assert 0.1 < overlap(a, b) < 0.9


def test_position_share_is_one_without_content_and_falls_as_content_grows() -> None:
    n_head, n = 6, 12
    scores = torch.randn(1, n_head, n, n, generator=torch.Generator().manual_seed(0))
    bias = position_only(slopes(n_head), n).log()
    found = [position_share((strength * scores + bias).softmax(-1))[0] for strength in (0.0, 1.0, 4.0, 16.0)]
    assert torch.allclose(found[0], torch.ones(n_head))
    for less, more in itertools.pairwise(found):
        assert (more < less).all() and (more >= 0).all()


def test_position_share_is_near_zero_for_a_steep_head_that_looks_far_back() -> None:
    """One head, slope 1/256, is almost flat; all on the first of many tokens overlaps with the flat pattern's 1/n."""
    first = torch.zeros(1, 1, 400, 400)
    first[..., 0] = 1
    assert position_share(first).item() < 0.02


def test_content_share_is_one_where_alibi_was_taken_out(random_lab: Callable[..., Lab]) -> None:
    text, every = "abcdefghijkl", random_lab()
    edits = {"attn.alibi": scale(0.0)}
    without = content_share(every.trace(text, read=READ, edit=edits))
    assert torch.allclose(without, torch.ones(3, 6), atol=1e-5)
    share = content_share(every.trace(text, read=READ))
    assert share.min() < 0.95 and share.min() >= 0 and share.max() <= 1 + 1e-6
    # slopes(6): head 3 is the flattest, head 4 the steepest, so ALiBi changes 4 more
    assert (share[:, 3] > share[:, 4]).all()


def test_the_trace_of_a_generation_has_the_numbers_of_one_pass(lab: Lab) -> None:
    """There the scores of keys that a query never met are NaN."""
    written = lab.trace("Ana lives", read=READ, max_new_tokens=5)
    assert written.stack("attn.scores").isnan().any()
    whole = lab.trace(written.ids, read=READ)
    for share in (position_share, content_share):
        assert torch.allclose(share(written), share(whole), atol=1e-5)
    assert torch.allclose(rollout(written), rollout(whole), atol=1e-5)


def test_the_only_token_of_a_text_is_explained_by_its_position(lab: Lab) -> None:
    trace = lab.trace("a", read=READ)
    assert torch.equal(position_share(trace), torch.ones(lab.model.config.n_layer, lab.model.config.n_head))


@pytest.mark.parametrize("language", SENTENCES)
def test_the_embedded_model_has_heads_of_position_and_heads_of_content(language: str, lab: Lab) -> None:
    share = position_share(lab.trace(SENTENCES[language], read=READ))
    assert share.max() > 0.7 and share.min() < 0.45


def test_patterns_of_different_texts_are_not_compared() -> None:
    with pytest.raises(InputError, match="take both from one text"):
        overlap(torch.eye(3), torch.eye(4))


# -- arcs ----


def test_arcs_are_the_largest_weights_below_the_diagonal() -> None:
    pattern = random_patterns(1, 1, 8)[0, 0]
    expected = sorted(
        (Arc(q, k, pattern[q, k].item()) for q in range(8) for k in range(q)), key=lambda arc: -arc.weight
    )
    assert arcs(pattern, 10) == expected[:10]
    assert arcs(pattern, 1000) == expected


def test_arcs_show_a_tokens_link_to_itself_when_asked() -> None:
    assert arcs(torch.eye(3)) == []
    assert arcs(torch.eye(3), itself=True) == [Arc(0, 0, 1.0), Arc(1, 1, 1.0), Arc(2, 2, 1.0)]


@pytest.mark.parametrize("count", [0, -1, 2.5, True])
def test_a_count_of_arcs_that_is_none_is_refused(count: object) -> None:
    with pytest.raises(InputError, match="at least 1"):
        arcs(torch.eye(3), count)  # type: ignore[arg-type]


def test_the_patterns_of_many_heads_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(2, 3, 3\); pick a head"):
        arcs(torch.zeros(2, 3, 3))
