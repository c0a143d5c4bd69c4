"""The embedded model: a BLOOM small enough to ship, and everything that made it.

Read in this order: facts (people and what is true of them), language (how ten languages say it), world (stories with
their labels), documents (what the model reads), labelled (what its task heads learn from), train_tokenizer, train,
snapshot, measure, evaluate; from_nothing, for the lesson that trains a smaller one; then positions and
measure_positions, of twins that know positions in other ways; sizes, of three widths. The trained files are in
`weights/`, `twins/` and `three_sizes/`; of the first two a README.md is the card.
"""

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomlab.errors import InputError, did_you_mean, shorten

if TYPE_CHECKING:
    from bloomlab.tiny import world as world
    from bloomlab.weights.pretrained import BloomPreTrainedModel


TASKS = ("language", "tags", "answer")
TWINS = ("alibi", "none", "sinusoidal", "learned", "rotary")
TWINS_FOLDER = Path(__file__).parent / "twins"


def folder() -> Path:
    """The folder of the shipped model: config.json, model.safetensors and the tokenizer's files.

    In it are the folders of the task heads, and the snapshots of its training.
    """
    return Path(__file__).parent / "weights"


def head(task: str) -> "BloomPreTrainedModel":
    """A task head, ready to use: "language", "tags" or "answer"; its labels are in `.config.id2label`.

    Raises:
        InputError: there is no such task.
    """
    from bloomlab.tiny.heads import open_head

    return open_head(folder() / "heads", task)


def snapshots(where: Path | None = None) -> list[int]:
    """The steps of the training whose model ships too: `bloomlab.load("tiny", revision="step1200")` opens one."""
    kept = ((where or folder()) / "snapshots").glob("step*.safetensors")
    return sorted(int(path.stem.removeprefix("step")) for path in kept)


def twin(positions: str) -> Path:
    """The folder of a twin of the embedded model, which knows where a token stands in this way: "alibi", "none",
    "sinusoidal", "learned" or "rotary". They differ in nothing else; twins/README.md is their card.

    >>> twin("rotary").name
    'rotary'

    Raises:
        InputError: there is none of this name.
    """
    if positions not in TWINS:
        hint = did_you_mean(str(positions), TWINS)
        raise InputError(f"the embedded model has twins with {', '.join(TWINS)}, but got {shorten(positions)}{hint}")
    return TWINS_FOLDER / positions


def history(where: Path | None = None) -> dict[str, list[float]]:
    """What was measured every 200 steps of the training, each as a list: step, loss (nats per token), induction (the
    attention of the best head to what came next last time), repeats (tokens said again, right), near and far (two
    people told apart, right after the story and 120 tokens later).

    >>> history()["step"][:3]
    [200, 400, 600]
    """
    rows = json.loads(((where or folder()) / "history.json").read_text(encoding="utf-8"))["history"]
    return {name: [row[name] for row in rows] for name in rows[0]}


def __getattr__(name: str) -> Any:
    if name == "world":  # read when it is first used: it holds ten languages
        return import_module("bloomlab.tiny.world")
    raise AttributeError(f"module {__name__!r} has no attribute {shorten(name)}")
