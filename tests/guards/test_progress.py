import io
import sys

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
