"""What an edit by hand is worth: the numbers of the lens, many texts, controls, the record; and a page that lies."""

import asyncio
import html
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import bloomlab
from bloomlab.errors import InputError, MissingPackageError
from bloomlab.hooks import in_order
from bloomlab.lab import Lab
from bloomlab.lens.cases import Case
from bloomlab.lens.held import WAYS, held
from bloomlab.lens.keep import MODES, Kept
from bloomlab.lens.refute import DOSES, HEADS, PLACES, RANDOM, SAME, TEXTS
from bloomlab.tiny.world import story
from bloomlab.tracing.donors import copied, drawn, hold, steer, usual
from bloomlab.tracing.edits import zero
from bloomlab.views.measured import LONGEST_HOPE, MOST_PARTS, OTHERS, REST, Tried, in_words
from bloomlab.views.shared.edits import STORIES
from bloomlab.views.view import View
from bloomlab.views.worth import NOTHING, Worth, _of_kept
from tests.claims.stories import recaps
from tests.tiny_random import byte_tokenizer, random_model
from tests.views.aside import aside, in_a_loop
from tests.views.shared.test_edits import nested

RECAP = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
CHANGED = RECAP.replace("again", "cat")
SPOT, WHERE = "h.0.attn.mixed", {"head": 1, "query": 16}
AXES = {"head": [1], "query": [16]}
BOUND = 3e-5


@pytest.fixture(scope="module")
def tiny() -> Lab:
    return bloomlab.load()


def send(view: View, **state: Any) -> None:
    """As a message from the page, where no event loop runs: all that follows is done when this returns."""
    aside(partial(view.set_state, state))


def wish(view: View, **what: Any) -> None:
    number = view.wished["number"] + 1 if isinstance(view.wished, dict) else 1
    send(view, wished={**what, "number": number})


def add(view: View, kind: str = "zero", spot: str = SPOT, axes: Any = None, **more: Any) -> None:
    wish(view, do="add", edit={"spot": spot, "kind": kind, "axes": AXES if axes is None else axes}, **more)


def lines(view: View) -> dict[str, float]:
    return {line["name"]: line["value"] for line in view.worth["lines"]}


def p_oslo(lab: Lab, text: str, edit: Any) -> float:
    probs = lab.trace(text, ["logits"], edit)["logits"][0, -1].softmax(-1)
    return float(probs[lab.tokenizer.encode(" Oslo")[0]])


@pytest.fixture
def sixteen(tiny: Lab) -> View:
    """Sixteen numbers copied by hand, measured by the chance of Oslo."""
    view = tiny.explore(CHANGED)
    send(view, metric="probability")
    wish(view, do="read", text=RECAP)
    add(view, "copied")
    return view


# ---- the four results ----


@pytest.mark.slow
def test_the_four_results_are_the_runs_of_trace(tiny: Lab, sixteen: View) -> None:
    texts = tiny.like(CHANGED).texts
    assert (sixteen.worth["answer"], sixteen.worth["state"], sixteen.worth["texts"]) == (" Oslo", "done", "")
    expected = {
        "made": copied(RECAP, **WHERE),
        "zero": zero(**WHERE),
        "usual": usual(texts, **WHERE),
        "drawn": drawn(texts, **WHERE),
        "copied": copied(RECAP, **WHERE),
    }
    assert lines(sixteen).keys() == expected.keys()
    assert sixteen.worth["before"] == pytest.approx(p_oslo(tiny, CHANGED, None), abs=BOUND)
    for name, edit in expected.items():
        assert lines(sixteen)[name] == pytest.approx(p_oslo(tiny, CHANGED, {SPOT: edit}), abs=BOUND), name
    assert lines(sixteen)["made"] > 0.85 and lines(sixteen)["drawn"] < 0.15
    others = torch.cat([tiny.trace(text, [SPOT])[SPOT][:, 1, 16] for text in texts])
    mine, mean = tiny.trace(RECAP, [SPOT])[SPOT][0, 1, 16], others.mean(0)
    share = ((others - mean).norm(dim=1) < (mine - mean).norm()).float().mean()
    (dose,) = sixteen.worth["doses"]
    assert dose.startswith("16 numbers, length ")
    assert dose.endswith(f", further out than {share:.0%} of what {len(texts)} like texts have there")


@pytest.mark.slow
def test_the_menu_s_kinds_are_the_edits_of_python(tiny: Lab) -> None:
    view = tiny.attention(RECAP)
    texts = tiny.like(RECAP).texts
    for kind, edit, said in (
        ("usual", usual(texts, **WHERE), "head 0.1 the usual at 16 from 64 like texts"),
        ("drawn", drawn(texts, **WHERE), "head 0.1 drawn at 16 from 64 like texts, seed 0"),
    ):
        wish(view, do="clear")
        add(view, kind)
        assert view.changes == [said] and view.state == "ready"
        whole = tiny.trace(RECAP, ["attn.probs", "resid_post"], {SPOT: edit})
        mine = tiny.trace(RECAP, ["attn.probs", "resid_post"], view.edits)
        assert all(mine[name].equal(whole[name]) for name in whole.names)
        view.layer, view.head, view.query, view.key = 1, 1, 18, 16
        names: dict[str, Any] = {}
        exec(view.code, names)
        assert names["trace"]["h.1.attn.probs"].equal(view.trace["h.1.attn.probs"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["usual", "drawn", "copied", "hold"])
def test_every_tab_can_show_an_edit_that_waits_for_other_runs(tiny: Lab, kind: str) -> None:
    edit = {"usual": usual, "drawn": drawn}[kind](tiny.like(RECAP).texts) if kind in ("usual", "drawn") else None
    edit = edit or (hold() if kind == "hold" else copied(RECAP.replace("Oslo", "Lima")))
    view = tiny.explore(RECAP, edit={"h.1.attn.mixed": edit})
    for tab in view.panels:
        view.tab = tab
        assert view.troubles == {} and getattr(view, f"{tab}_picture")
    assert view.predictions.picture["missing"] == {}


@pytest.mark.slow
def test_a_donor_that_is_the_text_changes_nothing_and_it_is_said(tiny: Lab) -> None:
    view = tiny.explore(RECAP)
    wish(view, do="read", text=RECAP)
    add(view, "copied")
    assert view.worth["nothing"] is True and view.worth["before"] == lines(view)["made"]
    add(view, "zero")
    assert view.worth["nothing"] is False
    wish(view, do="clear")
    assert view.worth == NOTHING
    add(view, "hold", "h.2.mlp.out", {})
    assert view.worth["nothing"] is True


@pytest.mark.slow
def test_what_is_held_leaves_the_way_that_is_left(tiny: Lab, sixteen: View) -> None:
    """Which way the sixteen numbers take: as the numbers of trace say."""
    for spot, axes, kept in (
        ("h.0.mlp.out", {}, {"h.0.mlp.out": hold()}),
        ("h.1.attn.k", {"head": [1]}, {"h.1.attn.k": hold(head=1)}),
        ("h.1.attn.q", {"head": [1]}, {"h.1.attn.q": hold(head=1)}),
    ):
        add(sixteen, "hold", spot, axes)
        expected = p_oslo(tiny, CHANGED, {SPOT: copied(RECAP, **WHERE), **kept})
        assert lines(sixteen)["made"] == pytest.approx(expected, abs=BOUND), spot
        assert "held as it was" in sixteen.changes[-1]
        wish(sixteen, do="undo")


@pytest.mark.slow
def test_without_like_texts_the_rest_is_measured_and_the_menu_says_why() -> None:
    lab = Lab(random_model(), byte_tokenizer())
    view = lab.explore("Nobody is here.")
    add(view, "zero", "h.1.attn.mixed", {"head": [2]})
    assert lines(view).keys() == {"made", "zero"} and view.worth["state"] == "done"
    add(view, "drawn", "h.1.attn.mixed", {"head": [2]})
    assert view.state == "error" and "names nobody" in view.message and len(view.changes) == 1
    send(view, over="texts")
    assert view.worth["state"] == "error" and "names nobody" in view.worth["message"]
    send(view, over="this text")
    assert view.worth["state"] == "done" and lines(view).keys() == {"made", "zero"}


@pytest.mark.slow
def test_the_tokens_that_are_compared_can_be_named(tiny: Lab) -> None:
    view = tiny.explore(RECAP)
    add(view)
    send(view, answer=" Lima", rival=" Paris")
    assert (view.worth["answer"], view.worth["rival"]) == (" Lima", " Paris")
    by_hand = tiny.trace(RECAP, ["logits"], {SPOT: zero(**WHERE)})["logits"][0, -1]
    ids = [tiny.tokenizer.encode(token)[0] for token in (" Lima", " Paris")]
    assert lines(view)["made"] == pytest.approx(float(by_hand[ids[0]] - by_hand[ids[1]]), abs=3e-4)
    send(view, answer="Lima lives")
    assert view.worth["state"] == "error" and "must be one token" in view.worth["message"]
    send(view, answer=" Paris")
    assert view.worth["state"] == "error" and "same token" in view.worth["message"]
    send(view, answer="", rival="")
    assert view.worth["state"] == "done" and view.worth["answer"] == " Oslo"


# ---- a direction ----

STEER = {"spot": "h.1.resid_post", "kind": "steer", "axes": {}, "number": 2, "towards": "Français", "away": "English"}


@pytest.mark.slow
def test_a_direction_of_two_languages_is_added_and_its_dose_is_set(tiny: Lab) -> None:
    view = tiny.explore("Leo lives in Oslo. Leo")
    assert "Français" in view.languages and "English" in view.languages
    wish(view, do="add", edit=STEER)
    assert view.changes == ["resid_post of layer 1 + 2 × (Français − English)"]
    assert view.steered == {"at": 0, "dose": 2, "one": "Français − English, at h.1.resid_post"}
    sets = [[story(code, seed).text for seed in range(STORIES)] for code in ("fr", "en")]
    logits = tiny.trace(view.text, ["logits"], {"h.1.resid_post": steer(*sets, 2)})["logits"]
    assert tiny.trace(view.text, ["logits"], view.edits)["logits"].equal(logits)
    names: dict[str, Any] = {}
    exec(view.code, names)
    assert names["trace"].made and len(view.trace.provenance["edits"]["h.1.resid_post"]) > len(view.picture["stamp"])
    curve = view.worth["curve"]
    found = tiny.direction(*sets, "h.1.resid_post", view.text, curve["answer"], curve["rival"], n=3).found
    assert curve["sentence"] == found.sentence and [row["dose"] for row in curve["rows"]] == found.doses.tolist()
    assert [row["written"] for row in curve["rows"]] == list(found.written)
    assert curve["falls apart"] == found.falls_apart == 8 and curve["rows"][-1]["target"] > curve["rows"][0]["target"]
    assert found.sentence in in_words(view.worth) and lines(view).keys() == {"made"}
    for dose in (3, 4.5):
        wish(view, do="dose", at=0, dose=dose, gesture=7)
    assert view.changes == ["resid_post of layer 1 + 4.5 × (Français − English)"] and view.worth["curve"] == curve
    assert [row["changes"][0][24:31] for row in view.tried] == ["2 × (Fr", "4.5 × ("]  # a drag is one row
    wish(view, do="undo")
    assert view.steered["dose"] == 2
    send(view, metric="probability")
    assert view.worth["curve"]["rows"][0]["target"] < view.worth["curve"]["rows"][-1]["target"] <= 1
    wish(view, do="clear")
    assert view.steered == {} and view.worth == NOTHING
    json.dumps(curve)


@pytest.mark.slow
def test_a_curve_of_a_large_model_is_measured_when_it_is_asked_for(tiny: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bloomlab.views.worth.AT_ONCE", 0)
    view = tiny.attention("Leo lives in Oslo. Leo")
    wish(view, do="add", edit={**STEER, "towards": ["Leo habite à Oslo."], "away": ["Leo lives in Oslo."]})
    assert view.steered["one"] == "“Leo habite à Oslo.” − “Leo lives in Oslo.”, at h.1.resid_post"
    assert view.worth == NOTHING
    wish(view, do="curve")
    assert view.worth["state"] == "done" and len(view.worth["curve"]["rows"]) == 6
    wish(view, do="add", edit=STEER)
    assert view.worth["curve"] == {} and view.steered["at"] == 1  # it was of another direction
    send(view, off=[1])
    assert view.steered["at"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lie", "message"),
    [
        ({"edit": {**STEER, "spot": SPOT}}, "a direction is added to states"),
        ({"edit": {**STEER, "towards": "Klingon"}}, "each end of a direction is a language or"),
        ({"edit": {**STEER, "away": []}}, "each end of a direction is a language or"),
        ({"edit": {**STEER, "away": [""]}}, "each end of a direction is a language or"),
        ({"edit": {**STEER, "away": ["x" * 501]}}, "each end of a direction is a language or"),
        ({"edit": {**STEER, "away": ["x"] * 65}}, "each end of a direction is a language or"),
        ({"edit": {**STEER, "away": ["\ud800"]}}, "each end of a direction is a language or"),
        ({"edit": {**STEER, "away": nested(100)}}, "each end of a direction is a language or"),
        ({"edit": {**STEER, "number": None}}, "takes a number"),
        ({"edit": {**STEER, "number": 1e5}}, "between -10,000 and 10,000"),
        ({"edit": {**STEER, "columns": [1]}}, "takes no columns"),
        ({"edit": {**STEER, "kind": "scale"}}, "only a direction leads from texts to texts"),
        ({"do": "dose", "at": 0, "dose": 2, "gesture": 1}, "is no direction"),
        ({"do": "curve"}, "no change to be measured"),
    ],
)
def test_a_page_that_lies_about_a_direction_is_answered_in_a_sentence(tiny: Lab, lie: Any, message: str) -> None:
    view = tiny.attention(RECAP)
    wish(view, **{"do": "add", **lie})
    assert view.state == "error" and message in view.message and len(view.message) <= 400
    assert view.changes == [] and view.worth == NOTHING


@pytest.mark.slow
def test_a_page_that_lies_about_a_dose_leaves_the_direction_as_it_is(tiny: Lab) -> None:
    view = tiny.attention("Leo lives in Oslo. Leo", edit={"h.1.resid_post": steer(["Leo habite"], ["Leo lives"], 2)})
    lies: list[Any] = [{"dose": "2"}, {"dose": 1e5}, {"dose": None}, {"gesture": "a"}, {"at": True}, {"at": 9}]
    for lie in lies:
        wish(view, **{"do": "dose", "at": 0, "dose": 3, "gesture": 1, **lie})
        assert view.state == "error" and 0 < len(view.message) <= 400 and view.steered["dose"] == 2, lie
        view.state, view.message = "ready", ""


# ---- controls and many texts ----


@pytest.mark.slow
def test_refute_gives_the_table_of_lab_refute(tiny: Lab, sixteen: View) -> None:
    wish(sixteen, do="refute")
    worth = sixteen.worth
    assert worth["state"] == "done" and worth["doing"] == "refute"
    cases = tiny.like(CHANGED, other=RECAP, answer=worth["answer"], rival=worth["rival"])
    edit = {SPOT: copied(RECAP, **WHERE)}
    found = tiny.refute(CHANGED, edit, "probability", worth["answer"], worth["rival"], texts=cases).found
    rows = {row["kind"]: row for row in worth["refuted"]["rows"]}
    assert list(rows) == [RANDOM, HEADS, PLACES, SAME, DOSES, TEXTS]
    for kind, row in rows.items():
        assert [dot[0] for dot in row["dots"]] == [control.name for control in found.of(kind)]
        assert [dot[2] for dot in row["dots"]] == pytest.approx(found.values(kind).tolist(), abs=BOUND)
    sentence = worth["refuted"]["sentence"]
    assert sentence.startswith("p(' Oslo') 0.084 → 0.933 with head 0.1 copied at 16 from “Leo lives in Oslo. He ha…”;")
    assert sentence.partition(";")[2] == found.sentence.partition(";")[2]
    assert sixteen.tried[0]["verdict"] == sentence
    json.dumps(sixteen.worth)


@pytest.mark.slow
def test_over_many_texts_each_number_is_a_mean_and_refute_makes_its_controls_in_each(tiny: Lab) -> None:
    stories = [Case(s.text.replace("again", "cat"), s.text, f" {s.city}") for s in recaps(tiny, 12)]
    view = tiny.explore(CHANGED, texts=stories)
    wish(view, do="read", text=RECAP)
    add(view, "copied")
    send(view, metric="probability", over="texts")
    edits = [copied(RECAP, **WHERE), *(copied(case.other, **WHERE) for case in stories)]
    values = []
    for case, edit in zip([Case(CHANGED, "", " Oslo"), *stories], edits, strict=True):
        probs = tiny.trace(case.text, ["logits"], {SPOT: edit})["logits"][0, -1].softmax(-1)
        values.append(float(probs[tiny.tokenizer.encode(case.answer)[0]]))
    line = view.worth["lines"][0]
    assert line["name"] == "made" and line["dots"] == pytest.approx(values, abs=BOUND)
    assert line["value"] == pytest.approx(sum(values) / 13, abs=BOUND) and line["against"] == 0
    assert line["low"] < line["value"] < line["high"]
    assert view.worth["texts"] == "this text and 12 given texts"
    wish(view, do="refute")
    assert view.worth["refuted"]["sentence"].startswith("mean of 13 texts: p(answer) ")
    assert view.worth["refuted"]["after"] == pytest.approx(line["value"], abs=BOUND)


@pytest.mark.slow
def test_each_part_that_noticed_is_held_as_lens_held_holds_it(tiny: Lab, sixteen: View) -> None:
    wish(sixteen, do="held")
    worth = sixteen.worth
    assert worth["state"] == "done" and worth["doing"] == "held" and worth["done"] == worth["total"]
    case = Case(CHANGED, "", worth["answer"], worth["rival"])
    edits: Any = {SPOT: (copied(RECAP, **WHERE),)}
    *_, step = held(tiny.model, tiny.tokenizer, [case], edits, "probability")
    found = step.results[-1]
    assert worth["held"]["sentence"] == found.sentence
    assert [row["part"] for row in worth["held"]["rows"]] == [found.parts[place] for place in found.order]
    for row, place in zip(worth["held"]["rows"], found.order, strict=True):
        left = {
            way: None if value != value else pytest.approx(value, abs=BOUND)
            for way, value in zip(WAYS, found.left[place, :, 0].tolist(), strict=True)
        }
        assert row == {"part": row["part"], **left}
    assert worth["held"]["after"] == pytest.approx(lines(sixteen)["made"], abs=BOUND)
    assert found.sentence in sixteen._still() or html.escape(found.sentence) in sixteen._still()
    json.dumps(worth)
    send(sixteen, metric="logit difference")  # measured again
    assert sixteen.worth["held"]["sentence"].startswith("logit of ' Oslo' less ")
    add(sixteen, "zero")
    assert sixteen.worth["held"] == {}  # it was of other edits


@pytest.mark.slow
def test_over_many_texts_what_is_left_is_a_mean_and_can_be_stopped(tiny: Lab) -> None:
    view = tiny.explore(RECAP, texts=tiny.like(RECAP, 8))
    add(view)
    send(view, over="texts")
    wish(view, do="held")
    found = view.worth["held"]
    assert found["sentence"].startswith("mean of 9 texts: ") and found["texts"] == 9
    first = found["rows"][0]
    assert first["low"] < first["whole"] < first["high"]
    ends = " to ".join(f"{first[end]:.3f}".replace("-", "−") for end in ("low", "high"))
    assert f", in 8 of 10 texts {ends};" in found["sentence"]

    async def stopped() -> None:
        view.set_state({"wished": {"do": "held", "number": 9}})
        await asyncio.sleep(0.05)
        view.set_state({"wished": {"do": "stop", "number": 10}})

    in_a_loop(stopped)
    assert view.worth["state"] == "stopped" and view.worth["lines"]


@pytest.mark.slow
@pytest.mark.parametrize("instead", OTHERS)
@pytest.mark.parametrize("mode", MODES)
def test_parts_that_are_kept_give_the_curve_of_lab_keep(tiny: Lab, mode: str, instead: str) -> None:
    view = tiny.explore(RECAP)
    add(view)
    wish(view, do=mode, parts=["3.4", "mlp 3"], among="all", instead=instead)
    kept, texts = view.worth["kept"], tiny.like(RECAP).texts
    assert view.worth["state"] == "done" and view.worth["doing"] == mode and kept["mode"] == mode
    stands: Any = {"zero": zero(), "usual": usual(texts), "drawn": drawn(texts)}[instead]
    verb = tiny.keep if mode == "keep" else tiny.without
    found = verb(RECAP, ["3.4", "mlp 3"], stands, answer=view.worth["answer"], rival=view.worth["rival"]).found
    assert [row["name"] for row in kept["rows"]] == ["3.4", "+ mlp 3"]
    for size, row in enumerate(kept["rows"], 1):
        assert row["share"] == pytest.approx(found.share(found.values[size]).item(), abs=1e-4)
        assert row["dots"] == pytest.approx(found.share(found.chance[size]).tolist(), abs=1e-4)
    assert ("zeros" if instead == "zero" else "64 like texts") in kept["sentence"]
    assert kept["sentence"] in " ".join(in_words(view.worth))
    json.dumps(view.worth)
    add(view, "zero", "h.1.mlp.out", {})
    assert view.worth["kept"] == {}


@pytest.mark.slow
def test_over_many_texts_what_is_kept_is_a_mean_and_another_measure_asks_again(tiny: Lab) -> None:
    view = tiny.explore(RECAP, texts=tiny.like(RECAP, 4))
    add(view)
    send(view, over="texts")
    wish(view, do="keep", parts=["3.4"], among="all", instead="drawn")
    assert view.worth["kept"]["sentence"].startswith("mean of 5 texts: logit of answer less rival")
    assert "; in 8 of 10 texts " in view.worth["kept"]["sentence"]
    send(view, metric="probability")
    assert view.worth["kept"]["sentence"].startswith("mean of 5 texts: p(") and view.worth["doing"] == "keep"


def test_where_all_kept_and_none_kept_say_the_same_no_share_is_told() -> None:
    same = torch.ones(1)
    found = Kept(
        "keep", ("0.0",), "zeros", "2 parts", "probability", "a", "b", same, same, torch.ones(2, 1), torch.ones(2, 3, 1)
    )
    assert _of_kept(found)["rows"] == [{"name": "0.0", "share": None, "dots": []}]


@pytest.mark.slow
@pytest.mark.parametrize("parts", [["9.9"], ["3.4", "3.4"], ["h.3.attn"], ["\u202e"]])
def test_parts_that_the_model_lacks_are_named_in_a_sentence(tiny: Lab, parts: list[str]) -> None:
    view = tiny.attention(RECAP)
    add(view)
    before = view.worth["lines"]
    wish(view, do="keep", parts=parts, among="all", instead="zero")
    assert view.worth["state"] == "error" and "parts" in view.worth["message"]
    assert view.worth["lines"] == before and view.worth["kept"] == {} and view.state == "ready"


@pytest.mark.slow
def test_given_texts_of_other_lengths_are_left_out(tiny: Lab) -> None:
    view = tiny.explore(RECAP, texts=[RECAP.replace("Oslo", "Lima"), "Leo lives in", RECAP])
    add(view, "drawn")
    assert view.changes == ["head 0.1 drawn at 16 from 1 given text, seed 0"]
    view = tiny.explore(RECAP, texts=["Leo lives in"])
    add(view, "drawn")
    assert view.state == "error" and "none of the 1 texts that were given" in view.message


@pytest.mark.slow
def test_a_measurement_is_stopped_and_what_is_finished_stays(tiny: Lab) -> None:
    view = tiny.explore(RECAP)

    async def stopped() -> None:
        view.set_state({"wished": {"do": "add", "edit": {"spot": SPOT, "kind": "zero", "axes": AXES}, "number": 1}})
        while view.worth["state"] != "done":
            await asyncio.sleep(0.01)
        view.set_state({"over": "texts"})
        view.set_state({"wished": {"do": "refute", "number": 2}})
        while not view.worth["refuted"]:
            await asyncio.sleep(0.01)
        view.set_state({"wished": {"do": "stop", "number": 3}})

    in_a_loop(stopped)
    assert view.worth["state"] == "stopped" and 0 < view.worth["done"] < view.worth["total"]
    assert view.worth["refuted"]["rows"] and lines(view).keys() >= {"made", "zero"}
    assert view.tried[0].get("verdict") is None
    wish(view, do="clear")
    assert view.worth == NOTHING


@pytest.mark.slow
def test_another_edit_ends_the_measurement_of_the_one_before(tiny: Lab) -> None:
    view = tiny.explore(RECAP)

    async def hurried() -> None:
        edit = {"spot": SPOT, "kind": "zero", "axes": AXES}
        view.set_state({"over": "texts"})
        view.set_state({"wished": {"do": "add", "edit": edit, "number": 1}})
        while not view.worth["lines"]:
            await asyncio.sleep(0.001)
        view.set_state({"wished": {"do": "add", "edit": {**edit, "spot": "h.3.mlp.out", "axes": {}}, "number": 2}})
        while len(view.changes) < 2 or view.worth["state"] != "done":
            await asyncio.sleep(0.01)

    in_a_loop(hurried)
    assert len(view.tried) == 2 and view.worth["total"] == 65 * 5
    assert lines(view)["zero"] == lines(view)["made"]  # of the two edits that stand, not of the first


@pytest.mark.slow
def test_of_changes_that_follow_each_other_only_the_last_is_measured(
    tiny: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = tiny.explore(RECAP)
    measured: list[int] = []
    compared = Worth.compared

    def counted(worth: Worth, asked: Any) -> Any:
        measured.append(len(asked.edits.entries))
        return compared(worth, asked)

    monkeypatch.setattr(Worth, "compared", counted)

    async def hurried() -> None:
        for number in range(4):
            edit = {"spot": SPOT, "kind": "zero", "axes": {"head": [number]}}
            view.set_state({"wished": {"do": "add", "edit": edit, "number": number + 1}})
            await asyncio.sleep(REST / 3)
        while view.worth["state"] != "done":
            await asyncio.sleep(0.01)

    in_a_loop(hurried)
    assert measured == [4]


@pytest.mark.slow
def test_nothing_is_measured_where_a_model_is_large_until_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = bloomlab.load()
    monkeypatch.setattr("bloomlab.views.worth.AT_ONCE", 0)
    view = lab.explore(RECAP)
    add(view)
    assert view.worth == NOTHING and "p after" not in view.tried[0]
    send(view, metric="probability")
    assert view.worth["lines"] == []
    wish(view, do="compare")
    assert lines(view).keys() == {"made", "zero", "usual", "drawn"} and view.tried[0]["p before"] > 0.9


# ---- the record ----


@pytest.mark.slow
def test_every_try_is_a_row_with_what_was_expected_of_it(tiny: Lab) -> None:
    view = tiny.explore(RECAP)
    assert view.tried == [] and repr(view.tried) == "nothing tried yet"
    add(view, expect="p falls below one half")
    wish(view, do="undo")
    add(view, "drawn", expect="the same")
    wish(view, do="undo")
    add(view)  # tried before: no row of its own
    rows = view.tried
    assert isinstance(rows, Tried) and [row["expected"] for row in rows] == ["p falls below one half", "the same"]
    assert rows[0]["changes"] == ["head 0.1 silent at 16"] and rows[0]["text"] == RECAP
    whole = tiny.trace(RECAP, ["logits"])["logits"][0, -1].softmax(-1)
    oslo = tiny.tokenizer.encode(" Oslo")[0]
    assert rows[0]["answer"] == " Oslo" and rows[0]["p before"] == pytest.approx(float(whole[oslo]), abs=BOUND)
    assert rows[0]["p after"] == pytest.approx(p_oslo(tiny, RECAP, {SPOT: zero(**WHERE)}), abs=BOUND)
    assert rows[0]["KL"] > 0.5 > rows[1]["KL"] >= 0 and rows[0]["nothing"] is False
    said = repr(rows).splitlines()
    assert len(said) == 2 and said[0].startswith("0: head 0.1 silent at 16; p(' Oslo') 0.94")
    rows[0]["text"] = "mine"
    assert view.tried[0]["text"] == RECAP


@pytest.mark.slow
def test_a_row_brings_its_edits_back_and_undo_what_was_there(tiny: Lab) -> None:
    view = tiny.explore(RECAP)
    add(view)
    add(view, "scale", "h.1.mlp.out", {}, **{})  # no number: refused
    assert view.state == "error"
    wish(view, do="add", edit={"spot": "h.1.mlp.out", "kind": "scale", "number": 0.5, "axes": {}})
    assert len(view.tried) == 2 and len(view.changes) == 2
    wish(view, do="restore", at=0)
    assert view.changes == ["head 0.1 silent at 16"] and len(view.tried) == 2
    wish(view, do="undo")
    assert len(view.changes) == 2
    send(view, typed={"text": CHANGED, "number": 1})
    wish(view, do="restore", at=0)
    assert view.text == RECAP and view.changes == ["head 0.1 silent at 16"]


@pytest.mark.slow
def test_a_drag_is_one_row(tiny: Lab) -> None:
    view = tiny.alibi(RECAP)
    for factor in (0.9, 0.8, 0.7):
        edits = [{"spot": "attn.alibi", "kind": "scale", "number": factor, "axes": {"head": [3]}}]
        wish(view, do="set", edits=edits, gesture=1)
    assert [row["changes"] for row in view.tried] == [["slope of head 3 × 0.7"]]
    assert lines(view).keys() == {"made"}  # nothing else could stand there


@pytest.mark.slow
def test_the_record_is_a_table_where_pandas_is_there(tiny: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    view = tiny.explore(RECAP)
    add(view)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackageError, match="needs pandas"):
        view.tried.to_pandas()
    stand_in = ModuleType("pandas")
    stand_in.DataFrame = list  # type: ignore[attr-defined]  # a stand-in: pandas is not installed here
    monkeypatch.setitem(sys.modules, "pandas", stand_in)
    assert [row["changes"] for row in view.tried.to_pandas()] == ["head 0.1 silent at 16"]


@pytest.mark.slow
def test_the_edits_that_are_on_become_a_finding_that_is_checked_again(tiny: Lab, sixteen: View, tmp_path: Path) -> None:
    found = sixteen.finding("Sixteen numbers switch copying on.")
    assert found.found.answer == " Oslo" and found.found.metric == "probability"
    assert found.found.after == pytest.approx(lines(sixteen)["made"], abs=BOUND)
    assert len(found.found.of(TEXTS)) == sixteen.worth["others"]
    path = found.save(tmp_path / "sixteen.json")
    assert bloomlab.finding(path, tiny).check()
    wish(sixteen, do="clear")
    with pytest.raises(InputError, match="no change to make a claim of"):
        sixteen.finding("Nothing")


# ---- a saved page, and one that lies ----


@pytest.mark.slow
def test_a_saved_page_has_what_was_measured_in_its_state_and_in_words(tiny: Lab, sixteen: View, tmp_path: Path) -> None:
    wish(sixteen, do="refute")
    page = sixteen.save(tmp_path / "x.html").read_text(encoding="utf-8")
    state = json.loads(page.partition('id="state">')[2].partition("</script>")[0])
    assert state["worth"] == sixteen.worth and state["tries"] == sixteen.tries
    assert "1 of 66 controls have half of this change or more" in page.partition("<script")[0]
    assert "<i>" not in page.partition("<script")[0]


@pytest.mark.slow
def test_saving_waits_for_what_is_being_measured(tiny: Lab, tmp_path: Path) -> None:
    async def saved() -> View:
        view = tiny.attention(RECAP, edit={SPOT: zero(**WHERE)})
        assert view.worth["lines"] == []  # the page listens first
        view.save(tmp_path / "x.html")
        return view

    view = in_a_loop(saved)
    assert view.worth["state"] == "done" and lines(view).keys() == {"made", "zero", "usual", "drawn"}
    page = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert json.loads(page.partition('id="state">')[2].partition("</script>")[0])["worth"] == view.worth


LIES: list[Any] = [
    {"do": "refute"},  # there is no edit
    {"do": "compare"},
    {"do": "held"},
    {"do": "keep"},
    {"do": "keep", "parts": ["3.4"], "among": "all", "instead": "zero"},  # there is no edit
    {"do": "restore"},
    {"do": "restore", "at": 0},
    {"do": "restore", "at": -1},
    {"do": "restore", "at": True},
    {"do": "restore", "at": 10**400},
    {"do": "restore", "at": nested(100)},
    {"do": "add", "edit": {"spot": SPOT, "kind": "zero", "axes": AXES}, "expect": 5},
    {"do": "add", "edit": {"spot": SPOT, "kind": "zero", "axes": AXES}, "expect": "x" * (LONGEST_HOPE + 1)},
    {"do": "add", "edit": {"spot": SPOT, "kind": "zero", "axes": AXES}, "expect": nested(100)},
    {"do": "add", "edit": {"spot": SPOT, "kind": "usual", "axes": AXES, "columns": [3]}},
    {"do": "add", "edit": {"spot": SPOT, "kind": "usual", "axes": AXES, "number": 3}},
    {"do": "add", "edit": {"spot": SPOT, "kind": "drawn", "axes": AXES, "texts": ["mine"]}},
    {"do": "add", "edit": {"spot": "h.0.attn.probs", "kind": "drawn", "axes": {}}},
    {"do": "add", "edit": {"spot": "logits", "kind": "usual", "axes": {}}},
    {"do": "add", "edit": {"spot": SPOT, "kind": "hold", "axes": {"head": [9]}}},
]


@pytest.mark.slow
@pytest.mark.parametrize("lie", LIES, ids=range(len(LIES)))
def test_a_page_that_lies_is_answered_in_a_sentence_and_the_picture_stays(tiny: Lab, lie: Any) -> None:
    view = tiny.attention(RECAP)
    before = view.get_state()
    wish(view, **lie)
    after = view.get_state()
    assert view.state == "error" and 20 < len(view.message) <= 400 and "Error" not in view.message, view.message
    assert {name for name in before if before[name] != after[name]} <= {"wished", "heard", "state", "message"}


NAMES: list[tuple[dict[str, Any], str]] = [
    ({}, "names 1 to 100 parts"),
    ({"parts": []}, "names 1 to 100 parts"),
    ({"parts": "3.4"}, "names 1 to 100 parts"),
    ({"parts": ["3.4"] * (MOST_PARTS + 1)}, "names 1 to 100 parts"),
    ({"parts": ["x" * 1000]}, "names 1 to 100 parts"),
    ({"parts": [34]}, "names 1 to 100 parts"),
    ({"parts": nested(100)}, "names 1 to 100 parts"),
    ({"parts": ["3.4"], "among": "some"}, "among all or heads"),
    ({"parts": ["3.4"], "among": ["all"]}, "among all or heads"),
    ({"parts": ["3.4"], "instead": "copied"}, "can stand zero, usual, drawn"),
    ({"parts": ["3.4"], "instead": nested(100)}, "can stand zero, usual, drawn"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("lie", "message"), NAMES, ids=range(len(NAMES)))
def test_a_page_that_lies_about_parts_is_answered_in_a_sentence(tiny: Lab, lie: dict[str, Any], message: str) -> None:
    view = tiny.attention(RECAP)
    add(view)
    before = view.worth
    wish(view, do="keep", **{"among": "all", "instead": "zero", **lie})
    assert view.state == "error" and message in view.message and len(view.message) <= 400
    assert view.worth is before


@pytest.mark.slow
def test_an_interrupt_while_parts_are_held_or_kept_leaves_what_was_found(tiny: Lab, monkeypatch: Any) -> None:
    view = tiny.attention(RECAP)
    add(view)
    found = view.worth["lines"]

    def interrupted(*_: Any) -> Iterator[Any]:
        yield {"state": "running"}
        raise KeyboardInterrupt

    for name, asked in (("held", {"do": "held"}), ("kept", {"do": "keep", "parts": ["3.4"]})):
        with monkeypatch.context() as patched:
            patched.setattr(view._worth, name, interrupted)
            wish(view, among="all", instead="zero", **asked)
        assert view.worth["state"] == "stopped" and view.worth["lines"] == found and view.worth[name] == {}
        wish(view, among="all", instead="zero", **asked)
        assert view.worth["state"] == "done" and view.worth[name]["sentence"]


@pytest.mark.slow
def test_what_a_page_may_not_set_stays_as_it_is(tiny: Lab) -> None:
    view = tiny.attention(RECAP)
    add(view)
    before = view.worth
    lies = {"worth": {}, "tries": [1], "metric": "loss", "over": "all", "answer": 5, "rival": "x" * 1000}
    send(view, **lies)
    assert view.worth is before and len(view.tries) == 1
    assert (view.metric, view.over, view.answer, view.rival) == ("logit difference", "this text", "", "")
    send(view, answer="\ud800")
    assert view.answer == ""


@pytest.mark.slow
def test_an_edit_that_grows_beyond_all_bounds_leaves_a_sentence(tiny: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    view = tiny.attention(RECAP)
    add(view)
    monkeypatch.setattr(view._worth, "compared", lambda _: (_ for _ in ()).throw(RuntimeError("no room")))
    send(view, metric="probability")
    assert view.worth["state"] == "error" and view.worth["message"] == "RuntimeError: no room"
    assert view.state == "ready" and view.changes == ["head 0.1 silent at 16"]


@pytest.mark.slow
def test_edits_of_python_s_own_are_measured_too(tiny: Lab) -> None:
    def half(tensor: Any, at: Any) -> Any:
        return tensor * 0.5

    view = tiny.explore(RECAP, edit={"h.1.mlp.out": half})
    assert lines(view).keys() == {"made"} and view.tried[0]["changes"] == ["h.1.mlp.out: half"]
    aside(partial(view.set_state, {"wished": {"do": "refute", "number": 1}}))
    rows = {row["kind"]: row for row in view.worth["refuted"]["rows"]}
    assert rows[HEADS]["why"] == "the edit cannot be made at another place" and rows[RANDOM]["dots"]
    assert list(in_order("x", half)) == [half]


def steps_of(view: View) -> Iterator[Any]:
    assert view._worth is not None
    return view._worth.compared(view._asked)


@pytest.mark.slow
def test_an_interrupt_while_measuring_leaves_the_edits_and_what_was_found(
    tiny: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = tiny.attention(RECAP)
    add(view)
    whole = view.worth
    real = list(steps_of(view))
    for moment in range(len(real)):

        def interrupted(_: Any, moment: int = moment) -> Iterator[dict[str, Any]]:
            yield from (dict(piece) for piece in real[:moment])
            raise KeyboardInterrupt

        monkeypatch.setattr(view._worth, "compared", interrupted)
        wish(view, do="compare")
        assert view.worth["state"] == "stopped" and view.changes == ["head 0.1 silent at 16"]
    monkeypatch.undo()
    wish(view, do="compare")
    assert view.worth == whole
