"""A map of effects shows itself: every number as it is, how far it can be trusted, and text as text."""

import re
import sys
from types import ModuleType
from typing import Any

import pytest
import torch

import bloomlab
from bloomlab.errors import InputError, MissingPackageError
from bloomlab.lab import Lab
from bloomlab.lens.effect_map import Effects
from bloomlab.tiny.pairs import recaps
from bloomlab.tracing.edits import zero
from bloomlab.views.effects import EffectMap
from tests.tiny_random import byte_tokenizer, random_model

RECAP = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
SYDNEY, UNTOLD = RECAP.replace("Oslo", "Sydney"), RECAP.replace("again", "cat")


@pytest.fixture(scope="module")
def lab() -> Lab:
    return bloomlab.load()


def small(**changes: Any) -> EffectMap:
    """Two tokens by two layers, one cell of which is only estimated."""
    tokens = tuple(byte_tokenizer().tokens_of_ids(byte_tokenizer().encode("a<")))
    exact = torch.tensor([[0.0, 0.5], [torch.nan, -0.25]])
    numbers = {
        "exact": exact,
        "estimate": torch.tensor([[0.0, 0.4], [0.1, -0.05]]),
        "is_cell": torch.ones(2, 2, dtype=torch.bool),
        "ran": torch.tensor([[False, True], [False, True]]),
        "picked": torch.tensor([[False, False], [False, True]]),
    }
    words = {"axes": ("pos", "layer"), "columns": ("0", "1"), "answer": " a", "rival": " b", "estimated": "plain"}
    whole = {"what": "mlps", "mode": "needed", "instead": "zero()", "tokens": tokens, "here": 4.0, "there": 0.0}
    return EffectMap(Effects(**{**whole, **words, **numbers, **changes}), "tiny · weights 0123 · float32")


def test_a_terminal_shows_what_was_found_how_far_it_is_known_and_the_table() -> None:
    sentence, trust, head, first, second = repr(small()).splitlines()
    assert sentence == (
        "0.500 of the lead of ' a' over ' b' (4.000 nats) goes with zero() in the place of MLP 1 at token 0 a, the "
        "cell that matters most."
    )
    assert trust == (
        "the plain estimate beside 2 measured cells: r = 1.00, 2 of the largest 2 found, largest miss 0.200 at MLP 1 "
        "at token 1 <; of 1 cells picked at random 0.200; 1 of 4 cells are estimated only (~)"
    )
    assert head.split() == ["layer", "0", "layer", "1"]
    assert (first.split(), second.split()) == (["0", "a", "0", "+0.50"], ["1", "<", "~+0.10", "−0.25"])


def test_a_page_shows_each_cell_in_its_colour_and_says_more_on_hover() -> None:
    page = small()._repr_html_()
    cells = re.findall(r'<span style="([^"]*)" title="([^"]*)">([^<]*)<', page)
    assert [cell[2] for cell in cells] == ["0", "+0.50", "~+0.10", "−0.25"]
    parts = [
        [float(n) for n in re.findall(r"[\d.]+", style.partition("rgba")[2].partition(")")[0])] for style, *_ in cells
    ]
    assert parts[0] == [] and [part[3] for part in parts[1:]] == [0.6, 0.12, 0.3]  # the stronger, the more
    assert parts[1][0] > parts[1][2] and parts[3][0] < parts[3][2]  # orange takes, blue adds
    assert cells[0][1] == "MLP 0 at token 0 a: 0.000, 0.000 nats; estimated 0.000"
    assert cells[1][1] == "MLP 1 at token 0 a: 0.500, 2.000 nats; estimated 0.400"
    assert "tiny · weights 0123 · float32" in page and "&lt;" in page
    assert small()._repr_mimebundle_() == {"text/plain": repr(small()), "text/html": page}


def test_below_the_noise_a_cell_is_grey_and_an_unstable_one_is_hatched() -> None:
    page = small(
        floor=0.3, spread=torch.full((2, 2), 0.6), turned=torch.tensor([[0.6, 0.6], [0.0, 0.1]]), texts=5
    )._repr_html_()
    assert page.count("color:GrayText") == 3 and page.count("repeating-linear-gradient") == 1
    assert (
        "spread 0.600 over 5 texts" in page
        and "grey is below the noise" in page
        and "in 1 cell (?, hatched) more than 25%" in page
    )
    assert "+0.50?" in page and "60% of them with another sign" in page
    assert "texts with the same answer differ by 0.300 of it" in page
    assert small(spread=torch.zeros(2, 2), texts=5).sentence.startswith("mean of 5 texts: 0.500 of the lead")
    assert "grey" not in small()._repr_html_() and "hatched" not in small()._repr_html_()


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", "</table><script>", "القطة", "a\u202eb", "\x00"])
def test_a_text_stays_a_text(text: str) -> None:
    page = small(instead=text, answer=text)._repr_html_()
    assert set(re.findall(r"</?(\w+)", page)) <= set("div table caption thead tbody tr th td bdi span p small".split())
    assert not re.search("[\u202a-\u202e\u2066\u0000]", page) and not re.search(r"<[^>]*onerror", page)


def test_its_tensors_are_attributes_and_it_is_a_table_of_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = small()
    assert shown.exact is shown.found.exact and shown.estimate is shown.found.estimate and shown.spread is None
    assert shown.values[1, 0].item() == pytest.approx(0.1) and shown.values[0, 1] == 0.5
    fake = ModuleType("pandas")
    fake.DataFrame = lambda rows: rows  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pandas", fake)
    rows = shown.to_pandas()
    assert rows[1] == {"row": "0 a", "column": "layer 1", "exact": 0.5, "estimate": pytest.approx(0.4), "nats": 2.0}
    assert len(rows) == 4
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackageError, match="pip install pandas"):
        shown.to_pandas()


MAPS: list[tuple[dict[str, Any], str, str]] = [
    ({"what": "stream"}, "token 3 ·Oslo, embedding", "the other text (' Sydney' for ' Oslo') has in the place of"),
    ({"what": "heads"}, "head 3.4", "has in the place of"),
    ({"what": "mlps"}, "MLP 0 at token 3 ·Oslo", "has in the place of"),
    ({"what": "positions", "layer": 3, "mode": "enough"}, "head 3.5 at token 19 ·in", "alone, put into"),
    ({"what": "looks", "layer": 3, "head": 5}, "head 3.5's look from token 19 ·in at token 3 ·Oslo", "has"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "name", "words"), MAPS)
def test_the_sentence_names_the_cell_that_matters_most(
    lab: Lab, settings: dict[str, Any], name: str, words: str
) -> None:
    shown = lab.effects(RECAP, SYDNEY, **settings)
    (place,) = shown.largest()
    assert shown.name(*place) == name and name in shown.sentence and words in shown.sentence
    assert shown.values[place].abs() == shown.values.nan_to_num().abs().max()
    assert f"{shown.values[place]:.3f} of the lead of ' Oslo' over ' Sydney'" in shown.sentence


@pytest.mark.slow
def test_a_wide_map_shows_the_columns_with_effects_and_says_what_it_leaves_out(lab: Lab) -> None:
    lines = repr(lab.effects(RECAP, SYDNEY, "positions", exact=0)).splitlines()
    assert max(map(len, lines[2:])) <= 112 and "3.4" in lines[2]
    assert re.search(r"\d+ rows and \d+ columns with smaller effects are left out", lines[-1])


@pytest.mark.slow
def test_over_texts_it_is_the_mean_and_each_may_have_its_own_other(lab: Lab) -> None:
    pairs = recaps(lab.tokenizer, 3, between=" ")
    own = lab.effects(RECAP, SYDNEY, "heads", texts=pairs)
    assert own.found.texts == 4 and own.spread is not None and "what its other text has" in own.sentence
    drawn = lab.effects(RECAP, what="heads", texts=[case.text for case in pairs])
    assert drawn.found.instead == "what one of 4 texts has" and "answer over rival" in drawn.sentence
    zeros = lab.effects(RECAP, what="heads", texts=pairs, instead=zero())
    assert zeros.found.instead == "zeros" and zeros.found.there == 0


def test_an_interrupt_keeps_what_was_measured_and_leaves_the_model_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab(random_model(), byte_tokenizer(), name="random")
    texts = "Leo lives", "Ana shops"
    before = lab.trace(texts[0], ["logits"])["logits"]
    forward, passes = type(lab.model).forward, []

    def interrupted(*inputs: Any, **settings: Any) -> Any:
        passes.append(1)
        if len(passes) == stop:
            raise KeyboardInterrupt
        return forward(*inputs, **settings)

    monkeypatch.setattr(type(lab.model), "forward", interrupted)
    for stop in (1, 2, 3, 4, 5):
        passes.clear()
        if stop <= 3:  # the two texts, and the gradients
            with pytest.raises(KeyboardInterrupt):
                lab.effects(*texts)
        else:
            with pytest.warns(UserWarning, match="what was measured until then is kept"):
                shown = lab.effects(*texts)
            assert 0 <= int(shown.found.ran.sum()) < 36 and shown.values.isfinite().all()
    monkeypatch.undo()
    assert lab.trace(texts[0], ["logits"])["logits"].equal(before)
    assert torch.is_grad_enabled() and all(p.grad is None and p.requires_grad for p in lab.model.parameters())


def test_what_cannot_be_compared_is_refused(lab: Lab) -> None:
    with pytest.raises(InputError, match="exactly one"):
        lab.effects(RECAP, SYDNEY, instead=zero())
    with pytest.raises(InputError, match="names nobody and nothing"):
        lab.effects("7 + 5 =")
    with pytest.raises(InputError, match="the other text is empty"):
        lab.effects(RECAP, "")
