"""One's own attention in the view, checked row by row and never taken for the model's; and several looks together."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bloomlab
from bloomlab.errors import InputError

LAB = bloomlab.load()
TEXT = "Leo lives in Oslo."
TOKENS = len(LAB.tokens(TEXT))


def own(layers: int = 2, heads: int = 3, seed: int = 0) -> torch.Tensor:
    scores = torch.randn(layers, heads, TOKENS, TOKENS, generator=torch.Generator().manual_seed(seed))
    return scores.masked_fill(torch.ones(TOKENS, TOKENS).triu(1).bool(), -torch.inf).softmax(-1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [torch.Tensor.clone, torch.Tensor.numpy, torch.Tensor.half, torch.Tensor.tolist])
def test_a_pattern_of_ones_own_is_shown_as_it_is_and_said_not_to_be_the_model_s(kind: Any, tmp_path: Path) -> None:
    probs = own()
    view = LAB.attention(TEXT, probs=kind(probs))
    assert view.trace is not None
    assert np.frombuffer(view.probs, np.float32).size == 3 * TOKENS * (TOKENS + 1) // 2 and not view.scores
    torch.testing.assert_close(view.trace["h.1.attn.probs"][0], probs[1], atol=1e-3, rtol=0)
    assert (view.picture["layers"], view.picture["heads"], view.picture["given"]) == (2, 3, True)
    stamp = "your own attention, 2 layers × 3 heads, not the model's; tokens as tiny reads them"
    assert view.picture["stamp"] == stamp and stamp in repr(view) and stamp.replace("'", "&#x27;") in view._still()
    view.layer, view.head, view.pattern = 1, 2, "rollout"
    for ending in ("html", "png", "svg"):
        assert view.save(tmp_path / f"own.{ending}").stat().st_size > 1000
    names = {"probs": probs}
    exec(view.code, names)
    before = view._still()
    view.typed = {"text": "Another text.", "number": 1}  # of which there is no such pattern
    assert "of one text; for another, pass both anew" in view.message and view._still() == before


BAD = {
    "no tensor": ("x", "must be a tensor or an array .* but got str"),
    "three axes": (own()[0], r"must be \(layer, head, query, key\) .* 5 tokens .* got the shape \(3, 5, 5\)"),
    "another text": (own()[..., :4, :4], r"got the shape \(2, 3, 4, 4\)"),
    "not square": (own()[..., :4], r"got the shape \(2, 3, 5, 4\)"),
    "empty": (own()[:0], r"got the shape \(0, 3, 5, 5\)"),
    "sums to 2": (2 * own(), "that of layer 0, head 0, query 0 sums to 2"),
    "looks ahead": (torch.full((1, 1, TOKENS, TOKENS), 1 / TOKENS), "query 0 gives key 1 0.2; mask it"),
    "below 0": (own().index_put(tuple(map(torch.tensor, (1, 2, 4, 0))), torch.tensor(-0.5)),
                r"attention is 0 or more, but layer 1, head 2, query 4, key 0 has -0\.5"),
    "NaN": (own() * torch.nan, "attention is 0 or more, but layer 0, head 0, query 0, key 0 has nan"),
    "complex": (own() + 1j, "must be a tensor or an array"),
    "too few in a row": (own() * torch.tensor([1, 1, 1, 0.5, 1])[:, None], "layer 0, head 0, query 3 sums to 0.5"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("bad", BAD)
def test_what_is_no_attention_is_refused_with_the_row_that_is_none(bad: str) -> None:
    probs, message = BAD[bad]
    with pytest.raises(InputError, match=message) as caught:
        LAB.attention(TEXT, probs=probs)
    assert len(str(caught.value)) < 400


def test_several_looks_are_summed_by_the_code_and_a_single_one_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    view = LAB.attention(TEXT)
    whole = view.code
    view.query, view.key, view.to_query, view.to_key = 4, 2, 2, 0
    assert view.trace is not None
    expected = view.trace["h.0.attn.probs"][0, 0, 2:5, 0:3].sum()
    assert view.code == whole.replace("[4, 3]", "[4, 2]").replace("key=3", "key=2") + (
        'print(patterns["head"][2:5, 0:3].sum())  # together, of 3\n'
    )
    view.layer = view.head = 0
    exec(view.code, {})
    assert str(expected) == capsys.readouterr().out.strip().split("\n")[-1]
    view.to_query, view.to_key = 4, 2
    assert "together" not in view.code
    view.to_query = 99  # of a longer text
    assert "together" not in view.code
    view = LAB.attention(TEXT, probs=own())
    view.to_query, view.to_key = 1, 0
    assert view.code.endswith("print(probs[0, 0][1:5, 0:4].sum())  # together, of 4\n")
