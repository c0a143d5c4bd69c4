import math
from collections.abc import Callable

import pytest
import torch

from bloomlab.errors import InputError
from bloomlab.hooks import Hooks
from bloomlab.lab import Lab
from bloomlab.lens.alibi import READ, bias_by_distance, first_tie, mean_distance, previous_token_bound, reach
from bloomlab.lens.attention import position_only
from bloomlab.model.alibi import alibi_bias, slopes
from bloomlab.model.attention import make_bias
from bloomlab.tracing.edits import zero
from tests.lens.sentences import SENTENCES
from tests.tiny_random import random_model


@pytest.mark.parametrize("slope", slopes(8))
def test_at_its_reach_a_head_has_lost_three_nats(slope: float) -> None:
    assert bias_by_distance([slope], int(reach(slope)) + 1)[0, -1].item() == -3
    assert reach(slope, nats=1) == 1 / slope


@pytest.mark.parametrize("n_head", [1, 6, 7, 16])
def test_bias_by_distance_is_the_models_bias_up_to_a_constant_of_the_row(n_head: int) -> None:
    """As seen from the last of 20 tokens; the model adds slope · key."""
    model_bias = alibi_bias(torch.tensor(slopes(n_head)), torch.arange(20)[None])[0, :, 0]  # (head, key)
    by_distance = bias_by_distance(slopes(n_head), 20)
    assert torch.allclose(by_distance.flip(-1), model_bias - model_bias[:, -1:], atol=1e-6)


@pytest.mark.parametrize("slope", [0.0, -0.5, math.nan])
def test_a_slope_that_is_none_has_no_reach(slope: float) -> None:
    with pytest.raises(InputError, match="above 0"):
        reach(slope)


@pytest.mark.parametrize("slope", [0.5, 0.125, 2**-8])
@pytest.mark.parametrize("earlier", [1, 2, 30])
def test_the_bound_is_the_softmax_of_the_bias_over_the_earlier_tokens(slope: float, earlier: int) -> None:
    weights = bias_by_distance([slope], earlier + 1)[0, 1:].double().softmax(-1)  # the token itself is left out
    assert previous_token_bound(slope, earlier) == pytest.approx(weights[0].item(), rel=1e-6)


def test_the_bound_of_a_long_text_is_the_limit_of_shorter_ones() -> None:
    assert previous_token_bound(0.5) == 1 - math.exp(-0.5)
    assert previous_token_bound(0.5, earlier=100) == pytest.approx(previous_token_bound(0.5))
    assert previous_token_bound(0.5, earlier=1) == 1


def test_mean_distance_is_its_definition() -> None:
    scores = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    probs = scores.masked_fill(torch.ones(6, 6).triu(1).bool(), -math.inf).softmax(-1)
    for first in (0, 4):
        total = sum(probs[1, 2, q, k].item() * (q - k) for q in range(first, 6) for k in range(q + 1))
        assert mean_distance(probs, first_query=first)[1, 2].item() == pytest.approx(total / (6 - first), abs=1e-6)


@pytest.mark.parametrize("slope", [0.5, 0.25, 0.125])
def test_without_content_the_mean_distance_is_that_of_a_geometric_row(slope: float) -> None:
    """Σ d · e^(-s·d) / Σ e^(-s·d) over d = 0, 1, 2, … is 1 / (e^s - 1)."""
    found = mean_distance(position_only([slope], 500)[None], first_query=499).item()
    assert found == pytest.approx(1 / math.expm1(slope), rel=1e-4)


def test_a_head_that_looks_at_itself_looks_no_distance_and_one_at_the_start_all_of_it() -> None:
    first = torch.zeros(1, 1, 5, 5)
    first[..., 0] = 1
    assert mean_distance(torch.eye(5)[None, None]).item() == 0
    assert mean_distance(first).item() == 2  # 0, 1, 2, 3, 4 tokens back


def test_a_head_that_was_switched_off_looks_no_distance(random_lab: Callable[..., Lab]) -> None:
    trace = random_lab().trace("abcdef", read=READ, edit={"h.1.attn.probs": zero(head=2)})
    assert mean_distance(trace)[1, 2] == 0
    assert (mean_distance(trace) > 0.1).sum() == 17


@pytest.mark.parametrize("language", SENTENCES)
def test_steep_heads_of_the_embedded_model_look_nearer_than_flat_ones(language: str, lab: Lab) -> None:
    distance = mean_distance(lab.trace(SENTENCES[language], read=READ)).mean(0)
    assert distance[0] < distance[-1]


@pytest.mark.parametrize("n_head", [1, 7])
def test_padding_on_the_left_does_not_change_a_distance(n_head: int, random_lab: Callable[..., Lab]) -> None:
    lab = random_lab(n_head)
    padded = lab.trace(["a", "abcdefghi", "xyz"], read=READ).row(2)
    assert torch.allclose(mean_distance(padded), mean_distance(lab.trace("xyz", read=READ)), atol=1e-5)


@pytest.mark.parametrize("first", [-1, 3])
def test_a_first_query_beyond_the_text_is_refused(first: int) -> None:
    with pytest.raises(InputError, match="from 0 to 2"):
        mean_distance(torch.eye(3)[None, None], first_query=first)


@pytest.mark.parametrize("n_head", [6, 7, 16])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_first_tie_is_where_the_models_own_bias_has_it(n_head: int, dtype: torch.dtype) -> None:
    bias = make_bias(torch.ones(1, 600, dtype=torch.long), 1, n_head, dtype).alibi[0, :, 0]  # (head, key)
    for head, slope in enumerate(slopes(n_head)):
        row = bias[head].tolist()
        expected = next((i for i in range(599) if row[i] == row[i + 1]), None)
        assert first_tie(slope, dtype, up_to=599) == expected


def test_a_model_in_bfloat16_ties_there_and_one_in_float32_does_not() -> None:
    for dtype, ties in ((torch.bfloat16, True), (torch.float32, False)):
        model = random_model(n_layer=1).to(dtype)
        hooks = Hooks(read=["h.0.attn.alibi"])
        with torch.no_grad():
            model(torch.full((1, 260), 5), hooks=hooks)
        steepest = hooks["h.0.attn.alibi"][0, 4, -1]
        assert bool(steepest[256] == steepest[257]) is ties
        assert steepest[255] != steepest[256]
