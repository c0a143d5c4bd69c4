"""The recipes for contributors, followed to the letter in a copy of the project, and the tests they bring along."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [(ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("first-contribution.md", "extending.md")]
STEP = re.compile(
    r"^(?:New file `(?P<new>[^`]+)`|In `(?P<old>[^`]+)`, above `(?P<line>[^`]+)`):\n\n```\w+\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
OTHERS = [  # they would miss an import that goes up, a verb without a sub-command, a view without a page
    "tests/test_floors.py::test_imports_go_down_the_floors_only",
    "tests/notebook/test_commands.py::test_every_verb_of_the_lab_has_a_sub_command_and_the_other_way_round",
    "tests/browser/test_gallery.py::test_no_view_is_left_out",
]


def follow(place: Path) -> list[str]:
    """Write what the pages say into a copy of the project; the names of the files that are new."""
    new = []
    for step in (step for page in PAGES for step in STEP.finditer(page)):
        path = place / (step["new"] or step["old"])
        if step["new"]:
            assert not path.exists() and path.parent.is_dir(), f"{path.name} is there already, or has no folder"
            path.write_text(step["code"], encoding="utf-8")
            new.append(step["new"])
        else:
            text = path.read_text(encoding="utf-8")
            assert text.count(f"\n{step['line']}") == 1, f"{step['old']} has no line, or several, {step['line']!r}"
            path.write_text(text.replace(f"\n{step['line']}", f"\n{step['code']}{step['line']}"), encoding="utf-8")
    return new


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("copy")
    for name in ("bloomlab", "widgets", "docs", "notebooks", "tests"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__", "screenshots"))
    for path in ROOT.glob("*.*"):
        if path.is_file():
            shutil.copy(path, place)
    return place


def run(place: Path, *words: str) -> None:
    settings = {**os.environ, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-m", *words], cwd=place, env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_page_has_a_place(page: str) -> None:
    assert len(STEP.findall(page)) == page.count("\n```") // 2


def test_the_first_lens_has_the_fifteen_lines_it_promises() -> None:
    first = next(STEP.finditer(PAGES[0]))
    assert len([line for line in first["code"].splitlines() if line.strip()]) <= 15


@pytest.mark.slow
@pytest.mark.browser
def test_the_recipes_work_as_they_stand(copy: Path) -> None:
    new = follow(copy)
    tests = [name for name in new if name.startswith("tests/")]
    assert len(tests) == 4
    run(copy, "ruff", "check", *(name for name in new if name.endswith(".py")))
    run(copy, "ruff", "format", "--check", *(name for name in new if name.endswith(".py")))
    run(copy, "pytest", "-q", *tests, "bloomlab/heads/token_rating.py", "bloomlab/lens/sinks.py", *OTHERS)
