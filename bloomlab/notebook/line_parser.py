"""What a line of `%bloom` asks for: read by the table in `bloomlab.commands`, run, or shown as Python.

    %bloom generate --seed 1 Leo lives in         lab.generate('Leo lives in', seed=1, do_sample=True)
    %bloom ablate --spot h.2.attn.mixed --head 3 Leo lives in Oslo.
    %bloom load 560m                              bloomlab.load('560m')

Options come first; what follows them is the text, untouched.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from keyword import iskeyword
from typing import Any

from bloomlab.commands import COMMANDS, Command, Option, Page, Parser, unknown_command
from bloomlab.errors import did_you_mean
from bloomlab.hub import NAMES

SAMPLING = {"temperature", "top_k", "top_p", "seed"}  # options that only make sense when tokens are drawn
FLAGS = {"--code", "-h", "--help"}  # the options that take no value
COMMON = ["-o", "--code", "--help"]


def split_line(line: str) -> tuple[list[str], str]:
    """The options at the start of a line, and the text after them, untouched.

    >>> split_line("--seed 1 -o story Don't  stop")
    (['--seed', '1', '-o', 'story'], "Don't  stop")
    >>> split_line("-- -5 degrees")                  # two dashes end the options
    ([], '-5 degrees')
    >>> split_line('"A text in quotes"')             # quotes around all of it are not part of it
    ([], 'A text in quotes')
    >>> split_line("--question 'Where is he?' Leo")  # and around a value of more than one word
    (['--question', 'Where is he?'], 'Leo')
    """
    options: list[str] = []
    while word := re.match(r"\s*(-\S+)", line):
        line = line[word.end() :]
        if word[1] == "--":
            break
        options.append(word[1])
        value = re.match(r"""\s*("[^"]*"|'[^']*'|\S+)""", line)
        if value and word[1] not in FLAGS and "=" not in word[1]:
            options.append(_unquoted(value[1]))
            line = line[value.end() :]
    return options, _unquoted(line.strip())


def _unquoted(text: str) -> str:
    """A text without the quotes that stand around all of it."""
    quoted = re.fullmatch(r"""(["'])(.+)\1""", text)
    return quoted[2] if quoted and quoted[1] not in quoted[2] else text


def split_question(text: str) -> tuple[str, str]:
    """The question, up to its question mark or the end of its line, and the text to look in.

    >>> split_question("Where does Leo live? Leo lives in Oslo.")
    ('Where does Leo live?', 'Leo lives in Oslo.')
    >>> split_question("小梅住在哪里？小梅住在北京。")
    ('小梅住在哪里？', '小梅住在北京。')
    """
    parts = re.fullmatch(r"\s*(.+?(?:[?？؟]|\n))\s*(.*)", text, re.DOTALL)
    return (parts[1].strip(), parts[2]) if parts else (text, "")


@dataclass(frozen=True)
class Order:
    """A line of `%bloom`, understood: what to call, and with what."""

    command: Command
    arguments: list[str]
    options: dict[str, Any]
    name: str | None = None  # where to keep the result
    code: bool = False  # show the Python instead

    def python(self, opening: str) -> Page:
        """The Python that does the same, in a notebook where nothing has been imported yet."""
        given = [*map(repr, self.arguments), *(f"{key}={value!r}" for key, value in self.options.items())]
        home = self.command.call.rpartition(".")[0]
        before = f"import bloomlab\n\n{opening}\n" if home == "lab" else f"import {home}\n\n"
        name = self.name or ("lab" if self.command.call == "bloomlab.load" else None)
        return Page(f"{before}{f'{name} = ' if name else ''}{self.command.call}({', '.join(given)})")

    def run(self, lab: Any) -> Any:
        """Call it; `lab` is only asked for its verbs."""
        home, _, verb = self.command.call.rpartition(".")
        return getattr(lab if home == "lab" else import_module(home), verb)(*self.arguments, **self.options)


def understand(line: str, cell: str | None = None) -> Order:
    """Read what follows `%bloom`, and the body of a cell if there is one.

    Raises:
        InputError: there is no such sub-command or option, a value cannot be read, or a text is missing.
    """
    name, _, rest = line.strip().partition(" ")
    if name not in COMMANDS:
        raise unknown_command(name)
    command = COMMANDS[name]
    parser = command.parser(name)
    words, text = split_line(rest)
    chosen, unknown = parser.parse_known_args(words)
    if unknown:
        known = [option.flag for option in command.options] + COMMON
        parser.error(
            f"no option {unknown[0]!r}{did_you_mean(unknown[0], known)}; put -- before a text that begins with a dash"
        )
    if chosen.help:
        return Order(COMMANDS["help"], [name], {})
    if chosen.name and (not chosen.name.isidentifier() or iskeyword(chosen.name)):
        parser.error(f"-o needs a name for a Python variable, and got {chosen.name!r}")
    for option in command.options:
        if option.required and getattr(chosen, _key(option)) is None:
            parser.error(f"{option.flag} is missing; try %bloom {name} {command.example}")

    extra = {_key(option): getattr(chosen, _key(option)) for option in command.options}
    options = {key: value for key, value in extra.items() if value is not None}
    if name == "generate" and SAMPLING & options.keys():
        options["do_sample"] = True
    return Order(command, _arguments(parser, name, text, cell), options, chosen.name, chosen.code)


def _key(option: Option) -> str:
    return option.flag.removeprefix("--").replace("-", "_")


def _arguments(parser: Parser, name: str, text: str, cell: str | None) -> list[str]:
    """What the words of the line, or the cell, are to the sub-command."""
    command = COMMANDS[name]
    body = None if cell is None else cell.removesuffix("\n")
    if command.takes == "question text":
        question, context = (text, body) if text and body is not None else split_question(body or text)
        if not question or not context:
            parser.error(f"a question is needed, and a text to look in; try %bloom {name} {command.example}")
        return [question, context]
    if body is not None and text:
        parser.error(f"the text is {text!r} on the line and more in the cell; put all of it in the cell")
    given = text if body is None else body if command.takes == "text" else body.strip()
    if given and not command.takes:
        parser.error(f"it takes no text, and got {given[:40]!r}")
    if not given and command.takes == "text":
        parser.error(f"there is no text; try %bloom {name} {command.example}")
    return [given] if given else []


def complete(typed: str, spots: Sequence[str] = ()) -> tuple[list[str], str]:
    """What can follow a line typed so far, and which piece of it that replaces.

    >>> complete("%bloom ge"), complete("%bloom generate --s"), complete("%bloom generate Leo --s")
    ((['generate'], 'ge'), (['--seed'], '--s'), ([], ''))
    """
    line = re.fullmatch(r"\s*%%?bloom\s+(?:(\w+)\s+(.*?))?(\S*)", typed)
    if not line:
        return [], ""
    name, before, piece = line[1], line[2] or "", line[3]
    if name is None:
        words: Sequence[str] = list(COMMANDS)
    elif name not in COMMANDS:
        words = []
    else:
        words = _words(COMMANDS[name], before.split(), piece, spots)
    found = [word for word in words if word.startswith(piece)]
    return found, piece if found else ""


def _words(command: Command, before: list[str], piece: str, spots: Sequence[str]) -> list[str]:
    """What may stand after these words of a sub-command."""
    if before and before[-1].startswith("-") and before[-1] not in FLAGS:  # the value of an option
        values = {"--spot": list(spots), "--dtype": ["float32", "bfloat16", "float16", "auto"]}
        return values.get(before[-1], [])
    if split_line(" ".join(before))[1]:  # the text has begun
        return []
    if piece.startswith("-"):
        return [option.flag for option in command.options] + COMMON
    if command.call == "bloomlab.commands.overview":
        return list(COMMANDS)
    return ["tiny", *NAMES] if command.takes == "[name]" else []
