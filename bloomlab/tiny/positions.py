"""Train twins of the embedded model that differ in nothing but how they know where a token stands.

    python -m bloomlab.tiny.positions                         all five, to the folder my-positions
    python -m bloomlab.tiny.positions rotary --seed 1         one of them, from another start
    python -m bloomlab.tiny.positions rotary --resume         goes on where it stopped, to the same result
    python -m bloomlab.tiny.positions --short                 all five from three starts, less of it: what is chance?

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
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

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

LENGTH = 64
RANDOM = 512  # random tokens are of the first so many
SEGMENT = range(16, 128)  # tokens of such a segment in 256: 4 to 31 in a row
READS: dict[str, Any] = {  # one language, so that little reading teaches it; nothing long
    "languages": {"en": LANGUAGES["en"]},
    "kinds": {kind: SHORT[kind] for kind in ("recap", "questions", "question first")},
}


class Setting(NamedTuple):
    """How much a twin reads: so many steps of so many rows; a share of the rows repeats random tokens, of the first so
    many of the vocabulary.
    """

    steps: int
    rows: int
    repeats: float
    random: int
    measure_every: int
    seeds: tuple[int, ...]


SHIPPED = Setting(2400, 16, 3 / 8, RANDOM, 100, (0,))
BRIEF = Setting(800, 8, 1 / 2, 128, 200, (0, 1, 2))
"""A sixth of the reading, from three starts: to show the spread. Fewer tokens to repeat, so that some learn it yet."""


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
    seed: int = 0,
    resume: bool = False,
    stop: Stop | None = None,
    stop_after: int | None = None,
    setting: Setting = SHIPPED,
) -> bool:
    """Train one twin, and write it to `out`. True when it is done, False when it was stopped before.

    Raises:
        CheckpointError: there is nothing to resume, or it was started with other settings.
    """
    tokenizer = BloomTokenizerFast.from_pretrained(folder())
    twin = new_twin(kind, seed)
    run = Run(
        {"steps": setting.steps, "seed": seed, "rows": setting.rows, "length": LENGTH}, twin, optimizers(twin), []
    )
    kept = run_folder / f"{kind}-{seed}.pt"
    first = run.restore(kept) if resume else 0
    began = time.perf_counter() - (run.history[-1].get("seconds", 0) if run.history else 0)
    unseen = validation_rows(tokenizer, LENGTH, **READS)
    near = [case for case in questions(tokenizer, 300, languages=READS["languages"]) if fits(tokenizer, case)]

    def read(step: int) -> tuple[Tensor, Tensor]:
        return batch(step, seed, tokenizer, setting.random, setting.rows, LENGTH, setting.repeats, SEGMENT, **READS)

    def measure() -> dict[str, float]:
        induction, repeats = look_back(twin, LENGTH // 2, setting.random)
        right = recall(twin, tokenizer, near)
        reached = {"loss": loss(twin, unseen), "induction": float(induction.max()), "repeats": repeats}
        reached |= {"near": sum(right) / len(right), "seconds": time.perf_counter() - began}
        return {name: round(value, 4) for name, value in reached.items()}

    note(f"positions: {kind}")
    if not train_steps(run, first, kept, read, measure, setting.measure_every, stop, stop_after):
        return False
    write_model(twin, out)
    write_json(out / "history.json", {**run.settings, "history": run.history})
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description="train twins with other positions; Ctrl-C stops, --resume goes on")
    parser.add_argument("kinds", nargs="*", default=list(KINDS), help=f"of {', '.join(KINDS)} (default: all)")
    parser.add_argument("--out", type=Path, help="folder for them (default: my-positions; of --short, my-short)")
    parser.add_argument("--run", type=Path, help="folder for what --resume needs (default: .positions-run)")
    parser.add_argument("--steps", type=int, help=f"default: {SHIPPED.steps}; of --short, {BRIEF.steps}")
    parser.add_argument("--seed", type=int, action="append", help="default: 0; of --short, 0, 1 and 2; may be repeated")
    parser.add_argument("--short", action="store_true", help=f"{BRIEF.steps} steps of {BRIEF.rows} rows, three starts")
    parser.add_argument("--resume", action="store_true", help="go on where the last run stopped")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.kinds) - set(KINDS))
    if unknown:
        parser.error(f"positions are {', '.join(KINDS)}, but got {', '.join(unknown)}")
    short: bool = arguments.short
    out: Path = arguments.out or Path("my-short" if short else "my-positions")
    run_folder: Path = arguments.run or Path(".short-run" if short else ".positions-run")
    setting = BRIEF if short else SHIPPED
    setting = setting._replace(steps=arguments.steps or setting.steps, seeds=tuple(arguments.seed or setting.seeds))
    try:
        with stop_on_ctrl_c() as stop:
            for seed, kind in product(setting.seeds, arguments.kinds):
                where = out / (kind if seed == 0 else f"{kind}-seed{seed}")
                if where.exists():
                    note(f"{where} is there already; delete it to train it again")
                    continue
                resume = arguments.resume and (run_folder / f"{kind}-{seed}.pt").exists()
                if not train(kind, where, run_folder, seed, resume, stop, setting=setting):
                    return
    except BloomlabError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
