"""A model in two processes, in the published shapes of 560m with random weights: opening, memory, bytes, time a pass.

python -m tests.benchmarks.parts                    (bfloat16; ARGS: a size such as 1b1, and how many engines)

The peak of a part is what its process held at most while it opened, above what it held just before.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bloomlab.config import BloomConfig
from bloomlab.errors import CheckpointError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import Hooks
from bloomlab.spread import part as parts
from bloomlab.spread.engines import Engines
from bloomlab.spread.whole import BloomInParts
from bloomlab.weights.hub import find
from bloomlab.weights.pretrained import shapes_only


def write(folder: Path, size: str) -> BloomConfig:
    """A model of these shapes, with random weights."""
    config = BloomConfig.named(size)
    with shapes_only():
        model = BloomForCausalLM(config).to(torch.bfloat16)
    model.to_empty(device="cpu").tie_weights()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if "norm.weight" in name or "ln_f.weight" in name:
                tensor.fill_(1.0)
            else:
                tensor.normal_(0, 0.02, generator=generator)
    model.save_pretrained(folder)
    return config


def held(_: Any) -> tuple[int, int]:
    """Bytes that this process holds, and held at most since it was last asked."""
    from pathlib import Path  # here, since this function travels by itself

    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    Path("/proc/self/clear_refs").write_text("5")
    return int(lines["VmRSS"].split()[0]) * 1024, int(lines["VmHWM"].split()[0]) * 1024


def timed(work: Callable[[], object], times: int = 5) -> float:
    """The median, in milliseconds."""
    work()
    found = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return sorted(found)[times // 2] * 1e3


def main(size: str = "560m", count: str = "2") -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, n = Path(name), int(count)
        config = write(folder, size)
        ids = torch.randint(5, config.vocab_size, (1, 64), generator=torch.Generator().manual_seed(1))
        start = time.perf_counter()
        one = BloomForCausalLM.from_pretrained(folder, dtype="auto").requires_grad_(False)
        expected = one(ids, logits_to_keep=1).logits
        print(f"one process: opened and first pass {time.perf_counter() - start:.2f} s")

        start = time.perf_counter()
        engines = Engines(n)
        print(f"{n} engines: started {time.perf_counter() - start:.2f} s")
        before = engines._each(held, [(None,)] * n)
        start = time.perf_counter()
        with shapes_only():
            whole = BloomInParts(config)
        whole._reach(engines, find(folder, CheckpointError), None, "auto", None)
        found = whole.eval()(ids, logits_to_keep=1).logits
        print(f"{n} processes: opened and first pass {time.perf_counter() - start:.2f} s")
        print(f"largest difference {(found - expected).abs().max() / expected.abs().max():.1e} of scale")
        weights = engines.ask(parts.measured)["weights"]
        for rank, ((was, _), (_, most)) in enumerate(zip(before, engines._each(held, [(None,)] * n), strict=True)):
            print(f"part {rank}: peak {(most - was) / 1e6:,.0f} MB above the engine, its weights {weights / 1e6:,.0f}")

        for call in ({"input_ids": ids, "logits_to_keep": 1}, {"input_ids": ids[:, :1]}):
            sent = engines.ask(parts.measured)["sent"]
            whole(**call)
            sent = engines.ask(parts.measured)["sent"] - sent
            both = [timed(partial(model, **call)) for model in (whole, one)]
            print(
                f"a pass of {call['input_ids'].shape[1]} tokens: {sent:,} bytes of each part added up or joined, "
                f"{both[0]:,.0f} ms; one process {both[1]:,.0f} ms"
            )
        read = timed(lambda: whole(ids, logits_to_keep=1, hooks=Hooks(["h.3.attn.probs"])))
        print(f"a pass of 64 tokens with one pattern read: {read:,.0f} ms")
        engines.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
