"""Why this look, in the attention panel: the numbers of lens.look_receipt, in parts that sum."""

import math
from pathlib import Path
from typing import Any

import pytest

import bloomlab
from bloomlab.errors import InputError
from bloomlab.lab import Lab
from bloomlab.lens.look_receipt import READ, look_receipt
from bloomlab.tracing.edits import zero
from bloomlab.tracing.trace import Trace
from bloomlab.views.attention.receipt import IDLE
from bloomlab.views.view import View

TEXT = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"


@pytest.fixture(scope="module")
def lab() -> Lab:
    return bloomlab.load()


@pytest.fixture
def view(lab: Lab) -> View:
    """At the head that goes back to where the recap begins, and at its full stop."""
    view = lab.attention(TEXT)
    view.layer, view.head, view.query, view.key = 1, 1, 19, 16
    return view


def sums(look: dict[str, Any], side: str) -> float:
    values = [part[2] if side == "pairs" else part["value"] for part in look[side]]
    return math.fsum([*values, look["rest"][side][1]])


def test_nothing_is_read_before_somebody_asks(view: View) -> None:
    assert view.look == IDLE and view.code.count("look") == 0


def test_each_side_sums_to_the_score_that_the_model_computed(view: View) -> None:
    view.explaining = "open"
    look = view.look
    assert look["state"] == "done" and view.trace is not None
    assert look["score"] == pytest.approx(view.trace["h.1.attn.scores"][0, 1, 19, 16].item(), abs=1e-5)
    for side in ("query", "key", "pairs"):
        assert sums(look, side) == pytest.approx(look["score"], abs=1e-5)
    assert "a score of +8.943 nats" in look["says"] and look["error"] < 1e-5
    values = [abs(part["value"]) for part in look["key"]]
    assert values == sorted(values, reverse=True)


def test_why_there_and_not_at_the_first_full_stop(lab: Lab, view: View) -> None:
    view.explaining = "open"
    view.against = 4
    trace = lab.trace(TEXT, READ)
    one, other = (look_receipt(lab.model, trace, 1, 1, 19, key) for key in (16, 4))
    expected = one.against(other)
    assert view.look["score"] == pytest.approx(expected.score, abs=1e-5) and "+5.962 nats" in view.look["says"]
    most = view.look["key"][0]
    assert most["name"] == "MLP 0" and most["value"] == pytest.approx(3.87, abs=0.01)
    assert most["value"] == pytest.approx(expected.of_key[expected.names.index("MLP 0")].item(), abs=1e-5)
    names: dict[str, Any] = {"lab": lab}
    exec(view.look["code"].replace("print(", "found = (", 1), names)
    assert names["found"][0] == pytest.approx(view.look["score"], abs=1e-5) and view.look["code"] in view.code
    view.key = 4  # a key is not compared with itself
    assert view.look["place"]["against"] == -1 and "a score of" in view.look["says"]


def test_it_follows_the_chosen_look_while_it_is_open(view: View) -> None:
    view.explaining = "open"
    for name, value in (("key", 9), ("head", 6), ("layer", 0), ("query", 12)):
        setattr(view, name, value)
        assert view.look["place"][name] == value and view.look["state"] == "done"
    view.explaining = "closed"
    view.layer = 2
    assert view.look["place"]["layer"] == 0


def test_of_two_keys_with_one_state_position_alone_decides(view: View) -> None:
    view.layer, view.key, view.against = 0, 9, 4  # two full stops, before anything was added to them
    view.explain_look()
    assert abs(view.look["score"]) < 1e-4 and "only how far back" in view.look["says"]


@pytest.mark.slow
def test_an_edited_run_is_read_with_its_edits(lab: Lab) -> None:
    edit = {"h.0.mlp.out": zero()}
    view = lab.attention(TEXT, edit=edit)
    view.layer, view.head, view.query, view.key = 1, 1, 19, 16
    found = view.explain_look()
    expected = lab.trace(TEXT, ["attn.scores"], edit)["h.1.attn.scores"][0, 1, 19, 16].item()
    assert view.look["score"] == pytest.approx(expected, abs=1e-5) and view.look["code"] == ""
    assert found.of_key[found.names.index("MLP 0")] == 0
    view.run = "difference"
    view.key = 9
    assert view.look == IDLE  # what it says is of one run


def test_a_trace_without_its_model_says_what_to_do(lab: Lab, tmp_path: Path) -> None:
    lab.trace(TEXT, [*READ, "attn.probs"]).save(tmp_path / "x.safetensors")
    view = lab.attention(Trace.load(tmp_path / "x.safetensors"))
    with pytest.raises(InputError, match="no model at hand"):
        view.explain_look()
    view.explaining = "open"
    assert view.look["state"] == "error" and "no model at hand" in view.look["message"]


@pytest.mark.slow
def test_a_page_without_scripts_has_it_too(view: View) -> None:
    view.explain_look()
    still = view._repr_mimebundle_()[0]["text/html"]
    assert "a score of +8.943 nats" in still and "MLP 0" in still and "smaller products" in still


@pytest.mark.slow
def test_of_many_texts_it_is_the_mean_and_its_spread_as_its_code_says(lab: Lab, view: View) -> None:
    view.look_over = "texts"
    found = view.explain_look()
    look = view.look
    assert look["state"] == "done" and look["texts"] == "64 like texts" and look["done"] == look["total"] == 64
    names: dict[str, Any] = {"lab": lab}
    exec(look["code"], names)
    again = names["looks"]
    assert again.parts.equal(found.parts) and look["code"] in view.code
    assert look["score"] == pytest.approx(again.score.mean().item(), abs=1e-5)
    assert look["spread"]["score"] == pytest.approx(again.score.std(unbiased=False).item(), abs=1e-5)
    for side, values in (("query", again.of_query), ("key", again.of_key)):
        for part, spread in zip(look[side], look["spread"][side], strict=True):
            column = values[:, again.names.index(part["name"])]
            assert part["value"] == pytest.approx(column.mean().item(), abs=1e-5)
            assert spread == pytest.approx(column.std(unbiased=False).item(), abs=1e-5)
        assert sums(look, side) == pytest.approx(look["score"], abs=1e-4)
    case = lab.like(TEXT)[5].text
    trace = lab.trace(case, READ)
    assert again.score[5].item() == pytest.approx(trace["h.1.attn.scores"][0, 1, 19, 16].item(), abs=1e-5)
    view.against = 4
    assert "and not at token 4" in view.look["says"] and " in 0 of 64 the other way" in view.look["says"]
    assert " ± " in view._repr_mimebundle_()[0]["text/html"]
    view.look_over = "this text"
    assert view.look["texts"] == "" and "+5.962 nats" in view.look["says"]


@pytest.mark.slow
def test_many_texts_are_read_as_they_are(lab: Lab) -> None:
    view = lab.attention(TEXT, edit={"h.0.mlp.out": zero()})
    view.look_over, view.explaining = "texts", "open"
    assert view.look["state"] == "error" and "as they are" in view.look["message"]
