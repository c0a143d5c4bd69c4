"""From what a call was given to a batch.

Sort out the texts, cut rows of tokens that are too long, fill rows that are too short, and stack them.

The `tokenizers` library can do this too, but it remembers how it was last asked, inside the tokenizer, so one
call would change the next. Here a row is a value, and cutting or filling it makes another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Self

import numpy as np
import torch

from bloomlab.arguments import choice, whole_number, whole_text
from bloomlab.errors import InputError, MissingPackageError
from bloomlab.files import shorten

PADDING = {
    False: None,
    None: None,
    "do_not_pad": None,
    True: "longest",
    "longest": "longest",
    "max_length": "max_length",
}
TRUNCATION = {
    False: None,
    "do_not_truncate": None,
    True: "longest_first",
    "longest_first": "longest_first",
    "only_first": "only_first",
    "only_second": "only_second",
}
NO_LIMIT = int(1e30)  # how the files write "no limit": ALiBi has none


@dataclass(frozen=True)
class Row:
    """The tokens of one text, or of a pair of texts, one entry per token in each list.

    `words` holds the index of the piece a token was cut from, `texts` 0 for the first text of a pair and 1
    for the second; both are None in padding.
    """

    ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]
    words: list[int | None]
    texts: list[int | None]

    def __len__(self) -> int:
        return len(self.ids)

    def __add__(self, other: "Row") -> "Row":
        return Row(
            self.ids + other.ids,
            self.tokens + other.tokens,
            self.offsets + other.offsets,
            self.words + other.words,
            self.texts + other.texts,
        )

    def cut(self, length: int, side: str) -> "Row":
        """At most `length` tokens: what is too much goes from this side."""
        surplus = max(0, len(self) - length)
        keep = slice(surplus, None) if side == "left" else slice(0, len(self) - surplus)
        return Row(self.ids[keep], self.tokens[keep], self.offsets[keep], self.words[keep], self.texts[keep])

    def fill(self, length: int, side: str, pad_id: int, pad_token: str) -> "Row":
        """At least `length` tokens: padding is put on this side."""
        n = max(0, length - len(self))
        padding = Row([pad_id] * n, [pad_token] * n, [(0, 0)] * n, [None] * n, [None] * n)
        return padding + self if side == "left" else self + padding


def split_input(text: Any, text_pair: Any, words: bool) -> tuple[list[Any], list[Any] | None, bool]:
    """What a call was given, as a list of texts, a list of their partners or None, and whether it was a list.

    With `words`, a text is a list of words.

    Raises:
        InputError: something is no text, or the lists do not fit together.
    """
    is_batch = isinstance(text, list | tuple) and not (words and all(isinstance(word, str) for word in text))
    if not is_batch:
        text, text_pair = [text], None if text_pair is None else [text_pair]
    elif text_pair is not None and (not isinstance(text_pair, list | tuple) or len(text_pair) != len(text)):
        got = f"{len(text_pair)} texts" if isinstance(text_pair, list | tuple) else type(text_pair).__name__
        raise InputError(f"expected a list of {len(text)} texts as text_pair, one per text, but got {got}")
    elif not words and text_pair is None and any(isinstance(item, list | tuple) for item in text):
        for place, item in enumerate(text):
            if not isinstance(item, list | tuple) or len(item) != 2:
                raise InputError(f"expected pairs of texts, but text {place} is {shorten(item)}; pass two texts")
        text, text_pair = [item[0] for item in text], [item[1] for item in text]

    kind: Any = (list, tuple) if words else str
    place_of = " {}" if is_batch else ""
    texts = [whole_text(item, f"text{place_of.format(place)}", kind) for place, item in enumerate(text)]
    if text_pair is None:
        return texts, None, is_batch
    pairs = [whole_text(item, f"text_pair{place_of.format(place)}", kind) for place, item in enumerate(text_pair)]
    return texts, pairs, is_batch


def join(first: Row, second: Row | None) -> Row:
    """A text and its partner, whole."""
    return first if second is None else first + second


def cut_pair(first: Row, second: Row | None, strategy: str, length: int, side: str) -> Row:
    """Join a text and its partner into at most `length` tokens.

    "longest_first" shortens the longer of the two until they fit, then both; "only_first" and "only_second"
    leave the other one whole.

    Raises:
        InputError: the one that may be shortened is too short for that.
    """
    if second is None:
        if strategy == "only_second":
            raise InputError("truncation='only_second' needs a pair of texts, but got one; pass truncation=True")
        return first.cut(length, side)
    surplus = len(first) + len(second) - length
    if surplus <= 0:
        return first + second
    if strategy == "longest_first":
        a, b = _share(len(first), len(second), length)
        return first.cut(a, side) + second.cut(b, side)
    one, name = (first, "first") if strategy == "only_first" else (second, "second")
    if len(one) <= surplus:
        raise InputError(
            f"expected the {name} text to have more than {surplus} tokens, so that the pair can be cut to "
            f"{length}, but it has {len(one)}; pass truncation=True, which shortens both"
        )
    if one is first:
        return first.cut(len(first) - surplus, side) + second
    return first + second.cut(len(second) - surplus, side)


def _share(a: int, b: int, length: int) -> tuple[int, int]:
    """How many of `length` tokens each of two texts gets, for "longest_first".

    >>> _share(9, 2, 6), _share(9, 8, 7)
    ((4, 2), (4, 3))
    """
    if a > b:
        b, a = _share(b, a, length)
        return a, b
    if 2 * a <= length:  # the shorter one fits into its half
        return a, min(b, length - a)
    return length // 2, length - length // 2


def how_to_cut(padding: Any, truncation: Any, max_length: int | None, limit: int) -> tuple[str | None, int]:
    """The strategy (None: leave rows as they are) and the length that these arguments of a call ask for."""
    if max_length is not None:
        whole_number("max_length", max_length)
    if truncation is None:  # a max_length given alone cuts
        truncation = max_length is not None and choice("padding", padding, PADDING) is None
    strategy = choice("truncation", truncation, TRUNCATION)
    length = limit if max_length is None else max_length
    return (None if length >= NO_LIMIT else strategy), length


def width_to_fill(rows: list[Row], padding: Any, length: int, multiple: int | None, is_cut: bool) -> int:
    """The width that these arguments of a call ask for; 0: leave rows as they are."""
    kind = choice("padding", padding, PADDING)
    if kind is None or not rows:
        return 0
    width = length if kind == "max_length" else max(map(len, rows))
    if width >= NO_LIMIT:
        raise InputError("padding='max_length' needs max_length, but got None; pass one, or padding=True")
    if multiple is None:
        return width
    whole_number("pad_to_multiple_of", multiple)
    if is_cut and length % multiple:
        raise InputError(
            f"max_length must be a multiple of pad_to_multiple_of, but {length} / {multiple} leaves "
            f"{length % multiple}; pass max_length={-(-length // multiple) * multiple}"
        )
    return -(-width // multiple) * multiple


def common_width(rows: list[Row]) -> int:
    """The number of tokens in every row, so that they can be one tensor."""
    widths = sorted({len(row) for row in rows})
    if len(widths) > 1:
        raise InputError(
            f"expected texts of equal length for one tensor, but they have {widths[0]} to {widths[-1]} tokens; "
            "pass padding=True"
        )
    return widths[0] if widths else 0


class BatchEncoding(dict[str, Any]):
    """What the tokenizer returns: `x["input_ids"]` or `x.input_ids`, and `model(**x)`."""

    def __init__(self, values: dict[str, Any], rows: Sequence[Row]) -> None:
        super().__init__(values)
        self._rows = list(rows)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"this encoding holds {', '.join(self)}, but not {name!r}") from None

    def __getstate__(self) -> dict[str, Any]:
        return {"_rows": self._rows}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._rows = state["_rows"]

    def _row(self, index: int) -> Row:
        if not isinstance(index, int) or not -len(self._rows) <= index < len(self._rows):
            raise InputError(f"expected the index of one of {len(self._rows)} texts, but got {index!r}")
        return self._rows[index]

    def tokens(self, index: int = 0) -> list[str]:
        """The tokens of one text, as they are spelled in the vocabulary."""
        return list(self._row(index).tokens)

    def word_ids(self, index: int = 0) -> list[int | None]:
        """For each token of one text, which piece (or which given word) it is part of; None for padding."""
        return list(self._row(index).words)

    def sequence_ids(self, index: int = 0) -> list[int | None]:
        """For each token of a pair, 0 for the first text and 1 for the second; None for padding."""
        return list(self._row(index).texts)

    def to(self, device: torch.device | str) -> Self:
        """Move the tensors to a device; returns this same encoding."""
        for name, value in self.items():
            if isinstance(value, torch.Tensor):
                self[name] = value.to(device)
        return self


def as_tensor(values: list[list[Any]], kind: str, width: int) -> Any:
    """Rows of equal length as one tensor of integers, (batch, width, …): "pt" for torch, "np" for numpy, "jax".

    >>> as_tensor([[1, 2], [3, 4]], "np", 2).shape
    (2, 2)
    """
    array = np.array(values, dtype=np.int64).reshape(len(values), width, *np.shape(values)[2:])
    if kind == "jax":
        if find_spec("jax") is None:
            raise MissingPackageError(
                "return_tensors='jax' needs jax, but it is not there; pip install \"bloomlab[jax]\""
            )
        return import_module("jax.numpy").asarray(array)
    return torch.from_numpy(array) if kind == "pt" else array
