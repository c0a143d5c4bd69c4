"""The lessons for a class: without their solutions, with them, or as nbgrader takes them; and what is asked, on paper.

What a cell is for follows from what is in it, so no lesson has to say it twice; every edition carries it as a tag:

    exercise       code with three dots to replace, and its check
    cover          a question whose answer waits for a guess
    solution       text with a solution folded away in it
"""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bloomlab.errors import InputError, shorten_path
from bloomlab.guards.arguments import one_of
from bloomlab.guards.files import read_json
from bloomlab.guards.markup import escaped
from bloomlab.translated import catalogue_of, translate

EDITIONS = ("student", "teacher", "nbgrader", "otter")
SOLUTION = re.compile(
    r"<details><summary>[^<]*</summary>(?:(?!</details>).)*?```python.*?</details>\s*", re.DOTALL
)  # what is folded away with Python in it
DOTS = re.compile(r"= \.\.\.$", re.MULTILINE)  # a line that a student fills in
ASKS = re.compile(r"\*\*(?:Predict|Guess|Prédi|Devin|Predi|Adivin)[^*]*\*\*:?(.+?)(?:\n\n|\Z)", re.DOTALL)
MOST_BYTES = 10_000_000
ASSIGNMENT = "# ASSIGNMENT CONFIG\nname: {name}\ntests:\n    ok_format: false"


def kind_of(cell: dict[str, Any]) -> str:
    """What a cell is for: "exercise", "cover", "solution", or "".

    >>> kind_of({"cell_type": "code", "source": "answer = ...\\nchecks.half_weight(11, answer)"})
    'exercise'
    """
    source = _source(cell)
    if cell["cell_type"] == "code":
        return "cover" if source.startswith("checks.cover(") else "exercise" if DOTS.search(source) else ""
    return "solution" if SOLUTION.search(source) else ""


def notebook_of(lesson: Path, language: str | None = None) -> dict[str, Any]:
    """A lesson's notebook, in English if nobody has translated it.

    Raises:
        InputError: the file is no notebook, or its catalogue is broken.
    """
    notebook: dict[str, Any] = read_json(lesson, MOST_BYTES, InputError)
    cells = notebook.get("cells")
    if not isinstance(cells, list) or not all(
        isinstance(one, dict) and {"cell_type", "source"} <= one.keys() for one in cells
    ):
        raise InputError(
            f"{shorten_path(lesson)} is no notebook: it has no list of cells, each with its kind and source"
        )
    words = None if language is None else catalogue_of(lesson, language)
    return notebook if language is None or words is None else translate(notebook, words, language)


def edition_of(lesson: Path, edition: str | None, language: str | None = None) -> bytes:
    """A lesson's notebook in an edition.

    Args:
        edition: "teacher" has the solutions, "student" has none, and "nbgrader" is the student's with a locked cell
            below each exercise, which gives a point if its check is content; "otter" is what `otter assign` makes the
            student's and an autograder of. None: as it ships.
        language: a language that it has been translated to, as "fr".

    Raises:
        InputError: there is no such edition, or the file is no notebook.
    """
    notebook = notebook_of(lesson, language)
    if edition is not None:
        notebook = {**notebook, "cells": _cells_of(notebook, lesson, one_of("edition", edition, EDITIONS))}
    return (json.dumps(notebook, ensure_ascii=False, indent=1) + "\n").encode()


def _cells_of(notebook: dict[str, Any], lesson: Path, edition: str) -> list[dict[str, Any]]:
    number, cells = lesson.name.partition("_")[0], list[dict[str, Any]]()
    solved = iter([code for cell in notebook["cells"] for code in _solutions(cell)])
    if edition == "otter":
        cells.append(_cell("raw", "assignment", ASSIGNMENT.format(name=lesson.stem)))
    for cell in notebook["cells"]:
        kind = kind_of(cell)
        if kind == "solution" and edition != "teacher":
            rest = SOLUTION.sub("", _source(cell)).strip()
            if not rest:
                continue
            cell = {**cell, "source": rest}
        elif kind:
            cell = {**cell, "metadata": {**cell["metadata"], "tags": [kind]}}
        call = _check_of(cell) if kind == "exercise" else ""
        solution = next(solved, "") if kind == "exercise" else ""
        if call and edition == "otter":
            done = sum(_source(one).startswith("# BEGIN QUESTION") for one in cells)
            cells += _question(cell, call, solution, f"q{done + 1}")
            continue
        cells.append(cell)
        if call and edition == "nbgrader":
            cells.append(_graded(call, f"{number}-{sum('nbgrader' in one['metadata'] for one in cells) + 1}"))
    return cells


def _check_of(exercise: dict[str, Any]) -> str:
    """The call of a check that an exercise ends with; "" if it checks itself in another way."""
    call = ast.unparse(ast.parse(_source(exercise)).body[-1])
    return call if call.startswith("checks.") else ""


def _solutions(cell: dict[str, Any]) -> list[str]:
    found = SOLUTION.findall(_source(cell)) if cell["cell_type"] == "markdown" else []
    return [code for text in found for code in re.findall(r"```python\n(.*?)\n?```", text, re.DOTALL)]


def _cell(kind: str, name: str, source: str) -> dict[str, Any]:
    own: dict[str, Any] = {"execution_count": None, "outputs": []} if kind == "code" else {}
    return {"cell_type": kind, "id": name, "metadata": {}, **own, "source": source}


def _graded(call: str, name: str) -> dict[str, Any]:
    """The cell that nbgrader runs below an exercise: its check, asserted."""
    about = {"grade": True, "grade_id": name, "locked": True, "points": 1, "schema_version": 3}
    metadata = {"nbgrader": {**about, "solution": False, "task": False}}
    return {**_cell("code", f"grade-{name}", f"assert {call}"), "metadata": metadata}


def _question(exercise: dict[str, Any], call: str, solution: str, name: str) -> list[dict[str, Any]]:
    """The cells that `otter assign` takes for a question: the exercise, solved and not, and its check as a test."""
    dots = next(line for line in _source(exercise).splitlines() if DOTS.search(line))
    both = f'# BEGIN SOLUTION NO PROMPT\n{solution}\n# END SOLUTION\n""" # BEGIN PROMPT\n{dots}\n""" # END PROMPT'
    test = f"def test_{name}({name}_done):\n    assert {name}_done"  # otter carries values to its tests, and no lab
    return [
        _cell("raw", f"{name}-begins", f"# BEGIN QUESTION\nname: {name}\npoints: 1"),
        _cell("raw", f"{name}-solution", "# BEGIN SOLUTION"),
        {**exercise, "source": _source(exercise).replace(dots, both)},
        _cell("code", f"{name}-done", f"{name}_done = bool({call})"),
        _cell("raw", f"{name}-solved", "# END SOLUTION"),
        _cell("raw", f"{name}-tests", "# BEGIN TESTS"),
        _cell("code", f"{name}-test", test),
        _cell("raw", f"{name}-tested", "# END TESTS"),
        _cell("raw", f"{name}-ends", "# END QUESTION"),
    ]


def questions(lesson: Path, language: str | None = None) -> list[str]:
    """Everything a lesson asks to be predicted, in order; what only a run can know is "…" in it.

    Raises:
        InputError: the file is no notebook.
    """
    found = []
    for cell in notebook_of(lesson, language)["cells"]:
        source = _source(cell)
        if kind_of(cell) == "cover":
            call = ast.parse(source).body[0]
            if isinstance(call, ast.Expr) and isinstance(call.value, ast.Call):
                found.append("".join(_words(call.value.args[0])))
        elif cell["cell_type"] == "markdown":
            found += [re.sub(r"[*`]|\[([^]]*)\]\([^)]*\)", r"\1", match[1]) for match in ASKS.finditer(source)]
    words = [" ".join(question.split()) for question in found]
    return [question[:1].upper() + question[1:] for question in words]


def _words(question: ast.expr) -> Iterator[str]:
    for part in question.values if isinstance(question, ast.JoinedStr) else [question]:
        yield str(part.value) if isinstance(part, ast.Constant) else "…"


SHEETS = """\
<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Predictions</title>
<style>
body {{ font: 11pt/1.4 system-ui, sans-serif; margin: 1.5cm }}
section {{ break-after: page }}
li {{ margin-block-end: 1.2cm; border-block-end: thin dotted; padding-block-end: 0.8cm; break-inside: avoid }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def sheets(lessons: list[tuple[str, Path]], language: str | None = None) -> str:
    """A page to print: for each lesson (its title and its file) a sheet with room for every prediction."""
    parts = []
    for title, lesson in lessons:
        lines = "".join(f"<li>{escaped(question)}</li>" for question in questions(lesson, language))
        parts.append(f"<section><h1>{escaped(title)}</h1><p>Name:</p><ol>{lines}</ol></section>")
    return SHEETS.format(language=language or "en", body="\n".join(parts))


def _source(cell: dict[str, Any]) -> str:
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)
