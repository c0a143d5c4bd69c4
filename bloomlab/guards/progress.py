"""Progress bars that start no thread and share no lock: either may be waited for, for ever."""

import sys
from typing import Any


class _NoLock:
    """In place of the one lock that all bars of tqdm share: an interrupt just after it was taken leaves it taken, and
    the next bar of another thread would wait for ever.
    """

    def acquire(self, *_: Any, **__: Any) -> bool:
        """At once."""
        return True

    def release(self) -> None:
        """Nothing was taken."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def without_monitor(bar: Any) -> Any:
    """A kind of tqdm's bars, without the thread that wakes a bar which nobody moves, and without its lock.

    In a notebook they go where print does: what goes to stderr stands in a red box, which stays when a bar has left.

    >>> from tqdm import tqdm
    >>> without_monitor(tqdm).monitor_interval, tqdm.monitor_interval  # other programs' bars stay as they are
    (0, 10)
    """

    def init(self: Any, *given: Any, **more: Any) -> None:
        if type(sys.stderr).__module__.startswith("ipykernel"):
            more.setdefault("file", sys.stdout)
        super(made, self).__init__(*given, **more)

    made: Any = type(bar.__name__, (bar,), {"monitor_interval": 0, "_lock": _NoLock(), "__init__": init})
    return made
