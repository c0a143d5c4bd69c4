"""Progress bars that start no thread: one that is made when no memory is left may be waited for, for ever."""

from typing import Any


def without_monitor(bar: Any) -> Any:
    """A kind of tqdm's bars, without the thread that wakes a bar which nobody moves.

    >>> from tqdm import tqdm
    >>> without_monitor(tqdm).monitor_interval, tqdm.monitor_interval  # other programs' bars stay as they are
    (0, 10)
    """
    return type(bar.__name__, (bar,), {"monitor_interval": 0})
