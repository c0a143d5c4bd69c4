"""The tests of downloads once more, with the oldest huggingface_hub that bloomlab allows; else they run the newest."""

import os
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-oldest" / "bin" / "python"
DOWNLOADS = [
    f"tests/weights/{name}.py" for name in ("test_hub", "test_hub_cache", "test_download", "test_download_interrupts")
]
PINNED = (ROOT / "tests" / "oldest" / "requirements.txt").read_text(encoding="utf-8").splitlines()[-1]


def test_the_oldest_version_that_is_tested_is_the_oldest_that_is_allowed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (allowed,) = [line for line in project["dependencies"] if Requirement(line).name == "huggingface_hub"]
    (lowest,) = [each for each in Requirement(allowed).specifier if each.operator == ">="]
    (pinned,) = Requirement(PINNED).specifier
    assert Version(pinned.version) == Version(lowest.version)


@pytest.mark.slow
@pytest.mark.parametrize("which", [["-m", "not slow"], ["-k", "interrupt_anywhere_in_a_download"]])
def test_downloads_pass_their_tests_with_the_oldest_huggingface_hub(which: list[str]) -> None:
    if not PYTHON.exists():
        reason = "there is no .venv-oldest, the environment with the oldest huggingface_hub; `make test` makes it"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    version = "import huggingface_hub as hub; print(f'huggingface_hub=={hub.__version__}')"
    assert subprocess.check_output([PYTHON, "-c", version], text=True).strip() == PINNED
    command = [PYTHON, "-m", "pytest", *DOWNLOADS, "-q", *which, "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-3000:] + done.stderr[-1000:]
