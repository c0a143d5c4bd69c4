"""Progress bars that start no thread: one that is made when no memory is left may be waited for, for ever."""

import sys
from typing import Any


def without_monitor(bar: Any) -> Any:
    """A kind of tqdm's bars, without the thread that wakes a bar which nobody moves.

    In a notebook they go where print does: what goes to stderr stands in a red box, which stays when a bar has left.

    >>> from tqdm import tqdm
    >>> without_monitor(tqdm).monitor_interval, tqdm.monitor_interval  # other programs' bars stay as they are
    (0, 10)
    """

    def init(self: Any, *given: Any, **more: Any) -> None:
        if type(sys.stderr).__module__.startswith("ipykernel"):
            more.setdefault("file", sys.stdout)
        super(made, self).__init__(*given, **more)

    made: Any = type(bar.__name__, (bar,), {"monitor_interval": 0, "__init__": init})
    return made
