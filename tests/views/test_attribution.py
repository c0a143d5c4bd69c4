"""Which tokens mattered, shown: three numbers a token, and where they part."""

import re
import sys
from types import ModuleType

import pytest
import torch

from bloomlab.lens.attribution import Attribution
from bloomlab.views.attribution import TokenAttribution
from tests.tiny_random import byte_tokenizer

STAMP = "tiny · weights 0123 · float32"


def small(text: str = "a<c", answer: str = " a", steps: int = 32, baseline: float = 1.0) -> TokenAttribution:
    tokens = tuple(byte_tokenizer().tokens_of_ids(byte_tokenizer().encode(text)))
    numbers = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, 0.3], [1.0, 3.0, -1.0]])
    numbers = numbers.repeat(1, -(-len(tokens) // 3))[:, : len(tokens)]
    return TokenAttribution(Attribution(tokens, answer, " b", "zero()", 4.0, baseline, *numbers, steps=steps), STAMP)


def test_a_terminal_shows_the_sentence_how_it_closes_and_a_line_for_each_token() -> None:
    sentence, closes, *lines = repr(small()).splitlines()
    r = torch.corrcoef(torch.tensor([[2.0, -1.0, 0.5], [1.0, 3.0, -1.0]]))[0, 1].item()
    assert sentence == (
        "zero() in the place of token 0 a takes most of the lead of ' a' over ' b' (4.000 nats): 2.000; integrated "
        f"gradients give most to token 1 <: 3.000. The two agree at r = {r:.2f} and part most at token 1 < (−1.000, "
        "3.000)."
    )
    assert closes == (
        "integrated gradients, 32 steps: they sum to 3.000, the change from zero() everywhere, but for 0.00%"
    )
    assert [line.split() for line in lines[1:]] == [
        ["0", "a", "+2.00", "+0.10", "+1.00"],
        ["1", "<", "−1.00", "+0.20", "+3.00"],
        ["2", "c", "+0.50", "+0.30", "−1.00"],
    ]


def test_what_does_not_close_is_said() -> None:
    assert "but for 50.00%; more steps would not close that" in small(baseline=2.0).closes


def test_a_page_shows_each_number_in_its_colour() -> None:
    page = small()._repr_html_()
    cells = re.findall(r"background-color:rgba\((\d+), \d+, (\d+), [^>]*>([^<]*)<", page)
    assert [cell[2] for cell in cells[:3]] == ["+2.00", "+0.10", "+1.00"] and len(cells) == 9
    assert int(cells[0][0]) > int(cells[0][1]) and int(cells[3][1]) > int(cells[3][0])
    assert STAMP in page and small()._repr_mimebundle_() == {"text/plain": repr(small()), "text/html": page}


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", "</table><script>", "القطة", "a\u202eb", "\x00"])
def test_a_text_stays_a_text(text: str) -> None:
    page = small(text, text)._repr_html_()
    assert set(re.findall(r"</?(\w+)", page)) <= set("div table thead tbody tr th td bdi span p small".split())
    assert not re.search("[\u202a-\u202e\u2066\u0000]", page) and not re.search(r"<[^>]*onerror", page)


def test_its_tensors_are_attributes_and_it_is_a_table_of_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = small()
    assert shown.left_out.tolist() == [2, -1, 0.5] and shown.integrated.tolist() == [1, 3, -1]
    assert shown.gradient is shown.found.gradient
    fake = ModuleType("pandas")
    fake.DataFrame = lambda rows: rows  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pandas", fake)
    assert shown.to_pandas()[1] == {
        "pos": 1, "token": "<", "left_out": -1.0, "gradient": pytest.approx(0.2), "integrated": 3.0
    }  # fmt: skip


def test_a_long_text_shows_its_end() -> None:
    lines = repr(small("a" * 230)).splitlines()
    assert len(lines) == 3 + 200 + 1 and lines[3].startswith("30 a") and "the first 30 tokens are left out" in lines[-1]
