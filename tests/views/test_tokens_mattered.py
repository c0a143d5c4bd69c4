"""Which tokens mattered, in the tokens panel: the three answers of lab.attribution, side by side."""

import asyncio
from typing import Any

import pytest

import bloomlab
from bloomlab.errors import InputError
from bloomlab.lab import Lab
from bloomlab.tracing.edits import zero
from bloomlab.views.tokens.mattered import NOBODY
from bloomlab.views.view import View
from tests.tiny_random import byte_tokenizer
from tests.views.lone import tokens_view
from tests.views.small_trace import small_trace

TEXT = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"


@pytest.fixture(scope="module")
def lab() -> Lab:
    return bloomlab.load()


@pytest.mark.slow
def test_the_three_answers_are_those_of_the_lab(lab: Lab) -> None:
    view = lab.tokens(TEXT).view
    assert view.mattered == NOBODY
    view.mattered_rival = " Lima"
    assert view.mattered == NOBODY  # it was not opened
    found = view.weigh_tokens()
    mattered, expected = view.mattered, lab.attribution(TEXT, rival=" Lima")
    assert mattered["state"] == "done" and mattered["done"] == mattered["total"] and view.attributing == "open"
    for name in ("left_out", "gradient", "integrated"):
        assert mattered[name] == pytest.approx(getattr(expected, name).tolist(), abs=1e-5)
        assert getattr(found, name).tolist() == mattered[name]
    assert mattered["says"] == expected.sentence and mattered["closes"] == expected.closes
    assert sum(mattered["integrated"]) == pytest.approx(found.difference - found.baseline, rel=0.005)
    names: dict[str, Any] = {"lab": lab}
    exec(mattered["code"].replace("print(", "again = (", 1), names)
    assert mattered["code"] in view.code and names["again"].left_out.tolist() == pytest.approx(mattered["left_out"])


@pytest.mark.slow
def test_while_it_is_open_it_is_measured_of_each_text_and_pair(lab: Lab) -> None:
    view = lab.tokens("Leo lives in").view
    view.attributing = "open"
    first = view.mattered
    view.mattered_rival = " a"
    assert view.mattered["state"] == "done" and view.mattered["difference"] != first["difference"]
    view.mattered_rival = "two tokens"
    assert view.mattered["state"] == "error" and "must be one token" in view.mattered["message"]
    view.mattered_rival = ""
    assert view.mattered["left_out"] == first["left_out"]
    view.show("Leo has")
    assert view.mattered["state"] == "done" and len(view.mattered["left_out"]) == 2
    view.attributing = "closed"
    view.show("Leo")
    assert view.mattered == NOBODY


@pytest.mark.slow
def test_stopping_keeps_what_was_measured(lab: Lab) -> None:
    async def stopped() -> View:
        view = lab.tokens(TEXT * 3).view
        view.attributing = "open"
        while not view.mattered["left_out"]:
            await asyncio.sleep(0)
        view.attributing = "stopped"
        await asyncio.sleep(0.05)
        return view

    mattered = asyncio.run(stopped()).mattered
    assert mattered["state"] == "stopped" and mattered["done"] < mattered["total"]
    assert mattered["left_out"][0] is not None and mattered["integrated"][0] is None and mattered["says"] == ""


@pytest.mark.slow
def test_the_comparison_of_languages_goes_its_own_way(lab: Lab) -> None:
    view = lab.tokens("Leo lives in").view
    view.attributing = "open"
    mattered = view.mattered
    view.compare()
    assert view.comparison["state"] == "done" and view.mattered == mattered and view.weights is not view.costs


@pytest.mark.slow
def test_an_edited_run_and_a_view_without_a_model_say_what_to_do(lab: Lab) -> None:
    view = lab.explore("Leo lives in", edit={"embed": zero(pos=0)})
    view.tab = "tokens"
    with pytest.raises(InputError, match="as it is"):
        view.tokens.weigh_tokens()
    view.run = "as it is"
    assert view.tokens.weigh_tokens().left_out.shape == (3,)
    alone = tokens_view(small_trace, byte_tokenizer(), "Leo")
    alone.attributing = "open"
    assert alone.mattered["state"] == "error" and "without a model" in alone.mattered["message"]


@pytest.mark.slow
def test_where_nothing_takes_from_the_lead_the_sentence_says_so(lab: Lab) -> None:
    found = lab.attribution("Leo has a")
    assert found.left_out.max() < 0 and "takes nothing from the lead" in found.sentence


@pytest.mark.slow
def test_a_page_without_scripts_has_it_too(lab: Lab) -> None:
    view = lab.tokens("Leo lives in").view
    view.weigh_tokens()
    still = view._repr_mimebundle_()[0]["text/html"]
    assert "gradient × input" in still and view.mattered["closes"] in still


@pytest.mark.slow
def test_of_many_texts_the_three_answers_are_means_as_its_code_says(lab: Lab) -> None:
    text = "Leo lives in Oslo. Leo lives in"
    view = lab.tokens(text).view
    view.mattered_over, view.mattered_instead, view.mattered_answer = "texts", "drawn", " Oslo"
    found = view.weigh_tokens()
    mattered = view.mattered
    assert mattered["state"] == "done" and mattered["texts"] == "this text and 27 like texts"
    names: dict[str, Any] = {"lab": lab, "bloomlab": bloomlab}
    exec(mattered["code"].replace("print(", "again = (", 1), names)
    again = names["again"]
    assert len(again.texts.found) == 28 and again.texts.difference.equal(found.difference)
    alone = lab.attribution(text, " Oslo", instead=bloomlab.drawn(lab.like(text).texts))
    for name in ("left_out", "gradient", "integrated"):
        several = again.texts.of(name)
        assert several[0].tolist() == pytest.approx(getattr(alone, name).tolist(), abs=1e-4)
        assert mattered[name] == pytest.approx(several.mean(0).tolist(), abs=1e-4)
        assert mattered["spread"][name] == pytest.approx(several.std(0, unbiased=False).tolist(), abs=1e-4)
    assert mattered["says"].startswith("mean of 28 texts: what one of 27 like texts has in the place of token ")
    assert " ± " in repr(again) and " ± " in view._repr_mimebundle_()[0]["text/html"]


@pytest.mark.slow
def test_what_stands_in_a_tokens_place_can_be_drawn(lab: Lab) -> None:
    view = lab.tokens("Leo lives in").view
    view.mattered_instead = "drawn"
    view.weigh_tokens()
    expected = lab.attribution("Leo lives in", instead=bloomlab.drawn(lab.like("Leo lives in").texts))
    assert view.mattered["left_out"] == pytest.approx(expected.left_out.tolist(), abs=1e-5)
    assert view.mattered["kind"] == "drawn" and "what one of" in view.mattered["says"]
