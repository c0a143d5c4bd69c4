"""Going on from what is there: a cache, a prefix that several texts share, vectors in place of ids."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from bloomlab.errors import GenerationError, InputError
from bloomlab.hooks import Hooks
from bloomlab.model.cache import KVCache
from tests.tiny_random import padded_mask, random_ids, random_model

MODEL = random_model()
WAYS: list[dict[str, Any]] = [
    {},
    {"do_sample": True, "seed": 1},
    {"do_sample": True, "seed": 1, "num_return_sequences": 3},
    {"num_beams": 3, "num_return_sequences": 2},
    {"no_repeat_ngram_size": 2, "repetition_penalty": 1.5},
]


def write(ids: Tensor | None, mask: Tensor | None = None, **more: Any) -> Tensor:
    return MODEL.generate(ids, mask, **{"max_new_tokens": 6, "eos_token_id": None, **more})


def cache_of(ids: Tensor, mask: Tensor | None = None) -> KVCache:
    with torch.no_grad():
        return MODEL(ids, attention_mask=mask).past_key_values


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many columns each pass of the model computes."""
    passes: list[int] = []
    forward = type(MODEL).forward

    def counted(*arguments: Any, **keywords: Any) -> Any:
        inputs = arguments[1] if len(arguments) > 1 else keywords.get("input_ids", keywords.get("inputs_embeds"))
        passes.append(inputs.shape[0] * inputs.shape[1])
        return forward(*arguments, **keywords)

    monkeypatch.setattr(type(MODEL), "forward", counted)
    yield passes


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_cache_changes_nothing_but_what_is_computed(way: dict[str, Any], columns: list[int]) -> None:
    ids, mask = random_ids(), padded_mask()
    expected, past = write(ids, mask, **way), cache_of(ids[:, :3], mask[:, :3])
    kept = [(k.clone(), v.clone()) for k, v in past]
    columns.clear()
    assert write(ids, mask, past_key_values=past, **way).equal(expected)
    copies = max(way.get("num_beams", 1), way.get("num_return_sequences", 1))
    assert columns == [2 * 2 * copies, *[2 * copies] * 5]  # two rows, two columns that the cache lacks, and then one
    assert all(k.equal(a) and v.equal(b) for (k, v), (a, b) in zip(past, kept, strict=True))
    assert write(ids, mask, past_key_values=list(past), **way).equal(expected)  # plain pairs


def test_with_a_mask_of_everything_the_ids_may_be_the_new_ones_only() -> None:
    ids, mask = random_ids(), padded_mask()
    past = cache_of(ids[:, :3], mask[:, :3])
    assert write(ids[:, 3:], mask, past_key_values=past).equal(write(ids, mask)[:, 3:])


def test_a_prefix_that_several_texts_share_is_computed_once(columns: list[int]) -> None:
    prefix, ends = random_ids(1, 40), random_ids(3, 4, seed=7)
    ids = torch.cat([prefix.expand(3, -1), ends], 1)
    expected = write(ids)
    columns.clear()
    past = cache_of(prefix)
    assert write(ids, past_key_values=past).equal(expected)
    assert columns == [40, 3 * 4, *[3] * 5]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS[:4], ids=str)
def test_vectors_in_place_of_ids_give_the_ids_of_what_is_new(way: dict[str, Any]) -> None:
    ids, mask = random_ids(), padded_mask()
    embeds = MODEL.get_input_embeddings()(ids).detach()
    assert write(None, mask, inputs_embeds=embeds, **way).equal(write(ids, mask, **way)[:, 5:])
    assert write(None, mask, inputs_embeds=embeds, max_new_tokens=0).shape == (2, 0)
    past = cache_of(ids[:, :3], mask[:, :3])
    assert write(None, mask, inputs_embeds=embeds, past_key_values=past, **way).equal(write(ids, mask, **way)[:, 5:])


def test_lengths_count_vectors_as_columns() -> None:
    embeds = MODEL.get_input_embeddings()(random_ids()).detach()
    assert write(None, inputs_embeds=embeds, max_new_tokens=None, max_length=9).shape == (2, 4)


def test_rules_see_new_tokens_only_where_there_are_vectors() -> None:
    embeds = MODEL.get_input_embeddings()(random_ids()).detach()
    out = write(None, inputs_embeds=embeds, no_repeat_ngram_size=1, max_new_tokens=30)
    assert all(len(set(row)) == 30 for row in out.tolist())


def test_hooks_see_what_the_cache_lacks() -> None:
    ids = random_ids()
    hooks = Hooks(read=["embed"])
    list(MODEL.stream(ids, past_key_values=cache_of(ids[:, :3]), hooks=hooks, max_new_tokens=3, eos_token_id=None))
    assert hooks["embed"].shape[1] == 2 + 2


IDS = random_ids()
EMBEDS = torch.zeros(2, 5, 24)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "either input_ids or inputs_embeds"),
        ({"input_ids": IDS, "inputs_embeds": EMBEDS}, "either input_ids or inputs_embeds"),
        ({"inputs_embeds": EMBEDS[0]}, r"inputs_embeds must be a tensor \(batch, pos, 24\).*got \(5, 24\)"),
        ({"inputs_embeds": EMBEDS[..., :8]}, r"got \(2, 5, 8\)"),
        ({"inputs_embeds": EMBEDS[:, :0]}, r"at least one position, but got \(2, 0, 24\)"),
        ({"inputs_embeds": [[1.0]]}, "got list"),
        ({"input_ids": IDS, "past_key_values": cache_of(IDS)}, "holds 5 columns and input_ids has 5; pass the whole"),
        ({"input_ids": IDS[:, :3], "past_key_values": cache_of(IDS)}, "holds 5 columns and input_ids has 3"),
        ({"input_ids": IDS, "past_key_values": cache_of(random_ids(3, 4))}, "has 3 rows but the inputs have 2"),
        ({"input_ids": IDS, "past_key_values": 5}, "must be a KVCache, a DynamicCache or one"),
        (
            {"input_ids": IDS, "past_key_values": [(k.half(), v.half()) for k, v in cache_of(IDS[:, :3])]},
            "float16 on cpu, but the model torch.float32",
        ),
        ({"input_ids": IDS, "past_key_values": list(cache_of(IDS[:, :3]))[:2]}, "has 2 layers but the model has 3"),
        (
            {"input_ids": IDS, "past_key_values": random_model(n_head=3)(IDS[:, :3]).past_key_values},
            r"must have shape \(batch, 6, key, 4\)",
        ),
        (
            {"input_ids": IDS, "past_key_values": cache_of(IDS[:, :3]), "attention_mask": torch.ones(2, 6)},
            r"attention_mask has shape \(2, 6\) but input_ids \(2, 5\)",
        ),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value[:40],
)
def test_what_does_not_fit_is_refused_in_words(given: dict[str, Any], words: str) -> None:
    for settings in ({}, {"num_beams": 2}):
        with pytest.raises(InputError, match=words) as caught:
            MODEL.generate(**given, **settings)
        assert len(str(caught.value)) < 300


def test_going_on_needs_the_cache() -> None:
    for given in ({"input_ids": IDS, "past_key_values": cache_of(IDS[:, :3])}, {"inputs_embeds": EMBEDS}):
        with pytest.raises(GenerationError, match="leave use_cache=True"):
            MODEL.generate(**given, use_cache=False)
