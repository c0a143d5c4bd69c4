"""The lessons in other languages: the same notebooks, with their words exchanged.

A lesson is written once, in English. Beside the lessons, `languages/fr/04_alibi.po` holds its words in French, in the
format of gettext, which every translator's program opens: one message for each paragraph, each comment and each text in
quotes, under the name (the id) of the cell that it is in. Nothing else of a cell can be exchanged: its code, its links
and the dots of an exercise are those of the English lesson. One line is added to its first cell: it names the language,
so that covers and checks speak it; what they say stands in `languages/fr/cover.po` and `checks.po`.
`python -m docs.make_catalogues` brings the files up to date when a lesson has changed.
"""

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bloomlab.errors import InputError, shorten

CODE = re.compile(r"(```python\n.*?```)", re.DOTALL)
BLANK = re.compile(r"(\s*\n\s*\n\s*)")
LETTER = re.compile(r"[^\W\d_]")
QUOTED = re.compile(r"""([fF]?)("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')""")
PLACES = re.compile(r"\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}")
MAGIC = re.compile(r"\s*[%!]")  # no Python
BEGINS = "from bloomlab import checks\n"  # in the first cell of each lesson
SHOWN = ("unit", "title", "label", "xlabel", "ylabel")  # what is given under these names a reader sees
WIDEST = 96  # characters of a text in quotes before it is broken


class Message(NamedTuple):
    """A piece of a lesson that can be said in another language.

    Attributes:
        cell: the id of the cell that it is in.
        text: what it says in English; a text in quotes as it stands between them.
        needed: whether a translation has to say it. A single word in quotes may name something in the program, unless
            it is given as one of SHOWN.
        code: whether it stands in code.
    """

    cell: str
    text: str
    needed: bool = True
    code: bool = False


Say = Callable[[Message], str]
Place = tuple[int, int]  # line and character, from 0
Span = tuple[Place, Place]
Catalogue = dict[tuple[str, str], str]
"""What each message is in a language, by its cell and its English."""


def languages(folder: Path) -> tuple[str, ...]:
    """The languages, as "fr", that some lessons in a folder have been translated to."""
    return tuple(sorted(path.name for path in (folder / "languages").glob("*") if path.is_dir()))


def catalogue(lesson: Path, language: str) -> Path:
    """Where the words of a lesson in a language are; the file is there if somebody has translated it."""
    return lesson.parent / "languages" / language / f"{lesson.stem}.po"


def catalogue_of(lesson: Path, language: str) -> Catalogue | None:
    """The words of a lesson in a language; None where nobody has translated it.

    Raises:
        InputError: its file is not in the format of gettext.
    """
    from babel.messages.pofile import PoFileError, read_po

    path = catalogue(lesson, language)
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            found = read_po(file, locale=language, abort_invalid=True)
    except (PoFileError, ValueError, LookupError) as error:  # also an encoding that nobody knows
        raise InputError(
            f"{path.name} is no catalogue of gettext: {shorten(str(error))}; copy the lesson anew"
        ) from None
    return {(each.context or "", str(each.id)): str(each.string) for each in found if each.id and each.string}


def translate(notebook: dict[str, Any], words: Catalogue, language: str) -> dict[str, Any]:
    """A lesson with its words exchanged, and its language named; what a catalogue does not say stays English.

    Raises:
        InputError: what the catalogue says is more than words: the code of a cell would be another.
    """
    told = rewritten(notebook, lambda message: words.get((message.cell, message.text), message.text))
    for before, cell in zip(notebook["cells"], told["cells"], strict=True):
        if cell["cell_type"] == "code":
            if _without_words("".join(before["source"])) != _without_words(cell["source"]):
                where = shorten(str(cell.get("id", "")))
                raise InputError(f"the catalogue for {language} changes the code of cell {where}, not its words alone")
            cell["source"] = cell["source"].replace(BEGINS, f'{BEGINS}\nchecks.language("{language}")')
    return told


def messages(notebook: dict[str, Any]) -> list[Message]:
    """All that can be said in another language, each once, in the order of the lesson."""
    found: dict[tuple[str, str], Message] = {}

    def note(message: Message) -> str:
        before = found.setdefault((message.cell, message.text), message)
        found[message.cell, message.text] = before._replace(needed=before.needed or message.needed)
        return message.text

    rewritten(notebook, note)
    return list(found.values())


def rewritten(notebook: dict[str, Any], say: Say) -> dict[str, Any]:
    """A notebook in which each message is what `say` makes of it."""
    cells = []
    for cell in notebook["cells"]:
        source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
        name = str(cell.get("id", ""))
        if cell["cell_type"] == "markdown":
            source = _prose(source, name, say)
        elif cell["cell_type"] == "code":
            source = _code(source, name, say)
        cells.append({**cell, "source": source})
    return {**notebook, "cells": cells}


def _prose(source: str, cell: str, say: Say) -> str:
    """Paragraph by paragraph; the Python in it as code."""
    parts = []
    for part in CODE.split(source):
        if CODE.fullmatch(part):
            code = part.removeprefix("```python\n").removesuffix("```")
            parts.append(f"```python\n{_code(code, cell, say)}```")
            continue
        for piece in BLANK.split(part):
            bare = piece.strip()
            says = bool(LETTER.search(re.sub(r"<[^>]*>", "", bare)))
            parts.append(piece.replace(bare, say(Message(cell, bare))) if says else piece)
    return "".join(parts)


def _code(source: str, cell: str, say: Say) -> str:
    """Comments, texts in quotes, and the lines of a magic; every name and number stays."""
    lines = source.splitlines(keepends=True)
    magics = [number for number, line in enumerate(lines) if MAGIC.match(line)]
    python = [re.sub(r"[%!][^\n]*", "pass", line) if i in magics else line for i, line in enumerate(lines)]
    quoted = dict(_quoted(python))
    parts: list[str] = []
    done: Place = (0, 0)
    for start, end in sorted([*quoted, *_comments(python), *_lines(lines, magics)]):
        old = _between(lines, start, end)
        say_it = _comment if old.startswith("#") else _line if old.startswith("%") else _text
        message = Message(cell, "", quoted.get((start, end), True), code=True)
        parts += [_between(lines, done, start), say_it(old, message, say, " " * start[1])]
        done = end
    return "".join([*parts, _between(lines, done, (len(lines), 0))])


class _Wordless(ast.NodeTransformer):
    """Leaves of each text what is computed in it, in any order."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        values = [ast.dump(self.visit(part.value)) for part in node.values if isinstance(part, ast.FormattedValue)]
        return ast.Constant("".join(sorted(values)))


def _without_words(source: str) -> str:
    """What is left of a cell without its comments and texts; "" if that is no Python."""
    lines = source.splitlines(keepends=True)
    magics = [
        line.split(maxsplit=2)[:2] if line.startswith("%bloom ") else [line] for line in lines if MAGIC.match(line)
    ]
    python = ["pass\n" if MAGIC.match(line) else line for line in lines]
    try:
        return f"{magics} {ast.dump(_Wordless().visit(ast.parse(''.join(python))))}"
    except (SyntaxError, ValueError):
        return ""


def _between(lines: list[str], start: Place, end: Place) -> str:
    (row, column), (last, stop) = start, end
    if row == last:
        return lines[row][column:stop] if row < len(lines) else ""
    rest = lines[last][:stop] if last < len(lines) else ""
    return "".join([lines[row][column:], *lines[row + 1 : last], rest])


def _quoted(lines: list[str]) -> Iterator[tuple[Span, bool]]:
    """Where the texts in quotes stand, and whether each is SHOWN. What is inside an f-string is part of it."""

    def place(row: int, column: int) -> Place:  # ast counts bytes
        return row - 1, len(lines[row - 1].encode()[:column].decode())

    def found(node: ast.AST, shown: bool = False) -> Iterator[tuple[Span, bool]]:
        text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if isinstance(node, ast.expr) and (text or isinstance(node, ast.JoinedStr)):
            yield (place(node.lineno, node.col_offset), place(node.end_lineno or 0, node.end_col_offset or 0)), shown
            return
        for child in ast.iter_child_nodes(node):
            yield from found(child, isinstance(node, ast.keyword) and node.arg in SHOWN)

    yield from found(ast.parse("".join(lines)))


def _comments(lines: list[str]) -> Iterator[Span]:
    for token in tokenize.generate_tokens(io.StringIO("".join(lines)).readline):
        if token.type == tokenize.COMMENT:
            yield (token.start[0] - 1, token.start[1]), (token.end[0] - 1, token.end[1])


def _lines(lines: list[str], magics: list[int]) -> Iterator[Span]:
    for row in magics:
        if lines[row].startswith("%bloom "):
            yield (row, 0), (row, len(lines[row].rstrip("\n")))


def _line(old: str, message: Message, say: Say, _: str) -> str:
    return say(message._replace(text=old))


def _comment(old: str, message: Message, say: Say, _: str) -> str:
    bare = old.lstrip("# ")
    return old.replace(bare, say(message._replace(text=bare))) if LETTER.search(bare) else old


def _text(old: str, message: Message, say: Say, indent: str) -> str:
    """A text in quotes, which may be written in several pieces: its words in another language, between such quotes."""
    pieces = QUOTED.findall(old)
    text = "".join(body[1:-1] for _, body in pieces)
    bare = re.sub(r"\\.", " ", PLACES.sub(" ", text))
    if not LETTER.search(bare):
        return old
    words = " " in text and bool(re.search(r"[^\W\d_]{2}", bare))
    new = say(message._replace(text=text, needed=words or message.needed))
    if new == text:
        return old
    formed = "f" if any(mark for mark, _ in pieces) else ""
    quote = pieces[0][1][0]
    return f"\n{indent}".join(
        f"{formed}{quote}{piece}{quote}" for piece in (_broken(new) if len(pieces) > 1 else [new])
    )


def _broken(text: str) -> list[str]:
    """A long text in pieces, cut behind spaces that do not stand in braces."""
    pieces = [""]
    for word in re.findall(r"(?:\{[^{}]*\}|\S)+\s*|\s+", text):
        if len(pieces[-1]) + len(word) > WIDEST and pieces[-1]:
            pieces.append("")
        pieces[-1] += word
    return pieces
