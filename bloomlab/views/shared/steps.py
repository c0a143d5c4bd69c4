"""A long job of a view, a step at a time: between two steps the page's wishes have their turn, to stop among them."""

import asyncio
from collections.abc import Callable, Iterator

from bloomlab.guards.memory import said_of

PAUSE = 0.01  # seconds for the page between two steps


class Steps:
    """`job` does a step for each `next`. `ended(state, message)` hears once how it went: done, stopped or error."""

    def __init__(self, job: Iterator[object], ended: Callable[[str, str], None]) -> None:
        self._job, self._ended = job, ended
        self.open = True

    def run(self) -> None:
        """Do all steps here and now. Ctrl-C stops; any other error reaches `ended` and is raised again."""
        while self.open:
            self._step()

    def start(self, rest: float = 0) -> None:
        """Do all steps while the page stays responsive, the first after so many seconds of rest.

        An error only reaches `ended`: nobody is there to catch it.
        """
        try:
            asyncio.get_running_loop().call_later(rest, self._step_and_wait)
        except RuntimeError:  # without an event loop, nothing could stop it
            self.finish()

    def finish(self) -> None:
        """Do all steps here and now, also of a job that was started. An error only reaches `ended`."""
        while self.open:
            self._step_quietly()

    def stop(self) -> None:
        """No further step."""
        self._end("stopped")

    def _step(self) -> None:
        try:
            next(self._job)
        except StopIteration:
            self._end("done")
        except KeyboardInterrupt:
            self._end("stopped")
        except Exception as error:
            self._end("error", said_of(error))
            raise

    def _step_quietly(self) -> None:
        try:
            self._step()
        except Exception:  # `ended` has been told
            pass

    def _step_and_wait(self) -> None:
        if self.open:
            self._step_quietly()
        if self.open:
            asyncio.get_running_loop().call_later(PAUSE, self._step_and_wait)

    def _end(self, state: str, message: str = "") -> None:
        if self.open:
            self.open = False
            self._ended(state, message)
