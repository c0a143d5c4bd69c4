"""The one file that a person hands in, and reading many of them, which anybody may have written.

checks.report(name="Leo")                    writes leo.json: answers, guesses, tries, times; nothing else
Handin.read(Path("leo.json"))                the same again, each part checked
"""

import math
import re
import unicodedata
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bloomlab.checks.record import LONGEST, MOST, Guessed, Session, Try
from bloomlab.errors import InputError, NearMatches, shorten, shorten_path
from bloomlab.guards.arguments import whole_text
from bloomlab.guards.files import read_json, write_json

FORMAT = "bloomlab hand-in 1"
MOST_BYTES = 5_000_000  # MOST tries and guesses of a thousand characters each
A_WEEK = 7 * 24 * 3600.0


@dataclass(frozen=True)
class Handin(NearMatches):
    """What a person hands in.

    Attributes:
        name: what the person calls herself.
        began: when the lesson began, to the minute, in UTC.
        tries, guesses: what was tried and predicted, in order.
    """

    name: str
    began: str
    tries: tuple[Try, ...]
    guesses: tuple[Guessed, ...]

    @classmethod
    def of(cls, session: Session, name: str) -> "Handin":
        """What a kernel has kept, under a name.

        Raises:
            InputError: the name is empty or too long.
        """
        name = " ".join(whole_text(name, "name").split())
        if not 0 < len(name) <= 80:
            raise InputError('a hand-in says whose it is, in at most 80 characters: checks.report(name="Leo")')
        began = datetime.fromtimestamp(session.began, UTC).strftime("%Y-%m-%d %H:%M")
        return cls(name, began, tuple(session.tries), tuple(session.guesses))

    def write(self, path: Path) -> None:
        """Write it as JSON, whole or not at all.

        Raises:
            InputError: it cannot be written there.
        """
        write_json(path, {"format": FORMAT, **asdict(self)})

    @classmethod
    def read(cls, path: Path) -> "Handin":
        """A hand-in from its file. Whatever the file holds, texts are short, without control characters, and text.

        Raises:
            InputError: it is no hand-in, or larger than one can be.
        """
        if path.is_symlink():
            raise InputError(f"{shorten_path(path)} is a link; a hand-in is a file")
        found = read_json(path, MOST_BYTES, InputError)
        if found.get("format") != FORMAT:
            raise InputError(f"{shorten_path(path)} is not a hand-in, the file that checks.report(name=…) writes")
        tries, guesses = (_entries(path, found, name) for name in ("tries", "guesses"))
        return cls(
            _text(path, found, "name", 80) or "nobody",
            _text(path, found, "began", 20),
            tuple(
                Try(
                    _text(path, one, "exercise", 80),
                    _seconds(path, one),
                    one.get("done") is True,
                    _text(path, one, "says"),
                    _text(path, one, "answer"),
                )
                for one in tries
            ),
            tuple(
                Guessed(
                    _text(path, one, "question"),
                    _seconds(path, one),
                    _text(path, one, "prediction"),
                    _text(path, one, "answer"),
                )
                for one in guesses
            ),
        )


@dataclass(frozen=True)
class Written(NearMatches):
    """Where a hand-in was written, and what is in it."""

    path: Path
    handin: Handin

    def __repr__(self) -> str:
        tries, guesses = self.handin.tries, self.handin.guesses
        done = len({one.exercise for one in tries if one.done})
        return (
            f"{self.path}: the name {self.handin.name!r}, {done} exercises done in {len(tries)} tries, {len(guesses)} "
            "guesses, and when; nothing else is in it, and it went nowhere: hand it in yourself"
        )


def file_name(name: str) -> str:
    """The name of a person's file.

    >>> file_name("Zoë O'Neil"), file_name("../小梅"), file_name("...")
    ('zoe-o-neil.json', '小梅.json', 'me.json')
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(c))
    words = re.findall(r"[^\W_]+", plain)
    return f"{'-'.join(words)[:60] or 'me'}.json"


def clean(text: str) -> str:
    """A text without what only steers a terminal or turns lines around; new lines stay.

    >>> clean("Le\\x1b[31mo\\u202e\\n")
    'Le[31mo\\n'
    """
    return "".join(letter for letter in text if letter == "\n" or unicodedata.category(letter)[0] != "C")


def _entries(path: Path, found: dict[str, Any], name: str) -> list[dict[str, Any]]:
    entries = found.get(name)
    if not isinstance(entries, list) or len(entries) > MOST or not all(isinstance(one, dict) for one in entries):
        raise InputError(f"expected at most {MOST} {name} in {shorten_path(path)}, but it holds something else")
    return entries


def _text(path: Path, entry: dict[str, Any], name: str, most: int = LONGEST) -> str:
    text = entry.get(name)
    if not isinstance(text, str) or len(text) > most:
        raise InputError(f"expected a text of at most {most} characters as {name!r} in {shorten_path(path)}")
    return clean(text) if name in ("says", "answer") else " ".join(clean(text).split())


def _seconds(path: Path, entry: dict[str, Any]) -> float:
    seconds = entry.get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not abs(seconds) < math.inf:
        raise InputError(f"expected seconds in {shorten_path(path)}, but got {shorten(seconds)}")
    return float(min(max(seconds, 0.0), A_WEEK))  # first cut: a whole number can be too large for a float
