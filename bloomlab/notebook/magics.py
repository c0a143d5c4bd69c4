"""`%bloom` in a notebook: each sub-command calls one public function, mostly a verb of a Lab, and returns its result.

%load_ext bloomlab
%bloom tokens Leo lives in Oslo.           options first, then the text to the end of the line
%bloom generate --seed 1 -o story Leo      -o keeps the result under a name
%%bloom explore --code                     --code shows the Python instead of running it;
a text of any length                       in the cell form the body is the text, as it stands

The table of sub-commands is `bloomlab.commands`; here is only what IPython has to be told.
"""

import re
from collections.abc import Callable
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from bloomlab.commands import overview
from bloomlab.errors import BloomlabError
from bloomlab.orders import complete, understand


@magics_class
class BloomMagics(Magics):
    """`%bloom` and `%%bloom`. The lab is opened at the first use and kept here; `%bloom load` opens another."""

    def __init__(self, shell: InteractiveShell, lab: Any = None) -> None:
        super().__init__(shell)
        self.lab = lab
        self.names = shell.user_ns  # where -o puts a result

    @no_var_expand  # {braces} and $dollars in a text are text
    @line_cell_magic
    def bloom(self, line: str, cell: str | None = None) -> Any:
        """Open BLOOM up: `%bloom` alone lists what it can do."""
        if not line.strip():
            return overview()
        name = line.split()[0]
        try:
            order = understand(line, cell)
            if order.code:
                return order.python(self.lab.code if self.lab is not None else "lab = bloomlab.load()")
            result = order.run(self._opened() if order.command.call.startswith("lab.") else None)
        except BloomlabError as error:
            words = " ".join(str(error).split())  # in one line, whatever the message quotes
            raise UsageError(words if words.startswith("%bloom") else f"%bloom {name}: {words}") from None
        if order.command.call == "bloomlab.load":
            self.lab = result
        if order.name:
            self.names[order.name] = result
        return result

    def _opened(self) -> Any:
        if self.lab is None:
            from bloomlab.lab import load as load_lab

            self.lab = load_lab()
        return self.lab

    @context_matcher()  # type: ignore[untyped-decorator]  # IPython gives it no types
    def complete(self, context: CompletionContext) -> SimpleMatcherResult:
        """Tab after `%bloom`: the sub-commands, then the options of the one that is there, and their values."""
        typed = context.text_until_cursor
        asks = "--spot" in typed and self.lab is not None  # only an open model can be asked for its spots
        found, piece = complete(typed, list(self.lab.model.hook_names()) if asks else [])
        completions = [SimpleCompletion(word, type="magic") for word in found]
        return {"completions": completions, "matched_fragment": piece, "suppress": bool(found)}


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
