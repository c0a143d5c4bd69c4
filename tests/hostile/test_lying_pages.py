"""A page that lies: made-up states and messages to every view. The last good picture stays, and the view works on."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from bloomlab.lab import Lab
from bloomlab.tracing.donors import steer
from bloomlab.tracing.edits import zero
from bloomlab.views.cover import Cover
from bloomlab.views.view import View
from tests.hostile.mutations import INTERESTING, changed_value
from tests.tiny_random import byte_tokenizer, random_model

LAB = Lab(random_model(), byte_tokenizer())
VIEWS: dict[str, Callable[[], View]] = {
    "explorer": lambda: LAB.explore("Leo lives"),
    "map": lambda: LAB.map("Leo lives"),
    "tokens": lambda: LAB.tokens("Leo lives").view,
    "attention": lambda: LAB.attention("Leo lives"),
    "alibi": lambda: LAB.alibi("Leo lives"),
    "hidden": lambda: LAB.hidden_states("Leo lives"),
    "predictions": lambda: LAB.predictions("Leo lives"),
    "writing": lambda: LAB.write("Leo lives").view,
    "a direction": lambda: LAB.explore("Leo lives", edit={"h.1.resid_post": steer(["Leo vit"], ["Leo eats"])}),
    "several texts": lambda: LAB.attention(LAB.trace(["Leo lives", "Bo eats"], read=["attn.scores", "attn.probs"])),
    "two texts": lambda: LAB.explore("Leo lives", against="Leo eats"),
    "two runs": lambda: LAB.explore("Leo lives", edit={"h.0.attn.mixed": zero(head=1)}),
}
WORDS = ["probability", "content", "head", "attention", "what if", "difference", "open", "post", {"do": "undo"}]
VALUES = [*INTERESTING, *WORDS, {"text": 5, "number": "x"}, {"text": "a", "number": 3}, {"text": "a"}, 10**400]
EDIT = {"spot": "h.0.attn.mixed", "kind": "scale", "axes": {"head": 1, "pos": [0, 2]}, "number": 0.5}
STEER = {"spot": "h.1.resid_post", "kind": "steer", "axes": {}, "number": 2, "towards": ["Bo vit"], "away": ["Bo eats"]}
WISHES: list[Any] = [  # what a page of ours sends, to be changed a little
    *({"do": "step", "number": 1}, {"do": "back", "number": 2}, {"do": "branch", "token": 70, "number": 3}),
    *({"do": "search", "number": 4}, {"do": "add", "edit": EDIT, "number": 5}, {"do": "remove", "at": 0, "number": 6}),
    *({"do": "set", "edits": [EDIT, EDIT], "gesture": 1, "number": 7}, {"do": "undo"}, {"do": "redo"}, {"do": "clear"}),
    *({"do": "read", "text": "Bo eats", "number": 8}, {"do": "knock", "number": 9}, {"text": "Bo", "number": 10}),
    {"do": "add", "edit": {"spot": "embed", "kind": "patch", "axes": {"pos": [1]}, "columns": [0]}, "number": 11},
    {"do": "add", "edit": STEER, "expect": "so", "number": 12},
    {"do": "add", "edit": {**STEER, "towards": "French", "away": "English"}, "number": 13},
    {"do": "add", "edit": {"spot": "embed", "kind": "copied", "axes": {"pos": [1]}}, "donor": "Bo eats", "number": 14},
    {"do": "add", "edit": {"spot": "embed", "kind": "usual", "axes": {"pos": [1]}}, "number": 15},
    *({"do": "dose", "at": 0, "dose": 3, "gesture": 1}, {"do": "compare"}, {"do": "refute"}, {"do": "held"}),
    *({"do": "curve"}, {"do": "stop"}, {"do": "restore", "at": 0}, {"do": "save", "kind": "svg", "number": 16}),
    {"do": "keep", "parts": ["1.1", "mlp 1"], "among": "all", "instead": "zero"},
    {"do": "without", "parts": ["0.1"], "among": "heads", "instead": "usual"},
]

ODD: list[Any] = [None, [], {}, {"content": 5}, {"content": {"data": []}}, {"content": {"data": {"method": []}}}]


def message(view: View, chance: random.Random) -> Any:
    """A made-up message to a view."""
    names = [*view.keys, "no_such_trait", "_view_name", "comm"]
    state: dict[str, Any] = {chance.choice(names): chance.choice(VALUES) for _ in range(chance.randrange(1, 4))}
    if chance.random() < 0.4:  # a wish, true or nearly so
        wish = chance.choice(WISHES)
        wishes = [name for name in names if name.endswith(("asked", "wished", "typed"))]
        state[chance.choice(wishes)] = wish if chance.random() < 0.5 else changed_value(wish, chance)
    data: Any = {"method": chance.choice(["update"] * 8 + ["custom", "request_state", 5, "x"]), "state": state}
    if chance.random() < 0.1:
        data |= {"buffer_paths": [chance.choice(([], ["x"], [0, "y"], 5))], "content": chance.choice(VALUES)}
    return {"content": {"data": data}, "buffers": chance.choice(([], [b"x"], None))}


def messages(view: View, count: int) -> list[Any]:
    """Made-up messages; always the same."""
    return [*ODD, *(message(view, random.Random(f"page {number}")) for number in range(count))]


@pytest.mark.slow
@pytest.mark.parametrize("name", VIEWS)
def test_a_view_takes_what_fits_and_works_on(name: str) -> None:
    view = VIEWS[name]()
    before = json.dumps(view.picture, default=str)
    for message in messages(view, 150):
        view.__class__._handle_msg(view, message)
        assert view.picture and view.trace is not None
        assert view.trace.text in ("a", "Bo", "Bo eats", "Leo lives") or view.state == "ready", message
        repr(view), compile(view.code, name, "exec")
    view.show("Leo lives")
    assert view.state == "ready" and view.text == "Leo lives" and len(before) > 100
    assert view._repr_mimebundle_()[0]["text/html"]


def test_a_page_sets_what_a_person_can_choose_and_nothing_else() -> None:
    view = LAB.attention("Leo lives")
    picture = view.picture
    wrong = {
        "picture": {},
        "live": False,
        "message": "x",
        "layer": "1",
        "mode": "no",
        "typed": {"text": 5, "number": 1},
    }
    view.set_state({**wrong, "head": 2, "query": True})
    assert view.picture is picture and view.live and view.message == "" and view.typed["text"] == ""
    assert (view.layer, view.head, view.mode) == (0, 2, "probability")
    view.set_state({"layer": 1, "mode": "content", "typed": {"text": "Leo", "number": 1}})
    assert view.layer == 1 and view.mode == "content" and view.text == "Leo"
    view.set_state([])


def test_what_goes_wrong_after_a_choice_is_said_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    view = LAB.attention("Leo lives")
    monkeypatch.setattr(type(view.panels["attention"]), "more", lambda *_: 1 / 0)
    view.set_state({"layer": 1})
    assert view.state == "error" and "ZeroDivisionError" in view.message and view.picture


def test_a_cover_takes_a_prediction_only() -> None:
    cover = Cover("How many?", 3)
    cover.set_state({"answer": "4", "prediction": "2", "revealed": "yes"})
    assert (cover.answer, cover.prediction, cover.revealed) == ("3", "2", False)
