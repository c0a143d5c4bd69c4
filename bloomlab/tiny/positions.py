"""Train twins of the embedded model that differ in nothing but how they know where a token stands.

    python -m bloomlab.tiny.positions                         all five, to the folder my-positions
    python -m bloomlab.tiny.positions rotary --seed 1         one of them, from another start
    python -m bloomlab.tiny.positions rotary --resume         goes on where it stopped, to the same result

ALiBi's paper trains on short texts and tests on long ones; what other positions do there is a control that needs
their own training. So all begin with the same weights and read the same rows in the same order, of 64 tokens each, a
quarter of what the embedded model read; and each knows positions in one of the ways of `bloomlab.model.positions`.

What they read is simpler, so that few minutes teach it: one language, no document longer than a story with its
questions, and 4 to 31 random tokens, said again and again, from a sixth of the vocabulary. In 1,500 steps with random
tokens from all of it, 1 to 24 of them, the best head of the ALiBi twin looked back with 4 % of its attention (measured
once).
"""

import argparse
import time
from pathlib import Path
from typing import Any

from torch import Tensor

from bloomlab.errors import BloomlabError
from bloomlab.guards.files import write_json
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.model.positions import KINDS
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tiny import folder
from bloomlab.tiny.documents import SHORT
from bloomlab.tiny.interrupt import Stop, stop_on_ctrl_c
from bloomlab.tiny.language import LANGUAGES
from bloomlab.tiny.measure import look_back, loss, questions, recall, validation_rows
from bloomlab.tiny.rows import batch
from bloomlab.tiny.train import Run, new_model, note, optimizers, train_steps, write_model

STEPS, ROWS, LENGTH = 2400, 16, 64
MEASURE_EVERY = 100
REPEATS, RANDOM = 3 / 8, 512  # this share of the rows repeats a segment of random tokens, of the first so many
SEGMENT = range(16, 128)  # tokens of such a segment in 256: 4 to 31 in a row
READS: dict[str, Any] = {  # one language, so that little reading teaches it; nothing long
    "languages": {"en": LANGUAGES["en"]},
    "kinds": {kind: SHORT[kind] for kind in ("recap", "questions", "question first")},
}


def new_twin(kind: str, seed: int) -> BloomForCausalLM:
    """A twin that has read nothing: the same weights for each kind, and for "learned" a table beside them."""
    if kind == "alibi":
        return new_model(seed)  # BLOOM as it is: nothing in its config or its calls says otherwise
    twin = new_model(seed, positions=kind, **({"n_positions": LENGTH} if kind == "learned" else {}))
    twin.load_state_dict({**twin.state_dict(), **new_model(seed).state_dict()})
    return twin


def fits(tokenizer: BloomTokenizerFast, case: tuple[str, str]) -> bool:
    """Is a question with its story and its answer no longer than what is trained?"""
    return len(tokenizer.encode("".join(case))) <= LENGTH


def train(
    kind: str,
    out: Path,
    run_folder: Path,
    steps: int = STEPS,
    seed: int = 0,
    resume: bool = False,
    stop: Stop | None = None,
    stop_after: int | None = None,
) -> bool:
    """Train one twin, and write it to `out`. True when it is done, False when it was stopped before.

    Raises:
        CheckpointError: there is nothing to resume, or it was started with other settings.
    """
    tokenizer = BloomTokenizerFast.from_pretrained(folder())
    twin = new_twin(kind, seed)
    run = Run({"steps": steps, "seed": seed, "rows": ROWS, "length": LENGTH}, twin, optimizers(twin), [])
    kept = run_folder / f"{kind}-{seed}.pt"
    first = run.restore(kept) if resume else 0
    began = time.perf_counter() - (run.history[-1]["seconds"] if run.history else 0)
    unseen = validation_rows(tokenizer, LENGTH, **READS)
    near = [case for case in questions(tokenizer, 300, languages=READS["languages"]) if fits(tokenizer, case)]

    def read(step: int) -> tuple[Tensor, Tensor]:
        return batch(step, seed, tokenizer, RANDOM, ROWS, LENGTH, REPEATS, SEGMENT, **READS)

    def measure() -> dict[str, float]:
        induction, repeats = look_back(twin, LENGTH // 2, RANDOM)
        right = recall(twin, tokenizer, near)
        reached = {"loss": loss(twin, unseen), "induction": float(induction.max()), "repeats": repeats}
        reached |= {"near": sum(right) / len(right), "seconds": time.perf_counter() - began}
        return {name: round(value, 4) for name, value in reached.items()}

    note(f"positions: {kind}")
    if not train_steps(run, first, kept, read, measure, MEASURE_EVERY, stop, stop_after):
        return False
    write_model(twin, out)
    write_json(out / "history.json", {**run.settings, "history": run.history})
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description="train twins with other positions; Ctrl-C stops, --resume goes on")
    parser.add_argument("kinds", nargs="*", default=list(KINDS), help=f"of {', '.join(KINDS)} (default: all)")
    parser.add_argument("--out", type=Path, default=Path("my-positions"), help="folder for them")
    parser.add_argument("--run", type=Path, default=Path(".positions-run"), help="folder for what --resume needs")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on where the last run stopped")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.kinds) - set(KINDS))
    if unknown:
        parser.error(f"positions are {', '.join(KINDS)}, but got {', '.join(unknown)}")
    try:
        with stop_on_ctrl_c() as stop:
            for kind in arguments.kinds:
                where = arguments.out / (kind if arguments.seed == 0 else f"{kind}-seed{arguments.seed}")
                if where.exists():
                    note(f"{where} is there already; delete it to train it again")
                    continue
                resume = arguments.resume and (arguments.run / f"{kind}-{arguments.seed}.pt").exists()
                if not train(kind, where, arguments.run, arguments.steps, arguments.seed, resume, stop):
                    return
    except BloomlabError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
