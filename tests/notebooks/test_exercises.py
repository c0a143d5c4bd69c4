"""Each exercise is rated, where it stands; each lesson begins with a question about an earlier one."""

import re
from pathlib import Path

import nbformat
import pytest

from bloomlab.editions import kind_of

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
MOST = 3


@every_notebook
def test_above_each_exercise_stands_how_hard_and_how_important_it_is_and_how_long_it_takes(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells  # type: ignore[no-untyped-call]
    rated = 0
    for number, cell in enumerate(cells):
        if kind_of(cell) == "exercise":
            about = cells[number - 1].metadata.get("bloomlab", {})
            assert about.keys() == {"difficulty", "importance", "minutes"}, f"{cell.id} is not rated"
            assert 1 <= about.difficulty <= MOST and 1 <= about.importance <= MOST and 1 <= about.minutes <= 15
            says = f"*Difficulty {about.difficulty} of {MOST} · importance {about.importance} of {MOST} · "
            assert cells[number - 1].source == f"{says}about {about.minutes} minutes*"
            rated += about.minutes
    minutes = nbformat.read(path, as_version=4).metadata.bloomlab.minutes  # type: ignore[no-untyped-call]
    assert 0 < rated < minutes, "the exercises alone take longer than the lesson says"


@every_notebook
def test_a_lesson_begins_with_a_question_about_an_earlier_one(path: Path) -> None:
    if path == NOTEBOOKS[0]:
        return
    cells = nbformat.read(path, as_version=4).cells  # type: ignore[no-untyped-call]
    (at,) = [number for number, cell in enumerate(cells) if cell.id == "recall"]
    asked = re.fullmatch(
        r"\*\*From lesson \[(\d\d[a-z]?)\]\((\w+\.ipynb)\), without looking:\*\* .+\?\n\n"
        r"<details><summary>The answer</summary>\n\n.+\n</details>",
        cells[at].source,
    )
    assert asked, cells[at].source
    assert asked[2].startswith(asked[1]) and FOLDER / asked[2] in NOTEBOOKS[: NOTEBOOKS.index(path)]
    before = [cell for cell in cells[1:at] if cell.cell_type == "markdown" and cell.source.startswith("## ")]
    assert not before, "it stands before the first part"
