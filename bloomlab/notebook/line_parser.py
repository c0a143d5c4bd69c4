"""Parse a line of `%bloom` by the table in `bloomlab.notebook.commands`; run it, or show it as Python.

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

from bloomlab.errors import InputError, did_you_mean
from bloomlab.notebook.commands import COMMANDS, Command, Option, Page, Parser, unknown_command
from bloomlab.weights.hub import NAMES

SAMPLING = {"temperature", "top_k", "top_p", "seed"}  # options that only make sense when sampling
WITHOUT_VALUE = {"--code", "-h", "--help"}  # the options that take no value
OPTION, VALUE = re.compile(r"\s*(-\S+)"), re.compile(r"""\s*("[^"]*"|'[^']*'|\S+)""")
DASHES = re.compile(r"(^|\s)--\s")
QUESTION_END = re.compile(r"[?？؟\n]")
MOST = 100  # words of options on a line: with thousands, a text of dashes is meant
LATE = 200  # characters at the end of a text in which an option can stand
COMMON = ["-o", "--code", "--help"]  # the options of every sub-command


def split_line(line: str) -> tuple[list[str], str]:
    """The options at the start of a line, and the text after them, untouched.

    >>> split_line("--seed 1 -o story Don't  stop")
    (['--seed', '1', '-o', 'story'], "Don't  stop")
    >>> split_line("-- -5 degrees")                  # two dashes end the options
    ([], '-5 degrees')
    >>> split_line('"A text in quotes"')             # quotes around the whole text are not part of it
    ([], 'A text in quotes')
    >>> split_line("--question 'Where is he?' Leo")  # nor are quotes around a value of several words
    (['--question', 'Where is he?'], 'Leo')
    """
    options: list[str] = []
    place = 0
    while word := OPTION.match(line, place):
        place = word.end()
        if word[1] == "--":
            break
        if len(options) > MOST:
            raise InputError(f"expected at most {MOST} options, but there are more; put -- before a text of dashes")
        options.append(word[1])
        value = VALUE.match(line, place)
        if value and word[1] not in WITHOUT_VALUE and "=" not in word[1]:
            options.append(_unquoted(value[1]))
            place = value.end()
    return options, _unquoted(line[place:].strip())


def _unquoted(text: str) -> str:
    """A text without the quotes around it."""
    quoted = re.fullmatch(r"""(["'])(.*)\1""", text)
    return quoted[2] if quoted and quoted[1] not in quoted[2] else text


def split_question(text: str) -> tuple[str, str]:
    """The question, up to its question mark or the end of its line, and the text to look in.

    >>> split_question("Where does Leo live? Leo lives in Oslo.")
    ('Where does Leo live?', 'Leo lives in Oslo.')
    >>> split_question("小梅住在哪里？小梅住在北京。")
    ('小梅住在哪里？', '小梅住在北京。')
    >>> split_question('"Who is it?" Leo lives in Oslo.')  # quotes around the question are not part of it
    ('Who is it?', 'Leo lives in Oslo.')
    """
    if quoted := re.match(r"""\s*("[^"]+"|'[^']+'|“[^”]+”|‘[^’]+’|«[^»]+»|„[^“]+“|「[^」]+」)\s*(?=\S)""", text):
        return quoted[1][1:-1].strip(), _unquoted(text[quoted.end() :].strip())
    begun = text.lstrip()
    end = QUESTION_END.search(begun, 1)
    return (begun[: end.end()].strip(), begun[end.end() :].lstrip()) if end else (text, "")


@dataclass(frozen=True)
class ParsedLine:
    """A line of `%bloom`, parsed: what to call, and with what."""

    command: Command
    arguments: list[str]
    options: dict[str, Any]
    name: str | None = None  # the variable to keep the result in
    code: bool = False  # show the Python instead
    literal: bool = False  # after two dashes, braces among other words are text

    def python(self, opening: str) -> Page:
        """The Python that does the same, in a notebook where nothing has been imported yet."""
        arguments = [*map(repr, self.arguments), *(f"{key}={value!r}" for key, value in self.options.items())]
        owner = self.command.call.rpartition(".")[0]
        setup = f"import bloomlab\n\n{opening}\n" if owner == "lab" else f"import {owner}\n\n"
        name = self.name or ("lab" if self.command.call == "bloomlab.load" else None)
        return Page(f"{setup}{f'{name} = ' if name else ''}{self.command.call}({', '.join(arguments)})")

    def run(self, lab: Any) -> Any:
        """Make the call; `lab` is used only for its own verbs."""
        owner, _, function = self.command.call.rpartition(".")
        return getattr(lab if owner == "lab" else import_module(owner), function)(*self.arguments, **self.options)


def parse(line: str, cell: str | None = None) -> ParsedLine:
    """Parse what follows `%bloom`, and the body of the cell if there is one.

    Raises:
        InputError: there is no such sub-command or option, a value does not convert, or a text is missing.
    """
    name, _, rest = line.strip().partition(" ")
    if name not in COMMANDS:
        raise unknown_command(name)
    command = COMMANDS[name]
    parser = command.parser(name)
    words, text = split_line(rest)
    parsed, unknown = parser.parse_known_args(words)
    if unknown:
        flags = [option.flag for option in command.options] + COMMON
        parser.error(
            f"no option {unknown[0]!r}{did_you_mean(unknown[0], flags)}; put -- before a text that begins with a dash"
        )
    if parsed.help:
        return ParsedLine(COMMANDS["help"], [name], {})
    if parsed.name and (not parsed.name.isidentifier() or iskeyword(parsed.name)):
        parser.error(f"-o needs the name of a Python variable, but got {parsed.name!r}")
    values = {_key(option): getattr(parsed, _key(option)) for option in command.options}
    for option in command.options:
        if option.required and values[_key(option)] is None:
            parser.error(f"{option.flag} is missing; try %bloom {name} {command.example}")

    if cell is None and (late := _option_in(text, rest, [option.flag for option in command.options] + COMMON)):
        parser.error(f"{late} after the text would be part of it; options come first, or -- before the text")

    options = {key: value for key, value in values.items() if value is not None}
    if name == "generate" and SAMPLING & options.keys():
        options["do_sample"] = True
    arguments, literal = _arguments(parser, name, text, cell), DASHES.search(rest) is not None
    return ParsedLine(command, arguments, options, parsed.name, parsed.code, literal)


def _option_in(text: str, rest: str, flags: Sequence[str]) -> str:
    """What looks like an option in a text that nobody has put into quotes, or after two dashes.

    That is one of this sub-command anywhere, also misspelt; and one of any other at the end, with its value.

    >>> _option_in("Leo --sed 1", "Leo --sed 1", ["--seed"]), _option_in("the -v switch", "the -v switch", ["--seed"])
    ('--sed', '')
    """
    if not rest.rstrip().endswith(text) or DASHES.search(rest):
        return ""
    own = [flag for flag in flags if flag.startswith("--")]
    for word in list(dict.fromkeys(re.findall(r"(?<=\s)--[a-z][\w-]*", text)))[:MOST]:
        if did_you_mean(word.replace("_", "-"), own):
            return str(word)
    found = re.search(r"\s(--?[a-z][\w-]*)(?:[\s=]+\S+)?$", text[-LATE:])
    every = {option.flag for command in COMMANDS.values() for option in command.options} | set(flags)
    return found[1] if found and found[1] in every else ""


def _key(option: Option) -> str:
    """The option as a Python name: max_new_tokens for --max-new-tokens."""
    return option.flag.removeprefix("--").replace("-", "_")


def _arguments(parser: Parser, name: str, text: str, cell: str | None) -> list[str]:
    """The arguments of the sub-command, from the rest of the line or the cell."""
    command = COMMANDS[name]
    body = None if cell is None else cell.removesuffix("\n")
    if command.takes == "question text":
        question, context = (text, body) if text and body is not None else split_question(body or text)
        if not question or not context:
            parser.error(f"it needs a question and a text to look in; try %bloom {name} {command.example}")
        return [question, context]
    if body is not None and text:
        parser.error(f"there is text on the line ({text!r}) and in the cell; put all of it in the cell")
    argument = text if body is None else body if command.takes == "text" else body.strip()
    if argument and not command.takes:
        parser.error(f"it takes no text, but got {argument[:40]!r}")
    if not argument and command.takes == "text":
        parser.error(f"there is no text; try %bloom {name} {command.example}")
    return [argument] if argument else []


def complete(typed: str, spots: Sequence[str] = ()) -> tuple[list[str], str]:
    """The words that can complete a line typed so far, and the end of it that they replace.

    >>> complete("%bloom ge"), complete("%bloom generate --s"), complete("%bloom generate Leo --s")
    ((['generate'], 'ge'), (['--seed'], '--s'), ([], ''))
    """
    line = re.fullmatch(r"\s*%%?bloom\s+(?:(\w+)\s+(.*?))?(\S*)", typed)
    if not line:
        return [], ""
    name, before, ending = line[1], line[2] or "", line[3]
    if name is None:
        words: Sequence[str] = list(COMMANDS)
    elif name not in COMMANDS:
        words = []
    else:
        words = _next_words(COMMANDS[name], before.split(), ending, spots)
    matches = [word for word in words if word.startswith(ending)]
    return matches, ending if matches else ""


def _next_words(command: Command, before: list[str], ending: str, spots: Sequence[str]) -> list[str]:
    """The words that may follow those before in a sub-command."""
    if before and before[-1].startswith("-") and before[-1] not in WITHOUT_VALUE:  # the value of an option
        dtypes, levels = ["float32", "bfloat16", "float16", "auto"], ["first", "whole"]
        values = {"--spot": list(spots), "--dtype": dtypes, "--level": levels}
        return values.get(before[-1], [])
    if split_line(" ".join(before))[1]:  # the text has begun
        return []
    if ending.startswith("-"):
        return [option.flag for option in command.options] + COMMON
    if command.call == "bloomlab.notebook.commands.overview":
        return list(COMMANDS)
    return ["tiny", *NAMES] if command.takes == "[name]" else []
