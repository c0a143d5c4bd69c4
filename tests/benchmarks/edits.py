"""What a change by hand takes, from the wish of a page to the picture, on the embedded model.

python -m tests.benchmarks.edits
"""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

import bloomlab
from bloomlab import Lab, scale
from bloomlab.views.view import View

TEXT = "Leo lives in Oslo. He has a cat. Leo eats bread. " * 5
TOKENS = 50
Work = Callable[[], object]


def milliseconds(work: Work) -> tuple[float, float]:
    """By the clock, and of the processor alone, which a busy machine does not distort."""
    clock, own = time.perf_counter(), time.process_time()
    work()
    return 1e3 * (time.perf_counter() - clock), 1e3 * (time.process_time() - own)


def row(what: str, goal: float, step: Callable[[int], Work], back: Work, plain: Work, rounds: int) -> str:
    """A change, which `back` takes back unmeasured, beside an unedited trace of what the view reads."""
    clock: list[float] = []
    own: list[float] = []
    ratios: list[float] = []
    for number in range(rounds + 3):
        changed, whole = milliseconds(step(number)), milliseconds(plain)
        back()
        if number >= 3:  # the first ones prepare what the later ones use
            clock.append(changed[0])
            own.append(changed[1])
            ratios.append(changed[1] / whole[1])
    (middle, p95), busy = (
        (statistics.quantiles(clock, n=20)[i] for i in (9, 18)),
        statistics.quantiles(own, n=20)[18],
    )
    times = f"{middle:9.1f} ms, p95 {p95:.1f} ms of {goal:.0f}; of the processor p95 {busy:.1f} ms"
    return f"{what:<62}{times}, {statistics.median(ratios):.2f} × a trace without edits"


def wish(view: View, **what: Any) -> None:
    """As a message from the page."""
    view.set_state({"wished": {**what, "number": view.wished["number"] + 1}})
    if view.state != "ready":
        raise RuntimeError(f"the wish was not granted: {view.message}")


def by_hand(lab: Lab, text: str, rounds: int) -> Iterator[str]:
    """An edit in the explorer, with each of its tabs open."""
    view, plain = lab.explore(text), lambda: lab.trace(text, lab._all_spots())
    for tab in ("attention", "hidden", "predictions"):
        view.tab = tab

        def silence(number: int) -> Work:
            axes = {"head": [number % 8], "query": [number % TOKENS]}
            edit = {"spot": f"h.{number % 4}.attn.mixed", "kind": "zero", "axes": axes}
            return lambda: wish(view, do="add", edit=edit)

        what = f"an edit by hand, {tab} open, {TOKENS} tokens"
        yield row(what, 150, silence, lambda: wish(view, do="clear"), plain, rounds)


def dragged(lab: Lab, text: str, rounds: int) -> Iterator[str]:
    """A slope that is dragged: one edit at `attn.alibi` of every layer, in place of the one before."""
    view, plain = lab.explore(text), lambda: lab.trace(text, lab._all_spots())
    view.tab = "alibi"

    def slope(number: int) -> Work:
        edits = {"attn.alibi": scale(0.5 + number / 100, head=number % 8)}
        return lambda: view._make(type(view._edits).of(edits))

    what = f"a dragged slope, alibi open, {TOKENS} tokens"
    yield row(what, 100, slope, lambda: None, plain, rounds)


def measure(rounds: int = 100) -> Iterator[str]:
    lab = bloomlab.load()
    text = "".join(token.text for token in lab.tokens(TEXT)[:TOKENS])
    yield from by_hand(lab, text, rounds)
    yield from dragged(lab, text, rounds)


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for line in measure():
        print(line, flush=True)
