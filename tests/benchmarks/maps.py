"""Maps of effects on weights of bloom-560m's shape: what the estimates and the steps of the exact map cost.

    python -m tests.benchmarks.maps                  24 layers, the whole vocabulary: 2.2 GB of weights
    python -m tests.benchmarks.maps --layers 6 --vocab 16384

An estimate is counted in passes, a backward one as one more; beside it stands its time in passes: a pass is one
reading of the text without edits, measured just before, by the time of the processor alone, which a busy machine
distorts least.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bloomlab import BloomConfig, BloomForCausalLM, Lab
from bloomlab.lens.patching import effects
from bloomlab.lens.trials import rows_at_once
from bloomlab.weights.pretrained import without_gradients
from tests.tiny_random import byte_tokenizer

TEXT = "Leo lives in Oslo. Leo lives in "  # 32 bytes, 32 tokens
OTHER = f"B{TEXT[1:-1]}x"  # the first token differs, so that all states do, and the last, so that the answer does
MEMORY = 1.5  # GB above the weights
EXACT = 60.0  # seconds of the exact map that are measured


def peak() -> float | None:
    """The most memory that this process has held since `forget_peak`, in GB; None where the system does not say."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1e6


def forget_peak() -> None:
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def seconds(work: Callable[[], object]) -> float:
    """Of the processor."""
    start = time.process_time()
    work()
    return time.process_time() - start


def row(what: str, value: float, bound: float, unit: str, more: str = "") -> str:
    return f"{what:<62}{value:9.2f} {unit}, bound {bound:g}: {'ok' if value <= bound else 'OVER'}{more}"


@contextmanager
def counted() -> Iterator[list[int]]:
    """The rows of each pass inside; twice, where gradients are on."""
    forward, rows = BloomForCausalLM.forward, list[int]()

    def counting(model: Any, *inputs: Any, **settings: Any) -> Any:
        rows.append(len(settings["input_ids"]) * (2 if torch.is_grad_enabled() else 1))
        return forward(model, *inputs, **settings)

    BloomForCausalLM.forward = counting  # type: ignore[method-assign]
    try:
        yield rows
    finally:
        BloomForCausalLM.forward = forward  # type: ignore[method-assign]


def estimate_of(lab: Lab, name: str, what: str) -> None:
    for _ in effects(lab.model, lab.tokenizer, TEXT, OTHER, what=what, estimate=name, exact=0):
        pass


def measure(layers: int, vocab: int) -> Iterator[str]:
    torch.manual_seed(0)
    shape: dict[str, Any] = {"hidden_size": 1024, "n_head": 16, "n_layer": layers, "vocab_size": vocab}
    lab = Lab(BloomForCausalLM(BloomConfig(**shape)), byte_tokenizer(), name="560m shapes")
    ids = torch.tensor([lab.tokenizer.encode(TEXT)])

    def one_pass() -> float:
        return seconds(partial(without_gradients, lab.model, input_ids=ids, use_cache=False, logits_to_keep=1))

    passes = [one_pass() for _ in range(8)][3:]
    size = f"{ids.shape[1]} tokens, {layers} layers, {lab.model.num_parameters():,} parameters"
    yield f"a pass of {size}: {1e3 * statistics.median(passes):.0f} ms of the processor"

    forget_peak()
    before = peak()
    for what in ("stream", "heads"):
        for name, bound in (("plain", 4), ("integrated", 18)):
            taken = []
            for _ in range(6):
                unit = one_pass()
                taken.append(seconds(partial(estimate_of, lab, name, what)) / unit)
            with counted() as rows:
                estimate_of(lab, name, what)
            by_time = f"; by time {statistics.median(taken[1:]):.2f}"
            yield row(f"{what}, {name} estimate of all cells", sum(rows), bound, "passes", by_time)

    steps = effects(lab.model, lab.tokenizer, TEXT, OTHER, estimate="none")
    step, taken, begin = next(steps), [], time.perf_counter()
    while step.done < step.total and time.perf_counter() - begin < EXACT:
        unit, start = one_pass(), time.process_time()
        step = next(steps)
        taken.append((time.process_time() - start) / unit)
    stopping = seconds(steps.close)  # type: ignore[attr-defined]
    batch = rows_at_once(lab.model, ids.shape[1])
    yield row(
        f"stream, exact: a step of {batch} cells, the 95th of a hundred",
        sorted(taken)[int(0.95 * len(taken))],
        batch,
        "passes",
        f"; mean {statistics.mean(taken):.2f}; {step.done} of {step.total} cells; stopping {1e3 * stopping:.1f} ms",
    )
    if before is not None:
        yield row("memory above the weights at most", (peak() or 0.0) - before, MEMORY, "GB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.maps", description=__doc__)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--vocab", type=int, default=250_880)
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for line in measure(options.layers, options.vocab):
        print(line, flush=True)
