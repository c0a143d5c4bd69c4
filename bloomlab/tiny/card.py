"""The model card's figures: README.md shows what `evaluate --write` measured and kept, and nothing that was typed.

In the card a part between two comments is written here:

    <!-- figures: heads -->   …   <!-- end -->
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bloomlab.errors import CheckpointError
from bloomlab.guards.files import read_json
from bloomlab.tiny import folder
from bloomlab.tiny.floors import FIGURES, Floor, floors

CARD = Path(__file__).with_name("README.md")
MAX_BYTES = 1 << 20
_PART = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def put_figures(card: Path = CARD, where: Path | None = None) -> None:
    """Write the figures that are kept beside the weights into the card."""
    card.write_text(filled(card.read_text(encoding="utf-8"), where or folder()), encoding="utf-8")


def filled(card: str, where: Path) -> str:
    """The card's text with the figures kept in a folder.

    Raises:
        CheckpointError: the folder keeps none; `python -m bloomlab.tiny.evaluate --write` measures them.
    """
    figures = read_json(where / FIGURES, MAX_BYTES, CheckpointError)
    history = read_json(where / "history.json", MAX_BYTES, CheckpointError)["history"]
    parts: dict[str, Callable[[], str]] = {
        "floors": lambda: limits(floors(figures)),
        "languages": lambda: languages(figures),
        "tasks": lambda: tasks(figures),
        "recall": lambda: recalls(figures),
        "heads": lambda: attention_heads(figures),
        "lengths": lambda: lengths(figures),
        "examples": lambda: markdown(["asked", "it says"], figures["examples"]),
        "history": lambda: markdown(list(history[0]), [[f"{x:g}" for x in row.values()] for row in history]),
        "files": lambda: files(where),
    }
    return fill(card, parts)


def fill(card: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """A card's text with its parts written anew, each by the function of its name."""
    return _PART.sub(lambda part: f"{part[1]}\n{parts[part[2]]()}\n\n{part[3]}", card)


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table.

    >>> print(markdown(["a", "b"], [["1", "2"]]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    head = list(head)
    lines = [head, ["---"] * len(head), *map(list, rows)]
    return "\n".join("|".join(["", *(cell if cell == "---" else f" {cell} " for cell in line), ""]) for line in lines)


def tables(figures: dict[str, Any]) -> str:
    """All figures but the floors, as tables."""
    parts = (languages, tasks, recalls, attention_heads, lengths)
    return "\n\n".join(part(figures) for part in parts)


def limits(held: Iterable[Floor]) -> str:
    """The floors, and what was reached."""
    rows = [[f.name, f"{f.sign} {f.limit:.4g}", f"{f.reached:.3f}", "" if f.holds else "missed"] for f in held]
    return markdown(["", "floor", "reached", ""], rows)


def languages(figures: dict[str, Any]) -> str:
    """For each language: the loss on its text, grammatical sentences, and whether the head names it."""
    held, unseen = (figures["heads"]["language"][kind] for kind in ("held", "unseen"))
    rows = [
        [code, f"{loss:.3f}", f"{figures['grammatical'][code]:.3f}", f"{held[code]:.3f}", f"{unseen[code]:.3f}"]
        for code, loss in figures["loss_of"].items()
    ]
    rows.append(["other", "", "", f"{held['other']:.3f}", f"{unseen['other']:.3f}"])
    whole = (figures["loss"], figures["grammatical"]["all"], held["all"], unseen["all"])
    rows.append(["all", *(f"{value:.3f}" for value in whole)])
    return markdown(["", "loss", "grammatical, greedy", "language named", "the same, unseen names"], rows)


def tasks(figures: dict[str, Any]) -> str:
    """The tagging head, tag by tag, and the answering head."""
    tags, answer = figures["heads"]["tags"], figures["heads"]["answer"]
    names = [name for name in tags["held"] if name != "all"]
    rows = [[f"tag {name}, F1", f"{tags['held'][name]:.3f}", f"{tags['unseen'][name]:.3f}"] for name in names]
    rows.append(["all tags, F1", f"{tags['held']['all']:.3f}", f"{tags['unseen']['all']:.3f}"])
    rows.append(["answer found exactly", f"{answer['held']['all']:.3f}", f"{answer['unseen']['all']:.3f}"])
    return markdown(["", "held-out pairs", "names in unseen spellings"], rows)


def recalls(figures: dict[str, Any]) -> str:
    """How often the language model answers a question about a story in its own words."""
    names = {
        "1 people": "one person",
        "0": "two people",
        "3 people": "three people",
        "4 people": "four people",
        "unseen": "two people, names in unseen spellings",
        "40": "two people, 40 tokens or more about others before the question",
        "120": "the same, 120 tokens",
        "300": "the same, 300 tokens",
    }
    rows = [[says, f"{figures['recall'][name]:.2f}"] for name, says in names.items()]
    rows += [["(sums up to 12 + 12, asked alone)", f"{figures['sums']} of 169"]]
    rows += [[f"({n} random tokens said again: right)", f"{x:.2f}"] for n, x in figures["repeats_far"].items()]
    return markdown(["a story about", "answered right"], rows)


def attention_heads(figures: dict[str, Any]) -> str:
    """For each head: its slope and bound, and what it does in each layer."""
    layers = range(len(figures["induction"]))
    head = ["head", "slope", "bound"]
    head += [f"{what} {layer}" for what in ("before", "induction", "distance") for layer in layers]
    rows = []
    for i, (slope, bound) in enumerate(zip(figures["slopes"], figures["bounds"], strict=True)):
        row = [str(i), f"1/{round(1 / slope)}", f"{bound:.3f}"]
        row += [f"{figures[what][layer][i]:.2f}" for what in ("previous", "induction") for layer in layers]
        rows.append([*row, *(f"{figures['distance'][layer][i]:.1f}" for layer in layers)])
    return markdown(head, rows)


def lengths(figures: dict[str, Any]) -> str:
    """The loss far into a row, and of one text read in shorter and longer rows."""
    parts = figures["by_position"]
    width = 2048 // len(parts)
    rows = [[f"positions {i * width} to {(i + 1) * width - 1}", f"{x:.3f}"] for i, x in enumerate(parts)]
    rows += [[f"one text in rows of {length}", f"{x:.3f}"] for length, x in figures["by_length"].items()]
    return markdown(["", "loss"], rows)


def files(where: Path, but: Sequence[str] = ()) -> str:
    """Every file that ships, but those of these names: its size and its hash."""
    paths = sorted(path for path in where.rglob("*") if path.is_file() and path.name not in but)
    rows = []
    for path in paths:
        content = path.read_bytes()
        name = path.relative_to(where).as_posix()
        rows.append([f"`{name}`", f"{len(content):,}", f"`{hashlib.sha256(content).hexdigest()}`"])
    return markdown(["file", "bytes", "SHA-256"], rows)
