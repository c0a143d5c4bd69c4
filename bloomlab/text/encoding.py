"""What the tokenizer returns: the batch by its names, and for each token of a row where it comes from."""

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import torch

from bloomlab.errors import InputError, shorten
from bloomlab.text.batches import Row


class CharSpan(NamedTuple):
    """Characters of a text: the first, and the one after the last."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens of a row: the first, and the one after the last."""

    start: int
    end: int


class BatchEncoding(dict[str, Any]):
    """What the tokenizer returns: `x["input_ids"]` or `x.input_ids`, and `model(**x)`.

    Of a batch, each question about a place takes the row first: `x.char_to_token(1, 7)` asks row 1 about character 7,
    `x.char_to_token(7)` row 0. `sequence_index` is 1 for the second text of a pair.
    """

    is_fast = True

    def __init__(self, values: dict[str, Any], rows: Sequence[Row] = ()) -> None:
        super().__init__(values)
        self._rows = list(rows)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            has = textwrap.shorten(", ".join(map(str, self)), 160, placeholder=" …")
            raise AttributeError(f"this encoding holds {has}, but not {shorten(name)}") from None

    def __missing__(self, name: Any) -> Any:
        if isinstance(name, int):  # the pipelines of transformers 4 that answer questions ask so
            raise InputError(
                "an encoding's rows are x['input_ids'][0], …; to answer questions, lab.answer(question, text)"
            )
        raise KeyError(name)

    def __getstate__(self) -> dict[str, Any]:
        return {"_rows": self._rows}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._rows = state["_rows"]

    @property
    def data(self) -> dict[str, Any]:
        """The same values as a plain dictionary."""
        return dict(self)

    @property
    def n_sequences(self) -> int:
        """How many texts a row has: 2 for pairs."""
        return len(self._row(0).parts)

    def _row(self, index: int) -> Row:
        if not isinstance(index, int) or not -len(self._rows) <= index < len(self._rows):
            raise InputError(f"expected the index of one of {len(self._rows)} texts, but got {index!r}")
        return self._rows[index]

    def tokens(self, index: int = 0) -> list[str]:
        """The tokens of one text as the vocabulary spells them."""
        return list(self._row(index).tokens)

    def word_ids(self, index: int = 0) -> list[int | None]:
        """For each token of one text, the index of the piece, or of the word you passed, that it is part of.

        None for padding.
        """
        return list(self._row(index).word_ids)

    def sequence_ids(self, index: int = 0) -> list[int | None]:
        """For each token of a pair, 0 for the first text and 1 for the second; None for padding."""
        return list(self._row(index).sequence_ids)

    # -- from a token to the text, and back ----

    def token_to_sequence(self, row_or_token: int, token: int | None = None) -> int | None:
        """Which text of a pair a token is from; None for padding."""
        row, token = self._asked(row_or_token, token)
        return row.sequence_ids[token]

    def token_to_chars(self, row_or_token: int, token: int | None = None) -> CharSpan | None:
        """The characters of its text that a token stands for; None for padding."""
        row, token = self._asked(row_or_token, token)
        return None if row.sequence_ids[token] is None else CharSpan(*row.offsets[token])

    def token_to_word(self, row_or_token: int, token: int | None = None) -> int | None:
        """The piece, or the word you passed, that a token is part of; None for padding."""
        row, token = self._asked(row_or_token, token)
        return row.word_ids[token]

    def char_to_token(self, row_or_char: int, char: int | None = None, sequence_index: int = 0) -> int | None:
        """The first token that has a character of a text; None if none has."""
        row, char = (0, row_or_char) if char is None else (row_or_char, char)
        return self._row(row).token_at(char, sequence_index)

    def char_to_word(self, row_or_char: int, char: int | None = None, sequence_index: int = 0) -> int | None:
        """The piece, or the word you passed, that a character is part of; None if no token has it."""
        row = 0 if char is None else row_or_char
        token = self.char_to_token(row_or_char, char, sequence_index)
        return None if token is None else self._row(row).word_ids[token]

    def word_to_tokens(self, row_or_word: int, word: int | None = None, sequence_index: int = 0) -> TokenSpan | None:
        """The tokens of a piece, or of a word you passed; None if there are none."""
        row, word = (0, row_or_word) if word is None else (row_or_word, word)
        tokens = self._row(row).tokens_of_word(word, sequence_index)
        return TokenSpan(tokens[0], tokens[-1] + 1) if tokens else None

    def word_to_chars(self, row_or_word: int, word: int | None = None, sequence_index: int = 0) -> CharSpan | None:
        """The characters of a piece, or of a word you passed; None if it has no tokens."""
        row, word = (0, row_or_word) if word is None else (row_or_word, word)
        tokens = self._row(row).tokens_of_word(word, sequence_index)
        offsets = self._row(row).offsets
        return CharSpan(offsets[tokens[0]][0], offsets[tokens[-1]][1]) if tokens else None

    def _asked(self, row_or_token: int, token: int | None) -> tuple[Row, int]:
        row, token = (self._row(0), row_or_token) if token is None else (self._row(row_or_token), token)
        if not isinstance(token, int) or not -len(row) <= token < len(row):
            raise InputError(f"expected the place of one of {len(row)} tokens, but got {token!r}")
        return row, token

    def to(self, device: torch.device | str) -> Self:
        """Move the tensors to a device; returns this same encoding."""
        for name, value in self.items():
            if isinstance(value, torch.Tensor):
                self[name] = value.to(device)
        return self
