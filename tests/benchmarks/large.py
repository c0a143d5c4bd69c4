"""The model itself in bloom-560m's shape, and how long its hidden states keep a person waiting.

python -m tests.benchmarks.large [--layers 24] [--vocab 250880] [--tokens 64] [--threads 1] [--dtype float32]

Seconds are the processor's, so that other programs on the machine change them little; ratios are of one run.
"""

import argparse
import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import transformers

from bloomlab import BloomConfig, BloomForCausalLM, Hooks, Lab, zero
from bloomlab.guards.memory import give_back
from bloomlab.lens.effect import kl
from bloomlab.views.hidden.payload import READ
from bloomlab.views.view import View
from bloomlab.weights.int8 import to_int8
from tests.tiny_random import byte_tokenizer

Row = tuple[str, float, Callable[[], object], Callable[[], object]]
PROCESS = Path("/proc/self")


def model_of(shape: dict[str, Any], dtype: torch.dtype) -> BloomForCausalLM:
    torch.manual_seed(0)
    return BloomForCausalLM(BloomConfig(**shape)).to(dtype).eval()


def rows_model(shape: dict[str, Any]) -> Iterator[Row]:
    """A pass over 512 tokens, and a token after them, beside transformers; int8 beside bfloat16; compiled or not."""
    yield from _rows_in(shape, torch.bfloat16, 0.75)
    yield from _rows_in(shape, torch.float32, 0.85)


def _rows_in(shape: dict[str, Any], dtype: torch.dtype, most: float) -> Iterator[Row]:
    name, ours = f"560m, {str(dtype)[6:]}", model_of(shape, dtype)
    theirs = transformers.BloomForCausalLM(transformers.BloomConfig(**shape)).to(dtype).eval()
    theirs.load_state_dict(ours.state_dict(), assign=True, strict=False)
    theirs.tie_weights()
    ids = torch.randint(4, shape["vocab_size"], (1, 512))
    states = {"output_hidden_states": True}
    yield f"{name}, forward 512 / transformers", most, lambda: ours(ids), lambda: theirs(ids)
    yield (
        f"{name}, hidden states of 512 / transformers",
        0.9,
        lambda: ours(ids, **states),
        lambda: theirs(ids, **states),
    )
    past, those = (  # as they are after one more token: whole, not parts of the first pass
        model(ids[:, -1:], past_key_values=model(ids).past_key_values).past_key_values for model in (ours, theirs)
    )

    def theirs_decode() -> None:
        for _ in range(10):
            theirs(ids[:, :1], past_key_values=those)
            those.crop(-1)

    ours_decode = _decode(ours, past, ids)
    yield f"{name}, 10 × decode 1 after 513 / transformers", 0.9, ours_decode, theirs_decode
    if dtype == torch.bfloat16:
        whole = model_of(shape, dtype)
        to_int8(whole)
        yield "560m, 10 × decode 1 after 513: int8 / bfloat16", 0.6, _decode(whole, past, ids), ours_decode
    compiled = torch.compile(ours)
    yield f"{name}, forward 512: torch.compile / as it is", 1.0, lambda: compiled(ids), lambda: ours(ids)

    def edited(model: Any) -> Callable[[], object]:
        return lambda: model(ids, hooks=Hooks(["h.1.resid_post"], {"h.0.attn.mixed": zero(head=3)}))

    yield f"{name}, the same, a spot read and one edited", 1.0, edited(compiled), edited(ours)


def _decode(model: Any, past: Any, ids: torch.Tensor) -> Callable[[], None]:
    def run() -> None:
        for _ in range(10):
            model(ids[:, :1], past_key_values=past)

    return run


def limits(shape: dict[str, Any]) -> Iterator[str]:
    """What this machine could do at best: the matrix products of a pass alone, and reading the weights once."""
    for dtype in (torch.bfloat16, torch.float32):
        model = model_of(shape, dtype)
        ids = torch.randint(4, shape["vocab_size"], (1, 512))
        layers = [part for part in model.modules() if isinstance(part, torch.nn.Linear)]
        given = {part.in_features: torch.randn(512, part.in_features, dtype=dtype) for part in layers}
        products = seconds(
            lambda layers=layers, given=given: [F.linear(given[x.in_features], x.weight) for x in layers]
        )
        whole = seconds(lambda model=model, ids=ids: model(ids))
        step = seconds(lambda model=model, ids=ids: model(ids[:, :1]))
        number = torch.int16 if dtype == torch.bfloat16 else torch.int32
        read = seconds(lambda layers=layers, number=number: [x.weight.view(number).amax() for x in layers])
        size = sum(x.weight.nbytes for x in layers)
        yield f"560m, {str(dtype)[6:]}, forward 512: {whole:.3f} s, of which matrix products {products / whole:.2f}"
        yield (
            f"560m, {str(dtype)[6:]}, decode 1: {step:.4f} s; reading the weights {read:.4f} s, "
            f"{size / read / 1e9:.1f} GB/s"
        )


def seconds(work: Callable[[], object], rounds: int = 3) -> float:
    """The least of the processor's seconds."""
    found = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def held(what: str) -> float:
    line = next(line for line in (PROCESS / "status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1e3


def hidden_states(shape: dict[str, Any], tokens: int, dtype: torch.dtype = torch.bfloat16) -> Iterator[str]:
    """The first picture of the hidden states in passes of the model, and all of it in times of the product alone."""
    lab = Lab(model_of(shape, dtype), byte_tokenizer(), name="560m shapes")
    text = ("Leo lives in Oslo. He has a cat. " * tokens)[:tokens]
    ids = torch.tensor([lab.tokenizer.encode(text)])
    with torch.inference_mode():
        one_pass = seconds(lambda: lab.model(ids))
        states, head = 2 * shape["n_layer"] + 1, lab.model.lm_head.weight
        columns = torch.randn(2 * states, shape["hidden_size"]).to(dtype)
        product = seconds(lambda: F.linear(columns, head)) * min(tokens, 64) / 2
    trace = lab.trace(text, READ)
    gc.collect()
    give_back()  # else what was freed before would be taken again, and not be seen
    (PROCESS / "clear_refs").write_text("5")
    before = held("VmRSS")

    async def look() -> tuple[float, float, View]:
        start = time.process_time()
        view = lab.hidden_states(trace)
        first = time.process_time() - start
        while view.reading["state"] == "running":
            await asyncio.sleep(0.005)
        return first, time.process_time() - start, view

    first, whole, view = asyncio.run(look())
    assert view.reading["state"] == "done", view.reading
    what = f"560m, {str(dtype)[6:]}, {tokens} tokens, hidden states"
    yield f"{what}: first picture {first:.2f} s = {first / one_pass:.2f} passes of 1.5"
    yield f"{what}: all {whole:.2f} s = {whole / product:.2f} × the product alone of 1.3"
    yield f"{what}: {held('VmHWM') - before:.0f} MB above the weights and the trace of {700 if tokens <= 64 else 1200}"


def int8_far(shape: dict[str, Any], tokens: int) -> Iterator[str]:
    """How far int8 is from the bfloat16 that it was rounded from: KL of the next token, in nats."""
    model = model_of(shape, torch.bfloat16)
    ids = torch.randint(4, shape["vocab_size"], (1, tokens))
    with torch.inference_mode():
        before = model(ids).logits[0]
        to_int8(model)
        pairs = zip(before, model(ids).logits[0], strict=True)
        far = [kl(one.double().log_softmax(-1), two.double().log_softmax(-1)).item() for one, two in pairs]
    yield f"560m, {tokens} random tokens, KL of int8: mean {sum(far) / tokens:.1e}, most {max(far):.1e} nats of 1e-3"


def first_pictures(shape: dict[str, Any], tokens: int) -> Iterator[str]:
    """The first picture of every tab, from the trace to what the page is given, in passes of the model."""
    lab = Lab(model_of(shape, torch.bfloat16), byte_tokenizer(), name="560m shapes")
    text = ("Leo lives in Oslo. He has a cat. " * tokens)[:tokens]
    ids = torch.tensor([lab.tokenizer.encode(text)])
    with torch.inference_mode():
        one_pass = seconds(lambda: lab.model(ids))
    trace = lab.trace(text, lab._all_spots())

    async def look() -> dict[str, float]:
        start = time.process_time()
        view = lab.explore(trace)
        took = {view.tab: time.process_time() - start}
        for name in view.panels:
            start = time.process_time()
            view.tab = name
            took.setdefault(name, time.process_time() - start)
        assert not view.troubles, view.troubles
        return took

    for name, took in asyncio.run(look()).items():
        yield f"560m, bfloat16, {tokens} tokens, tab {name}: {took:.2f} s = {took / one_pass:.2f} passes of 1.5"
    took = seconds(lambda: repr(lab.lens(text)), 1)
    yield f"560m, bfloat16, {tokens} tokens, lab.lens, all of it: {took:.2f} s = {took / one_pass:.1f} passes"


def measure(layers: int, vocab: int, tokens: int = 64, dtype: torch.dtype = torch.bfloat16) -> Iterator[str]:
    shape = {"hidden_size": 1024, "n_head": 16, "n_layer": layers, "vocab_size": vocab}
    with torch.inference_mode():
        yield from limits(shape)
    yield from int8_far(shape, min(tokens, 64))
    yield from first_pictures(shape, tokens)
    yield from hidden_states(shape, tokens, dtype)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.large", description=__doc__)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--vocab", type=int, default=250_880)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--dtype", default="bfloat16", help="of the hidden states: some processors have no bfloat16")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for line in measure(options.layers, options.vocab, options.tokens, getattr(torch, options.dtype)):
        print(line, flush=True)
