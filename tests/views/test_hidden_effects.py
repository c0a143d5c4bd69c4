"""Where the answer is carried, in the hidden states panel: the same map as lab.effects."""

import asyncio
from typing import Any

import pytest
import torch

import bloomlab
from bloomlab.errors import InputError
from bloomlab.lab import Lab
from bloomlab.tracing.edits import zero
from bloomlab.views.hidden.effects import NOWHERE
from bloomlab.views.view import View
from tests.tasks.task_heads import random_lab

TEXT = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
OTHER = TEXT.replace("Oslo", "Sydney")


@pytest.fixture(scope="module")
def lab() -> Lab:
    return bloomlab.load()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["stream", "mlps", "heads", "positions", "looks"])
def test_the_map_and_its_code_are_those_of_the_lab(lab: Lab, what: str) -> None:
    view = lab.hidden_states("Leo lives in Oslo. Leo lives in")
    view.layer, view.head, view.map_what = 3, 4, what
    assert view.effects == NOWHERE
    shows = view.map_effects()
    found = view.effects
    assert found["state"] == "done" and found["done"] == found["total"] and view.mapping == "open"
    names: dict[str, Any] = {"lab": lab, "bloomlab": bloomlab}
    exec(found["code"].replace("print(", "again = (", 1), names)
    again = names["again"]
    assert torch.equal(again.exact.nan_to_num(9), shows.exact.nan_to_num(9)) and found["code"] in view.code
    cells = [float("nan") if value is None else value for value in found["values"]]
    assert torch.equal(torch.tensor(cells).nan_to_num(9), again.values.flatten().nan_to_num(9))
    assert (found["rows"], found["columns"]) == (again.rows, again.columns)
    assert (found["says"], found["trust"]) == (again.sentence, again.trust)
    row, column = found["largest"]
    assert abs(found["values"][row * len(found["columns"]) + column]) == again.values.abs().nan_to_num(0).max()


@pytest.mark.slow
def test_while_it_is_open_another_question_or_text_is_measured(lab: Lab) -> None:
    view = lab.hidden_states(TEXT)
    view.mapping = "open"
    assert view.effects["kind"] == "drawn"
    view.map_other = OTHER
    assert view.effects["kind"] == "" and "has in the place of token 3" in view.effects["says"]
    view.map_mode = "enough"
    assert "alone, put into" in view.effects["says"]
    says = view.effects["says"]
    view.map_other = "short"
    assert view.effects["state"] == "error" and "as many tokens" in view.effects["message"]
    assert view.effects["says"] == says  # the last good map stays
    view.map_mode, view.map_other, view.map_instead = "needed", "", "zero"
    assert view.effects["kind"] == "zero" and view.effects["state"] == "done"
    view.mapping = "closed"
    view.show("Leo lives in")
    assert view.effects == NOWHERE


@pytest.mark.slow
def test_stopping_keeps_the_estimate_and_what_was_measured(lab: Lab) -> None:
    async def stopped() -> View:
        view = lab.hidden_states(TEXT)
        view.map_what = "positions"
        view.mapping = "open"
        while not any(view.effects["measured"]):
            await asyncio.sleep(0)
        view.mapping = "stopped"
        await asyncio.sleep(0.05)
        return view

    found = asyncio.run(stopped()).effects
    assert found["state"] == "stopped" and found["done"] < found["total"]
    rough = [value for value, measured in zip(found["values"], found["measured"], strict=True) if not measured]
    assert rough and None not in rough and "estimated only (~)" in found["trust"]


@pytest.mark.slow
def test_an_edited_run_and_an_unknown_text_say_what_is_done(lab: Lab) -> None:
    view = lab.hidden_states("Leo lives in", edit={"embed": zero(pos=0)})
    with pytest.raises(InputError, match="as it is"):
        view.map_effects()
    unknown = random_lab().hidden_states("xyz xyz")
    unknown.mapping = "open"
    assert unknown.effects["kind"] == "zero" and unknown.effects["state"] == "done"


@pytest.mark.slow
def test_a_page_without_scripts_has_it_too(lab: Lab) -> None:
    view = lab.hidden_states("Leo lives in Oslo. Leo lives in")
    view.map_effects()
    still = view._repr_mimebundle_()[0]["text/html"]
    assert "The largest of" in still and "the cell that matters most" in still


@pytest.mark.slow
def test_of_many_texts_it_is_the_mean_of_their_maps_as_its_code_says(lab: Lab) -> None:
    whole = lab.explore(TEXT, texts=lab.like(TEXT, 6, answer=" Oslo", rival=" Sydney"))
    whole.tab, view = "hidden", whole.hidden
    view.map_what, view.map_answer, view.map_over = "heads", " Oslo", "texts"
    shows = view.map_effects()
    found = view.effects
    names: dict[str, Any] = {"lab": lab, "bloomlab": bloomlab}
    exec(found["code"].replace("print(", "again = (", 1), names)
    again = names["again"]
    assert found["texts"] == again.found.texts == 7 and torch.equal(again.exact, shows.exact)
    assert torch.tensor(found["spread"]).view(8, 4).equal(again.spread)
    assert torch.tensor(found["unstable"]).view(8, 4).equal(again.found.unstable) and any(found["unstable"])
    assert found["says"].startswith("mean of 7 texts: ") and "of the texts have another sign" in found["trust"]
    assert again.found.turned.flatten().tolist() == found["turned"]
    assert ">spread<" in whole._repr_mimebundle_()[0]["text/html"]


@pytest.mark.slow
def test_answer_and_rival_can_be_named_and_those_that_are_likely_are_offered(lab: Lab) -> None:
    view = lab.hidden_states(TEXT)
    view.map_what, view.map_rival = "heads", " Lima"
    view.map_effects()
    found = view.effects
    assert (found["answer"], found["rival"]) == (" Oslo", " Lima") and found["offers"][0] == " Oslo"
    assert all(len(lab.tokens(offer)) == 1 for offer in found["offers"]) and "rival=' Lima'" in found["code"]
    view.map_rival = "two tokens"
    view.mapping = "open"
    assert view.effects["state"] == "error" and "must be one token" in view.effects["message"]


@pytest.mark.slow
def test_a_cell_becomes_a_copy_from_the_other_text_though_nobody_has_read_it(lab: Lab) -> None:
    view = lab.hidden_states(TEXT)
    edit = {"spot": "h.0.resid_post", "kind": "copied", "axes": {"pos": [3]}}
    view.wished = {"do": "add", "edit": edit, "donor": OTHER, "number": 1}
    assert view.changes == [f"resid_post of layer 0 copied at 3 from “{OTHER[:24].rstrip()}…”"]
    exact = lab.effects(TEXT, OTHER, exact=40).exact[3, 1].item()
    oslo, sydney = (lab.tokens(word)[0].id for word in (" Oslo", " Sydney"))
    runs = (TEXT, view.edits), (TEXT, None), (OTHER, None)
    logits = [lab.trace(text, ["logits"], edits)["logits"][0, -1] for text, edits in runs]
    lead = [(row[oslo] - row[sydney]).item() for row in logits]
    assert exact == pytest.approx((lead[1] - lead[0]) / (lead[1] - lead[2]), abs=1e-3)
    view.wished = {"do": "add", "edit": edit, "donor": "", "number": 2}
    assert view.state == "error" and len(view.changes) == 1


@pytest.mark.slow
def test_texts_that_were_given_are_drawn_from_and_stand_in_the_code(lab: Lab) -> None:
    texts = [TEXT.replace("Oslo", city) for city in ("Lima", "Paris", "Tokyo")]
    view = lab.explore(TEXT, texts=texts)
    view.tab = "hidden"
    view.hidden.map_what = "heads"
    for over in ("this text", "texts"):
        view.hidden.map_over = over
        shows = view.hidden.map_effects()
        assert "what one of 3 given texts has" in view.hidden.effects["says"]
        names: dict[str, Any] = {"lab": lab, "bloomlab": bloomlab}
        exec(view.hidden.effects["code"].replace("print(", "again = (", 1), names)
        assert torch.equal(names["again"].exact, shows.exact)
