"""What mybinder.org does with this repository, as far as that can be seen without it (it builds with Docker)."""

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import bloomlab

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("notebooks/*.md"), *ROOT.glob("notebooks/*.ipynb")]


def test_what_is_in_the_folder_is_what_repo2docker_reads() -> None:
    """A name it does not know would be ignored without a word."""
    assert {path.name for path in (ROOT / "binder").iterdir()} == {
        "requirements.txt",
        "runtime.txt",
        "postBuild",
        "start",
    }


def test_every_link_to_a_notebook_in_binder_or_colab_leads_to_one() -> None:
    door = re.compile(
        r"https://(?:mybinder\.org|colab\.research\.google\.com)/\S*?((?:notebooks/|%2F)[\w%./-]*\.ipynb)"
    )
    for page in PAGES:
        for link in door.findall(page.read_text(encoding="utf-8")):
            assert (ROOT / link.replace("%2F", "/").lstrip("/")).is_file(), f"{page.name} links to {link}"


def test_every_link_between_lessons_leads_to_one() -> None:
    found = 0
    for page in (ROOT / "notebooks").glob("*.*"):
        for link in re.findall(r"\]\(([\w.-]+\.ipynb)\)", page.read_text(encoding="utf-8")):
            found += 1
            assert (ROOT / "notebooks" / link).is_file(), f"{page.name} links to {link}"
    assert found


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="binder's last step is a shell script")
def test_the_last_step_installs_bloomlab_into_a_fresh_environment(tmp_path: Path) -> None:
    """Its dependencies are borrowed: requirements.txt has installed them when this step begins."""
    environment = tmp_path / "fresh"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    site = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = Path(subprocess.check_output([python, "-c", site], text=True).strip())
    (own / "zz_borrowed.pth").write_text(sysconfig.get_path("purelib"))
    path = f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
    settings = {**os.environ, "PATH": path, "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    done = subprocess.run(["bash", "binder/postBuild"], cwd=ROOT, env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(own.glob("bloomlab-*.dist-info")), "it is installed here, and not only borrowed"
    said = subprocess.check_output([environment / "bin" / "bloomlab", "--version"], text=True, cwd=tmp_path)
    assert said == f"bloomlab {bloomlab.__version__}\n"
