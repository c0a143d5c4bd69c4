"""Parts of models with heads that do not divide, all in this process: each is a thread with a group of its own."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bloomlab import tiny
from bloomlab.errors import InputError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import Hooks
from bloomlab.spread import part as parts
from bloomlab.spread.group import Group, LostTouch
from bloomlab.spread.part import Asked, Part
from bloomlab.spread.whole import BloomInParts
from tests.tiny_random import random_ids, random_model

LIMIT = 90  # seconds; it takes five
Together = Callable[..., list[Any]]


def test_whole_numbers_are_refused_before_an_engine_starts() -> None:
    with pytest.raises(InputError, match="not in int8; choose 'bfloat16'"):
        BloomInParts.open(tiny.folder(), 2, dtype="int8")


def spread(folder: Path, model: BloomForCausalLM, size: int) -> Together:
    """A function that calls another on all parts at once, each in a thread, and gives back what each returned."""
    model.save_pretrained(folder)
    groups = [Group(rank, size) for rank in range(size)]
    place = groups[0].host()
    opened: list[Part] = []
    for group in groups:
        group.find(place)
        opened.append(Part.open((str(folder), None, None), model.config, "auto", None, group))
    pool = ThreadPoolExecutor(size)

    def together(function: Callable[..., Any], *arguments: Any, talk: tuple[int, float] = (0, 30.0)) -> list[Any]:
        def one(part: Part) -> Any:
            part.group.meet(talk)
            try:
                return function(part, *arguments)
            except BaseException:
                part.group.leave()
                raise

        return [each.exception() or each.result() for each in [pool.submit(one, part) for part in opened]]

    return together


def all_spots(model: BloomForCausalLM, ids: Tensor) -> dict[str, Tensor]:
    hooks = Hooks(model.hook_names())
    with torch.no_grad():
        model(ids, hooks=hooks)
    return {name: reading.tensor for name, reading in hooks.readings.items()}


@pytest.mark.slow
@pytest.mark.parametrize("n_head, size", [(6, 2), (6, 3), (7, 2), (7, 3), (112, 2), (112, 3)])
def test_heads_that_do_not_divide_give_the_same_at_every_spot(n_head: int, size: int, tmp_path: Path) -> None:
    same_at_every_spot(n_head, size, tmp_path)


@pytest.mark.slow  # a process of its own
@pytest.mark.parametrize("size", [2, 3])
def test_a_part_without_heads_gives_the_same_at_every_spot(size: int, tmp_path: Path) -> None:
    """In a process of its own: asked for attention of no heads, torch's kernel ends it, or never returns."""
    here = f"from pathlib import Path; from tests.spread.test_part import same_at_every_spot as same; same(1, {size}, "
    run = [sys.executable, "-W", "error", "-c", f"{here}Path({str(tmp_path)!r}))"]
    done = subprocess.run(run, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr[-2000:]


def same_at_every_spot(n_head: int, size: int, folder: Path) -> None:
    model = random_model(n_head=n_head, hidden_size=n_head * (2 if n_head > 8 else 4), n_layer=2, vocab_size=301)
    together, ids, names = spread(folder, model, size), random_ids(), tuple(model.hook_names())
    for asked in ([Asked(names, names, {}, None)], []):  # the readable lines of attention, and the fused kernel
        found = together(parts.run_pass, False, {"input_ids": ids, "use_cache": True}, asked, "kept")
        expected = all_spots(model, ids)
        for output, readings, _ in found:
            for name, reading in (readings[0] if asked else {}).items():
                scale = max(1.0, expected[name].abs().max().item())
                assert (reading.tensor - expected[name]).abs().max() < 1e-4 * scale, name
            assert (output["logits"] - expected["logits"]).abs().max() < 1e-4 * expected["logits"].abs().max()
        assert all(each[0]["logits"].equal(found[0][0]["logits"]) for each in found)  # bit for bit on all parts

    # and on from the cache, of which each part has its own heads
    more = random_ids(pos=1, seed=3)
    call = {"input_ids": more, "past_key_values": parts.Past("kept", ())}
    cached = together(parts.run_pass, False, call, [], "next")[0][0]["logits"]
    full = all_spots(model, torch.cat([ids, more], 1))["logits"][:, -1:]
    assert (cached - full).abs().max() < 1e-4 * full.abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_stays_near(dtype: str, tmp_path: Path) -> None:
    model = random_model(n_head=7, hidden_size=28, scale=0.1)
    ids, expected = random_ids(), all_spots(model, random_ids())["logits"]
    together = spread(tmp_path, model.to(getattr(torch, dtype)), 3)
    found = together(parts.run_pass, False, {"input_ids": ids}, [], "k")[0][0]["logits"]
    assert found.dtype == getattr(torch, dtype)
    assert (found.float() - expected).abs().max() < 0.05 * expected.abs().max()


@pytest.mark.slow
def test_an_untied_head_and_the_other_positions_are_cut_as_well(tmp_path: Path) -> None:
    for i, changes in enumerate([{"tie_word_embeddings": False}, {"positions": "rotary"}, {"slow_but_exact": True}]):
        model = random_model(n_head=3, hidden_size=24, pretraining_tp=2, **changes)
        ids = random_ids()
        together = spread(tmp_path / str(i), model, 2)
        found = together(parts.run_pass, False, {"input_ids": ids}, [], "k")[0][0]["logits"]
        expected = all_spots(model, ids)["logits"]
        assert (found - expected).abs().max() < 1e-4 * expected.abs().max(), changes


@pytest.mark.slow
def test_parameters_come_back_as_they_were(tmp_path: Path) -> None:
    model = random_model(n_head=7, hidden_size=28)
    together = spread(tmp_path, model, 3)
    for name, tensor in model.named_parameters():
        assert all(each.equal(tensor) for each in together(parts.parameter, name)), name


@pytest.mark.slow
def test_a_part_that_fails_frees_the_others_and_the_next_talk_goes_on(tmp_path: Path) -> None:
    model = random_model()
    together, ids = spread(tmp_path, model, 3), random_ids()

    def stumble(part: Part) -> Any:
        if part.group.rank == 1:
            raise ValueError("out of luck")
        return parts.run_pass(part, False, {"input_ids": ids}, [], "k")

    first, second, third = together(stumble)
    assert isinstance(second, ValueError) and isinstance(first, LostTouch) and isinstance(third, LostTouch)
    found = together(parts.run_pass, False, {"input_ids": ids}, [], "k", talk=(1, 30.0))
    assert (found[0][0]["logits"] - all_spots(model, ids)["logits"]).abs().max() < 1e-4
