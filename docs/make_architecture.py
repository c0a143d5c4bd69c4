"""Write docs/architecture.md and its picture, the rooms and who imports whom: `python -m docs.make_architecture`.

It reads the source and imports nothing of it. The floors of tests/test_floors.py are checked against the same imports.
"""

import ast
import re
from functools import cache
from graphlib import TopologicalSorter
from html import escape
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bloomlab"
PAGE = ROOT / "docs" / "architecture.md"
PICTURE = ROOT / "docs" / "architecture.svg"

DOWNWARDS_LATER = {("config", "weights.hub")}  # BloomConfig.from_pretrained("name") looks for the file when called


# ---- the imports ----


@cache
def modules() -> dict[str, Path]:
    """Every module of the package, by its dotted name below `bloomlab`; a folder's own `__init__` by the folder's."""
    files = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return files


@cache
def imports(path: Path) -> list[tuple[str, bool]]:
    """Every name a file imports, and whether at once, as the file is read, or later, in a function."""
    found = []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    later = {
        inner
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(function)
    }
    package = ".".join(["bloomlab", *path.relative_to(PACKAGE).parts[:-1]])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.append((alias.name, node not in later))
        elif isinstance(node, ast.ImportFrom):
            start = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            for alias in node.names:
                found.append((f"{base}.{alias.name}", node not in later))
    return found


@cache
def own_imports(path: Path) -> list[tuple[str, bool]]:
    """The modules of bloomlab that a file of it imports, and whether at once."""
    files, targets = modules(), []
    for name, at_once in imports(path):
        if name.split(".")[0] == "bloomlab" and name != "bloomlab.__version__":
            module = name.removeprefix("bloomlab").removeprefix(".")
            while module and module not in files:
                module = module.rpartition(".")[0]
            targets.append((module or "__init__", at_once))
    return targets


# ---- rooms and floors ----


def rooms() -> dict[str, set[str]]:
    """Each room, a folder or a file beside the folders, and the rooms that it imports from.

    `__init__` and `__main__` are left out: the front doors, through which one comes to all of it.
    """
    graph: dict[str, set[str]] = {}
    for module, path in modules().items():
        room = module.split(".")[0]
        if not room.startswith("__"):
            targets = {target for target, _ in own_imports(path) if (module, target) not in DOWNWARDS_LATER}
            graph.setdefault(room, set()).update({target.split(".")[0] for target in targets} - {room})
    return graph


def floors(graph: dict[str, set[str]]) -> dict[str, int]:
    """How high each room stands, the ground at 0: above all that it imports from, and right below who needs it first.

    >>> floors({"errors": set(), "model": {"errors"}, "lessons": set(), "lab": {"model", "lessons"}})
    {'errors': 0, 'model': 1, 'lessons': 1, 'lab': 2}
    """
    order = [*TopologicalSorter(graph).static_order()]  # raises CycleError where rooms import each other
    height: dict[str, int] = {}
    for room in order:
        height[room] = 1 + max((height[below] for below in graph[room]), default=-1)
    for room in reversed(order):
        users = [height[user] for user, targets in graph.items() if room in targets]
        height[room] = min(users) - 1 if users else height[room]
    return {room: height[room] for room in graph}


def direct(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The arrows that say something: not those to a room that another arrow leads to anyway.

    >>> direct({"config": set(), "model": {"config"}, "lab": {"model", "config"}})["lab"]
    {'model'}
    """

    def below(room: str) -> set[str]:
        return graph[room].union(*map(below, graph[room]))

    return {
        room: {target for target in targets if not any(target in below(other) for other in targets - {target})}
        for room, targets in graph.items()
    }


def about(path: Path) -> str:
    """The first paragraph of a file's docstring, or of its comment at the top, in one line."""
    source = path.read_text(encoding="utf-8")
    text = ast.get_docstring(ast.parse(source)) or source.partition("\nif ")[0].replace("# ", "")
    return " ".join(text.partition("\n\n")[0].split())


def first_sentence(room: str, path: Path) -> str:
    """What a room is, in a few words that do not begin with its name."""
    words = about(path).partition(". ")[0].rstrip(".").replace("`", "")
    name, _, rest = words.partition(": ")
    words = rest if rest and name.lower().removeprefix("the ") == room else words
    return words[:1].upper() + words[1:]


# ---- the page ----


def page() -> str:
    """The whole page."""
    graph, files = rooms(), modules()
    height = floors(graph)
    parts = [
        "# The floors of the house",
        "Made from the imports and the docstrings by `python -m docs.make_architecture`; a test compares. An import "
        "goes down, never up and never in a circle, so a file can be read knowing only what stands below it. "
        "`import bloomlab` is the front door: it loads none of this until a name is used.",
        f"![{len(graph)} rooms on {max(height.values()) + 1} floors, from errors on the ground to the command on top; "
        "an arrow leads from a room to one it imports from](architecture.svg)",
        "An arrow to a room that other arrows lead to anyway is left out. From the ground up:",
    ]
    for room in sorted(graph, key=lambda room: (height[room], room)):
        inside = [name for name in reading_order(room) if name in files and name != room]
        parts.append(f"## {room}{'/' if inside else ''}")
        parts.append(f"Floor {height[room]}. {about(files[room])}")
        if inside:
            parts.append("\n".join(f"- `{short(name)}`: {about(files[name])}" for name in inside))
    return "\n\n".join([*parts, *in_javascript()]) + "\n"


TWINS = {  # of widgets/, where the name does not say it
    "model/beam.js": "generation/beam.py",
    "model/causal_lm.js": "heads/causal_lm.py",
    "model/edits.js": "tracing/edits.py",
    "model/errors.js": "errors.py",
    "model/hooks.js": "hooks.py",
    "model/tokenizer.js": "text/tokenizer.py",
    "model/tokens.js": "text/tokens.py",
    "model/trace.js": "tracing/record.py",
    "model/visible.js": "text/tokens.py",
    "model/weights.js": "weights/tensor_file.py",
    "page/attention.js": "views/attention/payload.py",
    "page/alibi.js": "views/alibi/payload.py",
    "page/cells.js": "lens/cells.py",
    "page/code.js": "views/shared/code.py",
    "page/direction.js": "lens/direction.py",
    "page/donors.js": "tracing/donors.py",
    "page/edit_list.js": "views/shared/edits.py",
    "page/effects.js": "views/hidden/effects.py",
    "page/held.js": "lens/held.py",
    "page/hidden.js": "views/hidden/payload.py",
    "page/host.js": "views/view.py",
    "page/keep.js": "lens/keep.py",
    "page/like.js": "tiny/like.py",
    "page/pictures.js": "views/shared/panel.py",
    "page/predictions.js": "views/predictions/payload.py",
    "page/look.js": "views/attention/receipt.py",
    "page/look_receipt.js": "lens/look_receipt.py",
    "page/receipt.js": "views/predictions/receipt.py",
    "page/receipt_lines.js": "lens/receipt.py",
    "page/tokens.js": "views/tokens/payload.py",
    "page/ledger.js": "lens/cache.py",
    "page/runs.js": "views/view.py",
    "page/writing.js": "views/writing/payload.py",
    "page/written.js": "views/writing/writing.py",
    "model/sampling.js": "generation/sampling.py",
    "page/words.js": "views/shared/tables.py",
}


def in_javascript() -> list[str]:
    """The files of a page that computes by itself, each beside its Python twin."""
    lines = ["| in a page | in Python | |", "|---|---|---|"]
    for path in [*sorted((ROOT / "widgets/model").glob("*.js")), *sorted((ROOT / "widgets/page").glob("*.js"))]:
        name = f"{path.parent.name}/{path.name}"
        twin = TWINS.get(name, f"{path.parent.name}/{path.stem}.py")
        has_twin = (PACKAGE / twin).is_file()
        comment = " ".join(re.findall(r"^// (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)[1:12])
        first = re.split(r"(?<=[.]) ", comment)[0].rstrip(".")
        lines.append(f"| `{name}` | {f'`{twin}`' if has_twin else ''} | {first.replace('|', '/')}. |")
    words = (
        "A page that is saved with `live=True` has BLOOM in JavaScript inside, to be read beside the Python: the same "
        "names, spots and axes. A test plays the same texts, edits and choices through both."
    )
    return ["## widgets/, in a live page", words, "\n".join(lines)]


def reading_order(room: str) -> list[str]:
    """The files of a room, each after those that it imports from, and else as its docstring lists them."""
    listed = about(modules()[room]).partition("n this order: ")[2].rstrip(".").split(", ")
    files = {name: path for name, path in modules().items() if name.split(".")[0] == room}
    waiting = {
        name: {target for target, _ in own_imports(path) if target in files and target not in (name, room)}
        for name, path in files.items()
    }
    ordered: list[str] = []
    while waiting:
        ready = [name for name, needed in waiting.items() if not needed - {*ordered}]
        name = min(ready, key=lambda name: (listed.index(short(name)) if short(name) in listed else -1, name))
        ordered.append(name)
        del waiting[name]
    return ordered


def short(module: str) -> str:
    """The name of a module within its room."""
    return module.partition(".")[2]


# ---- the picture ----

WIDTH, FLOOR, BOX, HIGH = 960, 92, 276, 60  # pixels: of the picture, of a floor, and of a room
LONG = 4 * FLOOR  # a longer arrow runs along the margin
MARGIN = 30  # pixels at the right, where the arrows run that would cross many floors
STYLE = """
svg { --paper: #ffffff; --room: #f4f1ea; --ink: #1f1f1f; --faint: #5c5c5c; --line: #9a8c6e; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #16181c; --room: #262a31; --ink: #ececec; --faint: #b0b0b0; --line: #8d8468; }
}
.paper { fill: var(--paper); }
.room { fill: var(--room); stroke: var(--line); }
.arrow { fill: none; stroke: var(--line); stroke-width: 1.4; }
.head { fill: var(--line); }
text { font-family: system-ui, sans-serif; fill: var(--ink); }
.name { font-size: 15px; font-weight: 600; }
.about { font-size: 11px; fill: var(--faint); }
"""


def picture() -> str:
    """The rooms as boxes, the command on top, and an arrow from each room to those right below that it imports from."""
    graph, files = direct(rooms()), modules()
    height = floors(rooms())
    place = places(graph, height)
    most = max(height.values())
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + MARGIN} {(most + 1) * FLOOR + 16}" role="img">',
        f"<title>The {len(graph)} rooms of bloomlab on {most + 1} floors</title><style>{STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="head" d="M0 0L8 4L0 8z"/></marker></defs>',
        '<rect class="paper" width="100%" height="100%"/>',
    ]
    for room, targets in sorted(graph.items()):
        for target in sorted(targets, key=lambda name: place[name]):
            curve = arrow(place[room], place[target])
            lines.append(f'<path class="arrow" marker-end="url(#head)" d="{curve}"/>')
    for room, (x, y) in sorted(place.items()):
        left = x - BOX // 2
        lines.append(f'<rect class="room" x="{left}" y="{y}" width="{BOX}" height="{HIGH}" rx="8"/>')
        name = room + "/" * (files[room].name == "__init__.py")
        lines.append(f'<text class="name" x="{left + 12}" y="{y + 21}">{name}</text>')
        for line, words in enumerate(two_lines(first_sentence(room, files[room]))):
            lines.append(f'<text class="about" x="{left + 12}" y="{y + 37 + 14 * line}">{escape(words)}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    """The curve from below one box to above another; past many floors, along the margin instead."""
    (x, y), (to_x, to_y) = start, end
    if to_y - y > LONG:
        side, right = WIDTH + MARGIN // 2, BOX // 2
        y, to_y = y + HIGH // 2, to_y + HIGH // 2
        corner, landing = f"Q{side} {y} {side} {y + 8}", f"Q{side} {to_y} {side - 8} {to_y}"
        return f"M{x + right} {y}H{side - 8}{corner}V{to_y - 8}{landing}H{to_x + right + 2}"
    y, to_y = y + HIGH, to_y - 2
    bend = max(24, (to_y - y) // 2)
    return f"M{x} {y}C{x} {y + bend} {to_x} {to_y - bend} {to_x} {to_y}"


def places(graph: dict[str, set[str]], height: dict[str, int]) -> dict[str, tuple[int, int]]:
    """The middle of each box's upper edge.

    On a floor, a room stands as near as can be above those it leans on; one with a long arrow stands near the margin.
    """
    most = max(height.values())
    place: dict[str, tuple[int, int]] = {}
    for floor in range(most + 1):
        here = [room for room in sorted(graph) if height[room] == floor]
        lean = {room: mean([place[target][0] for target in graph[room]] or [WIDTH / 2]) for room in here}
        long = {room: any(height[room] - height[target] > LONG // FLOOR for target in graph[room]) for room in here}
        for column, room in enumerate(sorted(here, key=lambda room: (long[room], lean[room]))):
            x = round(WIDTH * (2 * column + 1) / (2 * len(here)))
            place[room] = (x, 8 + (most - floor) * FLOOR)
    return place


def two_lines(words: str, letters: int = 42) -> list[str]:
    """A few words in at most two lines.

    >>> two_lines("who looks at whom and why", letters=12)
    ['who looks at', 'whom and why']
    """
    lines = [""]
    for word in words.split():
        if lines[-1] and len(f"{lines[-1]} {word}") > letters:
            if len(lines) == 2:
                lines[-1] += " …"
                break
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    PICTURE.write_text(picture(), encoding="utf-8")
