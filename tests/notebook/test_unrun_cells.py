"""A cell run before those above it: Python says which name is missing, and the kernel says what to do."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from bloomlab.notebook.unrun_cells import next_step

ROOT = Path(__file__).parents[2]
STARTUP = ROOT / "bloomlab" / "notebook" / "startup.py"
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    yield


def printed(cells: list[str]) -> list[str]:
    """What each cell prints in a new kernel, where a cell is run even if the one before has failed."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, kernel_name="python3", allow_errors=True, timeout=60).execute()
    streams = [[output["text"] for output in cell.outputs if output.output_type == "stream"] for cell in notebook.cells]
    return ["".join(texts) for texts in streams]


def needs_another(lesson: Path) -> str:
    """The first cell of a lesson that uses something made in a cell before it."""
    cells = [cell.source for cell in nbformat.read(lesson, as_version=4).cells if cell.cell_type == "code"]
    used = (cell for name in ("lab", "checks") for cell in cells if re.search(rf"\b{name}\.", cell))
    return next(cell for cell in used if "import bloomlab" not in cell)


@pytest.mark.slow
def test_a_lesson_begun_in_its_middle_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONSTARTUP", str(STARTUP))
    outputs = printed([needs_another(lesson) for lesson in LESSONS])
    for lesson, words in zip(LESSONS, outputs, strict=True):
        is_hint = re.fullmatch(r"if a cell above this one makes `(labs?|checks|tiny)`, run that one first: .+\n", words)
        assert is_hint, f"{lesson.name}: {words!r}"


@pytest.mark.slow
def test_where_nothing_runs_first_a_lesson_says_so_after_its_first_cell() -> None:
    assert printed(["import bloomlab", "trace"]) == ["", ""], "to import bloomlab changes nothing in a notebook"
    assert printed(["from bloomlab import checks", "trace"]) == ["", next_step(NameError(name="trace")) + "\n"]


@pytest.mark.slow
def test_only_missing_names_get_a_hint_and_none_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    names = "print(sorted(name for name in globals() if not name.startswith('_')))"
    before = printed([names])
    monkeypatch.setenv("PYTHONSTARTUP", str(STARTUP))
    assert printed([names]) == before
    library = "import types\nlibrary = types.ModuleType('library')\nexec('def f(): return lab', library.__dict__)"
    inside = "def f(): return lab"
    *quiet, twice, function = printed(
        ["{}['lab']", library, "library.f()", "from bloomlab import checks; lab", f"{inside}\nf()"]
    )
    assert quiet == ["", "", ""], "no cell can mend a library"
    assert twice == function == next_step(NameError(name="lab")) + "\n"


@pytest.mark.slow
def test_another_python_that_reads_the_variable_is_left_alone(tmp_path: Path) -> None:
    for python in ([], ["-I"]):
        result = subprocess.run(
            ["python3", *python, "-c", f"exec(open({str(STARTUP)!r}).read()); print(sorted(globals()))"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert "bloomlab" not in result.stdout + result.stderr and result.returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="binder's start is a shell script")
def test_binder_starts_its_kernels_with_it() -> None:
    result = subprocess.run(["binder/start", "printenv", "PYTHONSTARTUP"], cwd=ROOT, capture_output=True, text=True)
    assert Path(result.stdout.strip()) == STARTUP
