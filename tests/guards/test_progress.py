import io
import sys
import threading
from typing import Any

import pytest
from tqdm import tqdm

from bloomlab.guards.progress import without_monitor


class OfAKernel(io.StringIO):
    """As ipykernel's stderr, which JupyterLab draws in a red box."""


OfAKernel.__module__ = "ipykernel.iostream"


@pytest.mark.parametrize(("kind", "red"), [(OfAKernel, False), (io.StringIO, True)])
def test_in_a_notebook_a_bar_leaves_no_red_box(
    kind: type[io.StringIO], red: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors, printed = kind(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", errors)
    monkeypatch.setattr(sys, "stdout", printed)
    assert list(without_monitor(tqdm)(range(3), leave=False)) == [0, 1, 2]
    assert (bool(errors.getvalue()), bool(printed.getvalue())) == (red, not red)


def test_a_lock_that_an_interrupt_has_left_taken_stops_no_bar() -> None:
    """tqdm's is taken by this thread, as after Ctrl-C at the wrong moment; a bar of another thread goes on."""
    bars: list[Any] = []

    def make() -> None:
        with without_monitor(tqdm)(range(3), disable=False, file=io.StringIO()) as bar:
            bars.extend(bar)

    tqdm.get_lock().acquire()
    try:
        other = threading.Thread(target=make, daemon=True)
        other.start()
        other.join(timeout=20)
    finally:
        tqdm.get_lock().release()
    assert bars == [0, 1, 2]
