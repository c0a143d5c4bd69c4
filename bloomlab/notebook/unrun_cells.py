"""One sentence for a cell that was run before those above it: a NameError says what is missing, not what to do.

The kernels of the lessons say it. `bloomlab lab`, `make lab` and Binder have them run startup.py before the first cell;
elsewhere `bloomlab.checks` sees to it, which the first cell of a lesson imports.
"""

import sys
from typing import Any


def next_step(error: BaseException | None) -> str:
    """What to do about a name that is not there; "" for any other error.

    >>> next_step(NameError("name 'lab' is not defined", name="lab"))
    'if a cell above this one makes `lab`, run that one first: in the menu, Run → Run All Above Selected Cell'
    >>> next_step(KeyError("lab"))
    ''
    """
    if not isinstance(error, NameError) or isinstance(error, UnboundLocalError):
        return ""
    return (
        f"if a cell above this one makes `{error.name}`, run that one first: "
        "in the menu, Run → Run All Above Selected Cell"
    )


def explain_missing_names() -> None:
    """From now on, a NameError in a cell of this notebook is followed by `next_step`. Outside of IPython, nothing."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell and _explain not in shell.events.callbacks["post_run_cell"]:
        shell.events.register("post_run_cell", _explain)


def _explain(result: Any) -> None:
    error = result.error_in_exec
    if words := next_step(error) if _raised_in_a_cell(error) else "":
        print(words, file=sys.stderr)


def _raised_in_a_cell(error: BaseException | None) -> bool:
    """Whether the cell itself, or a function that was written in one, looked for the name: no library did."""
    place = error.__traceback__ if error else None
    while place and place.tb_next:
        place = place.tb_next
    return place is not None and place.tb_frame.f_globals.get("__name__") == "__main__"
