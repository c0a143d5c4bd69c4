"""Texts that would like to be code: what `.code` and `--code` show, and what a line of `%bloom` gives to its verb."""

import ast
import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from bloomlab.lab import Lab
from bloomlab.notebook.line_parser import parse
from bloomlab.notebook.magics import as_typed
from bloomlab.tracing.edits import patch, scale
from bloomlab.views.alibi import payload as alibi
from bloomlab.views.attention import payload as attention
from bloomlab.views.hidden import payload as hidden
from bloomlab.views.predictions import payload as predictions
from bloomlab.views.shared.code import NAMED_EDITS, code_parts, edit_in_python, quoted
from bloomlab.views.tokens import payload as tokens
from tests.hostile.mutations import ENDS, text_like_code
from tests.tiny_random import byte_tokenizer, random_model

TEMPLATES = [alibi.CODE, attention.CODE, hidden.CODE, predictions.CODE, tokens.CODE]
CALLS = {"print", "zip", "display_tokens", "tuple", "sum", "len"}


def texts(count: int) -> Iterator[str]:
    """Made-up texts of such pieces; always the same."""
    for number in range(count):
        yield text_like_code(random.Random(f"text {number}"))


def strings(code: str) -> list[str]:
    return [
        node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant) and type(node.value) is str
    ]


def lines_that_ipython_changes(code: str) -> list[str]:
    made = TransformerManager().transform_cell(code)
    return [] if made == code or made == f"{code}\n" else [made]


def trace_of(text: str, edits: dict[str, str]) -> Any:
    return SimpleNamespace(
        text=text, provenance={"model": text, "edits": edits}, config=SimpleNamespace(n_layer=2, n_head=2)
    )


@pytest.mark.slow
def test_code_holds_exactly_the_texts_it_was_given() -> None:
    for text in texts(600):
        edits = {"embed": f"scale(0.5, pos={text!r})", text: "scale(2)"}
        for template in TEMPLATES:
            parts = code_parts(template, trace_of(text, edits))
            code = "".join("0" if place % 2 else part for place, part in enumerate(parts))
            assert strings(code).count(text) == (2 if "lab.tokens(" in template else 4), code
            assert lines_that_ipython_changes(code) == [], text


def test_a_question_is_the_same_in_code_and_in_the_text() -> None:
    for text in [*texts(600), "\ud800", "a\udfffb"]:
        code = f"ask({quoted(text)})\n"
        assert strings(code) == [text] and lines_that_ipython_changes(code) == []


@pytest.mark.slow
def test_edits_that_a_view_has_made_stand_in_its_code() -> None:
    lab = Lab(random_model(), byte_tokenizer())
    text = "{layer} TEXT <b> tensor(\u2028!ls"
    donor = lab.trace(text, read=["embed"])
    copied = patch(donor["embed"])
    view = lab.attention(text, edit={"embed": [scale(0.5, pos=slice(1, None)), copied]})
    assert "# the trace shown was edited; add its edit=… below" in view.code  # of a tensor only its shape is known
    view = lab.attention(text, edit={"embed": [scale(0.5, pos=slice(1, None)), scale(-2)]})
    assert "edit={'embed': [scale(0.5, pos=slice(1, None, None)), scale(-2)]}" in view.code
    again = f"patch(lab.trace({text!r}, ['embed'])['embed'], pos=[1, 2])"
    assert edit_in_python(again) == again


@pytest.mark.parametrize(
    "words",
    [
        "__import__('os').system('true')",
        "zero(__import__('os').system('true'))",
        "zero(head=open('x'))",
        "[zero(), exec('x')]",
        "zero()(1)",
        "zero(*x)",
        "zero(**x)",
        "zero(lambda: 0)",
        "zero(head=lab.load('x'))",
        "zero(head=lab.trace('a', read=exec('x'))['embed'])",
        "zero(head=slice(exec('x')))",
        "zero(head=-exec('x'))",
        "zero(head=f'{x}')",
        "zero(head=x)",
        "zero(); exec('x')",
        "zero()\nexec('x')",
        "zero() if exec('x') else zero()",
        "os.zero()",
        "[]",
        "",
        "zero(",
        "(" * 100_000,
        "zero(" + "[" * 90 + "]" * 90 + ")",
        "zero(\x00)",
        "zero('" + "x" * 200_000 + "')",
        "zero(head=1j)",
    ],
    ids=lambda words: words[:30],
)
def test_the_words_of_an_edit_in_a_file_become_no_code(words: str) -> None:
    code = "".join(code_parts(attention.CODE, trace_of("a", {"embed": words}))[::2])
    assert "add its edit=… below" in code and "exec" not in code and "__import__" not in code
    assert edit_in_python("zero(head=1)") == "zero(head=1)"


def test_every_named_edit_can_be_imported() -> None:
    import bloomlab

    assert all(hasattr(bloomlab, name) for name in NAMED_EDITS)


@pytest.mark.slow
def test_the_code_of_a_line_holds_exactly_what_was_typed() -> None:
    for text in texts(600):
        if not text.strip() or text.strip()[0] in "-\"'":
            continue
        shown = parse(f"generate {text}").python(f"lab = bloomlab.load({text!r})")
        assert strings(shown).count(text.strip()) + strings(shown).count(text) >= 2
        assert lines_that_ipython_changes(shown) == []


def cell(line: str, after: str = "") -> str:
    """A cell as IPython would run it, with bloomlab's protection in its place."""
    manager = TransformerManager()
    manager.cleanup_transforms.insert(0, as_typed)
    return manager.transform_cell(f"{line}\n{after}")


@pytest.mark.parametrize("end", [end for end in ENDS if end not in ("\n", "\r\n")], ids=repr)
def test_a_line_of_bloom_never_becomes_two(end: str, tmp_path: Path) -> None:
    for before in ("", "story = ", "    "):
        for command in ("!touch x", "%time 1", "import os", "?os", "\\"):
            made = ast.parse(cell(f"{before}%bloom tokens Leo{end}{command}"))
            assert len(made.body) == 1 and strings(ast.unparse(made)) == ["bloom", f"tokens Leo{end}{command}".rstrip()]
    body = f">>> one{end}!touch x\n%bloom tokens why?{end}\n"
    assert strings(cell(f"\n%%bloom explore{end}!touch x", body)) == ["bloom", f"explore{end}!touch x", body]


@pytest.mark.slow
def test_a_verb_gets_exactly_what_was_typed() -> None:
    for text in texts(600):
        if "\n" in text or not text.strip() or set(text.strip()) <= {"?"}:
            continue
        made = ast.parse(cell(f"x = 1\n%bloom tokens {text}", "y = 2\n"))
        assert len(made.body) == 3, text
        assert strings(ast.unparse(made))[-1].split() == f"tokens {text}".split(), text


def test_other_cells_are_left_alone() -> None:
    for code in ("x = '''\n%bloom tokens why?\n'''\n", "# %bloom a\u2028b\n", "print(1)\n", "%time 1\n", "%bloom?\n"):
        assert as_typed(code.splitlines(keepends=True)) == code.splitlines(keepends=True)
