"""Two runs of one text in a view: the numbers of lab.trace, exactly 0 where nothing has changed, and edits by hand."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bloomlab
from bloomlab.errors import InputError
from bloomlab.lab import Lab
from bloomlab.lens.difference import READ_STATES, attention_change, lens_change
from bloomlab.tracing.edits import cut, scale, zero
from bloomlab.views.shared.edits import MOST
from bloomlab.views.view import RUNS, View
from tests.tiny_random import byte_tokenizer, random_model
from tests.views.aside import aside
from tests.views.shared.test_edits import LIES, SILENT

TEXT = "Leo lives in Oslo."
RECAP = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
EDIT: dict[str, Any] = {"h.1.attn.mixed": zero(head=2, query=5)}


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(random_model(), byte_tokenizer(), name="random")


@pytest.fixture(scope="module")
def tiny() -> Lab:
    return bloomlab.load()


def floats(data: bytes) -> Any:
    return np.frombuffer(data, np.float32)


def wish(view: View, **what: Any) -> None:
    """As a message from the page."""
    view.set_state({"wished": {**what, "number": view.wished["number"] + 1}})


def causal(matrix: torch.Tensor) -> Any:
    return np.concatenate([matrix[query, : query + 1].numpy() for query in range(len(matrix))])


# ---- what is shown ----


def test_one_run_has_no_switch_and_two_have_three(lab: Lab) -> None:
    assert lab.explore(TEXT).runs == [] and lab.explore(TEXT).changes == []
    view = lab.explore(TEXT, edit=EDIT)
    assert view.runs == list(RUNS) and view.changes == ["head 1.2 silent at 5"]
    assert "edited: h.1.attn.mixed zero(head=2, query=5)" in view.picture["stamp"]
    assert lab.alibi(TEXT, edit=EDIT).runs == list(RUNS)
    assert lab.explore(TEXT, against="Leo.").runs == ["as it is", "what if"]  # other tokens


def test_each_run_shows_its_own_numbers_and_the_difference_those_of_the_lens(lab: Lab) -> None:
    read = ["attn.scores", "attn.probs", *READ_STATES]
    whole, edited = lab.trace(TEXT, read), lab.trace(TEXT, read, EDIT)
    view = lab.explore(TEXT, edit=EDIT)
    view.layer, view.head = 2, 3
    cells = {run: causal(trace["h.2.attn.probs"][0, 3]) for run, trace in (("as it is", whole), ("what if", edited))}
    size, start = len(cells["what if"]), 3 * len(cells["what if"])
    for run, expected in cells.items():
        view.run = run
        assert np.array_equal(floats(view.attention.probs)[start : start + size], expected), run
        assert view.trace is not None and view.attention.before == b""
    view.run = "difference"
    assert np.array_equal(floats(view.attention.probs)[start : start + size], cells["what if"])
    assert np.array_equal(floats(view.attention.before)[start : start + size], cells["as it is"])
    noticed = attention_change(whole, edited).noticed(5)
    assert view.attention.picture["difference"]["noticed"] == [list(look) for look in noticed]
    view.tab = "hidden"
    moved = floats(view.hidden.moved).reshape(7, -1)
    assert np.array_equal(moved, lens_change(lab.model, whole, edited).kl.numpy())
    assert view.hidden.picture["difference"]["reached"] == [False] * 3 + [True] * 4
    assert (view.layer, view.head) == (2, 3)  # the place stays


def test_a_run_against_itself_is_exactly_zero_in_every_panel(lab: Lab) -> None:
    for view in (
        lab.explore(TEXT, edit={"resid_post": scale(1.0)}),
        lab.explore(TEXT, against=lab),
        lab.explore(TEXT, against=TEXT),
    ):
        view.run = "difference"
        assert view.attention.picture["difference"] == {"noticed": [], "heads": 0}
        assert set(view.attention.thumbs) == {128} and view.attention.probs == view.attention.before
        view.tab = "hidden"
        assert not floats(view.hidden.moved).any() and not any(view.hidden.picture["difference"]["reached"])
        view.tab = "alibi"
        assert view.alibi.measured == view.alibi.before and view.alibi.picture["difference"]["largest"] == [None] * 4
        assert not any(map(any, view.alibi.picture["difference"]["reached"]))


def test_both_runs_come_by_the_same_path_through_attention(lab: Lab) -> None:
    """A view that reads no attention takes the fused kernel, but an edited look does not: the two would round apart."""
    view = lab.hidden_states(TEXT, edit={"h.1.attn.biased": scale(1.0)})
    view.run = "difference"
    assert not floats(view.moved).any() and not any(view.picture["difference"]["reached"])


def test_a_shorter_text_is_shown_at_the_last_token_it_has(lab: Lab) -> None:
    for verb in ("explore", "attention", "hidden_states", "predictions"):
        view = getattr(lab, verb)(TEXT, against="Leo.")
        assert view.query == 17
        view.run = "as it is"
        assert (view.state, view.query, len(view.picture["tokens"])) == ("ready", 3, 4), view.message
        assert getattr(view, "troubles", {}) == {}


def test_a_run_that_cannot_be_shown_leaves_the_one_before(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    view = lab.attention(TEXT, edit=EDIT)
    probs = view.probs
    monkeypatch.setattr(view.panels["attention"], "numbers", lambda *_: (_ for _ in ()).throw(RuntimeError("no room")))
    view.run = "difference"
    assert (view.run, view.state, view.message) == ("what if", "error", "RuntimeError: no room")
    assert view.probs == probs


def test_a_panel_without_a_difference_says_so_and_the_others_work(lab: Lab) -> None:
    view = lab.explore(TEXT, edit=EDIT)
    view.run = "difference"
    view.tab = "tokens"
    assert "draws no difference" in view.troubles["tokens"]
    view.run = "what if"
    assert view.troubles == {} and view.tokens.picture["text"] == TEXT


def test_the_next_tokens_have_their_chance_in_both_runs(lab: Lab) -> None:
    view = lab.explore(TEXT, edit=EDIT)
    view.run, view.tab = "difference", "predictions"
    ids = np.frombuffer(view.predictions.ids, np.int32).reshape(3, 18, 8)
    for run, piece in ((lab.trace(TEXT, ["logits"]), "before"), (lab.trace(TEXT, ["logits"], EDIT), "probs")):
        found = floats(getattr(view.predictions, piece)).reshape(3, 18, 8)[-1]
        expected = run["logits"][0].softmax(-1).numpy()
        assert np.allclose(found, np.take_along_axis(expected, ids[-1].astype(int), -1), atol=1e-6), piece
    assert (
        (floats(view.predictions.before) == floats(view.predictions.probs)).reshape(3, 18, 8)[0].all()
    )  # below the edit


def test_another_head_or_window_brings_both_runs_numbers(tiny: Lab) -> None:
    view = tiny.attention("Leo lives in Oslo. " * 60, edit={"h.0.attn.mixed": zero(head=1)})  # one head at a time
    view.run = "difference"
    for layer, head in ((0, 1), (3, 5)):
        view.layer, view.head = layer, head
        assert view.exact["count"] == 1 and len(view.before) == len(view.probs)
        assert (view.before == view.probs) == (layer == 0)


def test_the_code_of_an_edited_view_runs_and_gives_the_same_number(tiny: Lab) -> None:
    view = tiny.attention(
        RECAP,
        edit={"h.0.attn.mixed": [zero(head=1, query=16), scale(0.5, head=2)], "h.3.attn.biased": cut(query=19, key=3)},
    )
    view.layer, view.head, view.query, view.key = 3, 5, 19, 4
    said: list[Any] = []
    exec(view.code, {"print": said.append})
    assert view.trace is not None and said[0].item() == view.trace["h.3.attn.probs"][0, 5, 19, 4].item()


# ---- edits by hand ----


def test_an_edit_by_hand_is_the_edit_of_trace_bit_for_bit(tiny: Lab) -> None:
    view = tiny.explore(RECAP)
    assert view.editable and view.runs == []
    wish(view, do="add", edit={"spot": "h.0.attn.mixed", "kind": "zero", "axes": {"head": [1], "query": [16]}})
    assert view.changes == ["head 0.1 silent at 16"] and view.runs == list(RUNS) and view.state == "ready"
    edited = tiny.trace(RECAP, ["attn.probs", "logits"], edit=view.edits)
    assert view.trace is not None
    assert all(view.trace[f"h.{i}.attn.probs"].equal(edited[f"h.{i}.attn.probs"]) for i in range(4))
    oslo = tiny.tokens(" Oslo")[0].id
    p = [run["logits"][0, -1].softmax(-1)[oslo].item() for run in (tiny.trace(RECAP, ["logits"]), edited)]
    assert p[0] > 0.9 and p[1] < 0.25  # sixteen numbers at the full stop after "again"


def test_edits_are_taken_back_in_turn_and_made_again(lab: Lab) -> None:
    view = lab.explore(TEXT)
    wish(view, do="add", edit=SILENT)
    wish(view, do="add", edit={"spot": "h.2.mlp.out", "kind": "scale", "number": 0.5, "axes": {}})
    first, second = "head 1.2 silent at 5", "mlp.out of layer 2 × 0.5"
    assert view.changes == [first, second]
    for what, expected in (
        ({"do": "undo"}, [first]),
        ({"do": "redo"}, [first, second]),
        ({"do": "remove", "at": 0}, [second]),
        ({"do": "undo"}, [first, second]),
        ({"do": "clear"}, []),
        ({"do": "undo"}, [first, second]),
        ({"do": "undo"}, [first]),
        ({"do": "undo"}, []),
        ({"do": "undo"}, []),
    ):
        wish(view, **what)
        assert view.changes == expected, what
    assert view.runs == [] and "no edits" in view.picture["stamp"]
    whole = lab.trace(TEXT, ["attn.scores", "attn.probs"])
    assert view.trace is not None and view.trace["h.2.attn.probs"].equal(whole["h.2.attn.probs"])


def test_an_edit_is_switched_off_and_on(lab: Lab) -> None:
    view = lab.explore(TEXT, edit=EDIT)
    edited = view.attention.probs
    aside(partial(view.set_state, {"off": [0]}))
    assert view.edits == {} and view.attention.probs != edited and view.changes == ["head 1.2 silent at 5"]
    view.run = "difference"
    assert view.attention.picture["difference"]["noticed"] == []
    aside(partial(view.set_state, {"off": []}))
    view.run = "what if"
    assert view.attention.probs == edited and list(view.edits) == ["h.1.attn.mixed"]


def test_an_edit_that_is_off_stays_off_when_another_is_made_or_taken_back(lab: Lab) -> None:
    view = lab.explore(TEXT, edit={"h.1.attn.mixed": [zero(head=2, query=5), scale(0.5, head=3)]})
    aside(partial(view.set_state, {"off": [1]}))
    wish(view, do="add", edit={"spot": "embed", "kind": "scale", "number": 2, "axes": {"pos": [0]}})
    assert view.off == [1] and [repr(one) for one in view.edits["h.1.attn.mixed"]] == ["zero(head=2, query=5)"]
    wish(view, do="remove", at=0)
    assert view.off == [0] and list(view.edits) == ["embed"]
    wish(view, do="undo")
    assert view.off == [1] and len(view.changes) == 3
    for lie in ([7], [-1], ["1"], [True], [None]):
        aside(partial(view.set_state, {"off": lie}))
        assert view.off == [] and len(view.edits["h.1.attn.mixed"]) == 2


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: str(lie)[:70])
def test_a_page_that_lies_is_answered_in_a_sentence_and_the_picture_stays(lab: Lab, lie: Any) -> None:
    view = lab.explore(TEXT, edit=EDIT)
    before = view.attention.probs
    wish(view, do="add", edit=lie)
    assert view.state == "error" and 20 < len(view.message) <= 400, view.message
    assert view.attention.probs == before and view.changes == ["head 1.2 silent at 5"] and view._edits.past == ()


@pytest.mark.parametrize(
    "what",
    [{}, {"do": "sing"}, {"do": ["add"]}, {"do": "remove"}, {"do": "remove", "at": 7}, {"do": "remove", "at": "0"}],
)
def test_a_wish_that_makes_no_sense_changes_nothing(lab: Lab, what: Any) -> None:
    view = lab.explore(TEXT, edit=EDIT)
    wish(view, **what)
    assert view.changes == ["head 1.2 silent at 5"] and list(view.edits) == ["h.1.attn.mixed"]


def test_two_thousand_edits_are_too_many(lab: Lab) -> None:
    view = lab.hidden_states("Leo.", edit={"embed": [scale(1.0)] * MOST})
    wish(view, do="add", edit={"spot": "embed", "kind": "zero", "axes": {}})
    assert view.state == "error" and "no more fit" in view.message and len(view.changes) == MOST


def test_an_interrupt_leaves_the_list_and_the_picture(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    view = lab.explore(TEXT, edit=EDIT)
    before = view.get_state()
    for error in (KeyboardInterrupt(), RuntimeError("no room")):
        monkeypatch.setattr(view, "_read", lambda *_, error=error: (_ for _ in ()).throw(error))
        wish(view, do="add", edit=SILENT)
        assert view.state == "error" and view.changes == ["head 1.2 silent at 5"]
    after = view.get_state()
    assert {name for name in before if before[name] != after[name]} == {"wished", "state", "message"}


# ---- what cannot be compared ----


def test_another_model_is_compared_with(tiny: Lab) -> None:
    earlier = bloomlab.load(revision="step1200")
    view = tiny.explore(RECAP, against=earlier)
    view.run = "difference"
    look = view.attention.picture["difference"]["noticed"][0]
    probs = [
        lab.trace(RECAP)[f"h.{look[0]}.attn.probs"][0, look[1], look[2], look[3]].item() for lab in (earlier, tiny)
    ]
    assert probs == pytest.approx(look[4:], abs=1e-6)
    view.run = "as it is"
    assert earlier.trace(RECAP, []).provenance["weights"] in view.picture["stamp"]


# ---- what one takes away ----


def test_a_saved_page_has_every_run(lab: Lab, tmp_path: Path) -> None:
    view = lab.explore(TEXT, edit=EDIT)
    view.run = "difference"
    before = view.get_state()
    html = view.save(tmp_path / "x.html").read_text(encoding="utf-8")
    assert view.get_state() == before
    runs = json.loads(html.split('<script type="application/json" id="runs">')[1].split("</script>")[0])
    assert list(runs) == list(RUNS)
    assert "no edits" in runs["as it is"]["attention_picture"]["stamp"]
    assert runs["what if"]["predictions_picture"]["stamp"] == view.picture["stamp"]
    assert "difference" in runs["difference"]["hidden_picture"] and "tokens" in runs["difference"]["troubles"]
    assert runs["as it is"]["attention_probs"] != runs["what if"]["attention_probs"]


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["explore", "attention", "hidden_states", "predictions"])
def test_a_still_of_a_difference_is_what_if_and_says_so(lab: Lab, tmp_path: Path, verb: str) -> None:
    """Signed numbers must not be drawn as if they were probabilities; script alone draws the difference."""
    view = getattr(lab, verb)(TEXT, edit=EDIT)
    still, figure = view._still(), view.save(tmp_path / "x.png").read_bytes()
    assert "<p>what if: head 1.2 silent at 5</p>" in still
    view.run = "difference"
    assert view._still() == still and view.save(tmp_path / "x.png").read_bytes() == figure
    view.run = "as it is"
    assert view._still() != still and "<p>as it is" in view._still()


def test_a_tab_that_cannot_be_shown_is_not_saved_as_a_picture(lab: Lab, tmp_path: Path) -> None:
    view = lab.explore(lab.trace(TEXT, ["attn.scores", "attn.probs"]))
    view.tab = "hidden"
    with pytest.raises(InputError, match="the trace has no embed"):
        view.save(tmp_path / "x.png")
