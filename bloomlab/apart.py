"""Work in threads that an interrupt cannot reach.

Only the main thread hears Ctrl-C. Work that switches torch's modes must not be cut between two lines of such a
switch, or the mode stays on and every later model is wrong. (The executors of `concurrent.futures` will not do: an
interrupt while one takes a job can leave its lock taken, and then everything waits for ever.)
"""

import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def apart(run: Callable[[], Result], threads: int = 1) -> list[Result]:
    """What `run()` gives in each of so many threads; the first error, if there is one.

    An interrupt comes out at once. The threads then go on to the end of `run` by themselves, and hold nobody up.

    >>> apart(lambda: 2 + 2, threads=3)
    [4, 4, 4]
    """
    results: list[Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(run())
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if errors:
        raise errors[0]
    return results
