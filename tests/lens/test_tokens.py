import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from bloomlab.errors import InputError
from bloomlab.lab import Lab
from bloomlab.lens.tokens import READ, compare, cost, count_words, merges, replay, script, surprise
from bloomlab.tokenizer import BloomTokenizerFast
from bloomlab.tokenizer_file import bytes_of
from tests.lens.sentences import SENTENCES
from tests.small_tokenizer import TEXTS, trained_json


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


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_replaying_the_merges_gives_the_librarys_tokens_for_any_text(text: str) -> None:
    assert rebuilt(SMALL, text) == [token.bytes for token in SMALL.tokens(text)]


@given(st.text("abhelo wrdथाि中世🙂", max_size=40))
def test_replaying_gives_the_librarys_tokens_where_much_is_joined(text: str) -> None:
    assert rebuilt(SMALL, text) == [token.bytes for token in SMALL.tokens(text)]


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


# -- surprise and bits ----


@pytest.mark.parametrize("language", SENTENCES)
def test_the_mean_surprise_is_the_loss_and_so_are_the_bits(language: str, lab: Lab) -> None:
    trace = lab.trace(SENTENCES[language], read=READ)
    loss = lab.model(trace.ids, labels=trace.ids).loss.item()
    nats = surprise(trace)
    assert math.isnan(nats[0]) and nats[1:].mean().item() == pytest.approx(loss, rel=1e-5)
    found = cost(trace)
    predicted = found.bytes - len(trace.tokens[0].bytes)
    assert found.bits_per_byte is not None
    assert found.bits_per_byte * math.log(2) * predicted == pytest.approx(loss * (found.tokens - 1), rel=1e-5)


@pytest.mark.parametrize("n_head", [1, 6, 7])
def test_padding_on_the_left_does_not_change_a_cost(n_head: int, random_lab: Callable[..., Lab]) -> None:
    lab = random_lab(n_head)
    padded, alone = cost(lab.trace(["abcdefgh", "x中z"], read=READ).row(1)), cost(lab.trace("x中z", read=READ))
    assert padded.bits_per_byte == pytest.approx(alone.bits_per_byte, rel=1e-4)
    assert dataclasses.replace(padded, bits_per_byte=None) == dataclasses.replace(alone, bits_per_byte=None)


def test_a_model_without_an_idea_needs_the_bits_of_its_vocabulary(random_lab: Callable[..., Lab]) -> None:
    """Its tokens are bytes and it hesitates between 256 of them: 8 bits a byte."""
    lab = random_lab(vocab_size=260, scale=0.0)
    with torch.no_grad():
        lab.model.transformer.word_embeddings.weight[:4] = -1e4
        lab.model.transformer.ln_f.weight.zero_()
        lab.model.transformer.ln_f.bias.fill_(1)
    assert cost(lab.trace("byte 中", read=READ)).bits_per_byte == pytest.approx(8)


def test_one_token_has_nothing_to_predict(lab: Lab) -> None:
    found = cost(lab.trace("a", read=READ))
    assert (found.tokens, found.bits_per_byte) == (1, None)
    assert surprise(lab.trace("a", read=READ)).isnan().all()


@pytest.mark.parametrize("language", SENTENCES)
def test_counts_are_the_texts_own(language: str, lab: Lab) -> None:
    text = SENTENCES[language]
    found = cost(lab.trace(text, read=READ))
    assert (found.characters, found.bytes) == (len(text), len(text.encode()))
    assert found.tokens == len(lab.tokens(text))
    assert found.tokens_per_byte * found.bytes == pytest.approx(found.tokens)
    assert found.tokens_per_character * found.characters == pytest.approx(found.tokens)


def test_languages_stand_side_by_side(lab: Lab) -> None:
    table = compare({name: lab.trace(text, read=READ) for name, text in SENTENCES.items()})
    assert {name: row.words for name, row in table.items()} == {"en": 8, "ar": 7, "zh": None, "hi": 11}
    assert table["zh"].tokens_per_word is None
    assert table["zh"].tokens_per_character > table["en"].tokens_per_character
    assert table["en"].tokens_per_word == table["en"].tokens / 8


def test_ids_that_stand_for_no_text_have_no_cost(random_lab: Callable[..., Lab]) -> None:
    with pytest.raises(InputError, match="stand for no text"):
        cost(random_lab().trace(torch.tensor([[290, 291]]), read=READ))


# -- words and scripts ----


@pytest.mark.parametrize(
    ("text", "words"),
    [("", 0), ("don't stop", 2), ("« oui »", 1), ("7 + 5 = 12", 3), ("ภาษา", None), ("a 猫", None), ("한국어 말", 2)],
)
def test_words_are_counted_where_spaces_part_them(text: str, words: int | None) -> None:
    assert count_words(text) == words


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
