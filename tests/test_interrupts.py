"""However a run ends, the next one is bit for bit what it would have been, and the world around is as it was."""

import gc
import hashlib
import random
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from torch import Tensor

from bloomlab.hooks import At, Hooks
from bloomlab.tracing.edits import scale
from bloomlab.tracing.record import record
from bloomlab.weights.pretrained import _spots
from tests.tiny_random import byte_tokenizer, padded_mask, random_ids, random_model

MODEL = random_model()
SPOTS = list(MODEL.hook_names())


def weights_digest() -> str:
    """Of every number in the model."""
    digest = hashlib.sha256()
    for name, tensor in sorted(MODEL.state_dict().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def what_a_model_carries() -> list[str]:
    """Everything a module holds besides its parameters: hooks, buffers, flags."""
    return [f"{name}: {sorted(vars(module))} {module.training}" for name, module in MODEL.named_modules()] + [
        f"{name} {key}: {len(value)}"
        for name, module in MODEL.named_modules()
        for key, value in vars(module).items()
        if key.endswith("_hooks")
    ]


def world() -> list[Any]:
    return [
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.get_num_threads(),
        hashlib.sha256(torch.get_rng_state().numpy().tobytes()).hexdigest(),
    ]


def clean_run() -> list[Tensor]:
    """Logits on both paths, and a generation."""
    with torch.no_grad():
        ids, mask = random_ids(), padded_mask()
        readable = Hooks(read=["h.1.attn.probs", "logits"])
        fused = MODEL(ids, attention_mask=mask).logits
        MODEL(ids, attention_mask=mask, hooks=readable)
    steps = list(MODEL.stream(ids, mask, max_new_tokens=2, eos_token_id=None))
    return [fused, readable["h.1.attn.probs"], readable["logits"], steps[-1].ids, steps[-1].logits]


CLEAN = clean_run()


@contextmanager
def nothing_changes() -> Iterator[None]:
    before = world(), weights_digest(), what_a_model_carries()
    yield
    assert world() == before[0]
    assert (weights_digest(), what_a_model_carries()) == before[1:]
    for expected, got in zip(CLEAN, clean_run(), strict=True):
        assert got.equal(expected)


@pytest.mark.slow
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_an_error_at_any_spot_leaves_the_next_run_bit_identical(error: type[BaseException]) -> None:
    def fail(tensor: Tensor, at: At) -> Tensor:
        raise error("stop")

    others = {name: scale(1.5) for name in SPOTS}
    for name in SPOTS:
        with nothing_changes():
            hooks = Hooks(read=SPOTS, edit={**others, name: fail})
            with pytest.raises(error):
                MODEL(random_ids(), attention_mask=padded_mask(), hooks=hooks)
            assert name not in hooks.readings  # what came before is there, what failed is not
            assert name == SPOTS[0] or "embed" in hooks.readings


@pytest.mark.slow
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_in_any_step_of_a_generation_leaves_the_next_run_bit_identical(error: type[BaseException]) -> None:
    for name in ("embed", "h.1.attn.probs", "h.2.resid_post", "logits"):
        for column in (5, 7):

            def fail(tensor: Tensor, at: At, column: int = column) -> Tensor:
                if at.column == column:
                    raise error("stop")
                return tensor * 1.5

            with nothing_changes(), pytest.raises(error):
                list(MODEL.stream(random_ids(), max_new_tokens=6, eos_token_id=None, hooks=Hooks(edit={name: fail})))


def test_an_interrupted_run_leaves_the_callers_cache_usable() -> None:
    ids = random_ids()
    with torch.no_grad():
        past = MODEL(ids).past_key_values
        expected = MODEL(ids, past_key_values=past).logits

        def fail(tensor: Tensor, at: At) -> Tensor:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            MODEL(ids, past_key_values=past, hooks=Hooks(edit={"h.2.mlp.pre": fail}))
        assert past.length == 5
        assert MODEL(ids, past_key_values=past).logits.equal(expected)


# -- at random moments ----

# an interrupt may fall into what Python cannot raise from (a finaliser), or between the opening of a file and its
# `with`: such noise is no change of the world
noisy = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def once(run: Callable[[], Any], seconds: float) -> bool:
    """Run until it ends or until the alarm rings after so many seconds; whether the alarm came first.

    Callbacks of the garbage collector (hypothesis has one) cannot raise: an interrupt that fell there would be lost.
    """
    rung = []
    callbacks, gc.callbacks[:] = list(gc.callbacks), []

    def ring(signum: int, frame: FrameType | None) -> None:
        rung.append(True)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        run()
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.callbacks[:] = callbacks
    return bool(rung)


def forward() -> None:
    MODEL(random_ids(), hooks=Hooks(read=SPOTS, edit={name: scale(1.5) for name in SPOTS[:20]}))


def write() -> None:
    edit = {"h.1.mlp.out": scale(1.5)}
    for _ in MODEL.stream(random_ids(), max_new_tokens=3, eos_token_id=None, do_sample=True, hooks=Hooks(edit=edit)):
        pass


def generate() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "interrupted after …"
        MODEL.generate(random_ids(), max_new_tokens=3, eos_token_id=None, do_sample=True)


def trace() -> None:
    _spots.cache_clear()  # so that an interrupt can fall into the dry run, too
    record(MODEL, byte_tokenizer(), "Leo lives.", ["attn.probs"], {"embed": scale(2.0)}, max_new_tokens=2)


@pytest.mark.slow
@noisy
@pytest.mark.parametrize("run", [forward, write, generate, trace], ids=lambda run: run.__name__)
def test_after_300_interrupts_at_random_moments_the_next_run_is_bit_identical(run: Callable[[], None]) -> None:
    random_moment = random.Random(0)
    run()
    durations = []
    for _ in range(5):
        started = time.perf_counter()
        run()
        durations.append(time.perf_counter() - started)
    usual = sorted(durations)[2]
    interrupted = runs = 0
    before = world()
    while interrupted < 300 and runs < 3000:  # some runs end before the alarm
        interrupted += once(run, random_moment.uniform(1e-5, usual))
        runs += 1
        assert world() == before
        with torch.no_grad():
            assert MODEL(random_ids(), attention_mask=padded_mask()).logits.equal(CLEAN[0])
    assert interrupted == 300
    gc.collect()  # here, where the noise above is expected
    with nothing_changes():
        pass


@pytest.mark.slow
@noisy
@pytest.mark.parametrize("how", ["rules", "draws", "beams", "cache"])
def test_after_100_interrupts_at_random_moments_what_is_kept_is_the_beginning(how: str) -> None:
    """Of beams, whose order may still change, all that is kept is as long as it says; a given cache is as it was."""
    ids, mask = random_ids(), padded_mask()
    with torch.no_grad():
        past = MODEL(ids[:, :3], attention_mask=mask[:, :3]).past_key_values
    before = [(keys.clone(), values.clone()) for keys, values in past]
    settings: dict[str, Any] = {
        "rules": {"no_repeat_ngram_size": 2, "bad_words_ids": [[5, 6]], "repetition_penalty": 1.2},
        "draws": {"do_sample": True, "seed": 3, "typical_p": 0.9, "num_return_sequences": 2},
        "beams": {"num_beams": 3, "do_sample": True, "seed": 3, "no_repeat_ngram_size": 2},
        "cache": {"past_key_values": past},
    }[how]
    kept: list[Tensor] = []

    def run() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kept.append(MODEL.generate(ids, mask, max_new_tokens=12, eos_token_id=None, progress=False, **settings))

    start = time.perf_counter()
    run()
    usual, whole, moment, stopped = time.perf_counter() - start, kept[0], random.Random(1), 0
    for _ in range(2000):
        stopped += once(run, moment.uniform(1e-5, usual))
        if stopped == 100:
            break
    assert stopped == 100 and len({row.shape[1] for row in kept}) > 3
    for written in kept:
        assert written.shape[0] == whole.shape[0] and written[:, :5].equal(whole[:, :5])
        assert how == "beams" or written.equal(whole[:, : written.shape[1]])
    assert all(k.equal(a) and v.equal(b) for (k, v), (a, b) in zip(past, before, strict=True))
    with torch.no_grad():
        assert MODEL(random_ids(), attention_mask=padded_mask()).logits.equal(CLEAN[0])


def test_an_interrupt_inside_torchs_own_switch_while_a_model_is_opened_leaves_gradients_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The narrowest moment of a load: the line before torch would switch gradients on again."""
    MODEL.save_pretrained(tmp_path)

    switch_back = torch.no_grad.__exit__

    def interrupted(*arguments: Any) -> None:
        if threading.current_thread() is threading.main_thread():  # the only one that hears an interrupt
            raise KeyboardInterrupt
        switch_back(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(torch.no_grad, "__exit__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            type(MODEL).from_pretrained(tmp_path)
    assert torch.is_grad_enabled()
