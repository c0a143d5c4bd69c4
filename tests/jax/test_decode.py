"""Writing in one compiled loop: the rows torch writes, the draws probability asks for, compiled once for a shape."""

from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from bloomlab import BloomConfig, FlaxBloomForCausalLM
from bloomlab.errors import BloomlabError, GenerationError, InputError
from tests.jax.twins import jax_twin
from tests.tiny_random import padded_mask, random_ids, random_model

IDS, MASK = random_ids(), padded_mask()
TORCH = random_model(n_layer=2, eos_token_id=7, pad_token_id=3)


@pytest.fixture(scope="module")
def model() -> Any:
    return jax_twin(TORCH)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"max_new_tokens": 0},
        {"repetition_penalty": 1.5, "max_new_tokens": 12},
        {"do_sample": True, "temperature": 0.0},
        {"do_sample": True, "top_k": 1, "top_p": 1e-9, "max_new_tokens": 1},
    ],
    ids=str,
)
def test_greedy_rows_are_those_of_torch(settings: dict[str, Any], model: Any) -> None:
    theirs = TORCH.generate(IDS, MASK, **{**settings, "do_sample": False})
    ours = model.generate(IDS, MASK, **settings)
    assert np.array_equal(ours.sequences, theirs)
    assert ours[0] is ours["sequences"] is ours.sequences


@pytest.mark.slow
def test_rows_end_at_a_stop_token_and_not_before_min_new_tokens(model: Any) -> None:
    free = np.asarray(model.generate(IDS, MASK, eos_token_id=None, max_new_tokens=12).sequences)
    stops = [int(free[0, 7]), int(free[1, 9])]  # what the rows write anyway, third and fifth
    for settings in ({"eos_token_id": stops}, {"eos_token_id": stops, "min_new_tokens": 8}):
        theirs = TORCH.generate(IDS, MASK, max_new_tokens=12, **settings)
        assert np.array_equal(model.generate(IDS, MASK, max_new_tokens=12, **settings).sequences, theirs)
    short = model.generate(IDS, MASK, eos_token_id=stops, max_new_tokens=12).sequences
    assert short.shape[1] < free.shape[1]


@pytest.mark.slow
def test_one_shape_is_compiled_once_whatever_the_numbers_are(model: Any) -> None:
    model.generate(IDS, do_sample=True, seed=0, temperature=0.7, top_p=0.9, max_new_tokens=4)
    before = model._write._cache_size()
    for seed, temperature, top_p in ((1, 0.8, 0.5), (2, 1.3, 0.99)):
        model.generate(random_ids(seed=seed), do_sample=True, seed=seed, temperature=temperature, top_p=top_p,
                       max_new_tokens=4)  # fmt: skip
    assert model._write._cache_size() == before
    model.generate(IDS[:, 1:], do_sample=True, seed=0, temperature=0.7, top_p=0.9, max_new_tokens=4)
    assert model._write._cache_size() == before + 1


@pytest.mark.slow
def test_draws_follow_their_seed_and_their_probabilities(model: Any) -> None:
    how: dict[str, Any] = {"do_sample": True, "max_new_tokens": 1, "top_k": 3, "num_return_sequences": 4000}
    one, same, other = (model.generate(IDS[:1], seed=seed, **how).sequences for seed in (5, 5, 6))
    assert jnp.array_equal(one, same) and not jnp.array_equal(one, other)
    assert jnp.array_equal(one, model.generate(IDS[:1], prng_key=jax.random.PRNGKey(5), **how).sequences)
    best = TORCH(IDS[:1]).logits[0, -1].detach().topk(3)
    counts = Counter(np.asarray(one)[:, -1].tolist())
    assert counts.keys() <= set(best.indices.tolist())
    for token_id, probability in zip(best.indices.tolist(), best.values.softmax(-1).tolist(), strict=True):
        assert counts[token_id] / 4000 == pytest.approx(probability, abs=0.04)


@pytest.mark.slow
def test_logits_that_are_not_finite_stop_the_writing_and_are_named(model: Any) -> None:
    broken = jax.tree.map(lambda leaf: leaf, model.params)
    bias = broken["transformer"]["h"]["1"]["mlp"]["dense_4h_to_h"]["bias"]
    broken["transformer"]["h"]["1"]["mlp"]["dense_4h_to_h"]["bias"] = bias.at[0].set(jnp.nan)
    with pytest.raises(GenerationError, match=r"not finite after 5 columns: 'h\.1\.mlp\.out' is the first") as caught:
        model.generate(IDS, params=broken)
    assert np.array_equal(caught.value.ids, IDS)


@pytest.mark.slow
def test_inside_jit_and_vmap_rows_come_out_at_full_width(model: Any) -> None:
    stop = int(model.generate(IDS, MASK, eos_token_id=None).sequences[0, 7])
    how: dict[str, Any] = {"eos_token_id": stop, "pad_token_id": 3, "max_new_tokens": 12}
    expected = [np.asarray(model.generate(IDS[i : i + 1], MASK[i : i + 1], **how).sequences[0]) for i in range(2)]
    ids, mask = jnp.asarray(IDS.numpy()), jnp.asarray(MASK.numpy())
    compiled = jax.jit(lambda params, ids, mask: model.generate(ids, mask, params=params, **how).sequences)
    many = jax.vmap(lambda ids, mask: model.generate(ids[None], mask[None], **how).sequences[0])
    for rows in (compiled(model.params, ids, mask), many(ids, mask)):
        assert rows.shape == (2, 17)
        for row, known in zip(np.asarray(rows), expected, strict=True):
            assert np.array_equal(row[: len(known)], known) and (row[len(known) :] == 3).all()
    assert len(expected[0]) < 17


@pytest.mark.slow
def test_inside_jit_a_draw_needs_a_key_of_its_own(model: Any) -> None:
    ids, how = jnp.asarray(IDS.numpy()), {"do_sample": True, "max_new_tokens": 8}
    with pytest.raises(GenerationError, match="a seed drawn at random would stay the same for ever; pass prng_key"):
        jax.jit(lambda ids: model.generate(ids, **how))(ids)
    draw = jax.jit(lambda ids, key: model.generate(ids, prng_key=key, eos_token_id=None, **how).sequences)
    one, other = draw(ids, jax.random.key(1)), draw(ids, jax.random.key(2))
    outside = model.generate(ids, prng_key=jax.random.key(1), eos_token_id=None, **how).sequences
    assert jnp.array_equal(one, outside) and not jnp.array_equal(one, other)
    with pytest.raises(InputError, match="prng_key must be one key, such as"):
        model.generate(ids, prng_key=7, **how)


BAD: list[dict[str, Any]] = [
    {"max_new_tokens": -1},
    {"temprature": 1.0},
    {"top_k": 301},
    {"eos_token_id": 300},
    {"attention_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]])},
    {"attention_mask": torch.ones(2, 4, dtype=torch.long)},
]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", BAD, ids=str)
def test_bad_input_is_refused_in_the_words_of_torch(arguments: dict[str, Any]) -> None:
    with pytest.raises(BloomlabError) as theirs:
        TORCH.generate(IDS, **arguments)
    with pytest.raises(type(theirs.value)) as ours:
        FlaxBloomForCausalLM(TORCH.config, _do_init=False).generate(IDS, params={}, **arguments)
    if "attention_mask" not in arguments or arguments["attention_mask"].shape == IDS.shape:
        assert str(ours.value) == str(theirs.value)


def test_what_only_torch_does_is_said() -> None:
    model = FlaxBloomForCausalLM(BloomConfig(), _do_init=False)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"num_beams": 2}, "beams are searched by the torch classes"),
        ({"use_cache": False}, "always keeps a cache"),
        ({"no_repeat_ngram_size": 2}, "the compiled loop has no no_repeat_ngram_size; leave it out"),
        ({"min_p": 0.1, "do_sample": True}, "the compiled loop has no min_p"),
        ({"seed": 1, "prng_key": jnp.zeros(2, jnp.uint32)}, "pass a seed or a prng_key, not both"),
    ]
    for settings, words in cases:
        with pytest.raises(GenerationError, match=words):
            model.generate(IDS, params={}, **settings)
