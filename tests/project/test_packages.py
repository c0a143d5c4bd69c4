"""What is packed and passed on: the wheel and the sdist hold what they should, and nothing else."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from bloomlab.lab import Lab
from tests.supply import licences, smoke
from tests.supply.__main__ import build

ROOT = Path(__file__).parents[2]
KINDS = {  # folder in the wheel -> endings of what may be in it
    "bloomlab": {".py", ".typed", ".toml", ".md", ".json", ".safetensors"},
    "bloomlab/_widgets": {".js", ".css"},
    "bloomlab/_notebooks": {".ipynb", ".md"},
    "bloomlab/_docs": {".md", ".png", ".gif", ".svg", ".json"},
    "bloomlab/_notebooks/languages": {".po"},
    "bloomlab/reveal": {".js", ".css", ".md", ""},  # of others, with its licence
    "bloomlab-0.1.0.dist-info": {"", ".txt"},
}
SDIST = {  # at the top of the sdist
    *("bloomlab", "widgets", "notebooks", "tests", "docs", "binder"),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "Makefile", "constraints.txt"),
    *("pyproject.toml", "PKG-INFO", ".gitignore"),
}
MOST = 30_000_000  # bytes


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, folder)
    return folder


def contents(wheel: Path) -> dict[str, int]:
    """What is in a wheel, by name: the checksum of each file."""
    with zipfile.ZipFile(wheel) as packed:
        return {part.filename: part.CRC for part in packed.infolist()}


def sources() -> set[str]:
    """What the wheel must hold of this checkout, as it is named there."""
    found = set()
    places = {"bloomlab": "bloomlab"}
    places |= {folder: f"bloomlab/_{folder}" for folder in ("widgets", "notebooks", "docs")}
    for folder, inside in places.items():
        for path in (ROOT / folder).rglob("*"):
            hidden = any(part.startswith((".", "__pycache__")) for part in path.relative_to(ROOT).parts)
            if path.is_file() and not hidden and not (folder == "docs" and path.suffix == ".py"):
                found.add(f"{inside}/{path.relative_to(ROOT / folder).as_posix()}")
    return found


@pytest.mark.slow
def test_the_wheel_holds_the_package_the_front_end_and_the_lessons_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(contents(wheel))
    about = {name for name in names if name.startswith("bloomlab-0.1.0.dist-info/")}
    assert {name.split("/", 1)[1] for name in about} == {
        *("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE", "licenses/bloomlab/reveal/LICENSE"),
    }
    assert names - about == sources()
    for name in names:
        path = PurePosixPath(name)
        folder = max((folder for folder in KINDS if path.is_relative_to(folder)), key=len)
        assert path.suffix in KINDS[folder], name
        assert not any(part.startswith(".") for part in path.parts), name
    assert wheel.stat().st_size < MOST


@pytest.mark.slow
def test_the_sdist_holds_what_it_takes_to_build_and_test_and_gives_the_same_wheel(built: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as packed:
        members = packed.getmembers()
        packed.extractall(tmp_path, filter="data")
    assert all(member.isfile() or member.isdir() for member in members), "a link"
    inside = {PurePosixPath(member.name).relative_to("bloomlab-0.1.0") for member in members}
    assert {path.parts[0] for path in inside} == SDIST
    strange = [path for path in inside if path.suffix in (".pyc", ".so", ".whl", ".bin") or "__pycache__" in path.parts]
    assert strange == [] and sdist.stat().st_size < MOST
    again = build(tmp_path / "bloomlab-0.1.0", tmp_path / "again")
    assert contents(again[0]) == contents(next(built.glob("*.whl")))


@pytest.mark.slow
def test_every_verb_is_smoked(tmp_path: Path) -> None:
    """`make packages` runs the same in an empty environment; here there is no home, no cache, no locale."""
    assert {name for name in dir(Lab) if not name.startswith("_")} == set(smoke.verbs())
    command = [sys.executable, "-W", "ignore", smoke.__file__]
    nowhere = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "MPLCONFIGDIR", "HF_HOME"), "/nonexistent")
    environment = {**os.environ, **nowhere, "LC_ALL": "C", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.slow
def test_everything_that_is_needed_has_a_licence_that_may_be_passed_on() -> None:
    names = licences.needed()
    assert {"torch", "numpy", "jupyterlab", "traitlets"} <= set(names)
    said = {name: licences.licence(name) for name in names}
    assert {name: words for name, words in said.items() if not licences.allowed(words)} == {}
