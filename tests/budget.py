"""`make fast` stays under a minute: its tests are weighed against a fixed piece of work that is done in the same run.

Both are counted in seconds of the processor, child processes included, and the fixed work is done again and again
between the tests, so that a busy machine slows both. On a quiet machine of two cores it takes .16 s; 375 times that is
a minute.
"""

import os
from collections.abc import Generator
from functools import cache
from statistics import mean
from typing import Any

import pytest
import torch

USUAL = 0.16  # seconds for the fixed work
MOST = 375  # times the fixed work
MANY = 2000  # tests: a run of fewer is not a run of all, and is not weighed
EVERY = 250  # tests after which the fixed work is done


def processor_seconds() -> float:
    """What this process and its ended children have used so far."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def fixed_work() -> float:
    """Seconds of the processor for a mixture of what the tests do: plain Python, and small tensors."""
    before = processor_seconds()
    words: dict[str, int] = {}
    for number in range(300_000):
        name = str(number % 1000)
        words[name] = words.get(name, 0) + number
    matrix = torch.eye(64)
    for _ in range(6_000):
        matrix = (matrix @ matrix).softmax(-1)
    return processor_seconds() - before


@cache
def slowness() -> float:
    """How many times longer than usual this machine takes, 1 where it is faster: what a bound in seconds grows by."""
    return max(1.0, min(fixed_work() for _ in range(3)) / USUAL)


class Budget:
    """A plugin for pytest: weighs the tests that `make fast` runs, which fails if they weigh too much.

    `make test` shares them out among processes (pytest-xdist): each measures its own, the first adds them up, and the
    sum is only told, for processes that share a core's caches slow each other down.
    """

    def __init__(self) -> None:
        self.seconds, self.tests, self.verdict = 0.0, 0, ""
        self.work: list[float] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        before = processor_seconds()
        result = yield
        if item.path.suffix == ".py" and not any(item.iter_markers("slow")) and not any(item.iter_markers("browser")):
            self.seconds += processor_seconds() - before
            self.tests += 1
            if self.tests % EVERY == 0 and len(item.session.items) >= MANY:
                self.work.append(fixed_work())
        return result

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        seconds, tests, work = getattr(node, "workeroutput", {}).get("budget", (0.0, 0, []))
        self.seconds += seconds
        self.tests += tests
        self.work += work

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["budget"] = (self.seconds, self.tests, self.work)
        elif self.tests >= MANY and self.work:
            self.weigh(session, exitstatus)

    def weigh(self, session: pytest.Session, exitstatus: int) -> None:
        weight = self.seconds / mean(self.work)
        self.verdict = (
            f"the {self.tests} tests of `make fast` weigh {weight:.0f} times the fixed work of tests/budget.py, "
            f"at most {MOST}"
        )
        if weight > MOST and exitstatus == 0 and not session.config.getoption("numprocesses", None):
            self.verdict += ": too much; mark the longest ones `slow` (make fast lists them)"
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.verdict:
            terminalreporter.write_line(self.verdict)
