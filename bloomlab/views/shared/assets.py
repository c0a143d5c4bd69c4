"""The front end's source, as Jupyter, a saved page and the tests load it: one ES module and one style sheet.

A widget's module is given to the browser as text, so it cannot import its neighbours by path. Here each file of
`widgets/` becomes a function that returns what the file exports, called once and put after those it imports; its
import lines become constants. There is no bundler; what runs is what is written.

What NAME.css says holds inside [data-panel="NAME"] only, so that views can stand in one page. Whatever we say comes
before what the host says of all its headings and tables: each selector is given the weight of an id.
"""

import re
from functools import cache
from pathlib import Path

_IMPORT = re.compile(r'^import (\{[^}]*\}) from "(\.[^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|const|class) (\w+))", re.MULTILINE)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_SELECTORS = re.compile(r"[^{};\s][^{};]*(?=\{)")  # what stands before a brace
_NO_SELECTOR = re.compile(r"@|from\b|to\b|\d+%")  # a rule about rules, a step of an animation
_DEFAULT = re.compile(r"^export default .*?;\n", re.MULTILINE | re.DOTALL)


def folder() -> Path:
    """Where the front end's files are: inside the installed package, or beside it in a checkout."""
    installed = Path(__file__).parents[2] / "_widgets"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "widgets"


def entry(name: str) -> Path:
    """The file of the view `name` that draws it: `widgets/NAME/NAME.js`, or `widgets/NAME.js` if it is one file."""
    alone = folder() / f"{name}.js"
    return alone if alone.is_file() else folder() / name / f"{name}.js"


@cache
def module_text(name: str) -> str:
    """The ES module of the view `name` after everything it imports."""
    *needed, last = _in_order(entry(name))
    return "\n".join([*map(_enclosed, needed), _EXPORT.sub("", _linked(last))])


@cache
def script_text(*paths: str) -> str:
    """Files of `widgets/`, such as "page/host.js", after all they import, as a plain script.

    What one exports is in a constant named after its folder and itself: `page_host.serve`.
    """
    seen: set[Path] = set()
    return "\n".join(_enclosed(file) for path in paths for file in _in_order(folder() / path, seen))


@cache
def style_text() -> str:
    """The style sheet of every view: the theme, what all views share, then what each module says of its own panel.

    One for all: in a page with several, what all views share would come again after what one says of its panel.
    """
    shared = [(folder() / "lib" / sheet).read_text(encoding="utf-8") for sheet in ("theme.css", "view.css")]
    sheets = [path.with_suffix(".css") for path in [*_in_order(entry("explorer")), entry("cover")]]
    own = [
        f':where([data-panel="{sheet.stem}"]) {{\n{above_hosts(sheet.read_text(encoding="utf-8"))}}}\n'
        for sheet in sheets
        if sheet.is_file()
    ]
    return "\n".join([*map(above_hosts, shared), *own])


def above_hosts(css: str) -> str:
    """A style sheet whose selectors each weigh an id more: among themselves they stay as they were.

    >>> above_hosts("@media print { .a, b:is(.c, d)::before { margin: 0 } }")
    '@media print { .a:not(#bl), b:is(.c, d):not(#bl)::before { margin: 0 } }'
    """

    def heavier(match: re.Match[str]) -> str:
        if _NO_SELECTOR.match(match[0]):
            return match[0]
        parts = [""]
        for piece in match[0].rstrip().split(","):
            inside = parts[-1].count("(") > parts[-1].count(")")  # of :is(…)
            parts = [*parts[:-1], f"{parts[-1]},{piece}"] if inside else [*parts, piece]
        return ",".join(re.sub(r"(::[\w-]+)?$", r":not(#bl)\1", part, count=1) for part in parts[1:]) + " "

    return _SELECTORS.sub(heavier, _COMMENT.sub("", css))


@cache
def theme_colour(name: str) -> str:
    """A colour of the light theme, for what is drawn without a page.

    >>> theme_colour("accent")
    '#b3175f'
    """
    theme = (folder() / "lib" / "theme.css").read_text(encoding="utf-8")
    return str(re.findall(rf"--bl-{name}: (?:light-dark\()?(#\w{{6}})", theme)[0])


@cache
def _enclosed(path: Path) -> str:
    """A file as a function that returns its exports: all other names stay inside."""
    text = _DEFAULT.sub("", _linked(path))
    exports = ", ".join(_EXPORT.findall(text))
    return f"const {_name(path)} = (() => {{\n{_EXPORT.sub('', text)}return {{ {exports} }};\n}})();\n"


def _linked(path: Path) -> str:
    """The text of a file, with constants for what it imports."""

    def constant(match: re.Match[str]) -> str:
        return f"const {match[1]} = {_name((path.parent / match[2]).resolve())};\n"

    return _IMPORT.sub(constant, path.read_text(encoding="utf-8"))


def _name(path: Path) -> str:
    return f"{path.parent.name}_{path.stem}"


def _in_order(path: Path, seen: set[Path] | None = None) -> list[Path]:
    """A file and all it imports, each once, a file after those it needs."""
    seen = set() if seen is None else seen
    if path in seen:
        return []
    seen.add(path)
    return [*(part for needed in _imports(path) for part in _in_order(needed, seen)), path]


@cache
def _imports(path: Path) -> list[Path]:
    return [(path.parent / target).resolve() for _, target in _IMPORT.findall(path.read_text(encoding="utf-8"))]
