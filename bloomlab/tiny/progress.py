"""A long run that can be watched and stopped: a line with loss and time left, and a Ctrl-C that waits its turn."""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator


class Progress:
    """One line that is drawn over itself in a terminal; elsewhere a new line now and then."""

    def __init__(self, first: int, steps: int) -> None:
        self.first, self.steps = first, steps
        self.start = time.monotonic()
        self.smooth: float | None = None
        self.drawn = ""

    def show(self, done: int, loss: float) -> None:
        """After `done` steps in all; single losses jump about, so the line shows a running mean."""
        self.smooth = loss if self.smooth is None else 0.95 * self.smooth + 0.05 * loss
        left = (time.monotonic() - self.start) / (done - self.first) * (self.steps - done)
        filled = 30 * done // self.steps
        bar = "█" * filled + "░" * (30 - filled)
        line = f"{bar} {done}/{self.steps}  loss {self.smooth:.3f}  {clock(left)} left"
        if sys.stderr.isatty():
            self.drawn = line
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
        elif done % 50 == 0 or done == self.steps:
            print(line, file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """A line that stays, above the bar."""
        if self.drawn:
            print(f"\r\033[K{text}\n{self.drawn}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the bar as it is; what is noted from now on stands below it."""
        if self.drawn:
            print(file=sys.stderr)
        self.drawn = ""


def clock(seconds: float) -> str:
    """
    >>> clock(754)
    '12:34'
    """
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"


class Stop:
    """Whether somebody asked to stop."""

    asked = False


@contextlib.contextmanager
def stop_on_ctrl_c() -> Iterator[Stop]:
    """Inside, the first Ctrl-C asks to stop at the next good moment; the second interrupts at once."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():  # only the main thread hears Ctrl-C
        yield stop
        return

    def ask(number: int, frame: object) -> None:
        stop.asked = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
