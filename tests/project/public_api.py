"""Did a change of the house change what it offers? Compares the public API of two copies of bloomlab.

    python -m tests.project.public_api OLD NEW      two checkouts, or folders with an unpacked wheel

Public are the names of `bloomlab.__all__` and those of docs/api.md. Of each: its signature, its methods with theirs,
and every docstring. A type counts by its name, wherever it lives. Each copy is imported in a process of its own.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LIST = """
import inspect, importlib, json, re, sys
import bloomlab

def described(value):
    try:
        signature = str(inspect.signature(value))
    except (TypeError, ValueError):
        signature = ""
    signature = re.sub(r" object at 0x[0-9a-f]+|\\b(?:[a-z_]\\w*\\.)+(?=[A-Za-z_])", "", signature)
    return [signature, inspect.getdoc(value) or ""]

def entries(name, value):
    yield name, described(value)
    if inspect.isclass(value):
        for each, member in sorted(vars(value).items()):
            if not each.startswith("_") or each in ("__call__", "__getitem__", "__len__", "__iter__"):
                member = getattr(member, "__func__", member)
                member = member.fget if isinstance(member, property) else member
                yield f"{name}.{each}", described(member) if callable(member) else ["", ""]

names = {name: getattr(bloomlab, name) for name in bloomlab.__all__ if name != "__version__"}
for line in json.loads(sys.argv[1]):
    home, name = line.rsplit(".", 1)
    names[name] = getattr(importlib.import_module(home), name)
print(json.dumps(dict(entry for name, value in names.items() for entry in entries(name, value))))
"""


def listed(root: Path) -> dict[str, str]:
    """The names of a copy's docs/api.md, each with the module that it is imported from."""
    names, page = {}, (root / "docs" / "api.md").read_text(encoding="utf-8").splitlines()
    for line, after in zip(page, page[2:], strict=False):
        if line.startswith("### "):
            names[line[4:]] = after.strip("`")
    return names


def api(root: Path) -> dict[str, list[str]]:
    """Every public name of a copy: [signature, docstring]."""
    lines = [f"{module}.{name}" for name, module in listed(root).items()]
    command = [sys.executable, "-c", LIST, json.dumps(lines)]
    said = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(root)})
    result: dict[str, Any] = json.loads(said.stdout)
    return result


def main(old: Path, new: Path) -> int:
    before, after = api(old), api(new)
    gone, come = before.keys() - after.keys(), after.keys() - before.keys()
    both = sorted(before.keys() & after.keys())
    signatures = [name for name in both if before[name][0] != after[name][0]]
    words = [name for name in both if before[name][1] != after[name][1]]
    print(f"{len(before)} names before, {len(after)} after; {len(both)} in both")
    for title, names in (("gone", sorted(gone)), ("new", sorted(come)), ("another signature", signatures)):
        print(f"{title}: {len(names)}", *names, sep="\n  ")
    print(f"another docstring: {len(words)}")
    for name in signatures:
        print(f"\n{name}\n  before {before[name][0]}\n  after  {after[name][0]}")
    return bool(gone or signatures)


if __name__ == "__main__":
    sys.exit(main(*(Path(path).resolve() for path in sys.argv[1:3])))
