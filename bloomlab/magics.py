"""`%bloom` in a notebook: each sub-command calls one method of a Lab and returns what it returned.

%load_ext bloomlab
%bloom tokens Leo lives in Oslo.           options first, then the text to the end of the line
%bloom generate --seed 1 -o story Leo      -o keeps the result under a name
%%bloom explore --code                     --code shows the Python instead of running it;
a text of any length                       in the cell form the body is the text, as it stands
"""

import re
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any, NoReturn

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from bloomlab.errors import BloomlabError, did_you_mean


class Page(str):
    """Text that a cell shows as it is, without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Parser(ArgumentParser):
    """An argparse that never ends the kernel: a mistake is one line that says what to do."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}; {self.prog} -h lists the options")


@dataclass(frozen=True)
class Command:
    """One sub-command: the method of Lab it calls, what it shows, and the options it adds."""

    method: str
    shows: str
    example: str
    options: tuple[tuple[str, type, str], ...] = ()

    def parser(self, name: str) -> Parser:
        parser = Parser(prog=f"%bloom {name}", description=self.shows, add_help=False, allow_abbrev=False)
        parser.usage = "%(prog)s [options] text"
        parser.add_argument("-o", metavar="NAME", dest="name", help="also keep the result under this name")
        parser.add_argument("--code", action="store_true", help="show the Python that does this")
        parser.add_argument("-h", "--help", action="store_true", help="show these options")
        for option, kind, text in self.options:
            parser.add_argument(option, type=kind, metavar=kind.__name__, help=text)
        return parser


COMMANDS = {
    "explore": Command("explore", "look inside: tokens, every head, every number", "Leo lives in Oslo."),
    "tokens": Command("tokens", "the pieces BLOOM reads, with their ids and bytes", "Léa habite à Paris."),
    "attention": Command("explore", "who looks at whom, and the sum behind it", "Leo lives in Oslo."),
    "generate": Command(
        "generate",
        "continue a text",
        "--max-new-tokens 20 Leo lives in",
        (
            ("--max-new-tokens", int, "how many tokens to add at most"),
            ("--temperature", float, "draw each token: boldly above 1, carefully below"),
            ("--top-k", int, "draw from the k likeliest tokens only"),
            ("--top-p", float, "draw from the likeliest tokens that hold this much probability"),
            ("--seed", int, "draw, and draw the same text each time"),
        ),
    ),
}
SAMPLING = {"temperature", "top_k", "top_p", "seed"}  # options that only make sense when tokens are drawn
FLAGS = {"--code", "-h", "--help"}  # the options that take no value


def split_line(line: str) -> tuple[list[str], str]:
    """The options at the start of a line, and the text after them, untouched.

    >>> split_line("--seed 1 -o story Don't  stop")
    (['--seed', '1', '-o', 'story'], "Don't  stop")
    >>> split_line("-- -5 degrees")                  # two dashes end the options
    ([], '-5 degrees')
    >>> split_line('"A text in quotes"')             # quotes around all of it are not part of it
    ([], 'A text in quotes')
    """
    options: list[str] = []
    while word := re.match(r"\s*(-\S+)", line):
        line = line[word.end() :]
        if word[1] == "--":
            break
        options.append(word[1])
        value = re.match(r"\s*(\S+)", line)
        if value and word[1] not in FLAGS and "=" not in word[1]:
            options.append(value[1])
            line = line[value.end() :]
    text = line.strip()
    quoted = re.fullmatch(r"""(["'])(.+)\1""", text)
    return options, quoted[2] if quoted and quoted[1] not in quoted[2] else text


def overview() -> Page:
    """What `%bloom` alone shows."""
    lines = ["%bloom opens BLOOM up; each line can be run as it stands:", ""]
    for name, command in COMMANDS.items():
        lines.append(f"  {f'%bloom {name} {command.example}':<50}{command.shows}")
    lines += [
        "",
        "-o NAME keeps the result, --code shows the Python, -h lists the options; all come before the text.",
        "%%bloom takes the text from the cell below it.",
    ]
    return Page("\n".join(lines))


def python_for(command: Command, text: str, options: dict[str, Any], name: str | None) -> Page:
    """The Python that does what a line of `%bloom` does."""
    arguments = ", ".join([repr(text), *(f"{key}={value!r}" for key, value in options.items())])
    keep = f"{name} = " if name else ""
    return Page(f"import bloomlab\n\nlab = bloomlab.load()\n{keep}lab.{command.method}({arguments})")


@magics_class
class BloomMagics(Magics):
    """`%bloom` and `%%bloom`. The lab is loaded at the first use and kept here."""

    def __init__(self, shell: InteractiveShell, lab: Any = None) -> None:
        super().__init__(shell)
        self.lab = lab
        self.names = shell.user_ns  # where -o puts a result

    @no_var_expand  # {braces} and $dollars in a text are text
    @line_cell_magic
    def bloom(self, line: str, cell: str | None = None) -> Any:
        """Open BLOOM up: `%bloom` alone lists what it can do."""
        name, _, rest = line.strip().partition(" ")
        if not name:
            return overview()
        if name not in COMMANDS:
            raise UsageError(f"%bloom has no {name!r}{did_you_mean(name, COMMANDS)}; it has {', '.join(COMMANDS)}")
        command = COMMANDS[name]
        parser = command.parser(name)
        words, text = split_line(rest)
        chosen, unknown = parser.parse_known_args(words)
        if unknown:
            known = [option for option, _, _ in command.options] + ["--code", "--help"]
            parser.error(
                f"no option {unknown[0]!r}{did_you_mean(unknown[0], known)}; "
                "put -- before a text that begins with a dash"
            )
        if chosen.help:
            return Page(parser.format_help())
        if chosen.name and (not chosen.name.isidentifier() or iskeyword(chosen.name)):
            parser.error(f"-o needs a name for a Python variable, and got {chosen.name!r}")
        if cell is not None:
            if text:
                parser.error(f"the text is {text!r} on the line and more in the cell; put all of it in the cell")
            text = cell.removesuffix("\n")
        if not text:
            parser.error(f"there is no text; try %bloom {name} {command.example}")

        extra = {key: value for key, value in vars(chosen).items() if value is not None}
        options = {key: extra[key] for key in extra if key not in {"name", "code", "help"}}
        if SAMPLING & options.keys():
            options["do_sample"] = True
        if chosen.code:
            return python_for(command, text, options, chosen.name)
        try:
            result = getattr(self._ready_lab(), command.method)(text, **options)
        except BloomlabError as error:
            raise UsageError(f"%bloom {name}: {error}") from None
        if chosen.name:
            self.names[chosen.name] = result
        return result

    def _ready_lab(self) -> Any:
        if self.lab is None:
            from bloomlab.lab import load as load_lab

            self.lab = load_lab()
        return self.lab

    @context_matcher()  # type: ignore[untyped-decorator]  # IPython gives it no types
    def complete(self, context: CompletionContext) -> SimpleMatcherResult:
        """Tab after `%bloom`: the sub-commands, then the options of the one that is there."""
        words: Sequence[str] = ()
        typed = re.fullmatch(r"%%?bloom\s+(?:(\w+)\s+.*?)?(\S*)", context.text_until_cursor)
        if typed and typed[1] is None:
            words = list(COMMANDS)
        elif typed and typed[1] in COMMANDS and typed[2].startswith("-"):
            words = [option for option, _, _ in COMMANDS[typed[1]].options] + ["-o", "--code", "--help"]
        found = [word for word in words if typed and word.startswith(typed[2])]
        completions = [SimpleCompletion(word, type="magic") for word in found]
        return {
            "completions": completions,
            "matched_fragment": typed[2] if typed else "",
            "suppress": bool(found),
        }


def keep_question_marks(lines: list[str]) -> list[str]:
    """Keep a text a text: IPython takes a line that ends in ? for a request for help, unless a space follows.

    >>> keep_question_marks(["%bloom generate Where does Leo live?\\n", "%bloom?\\n"])
    ['%bloom generate Where does Leo live? \\n', '%bloom?\\n']
    """
    return [re.sub(r"^(\s*%bloom\s+\w+\s.*\?)$", r"\1 ", line) for line in lines]


def load(shell: InteractiveShell) -> None:
    """Add `%bloom`, its completion and the care for question marks to a shell."""
    unload(shell)
    magics = BloomMagics(shell)
    shell.register_magics(magics)
    shell.Completer.custom_matchers.append(magics.complete)
    shell.input_transformers_cleanup.append(keep_question_marks)


def unload(shell: InteractiveShell) -> None:
    """Take away everything that `load` added; a shell without it stays as it is."""
    magics = shell.magics_manager.registry.pop("BloomMagics", None)
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("bloom", None)
    added: list[tuple[list[Any], Callable[..., Any] | None]] = [
        (shell.Completer.custom_matchers, getattr(magics, "complete", None)),
        (shell.input_transformers_cleanup, keep_question_marks),
    ]
    for place, item in added:
        if item in place:
            place.remove(item)
