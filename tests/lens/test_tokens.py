from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from bloomlab.lab import Lab
from bloomlab.lens.tokens import merges, replay, script
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.text.tokenizer_file import bytes_of
from tests.text.small_tokenizer import TEXTS, trained_json


def small() -> BloomTokenizerFast:
    return BloomTokenizerFast(tokenizer_object=Tokenizer.from_str(trained_json()))


def rebuilt(tokenizer: BloomTokenizerFast, text: str) -> list[bytes]:
    """The tokens of a text by replaying the merges in each of its pieces."""
    made: list[bytes] = []
    for piece, _ in tokenizer._library.pre_tokenizer.pre_tokenize_str(text):
        data = bytes_of(piece)
        steps = merges(tokenizer, data)
        made += steps[-1].parts if steps else [bytes([byte]) for byte in data]
    return made


# -- merges ----


@pytest.mark.parametrize("text", [text for text in TEXTS if "<s>" not in text])
def test_replaying_the_merges_gives_the_librarys_tokens(text: str) -> None:
    tokenizer = small()
    assert rebuilt(tokenizer, text) == [token.bytes for token in tokenizer.tokens(text)]


SMALL = small()


@pytest.mark.slow
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_replaying_the_merges_gives_the_librarys_tokens_for_any_text(text: str) -> None:
    assert rebuilt(SMALL, text) == [token.bytes for token in SMALL.tokens(text)]


@pytest.mark.slow
@given(st.text("abhelo wrdथाि中世🙂", max_size=40))
def test_replaying_gives_the_librarys_tokens_where_much_is_joined(text: str) -> None:
    assert rebuilt(SMALL, text) == [token.bytes for token in SMALL.tokens(text)]


@pytest.mark.slow
def test_every_token_of_the_embedded_model_can_be_built_alone(lab: Lab) -> None:
    """What the view says of a token holds wherever the token stands."""
    for index in range(4, len(lab.tokenizer)):
        data = lab.tokenizer.tokens_of_ids([index])[0].bytes
        steps = merges(lab.tokenizer, data)
        assert (steps[-1].parts if steps else (data,)) == (data,)
        assert len(steps) == len(data) - 1  # each step joins two


def test_a_step_says_what_was_joined_and_what_is_left(lab: Lab) -> None:
    data = " लड़की".encode()
    before = tuple(bytes([byte]) for byte in data)
    for step in merges(lab.tokenizer, data):
        assert before[step.at : step.at + 2] == (step.left, step.right)
        assert step.parts == (*before[: step.at], step.left + step.right, *before[step.at + 2 :])
        assert lab.tokenizer.merge_ranks[step.left, step.right] == step.rank
        assert b"".join(step.parts) == data
        before = step.parts


def test_the_ranks_are_the_lines_of_the_merges_file(lab: Lab, tmp_path) -> None:
    _, path = lab.tokenizer.save_vocabulary(tmp_path)
    lines = Path(path).read_text(encoding="utf-8").split("\n")[1:-1]
    assert len(lines) == len(lab.tokenizer.merge_ranks) == len(lab.tokenizer) - 260  # all but bytes and specials
    for line, (pair, rank) in zip(lines, lab.tokenizer.merge_ranks.items(), strict=True):
        assert tuple(bytes_of(part) for part in line.split(" ")) == pair
        assert lines[rank] == line


def test_of_equal_ranks_the_leftmost_is_joined_first() -> None:
    (step,) = replay(b"aaa", {(b"a", b"a"): 0})
    assert step.parts == (b"aa", b"a")


def test_nothing_and_one_byte_need_no_steps() -> None:
    assert replay(b"", {}) == replay(b"a", {(b"a", b"a"): 0}) == []


# -- scripts ----


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", ""),
        ("·!1", ""),
        ("é", "LATIN"),
        ("كتاب", "ARABIC"),
        ("ि", "DEVANAGARI"),
        ("ひ", "HIRAGANA"),
        ("ж", "CYRILLIC"),
    ],
)
def test_the_script_is_that_of_the_first_letter_or_vowel_sign(text: str, name: str) -> None:
    assert script(text) == name
