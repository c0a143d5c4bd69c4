"""The cache never changes: what was returned once can be continued any number of times."""

from typing import Any

import pytest
import torch

from bloomlab.config import BloomConfig
from bloomlab.errors import InputError
from bloomlab.model.arguments import past_pairs
from bloomlab.model.cache import KVCache
from tests.tiny_random import PAST, padded_mask, random_ids, random_model

CONFIG = BloomConfig(n_layer=3, n_head=6, hidden_size=24)


def cache(batch: int = 2, key: int = PAST, layers: int = 3) -> KVCache:
    torch.manual_seed(0)
    return KVCache([(torch.randn(batch, 6, key, 4), torch.randn(batch, 6, key, 4)) for _ in range(layers)])


def older_layout(past: KVCache) -> tuple[Any, ...]:
    """Keys (batch · heads, head_dim, key), values (batch · heads, key, head_dim), as the older pages say."""
    return tuple((k.flatten(0, 1).mT, v.flatten(0, 1)) for k, v in past)


def test_a_cache_knows_its_layers_columns_and_bytes() -> None:
    past = cache()
    assert (len(past), past.length, past.nbytes) == (3, PAST, 3 * 2 * 2 * 6 * PAST * 4 * 4)
    assert [k.shape for k, _ in past] == [past[0][1].shape] * 3 == [(2, 6, PAST, 4)] * 3
    assert repr(past) == f"KVCache(3 layers × {PAST} columns, {past.nbytes} bytes)"


def test_both_documented_layouts_mean_the_same_cache() -> None:
    past = cache()
    for other in (past, tuple(past), list(past), older_layout(past)):
        again = past_pairs(other, CONFIG)
        assert again is not None
        assert all(a.equal(b) for one, two in zip(again, past, strict=True) for a, b in zip(one, two, strict=True))


def test_a_model_continues_from_every_layout_alike_and_returns_a_cache() -> None:
    model, ids = random_model(), random_ids(2, 9)
    mask = padded_mask(9)
    past = model(ids[:, :6], attention_mask=mask[:, :6]).past_key_values
    expected = model(ids[:, 6:], attention_mask=mask, past_key_values=past)
    for other in (tuple(past), older_layout(past)):
        got = model(ids[:, 6:], attention_mask=mask, past_key_values=other)
        assert got.logits.equal(expected.logits)
        assert isinstance(got.past_key_values, KVCache) and got.past_key_values.length == 9


def test_a_pass_leaves_the_cache_it_was_given_as_it_was() -> None:
    model, ids = random_model(), random_ids(2, 9)
    past = model(ids[:, :6]).past_key_values
    copies = [(k.clone(), v.clone()) for k, v in past]
    first = model(ids[:, 6:], past_key_values=past).logits
    model(random_ids(2, 2, seed=5), past_key_values=past)  # another branch
    assert past.length == 6
    assert all(k.equal(a) and v.equal(b) for (k, v), (a, b) in zip(past, copies, strict=True))
    assert model(ids[:, 6:], past_key_values=past).logits.equal(first)


def test_a_cache_cannot_be_assigned_to() -> None:
    past = cache()
    with pytest.raises(TypeError):
        past[0] = past[1]  # type: ignore[index]


def test_rows_can_be_chosen_and_repeated() -> None:
    past = cache(batch=3)
    chosen = past.rows(torch.tensor([2, 2, 0]))
    assert chosen[1][0].equal(past[1][0][[2, 2, 0]]) and chosen[2][1].equal(past[2][1][[2, 2, 0]])
    assert past[0][0].shape[0] == 3


@pytest.mark.parametrize(
    ("past", "words"),
    [
        (5, "got int"),
        ("abc", "got str"),
        ((), "has 0 layers but the model has 3"),
        (cache(layers=2), "has 2 layers but the model has 3"),
        (tuple((k[:, :5], v[:, :5]) for k, v in cache()), r"\(batch, 6, key, 4\).*\(2, 5, 7, 4\)"),
        (tuple((k[..., :3], v[..., :3]) for k, v in cache()), r"\(2, 6, 7, 3\)"),
        (tuple((k, v[:, :, 1:]) for k, v in cache()), r"\(2, 6, 7, 4\) and \(2, 6, 6, 4\)"),
        ((cache()[0], cache()[1], cache(key=3)[2]), "the same in all layers"),
        (((1, 2),) * 3, "tensors"),
        ((("k", "v"),) * 3, "tensors"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_cache_of_this_model_is_an_input_error(past: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        past_pairs(past, CONFIG)


def test_a_cache_of_another_batch_is_an_input_error() -> None:
    model = random_model()
    past = model(random_ids(2, 4)).past_key_values
    with pytest.raises(InputError, match="past_key_values has 2 rows but the inputs have 3"):
        model(random_ids(3, 1), past_key_values=past)
