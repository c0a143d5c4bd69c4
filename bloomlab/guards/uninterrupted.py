"""Work in threads that an interrupt cannot reach.

Only the main thread hears Ctrl-C. Work that switches torch's modes must not be cut between two lines of such a
switch, or the mode stays on and every later model is wrong; nor must a library that keeps its connections for the next
request, or the next waits for ever. (The executors of `concurrent.futures` will not do: an interrupt while one takes a
job can leave its lock taken, with the same end.)
"""

import _thread
import contextvars
import threading
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 3.0  # seconds, after an interrupt

Result = TypeVar("Result")


def apart(run: Callable[[], Result], threads: int = 1, stop: threading.Event | None = None) -> list[Result]:
    """What `run()` gives in each of so many threads; the first error, if there is one.

    An interrupt comes out at once; the threads then go on to the end of `run` by themselves, and hold nobody up. With
    `stop`, which is set then and which `run` looks at now and then, it waits for their end, but not for ever.

    >>> apart(lambda: 2 + 2, threads=3)
    [4, 4, 4]
    """
    results: list[Result] = []
    errors: list[BaseException] = []
    working = [threading.Lock() for _ in range(threads)]  # threading.Thread's own start() and join() may be cut in two

    def work(mine: threading.Lock) -> None:
        try:
            results.append(run())
        except BaseException as error:
            errors.append(error)
        finally:
            mine.release()

    begun = 0
    try:
        for lock in working:
            lock.acquire()
            begun += 1
            context = contextvars.copy_context()  # by it a notebook knows to which cell a progress bar belongs
            _thread.start_new_thread(context.run, (work, lock))
        for lock in working:
            lock.acquire()
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
