"""`make packages`: build wheel and sdist, and use the wheel as a stranger would.

    python -m tests.supply                             in this Python's version
    python -m tests.supply python3.12 python3.13       in these, as far as they can be had here (uv may bring them)

Into dist/ go the wheel, the sdist, the list of licences and an SBOM (CycloneDX, JSON) of the first environment. Each
environment is empty but for the wheel and what it needs, in the versions of constraints.txt where those can be had.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PIP = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", *shlex.split(os.environ.get("PIP_ARGS", ""))]


def build(source: Path, out: Path) -> list[Path]:
    """Wheel and sdist of a checkout, or of an unpacked sdist."""
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(out.absolute())]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    return sorted([*out.glob("*.whl"), *out.glob("*.tar.gz")])


def find_python(name: str) -> str:
    """The path of a Python by its name, from the system or through uv; "" if it cannot be had here."""
    found = shutil.which(name)
    if found and subprocess.run([found, "--version"], capture_output=True).returncode == 0:
        return str(found)
    uv = shutil.which("uv")
    if not uv:
        return ""
    asked = subprocess.run([uv, "python", "find", name.removeprefix("python")], capture_output=True, text=True)
    return asked.stdout.strip() if asked.returncode == 0 else ""


def install(python: str, wheel: Path, place: Path) -> Path:
    """An environment with this wheel and what it needs; returns its Python."""
    subprocess.run([python, "-m", "venv", str(place)], check=True)
    own = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pinned = ["-c", str(ROOT / "constraints.txt"), str(wheel)]
    if subprocess.run([own, *PIP, *pinned], capture_output=True).returncode:  # a pin that this Python does not have
        subprocess.run([own, *PIP, str(wheel)], check=True)
    return own


def clean() -> dict[str, str]:
    """The environment variables without those that lead Python to other packages."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


def smoke(python: Path) -> dict[str, object]:
    """What came of every verb there."""
    done = subprocess.run([python, HERE / "smoke.py"], capture_output=True, text=True, env=clean(), cwd="/")
    try:
        said: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        said = {"failed": {"all": done.stderr[-500:]}}
    return said


def sbom(python: Path, place: Path, out: Path) -> None:
    """Write what is in an environment as CycloneDX, with a program that stands in another."""
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    subprocess.run([place / "bin/python", *PIP, "cyclonedx-bom>=7"], check=True, capture_output=True)
    about = ["--pyproject", str(ROOT / "pyproject.toml"), "--mc-type", "library", "--output-reproducible"]
    program = [place / "bin/python", "-m", "cyclonedx_py", "environment", *about, "-o", str(out), str(python)]
    subprocess.run(program, check=True, capture_output=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="*", default=[sys.executable])
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    options = parser.parse_args(arguments)
    shutil.rmtree(options.out, ignore_errors=True)
    built = build(ROOT, options.out)
    print(*(f"{path.name}  {path.stat().st_size / 1e6:.1f} MB" for path in built), sep="\n")
    wheel, wrong, first = next(path for path in built if path.suffix == ".whl"), 0, True
    for name in options.pythons:
        python = find_python(name)
        if not python:
            print(f"{name}: cannot be had here")
            continue
        with TemporaryDirectory() as folder:
            own = install(python, wheel, Path(folder) / "wheel")
            said = smoke(own)
            wrong += bool(said.get("failed") or said.get("untried"))
            print(f"{name}: Python {said.get('python')}, {said.get('tried')} tried, failed: {said.get('failed')}")
            if first:
                listed = subprocess.run([own, HERE / "licences.py"], capture_output=True, text=True, env=clean())
                (options.out / "licences.txt").write_text(listed.stdout, encoding="utf-8")
                wrong += listed.returncode
                print(f"licences of {len(listed.stdout.splitlines())} packages, {listed.stdout.count('←')} to look at")
                sbom(own, Path(folder) / "sbom", options.out / "bloomlab.cdx.json")
                parts = json.loads((options.out / "bloomlab.cdx.json").read_text())["components"]
                print(f"bloomlab.cdx.json: {len(parts)} components")
                first = False
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
