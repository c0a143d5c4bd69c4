"""What works here and what does not, with what to do about it: `%bloom doctor`, `bloomlab doctor`, `examine()`.

Nothing is changed and no network is asked; a server of notebooks on this machine is, for its list of extensions.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, requires, version
from json import loads
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from bloomlab.config import SIZES
from bloomlab.memory import free_bytes, gigabytes
from bloomlab.room import fits
from bloomlab.tiny import folder

WIDGETS = ("anywidget", "@jupyter-widgets/jupyterlab-manager")
"""What a page needs to show a view: the names of two extensions of JupyterLab (Notebook 7 is one)."""

ENOUGH = 600 * 10**6  # bytes: torch, the embedded model and a view
MAX_PACKAGE = 1 << 20  # bytes of an extension's package.json
FILES = ("config.json", "model.safetensors", "tokenizer.json")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what.
        found: what is there.
        advice: what to do; "" if all is well.
    """

    name: str
    found: str
    advice: str = ""

    @property
    def ok(self) -> bool:
        """Whether there is nothing to do."""
        return not self.advice


@dataclass(frozen=True, repr=False)
class Report:
    """All checks. Its repr is for reading."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether there is nothing to do."""
        return all(check.ok for check in self.checks)

    def __repr__(self) -> str:
        lines = []
        for check in self.checks:
            lines.append(f"{'ok' if check.ok else '!!':<4}{check.name:<10}{check.found}")
            lines += [f"{'':<14}-> {check.advice}"] if check.advice else []
        bad = sum(not check.ok for check in self.checks)
        last = "all is well" if not bad else f"{bad} of {len(lines) - bad} need care; the arrows say what to do"
        return "\n".join([*lines, last])


def examine() -> Report:
    """Look at the versions, the browser's extensions, the memory, the cache and the embedded model.

    A check that cannot be made says so; it raises nothing.
    """
    from huggingface_hub.constants import HF_HUB_CACHE

    looks: dict[str, Callable[[], Check]] = {
        "python": lambda: python(sys.version_info[:3]),
        "packages": lambda: packages(requires("bloomlab") or [], installed),
        "widgets": lambda: widgets(*extensions(), installed("anywidget")),
        "memory": lambda: memory(free_bytes()),
        "cache": lambda: cache(Path(HF_HUB_CACHE)),
        "network": lambda: network(folder()),
    }
    return Report(tuple(_look(name, look) for name, look in looks.items()))


def _look(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except Exception as error:  # whatever is odd about this machine is what a doctor is called for
        return Check(name, f"cannot tell ({type(error).__name__}: {str(error)[:100]})", "tell us about this machine")


# -- the checks: each is a function of what was found ----


def python(this: tuple[int, ...], oldest: tuple[int, ...] = (3, 11)) -> Check:
    """
    >>> python((3, 10, 4))
    Check(name='python', found='3.10.4', advice='install Python 3.11 or newer')
    """
    advice = "" if this >= oldest else f"install Python {'.'.join(map(str, oldest))} or newer"
    return Check("python", ".".join(map(str, this)), advice)


def packages(required: Sequence[str], installed: Callable[[str], str]) -> Check:
    """Compare what bloomlab requires ("torch>=2.10") with what is installed ("" for what is not)."""
    from packaging.requirements import Requirement

    wanted = [Requirement(line) for line in required if "extra ==" not in line]
    found = {each.name: installed(each.name) for each in wanted}
    wrong = [each for each in wanted if not each.specifier.contains(found[each.name] or "0", prereleases=True)]
    shown = wrong or wanted[:4]
    words = ", ".join(f"{each.name} {found[each.name] or 'missing'}" for each in shown)
    names = " ".join(f'"{each.name}{each.specifier}"' for each in wrong)
    rest = f" and {len(wanted) - len(shown)} more" if len(wanted) > len(shown) and not wrong else ""
    return Check("packages", words + rest, f"{Path(sys.executable).name} -m pip install {names}" if wrong else "")


def widgets(listed: Mapping[str, str] | None, where: str, needed: str) -> Check:
    """Compare the extensions listed by a server, or by folders, with what the views need.

    Args:
        listed: version by name; None if there is no list.
        where: who says so.
        needed: the version of anywidget in this Python.
    """
    if listed is None:
        return Check("widgets", where)
    missing = [name for name in WIDGETS if name not in listed]
    if missing:
        advice = "install anywidget and ipywidgets into the Python that runs the server, restart it, reload the page"
        return Check("widgets", f"{where}: no {' and no '.join(missing)}", advice)
    there = listed["anywidget"]
    found = f"{where}: anywidget {there}".rstrip()
    if there and there.split(".")[:2] != needed.split(".")[:2]:
        return Check("widgets", found, f"this Python has anywidget {needed}: install the same for the server")
    return Check("widgets", found)


def memory(free: int | None) -> Check:
    """Compare the memory this program may still take with what the embedded model and a view need."""
    if free is None:
        return Check("memory", "the system does not say how much is free")
    sizes = [replace(fits(size), free=free) for size in SIZES if size != "tiny"]
    largest = [f"{size.name} in {size.dtypes[0]}" for size in sizes if size.dtypes]
    found = f"{gigabytes(free)} free" + (f"; the largest published BLOOM that fits is {largest[-1]}" if largest else "")
    advice = "end other notebooks (Running, on the left), or ask for a larger machine" if free < ENOUGH else ""
    return Check("memory", found, advice)


def cache(place: Path) -> Check:
    """Try to write where models from the hub are kept; the try leaves nothing behind."""
    nearest = next(path for path in (place, *place.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        return Check("cache", f"{place} cannot be written to: {why}", "name another folder in HF_HUB_CACHE")
    return Check("cache", f"{place}, {gigabytes(shutil.disk_usage(nearest).free)} free")


def network(model: Path) -> Check:
    """Whether the embedded model is here, so that no network is needed."""
    missing = [name for name in FILES if not (model / name).is_file()]
    if missing:
        return Check("network", f"the embedded model lacks {', '.join(missing)}", "install bloomlab again")
    return Check("network", "not needed: the embedded model is here, and nothing else is fetched unless you name it")


# -- what there is to look at ----


def installed(name: str) -> str:
    """The version of a package; "" if there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def extensions() -> tuple[dict[str, str] | None, str]:
    """The extensions of the server that this notebook runs in, or of this Python if there is none; and who says so."""
    if "google.colab" in sys.modules:
        return None, "Colab brings its own way to show widgets"
    server = _server()
    if server is None:
        return _extensions_of_folders(), "JupyterLab here"
    try:
        return _extensions_of_server(server), "the running server"
    except (OSError, ValueError, KeyError):  # URLError is an OSError
        return _extensions_of_folders(), "JupyterLab here (the running server does not say)"


def _server() -> dict[str, Any] | None:
    """What is known about the server that started this kernel."""
    from jupyter_server.serverapp import list_running_servers

    parent = os.environ.get("JPY_PARENT_PID", "")
    return next((server for server in list_running_servers() if str(server["pid"]) == parent), None)


def _extensions_of_server(server: Mapping[str, Any]) -> dict[str, str]:
    """What the server gives to pages; no proxy is asked, the server is on this machine."""
    headers = {"Authorization": f"token {server['token']}"} if server.get("token") else {}
    found, opener = {}, build_opener(ProxyHandler({}))
    for name in WIDGETS:
        request = Request(f"{server['url']}lab/extensions/{name}/package.json", headers=headers)
        try:
            with opener.open(request, timeout=5) as answer:
                found[name] = str(loads(answer.read(MAX_PACKAGE))["version"])
        except HTTPError as error:
            if error.code != 404:
                raise
    return found


def _extensions_of_folders() -> dict[str, str]:
    """What JupyterLab would find, started from this Python."""
    from jupyter_core.paths import jupyter_path

    found: dict[str, str] = {}
    for place in map(Path, reversed(jupyter_path("labextensions"))):
        for path in [*place.glob("*/package.json"), *place.glob("@*/*/package.json")]:
            about = loads(path.read_text(encoding="utf-8"))
            found[about["name"]] = str(about.get("version", ""))
    return found
