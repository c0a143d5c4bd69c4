import threading

import pytest

from bloomlab.apart import apart


def test_the_work_is_done_in_as_many_threads_as_asked_and_none_is_this_one() -> None:
    everybody = threading.Barrier(3, timeout=10)  # passed by three at once only

    def who() -> int:
        everybody.wait()
        return threading.get_ident()

    found = apart(who, threads=3)
    assert len({*found, threading.get_ident()}) == 4


def test_an_error_comes_out_as_it_is() -> None:
    def fail() -> None:
        raise KeyError("missing")

    with pytest.raises(KeyError, match="missing"):
        apart(fail)


def test_the_threads_hold_up_neither_an_interrupt_nor_the_end_of_the_program() -> None:
    assert apart(lambda: threading.current_thread().daemon) == [True]
