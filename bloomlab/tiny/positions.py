"""Train twins of the embedded model that differ in nothing but how they know where a token stands.

    python -m bloomlab.tiny.positions                         all five, to the folder my-positions
    python -m bloomlab.tiny.positions rotary --seed 1         one of them, from another start
    python -m bloomlab.tiny.positions rotary --resume         goes on where it stopped, to the same result

ALiBi's paper trains on short texts and tests on long ones; what other positions do there is a control that needs
their own training. So all begin with the same weights and read the same rows in the same order, of 128 tokens each,
half of what the embedded model read; and each knows positions in one of the ways of `bloomlab.model.positions`.
"""

import argparse
from pathlib import Path

from tqdm import tqdm  # type: ignore[import-untyped]  # it ships no types

from bloomlab.errors import BloomlabError
from bloomlab.guards.files import write_json
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.model.positions import KINDS
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tiny import folder
from bloomlab.tiny.interrupt import Stop, stop_on_ctrl_c
from bloomlab.tiny.measure import loss, validation_rows
from bloomlab.tiny.rows import batch
from bloomlab.tiny.train import Run, new_model, note, optimizers, rate, train_step, write_model

STEPS, ROWS, LENGTH = 2400, 16, 128
MEASURE_EVERY = 200


def new_twin(kind: str, seed: int) -> BloomForCausalLM:
    """A twin that has read nothing: the same weights for each kind, and for "learned" a table beside them."""
    if kind == "alibi":
        return new_model(seed)  # BLOOM as it is: nothing in its config or its calls says otherwise
    twin = new_model(seed, positions=kind, **({"n_positions": LENGTH} if kind == "learned" else {}))
    twin.load_state_dict({**twin.state_dict(), **new_model(seed).state_dict()})
    return twin


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
    unseen = validation_rows(tokenizer)[:, :LENGTH]
    with tqdm(initial=first, total=steps, unit="step", desc=kind) as bar:
        for done in range(first + 1, steps + 1):
            ids, labels = batch(done, seed, tokenizer, twin.config.vocab_size, ROWS, LENGTH)
            surprise = train_step(run, ids, labels, rate(done, steps))
            bar.set_postfix(loss=f"{surprise:.3f}", refresh=False)
            bar.update()
            halt = (stop is not None and stop.asked) or done == stop_after
            if done % MEASURE_EVERY == 0 or done == steps:
                run.history.append({"step": done, "loss": round(loss(twin, unseen), 4)})
                note(f"{kind}  step {done}  loss {run.history[-1]['loss']}")
            if halt or done % MEASURE_EVERY == 0 or done == steps:
                run_folder.mkdir(parents=True, exist_ok=True)
                run.keep(kept, done)
            if halt and done < steps:
                note(f"stopped after {done} of {steps} steps; --resume goes on from here")
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
