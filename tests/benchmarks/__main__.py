"""`python -m tests.benchmarks` measures, and prints a table of ratios. Below 1 bloomlab is the faster.

Both sides of a row share their weights and take turns, so that what disturbs the machine disturbs both. `ratio` is
the median over the rounds; `best` compares the fastest run of each side, which a busy machine distorts least. Where
only `best` is within the bound the row says "noisy": measure again on a quiet machine.
"""

import argparse
import gc
import itertools
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

import torch
import transformers

from bloomlab import BloomConfig, BloomForCausalLM, Lab, scale, zero
from bloomlab.guards.memory import give_back
from bloomlab.weights.pretrained import shapes_only
from tests.benchmarks import edits, explorer, large, maps, memory, texts, views
from tests.benchmarks.plain import without_hooks
from tests.tiny_random import byte_tokenizer

Work = Callable[[], object]
Row = tuple[str, float, Work, Work]  # what, the bound on the ratio, bloomlab's side, the other side


def seconds(work: Work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(ours: Work, theirs: Work, rounds: int, before: Work | None = None) -> tuple[list[float], list[float]]:
    """Times of both, taken in turns; which goes first changes each round. `before` each there may be more to do."""
    times: tuple[list[float], list[float]] = ([], [])
    ours(), theirs()  # the first run of each prepares what the later ones use
    gc.collect()
    gc.disable()
    try:
        for i in range(rounds):
            for side in (0, 1) if i % 2 else (1, 0):
                if before:
                    before()
                times[side].append(seconds((ours, theirs)[side]))
    finally:
        gc.enable()
    return times


def row(what: str, bound: float, ours: Work, theirs: Work, rounds: int, before: Work | None = None) -> str:
    mine, other = compare(ours, theirs, rounds, before)
    ratio = statistics.median(a / b for a, b in zip(mine, other, strict=True))
    best = min(mine) / min(other)
    verdict = "ok" if ratio <= bound else "noisy" if best <= bound else "OVER"
    milliseconds = f"{statistics.median(mine) * 1e3:9.2f} ms{statistics.median(other) * 1e3:9.2f} ms"
    return f"{what:<62}{milliseconds}{ratio:8.3f}{best:8.3f}{bound:8.2f}  {verdict}"


def build(config: dict[str, Any]) -> tuple[Any, Any, Any]:
    """bloomlab's model, the same without hooks, and transformers' model, all on the same weights."""
    torch.manual_seed(0)
    ours = BloomForCausalLM(BloomConfig(**config)).eval()
    weights = ours.state_dict()
    module, removed = without_hooks()
    assert removed >= 17, f"only {removed} calls of hooks were found in the source"
    plain = module.BloomForCausalLM(ours.config).eval()
    plain.load_state_dict(weights, assign=True)
    plain.tie_weights()
    theirs = transformers.BloomForCausalLM(transformers.BloomConfig(**config)).eval()
    theirs.load_state_dict(weights, assign=True, strict=False)  # tied: the table is the head
    theirs.tie_weights()
    return ours, plain, theirs


def check_equal(ours: Any, plain: Any, theirs: Any, ids: torch.Tensor) -> None:
    """Speed means nothing if the answers differ."""
    logits = ours(ids).logits
    assert torch.equal(logits, plain(ids).logits)
    torch.testing.assert_close(logits, theirs(ids).logits, atol=2e-4, rtol=0)


def rows_560m(shape: dict[str, Any]) -> Iterator[Row]:
    ours, plain, theirs = build(shape)
    ids = torch.randint(4, shape["vocab_size"], (1, 256))
    check_equal(ours, plain, theirs, ids)
    yield "560m, forward 256: hooks=None / hooks removed", 1.02, lambda: ours(ids), lambda: plain(ids)

    past, one = ours(ids).past_key_values, ids[:, :1]
    yield (
        "560m, 20 × decode 1 after 256: hooks=None / hooks removed",
        1.02,
        lambda: [ours(one, past_key_values=past) for _ in range(20)],
        lambda: [plain(one, past_key_values=past) for _ in range(20)],
    )
    yield "560m, forward 256 / transformers", 1.00, lambda: ours(ids), lambda: theirs(ids)

    everything = {"output_attentions": True, "output_hidden_states": True}
    yield (
        "560m, forward 256, attentions, hidden states / transformers",
        1.05,
        lambda: ours(ids, **everything),
        lambda: theirs(ids, **everything),
    )

    greedy = {"max_new_tokens": 32, "min_new_tokens": 32, "do_sample": False, "pad_token_id": 3}
    short, mask = ids[:, :32], torch.ones(1, 32, dtype=torch.long)
    assert torch.equal(ours.generate(short, **greedy), theirs.generate(short, attention_mask=mask, **greedy))
    yield (
        "560m, greedy generate 32 after 32 / transformers",
        1.00,
        lambda: ours.generate(short, progress=False, **greedy),
        lambda: theirs.generate(short, attention_mask=mask, **greedy),
    )


def rows_edited(shape: dict[str, Any]) -> Iterator[Row]:
    """A what-if in a view: the run without edits is there, so only the layers from the edit up are computed."""
    lab = Lab(BloomForCausalLM(BloomConfig(**shape)), byte_tokenizer(), name="560m shapes")
    read, text = ["attn.scores", "attn.probs", "embed", "resid_mid", "resid_post"], "Leo lives in Oslo. " * 7
    base = lab.trace(text, read)
    n_layer = shape["n_layer"]
    for layer in (0, n_layer // 2, n_layer - 1):
        edit = {f"h.{layer}.attn.mixed": zero(head=3)}
        short, whole = (partial(lab.trace, text, read, edit, **more) for more in ({"base": base}, {}))
        assert all(torch.equal(short()[name], whole()[name]) for name in base.names)
        yield f"560m, edit in layer {layer} of {n_layer} / the whole pass", 1.1 - layer / n_layer, short, whole

    spots, lowest = lab._all_spots(), {"h.0.attn.mixed": zero(head=3)}
    shown = lab.trace(text, spots)
    yield (
        "560m, an edit by hand in the explorer, layer 0 / a trace of it",
        1.3,
        lambda: lab._read(spots, text, lowest, shown),
        lambda: lab.trace(text, spots),
    )
    for spot in ("h.0.attn.mixed", "h.0.attn.biased", "h.0.resid_post"):
        one, several = ({spot: [scale(1.1)] * n} for n in (1, 5))
        yield (
            f"560m, five edits at {spot} / one",
            1.05,
            partial(lab.trace, text, read, several, base=base),
            partial(lab.trace, text, read, one, base=base),
        )


def touched(model: Any) -> float:
    """A sum that reads every page of the weights: a mapped file is otherwise not read at all."""
    return sum(weights.view(-1)[::1000].float().sum().item() for weights in model.parameters())


def rows_opening(shape: dict[str, Any]) -> Iterator[Row]:
    with TemporaryDirectory() as folder:
        BloomForCausalLM(BloomConfig(**shape)).half().save_pretrained(folder)
        for dtype in (torch.float16, torch.float32):
            yield (
                f"560m, open a file of float16 as {str(dtype)[6:]} / transformers",
                1.00,
                lambda dtype=dtype: touched(BloomForCausalLM.from_pretrained(folder, dtype=dtype)),
                lambda dtype=dtype: touched(transformers.BloomForCausalLM.from_pretrained(folder, dtype=dtype)),
            )


def rows_opening_bins(name: str, shape: dict[str, Any]) -> Iterator[Row]:
    """A .bin is looked into by a process of its own: does that cost little, for a small model too?"""
    with TemporaryDirectory() as older:
        model = BloomForCausalLM(BloomConfig(**shape)).half()
        model.config.save_pretrained(older)
        torch.save(dict(model.named_parameters()), f"{older}/pytorch_model.bin")
        for dtype in (torch.float16, torch.float32):
            yield (
                f"{name}, open a .bin of float16 as {str(dtype)[6:]} / torch's loader, here",
                1.3,
                lambda dtype=dtype: touched(BloomForCausalLM.from_pretrained(older, dtype=dtype)),
                lambda dtype=dtype: touched(opened_here(older, dtype)),
            )


def opened_here(folder: str, dtype: torch.dtype) -> Any:
    """The model of a .bin file as torch's restricted loader gives it, which trusts the file with this process."""
    with shapes_only():
        model = BloomForCausalLM(BloomConfig.from_pretrained(folder))
    state = torch.load(f"{folder}/pytorch_model.bin", map_location="cpu", weights_only=True, mmap=True)
    model.load_state_dict({name: tensor.to(dtype) for name, tensor in state.items()}, strict=False, assign=True)
    model.tie_weights()
    return model


def rows_tiny(shape: dict[str, Any]) -> Iterator[Row]:
    ours, plain, theirs = build(shape)
    ids = torch.randint(4, shape["vocab_size"], (1, 16))
    check_equal(ours, plain, theirs, ids)
    yield (
        "tiny, 20 × forward 16: hooks=None / hooks removed",
        1.05,  # a fortieth of a millisecond counts here, in a pass of one
        lambda: [ours(ids) for _ in range(20)],
        lambda: [plain(ids) for _ in range(20)],
    )
    yield (
        "tiny, 20 × forward 16 / transformers",
        1.00,
        lambda: [ours(ids) for _ in range(20)],
        lambda: [theirs(ids) for _ in range(20)],
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="how often each side of a row is measured")
    parser.add_argument("--layers", type=int, default=6, help="of 24: how many layers of bloom-560m's shape")
    parser.add_argument("--vocab", type=int, default=16_384, help="of 250880: how many entries")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    rounds = options.rounds

    shape = {"hidden_size": 1024, "n_head": 16, "n_layer": options.layers, "vocab_size": options.vocab}
    tiny = {"hidden_size": 128, "n_head": 8, "n_layer": 4, "vocab_size": 3072}
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, transformers {transformers.__version__}")
    print(f"560m: hidden 1024, 16 heads, {options.layers} layers, vocabulary {options.vocab}, float32")
    print(f"tiny: the embedded model's shape; {rounds} rounds a row\n")
    print(f"{'':<62}{'bloomlab':>12}{'other':>12}{'ratio':>8}{'best':>8}{'bound':>8}")

    opening = rows_opening(shape), rows_opening_bins("560m", shape), rows_opening_bins("tiny", tiny)
    for what, bound, mine, other in itertools.chain(*opening):
        # what one model leaves is given back, or the next would be made in it; a program that opens one has new memory
        print(row(what, bound, mine, other, rounds, give_back), flush=True)
    with torch.inference_mode():
        for what, bound, mine, other in rows_560m(shape):
            print(row(what, bound, mine, other, rounds), flush=True)
        for what, bound, mine, other in large.rows_model(shape):
            print(row(what, bound, mine, other, rounds), flush=True)
        for what, bound, mine, other in rows_edited(shape):
            print(row(what, bound, mine, other, rounds), flush=True)
        for what, bound, mine, other in rows_tiny(tiny):
            print(row(what, bound, mine, other, rounds), flush=True)
    for what, bound, mine, other in texts.rows_tokenizer():
        print(row(what, bound, mine, other, min(rounds, 5)), flush=True)
    print("\nthe views")
    for line in views.first_pictures():
        print(line, flush=True)
    print("\na large model: what the machine could do, and its hidden states")
    for line in large.measure(options.layers, options.vocab):
        print(line, flush=True)
    print("\nchanges by hand")
    for line in edits.measure():
        print(line, flush=True)
    print("\nmaps of effects")
    for line in maps.measure(options.layers, options.vocab):
        print(line, flush=True)
    print("\nmemory")
    for line in memory.rows():
        print(line, flush=True)
    print("\nthe explorer")
    for line in explorer.measure():
        print(line, flush=True)


if __name__ == "__main__":
    main()
