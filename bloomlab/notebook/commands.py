"""The table of `%bloom`: each sub-command, the Python it stands for, and its options.

`bloomlab.notebook.line_parser` parses a line by this table; `bloomlab.notebook.magics` connects it to a notebook.
"""

from argparse import ArgumentParser, HelpFormatter
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, NoReturn

from bloomlab.errors import InputError, did_you_mean


class Page(str):
    """Text that a cell shows as it is, without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Parser(ArgumentParser):
    """An argparse parser that never exits: a mistake is one line that says what to do."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; {self.prog} -h lists the options")


def index(text: str) -> int | list[int]:
    """One index along an axis, or several.

    >>> index("3"), index("0,2")
    (3, [0, 2])
    """
    indices = [int(part) for part in text.split(",")]
    return indices if len(indices) > 1 else indices[0]


class Option(NamedTuple):
    """`--head 3`: its flag, the function that converts its value, what it means, and whether it is required."""

    flag: str
    type: Any
    help: str
    required: bool = False


@dataclass(frozen=True)
class Command:
    """One sub-command.

    Attributes:
        call: the Python it stands for: a verb of the lab, or a function by its full name.
        help: what it shows.
        example: what may follow it on the line.
        takes: what the words after the options are: "text", "question text", "[name]" (may be missing) or "".
    """

    call: str
    help: str
    example: str
    takes: str = "text"
    options: tuple[Option, ...] = ()

    def parser(self, name: str) -> Parser:
        parser = Parser(prog=f"%bloom {name}", description=self.help, add_help=False, allow_abbrev=False)
        parser.formatter_class = partial(HelpFormatter, width=110)
        parser.usage = f"%(prog)s [options] {self.takes}".rstrip()
        parser.epilog = f"the same in Python: {self.call}(…); an example: %(prog)s {self.example}".rstrip()
        parser.add_argument("-o", metavar="NAME", dest="name", help="also keep the result under this name")
        parser.add_argument("--code", action="store_true", help="show the Python that does this")
        parser.add_argument("-h", "--help", action="store_true", help="show these options")
        for option in self.options:
            metavar = option.type.__name__.upper()
            parser.add_argument(option.flag, type=option.type, metavar=metavar, help=option.help)
        return parser


COMMANDS = {
    "explore": Command(
        "lab.explore",
        "look inside: all views of one text, linked",
        "Leo lives in Oslo.",
        options=(Option("--level", str, "first: a first look, one row of one head; whole: everything"),),
    ),
    "map": Command("lab.map", "the whole model in one picture, part by part", "Leo lives in Oslo."),
    "tokens": Command("lab.tokens", "the pieces BLOOM reads, with their ids and bytes", "Léa habite à Paris."),
    "attention": Command("lab.attention", "who looks at whom, and the sum behind it", "Leo lives in Oslo."),
    "alibi": Command("lab.alibi", "how far each head can look, and does", "Leo lives in Oslo."),
    "hidden": Command("lab.hidden_states", "the residual stream: who added what", "Leo lives in Oslo."),
    "predict": Command(
        "lab.predictions",
        "what four heads say: next, language, tags, answer",
        "Leo lives in Oslo.",
        options=(Option("--question", str, 'what to ask the text: "Where does Leo live?"'),),
    ),
    "generate": Command(
        "lab.generate",
        "continue a text",
        "--max-new-tokens 20 Leo lives in",
        options=(
            Option("--max-new-tokens", int, "how many tokens to add at most"),
            Option("--temperature", float, "draw each token: boldly above 1, carefully below"),
            Option("--top-k", int, "draw from the k likeliest tokens only"),
            Option("--top-p", float, "draw from the likeliest tokens that hold this much probability"),
            Option("--seed", int, "draw, and draw the same text each time"),
        ),
    ),
    "write": Command("lab.write", "write step by step, as a tree", "Leo lives in"),
    "classify": Command("lab.classify", "which language a text is in", "Léa habite à Paris."),
    "tag": Command("lab.tag", "what each token names: a person, a city, …", "Leo lives in Oslo."),
    "ask": Command(
        "lab.answer", "where a text answers a question", "Where does Leo live? Leo lives in Oslo.", "question text"
    ),
    "lens": Command(
        "lab.lens",
        "what BLOOM would say if it stopped early (logit lens)",
        "Leo lives in Oslo.",
        options=(Option("--top", int, "how many next tokens to keep in each cell"),),
    ),
    "ablate": Command(
        "lab.ablate",
        "what BLOOM loses without one of its parts",
        "--spot h.2.attn.mixed --head 3 Leo lives in",
        options=(
            Option("--spot", str, 'where: "h.2.attn.mixed", "mlp.out" for every layer, …', required=True),
            Option("--head", index, "this head only; 0,2 names two"),
            Option("--pos", index, "this position only"),
            Option("--query", index, "this query only"),
            Option("--key", index, "this key only"),
            Option("--neuron", index, "this neuron of an MLP only"),
            Option("--hidden", index, "this dimension of the stream only"),
        ),
    ),
    "receipt": Command(
        "lab.receipt",
        "which part of BLOOM wrote the next token",
        "Leo lives in Oslo. Leo lives in",
        options=(
            Option("--token", str, 'the token, quoted with its space: " Oslo"; the likeliest next one by default'),
            Option("--versus", str, 'another token, "mean" or "runner-up"'),
            Option("--position", int, "after which token; -1 is the last"),
        ),
    ),
    "effects": Command(
        "lab.effects",
        "where the answer is carried: a map of effects",
        '--other "Leo vit" Leo lives',
        options=(
            Option("--other", str, "in quotes, the text that each cell is copied from", required=True),
            Option("--what", str, "stream, mlps, heads, positions or looks"),
            Option("--mode", str, "needed or enough"),
            Option("--layer", int, "this layer only: of positions and looks"),
            Option("--head", int, "the head whose looks are mapped"),
            Option("--answer", str, 'the token, quoted with its space: " Oslo"'),
            Option("--rival", str, "the token that it is compared with"),
            Option("--exact", int, "how many cells to measure; the others are estimated"),
        ),
    ),
    "attribution": Command(
        "lab.attribution",
        "which tokens the next one rests on",
        "Leo lives in Oslo. Leo lives in",
        options=(
            Option("--answer", str, 'the token, quoted with its space: " Oslo"; the likeliest one by default'),
            Option("--rival", str, "the token that it is compared with"),
            Option("--steps", int, "of the integrated gradients, at least"),
        ),
    ),
    "load": Command(
        "bloomlab.load",
        "open another model for all that follows",
        "tiny",
        "[name]",
        (
            Option("--dtype", str, "what to compute in: float32, bfloat16, float16 or auto"),
            Option("--device", str, "where to compute"),
            Option("--revision", str, "branch, tag or commit on the hub"),
            Option("--positions", str, "a twin of the embedded model: alibi, none, sinusoidal, learned or rotary"),
        ),
    ),
    "card": Command("lab.card", "how the model was made, how good it is, its limits", "", ""),
    "info": Command("lab.info", "a model's sizes, its parameters, what fits here", "7b1", "[name]"),
    "lessons": Command("lab.lessons", "the lessons, and how long each takes", "", ""),
    "doctor": Command("bloomlab.notebook.doctor.examine", "what works here, what does not, and what to do", "", ""),
    "help": Command(
        "bloomlab.notebook.commands.overview", "this list; with a name, the options of that one", "generate", "[name]"
    ),
}


def overview(name: str = "") -> Page:
    """All sub-commands with an example each; with a name, the options of that one.

    Raises:
        InputError: there is no such sub-command.
    """
    if name:
        if name not in COMMANDS:
            raise unknown_command(name)
        return Page(COMMANDS[name].parser(name).format_help())
    lines = ["%bloom opens BLOOM up; each line can be run as it stands:", ""]
    for each, command in COMMANDS.items():
        lines.append(f"  {f'%bloom {each} {command.example}':<62}{command.help}")
    lines += [
        "",
        "-o NAME keeps the result, --code shows the Python, -h lists the options; all come before the text.",
        "%%bloom takes the text from the cell below it. %bloom load opens another model for all that follows.",
    ]
    return Page("\n".join(lines))


def unknown_command(name: str) -> InputError:
    """The error about a sub-command that does not exist."""
    return InputError(f"%bloom has no {name!r}{did_you_mean(name, COMMANDS)}; it has {', '.join(COMMANDS)}")
