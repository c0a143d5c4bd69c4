"""What a text as long as a lab takes costs in memory, on the embedded model: the most that each step of a view held.

python -m tests.benchmarks.memory

In megabytes above what the program has held before, with the lab open and a short text shown. Linux only: it resets the
kernel's own record of the peak.
"""

import gc
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import bloomlab
from bloomlab import Lab
from bloomlab.views.view import View

BOUND = 700  # MB
PROCESS = Path("/proc/self")


def _held(what: str) -> float:
    line = next(line for line in (PROCESS / "status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1e3


def _steps(lab: Lab, text: str) -> Iterator[tuple[str, Callable[[], object]]]:
    views: list[View] = []
    yield "explore", lambda: views.append(lab.explore(text))
    view = views[0]
    yield "its still", view._repr_mimebundle_
    yield "another head", lambda: setattr(view, "head", 1)
    yield "another layer", lambda: setattr(view, "layer", 1)
    for pattern in ("all", "rollout"):
        yield f"the pattern {pattern}", partial(setattr, view, "attention_pattern", pattern)
    yield "why this look", lambda: view.attention.explain_look()
    for tab in view.panels:
        yield f"the tab {tab}", partial(setattr, view, "tab", tab)
    view.tab = "attention"
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("png", "html"):
            yield f"saved as {kind}", partial(view.save, Path(folder, f"view.{kind}"))
    assert not view.troubles, view.troubles


def peaks() -> Iterator[tuple[str, float]]:
    """What each step held at most, in MB; in this very process, which should be a new one."""
    lab = bloomlab.load()
    lab.explore("Leo lives in Oslo.")._repr_mimebundle_()
    text = lab.tokenizer.decode(lab.tokenizer.encode(" Leo lives in Oslo. He has a cat." * 300)[: lab.max_tokens])
    assert len(lab.tokenizer.encode(text)) == lab.max_tokens
    gc.collect()
    before = _held("VmRSS")
    for what, step in _steps(lab, text):
        (PROCESS / "clear_refs").write_text("5")
        step()
        yield what, _held("VmHWM") - before


def rows() -> Iterator[str]:
    """The same as lines, from a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.memory"]
    yield from subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


if __name__ == "__main__":
    for what, peak in peaks():
        print(f"{'2,048 tokens, ' + what:<62}{peak:9.0f} MB of {BOUND}", flush=True)
