"""What it costs to say what an effect is worth: controls and parts held, on the embedded model and on 560m shapes.

    python -m tests.benchmarks.worth                 the embedded model, then 24 layers, the whole vocabulary: 2.2 GB
    python -m tests.benchmarks.worth --layers 6 --vocab 16384

A step is what the page waits for before it hears again, and can stop. Times are the processor's alone, which a busy
machine distorts least; a pass is one reading of the text without edits, measured just before.
"""

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

import bloomlab
from bloomlab import BloomConfig, BloomForCausalLM, Lab, zero
from bloomlab.lens.cases import Case
from bloomlab.lens.held import held
from bloomlab.lens.refute import refute
from bloomlab.tracing.donors import copied
from bloomlab.weights.pretrained import without_gradients
from tests.benchmarks.maps import MEMORY, OTHER, TEXT, forget_peak, peak, row, seconds
from tests.claims.stories import recaps
from tests.tiny_random import byte_tokenizer

STEPS = 12  # of a long job, after which it is taken to go on like that


def embedded() -> Iterator[str]:
    lab = bloomlab.load()
    story, *others = recaps(lab, 52)
    cases = [Case(one.text.replace("again", "cat"), one.text, f" {one.city}") for one in others]
    text = story.text.replace("again", "cat")
    edit = {"h.0.attn.mixed": copied(story.text, head=1, query=16)}
    work = partial(lab.refute, text, edit, "probability", f" {story.city}", texts=cases)
    runs = 2 * (1 + len(cases)) + len(work().found.of("random directions")) + 7 + 19 + 2
    yield row(f"embedded model: lab.refute, {runs} runs", min(seconds(work) for _ in range(5)), 1.0, "s")


def shapes(layers: int, vocab: int) -> Iterator[str]:
    torch.manual_seed(0)
    shape: dict[str, Any] = {"hidden_size": 1024, "n_head": 16, "n_layer": layers, "vocab_size": vocab}
    lab = Lab(BloomForCausalLM(BloomConfig(**shape)), byte_tokenizer(), name="560m shapes")
    ids = torch.tensor([lab.tokenizer.encode(TEXT)])
    once = partial(without_gradients, lab.model, input_ids=ids, use_cache=False, logits_to_keep=1)
    yield f"{ids.shape[1]} tokens, {layers} layers, {lab.model.num_parameters():,} parameters"
    edits: Any = {f"h.{layers // 2}.attn.mixed": (copied(OTHER, head=1),)}
    jobs: dict[str, Callable[[], Iterator[Any]]] = {
        "refute": lambda: refute(lab.model, lab.tokenizer, TEXT, edits),
        "hold each": lambda: held(
            lab.model, lab.tokenizer, [Case(TEXT)], {f"h.{layers // 2}.attn.mixed": (zero(head=1),)}
        ),
    }
    for _ in range(3):
        once()
    forget_peak()
    before = peak()
    for name, job in jobs.items():
        unit, steps, taken, step = seconds(once), job(), list[float](), None
        for _ in range(STEPS):
            found: list[Any] = []
            taken.append(seconds(partial(lambda steps, found: found.append(next(steps, None)), steps, found)) / unit)
            if found[0] is None:
                break
            step = found[0]
        done, total = (step.done, step.total) if step else (0, 0)
        stopping = 1e3 * seconds(steps.close)  # type: ignore[attr-defined]  # it is a generator
        more = f"; {done} of {total} runs in {sum(taken):.0f} passes; stopping {stopping:.1f} ms"
        yield row(f"{name}: the longest step", max(taken), 12, "passes", more)
    if before is not None:
        yield row("memory above the weights at most", (peak() or 0.0) - before, MEMORY, "GB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.worth", description=__doc__)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--vocab", type=int, default=250_880)
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for line in (*embedded(), *shapes(options.layers, options.vocab)):
        print(line, flush=True)
