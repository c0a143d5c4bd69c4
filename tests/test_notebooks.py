"""Exercises: an untouched one does not pass its own check, and the solution printed below it does.

(That every notebook runs from top to bottom is tested by nbmake; how notebooks are stored by test_project.py.)
"""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
DONE = "well done"


def solutions(notebook: nbformat.NotebookNode) -> list[str]:
    """The Python inside each <details> of a notebook."""
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    hidden = [text for text in texts if "<details>" in text]
    return [code for text in hidden for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]


def printed(notebook: nbformat.NotebookNode) -> str:
    """Run a copy of a notebook and collect all it printed."""
    copy = nbformat.from_dict(notebook)
    NotebookClient(copy, timeout=120, kernel_name="python3").execute()
    outputs = [output for cell in copy.cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.output_type == "stream")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_every_exercise_is_solved_by_the_solution_printed_below_it(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    answers = solutions(notebook)
    open_lines = [
        (cell, line)
        for cell in notebook.cells
        if cell.cell_type == "code"
        for line in cell.source.splitlines()
        if re.search(r"=\s*\.\.\.$", line)
    ]
    assert len(answers) == len(open_lines) > 0
    assert printed(notebook).count(DONE) == 0
    for (cell, line), answer in zip(open_lines, answers, strict=True):
        cell.source = cell.source.replace(line, answer)
    assert printed(notebook).count(DONE) == len(answers)
