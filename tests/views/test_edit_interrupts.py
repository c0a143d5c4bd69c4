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
HEARS = ("_change_edits", "_other_edits")  # what hears the page's wishes
WATCHED = ("bloomlab", "traitlets", "ipywidgets")  # the packages in which places are counted


class CtrlC:
    """Counts where a Ctrl-C can come in while a view hears a wish, and sends one at one of these places.

    Python hears a signal where a function begins, and where a call of a function written in C has ended; never between
    `finally` and the first call there.
    """

    def __init__(self, place: int = 0) -> None:
        self.place, self.passed = place, 0
        self.hearing: FrameType | None = None

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and self.hearing is None and frame.f_code.co_name in HEARS:
            self.hearing = frame
        elif event == "return" and frame is self.hearing:
            self.hearing = None
        elif event in ("call", "c_return") and self.hearing is not None:
            if any(f"/{package}/" in frame.f_code.co_filename for package in WATCHED):
                self.passed += 1
                if self.passed == self.place:
                    signal.raise_signal(signal.SIGINT)


def places_of(step: Callable[[], object], interrupted_at: int) -> tuple[int, bool]:
    """Do it, with a Ctrl-C at this place in it: how many places it passed, and whether the view caught the Ctrl-C."""
    counting, before = CtrlC(interrupted_at), sys.getprofile()
    sys.setprofile(counting)
    try:
        step()
        return counting.passed, True
    except KeyboardInterrupt:
        return counting.passed, False
    finally:
        sys.setprofile(before)


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
# a Ctrl-C may fall into a finaliser, from which Python cannot raise: such noise is no change of the view
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("interrupts", [100, pytest.param(300, marks=pytest.mark.long)])
def test_after_each_of_many_interrupts_a_wish_was_granted_or_not(interrupts: int) -> None:
    """At any place in what runs in answer to a wish; a second view, never interrupted, says what each should give."""
    lab, chance = Lab(random_model(), byte_tokenizer(), name="random"), random.Random(0)
    weights = [parameter.clone() for parameter in lab.model.parameters()]
    state = torch.get_rng_state()
    view, other = lab.explore(TEXT), lab.explore(TEXT)
    answers, places = {"granted": 0, "refused": 0}, {"off": 5000}
    while sum(answers.values()) < interrupts:
        wish, before = any_wish(chance, view), all_of(view)
        do = wish.get("wished", {"do": "off"})["do"]
        send(other, wish)
        after = all_of(other)
        assert after["edits that are on"] == after["edits that were made"]
        last = places.get(do, 5000)
        at = chance.randint(chance.choice((1, 9 * last // 10)), last)  # it is granted near the end
        passed, caught = places_of(partial(send, view, wish), at)
        now = all_of(view)
        if not caught and now != after:  # it came before the view heard of it, so what the page has set is still there
            assert now["off"] in (before["off"], after["off"])
            view.off = before["off"]
            now = all_of(view)
        assert now in (before, after), (wish, at, {name for name in now if now[name] != after[name]})
        if passed < at:  # it ended before the Ctrl-C
            assert now == after
            places[do] = max(passed, 1000)
        elif before != after:
            answers["granted" if now == after else "refused"] += 1
        if now != after:
            send(view, wish)  # the next wish is heard
            assert all_of(view) == after and view.state == "ready"
    assert min(answers.values()) > 5
    assert torch.get_rng_state().equal(state) and torch.is_grad_enabled()
    assert all(map(torch.equal, weights, lab.model.parameters()))
