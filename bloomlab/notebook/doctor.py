"""What works on this machine, what does not, and what to do about it: `%bloom doctor`, `bloomlab doctor`, `examine()`.

Nothing is changed and the network is not used, except to ask a notebook server on this machine for its extensions.
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

from bloomlab import tiny
from bloomlab.config import SIZES
from bloomlab.guards.memory import free_bytes, gigabytes
from bloomlab.weights.fits import fits

WIDGETS = ("anywidget", "@jupyter-widgets/jupyterlab-manager")
"""The two JupyterLab extensions that a page needs to show a view (Notebook 7 is built on JupyterLab)."""

ENOUGH = 600 * 10**6  # bytes: torch, the embedded model and a view
MAX_PACKAGE = 1 << 20  # bytes of an extension's package.json
FILES = ("config.json", "model.safetensors", "tokenizer.json")


@dataclass(frozen=True)
class Check:
    """One thing that was checked; it is true if all is well.

    Attributes:
        name: the thing.
        found: its state.
        advice: what to do about it; "" if all is well.
    """

    name: str
    found: str
    advice: str = ""

    @property
    def ok(self) -> bool:
        """Whether there is nothing to do."""
        return not self.advice

    def __bool__(self) -> bool:
        return self.ok


@dataclass(frozen=True, repr=False)
class Report:
    """All checks. Its repr is for reading; it is true if all is well."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether there is nothing to do."""
        return all(check.ok for check in self.checks)

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        lines = []
        for check in self.checks:
            lines.append(f"{'ok' if check.ok else '!!':<4}{check.name:<10}{check.found}")
            lines += [f"{'':<14}-> {check.advice}"] if check.advice else []
        bad = sum(not check.ok for check in self.checks)
        summary = f"{bad} of {len(self.checks)} need care; the arrows say what to do" if bad else "all is well"
        return "\n".join([*lines, summary])


def examine() -> Report:
    """Check the versions, the browser's extensions, the memory, the cache and the embedded model.

    A check that cannot be made says so and does not raise.
    """
    from huggingface_hub.constants import HF_HUB_CACHE

    checks: dict[str, Callable[[], Check]] = {
        "python": lambda: python(sys.version_info[:3]),
        "packages": lambda: packages(requires("bloomlab") or [], installed),
        "widgets": lambda: widgets(*extensions(), installed("anywidget")),
        "memory": lambda: memory(free_bytes()),
        "cache": lambda: cache(Path(HF_HUB_CACHE)),
        "network": lambda: network(tiny.folder()),
    }
    return Report(tuple(_run(name, check) for name, check in checks.items()))


def _run(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except Exception as error:  # anything odd about this machine is worth reporting
        return Check(name, f"cannot tell ({type(error).__name__}: {str(error)[:100]})", "tell us about this machine")


# -- the checks: pure functions ----


def python(this: tuple[int, ...], oldest: tuple[int, ...] = (3, 11)) -> Check:
    """Compare this Python's version with the oldest that works.

    >>> python((3, 10, 4))
    Check(name='python', found='3.10.4', advice='install Python 3.11 or newer')
    """
    advice = "" if this >= oldest else f"install Python {'.'.join(map(str, oldest))} or newer"
    return Check("python", ".".join(map(str, this)), advice)


def packages(required: Sequence[str], installed: Callable[[str], str]) -> Check:
    """Compare what bloomlab requires ("torch>=2.10") with what is installed ("" for what is not)."""
    from packaging.requirements import Requirement

    requirements = [Requirement(line) for line in required if "extra ==" not in line]
    versions = {each.name: installed(each.name) for each in requirements}
    wrong = [each for each in requirements if not each.specifier.contains(versions[each.name] or "0", prereleases=True)]
    shown = wrong or requirements[:4]
    listed = ", ".join(f"{each.name} {versions[each.name] or 'missing'}" for each in shown)
    more = f" and {len(requirements) - len(shown)} more" if len(requirements) > len(shown) and not wrong else ""
    names = " ".join(f'"{each.name}{each.specifier}"' for each in wrong)
    return Check("packages", listed + more, f"{Path(sys.executable).name} -m pip install {names}" if wrong else "")


def widgets(listed: Mapping[str, str] | None, where: str, needed: str) -> Check:
    """Compare the extensions listed by a server, or by folders, with what the views need.

    Args:
        listed: version by name; None if there is no list.
        where: who listed them.
        needed: the version of anywidget in this Python.
    """
    if listed is None:
        return Check("widgets", where)
    missing = [name for name in WIDGETS if name not in listed]
    if missing:
        advice = "install anywidget and ipywidgets into the Python that runs the server, restart it, reload the page"
        return Check("widgets", f"{where}: no {' and no '.join(missing)}", advice)
    served = listed["anywidget"]
    found = f"{where}: anywidget {served}".rstrip()
    if served and served.split(".")[:2] != needed.split(".")[:2]:
        return Check("widgets", found, f"this Python has anywidget {needed}: install the same for the server")
    return Check("widgets", found)


def memory(free: int | None) -> Check:
    """Compare the memory this program may still use with what the embedded model and a view need."""
    if free is None:
        return Check("memory", "the system does not say how much is free")
    sizes = [replace(fits(size), free=free) for size in SIZES if size != "tiny"]
    largest = [f"{size.name} in {size.dtypes[0]}" for size in sizes if size.dtypes]
    found = f"{gigabytes(free)} free" + (f"; the largest published BLOOM that fits is {largest[-1]}" if largest else "")
    advice = "end other notebooks (Running, on the left), or ask for a larger machine" if free < ENOUGH else ""
    return Check("memory", found, advice)


def cache(folder: Path) -> Check:
    """Try to write to the cache of models from the hub; nothing is left behind."""
    if folder.parts[:1] == ("~",):
        return Check("cache", "there is no home folder to keep models in", "name a folder in HF_HUB_CACHE")
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        return Check("cache", f"{folder} cannot be written to: {why}", "name another folder in HF_HUB_CACHE")
    return Check("cache", f"{folder}, {gigabytes(shutil.disk_usage(nearest).free)} free")


def network(model: Path) -> Check:
    """Whether the embedded model is here, so that no network is needed."""
    missing = [name for name in FILES if not (model / name).is_file()]
    if missing:
        return Check("network", f"the embedded model lacks {', '.join(missing)}", "install bloomlab again")
    return Check("network", "not needed: the embedded model is here, and nothing else is fetched unless you name it")


# -- what is installed, and what the server has ----


def installed(name: str) -> str:
    """The version of a package; "" if there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def extensions() -> tuple[dict[str, str] | None, str]:
    """The extensions of this notebook's server, or of this Python if there is none; and who listed them."""
    if "google.colab" in sys.modules:
        return None, "Colab has its own way to show widgets"
    server = _server()
    if server is None:
        return _extensions_of_folders(), "JupyterLab here"
    try:
        return _extensions_of_server(server), "the running server"
    except (OSError, ValueError, KeyError):  # URLError is an OSError
        return _extensions_of_folders(), "JupyterLab here (the running server does not say)"


def _server() -> dict[str, Any] | None:
    """The address and token of the server that started this kernel, as Jupyter keeps them; None if there is none."""
    from jupyter_server.serverapp import list_running_servers

    parent = os.environ.get("JPY_PARENT_PID", "")
    return next((server for server in list_running_servers() if str(server["pid"]) == parent), None)


def _extensions_of_server(server: Mapping[str, Any]) -> dict[str, str]:
    """The extensions that the server serves to pages; asked without a proxy, since it is on this machine."""
    headers = {"Authorization": f"token {server['token']}"} if server.get("token") else {}
    versions, opener = {}, build_opener(ProxyHandler({}))
    for name in WIDGETS:
        request = Request(f"{server['url']}lab/extensions/{name}/package.json", headers=headers)
        try:
            with opener.open(request, timeout=5) as response:
                versions[name] = str(loads(response.read(MAX_PACKAGE))["version"])
        except HTTPError as error:
            if error.code != 404:
                raise
    return versions


def _extensions_of_folders() -> dict[str, str]:
    """The extensions that JupyterLab would find if started from this Python."""
    from jupyter_core.paths import jupyter_path

    versions: dict[str, str] = {}
    for extensions_folder in map(Path, reversed(jupyter_path("labextensions"))):
        for path in [*extensions_folder.glob("*/package.json"), *extensions_folder.glob("@*/*/package.json")]:
            package = loads(path.read_text(encoding="utf-8"))
            versions[package["name"]] = str(package.get("version", ""))
    return versions
