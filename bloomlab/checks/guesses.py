"""What was predicted in the covers of a notebook, read from its file: for a student to look back, and for a teacher."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from bloomlab.checks.handin import Handin, Written, file_name
from bloomlab.checks.record import SESSION
from bloomlab.errors import InputError, NearMatches, shorten_path
from bloomlab.guards.files import read_json

MOST_BYTES = 100_000_000


@dataclass(frozen=True)
class Guess(NearMatches):
    """One cover of a notebook: what it asked, what was predicted, and the answer; "" while nothing was predicted."""

    question: str
    prediction: str
    answer: str


class Guesses(NearMatches, tuple[Guess, ...]):
    """The covers of a notebook, in order."""

    def __repr__(self) -> str:
        said = [
            f"{guess.question}\n    said: {guess.prediction or '–'}    it is: {guess.answer or '–'}" for guess in self
        ]
        return "\n".join(said) or "no cover has been shown in this notebook"


@overload
def report(notebook: str | os.PathLike[str]) -> Guesses: ...


@overload
def report(*, name: str, to: str | os.PathLike[str] = ".") -> Written: ...


def report(
    notebook: str | os.PathLike[str] | None = None, *, name: str = "", to: str | os.PathLike[str] = "."
) -> Guesses | Written:
    """What was predicted in a notebook that has been run and saved; or, with a name, this session as a file to hand in.

    With `name`, what has been done in this kernel is written to the folder `to`: answers, guesses, tries and times.
    Nothing else is in the file, and nothing is sent anywhere: `bloomlab class FOLDER` reads what was handed in.

    Raises:
        InputError: there is no such notebook or folder, or nobody's name is given.
    """
    if notebook is None:
        handin = Handin.of(SESSION, name)
        path = Path(to) / file_name(handin.name)
        handin.write(path)
        return Written(path, handin)
    path = Path(notebook)
    cells = read_json(path, MOST_BYTES, InputError).get("cells")
    if not isinstance(cells, list):
        raise InputError(f"expected a notebook, but {shorten_path(path)} has no cells; pass the path of an .ipynb file")
    found = []
    for cell in cells:
        for output in _list_in(cell, "outputs"):
            metadata = output.get("metadata") if isinstance(output, dict) else None
            about = metadata.get("bloomlab") if isinstance(metadata, dict) else None
            values = (
                [about.get(name) for name in ("question", "prediction", "answer")] if isinstance(about, dict) else []
            )
            if values and all(isinstance(value, str) for value in values):
                found.append(Guess(*map(str, values)))
    return Guesses(found)


def _list_in(cell: object, name: str) -> list[object]:
    value = cell.get(name) if isinstance(cell, dict) else None
    return value if isinstance(value, list) else []
