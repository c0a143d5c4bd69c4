"""Ctrl-C while edits are made in a view: each wish is then granted or not, and nothing is in between."""

import random
import signal
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import pytest
import torch

from bloomlab.lab import Lab
from bloomlab.views.view import View
from tests.tiny_random import byte_tokenizer, random_model

TEXT = "Leo lives."
INTERRUPTS = 300
HEARS = ("_change_edits", "_other_edits")  # what hears the page's wishes
TRACED = ("bloomlab", "traitlets", "ipywidgets")  # the packages whose lines are counted


class CtrlC:
    """Counts the lines that run while a view hears a wish, and sends a Ctrl-C before one of them."""

    def __init__(self, line: int = 0) -> None:
        self.line, self.passed = line, 0
        self.hearing: FrameType | None = None

    def __call__(self, frame: FrameType, event: str, _: object) -> "CtrlC | None":
        if event == "call":
            if self.hearing is None and frame.f_code.co_name in HEARS:
                self.hearing = frame
            return self if any(f"/{package}/" in frame.f_code.co_filename for package in TRACED) else None
        if event == "return" and frame is self.hearing:
            self.hearing = None
        elif event == "line" and self.hearing is not None:
            self.passed += 1
            if self.passed == self.line:
                signal.raise_signal(signal.SIGINT)
        return self


def lines_of(step: Callable[[], object], interrupted_at: int = 0) -> int:
    """Do it, with a Ctrl-C before this line of it; how many lines there were."""
    counting, before = CtrlC(interrupted_at), sys.gettrace()
    sys.settrace(counting)
    try:
        step()
    except KeyboardInterrupt:  # before the view was ready to catch it, or after it had answered
        pass
    finally:
        sys.settrace(before)
    return counting.passed


def any_wish(chance: random.Random, view: View) -> dict[str, Any]:
    """What a page may send next."""
    there = len(view.changes)
    do = chance.choice(["add", "add", "remove", "undo", "redo", "off"] if there < 4 else ["clear", "remove"])
    if do == "off":
        return {"off": [number for number in range(there) if number not in view.off]}
    axes = {"head": [chance.randrange(6)], "query": [chance.randrange(10)]}
    edit = {"spot": f"h.{chance.randrange(3)}.attn.mixed", "kind": "zero", "axes": axes}
    more = {"add": {"edit": edit}, "remove": {"at": chance.randrange(max(1, there))}}.get(do, {})
    return {"wished": {"do": do, **more}}


def send(view: View, wish: dict[str, Any]) -> None:
    numbered = {"wished": {**wish["wished"], "number": view.wished["number"] + 1}} if "wished" in wish else wish
    view.set_state(numbered)


def all_of(view: View) -> dict[str, Any]:
    """All that a view holds and shows of its edits."""
    trace, edits = view.trace, view._edits
    return {
        "edits that are on": {
            spot: repr(list(some) if len(some) > 1 else some[0]) for spot, some in view.edits.items()
        },
        "edits that were made": trace and trace.provenance["edits"],
        "the list": repr((edits, edits.past, edits.future)),
        "numbers": trace and trace["h.2.attn.probs"].numpy().tobytes(),
        **{name: getattr(view, name) for name in ("changes", "off", "runs", "run", "picture", "troubles")},
        "drawn": (view.attention.picture, view.attention.probs),
    }


@pytest.mark.slow
def test_after_each_of_300_interrupts_a_wish_was_granted_or_not() -> None:
    """Before any line that runs in answer to a wish; a second view, never interrupted, says what each should give."""
    lab, chance = Lab(random_model(), byte_tokenizer(), name="random"), random.Random(0)
    weights = [parameter.clone() for parameter in lab.model.parameters()]
    state = torch.get_rng_state()
    view, other = lab.explore(TEXT), lab.explore(TEXT)
    answers = {"granted": 0, "refused": 0}
    while sum(answers.values()) < INTERRUPTS:
        wish, before = any_wish(chance, view), all_of(view)
        lines = lines_of(partial(send, other, wish))
        after = all_of(other)
        if after == before:
            continue
        assert after["edits that are on"] == after["edits that were made"]
        at = chance.randint(1, lines)
        assert lines_of(partial(send, view, wish), at) >= at
        now = all_of(view)
        assert now in (before, after), (wish, at, {name for name in now if now[name] != after[name]})
        answers["granted" if now == after else "refused"] += 1
        if now == before:
            send(view, wish)  # the next wish is heard
            assert all_of(view) == after and view.state == "ready"
    assert min(answers.values()) > INTERRUPTS / 10
    assert torch.get_rng_state().equal(state) and torch.is_grad_enabled()
    assert all(map(torch.equal, weights, lab.model.parameters()))
