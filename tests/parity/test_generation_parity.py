"""Our generation chooses the tokens that transformers chooses: greedy, and drawn from the same seed."""

from typing import Any

import pytest
import torch
import transformers

import bloomlab
from bloomlab import tiny
from tests.parity.pairs import N_HEADS, make_batch, make_pair

COMMON = {"max_new_tokens": 16, "pad_token_id": 3}


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("n_stop", [3, 90])
def test_beams_equal_the_reference_when_many_tokens_end_a_text(n_stop: int) -> None:
    """So many of the likeliest extensions may end that more of them must be looked at."""
    ours, theirs = make_pair()
    ids, mask = make_batch()
    beams = {"num_beams": 4, "num_return_sequences": 4, "eos_token_id": list(range(4, 4 + n_stop)), **COMMON}
    mine = ours.generate(ids, mask, **beams)
    assert torch.equal(mine, theirs.generate(ids, attention_mask=mask, do_sample=False, **beams))


# -- what users of transformers type first ----


@pytest.fixture(scope="module")
def tiny_pair() -> tuple[Any, Any, Any]:
    """The embedded model as a lab, and as transformers opens it, with its tokenizer."""
    folder = tiny.folder()
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    return bloomlab.load(), theirs, transformers.AutoTokenizer.from_pretrained(folder)


@pytest.mark.slow
@pytest.mark.parametrize("stops", ["Mumbai", ["cat.", " lives in M"], [". L"], ["mbai. Leo liv"], ["never there"]])
def test_stop_strings_end_a_text_where_the_reference_ends_it(tiny_pair: Any, stops: Any) -> None:
    lab, theirs, tokenizer = tiny_pair
    for text in ("Leo lives in", "Leo lives in Oslo. He has a"):
        ids = torch.tensor([lab.tokenizer.encode(text)])
        common = {"max_new_tokens": 25, "stop_strings": stops, "pad_token_id": 3}
        reference = theirs.generate(ids, tokenizer=tokenizer, do_sample=False, **common)
        assert lab.model.generate(ids, tokenizer=lab.tokenizer, **common).equal(reference)
        written = lab.generate(text, max_new_tokens=25, stop_strings=stops)
        assert written == tokenizer.decode(reference[0], skip_special_tokens=True)
        assert lab.write(text, stop_strings=stops).play(25).text == written


@pytest.mark.slow
def test_temperature_0_is_greedy_and_top_p_1_keeps_all(tiny_pair: Any) -> None:
    lab, theirs, _ = tiny_pair
    ids = torch.tensor([lab.tokenizer.encode("Leo lives in")])
    greedy = theirs.generate(ids, do_sample=False, max_new_tokens=12, pad_token_id=3)
    for settings in ({"temperature": 0}, {"temperature": 0, "do_sample": True}, {"temperature": 0.0, "top_p": 1.0}):
        assert lab.model.generate(ids, max_new_tokens=12, **settings).equal(greedy)
    torch.manual_seed(11)
    drawn = theirs.generate(ids, do_sample=True, top_k=0, top_p=1.0, temperature=1.0, max_new_tokens=12, pad_token_id=3)
    assert lab.model.generate(ids, do_sample=True, top_p=1.0, seed=11, max_new_tokens=12).equal(drawn)


@pytest.mark.parametrize(
    "settings",
    [
        {"do_sample": False},
        {"do_sample": True, "temperature": 1.3, "top_k": 40, "top_p": 0.9},
        {"num_beams": 4, "num_return_sequences": 3, "length_penalty": 0.7},
    ],
    ids=["greedy", "drawn", "beams"],
)
def test_what_comes_with_the_ids_equals_the_reference(settings: dict[str, Any]) -> None:
    """Of a generation_config, with scores, logits, and what beams are compared by."""
    ours, theirs = make_pair()
    ids, mask = make_batch()
    stop = int(ours.generate(ids, mask, max_new_tokens=3, eos_token_id=None)[0, -1])
    theirs.generation_config.top_k = 0
    config = transformers.GenerationConfig(**COMMON, eos_token_id=stop, top_k=0)
    config.update(**settings)
    asked = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
    torch.manual_seed(11)
    expected = theirs.generate(ids, attention_mask=mask, generation_config=config, **asked)
    got = ours.generate(ids, mask, generator=torch.Generator().manual_seed(11), generation_config=config, **asked)
    assert got.sequences.equal(expected.sequences) and len(got.scores) == len(expected.scores)
    if "num_beams" in settings:
        torch.testing.assert_close(got.sequences_scores, expected.sequences_scores, atol=1e-5, rtol=0)
    written = got.sequences[:, ids.shape[1] : -1]
    running = (written != COMMON["pad_token_id"]) & (written != stop)
    for step, (one, two) in enumerate(zip(got.scores, expected.scores, strict=True)):
        rows = slice(None) if step == 0 or "num_beams" in settings else running[:, step - 1]
        if "num_beams" not in settings or step == 0:  # beams that are no longer followed may trade places
            torch.testing.assert_close(one[rows], two[rows], atol=2e-5, rtol=0)
            torch.testing.assert_close(got.logits[step][rows], expected.logits[step][rows], atol=2e-5, rtol=0)


def test_a_streamer_of_the_reference_is_told_the_same() -> None:
    class Told(transformers.generation.streamers.BaseStreamer):
        def __init__(self) -> None:
            self.told: list[Any] = []

        def put(self, value: torch.Tensor) -> None:
            self.told.append(value.tolist())

        def end(self) -> None:
            self.told.append("end")

    ours, theirs = make_pair()
    ids = make_batch()[0][:1]
    mine, reference = Told(), Told()
    ours.generate(ids, max_new_tokens=5, eos_token_id=None, streamer=mine)
    theirs.generate(ids, max_new_tokens=5, eos_token_id=None, do_sample=False, pad_token_id=3, streamer=reference)
    assert mine.told == reference.told
