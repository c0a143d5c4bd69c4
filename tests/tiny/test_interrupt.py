"""A long run stops when asked, not in the middle of a step."""

import os
import signal

import pytest

from bloomlab.tiny.interrupt import stop_on_ctrl_c


def test_the_first_ctrl_c_only_asks_and_the_second_interrupts() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), stop_on_ctrl_c() as stop:
        assert not stop.asked
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.asked
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_is_as_before_after_a_run() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_on_ctrl_c():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
