"""Three BLOOMs that differ in their width alone, and what each has learned: from many texts, and from twenty by heart.

    python -m bloomlab.tiny.sizes                       trains all, to my-sizes, and holds them to their floors
    python -m bloomlab.tiny.sizes --seed 7              the same from another start
    figures = kept()                                    what ships: a row for each training
    held(figures, "many")                               {26352: [3.7, 3.7], …}: the loss on held-out text, by size

They read what the embedded model reads, documents of ten languages, with its tokenizer; the same documents for all, and
pieces in the same order. "many" is 12,000 documents, of which hardly a piece is read twice; "few" is the first twenty
of them, again and again. Rates fall with the width, as wide models want smaller steps (0.02 at 8; by its square root).
"""

import argparse
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bloomlab.config import BloomConfig
from bloomlab.errors import BloomlabError, CheckpointError
from bloomlab.guards.files import read_json, write_json
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tiny import folder
from bloomlab.tiny.card import MAX_BYTES
from bloomlab.tiny.documents import SHORT, documents
from bloomlab.tiny.facts import Pool
from bloomlab.tiny.floors import FIGURES, Floor
from bloomlab.tiny.from_nothing import LENGTH, ids_of, pieces
from bloomlab.tiny.measure import loss, validation_rows
from bloomlab.tiny.train import note, write_model

FOLDER = Path(__file__).parent / "three_sizes"
BY_HEART = "by_heart"  # the folder of the model of the middle width that has read few texts
WIDTHS = (8, 24, 64)
SEEDS = (0, 1)
TEXTS, FEW = 12_000, 20
STEPS = {"many": 400, "few": 200}
MEASURED = {"many": (100, 200, 300, 400), "few": (25, 50, 100, 150, 200)}
ROWS = 96  # of held-out text
WARM = 50  # steps in which the rate rises
ROOM = 2  # a floor is the worst of the starts, and so many times as far beyond it as the starts lie apart


def texts(count: int) -> list[str]:
    """The first documents of those that the three read; nobody and nothing in them has an invented name."""
    read = documents("sizes", Pool(known=True), kinds=SHORT)
    return [document.text for document in itertools.islice(read, count)]


def new_model(width: int, seed: int, vocab_size: int = 3072) -> BloomForCausalLM:
    """A model of two layers that has read nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BloomForCausalLM(BloomConfig(vocab_size=vocab_size, hidden_size=width, n_layer=2, n_head=4))


def rate(width: int, step: int, steps: int) -> float:
    """The learning rate of a step: it rises for a while, then falls to a twentieth along a cosine.

    >>> round(rate(8, 0, 400), 5), round(rate(8, 50, 400), 4), round(rate(32, 50, 400), 4)
    (0.0004, 0.0193, 0.0096)
    """
    falls = 0.05 + 0.95 * (1 + math.cos(math.pi * step / steps)) / 2
    return 0.02 * math.sqrt(8 / width) * min(1, (step + 1) / WARM) * falls


def train(model: BloomForCausalLM, stream: Tensor, held_out: Tensor, seed: int, read: str) -> dict[str, Any]:
    """Train a model on a stream of ids; the losses on what it reads and on held-out text, at the steps of MEASURED.

    Of what it reads, as many tokens are measured as of the held-out text, or all there are.
    """
    optimizer = torch.optim.AdamW(model.parameters())
    learned = stream[: held_out.numel()].unfold(0, LENGTH, LENGTH)
    width = model.config.hidden_size
    found: dict[str, list[Any]] = {"step": [], "learned": [], "held": []}
    for step in range(STEPS[read]):
        optimizer.param_groups[0]["lr"] = rate(width, step, STEPS[read])
        ids = pieces(stream, seed * STEPS["many"] + step)
        surprise = model(ids, labels=ids).loss
        optimizer.zero_grad()
        surprise.backward()
        optimizer.step()
        if step + 1 in MEASURED[read]:
            for name, value in (("step", step + 1), ("learned", loss(model, learned)), ("held", loss(model, held_out))):
                found[name].append(round(value, 4))
    numbers = model.config.parameter_count()
    return {"read": read, "width": width, "seed": seed, "parameters": numbers, **found}


def kept(where: Path = FOLDER) -> list[dict[str, Any]]:
    """What was measured, a row for each training: read ("many" or "few"), width, seed, parameters, and by step the
    loss on what it reads ("learned") and on held-out text ("held"), in nats.

    Raises:
        CheckpointError: the file is not there, or damaged.
    """
    runs: list[dict[str, Any]] = read_json(where / FIGURES, MAX_BYTES, CheckpointError)["runs"]
    return runs


def held(runs: Sequence[Mapping[str, Any]], read: str) -> dict[int, list[float]]:
    """The loss on held-out text at the end of each training, a list of starts for each number of parameters.

    >>> held([{"read": "few", "parameters": 9, "held": [3.0, 2.0]}, {"read": "many", "parameters": 9}], "few")
    {9: [2.0]}
    """
    found: dict[int, list[float]] = {}
    for run in runs:
        if run["read"] == read:
            found.setdefault(run["parameters"], []).append(run["held"][-1])
    return found


def by_heart() -> BloomForCausalLM:
    """The model of the middle width that has read twenty texts again and again."""
    return BloomForCausalLM.from_pretrained(FOLDER / BY_HEART).eval()


def floors(runs: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]]) -> list[Floor]:
    """What trainings must reach: what the starts did that are kept (`before`), with room for another one; and who reads
    few texts must know them, and nothing else.
    """
    found, limits = [], held(before, "many")
    for size, losses in held(runs, "many").items():
        limit = max(limits[size]) + ROOM * (max(limits[size]) - min(limits[size]))
        found.append(Floor(f"{size:,} numbers, many texts: loss on held-out text", max(losses), "≤", round(limit, 3)))
    for run in runs:
        if run["read"] == "few":
            gap, name = run["held"][-1] - run["learned"][-1], f"{run['parameters']:,} numbers"
            found.append(Floor(f"{name}, few texts: loss on others, above that on them", gap, "≥", 3.0))
    return found


def all_trainings(out: Path, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Train every width from every start on many texts, and from the first start on few; keep the figures in `out`."""
    tokenizer = BloomTokenizerFast.from_pretrained(folder())
    told = texts(TEXTS)
    streams = {"few": ids_of(told[:FEW], tokenizer), "many": ids_of(told, tokenizer)}
    held_out = validation_rows(tokenizer, LENGTH, ROWS)
    plan = [("few", seeds[0], width) for width in WIDTHS]
    plan += [("many", seed, width) for seed in seeds for width in WIDTHS]
    runs: list[dict[str, Any]] = []
    for read, seed, width in plan:
        model = new_model(width, seed, tokenizer.vocab_size)
        runs.append(train(model, streams[read], held_out, seed, read))
        note(f"{read}, width {width}, start {seed}: {runs[-1]['held'][-1]:.3f} on held-out text")
        if (read, width) == ("few", WIDTHS[1]):
            write_model(model, out / BY_HEART)
    write_json(out / FIGURES, {"runs": runs})
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description="train three sizes of BLOOM on many texts and on few")
    parser.add_argument("--out", type=Path, default=Path("my-sizes"), help="folder for figures (default: my-sizes)")
    parser.add_argument("--seed", type=int, action="append", help="default: 0 and 1; may be repeated")
    arguments = parser.parse_args()
    try:
        runs = all_trainings(arguments.out, arguments.seed or SEEDS)
        reached = floors(runs, kept())
        print(*reached, sep="\n")
        if not all(reached):
            parser.exit(1, "a floor is missed\n")
    except BloomlabError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
