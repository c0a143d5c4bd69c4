"""A view as a page that computes by itself: what is in the file, and what is refused in words."""

import json
import re
from pathlib import Path

import pytest
import torch

from bloomlab import load
from bloomlab.errors import InputError
from bloomlab.lab import Lab
from bloomlab.tracing.donors import copied, hold
from bloomlab.tracing.edits import add, cut, scale, zero
from bloomlab.views.live import live_given, wish_of
from bloomlab.views.page_model import page_model
from tests.tasks.task_heads import random_lab

TEXT = "Leo </script><script>lives."
LARGEST = 6_000_000  # bytes of a page


@pytest.fixture(scope="module")
def lab() -> Lab:
    return load()


@pytest.mark.slow
def test_the_page_is_one_small_file_that_loads_nothing(lab: Lab, tmp_path: Path) -> None:
    text = lab.attention(TEXT).save(tmp_path / "page.html", live=True).read_text(encoding="utf-8")
    assert len(text.encode()) < LARGEST
    assert not re.findall(r"https?://(?!www\.w3\.org/)", text)
    assert "eval(" not in text and "Function(" not in text
    policy = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy == [
        "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval'; style-src 'unsafe-inline'; "
        "img-src data: blob:; worker-src blob:"
    ]
    assert "<script>lives" not in text
    given = json.loads(re.findall(r'id="given">(.*?)</script>', text)[0])
    assert given["state"]["typed"]["text"] == TEXT and given["model"]["hash"] in lab.attention(TEXT).picture["stamp"]


@pytest.mark.slow
def test_the_weights_are_halves_where_that_loses_nothing(lab: Lab) -> None:
    small = random_lab()
    assert len(page_model(lab)["weights"]) < 3.3e6
    with torch.no_grad():
        small.model.transformer.ln_f.bias += 1e-6  # no half has this
    weights = page_model(small)["weights"]
    numbers = sum(parameter.numel() for parameter in small.model.parameters())
    assert len(weights) > 4 * numbers


def test_a_model_that_is_too_large_for_a_page_is_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bloomlab.views.page_model.LARGEST", 1_000_000)
    with pytest.raises(InputError, match="a live page holds a model of at most 1 MB, but this one has 2 MB"):
        page_model(lab)


@pytest.mark.slow
def test_what_a_page_cannot_do_is_refused_before_the_file_is_written(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    mine = {"embed": lambda x, at: x * 1}
    cases = [
        (lab.explore("Leo lives", edit=mine), "a live page cannot make the edit"),
        (lab.explore("Leo lives", against=load()), "holds one model, so it compares texts only"),
        (lab.explore("Leo lives", edit={"embed": zero(pos=slice(0, 1))}), "one by one, or all from one on"),
        (lab.explore("Leo lives", edit={"embed": add(torch.ones(128))}), "a live page cannot make the edit"),
        (lab.write("Leo lives", do_sample=True, min_p=0.1).view, "a live page writes with .* not with min_p"),
        (lab.write("Leo lives", edit={"embed": zero(pos=1)}).view, "a live page of a writing has no edits"),
    ]
    for view, words in cases:
        with pytest.raises(InputError, match=words):
            view.save(path, live=True)
    with pytest.raises(InputError, match=r"a live page is saved as .html"):
        lab.explore("Leo lives").save(tmp_path / "page.png", live=True)
    view = lab.explore("Leo lives")
    assert view.trace is not None
    view.trace.lab = None
    with pytest.raises(InputError, match="needs the model that has read the text"):
        view.save(path, live=True)
    assert not path.exists()


@pytest.mark.slow
def test_edits_are_wished_for_as_a_page_would(lab: Lab) -> None:
    edit = {
        "h.0.attn.mixed": [zero(head=1, query=[1, 2]), hold(head=2)],
        "attn.alibi": scale(2.0),
        "h.1.attn.biased": cut(query=2, key=1),
        "h.1.resid_post": copied("Ana lives", columns=1, pos=2),
    }
    assert [wish_of(spot, one) for spot, one in lab.explore("Leo lives in", edit=edit)._edits.entries] == [
        {"spot": "h.0.attn.mixed", "kind": "zero", "axes": {"head": [1], "query": [1, 2]}},
        {"spot": "h.0.attn.mixed", "kind": "hold", "axes": {"head": [2]}},
        {"spot": "attn.alibi", "kind": "scale", "axes": {}, "number": 2.0},
        {"spot": "h.1.attn.biased", "kind": "cut", "axes": {"query": [2], "key": [1]}},
        {"spot": "h.1.resid_post", "kind": "copied", "axes": {"pos": [2]}, "text": "Ana lives", "columns": [1]},
    ]


def test_a_page_may_set_what_the_view_lets_it_set(lab: Lab) -> None:
    view = lab.attention("Leo lives")
    sets = live_given(view)["sets"]
    assert sets.keys() == set(view.page_sets())
    assert sets["mode"] == {"values": ["probability", "content", "position", "both"]}
    assert sets["layer"] == {"kind": "whole"}
