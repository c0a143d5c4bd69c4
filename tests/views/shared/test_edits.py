"""The list of a view's edits: what a page may ask for, in turn; and nothing else."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bloomlab.errors import HookError
from bloomlab.hooks import Hooks, NamedEdit
from bloomlab.tracing.edits import add, cut, mean, patch, scale, zero
from bloomlab.views.shared.edits import KINDS, MOST, WISHES, EditList, built, words
from tests.tiny_random import random_ids, random_model

MODEL = random_model()
SPOTS = MODEL.hook_names()
TOKENS = 18
SILENT = {"spot": "h.1.attn.mixed", "kind": "zero", "axes": {"head": [2], "query": [5]}}


def nested(depth: int) -> list[Any]:
    """Lists in lists, deeper than Python writes down."""
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


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
    SILENT | {"spot": nested(100)},
    SILENT | {"axes": {str(number): [0] for number in range(1000)}},
    SILENT | {"kind": "scale", "number": 10**400},
    SILENT | {"kind": "add", "number": float("-inf")},
    SILENT | {"spot": "x" * 1_000},
    SILENT | {"kind": "copied"},  # there is no donor
    SILENT | {"kind": "usual", "columns": [1]},
    SILENT | {"kind": "patch"},
]
WITHOUT_TEXTS: list[Any] = [SILENT | {"kind": "usual"}, SILENT | {"kind": "drawn"}]  # no lies where there are some
LONG: list[Any] = [
    SILENT | {"spot": "x" * 1_000_000},
    SILENT | {"axes": {"head": [0.0] * 1_000_000}},
    SILENT | {"axes": {"head": [5] * 1_000_000 + [6]}},
]
DEEP: list[Any] = [  # no widget would carry these
    SILENT | {"spot": nested(2000)},
    SILENT | {"kind": {"zero": nested(2000)}},
    SILENT | {"axes": {"head": nested(2000)}},
    SILENT | {"axes": {"head": [10**5000]}},
]


EVERY = [*LIES, *WITHOUT_TEXTS, *LONG, *DEEP]


@pytest.mark.slow
@pytest.mark.parametrize("lie", EVERY, ids=range(len(EVERY)))
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
    for _ in range(MOST + 3):
        edits = edits.after({"do": "add", "edit": SILENT}, SPOTS, TOKENS).after({"do": "clear"}, SPOTS, TOKENS)
    assert len(edits.past) == MOST


@pytest.mark.parametrize("do", ["undo", "redo"])
def test_where_nothing_was_undone_or_made_the_list_stays(do: str) -> None:
    edits = listed(zero())
    assert edits.after({"do": do}, SPOTS, TOKENS) is edits


@pytest.mark.parametrize("wish", [None, [], "add", 7, {}, {"do": "sing"}, {"do": None}, {"do": ["add"]}, nested(2000)])
def test_what_is_no_wish_is_refused(wish: Any) -> None:
    with pytest.raises(HookError, match="the page can ask for add, set, dose, remove, clear, undo, redo, but"):
        listed(zero()).after(wish, SPOTS, TOKENS)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("__class__"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ALMOST = st.fixed_dictionaries(
    {"do": st.sampled_from(WISHES) | ANYTHING},
    optional={
        "at": st.integers(-2, 3) | ANYTHING,
        "edit": ANYTHING
        | st.fixed_dictionaries(
            {"spot": st.sampled_from(list(SPOTS)) | ANYTHING, "kind": st.sampled_from(list(KINDS)) | ANYTHING},
            optional={
                "number": st.integers(-5, 5) | ANYTHING,
                "axes": ANYTHING
                | st.dictionaries(
                    st.sampled_from("head query key pos batch hidden".split()),
                    st.lists(st.integers(-2, 30), max_size=3) | ANYTHING,
                    max_size=2,
                ),
            },
        ),
    },
)


@pytest.mark.slow
@given(wish=ALMOST | ANYTHING, off=st.lists(st.integers(-2, 4)) | ANYTHING)
@settings(max_examples=100)
def test_whatever_json_a_page_sends_gives_edits_of_this_list_or_one_sentence(wish: Any, off: Any) -> None:
    before = listed(zero(pos=1), scale(2.0), add(1.0))
    try:
        after = before.after(wish, SPOTS, TOKENS).switched(off)
    except HookError as error:
        assert 20 < len(str(error)) <= 400
        return
    assert all(0 <= number < len(after.entries) for number in after.off)
    for spot, edit in after.entries[3:]:
        assert isinstance(edit, NamedEdit) and edit.text.partition("(")[0] in KINDS
        sizes = dict(zip(SPOTS[spot].axes.split(), SPOTS[spot].shape, strict=True))
        for axis, index in edit.where.items():
            size = sizes[axis] if isinstance(sizes[axis], int) else TOKENS
            assert all(type(i) is int and 0 <= i < size for i in (index if isinstance(index, list) else [index]))


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


# ---- how far an edit reaches ----


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (SILENT | {"spot": "attn.mixed"}, zero(head=2, query=5)),
        (SILENT | {"axes": {"query": {"from": 3}}}, zero(query=slice(3, None))),
        ({"spot": "mlp.out", "kind": "zero", "axes": {"pos": {"from": 0}}}, zero(pos=slice(0, None))),
    ],
    ids=str,
)
def test_the_reach_of_an_edit(wish: Any, expected: Any) -> None:
    spot, edit = built(wish, SPOTS, TOKENS)
    assert spot == wish["spot"] and repr(edit) == repr(expected)


@pytest.mark.parametrize("reach", [{"from": 18}, {"from": -1}, {"from": True}, {"to": 3}, {"from": 1, "to": 3}, {}])
def test_a_reach_that_is_not_in_the_text_is_refused(reach: Any) -> None:
    with pytest.raises(HookError, match="goes from 0 to 17"):
        built(SILENT | {"axes": {"query": reach}}, SPOTS, TOKENS)
    with pytest.raises(HookError, match="goes from 0 to 5"):
        built(SILENT | {"axes": {"head": {"from": 1}}}, SPOTS, TOKENS)


# ---- what other texts have ----


def test_a_direction_is_added_where_states_are() -> None:
    wish = {"kind": "steer", "axes": {}, "number": 2, "towards": ["Bo vit."], "away": ["Bo lives."]}
    spot, edit = built({"spot": "h.1.resid_post", **wish}, SPOTS, TOKENS)
    assert spot == "h.1.resid_post" and edit.again is not None and edit.again.args[2] == 2
    with pytest.raises(HookError, match=r"'h\.1\.attn\.mixed' holds none; choose a state"):
        built({"spot": "h.1.attn.mixed", **wish}, SPOTS, TOKENS)


def test_a_copy_takes_one_column_for_one_token() -> None:
    donor: Any = SimpleNamespace(text="Bo lives", tokens=["Bo", " lives"])
    wish = {"spot": "h.1.mlp.out", "kind": "copied", "axes": {"pos": [3]}}
    assert repr(built({**wish, "columns": [1]}, SPOTS, TOKENS, donor)[1]) == "copied('Bo lives', columns=1, pos=3)"
    for columns in ([0, 1], [], 1, "1"):
        with pytest.raises(HookError, match="the page names one column of the other text"):
            built({**wish, "columns": columns}, SPOTS, TOKENS, donor)
