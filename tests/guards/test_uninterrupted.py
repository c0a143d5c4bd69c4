import contextvars
import os
import signal
import threading

import pytest

from bloomlab.errors import MemoryLimitError
from bloomlab.guards import uninterrupted as module
from bloomlab.guards.uninterrupted import interrupts_wait, uninterrupted


def test_the_work_is_done_in_as_many_threads_as_asked_and_none_is_this_one() -> None:
    everybody = threading.Barrier(3, timeout=10)  # passed by three at once only

    def who() -> int:
        everybody.wait()
        return threading.get_ident()

    found = uninterrupted(who, threads=3)
    assert len({*found, threading.get_ident()}) == 4


def test_an_error_comes_out_as_it_is() -> None:
    def fail() -> None:
        raise KeyError("missing")

    with pytest.raises(KeyError, match="missing"):
        uninterrupted(fail)


def test_the_threads_hold_up_neither_an_interrupt_nor_the_end_of_the_program() -> None:
    assert uninterrupted(lambda: threading.current_thread().daemon) == [True]


@pytest.mark.skipif(os.name == "nt", reason="the timer is that of Unix")
@pytest.mark.parametrize("threads", [1, 3])
def test_after_an_interrupt_nothing_goes_on_that_looks_at_stop(threads: int) -> None:
    stop, ended = threading.Event(), []

    def wait() -> None:
        assert stop.wait(20)
        ended.append(threading.get_ident())

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            uninterrupted(wait, threads, stop)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(ended) == threads


def test_each_thread_knows_what_the_program_knows_of_the_cell_it_runs_in() -> None:
    cell = contextvars.ContextVar("cell", default=0)
    cell.set(7)
    assert uninterrupted(cell.get, threads=2) == [7, 7]


def test_an_interrupt_waits_until_all_lines_are_done() -> None:
    usual, done = signal.getsignal(signal.SIGINT), []
    with pytest.raises(KeyboardInterrupt):
        with interrupts_wait():
            signal.raise_signal(signal.SIGINT)
            done.append("all")
    assert done == ["all"] and signal.getsignal(signal.SIGINT) is usual
    with pytest.raises(ValueError, match="too small"), interrupts_wait():
        raise ValueError("too small")
    assert signal.getsignal(signal.SIGINT) is usual


def test_only_the_main_thread_has_interrupts_to_wait_for() -> None:
    def handler() -> object:
        with interrupts_wait():
            return signal.getsignal(signal.SIGINT)

    assert uninterrupted(handler) == [signal.getsignal(signal.SIGINT)] and handler() not in uninterrupted(handler)


@pytest.mark.parametrize("fails", ["to start", "before its first line"])
def test_a_thread_without_memory_is_an_error_within_a_second(monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    """A thread that dies before its first line never gives back the lock that is waited for."""

    def start(*_: object) -> None:
        if fails == "to start":
            raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(module._thread, "start_new_thread", start)
        patch.setattr(module, "BEGIN", 0.05)
        with pytest.raises(MemoryLimitError, match="no memory left for a thread"):
            uninterrupted(lambda: 1, threads=2)
    assert module.BEGIN < 1 and uninterrupted(lambda: 1, threads=2) == [1, 1]


@pytest.mark.slow
def test_a_thread_may_take_longer_than_its_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEGIN", 0.01)
    assert uninterrupted(lambda: threading.Event().wait(0.1)) == [False]
