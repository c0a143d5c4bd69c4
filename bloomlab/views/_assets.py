"""The front end's source, as Jupyter, a saved page and the tests load it: one ES module and one style sheet.

A widget's module is given to the browser as text, so it cannot import its neighbours by path. Here each file of
`widgets/` is put after the files it imports, the import lines and the word `export` of the neighbours dropped.
There is no bundler; what runs is what is written. So top-level names must differ between the files that one
widget uses (a test checks).
"""

import re
from functools import cache
from pathlib import Path

_IMPORT = re.compile(r'^import \{[^}]*\} from "(\.[^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?!default)", re.MULTILINE)


def folder() -> Path:
    """Where the front end's files are: inside the installed package, or beside it in a checkout."""
    installed = Path(__file__).parents[1] / "_widgets"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "widgets"


@cache
def module_text(name: str) -> str:
    """The ES module of the view `name`: `widgets/NAME.js` after everything it imports."""
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", text)) for text in _in_order(folder() / f"{name}.js"))


@cache
def style_text(name: str) -> str:
    """The style sheet of the view `name`: the theme, what all views share, then `widgets/NAME.css`."""
    parts = ("lib/theme.css", "lib/view.css", f"{name}.css")
    return "\n".join((folder() / path).read_text(encoding="utf-8") for path in parts)


def _in_order(path: Path, seen: set[Path] | None = None) -> list[str]:
    """The texts of a file and of all it imports, each once, a file after those it needs."""
    seen = set() if seen is None else seen
    if path in seen:
        return []
    seen.add(path)
    text = path.read_text(encoding="utf-8")
    needed = [part for found in _IMPORT.findall(text) for part in _in_order((path.parent / found).resolve(), seen)]
    return [*needed, text]
