"""The ledger of the cache: its sums against what runs, and what goes with the columns that go."""

import pytest
import torch
from torch import nn

from bloomlab.errors import InputError
from bloomlab.hooks import Hooks
from bloomlab.lens.cache import (
    KEEP,
    cache_bytes,
    change_of,
    evict,
    kept,
    multiplications,
    transplant,
    uncached_difference,
    value_norms,
)
from bloomlab.model.cache import KVCache
from bloomlab.tracing.edits import scale, zero
from tests.tiny_random import random_ids, random_model

MODEL = random_model(scale=0.2)
IDS = random_ids(batch=1, pos=12)[0]


def read(ids: torch.Tensor, **more: object) -> KVCache:
    with torch.no_grad():
        return MODEL(ids[None], **more).past_key_values


PAST = read(IDS[:-1])


def test_the_bytes_are_those_that_the_tensors_take() -> None:
    assert cache_bytes(MODEL.config, 11) == PAST.nbytes
    assert cache_bytes(MODEL.config, 11, 2) == read(IDS[:-1]).nbytes // 2


@pytest.mark.parametrize("cached", [True, False])
def test_the_multiplications_of_the_matrices_are_counted_as_they_run(cached: bool) -> None:
    counted = 0

    def count(module: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal counted
        if isinstance(module, nn.Linear):
            counted += args[0].numel() // args[0].shape[-1] * module.weight.numel()

    handle = torch.nn.modules.module.register_module_forward_hook(count)
    try:
        with torch.no_grad():
            new, past = (IDS[-1:], PAST) if cached else (IDS, None)
            MODEL(new[None], past_key_values=past, logits_to_keep=1)
    finally:
        handle.remove()
    looks = 12 if cached else 12 * 13 // 2
    attention = 2 * MODEL.config.n_layer * MODEL.config.hidden_size * looks
    assert multiplications(MODEL.config, 12, cached) == counted + attention


def test_a_cell_is_as_long_as_its_values() -> None:
    norms = value_norms(PAST)
    assert norms.shape == (3, 11) and norms[1, 4] == pytest.approx(float(PAST[1][1][0, :, 4].norm()))


def test_all_of_the_cache_loses_nothing() -> None:
    whole = evict(MODEL, IDS, PAST, kept("all", 11))
    assert whole.kl == 0 and abs(whole.kl_in_place) < 1e-9 and whole.nbytes == PAST.nbytes


@pytest.mark.parametrize("keep", KEEP[1:3])
def test_columns_that_go_from_the_front_leave_every_distance(keep: str) -> None:
    found = evict(MODEL, IDS, PAST, kept(keep, 11, 4))
    assert found.kl > 1e-3 and found.kl == pytest.approx(found.kl_in_place, abs=1e-5)
    assert found.nbytes == PAST.nbytes * len(found.kept) // 11


def test_a_gap_brings_the_first_token_nearer_and_without_slopes_it_does_not_matter() -> None:
    keep = kept("first and window", 11, 4)
    assert keep == [0, 7, 8, 9, 10]
    found = evict(MODEL, IDS, PAST, keep)
    assert abs(found.kl - found.kl_in_place) > 1e-4
    flat = {f"h.{layer}.attn.alibi": zero() for layer in range(3)}
    level = evict(MODEL, IDS, read(IDS[:-1], hooks=Hooks(edit=flat)), keep, flat)
    assert level.kl > 1e-3 and level.kl == pytest.approx(level.kl_in_place, abs=1e-6)


def test_nothing_left_is_the_newest_token_alone() -> None:
    found = evict(MODEL, IDS, PAST, [])
    with torch.no_grad():
        alone = MODEL(IDS[-1:][None]).logits[0, -1]
    torch.testing.assert_close(found.logits, alone)
    assert found.kl == pytest.approx(found.kl_in_place, abs=1e-5) and found.nbytes == 0


def test_the_edits_in_force_stay() -> None:
    edit = {"h.1.attn.biased": scale(2.0), "h.0.mlp.out": zero()}
    past = read(IDS[:-1], hooks=Hooks(edit=edit))
    edited = evict(MODEL, IDS, past, kept("window", 11, 3), edit)
    plain = evict(MODEL, IDS, PAST, kept("window", 11, 3))
    assert abs(edited.kl - plain.kl) > 1e-4 and edited.kl == edited.kl


def test_a_transplanted_column_is_the_others() -> None:
    other_ids = IDS.clone()
    other_ids[5] = 77
    other = read(other_ids[:-1])
    mixed = transplant(PAST, other, [5])
    for layer in range(3):
        for own, its, found in zip(PAST[layer], other[layer], mixed[layer], strict=True):
            assert found[:, :, 5].equal(its[:, :, 5]) and not found[:, :, 5].equal(own[:, :, 5])
            assert found[:, :, 6:].equal(own[:, :, 6:]) and found[:, :, :5].equal(own[:, :, :5])
    moved, _ = change_of(MODEL, IDS, PAST, mixed)
    assert moved > 0 and change_of(MODEL, IDS, PAST, transplant(PAST, other, []))[0] == 0
    all_of_it = change_of(MODEL, IDS, PAST, transplant(PAST, other, range(11)))[1]
    with torch.no_grad():
        assert all_of_it.equal(MODEL(other_ids[-1:][None], past_key_values=other).logits[0, -1])


def test_the_same_step_without_the_cache_agrees_to_rounding() -> None:
    with torch.no_grad():
        logits = MODEL(IDS[-1:][None], past_key_values=PAST).logits[0, -1]
    assert 0 < uncached_difference(MODEL, IDS, logits) < 1e-4
    assert uncached_difference(MODEL, IDS, logits + 1) > 0.9


def test_bad_wishes_are_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'window'"):
        kept("windw", 4)
    with pytest.raises(InputError, match="at least 1 column"):
        kept("window", 4, 0)
    for keep in ([3, 2], [11], [-1], [1, 1]):
        with pytest.raises(InputError, match="keep must name columns from 0 to 10"):
            evict(MODEL, IDS, PAST, keep)
    with pytest.raises(InputError, match="all columns but the newest, 11"):
        evict(MODEL, IDS, read(IDS), [])
    with pytest.raises(InputError, match="one size"):
        transplant(PAST, read(IDS), [])
    with pytest.raises(InputError, match="from 0 to 10"):
        transplant(PAST, PAST, [11])
