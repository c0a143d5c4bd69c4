"""The lessons: what each says of itself is true, its links lead somewhere, and its exercises can be solved.

An untouched exercise does not pass its own check, and the solution printed below it does. (That every notebook runs
from top to bottom is tested by nbmake; how notebooks are stored by test_project.py.)
"""

import ast
import re
import shutil
import sys
from itertools import pairwise, takewhile
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient

import bloomlab
from bloomlab import tiny
from bloomlab.lens.whole import whole
from tests.weights.fake_hub import REPO, fake_hub

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
DONE = "well done"
END = "the lesson ends, its solutions begin"
ROOM = 1_500_000_000  # bytes a kernel may hold
PEAK = """
from pathlib import Path
status = Path("/proc/self/status")  # of Linux alone; VmHWM is the most that was ever held at once
status.exists() and print(status.read_text())
"""

INDEX = (FOLDER / "README.md").read_text(encoding="utf-8")
[COLAB] = re.findall(r"```python\n(.*google\.colab.*?)\n```", INDEX, re.DOTALL)

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)


def number(path: Path) -> str:
    """Of a lesson, as in "02"; one that was put between two others is "02b"."""
    return path.name.split("_")[0]


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def pages(notebook: nbformat.NotebookNode) -> str:
    """All that is to be read in a notebook."""
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def solutions(notebook: nbformat.NotebookNode) -> list[str]:
    """The Python inside each <details> of a notebook."""
    hidden = re.findall(r"<details>.*?</details>", pages(notebook), re.DOTALL)
    return [code for text in hidden for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]


def open_lines(notebook: nbformat.NotebookNode) -> list[tuple[nbformat.NotebookNode, str]]:
    """The lines that a student is to complete, each with its cell."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [(cell, line) for cell in cells for line in cell.source.splitlines() if re.search(r"=\s*\.\.\.$", line)]


def said(notebook: nbformat.NotebookNode) -> str:
    """Run a copy of a notebook and collect all it printed and showed as text."""
    copy = nbformat.from_dict(notebook)
    NotebookClient(copy, timeout=120, kernel_name="python3").execute(cwd=str(FOLDER))
    outputs: list[Any] = [output for cell in copy.cells for output in cell.get("outputs", [])]
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs]
    return "\n".join(texts).lower()


@pytest.mark.slow
@every_notebook
def test_every_exercise_is_solved_by_the_solution_printed_below_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All cells as they are shipped, then each exercise with its solution, in the kernel of one person who goes back.

    In the room that a free Binder gives: bloomlab is told of the limit, and the kernel stays below it.
    """
    monkeypatch.setenv("MEM_LIMIT", str(ROOM))
    notebook = read(path)
    answers, lines = solutions(notebook), open_lines(notebook)
    assert len(answers) == len(lines) > 0
    solved: dict[str, nbformat.NotebookNode] = {}  # a cell may have several lines to complete
    for (cell, line), answer in zip(lines, answers, strict=True):
        its = solved.setdefault(cell.id, nbformat.v4.new_code_cell(cell.source))
        its.source = its.source.replace(line, answer)
    end, peak = (nbformat.v4.new_code_cell(source) for source in (f"print({END!r})", PEAK))
    notebook.cells += [end, *solved.values(), peak]
    as_shipped, then_solved = said(notebook).split(END)
    assert as_shipped.count(DONE) == 0
    assert ("skipped: download is false" in as_shipped) == (number(path) == "12")  # nothing is fetched unasked
    assert then_solved.count(DONE) == len(answers)
    if (most := re.search(r"vmhwm:\s*(\d+) kb", then_solved)) is not None or sys.platform == "linux":
        assert most is not None and int(most[1]) * 1024 < ROOM, then_solved[-200:]


@every_notebook
def test_what_a_lesson_says_of_itself_is_on_its_first_page(path: Path) -> None:
    notebook = read(path)
    about, first = notebook.metadata["bloomlab"], notebook.cells[0].source
    assert about.keys() == {"title", "minutes", "goals", "needs"}
    assert first.startswith(f"# {number(path)} · {about['title']}\n")
    assert re.findall(r"^\d\. (.+?)[;.]$", first, re.MULTILINE) == about["goals"] and len(about["goals"]) == 3
    assert f"\n{about['minutes']} minutes · you need: {about['needs']}." in first


def is_cover(cell: nbformat.NotebookNode) -> bool:
    return bool(cell.cell_type == "code" and cell.source.startswith("checks.cover("))


@every_notebook
def test_a_lesson_asks_before_it_shows(path: Path) -> None:
    assert sum(map(is_cover, read(path).cells)) >= 3


@every_notebook
def test_no_result_under_a_cover_is_typed_in_by_hand(path: Path) -> None:
    """The answer and what is shown are computed when the notebook runs: they are names or expressions, no literals."""
    for cell in read(path).cells:
        if cell.source.startswith("checks.cover("):
            call = ast.parse(cell.source, mode="eval").body
            assert isinstance(call, ast.Call)
            shown = [keyword.value for keyword in call.keywords if keyword.arg == "shows"]
            for value in [call.args[1], *shown]:
                assert any(isinstance(node, ast.Name) for node in ast.walk(value)), ast.unparse(value)


@every_notebook
def test_a_lesson_begins_with_a_cell_that_needs_no_other(path: Path) -> None:
    code = [cell.source for cell in read(path).cells if cell.cell_type == "code" and cell.source != COLAB]
    assert "import bloomlab" in code[0] and "bloomlab.__version__" in code[0]
    assert any("lab = bloomlab.load()" in cell for cell in code[:2])


# the part that a lesson is about; of one that is about no single part, what it looks at
LIT = {
    **{"00": "text", "01": "tokens", "02": "embed", "02b": "scores", "03": "attn", "04": "alibi", "05": "stream"},
    **{"06": "mlp", "07": "next", "08": "scores", "09": "attn", "10": "attn", "10b": "scores"},
    **{"10c": "attn", "11": "scores", "12": "embed", "13": "scores", "14": "alibi", "15": "stream"},
}


@every_notebook
def test_a_lesson_begins_with_the_map_and_its_part_is_lit(path: Path) -> None:
    code = [cell.source for cell in read(path).cells if cell.cell_type == "code"]
    loaded = next(place for place, source in enumerate(code) if "lab = bloomlab.load()" in source)
    assert code[loaded + 1] == f'lab.map(part="{LIT[number(path)]}", small=True)'


def test_the_part_that_is_lit_is_the_one_that_the_map_sends_to_the_lesson() -> None:
    model = bloomlab.load().model
    parts: dict[str, list[str]] = {}
    for part in whole(model.config, model.hook_names()):
        parts.setdefault(part.lesson, []).append(part.name)
    assert {"00", "01", "02", "03", "04", "05", "06", "07"} == parts.keys()
    assert all(LIT[lesson] in names for lesson, names in parts.items())
    assert set(LIT.values()) <= {name for names in parts.values() for name in names}


ASKS = re.compile(
    r"\bPredict\b|[Gg]uess(?: first|:)|your guess|[Bb]efore you (?:run|compute|count|look)|commit yourself"
)


def uncovered(cells: list[nbformat.NotebookNode]) -> list[str]:
    """The texts that ask for a prediction, and are followed by no cover before the next text."""
    found = []
    for number, cell in enumerate(cells):
        if cell.cell_type == "markdown" and ASKS.search(cell.source):
            following = takewhile(lambda one: one.cell_type == "code", cells[number + 1 :])
            found += [] if any(map(is_cover, following)) else [cell.source]
    return found


@every_notebook
def test_no_prediction_is_asked_for_without_a_cover(path: Path) -> None:
    assert uncovered(read(path).cells) == []
    assert "**Predict" not in pages(read(path)), "a cover asks by itself"


@every_notebook
def test_the_links_of_a_lesson_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", pages(read(path)))
    assert links
    for link in links:
        assert (FOLDER / link).is_file(), link


def test_each_lesson_leads_to_the_next() -> None:
    for path, following in pairwise(NOTEBOOKS):
        last = read(path).cells[-1].source
        assert f"({following.name})" in last, f"{path.name} does not end with a link to {following.name}"


def test_the_index_has_a_line_for_every_lesson_and_the_guide_a_section() -> None:
    guide = (FOLDER.parent / "docs" / "teaching.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\d\d[a-z]?) · .+\]\((.+)\) \| (\d+) \|", INDEX, re.MULTILINE)
    minutes = [read(path).metadata["bloomlab"]["minutes"] for path in NOTEBOOKS]
    assert rows == [(number(path), path.name, str(count)) for path, count in zip(NOTEBOOKS, minutes, strict=True)]
    sections = re.findall(r"^### (\d\d[a-z]?) · .+ \((\d+) minutes\)", guide, re.MULTILINE)
    assert sections == [(number, count) for number, _, count in rows]


def test_the_course_begins_with_the_cell_for_colab() -> None:
    cells = [cell.source for cell in read(NOTEBOOKS[0]).cells if cell.cell_type == "code"]
    assert cells[0] == COLAB


@pytest.mark.parametrize("colab", [False, True], ids=["elsewhere", "on Colab"])
def test_the_cell_for_colab_acts_there_and_nowhere_else(colab: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    if colab:
        modules = [ModuleType(name) for name in ("google", "google.colab", "google.colab.output")]
        modules[1].output = modules[2]  # type: ignore[attr-defined]
        modules[2].enable_custom_widget_manager = lambda: done.append("widgets")  # type: ignore[attr-defined]
        for module in modules:
            monkeypatch.setitem(sys.modules, module.__name__, module)
    shell = SimpleNamespace(system=done.append)
    exec(TransformerManager().transform_cell(COLAB), {"get_ipython": lambda: shell})
    assert done == (["pip install --quiet bloomlab-*.whl", "widgets"] if colab else [])


@pytest.mark.slow
def test_the_lesson_on_real_models_opens_one_from_a_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub on this machine answers in place of the real one."""
    notebook = read(FOLDER / "12_the_real_blooms.ipynb")
    for cell in notebook.cells:
        cell.source = cell.source.replace("download = False", "download = True")
        cell.source = re.sub(r'^name = "560m"$', f'name = "{REPO}"', cell.source, flags=re.MULTILINE)
    published = tmp_path / "published"
    published.mkdir()
    for path in tiny.folder().iterdir():
        if path.is_file():
            shutil.copy(path, published)
    with fake_hub(published) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        opened = said(notebook)
    assert hub.asked["GET model.safetensors"] == 1
    assert "skipped" not in opened and "the capital of norway is" in opened

    monkeypatch.setenv("HF_ENDPOINT", "http://localhost:9")  # nobody listens there
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))
    assert re.search(r"skipped: .*small-bloom", said(notebook))
