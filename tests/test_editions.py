"""The editions of the lessons: nothing is lost but the solutions, and everything that is asked stands on the sheets."""

import ast
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest

from bloomlab.cli import main
from bloomlab.editions import edition_of, kind_of, questions, sheets
from bloomlab.errors import InputError
from bloomlab.lessons import copy_to, folder, listed

SOLVED = re.compile(
    r'# BEGIN SOLUTION NO PROMPT.*?# END SOLUTION\n""" # BEGIN PROMPT\n(.*?)\n""" # END PROMPT', re.DOTALL
)
LESSONS = sorted(folder().glob("*.ipynb"))
every_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)


def cells(content: bytes) -> list[Any]:
    notebook = nbformat.reads(content.decode(), as_version=4)
    nbformat.validate(notebook)
    return list(notebook.cells)


@pytest.mark.slow
@every_lesson
def test_a_student_gets_every_word_but_the_solutions(path: Path) -> None:
    shipped, student, teacher = (
        cells(content) for content in (path.read_bytes(), edition_of(path, "student"), edition_of(path, "teacher"))
    )
    assert [cell.source for cell in teacher] == [cell.source for cell in shipped]
    assert [cell.source for cell in student if cell.cell_type == "code"] == [
        cell.source for cell in shipped if cell.cell_type == "code"
    ]
    assert "A solution" not in "".join(cell.source for cell in student)
    whole, left = ("\n".join(cell.source for cell in some) for some in (shipped, student))
    solutions = re.findall(r"<details><summary>A solution</summary>.*?</details>", whole, re.DOTALL)
    for solution in solutions:
        whole = whole.replace(solution, "")
    assert solutions and re.sub(r"\s+", " ", whole) == re.sub(r"\s+", " ", left)
    assert "**Next:**" in left or path == LESSONS[-1] or path == LESSONS[0]


@every_lesson
def test_each_exercise_cover_and_solution_has_its_tag(path: Path) -> None:
    teacher = cells(edition_of(path, "teacher"))
    tags = [tag for cell in teacher for tag in cell.metadata.get("tags", [])]
    assert tags.count("exercise") == tags.count("solution") > 0
    assert tags.count("cover") == sum(cell.source.startswith("checks.cover(") for cell in teacher)
    student = cells(edition_of(path, "student"))
    assert [tag for cell in student for tag in cell.metadata.get("tags", [])] == [t for t in tags if t != "solution"]


@every_lesson
def test_for_nbgrader_each_check_is_asserted_in_a_locked_cell_below_its_exercise(path: Path) -> None:
    graded = cells(edition_of(path, "nbgrader"))
    names = []
    for before, cell in pairwise(graded):
        about = cell.metadata.get("nbgrader")
        if about:
            assert kind_of(before) == "exercise" and about["locked"] and about["grade"] and about["points"] == 1
            assert cell.source.startswith("assert checks.")
            names.append(about["grade_id"])
    checked = [cell for cell in graded if kind_of(cell) == "exercise" and "checks." in cell.source]
    assert len(names) == len(set(names)) == len(checked)


@every_lesson
def test_for_otter_each_exercise_is_a_question_with_its_solution_and_its_check(path: Path) -> None:
    shipped, asked = cells(path.read_bytes()), cells(edition_of(path, "otter"))
    assert asked[0].cell_type == "raw" and f"name: {path.stem}" in asked[0].source
    starts = [number for number, cell in enumerate(asked) if cell.source.startswith("# BEGIN QUESTION\n")]
    for number, at in enumerate(starts, 1):
        marks = ["# BEGIN SOLUTION", "# END SOLUTION", "# BEGIN TESTS", "# END TESTS", "# END QUESTION"]
        assert [cell.source for cell in asked[at + 1 : at + 9] if cell.cell_type == "raw"] == marks
        solved, done, test = (asked[at + place].source for place in (2, 3, 6))
        assert SOLVED.sub(r"\1", solved) in [cell.source for cell in shipped], (
            "without the marks it is the lesson's own cell"
        )
        assert ast.parse(solved)
        assert test == f"def test_q{number}(q{number}_done):\n    assert q{number}_done"
        assert re.fullmatch(rf"q{number}_done = bool\(checks\..*\)", done, re.DOTALL)
    checked = [cell for cell in shipped if kind_of(cell) == "exercise" and "checks." in cell.source]
    assert len(starts) == len(checked)
    assert "A solution" not in "".join(cell.source for cell in asked)


@every_lesson
def test_everything_that_is_asked_stands_on_the_sheet(path: Path) -> None:
    asked = questions(path)
    source = "\n".join("".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"])
    assert len(asked) == source.count("checks.cover(") + len(re.findall(r"\*\*(?:Predict|Guess)", source)) >= 3
    assert all(len(question) > 5 and "**" not in question for question in asked)


def test_a_sheet_is_text() -> None:
    page = sheets([("<script>", LESSONS[0])])
    assert "&lt;script&gt;" in page and "<script" not in page and page.count("<li>") == len(questions(LESSONS[0]))


def test_an_edition_that_there_is_none_of_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="student"):
        copy_to(tmp_path, "students")


@pytest.mark.slow
def test_the_command_lists_and_copies_and_prints_sheets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lessons"]) == 0 and capsys.readouterr().out == f"{listed()!r}\n"
    assert main(["lessons", "--sheets"]) == 2
    assert main(["lessons", str(tmp_path), "--edition", "student", "--sheets"]) == 0
    assert {path.name for path in tmp_path.glob("*.ipynb")} == {path.name for path in LESSONS}
    assert (tmp_path / "predictions.html").read_text(encoding="utf-8").count("<section>") == len(LESSONS)
    assert (tmp_path / LESSONS[0].name).read_bytes() == edition_of(LESSONS[0], "student")
    assert main(["lessons", str(tmp_path), "--edition", "teacher"]) == 0
    replaced = (tmp_path / LESSONS[0].name).read_bytes()
    assert replaced == edition_of(LESSONS[0], "teacher"), "a copy that nobody touched is replaced"
    assert main(["lessons", str(tmp_path), "--edition", "none"]) == 2
