"""The lessons: the notebooks that come with bloomlab, and copying them to where a student works.

Students write into their copies, so a newer lesson only replaces a copy that nobody has changed. A note beside the
copies, `.bloomlab-lessons.json`, remembers what was copied.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from bloomlab.editions import edition_of, sheets
from bloomlab.errors import InputError, NearMatches
from bloomlab.guards.arguments import one_of
from bloomlab.guards.files import read_json, replacing, saying_why_not, write_json
from bloomlab.guards.memory import in_words
from bloomlab.translated import catalogue, languages

NOTE = ".bloomlab-lessons.json"
FIRST = "00_welcome.ipynb"


def folder() -> Path:
    """Where the lessons are: inside the installed package, or beside it in a checkout."""
    installed = Path(__file__).parent / "_notebooks"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "notebooks"


@dataclass(frozen=True)
class Lesson(NearMatches):
    """One lesson: its notebook, its title, how many minutes a student needs, and what it is about."""

    file: str
    title: str
    minutes: int
    about: str


class Lessons(NearMatches, tuple[Lesson, ...]):
    """The lessons in the order of the course. Its repr is a list with the time each takes."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self:
            return f"there are no lessons in {folder()}"
        lines = [f"{lesson.title:<30}{lesson.minutes:>4} min  {lesson.about}" for lesson in self]
        total = sum(lesson.minutes for lesson in self) / 60
        rest = f"{len(self)} lessons, {total:.0f} hours; {folder() / 'README.md'} says which to take if you have less"
        return "\n".join([*lines, rest, "`bloomlab lab` in a terminal copies them to where you work, and opens them"])


def listed() -> Lessons:
    """All lessons, from the list that ships with them.

    >>> listed()[0]
    Lesson(file='00_welcome.ipynb', title='00 · Welcome', minutes=25, about='a first look: tokens, heads, writing')
    """
    page = folder() / "README.md"
    rows = re.findall(
        r"^\| \[(.+?)\]\((\w+\.ipynb)\) \| (\d+) \| (.+?) \|$",
        page.read_text(encoding="utf-8") if page.is_file() else "",
        re.MULTILINE,
    )
    return Lessons(Lesson(file, title, int(minutes), about) for title, file, minutes, about in rows)


@dataclass(frozen=True)
class Copied(NearMatches):
    """The result of copying, by the names of the lessons (and of the pages beside them).

    Attributes:
        new: copied, or replaced by a newer lesson.
        same: there already.
        kept: changed there, so left alone.
        translated: in the language that was asked for; the others are in English.
    """

    place: Path
    new: tuple[str, ...]
    same: tuple[str, ...]
    kept: tuple[str, ...]
    translated: tuple[str, ...] = ()

    def __repr__(self) -> str:
        words = f"{len(self.new)} files copied to {self.place}" if self.new else f"the lessons are in {self.place}"
        if self.translated:
            words += f"; translated: {', '.join(self.translated)}; the others are in English"
        if self.kept:
            words += f"; {', '.join(self.kept)}: kept as you changed them (delete or rename one to get it anew)"
        return words


@in_words
def copy_to(place: str | os.PathLike[str], edition: str | None = None, language: str | None = None) -> Copied:
    """Copy the lessons into a folder, created if necessary; files that were changed there stay as they are.

    Args:
        edition: "student" (without solutions), "teacher" (with them), "nbgrader" or "otter"; None: as they ship.
        language: "fr" or "es": those lessons that have been translated are in French or Spanish; None: English.

    Raises:
        InputError: it cannot be written to, or there is no such edition, or no lesson in that language.
    """
    new, same, kept, translated = [], [], [], []
    if language is not None:
        one_of("language", language, languages(folder()))
    with saying_why_not(Path(place)):
        place = Path(place).expanduser()
        place.mkdir(parents=True, exist_ok=True)
        copied = read_json(place / NOTE, 1 << 20, InputError) if (place / NOTE).exists() else {}
        known = dict(copied)
        for lesson in sorted([*folder().glob("*.ipynb"), *folder().glob("*.md")]):
            copy = place / lesson.name
            foreign = language is not None and catalogue(lesson, language).is_file()
            plain = (edition is None and not foreign) or lesson.suffix != ".ipynb"
            content = lesson.read_bytes() if plain else edition_of(lesson, edition, language)
            if foreign:
                translated.append(lesson.name)
            there = copy.read_bytes() if copy.exists() else None
            if there == content:
                same.append(lesson.name)
            elif there is None or _hash(there) == copied.get(lesson.name):
                with replacing(copy) as draft:
                    draft.write_bytes(content)
                new.append(lesson.name)
            else:
                kept.append(lesson.name)
                continue
            copied[lesson.name] = _hash(content)
        if copied != known or not (place / NOTE).exists():
            write_json(place / NOTE, copied)
    return Copied(place, tuple(new), tuple(same), tuple(kept), tuple(translated))


def write_sheets(place: str | os.PathLike[str], language: str | None = None) -> Path:
    """Write predictions.html into a folder that is there: for each lesson a sheet to print, with all it asks.

    Raises:
        InputError: it cannot be written to.
    """
    with saying_why_not(Path(place)):
        path = Path(place).expanduser() / "predictions.html"
    with replacing(path) as draft:
        pages = [(lesson.title, folder() / lesson.file) for lesson in listed()]
        draft.write_text(sheets(pages, language), encoding="utf-8")
    return path


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
