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


def test_an_edited_run_and_an_unknown_text_say_what_is_done(lab: Lab) -> None:
    view = lab.hidden_states("Leo lives in", edit={"embed": zero(pos=0)})
    with pytest.raises(InputError, match="as it is"):
        view.map_effects()
    unknown = random_lab().hidden_states("xyz xyz")
    unknown.mapping = "open"
    assert unknown.effects["kind"] == "zero" and unknown.effects["state"] == "done"


def test_a_page_without_scripts_has_it_too(lab: Lab) -> None:
    view = lab.hidden_states("Leo lives in Oslo. Leo lives in")
    view.map_effects()
    still = view._repr_mimebundle_()[0]["text/html"]
    assert "The largest of" in still and "the cell that matters most" in still
