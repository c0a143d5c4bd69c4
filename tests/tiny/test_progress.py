"""A long run shows where it is and stops when asked, not in the middle of a step."""

import os
import signal

import pytest

from bloomlab.tiny.progress import Progress, stop_on_ctrl_c


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


def test_a_log_gets_a_line_every_fifty_steps(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(first=0, steps=100)
    for step in range(1, 101):
        progress.show(step, loss=2.0)
    progress.note("done")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and lines[-1] == "done"
    assert "50/100  loss 2.000" in lines[0] and "0:00 left" in lines[1]


def test_a_terminal_gets_one_line_drawn_over(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    progress = Progress(first=4, steps=10)  # resumed: the time of four steps is not known
    progress.show(5, loss=1.5)
    progress.note("measured")
    progress.close()
    progress.note("done")
    written = capsys.readouterr().err
    assert written.count("\r") == 2 and "5/10  loss 1.500" in written
    assert "measured\n" in written and written.endswith("left\ndone\n")
