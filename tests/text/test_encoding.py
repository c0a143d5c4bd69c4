"""Where each token of an encoding comes from; tests/parity compares all of it with transformers."""

import pytest

from bloomlab.errors import InputError
from bloomlab.text.encoding import CharSpan, TokenSpan
from bloomlab.text.tokenizer import BloomTokenizerFast
from tests.tiny_random import byte_tokenizer

TOKENIZER: BloomTokenizerFast = byte_tokenizer()


def test_a_token_knows_its_characters_and_a_character_its_token() -> None:
    pair = TOKENIZER(["a 中", "b"], ["cd", "e"], padding=True)  # one token a byte
    assert pair.char_to_token(0, 2) == 2 and pair.char_to_token(0, 1, 1) == 6  # the first of three; the second text
    assert pair.token_to_chars(0, 3) == CharSpan(2, 3) and pair.token_to_chars(4).start == 2
    assert pair.token_to_sequence(0, 5) == 1 and pair.n_sequences == 2
    assert pair.token_to_chars(1, 0) is None and pair.token_to_sequence(1, 0) is None  # padding
    assert pair.char_to_token(0, 9) is None
    assert pair.data == dict(pair) and pair.is_fast


def test_words_given_one_by_one_are_found_again() -> None:
    spaced = BloomTokenizerFast(tokenizer_object=TOKENIZER._library, add_prefix_space=True)
    words = spaced(["ab", "c"], is_split_into_words=True)
    assert words.word_ids() == [0, 0, 0, 1, 1]  # with the space before each
    assert words.word_to_tokens(1) == TokenSpan(3, 5) and words.word_to_chars(0) == CharSpan(0, 2)
    assert words.token_to_word(4) == 1 and words.char_to_word(1) == 0
    assert words.word_to_tokens(7) is None and words.word_to_chars(7) is None


def test_a_place_that_is_not_there_is_refused() -> None:
    pair = TOKENIZER("ab")
    for ask in (lambda: pair.token_to_chars(5), lambda: pair.token_to_word(0, -3), lambda: pair.char_to_token(3, 0)):
        with pytest.raises(InputError, match=r"expected the (place|index) of one of"):
            ask()


def test_what_is_cut_off_goes_into_windows_that_overlap() -> None:
    out = TOKENIZER("q", "abcdefgh", truncation="only_second", max_length=5, stride=2, return_overflowing_tokens=True)
    assert [TOKENIZER.decode(row) for row in out["input_ids"]] == ["qabcd", "qcdef", "qefgh"]
    assert out["overflow_to_sample_mapping"] == [0, 0, 0]
    assert out.token_to_chars(2, 1) == CharSpan(4, 5) and out.char_to_token(1, 0, 1) is None
    with pytest.raises(InputError, match="stride must be less than the 4 tokens of a window, but is 4"):
        TOKENIZER("abcdefgh", truncation=True, max_length=4, stride=4, return_overflowing_tokens=True)
    with pytest.raises(InputError, match="stride must be a whole number of at least 0"):
        TOKENIZER("abc", stride=-1)
