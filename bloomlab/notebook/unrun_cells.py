"""A hint for a cell that was run before the cells above it: a NameError says what is missing, but not what to do.

`bloomlab lab`, `make lab` and Binder start their kernels with startup.py, which turns the hint on; elsewhere
`bloomlab.checks` does, which the first cell of a lesson imports.
"""

import sys
from typing import Any


def next_step(error: BaseException | None) -> str:
    """What to do about a missing name; "" for any other error.

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
    """From now on, print `next_step` after a NameError in a cell of this notebook. Outside IPython, do nothing."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell and _explain not in shell.events.callbacks["post_run_cell"]:
        shell.events.register("post_run_cell", _explain)


def _explain(result: Any) -> None:
    error = result.error_in_exec
    if hint := next_step(error) if _raised_in_a_cell(error) else "":
        print(hint, file=sys.stderr)


def _raised_in_a_cell(error: BaseException | None) -> bool:
    """Whether the error comes from a cell, or from a function written in one, and not from a library."""
    traceback = error.__traceback__ if error else None
    while traceback and traceback.tb_next:
        traceback = traceback.tb_next
    return traceback is not None and traceback.tb_frame.f_globals.get("__name__") == "__main__"
