"""What the states of a window of tokens would say, a column at a time: the chosen token's first, then those around it.

A small model's are all there at once. With a quarter of a million words, one column of bloom-560m's 49 states takes as
long as a pass of the whole model, and a window of 64 as long as 64: so the page draws what it has, and the rest comes
in steps between which it is heard.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens.inputs import positions_at_once
from bloomlab.lens.logit_lens import read_as_words

TOP = 5  # next tokens named in a cell
AT_ONCE = 1 << 33  # multiplications that a window may take to be read before it is shown: about a tenth of a second
UNREAD = -1  # the id in a cell that is not read yet; its other numbers are NaN
KINDS = {"ids": torch.int32, "rank": torch.int32, "ids_before": torch.int32}  # the others are float32
SAID = ("ids", "probs", "entropy", "rank", "surprise")
NOT_READING: dict[str, Any] = {"state": "idle", "message": "", "done": 0, "total": 0, "seconds": 0.0}
"""How far the reading is: state (or running, done, stopped, error), columns, and how long the rest takes."""

Said = dict[str, Tensor]  # by name: (state, column) or, of ids and probs, (state, column, TOP)
Differ = Callable[[int, int], tuple[Tensor, Tensor]]
"""Of a difference: how far the columns from one to another have moved, and what they would have said before."""


def unread_cells(states: int, columns: int) -> Said:
    """A window of which nothing is read."""
    said = {name: torch.full((states, columns), torch.nan) for name in ("entropy", "surprise", "moved")}
    said |= {name: torch.full((states, columns), UNREAD, dtype=torch.int32) for name in ("rank", "ids_before")}
    said["ids"] = torch.full((states, columns, TOP), UNREAD, dtype=torch.int32)
    return said | {"probs": torch.full((states, columns, TOP), torch.nan)}


def kept_cells(shown: Mapping[str, Any]) -> Said:
    """The window as a view shows it."""
    states, columns = len(shown["picture"]["states"]), shown["window"]["count"]
    said = unread_cells(states, columns)
    for name, cells in said.items():
        if shown[name]:
            numbers = np.frombuffer(shown[name], np.int32 if name in KINDS else np.float32)
            said[name] = torch.from_numpy(numbers.copy()).reshape(cells.shape)
    return said


def unread_columns(said: Said) -> list[int]:
    """Those of a window that nothing is known of yet."""
    return [column for column, first in enumerate(said["ids"][0, :, 0].tolist()) if first == UNREAD]


def small(model: BloomForCausalLM, states: Tensor) -> bool:
    """Whether states (state, column, hidden) are read at once."""
    return int(states.numel() * model.config.vocab_size) <= AT_ONCE


def read_columns(said: Said, columns: Sequence[int], model: BloomForCausalLM, states: Tensor, ids: Tensor) -> Said:
    """The window with these columns read: states (state, column, hidden), and the token that follows each (column)."""
    index = list(columns)
    if len(index) == states.shape[1]:
        read = [read_as_words(model, state, ids, TOP) for state in states]
        return said | {
            name: torch.stack(cells).to(said[name].dtype)
            for name, cells in zip(SAID, zip(*read, strict=True), strict=True)
        }
    cells = states[:, index]
    found = read_as_words(model, cells.flatten(0, 1), ids[index].repeat(len(states)), TOP)
    said = {name: tensor.clone() for name, tensor in said.items()}
    for name, values in zip(SAID, found, strict=True):
        said[name][:, index] = values.unflatten(0, cells.shape[:2]).to(said[name].dtype)
    return said


def compare_columns(said: Said, columns: Sequence[int], differ: Differ) -> Said:
    """The window with these columns compared with another run's."""
    said = said | {name: said[name].clone() for name in ("moved", "ids_before")}
    for first, last in _runs(columns):
        moved, before = differ(first, last)
        said["moved"][:, first:last], said["ids_before"][:, first:last] = moved, before.int()
    return said


def _runs(columns: Sequence[int]) -> list[tuple[int, int]]:
    """Columns as runs of neighbours, from one to before another.

    >>> _runs([3, 1, 2, 7])
    [(1, 4), (7, 8)]
    """
    runs: list[tuple[int, int]] = []
    for column in sorted(columns):
        if runs and runs[-1][1] == column:
            runs[-1] = (runs[-1][0], column + 1)
        else:
            runs.append((column, column + 1))
    return runs


def said_pieces(said: Said, name_word: Callable[[int], list[str]], words: Mapping[str, Any]) -> dict[str, Any]:
    """The window as the page draws it; `words` are those that it has, and those that are new are added."""
    named = set(said["ids"].unique().tolist()) | set(said["ids_before"].unique().tolist())
    new = {str(word): name_word(word) for word in sorted(named) if word != UNREAD and str(word) not in words}
    unread = {str(UNREAD): ["…", ""]} if unread_columns(said) else {}
    kept = {word: name for word, name in words.items() if int(word) in named and int(word) != UNREAD}
    return {
        "words": {**kept, **new, **unread},
        **{name: said[name].contiguous().numpy().tobytes() for name in SAID},
    }


def reading_steps(
    model: BloomForCausalLM,
    states: Tensor,
    ids: Tensor,
    shown: Mapping[str, Any],
    pieces_of: Callable[[Said, Mapping[str, Any]], dict[str, Any]],
    differ: Differ | None,
) -> Iterator[tuple[dict[str, Any], int]]:
    """The columns that are unread, outwards from the chosen token; with each step, how many are read."""
    said, words = kept_cells(shown), shown["words"]
    at, total = shown["query"] - shown["window"]["first"], shown["window"]["count"]
    left = sorted(unread_columns(said), key=lambda column: abs(column - at))
    all_left, begun = len(left), time.monotonic()
    piece = {**NOT_READING, "state": "running", "done": total - len(left), "total": total}
    yield {"reading": piece}, total - len(left)
    width = max(1, positions_at_once(model.config.vocab_size, model.dtype.itemsize) // len(states))
    while left:
        columns, left = left[:width], left[width:]
        said = read_columns(said, columns, model, states, ids)
        if differ is not None:
            said = compare_columns(said, columns, differ)
        values = pieces_of(said, words)
        words = values["words"]
        seconds = (time.monotonic() - begun) / (all_left - len(left)) * len(left)
        piece = {**piece, "done": total - len(left), "seconds": round(seconds, 1)}
        yield {**values, "reading": piece}, total - len(left)
