"""A class at a glance: who has done what, and where the class stumbled, from the files that were handed in.

    table = class_of("handed-in")                the table, in a terminal or a notebook
    table.save("class.html")                     the same as a page, with two plots

Whatever is in those files is text: it is never run, and it enters the page escaped.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bloomlab.checks.handin import Handin
from bloomlab.checks.record import Guessed, Try
from bloomlab.errors import InputError, NearMatches, shorten
from bloomlab.guards.files import replacing, saying_why_unread
from bloomlab.guards.markup import escaped
from bloomlab.guards.memory import saying_that_memory_is_full

MOST_FILES = 300
MOST_QUESTIONS = 300  # different exercises, and different covers, of a whole class
NUMBER = re.compile(r"[-−+]?\d[\d,. ]*(?:e[-+]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Stumble(NearMatches):
    """An exercise, and how the class fared.

    Attributes:
        exercise: its name.
        done: how many people have done it, of those who tried.
        tried: how many tried.
        tries: of those who tried, the middle one's number of tries.
        minutes: from the first try of the middle one to the last.
        said: what its check said most often while it was not done, and to how many people.
    """

    exercise: str
    done: int
    tried: int
    tries: float
    minutes: float
    said: tuple[str, int]


@dataclass(frozen=True)
class Surprise(NearMatches):
    """A cover, and what the class predicted: how many near the answer, of how many, and the commonest wrong guess."""

    question: str
    near: int
    guessed: int
    wrong: tuple[str, int]


@saying_that_memory_is_full
@dataclass(frozen=True)
class ClassTable(NearMatches):
    """Everything that was handed in.

    Attributes:
        people: the hand-ins, by name.
        refused: the files that were none, with the reason.
    """

    people: tuple[Handin, ...]
    refused: tuple[tuple[str, str], ...]

    def exercises(self) -> list[str]:
        """Every exercise that somebody tried, in the order of the course."""
        found = dict.fromkeys(one.exercise for person in self.people for one in person.tries)
        return sorted(list(found)[:MOST_QUESTIONS], key=lambda exercise: exercise.partition(" ")[0])

    def cell(self, person: Handin, exercise: str) -> str:
        """ "✓ 2" for done at the second try, "2" for two tries in vain, "" for none."""
        tries = _of(person, exercise)
        done = next((number for number, one in enumerate(tries, 1) if one.done), None)
        return f"✓ {done}" if done else str(len(tries) or "")

    def stumbles(self) -> list[Stumble]:
        """The exercises, the hardest first: the fewest done of those who tried, then the most tries."""
        found = []
        for exercise in self.exercises():
            every = [tries for person in self.people if (tries := _of(person, exercise))]
            said = Counter(words for tries in every for words in {one.says for one in tries if not one.done})
            found.append(
                Stumble(
                    exercise,
                    sum(any(one.done for one in tries) for tries in every),
                    len(every),
                    median(map(len, every)),
                    round(median((tries[-1].seconds - tries[0].seconds) / 60 for tries in every), 1),
                    next(iter(said.most_common(1)), ("", 0)),
                )
            )
        return sorted(found, key=lambda one: (one.done / one.tried, -one.tries))

    def surprises(self) -> list[Surprise]:
        """The covers, those first at which the fewest were near."""
        by_question: dict[str, list[Guessed]] = {}
        for person in self.people:
            for one in person.guesses:
                if one.question in by_question or len(by_question) < MOST_QUESTIONS:
                    by_question.setdefault(one.question, []).append(one)
        found = []
        for question, every in by_question.items():
            wrong = Counter(one.prediction for one in every if not near(one.prediction, one.answer))
            nearly = len(every) - sum(wrong.values())
            found.append(Surprise(question, nearly, len(every), next(iter(wrong.most_common(1)), ("", 0))))
        return sorted(found, key=lambda one: one.near / one.guessed)

    def __repr__(self) -> str:
        exercises = self.exercises()
        width = max([4, *(len(person.name) for person in self.people)])
        lines = [f"{'':{width}}  " + "  ".join(exercises)]
        for person in self.people:
            cells = (f"{self.cell(person, exercise):^{len(exercise)}}" for exercise in exercises)
            lines.append(f"{person.name:{width}}  " + "  ".join(cells))
        lines += ["", f"{len(self.people)} people; ✓ 2: done at the second try; 2: two tries, not done"]
        for one in self.stumbles()[:3]:
            said = f"; to {one.said[1]} its check said: {shorten(one.said[0], 90)}" if one.said[1] else ""
            lines.append(f"{one.exercise}: {one.done} of {one.tried} done, {one.tries:g} tries{said}")
        lines += [f"not read: {file}: {why}" for file, why in self.refused]
        return "\n".join(lines)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the table and the two plots as one page without script, for any browser, offline.

        Raises:
            InputError: the file's name does not end in .html, or it cannot be written.
        """
        path = Path(path)
        if path.suffix != ".html":
            raise InputError(f"the page of a class is saved as .html, but got {str(path)!r}")
        with replacing(path) as draft:
            draft.write_text(self._page(), encoding="utf-8")
        return path

    def _page(self) -> str:
        exercises, stumbles, surprises = self.exercises(), self.stumbles(), self.surprises()
        people = [[person.name, person.began, *(self.cell(person, one) for one in exercises)] for person in self.people]
        hard = [
            [
                str(number),
                one.exercise,
                f"{one.done} of {one.tried}",
                f"{one.tries:g}",
                f"{one.minutes:g}",
                *_most(one.said),
            ]
            for number, one in enumerate(stumbles, 1)
        ]
        surprising = [
            [str(number), one.question, f"{one.near} of {one.guessed}", *_most(one.wrong)]
            for number, one in enumerate(surprises, 1)
        ]
        parts = [
            f"<h1>{len(self.people)} people</h1><p>✓ 2: done at the second try; 2: two tries, not done.</p>",
            _table(["name", "began (UTC)", *exercises], people),
            "<h2>Where the class stumbled</h2>",
            _bars("done, % of those who tried", [100 * one.done / one.tried for one in stumbles]),
            _table(["", "exercise", "done", "tries", "minutes", "what its check said most", "to"], hard),
            "<h2>What surprised the class</h2>",
            _bars("near the answer, %", [100 * one.near / one.guessed for one in surprises]),
            _table(["", "question", "near", "the commonest other guess", "by"], surprising),
        ]
        if self.refused:
            parts += ["<h2>Not read</h2>", _table(["file", "why"], [list(one) for one in self.refused])]
        return PAGE.format(body="\n".join(parts))


# It may have a style, and do nothing else at all.
PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The class</title>
<style>
:root {{ color-scheme: light dark; font: 1rem/1.4 system-ui, sans-serif }}
body {{ margin: 1.5rem; max-width: 75rem }}
div {{ overflow-x: auto }}
table {{ border-collapse: collapse }}
th, td {{ padding: .2em .6em; border: thin solid; text-align: start; vertical-align: top; overflow-wrap: break-word }}
rect {{ fill: #3a78b0 }}
path {{ stroke: currentColor; stroke-width: 0.2 }}
text {{ font-size: 8px; text-anchor: middle; fill: currentColor }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def class_of(folder: str | os.PathLike[str]) -> ClassTable:
    """The class table of a folder's .json files. A file that is no hand-in is named with the reason; the rest is read.

    Raises:
        InputError: there is no such folder, or it has too many files, or none.
    """
    place = Path(folder)
    with saying_why_unread(place, InputError):
        if not place.is_dir():
            raise InputError(f"expected a folder of hand-ins, but {shorten(str(place))} is none")
        files = sorted(path for path in place.iterdir() if path.suffix == ".json" and not path.name.startswith("."))
    if not 0 < len(files) <= MOST_FILES:
        raise InputError(
            f"expected 1 to {MOST_FILES} hand-ins (.json) in {shorten(str(place))}, but there are {len(files)}"
        )
    people, refused = [], []
    for path in files:
        try:
            people.append(Handin.read(path))
        except InputError as error:
            refused.append((shorten(path.name), str(error)))
    return ClassTable(tuple(sorted(people, key=lambda one: one.name.casefold())), tuple(refused))


def near(prediction: str, answer: str) -> bool:
    """Whether a guess is near: a number within a tenth of the answer; anything else the same but for capitals.

    >>> near("48 %", "45"), near("1,000", "250,880"), near("Yes", "yes"), near("", "7")
    (True, False, True, False)
    """
    said, true = _number(prediction), _number(answer)
    if said is not None and true is not None:
        return abs(said - true) <= max(abs(true) / 10, 1e-9)
    return prediction.strip().casefold() == answer.strip().casefold() != ""


def _number(text: str) -> float | None:
    found = NUMBER.match(text.strip()[:40])
    try:
        return float(found[0].replace(",", "").replace(" ", "").replace("−", "-")) if found else None
    except ValueError:
        return None


def _of(person: Handin, exercise: str) -> list[Try]:
    return [one for one in person.tries if one.exercise == exercise]


def _most(most: tuple[str, int]) -> list[str]:
    return [most[0], str(most[1] or "")]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def row(cells: Sequence[str], tag: str) -> Iterator[str]:
        yield from (f'<{tag} dir="auto">{escaped(cell)}</{tag}>' for cell in cells)

    lines = "\n".join(f"<tr>{''.join(row(cells, 'td'))}</tr>" for cells in rows)
    return f"<div><table><tr>{''.join(row(head, 'th'))}</tr>\n{lines}</table></div>"


def _bars(label: str, values: Sequence[float]) -> str:
    """A plot: of each line of the table below it, named by the line's number, a bar from 0 to 100."""
    if not values:
        return ""
    bars = "".join(
        f'<rect x="{20 * i + 4}" y="{100 - value:.1f}" width="14" height="{value:.1f}"/>'
        f'<text x="{20 * i + 11}" y="112">{i + 1}</text>'
        for i, value in enumerate(values)
    )
    said = ", ".join(f"{number}: {value:.0f}" for number, value in enumerate(values, 1))
    width = 20 * len(values) + 8
    return (
        f"<p>{escaped(label)}</p>"
        f'<div><svg role="img" aria-label="{escaped(f"{label}: {said}")}" width="{2 * width}" height="234" '
        f'viewBox="0 -2 {width} 117"><path d="M0 0H{width}M0 50H{width}M0 100H{width}"/>{bars}</svg></div>'
    )
