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

from bloomlab.errors import InputError
from bloomlab.guards.arguments import one_of
from bloomlab.guards.files import read_json
from bloomlab.guards.markup import escaped

EDITIONS = ("student", "teacher", "nbgrader")
SOLUTION = re.compile(r"<details><summary>A solution</summary>.*?</details>\s*", re.DOTALL)
DOTS = re.compile(r"= \.\.\.$", re.MULTILINE)
ASKS = re.compile(r"\*\*(?:Predict|Guess)[^*]*\*\*:?(.+?)(?:\n\n|\Z)", re.DOTALL)
MOST_BYTES = 10_000_000


def kind_of(cell: dict[str, Any]) -> str:
    """What a cell is for: "exercise", "cover", "solution", or "".

    >>> kind_of({"cell_type": "code", "source": "answer = ...\\nchecks.half_weight(11, answer)"})
    'exercise'
    """
    source = _source(cell)
    if cell["cell_type"] == "code":
        return "cover" if source.startswith("checks.cover(") else "exercise" if DOTS.search(source) else ""
    return "solution" if SOLUTION.search(source) else ""


def edition_of(lesson: Path, edition: str) -> bytes:
    """A lesson's notebook in an edition.

    Args:
        edition: "teacher" has the solutions, "student" has none, and "nbgrader" is the student's with a locked cell
            below each exercise, which gives a point if its check is content.

    Raises:
        InputError: there is no such edition, or the file is no notebook.
    """
    one_of("edition", edition, EDITIONS)
    notebook = read_json(lesson, MOST_BYTES, InputError)
    number, cells = lesson.name.partition("_")[0], []
    for cell in notebook["cells"]:
        kind = kind_of(cell)
        if kind == "solution" and edition != "teacher":
            rest = SOLUTION.sub("", _source(cell)).strip()
            if not rest:
                continue
            cell = {**cell, "source": rest}
        elif kind:
            cell = {**cell, "metadata": {**cell["metadata"], "tags": [kind]}}
        cells.append(cell)
        if kind == "exercise" and edition == "nbgrader":
            cells += _graded(_source(cell), f"{number}-{sum('nbgrader' in one['metadata'] for one in cells) + 1}")
    return (json.dumps({**notebook, "cells": cells}, ensure_ascii=False, indent=1) + "\n").encode()


def _graded(exercise: str, name: str) -> list[dict[str, Any]]:
    """The cell that nbgrader runs below an exercise: its check, asserted. An exercise without a check has none."""
    call = ast.unparse(ast.parse(exercise).body[-1])
    if not call.startswith("checks."):
        return []
    about = {"grade": True, "grade_id": name, "locked": True, "points": 1, "schema_version": 3}
    metadata = {"nbgrader": {**about, "solution": False, "task": False}}
    cell: dict[str, Any] = {
        "cell_type": "code",
        "execution_count": None,
        "id": f"grade-{name}",
        "outputs": [],
        "metadata": metadata,
    }
    return [{**cell, "source": f"assert {call}"}]


def questions(lesson: Path) -> list[str]:
    """Everything a lesson asks to be predicted, in order; what only a run can know is "…" in it.

    Raises:
        InputError: the file is no notebook.
    """
    found = []
    for cell in read_json(lesson, MOST_BYTES, InputError)["cells"]:
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
<html lang="en">
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


def sheets(lessons: list[tuple[str, Path]]) -> str:
    """A page to print: for each lesson (its title and its file) a sheet with room for every prediction."""
    parts = []
    for title, lesson in lessons:
        lines = "".join(f"<li>{escaped(question)}</li>" for question in questions(lesson))
        parts.append(f"<section><h1>{escaped(title)}</h1><p>Name:</p><ol>{lines}</ol></section>")
    return SHEETS.format(body="\n".join(parts))


def _source(cell: dict[str, Any]) -> str:
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)
