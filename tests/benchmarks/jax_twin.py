"""`python -m tests.benchmarks.jax_twin` measures the JAX model against its torch twin: compile and run times.

Both have the same weights and take turns. `compile` is what the first call of a shape costs beyond a later one.
"""

import argparse
import time
import warnings
from typing import Any

import jax
import numpy as np
import torch

from bloomlab import BloomConfig, BloomForCausalLM, FlaxBloomForCausalLM
from bloomlab.jax.checkpoint import to_params
from tests.benchmarks.__main__ import Work, compare, seconds

SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {"hidden_size": 128, "n_head": 8, "n_layer": 4, "vocab_size": 3072},
    "560m, 6 layers": {"hidden_size": 1024, "n_head": 16, "n_layer": 6, "vocab_size": 16_384},
}


def row(what: str, ours: Work, theirs: Work, rounds: int) -> str:
    first = seconds(ours)
    mine, other = compare(ours, theirs, rounds)
    best = min(mine) / min(other)
    middle = f"{np.median(mine) * 1e3:10.2f} ms{np.median(other) * 1e3:10.2f} ms"
    return f"{what:<44}{first - min(mine):9.2f} s{middle}{np.median(mine) / np.median(other):8.3f}{best:8.3f}"


def rows(name: str, shape: dict[str, Any], rounds: int, new: int) -> None:
    torch.manual_seed(0)
    ours = BloomForCausalLM(BloomConfig(**shape)).eval()
    twin = FlaxBloomForCausalLM(ours.config, _do_init=False)
    twin.params = to_params(ours.state_dict(), twin.params_shape_tree)
    ids = torch.randint(4, shape["vocab_size"], (1, 128))
    settings: dict[str, Any] = {"max_new_tokens": new, "eos_token_id": None}
    short = ids[:, :16]
    assert np.array_equal(
        twin.generate(short, max_new_tokens=4, eos_token_id=None).sequences,
        ours.generate(short, max_new_tokens=4, eos_token_id=None, progress=False),
    )
    with torch.inference_mode():
        print(
            row(
                f"{name}: forward 128",
                lambda: jax.block_until_ready(twin(ids).logits),
                lambda: ours(ids).logits,
                rounds,
            ),
            flush=True,
        )
        print(
            row(
                f"{name}: greedy generate {new} after 16",
                lambda: jax.block_until_ready(twin.generate(short, **settings).sequences),
                lambda: ours.generate(short, progress=False, **settings),
                rounds,
            ),
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.jax_twin", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="how often each side of a row is measured")
    parser.add_argument("--new", type=int, default=64, help="tokens to write")
    parser.add_argument("--only", choices=SHAPES, help="one of the shapes")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    start = time.perf_counter()
    print(f"jax {jax.__version__}, torch {torch.__version__} with {torch.get_num_threads()} threads, float32\n")
    print(f"{'':<44}{'compile':>11}{'jax':>13}{'torch':>13}{'ratio':>8}{'best':>8}")
    for name, shape in SHAPES.items():
        if options.only in (None, name):
            rows(name, shape, options.rounds, options.new)
    print(f"\nmeasured in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
