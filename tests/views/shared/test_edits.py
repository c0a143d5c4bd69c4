"""The list of a view's edits: what a page may ask for, in turn; and nothing else."""

from typing import Any

import pytest

from bloomlab.errors import HookError
from bloomlab.hooks import Hooks
from bloomlab.tracing.edits import add, cut, mean, patch, scale, zero
from bloomlab.views.shared.edits import MOST, EditList, built, words
from tests.tiny_random import random_ids, random_model

MODEL = random_model()
SPOTS = MODEL.hook_names()
TOKENS = 18
SILENT = {"spot": "h.1.attn.mixed", "kind": "zero", "axes": {"head": [2], "query": [5]}}
LIES: list[Any] = [  # what no honest page sends
    None,
    "zero()",
    [],
    {},
    {"spot": "h.1.attn.mixed"},
    SILENT | {"spot": "__class__"},
    SILENT | {"spot": "h.9.attn.mixed"},
    SILENT | {"spot": ["h.1.attn.mixed"]},
    SILENT | {"kind": "__import__('os').system('true')"},
    SILENT | {"kind": None},
    SILENT | {"kind": "scale"},
    SILENT | {"number": 2},
    SILENT | {"kind": "scale", "number": float("nan")},
    SILENT | {"kind": "scale", "number": 1e300},
    SILENT | {"kind": "scale", "number": True},
    SILENT | {"kind": "scale", "number": "2"},
    SILENT | {"axes": None},
    SILENT | {"axes": {"head": 2}},
    SILENT | {"axes": {"head": []}},
    SILENT | {"axes": {"head": [6]}},
    SILENT | {"axes": {"head": [-1]}},
    SILENT | {"axes": {"head": [True]}},
    SILENT | {"axes": {"head": [1.0]}},
    SILENT | {"axes": {"query": [18]}},
    SILENT | {"axes": {"pos": [1]}},
    SILENT | {"axes": {"batch": [0]}},
    SILENT | {"axes": {"lambda: 0": [0]}},
    SILENT | {"spot": "h.1.attn.probs", "kind": "cut"},
    SILENT | {"code": "print(1)"},
]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: str(lie)[:70])
def test_what_no_honest_page_sends_is_refused(lie: Any) -> None:
    with pytest.raises(HookError) as caught:
        spot, edit = built(lie, SPOTS, TOKENS)
        MODEL.generate(random_ids(1, 4), max_new_tokens=1, hooks=Hooks(edit={spot: edit}))  # a cut after the softmax
    assert 20 < len(str(caught.value)) <= 400


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (SILENT, zero(head=2, query=5)),
        (SILENT | {"axes": {"head": [4, 2, 4], "query": [17]}}, zero(head=[2, 4], query=17)),
        (SILENT | {"kind": "scale", "number": -0.5}, scale(-0.5, head=2, query=5)),
        ({"spot": "embed", "kind": "add", "number": 2, "axes": {}}, add(2)),
        ({"spot": "h.2.attn.biased", "kind": "cut", "axes": {"key": [0], "query": [3]}}, cut(key=0, query=3)),
    ],
    ids=str,
)
def test_what_a_page_may_ask_for_is_the_edit_of_python(wish: Any, expected: Any) -> None:
    spot, edit = built(wish, SPOTS, TOKENS)
    assert spot == wish["spot"] and repr(edit) == repr(expected)


def listed(*edits: Any) -> EditList:
    return EditList.of({"embed": list(edits)}) if edits else EditList()


def test_every_wish_gives_another_list_and_the_old_one_is_as_it_was() -> None:
    first = listed(zero(pos=1), scale(2.0), add(1.0))
    after = first.after({"do": "remove", "at": 1}, SPOTS, TOKENS)
    assert first.words == ["embed silent at 1", "embed × 2.0", "embed + 1.0"] and first.past == ()
    assert after.words == ["embed silent at 1", "embed + 1.0"]
    back = after.after({"do": "undo"}, SPOTS, TOKENS)
    assert back.words == first.words
    again = back.after({"do": "redo"}, SPOTS, TOKENS)
    assert again.words == after.words
    other = back.after({"do": "add", "edit": SILENT}, SPOTS, TOKENS)
    assert other.after({"do": "redo"}, SPOTS, TOKENS) is other  # what was undone is gone once another is made
    assert again.after({"do": "clear"}, SPOTS, TOKENS).after({"do": "undo"}, SPOTS, TOKENS).words == after.words


def test_those_that_are_off_stay_off_whatever_else_changes() -> None:
    some = listed(zero(pos=1), scale(2.0), add(1.0)).switched([2, 0])
    assert some.off == (0, 2) and [repr(edit) for edit in some.on["embed"]] == ["scale(2.0)"]
    assert some.after({"do": "add", "edit": SILENT}, SPOTS, TOKENS).off == (0, 2)
    fewer = some.after({"do": "remove", "at": 0}, SPOTS, TOKENS)
    assert fewer.off == (1,) and fewer.after({"do": "undo"}, SPOTS, TOKENS).off == (0, 2)
    for lie in (None, "0", [7], [-1], ["1"], [True], [1.0], {0: 1}, 3):
        assert some.switched(lie).off == ()


@pytest.mark.parametrize("at", [None, 1, -1, "0", True, 0.0])
def test_an_edit_that_is_not_there_cannot_be_taken_back(at: Any) -> None:
    with pytest.raises(HookError, match="there is no edit"):
        listed(zero()).after({"do": "remove", "at": at}, SPOTS, TOKENS)


def test_there_is_an_end_to_the_list_and_to_what_is_remembered() -> None:
    full = listed(*[zero()] * MOST)
    with pytest.raises(HookError, match="no more fit"):
        full.after({"do": "add", "edit": SILENT}, SPOTS, TOKENS)
    edits = EditList()
    for _ in range(3 * MOST):
        edits = edits.after({"do": "add", "edit": SILENT}, SPOTS, TOKENS).after({"do": "clear"}, SPOTS, TOKENS)
    assert len(edits.past) == MOST


@pytest.mark.parametrize("wish", [{}, {"do": "sing"}, {"do": None}, {"do": "undo"}, {"do": "redo"}])
def test_a_wish_that_means_nothing_gives_the_same_list(wish: Any) -> None:
    edits = listed(zero())
    assert edits.after(wish, SPOTS, TOKENS) is edits


def test_a_chip_says_any_edit_in_words() -> None:
    source = MODEL(random_ids(1, 4), output_hidden_states=True).hidden_states[1]
    for spot, edit, expected in (
        ("resid_post", patch(source, pos=4), "resid_post of every layer copied at 4"),
        ("h.2.mlp.post", mean(neuron=[3, 5]), "mlp.post of layer 2 its mean neuron 3, 5"),
        (
            "h.0.attn.mixed",
            zero(head=[1, 2], query=slice(2, None)),
            "attn.mixed of layer 0, heads 1, 2 silent at 2 to the end",
        ),
        ("attn.mixed", zero(head=1), "head 1 of every layer silent"),
        ("final", lambda x, at: x, "final: <lambda>"),
    ):
        assert words(spot, edit) == expected


# ---- other doses ----


def slope(head: Any, factor: Any, **changes: Any) -> dict[str, Any]:
    axes = {} if head is None else {"head": [head]}
    return {"spot": "attn.alibi", "kind": "scale", "axes": axes, "number": factor} | changes


def setting(*edits: Any, gesture: Any = 1) -> dict[str, Any]:
    return {"do": "set", "edits": list(edits), "gesture": gesture}


def test_another_dose_takes_the_place_of_the_one_before() -> None:
    edits = listed(zero(pos=1)).after(setting(slope(3, 0.5), slope(None, 2)), SPOTS, TOKENS)
    assert edits.words == ["embed silent at 1", "slope of head 3 × 0.5", "all slopes × 2"]
    edits = edits.switched([0, 1]).after(setting(slope(3, 0.25), slope(1, 4), gesture=2), SPOTS, TOKENS)
    assert edits.words == ["embed silent at 1", "slope of head 3 × 0.25", "all slopes × 2", "slope of head 1 × 4"]
    assert edits.off == (0,)  # what is given another dose is on
    edits = edits.after(setting(slope(None, 1), slope(3, 1.0), slope(5, 1), gesture=3), SPOTS, TOKENS)
    assert edits.words == ["embed silent at 1", "slope of head 1 × 4"] and edits.off == (0,)


def test_a_gesture_is_one_step_back_however_many_wishes_it_takes() -> None:
    edits = listed(zero(pos=1))
    for factor in (0.9, 0.8, 0.7):
        edits = edits.after(setting(slope(3, factor), gesture=7), SPOTS, TOKENS)
    assert edits.words[1:] == ["slope of head 3 × 0.7"] and len(edits.past) == 1
    edits = edits.after(setting(slope(3, 0.6), gesture=8), SPOTS, TOKENS)
    back = edits.after({"do": "undo"}, SPOTS, TOKENS)
    assert back.words[1:] == ["slope of head 3 × 0.7"]
    assert back.after({"do": "undo"}, SPOTS, TOKENS).words == ["embed silent at 1"]
    assert back.after({"do": "redo"}, SPOTS, TOKENS).words[1:] == ["slope of head 3 × 0.6"]
    after_undo = back.after(setting(slope(3, 0.5), gesture=8), SPOTS, TOKENS)  # the number of what was undone
    assert after_undo.after({"do": "undo"}, SPOTS, TOKENS).words == back.words


@pytest.mark.parametrize("wish", [setting(slope(3, 1)), setting(slope(2, 0.5)), setting(slope(2, 0.5), slope(4, 1.0))])
def test_a_dose_that_is_there_already_changes_nothing(wish: Any) -> None:
    edits = EditList.of({"attn.alibi": scale(0.5, head=2)})
    assert edits.after(wish, SPOTS, TOKENS) is edits


@pytest.mark.parametrize(
    "wish",
    [
        {"do": "set"},
        setting(),
        setting(gesture="1"),
        setting(slope(3, 2), gesture=None),
        setting(slope(3, 2), gesture=True),
        setting(slope(3, 2), gesture=1.5),
        {"do": "set", "edits": slope(3, 2), "gesture": 1},
        {"do": "set", "edits": "scale(2)", "gesture": 1},
        setting(slope(3, 2), None),
        setting(slope(3, 2), slope(6, 2)),
        setting(slope(3, "2")),
        setting(slope(3, float("inf"))),
        setting(slope(3, 2, spot="alibi")),
        setting(slope(3, 2, spot="0.attn.alibi")),
        setting(slope(3, 2, spot="h.*.attn.alibi")),
        setting(slope(3, 2, spot="h.9.attn.alibi")),
        setting(*[slope(3, 2)] * (MOST + 1)),
    ],
    ids=lambda wish: str(wish)[:70],
)
def test_a_page_that_lies_about_doses_is_refused_in_a_sentence(wish: Any) -> None:
    edits = listed(zero(pos=1))
    with pytest.raises(HookError) as caught:
        edits.after(wish, SPOTS, TOKENS)
    assert 20 < len(str(caught.value)) <= 400 and edits.words == ["embed silent at 1"]


def test_doses_fill_the_list_as_other_edits_do() -> None:
    full = listed(*[zero()] * MOST)
    with pytest.raises(HookError, match="no more fit"):
        full.after(setting(slope(3, 2)), SPOTS, TOKENS)
    edits = EditList()
    for gesture in range(3 * MOST):
        edits = edits.after(setting(slope(3, 2 + gesture), gesture=gesture), SPOTS, TOKENS)
    assert len(edits.past) == MOST


def test_a_slope_has_words_of_its_own() -> None:
    for spot, edit, expected in (
        ("h.2.attn.alibi", scale(0.5, head=1), "slope of head 2.1 × 0.5"),
        ("h.2.attn.alibi", scale(0), "all slopes of layer 2 × 0"),
        ("attn.alibi", scale(0.420448), "all slopes × 0.42"),
        ("attn.alibi", scale(0.5, head=1, query=3), "head 1 of every layer × 0.5 at 3"),
    ):
        assert words(spot, edit) == expected
