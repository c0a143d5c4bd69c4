"""Which part wrote the next token, in the predictions panel: the same numbers as lab.receipt, in lines that sum."""

import asyncio
import math
from typing import Any

import pytest
import torch

import bloomlab
from bloomlab.hooks import Edits
from bloomlab.lab import Lab
from bloomlab.tracing.donors import usual
from bloomlab.tracing.edits import scale, zero
from bloomlab.views.predictions.inside import SHUT
from bloomlab.views.predictions.receipt import IDLE, LINES
from bloomlab.views.view import View
from tests.tasks.task_heads import random_lab

TEXT = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"


@pytest.fixture(scope="module")
def lab() -> Lab:
    return bloomlab.load()


def closes(receipt: dict[str, Any]) -> bool:
    told = math.fsum([*(line["direct"] for line in receipt["lines"]), receipt["rest"][1]])
    return abs(told - receipt["difference"]) < 1e-4 * max(1, abs(receipt["difference"]))


@pytest.mark.slow
def test_it_is_asked_for_and_then_follows_the_chosen_token(lab: Lab) -> None:
    view = lab.predictions(TEXT)
    assert view.receipt == IDLE
    view.query = 5
    assert view.receipt == IDLE
    view.explaining = "direct"
    for at in (5, 19, 0):
        view.query = at
        found = lab.receipt(TEXT, position=at).receipt
        receipt = view.receipt
        assert (receipt["state"], receipt["at"]) == ("done", at) and closes(receipt)
        assert receipt["difference"] == pytest.approx(found.difference, abs=1e-5)
        assert receipt["rest"][0] == len(found.names) - LINES
        for line in receipt["lines"]:
            assert line["direct"] == pytest.approx(found.direct[found.names.index(line["name"])].item(), abs=1e-5)
            assert line["total"] is None
    view.explaining = "closed"
    view.query = 7
    assert view.receipt["at"] == 0


@pytest.mark.slow
def test_its_code_gives_the_same_totals(lab: Lab) -> None:
    view = lab.predictions(TEXT)
    view.receipt_versus = " Sydney"
    shows = view.explain()
    receipt = view.receipt
    assert receipt["state"] == "done" and receipt["done"] == receipt["total"] == 37 and view.explaining == "total"
    assert receipt["code"] in view.code
    names: dict[str, Any] = {"lab": lab}
    exec(receipt["code"].replace("print(", "found = (", 1), names)
    found = names["found"].receipt
    assert shows.receipt.total.tolist() == pytest.approx(found.total.tolist(), abs=1e-5)
    totals = {line["name"]: line["total"] for line in receipt["lines"] if line["total"] is not None}
    assert totals == pytest.approx({name: found.total[found.names.index(name)].item() for name in totals}, abs=1e-5)
    assert "MLP 0 costs most: 4.7" in receipt["says"] and receipt["closes"].startswith("the 43 lines sum to +4.970")


@pytest.mark.slow
def test_the_rival_can_be_an_id_and_a_text_goes_before_it(lab: Lab) -> None:
    view = lab.predictions(TEXT)
    view.explaining = "direct"
    lima, sydney = (lab.tokens(word)[0].id for word in (" Lima", " Sydney"))
    view.set_state({"receipt_rival": lima})
    assert view.receipt["versus"] == "·Lima"
    view.set_state({"receipt_versus": " Sydney"})
    assert view.receipt["versus"] == "·Sydney" and sydney != lima
    view.set_state({"receipt_versus": "", "receipt_rival": 10**9})
    assert view.receipt["state"] == "error" and "the ids go from 0 to" in view.receipt["message"]


@pytest.mark.slow
@pytest.mark.parametrize("by", ["mean", "nothing"])
def test_it_can_be_measured_by_the_mean_of_all_or_by_nothing(lab: Lab, by: str) -> None:
    view = lab.predictions(TEXT)
    view.receipt_by = by
    view.explaining = "direct"
    expected = lab.receipt(TEXT, versus="mean" if by == "mean" else None).receipt.difference
    assert view.receipt["difference"] == pytest.approx(expected, abs=1e-4) and closes(view.receipt)


@pytest.mark.slow
def test_zeros_stand_in_where_no_text_is_like_it() -> None:
    view = random_lab().predictions("😀!")
    view.explain()
    assert view.receipt["kind"] == "zero" and "no texts like this one" in view.receipt["instead"]


@pytest.mark.slow
def test_what_is_no_token_is_said_and_the_lines_stay(lab: Lab) -> None:
    view = lab.predictions(TEXT)
    view.explaining = "direct"
    lines = view.receipt["lines"]
    view.receipt_versus = "two tokens"
    assert view.receipt["state"] == "error" and "must be one token" in view.receipt["message"]
    assert view.receipt["lines"] == lines
    view.receipt_versus = " Oslo"  # against itself: the likeliest other is asked about
    assert view.receipt["state"] == "done" and view.receipt["versus"] == "·Oslo" and view.receipt["token"] != "·Oslo"
    view.receipt_token = " Oslo"
    assert view.receipt["state"] == "error" and "are the same" in view.receipt["message"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zero", "usual"])
def test_of_an_edited_run_it_is_that_run_s(lab: Lab, kind: str) -> None:
    edit = zero(head=4) if kind == "zero" else usual(lab.like(TEXT).texts, head=4)
    edits: Edits = {"h.3.attn.mixed": edit}
    view = lab.predictions(TEXT, edit=edits)
    view.explaining = "total"
    logits = lab.trace(TEXT, ["logits"], edits)["logits"][0, -1].topk(2).values
    receipt = view.receipt
    assert receipt["difference"] == pytest.approx((logits[0] - logits[1]).item(), abs=1e-4) and closes(receipt)
    assert "with the changes" in receipt["where"] and receipt["code"] == ""
    found = view.explained.receipt
    silent = found.direct[found.names.index("head 3.4")].item()
    assert silent == 0 if kind == "zero" else silent != 0
    view.run = "as it is"  # another run: it is measured anew
    assert "with the changes" not in view.receipt["where"]


@pytest.mark.slow
def test_stopping_keeps_what_was_measured_and_says_what_was_not(lab: Lab) -> None:
    async def stopped() -> View:
        view = lab.predictions(TEXT)
        view.explaining = "total"
        while not any(line["total"] is not None for line in view.receipt["lines"]):
            await asyncio.sleep(0)
        view.explaining = "stopped"
        await asyncio.sleep(0.05)
        return view

    receipt = asyncio.run(stopped()).receipt
    assert receipt["state"] == "stopped" and receipt["done"] == 32 < receipt["total"]
    totals = {line["name"]: line["total"] for line in receipt["lines"]}
    assert totals["head 2.3"] is not None and totals["MLP 3"] is None


@pytest.mark.slow
def test_a_page_without_scripts_has_it_too(lab: Lab) -> None:
    view = lab.predictions(TEXT)
    assert "nats" not in view._repr_mimebundle_()[0]["text/html"]
    view.explain()
    still = view._repr_mimebundle_()[0]["text/html"]
    assert view.receipt["says"] in still and "head 3.5" in still and "smaller parts" in still


@pytest.mark.slow
def test_of_many_texts_each_line_is_a_mean_with_its_spread_as_its_code_says(lab: Lab) -> None:
    view = lab.predictions("Leo lives in Oslo. Leo lives in")
    view.query, view.receipt_over = 3, "texts"
    view.explaining = "direct"
    receipt = view.receipt
    assert receipt["state"] == "done" and receipt["texts"] == "27 like texts" and closes(receipt)
    assert all(line["over"]["total"] is None for line in receipt["lines"])
    view.explaining = "total"
    shows, receipt = view.explained, view.receipt
    names: dict[str, Any] = {"lab": lab, "bloomlab": bloomlab}
    exec(receipt["code"], names)
    several = names["found"].texts
    assert several.total.shape == (27, 43) and receipt["done"] == receipt["total"] == 37 * 27
    torch.testing.assert_close(several.direct, shows.texts.direct)
    for line in receipt["lines"]:
        part = several.names.index(line["name"])
        for kind in ("direct", "total"):
            values = getattr(several, kind)[:, part]
            told = line["over"][kind]
            if told is not None:
                assert told[:2] == pytest.approx([values.mean().item(), values.std(unbiased=False).item()], abs=1e-4)
    summed = math.fsum([*(line["over"]["direct"][0] for line in receipt["lines"]), receipt["over"]["rest"][0]])
    assert summed == pytest.approx(receipt["over"]["difference"][0], abs=1e-4)
    assert receipt["says"].startswith("27 like texts, each of its own answer: ") and " ± " in receipt["says"]
    assert " ± " in view._repr_mimebundle_()[0]["text/html"]


@pytest.mark.slow
def test_many_texts_are_read_as_they_are_and_there_must_be_some(lab: Lab) -> None:
    view = lab.predictions(TEXT, edit={"h.3.attn.mixed": zero(head=4)})
    view.receipt_over, view.explaining = "texts", "direct"
    assert view.receipt["state"] == "error" and "as they are" in view.receipt["message"] and view.receipt["lines"]
    view = random_lab().predictions("😀!")
    view.receipt_over, view.explaining = "texts", "direct"
    assert view.receipt["state"] == "error" and "names nobody" in view.receipt["message"]


@pytest.mark.slow
@pytest.mark.parametrize(("head", "at", "label"), [("language", 19, "en"), ("tags", 3, "CITY"), ("answer", 3, "end")])
def test_a_task_heads_label_has_a_receipt_here_too(lab: Lab, head: str, at: int, label: str) -> None:
    view = lab.predictions(TEXT, "Where does Leo live?")
    view.query, view.receipt_head, view.explaining = at, head, "direct"
    receipt = view.receipt
    assert (receipt["state"], receipt["token"], receipt["at"], receipt["head"]) == ("done", label, at, head)
    names: dict[str, Any] = {"lab": lab}
    exec(receipt["code"].replace("print(found)", ""), names)
    again = names["found"].receipt
    assert receipt["difference"] == pytest.approx(again.difference, abs=1e-5) and closes(receipt)
    assert receipt["lines"][0]["direct"] == pytest.approx(again.direct.abs().max().item(), abs=1e-5)
    view.receipt_token = "no label"
    assert view.receipt["state"] == "error" and "labels are" in view.receipt["message"]


@pytest.mark.slow
def test_of_an_edited_run_a_heads_receipt_is_that_runs(lab: Lab) -> None:
    view = lab.predictions(TEXT, "Where does Leo live?", edit={"h.3.mlp.out": zero(pos=3)})
    view.query = 3
    for head in ("tags", "answer"):
        view.receipt_head, view.explaining = head, "total"
        assert "with the changes" in view.receipt["where"] and closes(view.receipt)
        found = view.explained.receipt
        assert found.direct[found.names.index("MLP 3")] == 0 != found.direct[found.names.index("MLP 2")]
    view.question = ""
    assert view.receipt["state"] == "error" and "needs a question" in view.receipt["message"]


@pytest.mark.slow
def test_an_mlp_opens_into_neurons_or_what_it_would_lose(lab: Lab) -> None:
    view = lab.predictions(TEXT)
    view.receipt_versus, view.opened_mlp = " Sydney", 3
    assert view.inside == SHUT  # the receipt is closed
    view.explaining = "direct"
    table = lab.receipt(TEXT, " Oslo", " Sydney")
    for kind, expected in (("neurons", table.neurons(3)), ("without", table.without(3))):
        view.opened_as = kind
        inside = view.inside
        assert (inside["state"], inside["layer"], inside["kind"]) == ("done", 3, kind)
        first = expected.found.order[0]
        assert inside["rows"][0]["value"] == pytest.approx(expected.found.values[first].item(), abs=1e-5)
        assert inside["says"] == expected.sentence and inside["code"] in view.code
    view.opened_as = "neurons"
    rows = view.inside["rows"]
    told = math.fsum([*(row["value"] for row in rows), view.inside["rest"][1]])
    assert told == pytest.approx(table.neurons(3).found.line, abs=1e-4)
    assert view.open_mlp().found.layer == view.mlp_lines.found.layer == 3
    view.wished = {"do": "add", "number": 1, "edit": {"spot": rows[0]["spot"], "kind": "zero", "axes": rows[0]["axes"]}}
    assert view.changes == [f"mlp.post of layer 3 silent {rows[0]['name']}"]
    view.opened_mlp = 4
    assert view.inside["state"] == "error" and "from 0 to 3" in view.inside["message"]


@pytest.mark.slow
def test_of_two_runs_it_is_the_difference_of_their_receipts_and_exactly_nothing_of_one(lab: Lab) -> None:
    other = TEXT.replace("Oslo", "Lima")
    for view in (lab.explore(TEXT, edit={"h.1.attn.probs": zero(head=1)}), lab.explore(TEXT, against=other)):
        view.tab, view.run = "predictions", "difference"
        view.predictions.explaining = "direct"
        receipt, trace = view.predictions.receipt, view.trace
        oslo, rival = (
            lab.tokens(word)[0].id for word in (receipt["token"].replace("·", " "), receipt["versus"].replace("·", " "))
        )
        base = lab.trace(TEXT if trace.edit else other, ["logits"])["logits"][0, -1]
        after = lab.trace(TEXT, ["logits"], trace.edit or None)["logits"][0, -1]
        expected = (after[oslo] - after[rival]) - (base[oslo] - base[rival])
        assert receipt["difference"] == pytest.approx(expected.item(), abs=1e-4) and closes(receipt)
        assert "what if − as it is" in receipt["says"] and "changes most" in receipt["says"]
        view.run = "what if"
        assert "what if − as it is" not in view.predictions.receipt["says"]
    for same in (lab.explore(TEXT, edit={"h.1.attn.probs": scale(1)}), lab.explore(TEXT, against=TEXT)):
        same.tab, same.run = "predictions", "difference"
        same.predictions.explaining = "total"
        receipt = same.predictions.receipt
        assert receipt["difference"] == 0 and all(line["direct"] == 0 for line in receipt["lines"])
        assert receipt["says"].endswith("0 nats; no line changes.") and receipt["state"] == "done"
