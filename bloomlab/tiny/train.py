"""Train the embedded model, from nothing to the files that ship: under forty minutes on two cores.

    python -m bloomlab.tiny.train                 to the folder my-tiny; Ctrl-C stops it after the step it is in
    python -m bloomlab.tiny.train --resume        goes on where it stopped, to the same result

What a step reads depends on the seed and the step's number only, so nothing of the random state needs saving.
Two things in the recipe stand out. Some rows are random tokens, said again and again (rows.py says what happened
without them). And the matrices between embedding and logits are trained with Muon, which makes each update
orthogonal: every direction moves equally far.

After the language model come its three task heads, each on a trunk of its own that begins as the language model's.
"""

import argparse
import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm  # type: ignore[import-untyped]  # it ships no types

from bloomlab.config import SIZES, BloomConfig
from bloomlab.errors import BloomlabError, CheckpointError, shorten, shorten_path
from bloomlab.guards.files import replacing, write_json
from bloomlab.guards.progress import without_monitor
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tiny.heads import HEADS, tune
from bloomlab.tiny.interrupt import Stop, stop_on_ctrl_c
from bloomlab.tiny.measure import golden, look_back, loss, questions, recall, validation_rows
from bloomlab.tiny.rows import batch
from bloomlab.tiny.snapshot import write_snapshot
from bloomlab.tiny.train_tokenizer import save, train_tokenizer
from bloomlab.weights.pretrained import BloomPreTrainedModel

STEPS = 4800
MUON_RATE, ADAM_RATE, WARMUP, LAST_RATE = 0.02, 4e-3, 60, 0.02
MEASURE_EVERY = 200
SNAPSHOTS = (1200, 1600, 1800, 2000, 3000)  # around the steps where a head learns to look back, and one after


# ----------------------------------------------------------------------------------------------- model


def new_model(seed: int, **settings: Any) -> BloomForCausalLM:
    """BLOOM in miniature, before it has read anything; settings are the config's."""
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {**SIZES["tiny"], "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3, **settings}
    model = BloomForCausalLM(BloomConfig(**sizes))
    # 2 · n_layer additions go into the residual stream: shrink what is added, so that the sum keeps its size
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("self_attention.dense.weight", "mlp.dense_4h_to_h.weight")):
                weight.div_(math.sqrt(2 * model.config.n_layer))
    return model


def optimizers(model: BloomForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, AdamW for embeddings, layer norms and biases."""
    inside = [weight for weight in model.transformer.h.parameters() if weight.ndim == 2]
    chosen = set(map(id, inside))
    rest = [weight for weight in model.parameters() if id(weight) not in chosen]
    return [
        torch.optim.Muon(inside, lr=MUON_RATE, momentum=0.95, weight_decay=0.0),
        torch.optim.AdamW(rest, lr=ADAM_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate(step: int, steps: int) -> float:
    """The share of the full learning rate at a step: up in 60 steps, then half a cosine down to 2 %.

    >>> [round(rate(step, 3000), 2) for step in (1, 60, 1500, 3000)]
    [0.02, 1.0, 0.51, 0.02]
    """
    cosine = LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * step / steps)) / 2
    return min(step / WARMUP, cosine)


# ------------------------------------------------------------------------------------------------- run


class Run(NamedTuple):
    """A training run: everything a checkpoint holds."""

    settings: dict[str, int]  # steps, seed
    model: BloomForCausalLM
    optimizers: list[torch.optim.Optimizer]
    history: list[dict[str, float]]  # what was measured on the way

    def keep(self, path: Path, done: int) -> None:
        """Write a checkpoint, whole or not at all."""
        state = {
            "settings": self.settings,
            "done": done,
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "history": self.history,
        }
        with replacing(path) as draft:
            torch.save(state, draft)

    def restore(self, path: Path) -> int:
        """Go back to a checkpoint; returns how many steps were done."""
        if not path.is_file():
            raise CheckpointError(f"there is no run to resume at {path}; leave --resume out to start one")
        try:
            state: dict[str, Any] = torch.load(path, weights_only=True)
            settings, done, history = state["settings"], int(state["done"]), list(state["history"])
            model, optimizers = dict(state["model"]), list(state["optimizers"])
        except Exception as error:  # whatever a broken file makes torch say, or one that holds something else
            raise self._unread(path, error) from None
        if settings != self.settings:
            raise CheckpointError(
                f"the run at {path} has the settings {shorten(settings)}, but {self.settings} were asked for; "
                "resume with the same ones"
            )
        measured = [value for at in history for value in (at.values() if isinstance(at, dict) else [None])]
        if not 0 <= done <= self.settings["steps"] or not all(isinstance(value, int | float) for value in measured):
            raise self._unread(path, ValueError(f"{shorten(done)} steps done, with such measurements, are of no run"))
        try:
            self.model.load_state_dict(model)
            for optimizer, saved in zip(self.optimizers, optimizers, strict=True):
                optimizer.load_state_dict(saved)
        except Exception as error:  # tensors of another shape, other optimizers
            raise self._unread(path, error) from None
        self.history.extend(history)
        return done

    @staticmethod
    def _unread(path: Path, error: Exception) -> CheckpointError:
        why = shorten(str(error), 120)
        return CheckpointError(
            f"the run at {shorten_path(path)} cannot be read: {why}; leave --resume out to start one"
        )


def train_step(run: Run, ids: Tensor, labels: Tensor, rate: float) -> float:
    """How surprised is the model, and which way would it be less so? Go there; returns the surprise, in nats."""
    surprise = run.model(ids, labels=labels, use_cache=False).loss
    surprise.backward()
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
    for optimizer, full_rate in zip(run.optimizers, (MUON_RATE, ADAM_RATE), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = full_rate * rate
        optimizer.step()
        optimizer.zero_grad()
    return float(surprise.detach())


def train(
    out: Path,
    run_folder: Path,
    steps: int = STEPS,
    seed: int = 0,
    resume: bool = False,
    stop_after: int | None = None,
    head_steps: int | None = None,
) -> bool:
    """Train, and write the model's files to `out`. True when it is done, False when it was stopped before.

    `run_folder` keeps what `resume` needs. `stop_after` stops after so many steps, as Ctrl-C would. `head_steps` is
    how long to train each task head (as long as it needs, if not said).

    Raises:
        CheckpointError: there is nothing to resume, or it was started with other settings.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    library = train_tokenizer(seed)
    save(library, run_folder)
    tokenizer = BloomTokenizerFast.from_pretrained(run_folder)

    model = new_model(seed).to(device)
    run = Run({"steps": steps, "seed": seed}, model, optimizers(model), [])
    if resume:
        first = run.restore(run_folder / "checkpoint.pt")
    else:
        first = 0
        shutil.rmtree(run_folder / "model", ignore_errors=True)
    with stop_on_ctrl_c() as stop:
        if not train_trunk(run, first, run_folder, tokenizer, stop, stop_after):
            return False
        write_model(model, run_folder / "model")
        for task in HEADS:
            if not train_head(task, run_folder, tokenizer, seed, head_steps, stop, device):
                note(f"stopped before the head {task!r} was done; --resume goes on from here")
                return False

    shutil.copytree(run_folder / "model", out, dirs_exist_ok=True)
    save(library, out)
    write_json(out / "history.json", {**run.settings, "history": run.history})
    write_json(out / "golden.json", {"golden": golden(BloomForCausalLM.from_pretrained(out).eval(), tokenizer)})
    note(f"wrote the model to {out}; bloomlab.load({str(out)!r}) opens it")
    return True


def train_trunk(
    run: Run, first: int, run_folder: Path, tokenizer: BloomTokenizerFast, stop: Stop, stop_after: int | None
) -> bool:
    """Train the language model from step `first` on; False if it was stopped."""
    seed, model = run.settings["seed"], run.model
    unseen = Unseen(validation_rows(tokenizer), questions(tokenizer, 150), questions(tokenizer, 100, gap=120))

    def keep_snapshot(done: int) -> None:
        if done in SNAPSHOTS:
            kept = run_folder / "model" / "snapshots" / f"step{done}.safetensors"
            write_snapshot(dict(model.named_parameters()), kept)

    def read(step: int) -> tuple[Tensor, Tensor]:
        return batch(step, seed, tokenizer, model.config.vocab_size)

    kept = run_folder / "checkpoint.pt"

    def measure() -> dict[str, float]:
        return measured(model, tokenizer, unseen)

    return train_steps(run, first, kept, read, measure, MEASURE_EVERY, stop, stop_after, keep_snapshot)


def train_steps(
    run: Run,
    first: int,
    kept: Path,
    read: Callable[[int], tuple[Tensor, Tensor]],
    measure: Callable[[], dict[str, float]],
    every: int,
    stop: Stop | None = None,
    stop_after: int | None = None,
    after: Callable[[int], None] = lambda done: None,
) -> bool:
    """Train from step `first` on, on what `read` gives for each step; False if it was stopped.

    Every so many steps and at the end `measure` says what is reached; the run goes on from what is in `kept`. `after`
    is called with the number of each step that is done.
    """
    steps, device = run.settings["steps"], run.model.device
    with without_monitor(tqdm)(initial=first, total=steps, unit="step") as bar:
        for done in range(first + 1, steps + 1):
            ids, labels = read(done)
            surprise = train_step(run, ids.to(device), labels.to(device), rate(done, steps))
            bar.set_postfix(loss=f"{surprise:.3f}", refresh=False)
            bar.update()

            if done % every == 0 or done == steps:
                run.history.append({"step": done, **measure()})
                note("  ".join(f"{name} {value:.4g}" for name, value in run.history[-1].items()))
            after(done)
            halt = (stop is not None and stop.asked) or done == stop_after
            if halt or done % every == 0 or done == steps:
                kept.parent.mkdir(parents=True, exist_ok=True)
                run.keep(kept, done)
            if halt and done < steps:
                note(f"stopped after {done} of {steps} steps; --resume goes on from here")
                return False
    return True


def train_head(
    task: str, run_folder: Path, tokenizer: BloomTokenizerFast, seed: int, steps: int | None, stop: Stop, device: str
) -> bool:
    """Train one task head, unless that is done already; False if it was stopped."""
    where = run_folder / "model" / "heads" / task
    if not where.exists():
        note(f"the head for {task}")
        model = tune(task, run_folder / "model", tokenizer, seed, steps, stop, device)
        if stop.asked:
            return False
        write_model(model, where)
    return True


class Unseen(NamedTuple):
    """What the model is measured with on the way: rows of text, and questions near and far from their answers."""

    rows: Tensor
    near: list[tuple[str, str]]
    far: list[tuple[str, str]]


def note(text: str) -> None:
    """A line that stays, above the bar."""
    tqdm.write(text, file=sys.stderr)


def measured(model: BloomForCausalLM, tokenizer: BloomTokenizerFast, unseen: Unseen) -> dict[str, float]:
    """What is followed during training: the loss, the best induction head, and what the model remembers."""
    induction, repeats = look_back(model)
    reached = {"loss": loss(model, unseen.rows), "induction": float(induction.max()), "repeats": repeats}
    for name, cases in {"near": unseen.near, "far": unseen.far}.items():
        reached[name] = sum(recall(model, tokenizer, cases)) / len(cases)
    return {name: round(value, 4) for name, value in reached.items()}


def write_model(model: BloomPreTrainedModel, out: Path) -> None:
    """config.json and model.safetensors in half precision: two bytes a number are plenty to read from."""
    out.mkdir(parents=True, exist_ok=True)
    weights = {name: weight.half().contiguous() for name, weight in model.named_parameters()}  # tied ones once
    with replacing(out / "model.safetensors") as draft:
        save_file(weights, draft, metadata={"format": "pt"})
    model.config.save_pretrained(out)


def main() -> None:
    parser = argparse.ArgumentParser(description="train bloomlab's embedded model; Ctrl-C stops, --resume goes on")
    parser.add_argument("--out", type=Path, default=Path("my-tiny"), help="folder for the model (default: my-tiny)")
    parser.add_argument("--run", type=Path, default=Path(".tiny-run"), help="folder for what --resume needs")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on where the last run stopped")
    arguments = parser.parse_args()
    try:
        train(arguments.out, arguments.run, arguments.steps, arguments.seed, arguments.resume)
    except BloomlabError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
