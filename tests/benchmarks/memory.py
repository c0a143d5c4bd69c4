"""What a text as long as a lab takes costs in memory, on the embedded model: the most that each step of a view held.

python -m tests.benchmarks.memory

In megabytes above what the program has held before, with the lab open and a short text shown. Linux only: it resets the
kernel's own record of the peak.
"""

import gc
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import bloomlab
from bloomlab import Lab
from bloomlab.hooks import Edits
from bloomlab.tracing.edits import cut, scale
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
    yield from _tabs(view, "")
    view.tab = "attention"
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("png", "html"):
            yield f"saved as {kind}", partial(view.save, Path(folder, f"view.{kind}"))
    assert not view.troubles, view.troubles


def _tabs(view: View, run: str) -> Iterator[tuple[str, Callable[[], object]]]:
    for tab in view.panels:
        yield f"the tab {tab}{run}", partial(setattr, view, "tab", tab)


def _edited_steps(lab: Lab, text: str, **two: Any) -> Iterator[tuple[str, Callable[[], object]]]:
    """Two runs, each of them and their difference in every tab; the heads asked, too."""
    views: list[View] = []
    yield "two runs", lambda: views.append(lab.explore(text, **two))
    view = views[0]
    view.predictions_question = "Where does Leo live?"
    yield "another head", lambda: setattr(view, "head", 1)
    for run in reversed(view.runs):
        yield f"the run {run}", partial(setattr, view, "run", run)
        if run != "as it is":
            yield from _tabs(view, f", {run}")
            view.tab = "attention"
            yield f"the pattern rollout, {run}", partial(setattr, view, "attention_pattern", "rollout")
            yield f"its still, {run}", view._repr_mimebundle_
    assert not view.troubles, view.troubles


EDITS: dict[str, Edits] = {
    "slopes": {"attn.alibi": scale(0.5)},
    "scores": {"attn.scores": scale(0.5), "h.2.attn.biased": cut(key=0, head=3)},
}


def _all_steps(lab: Lab) -> dict[str, Callable[[], Iterator[tuple[str, Callable[[], object]]]]]:
    text, other = (
        lab.tokenizer.decode(lab.tokenizer.encode(f" Leo lives in {city}. He has a cat." * 300)[: lab.max_tokens])
        for city in ("Oslo", "Rome")
    )
    assert len(lab.tokenizer.encode(text)) == lab.max_tokens
    steps = {"": partial(_steps, lab, text), "against": partial(_edited_steps, lab, text, against=other)}
    return steps | {name: partial(_edited_steps, lab, text, edit=edit) for name, edit in EDITS.items()}


class Held(TorchDispatchMode):
    """Counts the bytes of all tensors that are alive: the same on every machine, whatever else it does."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes: dict[int, int] = {}
        self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in (one for one in tree_leaves(made) if isinstance(one, torch.Tensor)):
            storage = tensor.untyped_storage()
            if storage._cdata not in self.bytes:
                self.bytes[storage._cdata] = storage.nbytes()
                weakref.finalize(storage, self.bytes.pop, storage._cdata, None)
        self.most = max(self.most, sum(self.bytes.values()))
        return made


def tensors(which: str, last: str) -> Iterator[tuple[str, float]]:
    """What the tensors of each step up to the last one held at most together, in MB."""
    lab, held = bloomlab.load(), Held()
    with held:
        for what, step in _all_steps(lab)[which]():
            held.most = 0
            step()
            yield what, held.most / 1e6
            if what == last:
                return


def peaks(which: str) -> Iterator[tuple[str, float]]:
    """What each step held at most, in MB; in this very process, which should be a new one.

    `which` is "" for one run, a name of EDITS, or "against" for two texts.
    """
    lab = bloomlab.load()
    lab.explore("Leo lives in Oslo.")._repr_mimebundle_()
    steps = _all_steps(lab)[which]()
    gc.collect()
    before = _held("VmRSS")
    for what, step in steps:
        (PROCESS / "clear_refs").write_text("5")
        step()
        yield what, _held("VmHWM") - before


def rows(which: str = "") -> Iterator[str]:
    """The same as lines, from a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.memory", which]
    yield from subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


if __name__ == "__main__":
    for which in sys.argv[1:]:
        for what, peak in peaks(which):
            print(f"{'2,048 tokens, ' + (which and which + ', ') + what:<72}{peak:9.0f} MB of {BOUND}", flush=True)
    if not sys.argv[1:]:
        for which in ("", *EDITS, "against"):
            print(*rows(which), sep="\n", flush=True)
