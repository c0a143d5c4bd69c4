"""Two runs of one text in a view: the numbers of lab.trace, exactly 0 where nothing has changed, and edits by hand."""

import asyncio
import json
from dataclasses import fields
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch

import bloomlab
from bloomlab.errors import InputError
from bloomlab.lab import Lab
from bloomlab.lens.costs import state_surprise, surprise
from bloomlab.lens.difference import READ_STATES, attention_change, lens_change
from bloomlab.lens.effect import Effect, effect
from bloomlab.lens.logit_lens import logit_lens
from bloomlab.lens.predictions import answer_probs, label_probs
from bloomlab.text.tokens import visible
from bloomlab.tracing.edits import cut, scale, zero
from bloomlab.tracing.trace import Trace
from bloomlab.views.attention import payload as attention
from bloomlab.views.shared.edits import MOST
from bloomlab.views.tokens.panel import TokensPanel
from bloomlab.views.view import RUNS, View
from tests.tasks.task_heads import random_head, random_lab
from tests.tiny_random import byte_tokenizer, random_model
from tests.views.aside import aside, in_a_loop
from tests.views.shared.test_edits import LIES, LONG, SILENT, nested

TEXT = "Leo lives in Oslo."
RECAP = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
EDIT: dict[str, Any] = {"h.1.attn.mixed": zero(head=2, query=5)}


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(random_model(), byte_tokenizer(), name="random")


@pytest.fixture(scope="module")
def heads() -> Lab:
    """With the three task heads."""
    return random_lab()


@pytest.fixture(scope="module")
def tiny() -> Lab:
    return bloomlab.load()


@pytest.fixture(scope="module")
def edited(lab: Lab) -> View:
    """For wishes that are refused; a test that has one granted makes a view of its own."""
    return lab.explore(TEXT, edit=EDIT)


def floats(data: bytes) -> Any:
    return np.frombuffer(data, np.float32)


def wish(view: View, **what: Any) -> None:
    """As a message from the page."""
    view.set_state({"wished": {**what, "number": view.wished["number"] + 1}})


def says(view: View) -> str:
    """The open panel, for a terminal."""
    return view._open.says(view._shown(view._open))


def causal(matrix: torch.Tensor) -> Any:
    return np.concatenate([matrix[query, : query + 1].numpy() for query in range(len(matrix))])


# ---- what is shown ----


@pytest.mark.slow
def test_one_run_has_no_switch_and_two_have_three(lab: Lab) -> None:
    assert lab.explore(TEXT).runs == [] and lab.explore(TEXT).changes == []
    view = lab.explore(TEXT, edit=EDIT)
    assert view.runs == list(RUNS) and view.changes == ["head 1.2 silent at 5"]
    assert "edited: h.1.attn.mixed zero(head=2, query=5)" in view.picture["stamp"]
    assert lab.alibi(TEXT, edit=EDIT).runs == list(RUNS)
    assert lab.explore(TEXT, against="Leo.").runs == ["as it is", "what if"]  # other tokens


@pytest.mark.slow
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


@pytest.mark.slow
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
        view.tab = "predictions"
        shown = view.predictions
        assert shown.probs and shown.probs == shown.before
        view.tab = "tokens"
        assert view.tokens.loss and view.tokens.loss == view.tokens.loss_before
        assert view.tokens.picture["difference"] == {"others": {}, "refusal": ""}
        view.tab = "alibi"
        assert view.alibi.measured == view.alibi.before and view.alibi.picture["difference"]["largest"] == [None] * 4
        assert not any(map(any, view.alibi.picture["difference"]["reached"]))


HEADS = ("language", "tags", "ends", "named", "answers")


@pytest.mark.slow
def test_the_task_heads_of_a_run_against_itself_are_the_same_bit_for_bit(heads: Lab) -> None:
    for edit in ({"resid_post": scale(1.0)}, {"h.1.attn.biased": scale(1.0)}):  # the second, by the readable path
        for view in (heads.explore(TEXT, edit=edit), heads.predictions(TEXT, edit=edit)):
            view.run = "difference"
            if hasattr(view, "tab"):
                view.tab = "predictions"
            shown = view.predictions
            assert all(
                getattr(shown, name) and getattr(shown, name) == getattr(shown, f"{name}_before") for name in HEADS
            )
            assert "next token: no change; label, if the text ended here: no change; tag: no change" in says(view)


@pytest.mark.slow
def test_the_task_heads_are_edited_as_the_text_is(heads: Lab) -> None:
    edit = {**EDIT, "h.2.mlp.out": [scale(0.5), zero(pos=3)], "logits": scale(2.0)}  # the last is none of theirs
    view = heads.predictions(TEXT, "Who?", edit=edit)
    ids = torch.tensor(heads.tokenizer.encode(TEXT))
    own = {spot: edits for spot, edits in edit.items() if spot != "logits"}
    for run, made in (("what if", own), ("as it is", None)):
        view.run = run
        assert view.picture["missing"] == {}
        for task in ("language", "tags"):
            assert floats(getattr(view, task)).tolist() == label_probs(heads.heads[task], ids, made).flatten().tolist()
        question = torch.tensor(heads.tokenizer.encode("Who?\n"))
        assert floats(view.ends).tolist() == answer_probs(heads.heads["answer"], question, ids, made).flatten().tolist()
    each = {}
    for run in ("as it is", "what if"):
        view.run = run
        each[run] = {name: getattr(view, name) for name in HEADS}
    view.run = "difference"
    assert {name: getattr(view, name) for name in HEADS} == each["what if"]
    assert {name: getattr(view, f"{name}_before") for name in HEADS} == each["as it is"]
    view.question = "Where?"
    again = heads.predictions(TEXT, "Where?", edit=edit)
    assert view.ends == again.ends
    again.run = "as it is"
    assert view.ends_before == again.ends and view.answers_before == again.answers


@pytest.mark.slow
def test_the_code_of_edited_heads_runs_and_gives_the_same_numbers(tiny: Lab) -> None:
    edit = {"h.0.attn.mixed": zero(head=1, query=16), "h.1.attn.biased": cut(query=3, key=0), "logits": scale(2.0)}
    view = tiny.predictions(RECAP, "Where does Leo live?", edit=edit)
    view.layer, view.query = 2, 3
    said: list[Any] = []
    exec(view.code, {"print": lambda *values: said.append(values[-1])})
    layers, tokens = view.picture["layers"], len(view.picture["tokens"])
    assert said[0].tolist() == floats(view.probs).reshape(layers, tokens, 8)[2, 3, :5].tolist()
    for number, task in enumerate(("language", "tags"), 1):
        assert said[number].tolist() == floats(getattr(view, task)).reshape(layers, tokens, -1)[2, 3].tolist()
    assert said[3].tolist() == floats(view.ends).reshape(layers, 2, tokens)[2, :, 3].tolist()
    assert "as_traced" not in tiny.predictions(RECAP).code  # where nothing was edited, nothing of it


def test_a_trace_whose_edits_are_not_at_hand_shows_no_task_heads_and_says_why(heads: Lab, tmp_path: Path) -> None:
    trace = heads.trace(TEXT, ["resid_post"], EDIT)
    loaded = Trace.load(trace.save(tmp_path / "x.safetensors"))
    view = heads.predictions(loaded)
    assert set(view.picture["missing"]) == {"language", "tags", "answer"}
    assert all("only the words are left" in why for why in view.picture["missing"].values())
    assert (view.language, view.tags, view.ends) == (b"", b"", b"")
    assert floats(view.probs).tolist() == floats(heads.predictions(trace).probs).tolist()
    assert "label_probs(" not in view.code


@pytest.mark.slow
def test_an_edit_that_does_not_fit_a_head_is_said_in_words(heads: Lab) -> None:
    wide = random_head("tags", hidden_size=12)
    heads = random_lab()
    heads.heads["tags"] = wide
    view = heads.predictions(TEXT, edit={"h.1.resid_post": lambda x, at: x + torch.ones(24)})
    assert "tags" in view.picture["missing"] and view.language and "RuntimeError" in view.picture["missing"]["tags"]
    view.run = "difference"
    assert view.state == "ready" and view.picture["missing"]["tags"].startswith("what if: RuntimeError")
    assert (view.tags, view.tags_before, view.named) == (b"", b"", []) and view.language_before


@pytest.mark.slow
def test_both_runs_come_by_the_same_path_through_attention(lab: Lab) -> None:
    """A view that reads no attention takes the fused kernel, but an edited look does not: the two would round apart."""
    view = lab.hidden_states(TEXT, edit={"h.1.attn.biased": scale(1.0)})
    view.run = "difference"
    assert not floats(view.moved).any() and not any(view.picture["difference"]["reached"])


@pytest.mark.slow
def test_a_shorter_text_is_shown_at_the_last_token_it_has(lab: Lab) -> None:
    for verb in ("explore", "attention", "hidden_states", "predictions"):
        view = getattr(lab, verb)(TEXT, against="Leo.")
        assert view.query == 17
        view.run = "as it is"
        assert (view.state, view.query, len(view.picture["tokens"])) == ("ready", 3, 4), view.message
        assert getattr(view, "troubles", {}) == {}


@pytest.mark.slow
def test_a_run_that_cannot_be_shown_leaves_the_one_before(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    view = lab.attention(TEXT, edit=EDIT)
    probs = view.probs
    monkeypatch.setattr(view.panels["attention"], "numbers", lambda *_: (_ for _ in ()).throw(RuntimeError("no room")))
    view.run = "difference"
    assert (view.run, view.state, view.message) == ("what if", "error", "RuntimeError: no room")
    assert view.probs == probs


@pytest.mark.slow
def test_a_panel_without_a_difference_says_so_and_the_others_work(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TokensPanel, "compares", False)
    view = lab.explore(TEXT, edit=EDIT)
    view.run = "difference"
    view.tab = "tokens"
    assert "draws no difference" in view.troubles["tokens"]
    view.run = "what if"
    assert view.troubles == {} and view.tokens.picture["text"] == TEXT


@pytest.mark.slow
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


@pytest.mark.slow
def test_another_head_or_window_brings_both_runs_numbers(tiny: Lab) -> None:
    view = tiny.attention("Leo lives in Oslo. " * 60, edit={"h.0.attn.mixed": zero(head=1)})  # one head at a time
    view.run = "difference"
    for layer, head in ((0, 1), (3, 5)):
        view.layer, view.head = layer, head
        assert view.exact["count"] == 1 and len(view.before) == len(view.probs)
        assert (view.before == view.probs) == (layer == 0)


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spot", "axes"),
    [
        ("embed", {"pos": [3]}),
        ("h.0.attn.mixed", {"head": [1], "query": [5]}),
        ("h.2.attn.out", {}),
        ("h.1.attn.biased", {"head": [2]}),
        ("h.1.attn.probs", {"query": [7], "key": [0, 4]}),
        ("h.1.mlp.out", {"pos": [2, 9]}),
        ("h.0.resid_post", {"pos": [5]}),
    ],
)
def test_silencing_by_hand_is_an_edit_of_trace_and_an_ablation_bit_for_bit(
    lab: Lab, spot: str, axes: dict[str, Any]
) -> None:
    view = lab.hidden_states(TEXT)  # it begins at the edited layer; the others compute every layer
    wish(view, do="add", edit={"spot": spot, "kind": "zero", "axes": axes})
    whole, traced = lab.trace(TEXT, ["logits", spot]), lab.trace(TEXT, ["logits", spot], edit=view.edits)
    assert view.trace is not None and view.trace[spot].equal(traced[spot])
    with torch.no_grad():
        by_hand = lab.model.lm_head(lab.model.transformer.ln_f(view.trace["h.2.resid_post"]))
    assert by_hand.equal(traced["logits"]) and not by_hand.equal(whole["logits"])
    ablated, expected = lab.ablate(TEXT, spot, **axes).effect, effect(whole, traced)
    for numbers in fields(Effect):
        of_each = [getattr(one, numbers.name).nan_to_num() for one in (ablated, expected)]
        assert of_each[0].equal(of_each[1]), numbers.name


@pytest.mark.slow
def test_the_run_without_edits_is_made_once_and_again_only_if_it_would_be_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(random_model(), byte_tokenizer())
    whole: list[Any] = []
    trace = lab.trace

    def counted(text: Any, read: Any, edit: Any = None, **more: Any) -> Any:
        whole.extend([] if edit else [text])
        return trace(text, read, edit, **more)

    monkeypatch.setattr(lab, "trace", counted)
    explorer, hidden = lab.explore(TEXT), lab.hidden_states(TEXT)
    assert len(whole) == 2

    def passes(view: View, spot: str, **more: Any) -> int:
        before = len(whole)
        wish(view, do="add", edit={"spot": spot, "kind": "scale", "number": 2, "axes": {}})
        made, again = view._two, lab._read(list(view._two[1].names), view.text, view.edits)
        assert all(made[i][name].equal(again[i][name]) for i in (0, 1) for name in made[1].names)
        return len(whole) - before - 1  # one of `again`

    assert [passes(explorer, spot) for spot in ("h.0.attn.mixed", "h.1.attn.biased", "embed")] == [0, 0, 0]
    assert [passes(hidden, spot) for spot in ("h.0.attn.mixed", "h.1.attn.biased", "embed")] == [0, 1, 0]
    wish(hidden, do="clear")
    assert passes(hidden, "h.0.attn.mixed") == 0
    with torch.no_grad():
        lab.model.transformer.h[0].mlp.dense_h_to_4h.bias.add_(1.0)
    assert [passes(hidden, "embed"), passes(hidden, "embed")] == [1, 0]
    hidden.show("Leo.")
    assert passes(hidden, "embed") == 0
    hidden._two[1].close()
    assert passes(hidden, "embed") == 1


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_another_run_or_text_does_not_undo_what_is_being_switched_off(lab: Lab) -> None:
    view = lab.attention(TEXT, edit=EDIT)

    async def burst() -> None:
        view.set_state({"off": [0]})
        view.set_state({"run": "difference"})
        view.show(TEXT + TEXT)
        while view.edits:
            await asyncio.sleep(0.01)

    in_a_loop(burst)
    assert view.off == [0] and view.run == "difference" and view.picture["text"] == TEXT + TEXT


@pytest.mark.slow
def test_an_edit_that_is_off_stays_off_when_another_is_made_or_taken_back(lab: Lab) -> None:
    view = lab.explore(TEXT, edit={"h.1.attn.mixed": [zero(head=2, query=5), scale(0.5, head=3)]})
    aside(partial(view.set_state, {"off": [1]}))
    wish(view, do="add", edit={"spot": "embed", "kind": "scale", "number": 2, "axes": {"pos": [0]}})
    assert view.off == [1] and [repr(one) for one in view.edits["h.1.attn.mixed"]] == ["zero(head=2, query=5)"]
    wish(view, do="remove", at=0)
    assert view.off == [0] and list(view.edits) == ["embed"]
    wish(view, do="undo")
    assert view.off == [1] and len(view.changes) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "lie", [*LIES, *(pytest.param(lie, marks=pytest.mark.slow) for lie in LONG)], ids=range(len(LIES + LONG))
)
def test_a_page_that_lies_is_answered_in_a_sentence_and_the_picture_stays(edited: View, lie: Any) -> None:
    before = edited.get_state()
    wish(edited, do="add", edit=lie)
    refused(edited, before)


@pytest.mark.slow
@pytest.mark.parametrize(
    "lie",
    [
        *({"number": 7}, {"do": "sing"}, {"do": ["add"]}, {"do": "remove"}, {"do": "remove", "at": 7}),
        *({"do": "remove", "at": "0"}, {"do": "__class__"}, None, 5, float("nan"), "clear", ["clear"], nested(100)),
    ],
    ids=lambda lie: str(lie)[:30] if not isinstance(lie, list) else "list",
)
def test_what_is_no_wish_is_answered_in_a_sentence_too(edited: View, lie: Any) -> None:
    before = edited.get_state()
    edited.set_state({"wished": lie})
    refused(edited, before)
    edited.set_state({"wished": {"number": 1}})


def refused(view: View, before: dict[str, Any]) -> None:
    """The view says why, in a sentence of its own, and nothing else has changed."""
    after = view.get_state()
    assert view.state == "error" and 20 < len(view.message) <= 400 and "Error" not in view.message, view.message
    assert {name for name in before if before[name] != after[name]} <= {"wished", "heard", "state", "message"}
    assert view._edits.past == () and list(view.edits) == list(EDIT)


@pytest.mark.slow
@pytest.mark.parametrize(
    "lie", [None, 7, "0", {"0": 0}, [7], [-1], ["0"], [True], [None], [[0]], nested(100)], ids=range(11)
)
def test_nothing_but_the_number_of_an_edit_switches_one_off(lab: Lab, lie: Any) -> None:
    view = lab.attention(TEXT, edit=EDIT)
    aside(partial(view.set_state, {"off": lie}))
    assert view.off == [] and list(view.edits) == list(EDIT)


@pytest.mark.slow
def test_a_run_whose_numbers_grow_beyond_all_bounds_is_not_shown(lab: Lab) -> None:
    view = lab.attention(TEXT)
    while len(view.changes) < 20:
        before, probs = view.changes, view.probs
        wish(view, do="add", edit={"spot": "embed", "kind": "scale", "number": 1e4, "axes": {"pos": [3]}})
        if view.state == "error":
            break
    assert "grow beyond all bounds" in view.message and view.changes == before and 0 < len(before) < 20
    assert view.probs == probs and np.isfinite(floats(probs)).all()
    wish(view, do="undo")
    assert view.state == "ready" and len(view.changes) == len(before) - 1


@pytest.mark.slow
def test_a_text_too_short_for_the_edits_is_refused_and_a_longer_one_is_read(lab: Lab) -> None:
    view = lab.attention(TEXT, edit=EDIT)
    aside(partial(view.set_state, {"typed": {"text": "Leo.", "number": 1}}))
    assert view.state == "error" and "the text has 4 tokens, so query goes from 0 to 3, but got 5" in view.message
    assert view.picture["text"] == TEXT and view.changes == ["head 1.2 silent at 5"]
    aside(partial(view.set_state, {"typed": {"text": TEXT * 2, "number": 2}}))
    assert view.state == "ready" and view.picture["text"] == TEXT * 2 and "edited" in view.picture["stamp"]


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [MOST + 20, pytest.param(2000, marks=pytest.mark.long)])
def test_two_thousand_edits_are_too_many(wanted: int, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    view, runs = lab.attention("Leo."), []
    if wanted < 2000:
        monkeypatch.setattr(view, "_weigh", lambda: None)  # what they are worth is most of the time
    read = view._read
    monkeypatch.setattr(view, "_read", lambda *what: (runs.append(what), read(*what))[1])
    for number in range(wanted):
        wish(view, do="add", edit={"spot": "embed", "kind": "add", "number": number, "axes": {"pos": [number % 4]}})
    assert view.state == "error" and "there are 100 edits, and no more fit" in view.message
    assert len(view.changes) == len(runs) == MOST and view.changes[-1] == "embed + 99 at 3"
    assert view.trace is not None and view.trace.provenance["edits"]["embed"].count("add(") == MOST


@pytest.mark.slow
def test_an_interrupt_leaves_the_list_and_the_picture(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    view = lab.explore(TEXT, edit=EDIT)
    before = view.get_state()
    for error in (KeyboardInterrupt(), RuntimeError("no room")):
        monkeypatch.setattr(view, "_read", lambda *_, error=error: (_ for _ in ()).throw(error))
        wish(view, do="add", edit=SILENT)
        assert view.state == "error" and view.changes == ["head 1.2 silent at 5"]
    after = view.get_state()
    assert {name for name in before if before[name] != after[name]} == {"wished", "heard", "state", "message"}


# ---- what cannot be compared ----


@pytest.mark.slow
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


VERBS = ("attention", "alibi", "hidden_states", "predictions", "tokens", "explore")


def pieces_of(view: View) -> dict[str, Any]:
    """What every tab draws from."""
    found: dict[str, Any] = {}
    for name, panel in view.panels.items():
        if not view._alone:
            view.tab = name
        for piece in ("picture", *panel.pieces):
            found[f"{name} {piece}"] = getattr(view, view._trait(panel, piece))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_the_run_of_another_lab_is_what_that_lab_shows_bit_for_bit(tiny: Lab, verb: str) -> None:
    """Its states are read by its own norm and vocabulary, and its task heads are its own."""
    earlier = bloomlab.load(revision="step1200")
    earlier.heads["tags"] = tiny.heads["tags"]
    view, own = getattr(tiny, verb)(RECAP, against=earlier), getattr(earlier, verb)(RECAP)
    if verb == "tokens":
        view, own = view.view, own.view
    view.run = "as it is"
    own.query, own.key, own.layer = view.query, view.key, view.layer
    found, expected = pieces_of(view), pieces_of(own)
    if verb == "tokens":  # alone, it needs no model
        assert "read by the tokenizer alone" in expected["tokens picture"].pop("stamp")
        assert "weights" in found["tokens picture"].pop("stamp")
    assert getattr(view, "troubles", {}) == {} and len(found) > 2
    assert {name for name in expected if found[name] != expected[name]} == set()


@pytest.mark.slow
def test_the_difference_of_two_models_is_that_of_each_one_s_own_numbers(tiny: Lab) -> None:
    earlier = bloomlab.load(revision="step1200")
    view = tiny.explore(RECAP, against=earlier)
    view.run = "difference"
    view.tab = "hidden"
    read = ["logits", *READ_STATES]
    runs = [lab.trace(RECAP, read) for lab in (earlier, tiny)]
    p, q = (run["logits"][0].double().log_softmax(-1) for run in runs)
    moved = floats(view.hidden.moved).reshape(9, -1)
    assert np.allclose(moved[-1], (p.exp() * (p - q)).sum(-1), atol=1e-4)
    ids = np.frombuffer(view.hidden.ids_before, np.int32).reshape(9, -1)
    assert ids.tolist() == [row.ids[:, 0].tolist() for row in logit_lens(earlier.model, runs[0])]
    view.tab = "predictions"
    ids = torch.tensor(np.frombuffer(view.predictions.ids, np.int32).reshape(4, 20, 8)[-1]).long()
    for piece, log_probs in (("before", p), ("probs", q)):
        found = floats(getattr(view.predictions, piece)).reshape(4, 20, 8)[-1]
        assert np.allclose(found, log_probs.exp().gather(-1, ids), atol=1e-5)
    assert view.predictions.picture["missing"]["tags"].startswith("as it is: this lab has no head 'tags'")
    view.tab = "tokens"
    for piece, run in (("loss_before", runs[0]), ("loss", runs[1])):
        assert np.allclose(floats(getattr(view.tokens, piece))[1:], surprise(run)[1:], atol=1e-4)


@pytest.mark.slow
def test_two_labs_with_their_own_heads_show_each_with_its_own(heads: Lab) -> None:
    other = random_lab()
    other.heads["tags"] = random_head("tags", seed=7)
    other.heads["language"] = random_head("tags", seed=8)
    other.heads["language"].__class__ = type(heads.heads["language"])  # other labels
    view = heads.predictions(TEXT, against=other)
    ids = torch.tensor(heads.tokenizer.encode(TEXT))
    view.run = "difference"
    assert floats(view.tags).tolist() == label_probs(heads.heads["tags"], ids).flatten().tolist()
    assert floats(view.tags_before).tolist() == label_probs(other.heads["tags"], ids).flatten().tolist()
    assert view.ends == view.ends_before != b"" and view.probs == view.before
    view.run = "as it is"
    assert floats(view.tags).tolist() == label_probs(other.heads["tags"], ids).flatten().tolist()


# ---- tokens ----


@pytest.mark.slow
def test_tokens_show_how_much_each_surprises_in_both_runs(tiny: Lab) -> None:
    edit = {"h.0.attn.mixed": zero(head=1, query=16)}
    tokens = tiny.tokens(RECAP, edit=edit)
    assert tokens.ids == tiny.tokens(RECAP).ids
    view = tokens.view
    assert view.runs == list(RUNS) and view.loss == view.loss_before == b""
    view.run = "difference"
    for piece, made in (("loss_before", None), ("loss", edit)):
        expected = surprise(tiny.trace(RECAP, ["logits"], made))
        assert np.allclose(floats(getattr(view, piece)), expected, atol=1e-5, equal_nan=True)
    before, after = floats(view.loss_before), floats(view.loss)
    assert (before == after)[1:17].all() and (before != after)[17:].all()  # nothing is known of the stop before it
    assert view.picture["difference"] == {"others": {}, "refusal": ""}


@pytest.mark.slow
def test_an_edit_after_the_last_layer_reaches_the_surprise(lab: Lab) -> None:
    for edit in ({"logits": scale(2.0)}, {"final": scale(0.5, pos=3)}):
        trace = lab.trace(TEXT, ["resid_post", "logits"], edit)
        torch.testing.assert_close(state_surprise(lab.model, trace), surprise(trace), equal_nan=True)
        assert not state_surprise(lab.model, lab.trace(TEXT, ["resid_post"])).allclose(surprise(trace), equal_nan=True)


@pytest.mark.parametrize(
    ("text", "other", "others"),
    [
        (TEXT, "Lea lives in Oslo.", {"2": "a"}),
        ("Hi 😀!", "Hi 😁!", {"6": "😁 4/4"}),
        ("قطة", "قصة", {"3": "ص 2/2"}),
    ],
)
def test_the_tokens_of_another_text_that_differ_are_named(
    lab: Lab, text: str, other: str, others: dict[str, str]
) -> None:
    view = lab.tokens(text, against=other).view
    view.run = "difference"
    assert view.picture["difference"]["others"] == others and view.loss
    assert f">{next(iter(others.values()))}</bdi>" in view._still()


def test_tokens_that_cannot_be_compared_say_why(lab: Lab) -> None:
    view = lab.tokens(TEXT, against="Leo.").view
    assert view.runs == list(RUNS[:2])
    bare = lab.tokens(lab.trace(TEXT, ["attn.probs"]), against=TEXT).view
    bare.run = "difference"
    assert bare.loss == b"" and "the surprise needs 'h.2.resid_post'" in bare.picture["difference"]["refusal"]
    assert "the surprise needs" in bare._still()
    with pytest.raises(InputError, match="leave against=… out"):
        lab.tokens(TEXT, edit=EDIT, against=TEXT)


# ---- what one takes away ----


@pytest.mark.slow
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
    assert not runs["difference"].pop("troubles")
    for name in (name for name, panel in view.panels.items() if panel.compares):
        pictures = {run: runs[run][f"{name}_picture"] for run in RUNS}
        assert [run for run in RUNS if "difference" in pictures[run]] == ["difference"], name
    assert runs["as it is"]["attention_probs"] != runs["what if"]["attention_probs"]


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["attention", "alibi", "hidden_states", "predictions", "tokens"])
def test_a_still_and_a_figure_of_each_run_are_of_that_run(lab: Lab, tmp_path: Path, verb: str) -> None:
    view = getattr(lab, verb)(TEXT, edit=EDIT)
    view = view.view if verb == "tokens" else view
    stills, figures = {}, {}
    for run in RUNS:
        view.run = run
        stills[run], figures[run] = view._still(), view.save(tmp_path / "x.png").read_bytes()
        assert f"<p>{run}: head 1.2 silent at 5</p>" in stills[run]
        assert view._still() in view.save(tmp_path / "x.html").read_text(encoding="utf-8")
    assert len(set(stills.values())) == len(set(figures.values())) == 3
    assert "what if − as it is" in figure_words(view) or "from as it is to what if" in figure_words(view)


def figure_words(view: View) -> str:
    """What stands at the colour bar of the figure that would be written."""
    found: list[str] = []

    def spy(draw: Any, _: Path, *values: Any) -> None:
        figure = draw(*values)
        found.extend(f"{axes.get_ylabel()} {axes.get_xlabel()}" for axes in figure.axes)

    with pytest.MonkeyPatch.context() as patched, TemporaryDirectory() as folder:
        patched.setattr("bloomlab.views.shared.figure.save_figure", spy)
        view.save(Path(folder, "x.png"))
    return " ".join(found)


@pytest.mark.slow
def test_the_largest_change_is_named_in_the_still_and_in_the_terminal(tiny: Lab) -> None:
    view = tiny.explore(RECAP, edit={"h.0.attn.mixed": zero(head=1, query=16)})
    view.run = "difference"
    for tab, expected in (
        ("attention", "noticed most: token"),
        ("predictions", "·Oslo⁩ 0.948 → 0.184"),
        ("alibi", "changed most in layer"),
    ):
        view.tab = tab
        assert expected in says(view) and expected in view._still()
    view.tab = "hidden"
    move = lens_change(tiny.model, *reversed(view._two)).kl.max().item()
    assert f"most by {move:.3f} nats" in says(view)
    view.tab = "tokens"
    assert "changed most at token 17" in says(view)


def test_a_tab_that_cannot_be_shown_is_not_saved_as_a_picture(lab: Lab, tmp_path: Path) -> None:
    view = lab.explore(lab.trace(TEXT, ["attn.scores", "attn.probs"]))
    view.tab = "hidden"
    with pytest.raises(InputError, match="the trace has no embed"):
        view.save(tmp_path / "x.png")


# ---- copying from another text ----

CHANGED = RECAP.replace("again", "cat")  # of as many tokens


def p_oslo(view: View) -> float:
    oslo = view.trace.lab.tokens(" Oslo")[0].id
    edited = view.trace.lab.trace(view.text, ["logits"], view.edits)["logits"]
    return float(edited[0, -1].softmax(-1)[oslo])


def copied(head: int, at: int, **more: Any) -> dict[str, Any]:
    return {"spot": "h.0.attn.mixed", "kind": "copied", "axes": {"head": [head], "query": [at]}, **more}


@pytest.mark.slow
def test_sixteen_numbers_of_another_text_bring_the_city_back(tiny: Lab) -> None:
    view = tiny.attention(CHANGED)
    stop = len(view.trace.tokens) - 4
    assert p_oslo(view) < 0.15
    wish(view, do="read", text=RECAP)
    assert view.donor["text"] == RECAP and len(view.donor["tokens"]) == len(tiny.tokens(RECAP))
    wish(view, do="add", edit=copied(1, stop))
    assert view.changes == [f"head 0.1 copied at {stop} from “Leo lives in Oslo. He ha…”"]
    assert p_oslo(view) > 0.85
    source = tiny.trace(RECAP, ["attn.probs", "h.0.attn.mixed"])["h.0.attn.mixed"]
    before = tiny.trace(CHANGED, ["attn.probs", "h.0.attn.mixed"])["h.0.attn.mixed"]
    assert view.trace["h.0.attn.mixed"][0, 1, stop].equal(source[0, 1, stop])
    assert view.trace["h.0.attn.mixed"][0, 1, :stop].equal(before[0, 1, :stop])


@pytest.mark.slow
def test_the_code_of_a_copy_runs_as_it_stands_and_gives_the_same(tiny: Lab, capsys: Any) -> None:
    view = tiny.attention(CHANGED)
    wish(view, do="read", text=RECAP)
    wish(view, do="add", edit=copied(1, 16))
    view.layer, view.head, view.query, view.key = 1, 1, 18, 16
    names: dict[str, Any] = {}
    exec(view.code, names)
    assert names["trace"]["h.1.attn.probs"].equal(view.trace["h.1.attn.probs"])


@pytest.mark.slow
def test_a_text_as_its_own_donor_changes_exactly_nothing(tiny: Lab) -> None:
    for view in (tiny.explore(RECAP), tiny.hidden_states(RECAP)):
        wish(view, do="read", text=RECAP)
        for spot in ("h.1.attn.mixed", "h.2.mlp.out", "h.0.resid_post", "embed"):
            wish(view, do="add", edit={"spot": spot, "kind": "copied", "axes": {}})
        assert len(view.changes) == 4
        after, before = view._two
        assert all(after[name].equal(before[name]) for name in before.names)


@pytest.mark.slow
def test_between_texts_of_different_length_the_positions_are_named(tiny: Lab) -> None:
    longer = "Mia and " + RECAP
    view = tiny.attention(CHANGED)
    wish(view, do="read", text=longer)
    more = len(tiny.tokens(longer)) - len(tiny.tokens(RECAP))
    wish(view, do="add", edit=copied(1, 16, columns=[16 + more]))
    source = tiny.trace(longer, ["attn.probs", "h.0.attn.mixed"])["h.0.attn.mixed"]
    assert view.trace["h.0.attn.mixed"][0, 1, 16].equal(source[0, 1, 16 + more])
    names: dict[str, Any] = {}
    exec(view.code, names)
    assert names["trace"]["h.1.attn.probs"].equal(view.trace["h.1.attn.probs"])
    shorter = "Leo lives in"
    wish(view, do="read", text=shorter)
    wish(view, do="add", edit=copied(1, 16))
    assert view.state == "error" and "columns" in view.message and len(view.changes) == 1
    wish(view, do="add", edit=copied(1, 16, columns=[2]))
    assert view.state == "ready" and len(view.changes) == 2


@pytest.mark.slow
@pytest.mark.parametrize("columns", [[99], [1, 2], 3, "3", [True], [-1], {"from": 1}, []])
def test_a_column_that_the_other_text_does_not_have_is_refused(tiny: Lab, columns: Any) -> None:
    view = tiny.attention(CHANGED)
    wish(view, do="read", text=RECAP)
    wish(view, do="add", edit=copied(1, 16, columns=columns))
    assert view.state == "error" and 20 < len(view.message) < 400 and view.changes == []


def test_without_another_text_there_is_nothing_to_copy(tiny: Lab) -> None:
    view = tiny.attention(CHANGED)
    wish(view, do="add", edit=copied(1, 16))
    assert view.state == "error" and "read another text first" in view.message and view.changes == []
    for text in ("", None, 7, ["a"], "\ud800", "a " * 5000):
        wish(view, do="read", text=text)
        assert view.state == "error" and view.donor == {} and view.changes == []


# ---- wishes that come in bursts ----


@pytest.mark.slow
def test_of_a_hundred_wishes_at_once_all_are_made_and_the_model_runs_twice(tiny: Lab) -> None:
    view = tiny.attention(TEXT)
    runs: list[str] = []
    read = view._read

    def counted(*args: Any) -> Any:
        runs.append("run")
        return read(*args)

    view._read = counted

    async def burst() -> None:
        for n in range(MOST):
            wish(view, do="add", edit=SILENT | {"axes": {"head": [n % 8]}, "kind": "scale", "number": n / 10})
            await asyncio.sleep(0)
        await asyncio.sleep(0.5)

    asyncio.run(burst())
    assert len(view.changes) == MOST and len(view.edits["h.1.attn.mixed"]) == MOST
    assert len(runs) <= 2


@pytest.mark.slow
def test_a_wish_that_fails_in_a_burst_leaves_the_others(tiny: Lab) -> None:
    view = tiny.attention(RECAP)

    async def burst() -> None:
        wish(view, do="add", edit=SILENT)
        wish(view, do="add", edit=SILENT | {"spot": "h.99.attn.mixed"})
        assert view.state == "error" and "no such spot" in view.message
        wish(view, do="add", edit=SILENT | {"kind": "scale", "number": 2})
        await asyncio.sleep(0.3)

    asyncio.run(burst())
    assert view.changes == ["head 1.2 silent at 5", "head 1.2 × 2 at 5"] and view.state == "ready"


# ---- what a wish comes to ----


@pytest.mark.slow
def test_every_wish_is_heard_whether_it_is_granted_refused_or_changes_nothing(tiny: Lab) -> None:
    view = tiny.attention(RECAP)
    for what, state in (
        ({"do": "add", "edit": SILENT}, "ready"),
        ({"do": "add", "edit": SILENT | {"spot": "nowhere"}}, "error"),
        ({"do": "add", "edit": SILENT | {"spot": "nowhere"}}, "error"),  # the same state again
        ({"do": "redo"}, "ready"),  # there is nothing to make again: and what was refused is no longer said
        ({"do": "clear"}, "ready"),
    ):
        wish(view, **what)
        assert (view.heard, view.state) == (view.wished["number"], state)
        assert (view.message == "") == (state == "ready")
    view.set_state({"wished": "no wish"})
    assert view.heard == 0 and view.state == "error"


@pytest.mark.slow
def test_the_name_of_a_text_that_is_copied_from_and_the_stamp_turn_no_direction(tiny: Lab) -> None:
    view = tiny.attention(CHANGED)
    wish(view, do="read", text="a\u202eb c")
    wish(view, do="add", edit=copied(1, 16, columns=[1]))
    assert view.changes == ["head 0.1 copied at 16 from “a⁠b c”".replace("⁠", visible("\u202e"))]
    assert "\u202e" not in view.picture["stamp"] and "\u202e" not in view._still()
    trace = tiny.trace(TEXT, attention.READ)
    trace.provenance |= {"model": "a\u202e", "weights": "b\u2066", "edits": {"embed": "zero()\u202d"}}
    assert not any(mark in tiny.attention(trace).picture["stamp"] for mark in "\u202d\u202e\u2066")


# ---- another text ----


@pytest.mark.slow
def test_a_page_asks_for_another_text_to_compare_with_and_for_none(lab: Lab) -> None:
    view, given = lab.explore(TEXT), lab.explore(TEXT, against="Ana lives in Rome.")
    wish(view, do="against", text="Ana lives in Rome.")
    assert view.compared == given.compared == "Ana lives in Rome." and view.runs == given.runs
    assert view.heard == 1 and not view.editable and not given.editable
    view.run = given.run = "as it is"
    assert view.text == given.text == "Ana lives in Rome." and view.attention.probs == given.attention.probs
    wish(view, do="add", edit=SILENT)
    assert view.changes == []
    wish(view, do="against", text="")
    assert view.runs == [] and view.compared == "" and view.editable and view.text == TEXT
    wish(view, do="add", edit=SILENT)
    assert len(view.changes) == 1 and view.compared == ""


def test_another_text_is_refused_where_there_are_changes_or_it_is_none(lab: Lab, edited: View) -> None:
    wish(edited, do="against", text="Ana")
    assert edited.message == "the changes are compared with the run without them; clear them before another text"
    view = lab.explore(TEXT)
    for wrong in (7, None, ["a"], " " * 5000):
        wish(view, do="against", text=wrong)
        assert view.state == "error" and view.message and view.runs == [] and view.compared == ""
    wish(view, do="against", text="Ana")
    assert view.state == "ready" and view.compared == "Ana"
