"""`%bloom` in a notebook: each sub-command calls one public function, mostly a verb of a Lab, and returns its result.

%load_ext bloomlab
%bloom tokens Leo lives in Oslo.           options first, then the text to the end of the line
%bloom generate --seed 1 -o story Leo      -o keeps the result under a name
%%bloom explore --code                     --code shows the Python instead of running it;
a text of any length                       in a cell the body is the text, as it stands

The table of sub-commands is `bloomlab.notebook.commands`; this file only connects it to IPython.
"""

import ast
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from bloomlab.errors import BloomlabError, InputError, did_you_mean
from bloomlab.notebook.commands import overview
from bloomlab.notebook.line_parser import complete, parse


@magics_class
class BloomMagics(Magics):
    """`%bloom` and `%%bloom`. The lab is opened when first needed and kept here; `%bloom load` opens another."""

    def __init__(self, shell: InteractiveShell, lab: Any = None) -> None:
        super().__init__(shell)
        self.lab = lab
        self.variables = shell.user_ns  # where -o puts a result

    @no_var_expand  # {braces} and $dollars in a text are text, but for a whole one: see _value
    @line_cell_magic
    def bloom(self, line: str, cell: str | None = None) -> Any:
        """Open BLOOM up: `%bloom` alone lists what it can do."""
        if not line.strip():
            return overview()
        name = line.split(maxsplit=1)[0]
        try:
            parsed = parse(line, cell)
            if parsed.code:  # with {name} as it stands: this is about the line, not about a variable
                return parsed.python(self.lab.code if self.lab is not None else "lab = bloomlab.load()")
            if cell is None:  # a cell is taken as it stands
                parsed = replace(parsed, arguments=[self._value(text, parsed.literal) for text in parsed.arguments])
            lab = self._open_lab() if parsed.command.call.startswith("lab.") else None
            watched = parsed.command.call == "lab.generate" and sys.stdout.isatty()
            result = parsed.run(AsItComes(lab) if watched else lab)
        except BloomlabError as error:
            message = " ".join(str(error).split())  # on one line, whatever the message quotes
            raise UsageError(message if message.startswith("%bloom") else f"%bloom {name}: {message}") from None
        if parsed.command.call == "bloomlab.load":
            self.lab = result
        if parsed.name:
            self.variables[parsed.name] = result
        return result

    def _value(self, text: str, literal: bool) -> str:
        """The text; or, if it is nothing but {name} of a variable that holds a text, that one.

        Raises:
            InputError: there is no such variable, it holds no text, or it stands among other words and not after --.
        """
        literally = "a cell that begins with %%bloom takes braces as they stand"
        if named := re.fullmatch(r"\{([^\W\d]\w*)\}", text):
            name = named[1]
            if name not in self.variables:
                near = did_you_mean(name, [each for each, value in self.variables.items() if isinstance(value, str)])
                raise InputError(f"there is no variable {name!r} here{near}; {literally}")
            value = self.variables[name]
            if not isinstance(value, str):
                raise InputError(f"{name} holds a {type(value).__name__}, not a text; {literally}")
            return value
        among = [name for name in re.findall(r"\{([^\W\d]\w*)\}", text) if isinstance(self.variables.get(name), str)]
        if among and not literal:
            raise InputError(
                f"{{{among[0]}}} is a variable here, but stands among other words; put the text together first and "
                f"write {{name}} alone, or {literally}"
            )
        return text

    def _open_lab(self) -> Any:
        if self.lab is None:
            from bloomlab.lab import load as load_lab

            self.lab = load_lab()
        return self.lab

    @context_matcher()  # type: ignore[untyped-decorator]  # IPython gives it no types
    def complete(self, context: CompletionContext) -> SimpleMatcherResult:
        """Tab after `%bloom`: the sub-commands; after one of them, its options and their values."""
        typed = context.text_until_cursor
        needs_spots = "--spot" in typed and self.lab is not None  # only an open model can list its spots
        matches, ending = complete(typed, list(self.lab.model.hook_names()) if needs_spots else [])
        completions = [SimpleCompletion(word, type="magic") for word in matches]
        return {"completions": completions, "matched_fragment": ending, "suppress": bool(matches)}


class Shown(str):
    """A text that stands on the screen already, so that a terminal does not print it again."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text("(the text above)")


class AsItComes:
    """`lab.generate` for a terminal: the text is printed piece by piece; Ctrl-C ends it and keeps what is there."""

    def __init__(self, lab: Any) -> None:
        self.lab = lab

    def generate(self, text: str, **settings: Any) -> Shown:
        """As `lab.generate`, which gives the same text."""
        written = ""
        try:
            for piece in self.lab.stream(text, **settings):
                written += piece
                print(piece, end="", flush=True)
        except KeyboardInterrupt:
            warnings.warn("interrupted; here is what was written so far", stacklevel=2)
        print()
        return Shown(written)


LINE_ENDS = (
    "\n",
    "\r\n",
)  # IPython breaks lines at ten other characters, which a screen does not
LINE = re.compile(r"(?P<before>\s*(?:[^\W\d]\w*\s*=\s*)?)%bloom\s+(?P<rest>\S.*)", re.DOTALL)
CELL = re.compile(r"%%bloom(?:\s+(?P<rest>.*))?", re.DOTALL)


def as_typed(lines: list[str]) -> list[str]:
    r"""Lines of `%bloom` as the calls they are, before IPython reads anything into their texts.

    Otherwise a text that ends in a question mark or a backslash is taken for something else; and what follows a
    character such as U+2028 in it is a line of its own, which may be a command.

    >>> as_typed(["%bloom generate Where?\n", "%bloom?\n"])
    ["get_ipython().run_line_magic('bloom', 'generate Where?')\n", '%bloom?\n']
    >>> as_typed(["story = %bloom generate a\u2028", "!ls\n"])
    ["story = get_ipython().run_line_magic('bloom', 'generate a\\u2028!ls')\n"]
    """
    blank = next((place for place, line in enumerate(lines) if line.strip()), 0)
    if lines[blank : blank + 1] and lines[blank].startswith("%%"):  # in its cell everything is text
        first, place = _joined(lines, blank)
        match = CELL.fullmatch(first.rstrip())
        texts = f"{(match['rest'] or '').strip()!r}, {''.join(lines[place:])!r}" if match else ""
        return [f"get_ipython().run_cell_magic('bloom', {texts})\n"] if match else [first, *lines[place:]]
    if not any("%bloom" in line for line in lines) or _is_python("".join(lines)):
        return lines
    found, place = [], 0
    while place < len(lines):
        line, place = _joined(lines, place) if "%bloom" in lines[place] else (lines[place], place + 1)
        match = LINE.fullmatch(line.removesuffix("\n").removesuffix("\r"))
        if match and not re.fullmatch(r"\S+\?+", match["rest"]):  # one word and ? asks IPython for help
            line = f"{match['before']}get_ipython().run_line_magic('bloom', {match['rest'].rstrip()!r})\n"
        found.append(line)
    return found


def _joined(lines: list[str], place: int) -> tuple[str, int]:
    """The line at a place up to where a screen shows its end, and the place of the next."""
    last = place
    while last < len(lines) - 1 and not lines[last].endswith(LINE_ENDS):
        last += 1
    return "".join(lines[place : last + 1]), last + 1


def _is_python(cell: str) -> bool:
    """Whether a cell is Python as it stands, so that what looks like a magic in it is part of a text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(cell)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def load(shell: InteractiveShell) -> None:
    """Add `%bloom`, its completion and the protection of texts to a shell."""
    unload(shell)
    magics = BloomMagics(shell)
    shell.register_magics(magics)
    shell.Completer.custom_matchers.append(magics.complete)
    shell.input_transformers_cleanup.insert(0, as_typed)  # before prompts are taken off, of which a text may have some


def unload(shell: InteractiveShell) -> None:
    """Remove everything that `load` added; if nothing was, do nothing."""
    magics = shell.magics_manager.registry.pop("BloomMagics", None)
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("bloom", None)
    added: list[tuple[list[Any], Callable[..., Any] | None]] = [
        (shell.Completer.custom_matchers, getattr(magics, "complete", None)),
        (shell.input_transformers_cleanup, as_typed),
    ]
    for functions, function in added:
        if function in functions:
            functions.remove(function)
