"""Promises about the repository as a whole: what it declares, and what must never be in it."""

import ast
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import bloomlab

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS = ["bloomlab", "widgets", "notebooks", "docs", "tests", "binder", ".ci", ".devcontainer", ".github"]
TEXT = {".py", ".js", ".css", ".md", ".ipynb", ".toml", ".txt", ".json", ".yaml", ".html", ".svg", ""}
GENERATED = {"__pycache__", "screenshots", ".ipynb_checkpoints"}


def files(*folders: str, suffixes: set[str] = TEXT) -> Iterator[Path]:
    """The project's own files of some kind, in some folders."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix in suffixes and not GENERATED & set(path.parts):
                yield path


@cache
def python_trees(*folders: str) -> list[tuple[Path, ast.AST]]:
    """Every node of every Python file, with its file."""
    paths = files(*folders, suffixes={".py"})
    return [(path, node) for path in paths for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]


NOTEBOOKS = list(files("notebooks", suffixes={".ipynb"}))


# What the project declares


def test_the_version_is_the_same_everywhere() -> None:
    assert PROJECT["project"]["version"] == bloomlab.__version__
    assert f"## {bloomlab.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def pins(path: Path) -> dict[str, Version]:
    """The exact versions a requirements file asks for; every other line must be an option or a comment."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        line = line.split("#")[0].strip()
        if line and not line.startswith("-"):
            requirement = Requirement(line)
            (specifier,) = requirement.specifier
            assert specifier.operator == "==" and requirement.url is None, f"{path.name}: {line} is not a pin"
            found[requirement.name.lower().replace("_", "-")] = Version(specifier.version)
    return found


def test_constraints_pin_every_dependency_inside_its_range() -> None:
    pinned = pins(ROOT / "constraints.txt")
    for line in PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]:
        requirement = Requirement(line)
        assert pinned[requirement.name.lower().replace("_", "-")] in requirement.specifier, line
    assert pinned["torch"] == Version("2.13.0")


def test_binder_installs_what_is_tested() -> None:
    tested, binder = pins(ROOT / "constraints.txt"), pins(ROOT / "binder" / "requirements.txt")
    core = {Requirement(line).name.lower().replace("_", "-") for line in PROJECT["project"]["dependencies"]}
    assert core <= set(binder)
    for name, version in binder.items():
        assert Version(version.public) == tested[name], name
    assert (ROOT / "binder" / "runtime.txt").read_text(encoding="utf-8").strip() == "python-3.11"


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_what_binder_runs_is_a_valid_script(name: str) -> None:
    script = ROOT / "binder" / name
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert script.stat().st_mode & 0o100, f"binder/{name} must be executable"


def test_the_container_for_developers_sets_itself_up_from_a_clone() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    make, *words = shlex.split(container["postCreateCommand"])
    planned = subprocess.check_output([make, "--dry-run", "--always-make", *words], cwd=ROOT, text=True)
    assert "-e . --group dev -r binder/requirements.txt" in planned  # torch for CPU, as on Binder
    assert "/.venv/bin/python" in container["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")) + list(files("docs", ".github", suffixes={".md"})), ids=str)
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not link.startswith(("https://", "mailto:")):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


# What must never be in it

MACHINE = ["work/", "opt/wheels", "opt/pypi", "root/", "home/", "Users/"]


@cache
def all_texts() -> list[tuple[Path, str]]:
    """Every file of the project that is text."""
    places = [*files(*FOLDERS), *(path for path in ROOT.iterdir() if path.is_file() and path.suffix in TEXT)]
    return [(path, path.read_text(encoding="utf-8")) for path in places]


@pytest.mark.parametrize("name", MACHINE)
def test_no_file_names_a_folder_of_somebodys_machine(name: str) -> None:
    pattern = re.compile(rf"(?<![\w.~*)\]}}>-])/{re.escape(name)}")
    assert not [str(path) for path, text in all_texts() if f"/{name}" in text and pattern.search(text)]


TEXT_AS_HTML = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|srcdoc"
CODE_FROM_TEXT = r"(?<![\w.])eval\s*\(|new\s+Function\b|setTimeout\(\s*[\"'`]"


def test_pages_show_text_as_text() -> None:
    sources = list(files("widgets", suffixes={".js", ".html", ".svg"})) + list(files("bloomlab/views"))
    assert sources
    for path in sources:
        found = re.search(f"{TEXT_AS_HTML}|{CODE_FROM_TEXT}", path.read_text(encoding="utf-8"))
        assert not found, f"{path}: {found and found[0]}"


def test_the_front_end_asks_nothing_of_the_network() -> None:
    for path in files("widgets", suffixes={".js", ".css"}):
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/", "")
        found = re.search(r"https?:|//cdn|@import|\bfetch\(|XMLHttpRequest|WebSocket|importScripts", text)
        assert not found, f"{path}: {found and found[0]}"


@pytest.mark.slow
def test_nothing_is_ever_attached_to_a_module() -> None:
    for path, node in python_trees("bloomlab"):
        if isinstance(node, ast.Attribute):
            attached = node.attr.startswith("register_") and node.attr.endswith("_hook")
            assert not attached, f"{path}:{node.lineno} attaches a hook; pass hooks as an argument"


@pytest.mark.slow
def test_a_test_that_waits_asks_from_outside_the_page() -> None:
    """A page that is saved forbids `eval`, with which Playwright's own `wait_for_function` asks a second time."""
    called = [path for path, node in python_trees("tests") if getattr(node, "attr", "") == "wait_for_function"]
    assert called == []


@pytest.mark.slow
def test_pickles_are_only_read_as_plain_weights() -> None:
    for path, node in python_trees("bloomlab"):
        letters = path.parts[-2:] == ("spread", "letters.py")  # from one's own engines: see SECURITY.md
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("torch.load", "pickle.load", *([] if letters else ["pickle.loads"]))
        ):
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert keywords.get("weights_only") == "True", f"{path}:{node.lineno}"
        names = [each.name for each in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if {"pickle", "_pickle"} & set(names):
            assert path.name == "bin_process.py" or letters, f"{path}:{node.lineno} reads pickles in this process"


@pytest.mark.slow
def test_what_is_shortened_is_not_put_in_quotes_twice() -> None:
    """`shorten` gives a text in its quotes already."""
    found = [
        (path.name, node.lineno)
        for path, node in python_trees("bloomlab")
        if isinstance(node, ast.FormattedValue)
        and node.conversion == ord("r")
        and "shorten(" in ast.unparse(node.value)
    ]
    assert found == []


@pytest.mark.slow
def test_checks_are_raised_and_not_asserted() -> None:
    """`python -O` drops assert, and an AssertionError says nothing to a user."""
    for path, node in python_trees("bloomlab"):
        assert not isinstance(node, ast.Assert), f"{path}:{getattr(node, 'lineno', 0)}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
        is_cover = cell.cell_type == "code" and cell.source.startswith(
            "checks.cover("
        )  # its explanation is folded away
        assert cell.metadata.get("jupyter") == ({"source_hidden": True} if is_cover else None), cell.source
        assert set(cell.metadata) <= {"tags", "jupyter"} | ({"bloomlab"} if cell.id.startswith("rated-") else set())
    assert set(notebook.metadata) <= {"bloomlab", "kernelspec", "language_info"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebooks_cells_have_at_most_five_lines_of_code(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code" and not cell.source.startswith("checks.cover("):  # a cover is mostly words
            lines = [line for line in cell.source.splitlines() if line.strip() and not line.startswith("#")]
            assert len(lines) <= 5, cell.source


def test_there_is_a_notebook_to_begin_with() -> None:
    assert ROOT / "notebooks" / "00_welcome.ipynb" in NOTEBOOKS
