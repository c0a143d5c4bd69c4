"""Our generation chooses the tokens that transformers chooses: greedy, and drawn from the same seed."""

from typing import Any

import pytest
import torch

from tests.parity.pairs import N_HEADS, make_batch, make_pair

COMMON = {"max_new_tokens": 16, "pad_token_id": 3}


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("n_head", N_HEADS)
def test_greedy_ids_equal_the_reference_under_left_padding(n_head: int, use_cache: bool) -> None:
    ours, theirs = make_pair(n_head)
    ids, mask = make_batch()
    mine = ours.generate(ids, mask, use_cache=use_cache, eos_token_id=None, **COMMON)
    reference = theirs.generate(
        ids, attention_mask=mask, use_cache=use_cache, eos_token_id=None, do_sample=False, **COMMON
    )
    assert torch.equal(mine, reference)
    assert len(set(mine[0].tolist())) > 5  # the text is not one token over and over


@pytest.mark.parametrize(
    "settings",
    [
        {"repetition_penalty": 1.4},
        {"min_new_tokens": 6},
        {"do_sample": True},
        {"do_sample": True, "temperature": 0.6},
        {"do_sample": True, "top_k": 7},
        {"do_sample": True, "top_p": 0.8},
        {"do_sample": True, "temperature": 1.3, "top_k": 40, "top_p": 0.9, "repetition_penalty": 1.2},
        {"do_sample": True, "num_return_sequences": 3},
        {"num_beams": 4},
        {"num_beams": 4, "num_return_sequences": 3, "min_new_tokens": 4},
        {"num_beams": 3, "repetition_penalty": 1.3},
        {"num_beams": 3, "length_penalty": 2.0},
        {"num_beams": 3, "length_penalty": -1.0, "early_stopping": True},
    ],
)
def test_every_setting_chooses_as_the_reference_does(settings: dict[str, Any]) -> None:
    ours, theirs = make_pair()
    ids, mask = make_batch()
    stop = int(ours.generate(ids, mask, max_new_tokens=3, eos_token_id=None)[0, -1])  # a token that does come
    common = {**COMMON, "eos_token_id": stop}
    theirs.generation_config.top_k = 0  # theirs keeps 50 by default, ours keeps all
    torch.manual_seed(11)
    reference = theirs.generate(ids, attention_mask=mask, **common, **settings)
    mine = ours.generate(ids, mask, generator=torch.Generator().manual_seed(11), **common, **settings)
    assert torch.equal(mine, reference)


@pytest.mark.slow
@pytest.mark.parametrize("n_head", N_HEADS)
@pytest.mark.parametrize("use_cache", [True, False])
def test_beams_equal_the_reference_under_left_padding(n_head: int, use_cache: bool) -> None:
    ours, theirs = make_pair(n_head, seed=n_head)
    ids, mask = make_batch(seed=n_head)
    first = ours.generate(ids, mask, max_new_tokens=6, eos_token_id=None)
    stop = [int(first[0, -1]), int(first[1, -3])]  # some beams end early, some later, some never
    beams = {"num_beams": 5, "num_return_sequences": 4, "eos_token_id": stop, "use_cache": use_cache, **COMMON}
    mine = ours.generate(ids, mask, **beams)
    assert torch.equal(mine, theirs.generate(ids, attention_mask=mask, do_sample=False, **beams))
    assert len({tuple(row.tolist()) for row in mine}) == len(mine)


@pytest.mark.parametrize("n_stop", [3, 90])
def test_beams_equal_the_reference_when_many_tokens_end_a_text(n_stop: int) -> None:
    """So many of the likeliest extensions may end that more of them must be looked at."""
    ours, theirs = make_pair()
    ids, mask = make_batch()
    beams = {"num_beams": 4, "num_return_sequences": 4, "eos_token_id": list(range(4, 4 + n_stop)), **COMMON}
    mine = ours.generate(ids, mask, **beams)
    assert torch.equal(mine, theirs.generate(ids, attention_mask=mask, do_sample=False, **beams))
