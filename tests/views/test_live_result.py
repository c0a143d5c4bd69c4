"""A result has a live view, in which a page has measured the same."""

import pytest

import bloomlab
from bloomlab.errors import InputError
from bloomlab.lab import Lab
from bloomlab.tracing.donors import usual
from bloomlab.tracing.edits import zero
from bloomlab.views.live_result import LiveResult

TEXT = "Leo lives in Oslo. Leo lives in"


@pytest.fixture(scope="module")
def lab() -> Lab:
    return bloomlab.load()


@pytest.mark.slow
def test_a_receipt_is_measured_in_its_view(lab: Lab) -> None:
    table = lab.receipt(TEXT, " Oslo", " Lima", position=-1, texts=lab.like(TEXT, 3), instead=zero())
    receipt = table.view.predictions.receipt
    assert table.view is table.view and table.view.tab == "predictions"
    assert (receipt["token"], receipt["versus"], receipt["kind"]) == ("·Oslo", "·Lima", "zero")
    assert receipt["difference"] == pytest.approx(table.receipt.difference, abs=1e-5)
    totals = {line["name"]: line["total"] for line in receipt["lines"] if line["total"] is not None}
    assert table.total is not None and table.texts is not None and receipt["texts"] == "3 given texts"
    assert totals == pytest.approx({name: table.total[table.names.index(name)].item() for name in totals}, abs=1e-4)
    tag = lab.receipt("Leo lives in Oslo.", "CITY", position=3, head="tags")
    assert tag.view.predictions.receipt["difference"] == pytest.approx(tag.receipt.difference, abs=1e-5)
    assert tag.direct is tag.receipt.direct and tag.adapted is tag.receipt.adapted


@pytest.mark.slow
def test_a_map_and_the_weights_of_tokens_are_measured_in_theirs(lab: Lab) -> None:
    shown = lab.effects(TEXT, "Leo lives in Lima. Leo lives in", "looks", layer=3, head=4, rival=" Lima")
    found = shown.view.hidden.effects
    cells = [float("nan") if value is None else value for value in found["values"]]
    assert cells == pytest.approx(shown.values.flatten().tolist(), abs=1e-5, nan_ok=True)
    assert found["says"] == shown.sentence
    weights = lab.attribution(TEXT, rival=" Lima", texts=lab.like(TEXT, 2))
    mattered = weights.view.tokens.mattered
    assert mattered["left_out"] == pytest.approx(weights.left_out.tolist(), abs=1e-5)
    assert mattered["says"] == weights.sentence


@pytest.mark.slow
def test_what_a_page_cannot_ask_for_is_said(lab: Lab) -> None:
    with pytest.raises(InputError, match="compares two"):
        _ = lab.receipt(TEXT, versus=[" Lima", " Paris"]).view
    with pytest.raises(InputError, match="a page cannot put usual"):
        _ = lab.effects(TEXT, what="heads", exact=1, instead=usual(lab.like(TEXT, 3).texts)).view
    with pytest.raises(InputError, match="no lab made this"):
        _ = LiveResult().view
