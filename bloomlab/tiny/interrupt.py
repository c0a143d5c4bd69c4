"""Stopping a long run: a Ctrl-C that waits its turn."""

import contextlib
import signal
import threading
from collections.abc import Iterator


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
