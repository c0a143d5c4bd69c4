"""The logit lens as a table: the rows are the lens's own, the words those of the vocabulary."""

import re

import pytest

from bloomlab.lab import Lab
from bloomlab.lens.logit_lens import READ, logit_lens
from bloomlab.views.logit_lens import LogitLens
from tests.tiny_random import byte_tokenizer, random_model


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(random_model(), byte_tokenizer())


def table(lab: Lab, text: str) -> LogitLens:
    trace = lab.trace(text, READ)
    return LogitLens(logit_lens(lab.model, trace), trace.tokens, lab.tokenizer, lab.model.config.vocab_size)


def test_it_is_the_sequence_of_rows(lab: Lab) -> None:
    found = table(lab, "Leo")
    assert [row.label for row in found] == ["embed", *(f"{i} {part}" for i in range(3) for part in ("mid", "post"))]
    assert found[-1].ids.shape == (3, 5) and len(found[1:3]) == 2


def test_a_line_for_each_state_and_a_word_for_each_token(lab: Lab) -> None:
    found = table(lab, "Leo")
    lines = repr(found).splitlines()
    assert len(lines) == 2 + 7 and lines[1].split() == ["after", "each", "token:", "L", "e", "o"]
    assert lines[-1].startswith("layer 2, after MLP") and found.words(6, 2)[0] in lines[-1]
    page = found._repr_html_()
    assert page.count('<th scope="row"') == 7 and page.count("<td") == 7 * 3
    assert f"{found[-1].probs[2, 0]:.2f}" in page and "entropy" in page


@pytest.mark.slow
def test_a_long_text_shows_its_last_tokens_and_says_so(lab: Lab) -> None:
    found = table(lab, "x" * 100)
    assert "the first 93 tokens are left out here" in repr(found).splitlines()[0]
    assert all(len(line) <= 112 for line in repr(found).splitlines())
    assert "The first 36 tokens are left out here" in found._repr_html_()


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", "</table><script>", "القطة", "a\u202eb", "\x00"])
def test_a_text_stays_a_text(lab: Lab, text: str) -> None:
    page = table(lab, text)._repr_html_()
    assert set(re.findall(r"</?(\w+)", page)) <= {
        "div",
        "table",
        "caption",
        "thead",
        "tbody",
        *"tr th td bdi span".split(),
    }
    assert "\u202e" not in page and "\x00" not in page
