"""Work that an interrupt cannot reach: in threads; or a few lines that belong together, for which it waits.

Only the main thread hears Ctrl-C. If an interrupt cuts code that switches torch's modes between two lines, the mode
stays on and every later model is wrong. If it cuts a library that keeps its connections for the next request, that
request waits for ever. (The executors of `concurrent.futures` do not help: an interrupt while one takes a job can leave
its lock taken, with the same result.)
"""

import _thread
import contextlib
import contextvars
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from bloomlab.errors import MemoryLimitError

PATIENCE = 3.0  # seconds, after an interrupt
BEGIN = 0.9  # seconds in which a thread takes its first step
NO_THREAD = "there is no memory left for a thread to work in; end other programs, or restart the kernel, and try again"

Result = TypeVar("Result")


def uninterrupted(run: Callable[[], Result], threads: int = 1, stop: threading.Event | None = None) -> list[Result]:
    """The results of `run()` in each of so many threads; or the first error raised there.

    An interrupt is raised at once; the threads finish `run` by themselves and hold nobody up. If there is a `stop`, it
    is set then: `run` should look at it now and then, and its end is waited for, but not for ever.

    >>> uninterrupted(lambda: 2 + 2, threads=3)
    [4, 4, 4]

    Raises:
        MemoryLimitError: there is no memory for a thread, or for its first step.
    """
    results: list[Result] = []
    errors: list[BaseException] = []
    working = [threading.Lock() for _ in range(threads)]  # an interrupt can cut Thread.start() and join() in two

    def work(mine: threading.Lock, has_begun: list[bool]) -> None:
        try:
            has_begun.append(True)
            results.append(run())
        except BaseException as error:
            errors.append(error)
        finally:
            mine.release()

    started: list[list[bool]] = [[] for _ in working]
    begun = 0
    try:
        for lock in working:
            lock.acquire()
            begun += 1
            context = contextvars.copy_context()  # it tells a notebook which cell a progress bar belongs to
            try:
                _thread.start_new_thread(context.run, (work, lock, started[begun - 1]))
            except RuntimeError:  # the system has no memory for a thread
                raise MemoryLimitError(NO_THREAD) from None
        for lock, has_begun in zip(working, started, strict=True):
            while not lock.acquire(timeout=BEGIN):
                if not has_begun:  # it was made, and had no memory to take its first step: nobody will release the lock
                    raise MemoryLimitError(NO_THREAD)
    except BaseException:
        if stop:
            stop.set()
            until = time.monotonic() + PATIENCE
            while len(results) + len(errors) < begun and time.monotonic() < until:
                time.sleep(0.005)
        raise
    if errors:
        raise errors[0]
    return results


@contextlib.contextmanager
def interrupts_wait() -> Iterator[None]:
    """Inside, Ctrl-C waits until the end: for a few quick lines of which all must be done, or none.

    >>> with interrupts_wait():
    ...     done = 2 + 2
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread hears Ctrl-C
        yield
        return
    came: list[int] = []
    usual = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if usual is None else usual)
        if came:
            signal.raise_signal(signal.SIGINT)
