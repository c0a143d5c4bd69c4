"""A text that is too long is refused by its length: no door cuts it into tokens first."""

from collections.abc import Callable
from typing import Any

import pytest

from bloomlab.errors import InputError
from bloomlab.hooks import NamedEdit
from bloomlab.lab import Lab
from bloomlab.lens.cases import Case
from bloomlab.notebook.line_parser import parse
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tracing.donors import copied, drawn, steer, usual
from bloomlab.tracing.edits import scale, zero
from tests.tiny_random import byte_tokenizer, random_model

TEXT, LONG = "Leo lives", "Leo lives in Oslo. " * 20_000
EDIT = {"h.0.attn.mixed": zero(head=1)}


def a_lab() -> Lab:
    return Lab(random_model(n_layer=2), byte_tokenizer(), name="small")


FROM_TEXTS: dict[str, Callable[[str], NamedEdit]] = {  # edits that read texts of their own
    "usual": lambda text: usual([TEXT, text]),
    "drawn": lambda text: drawn([TEXT, text]),
    "copied": copied,
    "steer": lambda text: steer([TEXT], [text]),
}
DOORS: dict[str, Callable[[Lab, str], Any]] = {
    "tokens": lambda lab, text: lab.tokens(text),
    "trace": lambda lab, text: lab.trace(text),
    "a second text of trace": lambda lab, text: lab.trace([TEXT, text]),
    "generate": lambda lab, text: lab.generate(text, max_new_tokens=1),
    "stream": lambda lab, text: list(lab.stream(text, 1)),
    "explore": lambda lab, text: lab.explore(text),
    "against": lambda lab, text: lab.attention(TEXT, against=text),
    "explore's texts": lambda lab, text: lab.explore(TEXT, texts=[text]),
    "hidden_states": lambda lab, text: lab.hidden_states(text),
    "alibi": lambda lab, text: lab.alibi(text),
    "alibi's texts": lambda lab, text: lab.alibi(TEXT, texts=[text]),
    "predictions": lambda lab, text: lab.predictions(text),
    "write": lambda lab, text: lab.write(text),
    "lens": lambda lab, text: lab.lens(text),
    "ablate": lambda lab, text: lab.ablate(text, "h.0.attn.mixed", head=1),
    "receipt": lambda lab, text: lab.receipt(text),
    "receipt's token": lambda lab, text: lab.receipt(TEXT, token=text),
    "effects": lambda lab, text: lab.effects(TEXT, text),
    "attribution": lambda lab, text: lab.attribution(text),
    "attribution's answer": lambda lab, text: lab.attribution(TEXT, text),
    "refute": lambda lab, text: lab.refute(text, EDIT, n=1),
    "refute's texts": lambda lab, text: lab.refute(TEXT, EDIT, texts=[text], n=1),
    "keep": lambda lab, text: lab.keep(text, ["1.1"], n=1),
    "a direction's text": lambda lab, text: lab.direction([text], [TEXT], "h.0.resid_post", TEXT, n=1),
    "finding": lambda lab, text: lab.finding("so", text, {"embed": scale(0.5)}, n=1),
    "classify": lambda lab, text: lab.classify(text),
    "a view's show": lambda lab, text: lab.attention(TEXT).show(text),
    "trace's edit": lambda lab, text: lab.trace(TEXT, edit={"h.0.resid_post": [zero(pos=1), usual([text])]}),
    "explore's edit": lambda lab, text: lab.explore(TEXT, edit={"h.0.resid_post": copied(text)}),
    "write's edit": lambda lab, text: lab.write(TEXT, edit={"h.0.resid_post": steer([text], [TEXT])}),
    "refute's edit": lambda lab, text: lab.refute(TEXT, {"h.0.resid_post": copied(text)}, n=1),
    "effects' instead": lambda lab, text: lab.effects(TEXT, instead=drawn([text])),
    "effects' other text of a case": lambda lab, text: lab.effects(TEXT, TEXT[::-1], texts=[Case(TEXT, text)]),
    "receipt's instead": lambda lab, text: lab.receipt(TEXT, instead=usual([text])),
    "attribution's instead": lambda lab, text: lab.attribution(TEXT, instead=drawn([text])),
    "keep's instead": lambda lab, text: lab.keep(TEXT, ["1.1"], n=1, instead=usual([text])),
    "like's other": lambda lab, text: lab.like(TEXT, 1, other=text),
    "like's answer": lambda lab, text: lab.like(TEXT, 1, answer=text),
    "cases' template": lambda lab, text: lab.cases(f"{{name}} {text}", n=1, name=["Leo"]),
    "cases' words": lambda lab, text: lab.cases("{name} lives", n=1, name=[text]),
    "cases' other": lambda lab, text: lab.cases("{name} lives", n=1, name=["Leo"], other=text),
    "%bloom": lambda lab, text: parse(f"tokens {text}").run(lab),
    "%%bloom": lambda lab, text: parse("explore", text).run(lab),
}


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of all texts that are cut into tokens."""
    lengths: list[int] = []
    whole = BloomTokenizerFast.encode

    def encode(tokenizer: Any, text: Any, *rest: Any, **named: Any) -> Any:
        lengths.append(len(text))
        return whole(tokenizer, text, *rest, **named)

    monkeypatch.setattr(BloomTokenizerFast, "encode", encode)
    return lengths


@pytest.mark.parametrize("door", DOORS)
def test_no_door_cuts_a_text_without_end_into_tokens(cut: list[int], door: str) -> None:
    lab = a_lab()
    lab.heads._shipped["language"] = lambda: random_model()
    with pytest.raises(InputError, match="token") as said:
        DOORS[door](lab, LONG)
    assert len(str(said.value)) <= 400
    assert max(cut, default=0) < 100, "it was cut into tokens"


@pytest.mark.parametrize("kind", FROM_TEXTS)
def test_a_text_that_an_edit_reads_is_as_long_as_others_at_most(cut: list[int], kind: str) -> None:
    lab = a_lab()
    with pytest.raises(InputError, match="this lab takes at most 2048"):
        lab.trace(TEXT, edit={"h.0.resid_post": FROM_TEXTS[kind](LONG)})
    assert max(cut, default=0) < 100


def test_a_question_without_end_is_not_cut_into_tokens(cut: list[int]) -> None:
    from bloomlab.views.predictions.payload import answer_values

    lab = a_lab()
    said = answer_values(lab.trace(TEXT), lab.tokenizer, random_model(), LONG)
    assert "the question has at least" in said["trouble"] and max(cut) < 100


def test_a_text_typed_into_a_page_is_not_cut_into_tokens(cut: list[int]) -> None:
    view = a_lab().attention(TEXT)
    view.typed = {"text": LONG, "number": 1}
    view._read_typed()
    assert view.state == "error" and "this lab takes at most" in view.message and view.text == TEXT
    assert max(cut) < 100
