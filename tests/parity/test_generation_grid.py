"""Every setting of `generate`, alone and together with others: the reference's ids, and its scores before a draw."""

import random
from typing import Any

import pytest
import torch
from torch import Tensor

from bloomlab.generation.predict import narrow
from bloomlab.generation.settings import Settings
from tests.parity.pairs import make_pair
from tests.parity.v4.scenarios import ALONE, NEVER_ENOUGH, combinations, writing_prompt, written

HEADS = (1, 6, 7)
PAIRS = {n_head: make_pair(n_head, seed=n_head) for n_head in HEADS}
DRAWS: list[dict[str, Any]] = [
    {"temperature": 0.6},
    {"top_k": 7},
    {"top_p": 0.8},
    {"min_p": 0.1},
    {"typical_p": 0.4},
    {"typical_p": 0.9},
    {"epsilon_cutoff": 0.02},
    {"eta_cutoff": 0.05},
    {"renormalize_logits": True, "top_k": 12},
]
for _, theirs in PAIRS.values():
    theirs.generation_config.top_k = 0  # theirs keeps 50 by default, ours keeps all

pytestmark = pytest.mark.filterwarnings("ignore")  # the reference warns of most settings that it is passed


@pytest.mark.slow
def test_every_setting_alone_changes_what_is_written() -> None:
    """Or the tests below could not fail."""
    ours, _ = PAIRS[6]
    same = [settings for settings in ALONE if written(ours, {}).equal(written(ours, settings))]
    assert not same


@pytest.mark.slow
@pytest.mark.parametrize("n_head", HEADS)
@pytest.mark.parametrize("settings", [*ALONE, *NEVER_ENOUGH], ids=lambda settings: str(settings)[:40])
def test_each_setting_alone_writes_what_the_reference_writes(n_head: int, settings: dict[str, Any]) -> None:
    ours, theirs = PAIRS[n_head]
    for num_beams in (1, 3):
        reference = written(theirs, settings, num_beams=num_beams)
        assert written(ours, settings, num_beams=num_beams).equal(reference), num_beams


def test_one_of_several_forced_ends_is_the_first_of_them() -> None:
    """Beams that end in either are equally likely, so there any is right."""
    ours, theirs = PAIRS[6]
    settings = {"forced_eos_token_id": [17, 18]}
    assert written(ours, settings).equal(written(theirs, settings))
    assert set(written(ours, settings, num_beams=3)[:, -1].tolist()) <= {17, 18}


@pytest.mark.slow
def test_200_combinations_write_what_the_reference_writes() -> None:
    for place, settings in enumerate(combinations(200)):
        ours, theirs = PAIRS[HEADS[place % 3]]
        assert written(ours, settings).equal(written(theirs, settings)), (place, settings)


def compare_draws(place: int, settings: dict[str, Any]) -> None:
    """The scores before each draw, and what is drawn from the same numbers."""
    ours, theirs = PAIRS[HEADS[place % 3]]
    torch.manual_seed(place)
    shown = {"output_scores": True, "return_dict_in_generate": True}
    reference = written(theirs, settings, do_sample=True, **shown)
    seen: list[Tensor] = []

    def look(ids: Tensor, scores: Tensor) -> bool:
        seen.append(scores)
        return False

    more = {"do_sample": True, "stopping_criteria": [look]}
    mine = written(ours, settings, **more, generator=torch.Generator().manual_seed(place))
    assert mine.equal(reference.sequences), settings
    chosen = Settings.of({**settings, **more, "max_new_tokens": 8})
    if chosen.num_beams > 1:
        return  # its scores are sums
    ended = torch.zeros(len(mine), dtype=torch.bool)
    for n_new, (scores, expected) in enumerate(zip(seen, reference.scores, strict=True)):
        torch.testing.assert_close(narrow(scores, chosen)[~ended], expected[~ended], atol=1e-5, rtol=0)
        ended |= torch.isin(mine[:, 9 + n_new], torch.tensor(settings.get("eos_token_id", [11, 76])))


@pytest.mark.slow
@pytest.mark.parametrize("settings", DRAWS, ids=str)
def test_each_way_of_drawing_alone_has_the_scores_of_the_reference(settings: dict[str, Any]) -> None:
    for place in range(3):
        for num_beams in (1, 3):
            compare_draws(place, {**settings, "num_beams": num_beams})


@pytest.mark.slow
def test_draws_of_combinations_have_the_scores_of_the_reference() -> None:
    draw = random.Random(3)
    for place, settings in enumerate(combinations(100, seed=2)):
        for more in draw.sample(DRAWS, draw.choice([1, 2, 3])):
            settings |= more
        compare_draws(place, settings)


@pytest.mark.parametrize("name", ["typical_p", "min_p", "epsilon_cutoff", "eta_cutoff"])
def test_each_cutoff_drops_something(name: str) -> None:
    settings = next(each for each in DRAWS if name in each)
    logits = PAIRS[6][0](writing_prompt()[0]).logits[:, -1].detach()
    dropped = narrow(logits, Settings(do_sample=True, **settings)).isinf()
    assert dropped.any() and not dropped.all(-1).any()


# -- going on from what is there ----


@pytest.mark.slow
@pytest.mark.parametrize("n_head", HEADS)
@pytest.mark.parametrize("num_beams", [1, 3])
def test_vectors_in_place_of_ids_and_a_cache_go_on_as_the_reference_does(n_head: int, num_beams: int) -> None:
    ours, theirs = PAIRS[n_head]
    (row, mask), common = writing_prompt(), {"max_new_tokens": 8, "pad_token_id": 3, "eos_token_id": [11, 76]}
    for settings in ({}, {"no_repeat_ngram_size": 2}, {"min_length": 13}):
        settings = {**common, **settings, "num_beams": num_beams, "do_sample": False}
        embeds = ours.get_input_embeddings()(row).detach()
        reference = theirs.generate(inputs_embeds=embeds, attention_mask=mask, **settings)
        assert ours.generate(inputs_embeds=embeds, attention_mask=mask, **settings).equal(reference)
        if num_beams > 1:
            continue  # the reference does not repeat a cache for its beams
        with torch.no_grad():
            past, cache = (each(row[:, :6], attention_mask=mask[:, :6]).past_key_values for each in (ours, theirs))
        reference = theirs.generate(row, attention_mask=mask, past_key_values=cache, **settings)
        assert ours.generate(row, mask, past_key_values=past, **settings).equal(reference)
