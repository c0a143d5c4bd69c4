"""From the arguments of a call to a batch.

Sort out the texts, truncate rows of tokens that are too long, pad rows that are too short, and stack them.

The `tokenizers` library can do this too, but it stores the settings of the last call inside the tokenizer, so one
call would change the next. Here a row is a value, and truncating or padding it makes another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from itertools import chain
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from tokenizers import Encoding

from bloomlab.errors import InputError, MissingPackageError, shorten
from bloomlab.guards.arguments import choice, whole_number, whole_text

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
NO_LIMIT = int(1e30)  # how files write "no limit", and ALiBi has none


class Part(NamedTuple):
    """Some tokens of one encoded text: those from `start` to `stop`; `sequence` is 1 for the second text of a pair."""

    encoding: Encoding
    start: int
    stop: int
    sequence: int

    def cut(self, values: list[Any]) -> list[Any]:
        """Those of all tokens' values that belong to it."""
        return values if self.start == 0 and self.stop == len(values) else values[self.start : self.stop]


@dataclass(frozen=True)
class Row:
    """The tokens of one text, or of a pair of texts, and the padding around them.

    Only the ids are kept as a list; what few ask for is read from the library's own encodings then.
    """

    ids: list[int]
    parts: tuple[Part, ...]
    left: int = 0  # tokens of padding on either side
    right: int = 0
    pad_token: str = ""

    @classmethod
    def of(cls, encoding: Encoding, sequence: int) -> Self:
        """The row of one encoded text."""
        ids = encoding.ids
        return cls(ids, (Part(encoding, 0, len(ids), sequence),))

    def __len__(self) -> int:
        return len(self.ids)

    def __add__(self, other: "Row") -> "Row":
        return Row(self.ids + other.ids, self.parts + other.parts)

    @property
    def tokens(self) -> list[str]:
        """Each token as the vocabulary spells it."""
        return self._whole([part.cut(part.encoding.tokens) for part in self.parts], self.pad_token)

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """Of each token, its first character and the one after its last; (0, 0) for padding."""
        return self._whole([part.cut(part.encoding.offsets) for part in self.parts], (0, 0))

    @property
    def word_ids(self) -> list[int | None]:
        """Of each token, the index of the piece it was cut from; None for padding."""
        return self._whole([part.cut(part.encoding.word_ids) for part in self.parts], None)

    @property
    def sequence_ids(self) -> list[int | None]:
        """Of each token, 0 for the first text of a pair and 1 for the second; None for padding."""
        return self._whole([[part.sequence] * (part.stop - part.start) for part in self.parts], None)

    @property
    def mask(self) -> list[int]:
        """1 for each token, 0 for padding."""
        return [0] * self.left + [1] * (len(self) - self.left - self.right) + [0] * self.right

    def _whole(self, parts: list[list[Any]], padding: Any) -> list[Any]:
        if len(parts) == 1 and not self.left and not self.right:  # no copy of what is new already
            return parts[0]
        return [*[padding] * self.left, *chain.from_iterable(parts), *[padding] * self.right]

    def truncate(self, length: int, side: str) -> "Row":
        """At most `length` tokens of a row of one text without padding: the surplus is cut off on this side."""
        surplus = len(self) - length
        if surplus <= 0:
            return self
        encoding, start, stop, sequence = self.parts[0]
        start, stop = (start + surplus, stop) if side == "left" else (start, stop - surplus)
        kept = self.ids[surplus:] if side == "left" else self.ids[:length]
        return Row(kept, (Part(encoding, start, stop, sequence),))

    def pad(self, length: int, side: str, pad_id: int, pad_token: str) -> "Row":
        """At least `length` tokens: padding is added on this side."""
        n = max(0, length - len(self))
        if side == "left":
            return Row([pad_id] * n + self.ids, self.parts, n, 0, pad_token)
        return Row(self.ids + [pad_id] * n, self.parts, 0, n, pad_token)


def split_input(text: Any, text_pair: Any, words: bool) -> tuple[list[Any], list[Any] | None, bool]:
    """The input of a call: a list of texts, a list of their partners or None, and whether a list was passed.

    With `words`, a text is a list of words.

    Raises:
        InputError: something is not a text, or the two lists do not match.
    """
    is_batch = isinstance(text, list | tuple) and not (words and all(isinstance(word, str) for word in text))
    if not is_batch:
        text, text_pair = [text], None if text_pair is None else [text_pair]
    elif text_pair is not None and (not isinstance(text_pair, list | tuple) or len(text_pair) != len(text)):
        got = f"{len(text_pair)} texts" if isinstance(text_pair, list | tuple) else type(text_pair).__name__
        raise InputError(f"expected a list of {len(text)} texts as text_pair, one per text, but got {got}")
    elif not words and text_pair is None and any(isinstance(item, list | tuple) for item in text):
        for number, item in enumerate(text):
            if not isinstance(item, list | tuple) or len(item) != 2:
                raise InputError(f"expected pairs of texts, but text {number} is {shorten(item)}; pass two texts")
        text, text_pair = [item[0] for item in text], [item[1] for item in text]

    kind: Any = (list, tuple) if words else str
    name = "{} {}" if is_batch else "{}"
    texts = [whole_text(item, name.format("text", number), kind) for number, item in enumerate(text)]
    if text_pair is None:
        return texts, None, is_batch
    pairs = [whole_text(item, name.format("text_pair", number), kind) for number, item in enumerate(text_pair)]
    return texts, pairs, is_batch


def join(first: Row, second: Row | None, strategy: str | None, length: int, side: str) -> Row:
    """Join a text and its partner, if it has one, into at most `length` tokens.

    "longest_first" shortens the longer of the two until they fit, then both; "only_first" and "only_second"
    leave the other one whole; without a strategy both stay whole.

    Raises:
        InputError: the text that may be shortened is too short for that.
    """
    if strategy is None:
        return first if second is None else first + second
    if second is None:
        if strategy == "only_second":
            raise InputError("truncation='only_second' needs a pair of texts, but got one; pass truncation=True")
        return first.truncate(length, side)
    surplus = len(first) + len(second) - length
    if surplus <= 0:
        return first + second
    if strategy == "longest_first":
        a, b = _share(len(first), len(second), length)
        return first.truncate(a, side) + second.truncate(b, side)
    shortened, name = (first, "first") if strategy == "only_first" else (second, "second")
    if len(shortened) <= surplus:
        raise InputError(
            f"expected the {name} text to have more than {surplus} tokens, so that the pair can be cut to "
            f"{length}, but it has {len(shortened)}; pass truncation=True, which shortens both"
        )
    if shortened is first:
        return first.truncate(len(first) - surplus, side) + second
    return first + second.truncate(len(second) - surplus, side)


def _share(a: int, b: int, length: int) -> tuple[int, int]:
    """How many of `length` tokens each of two texts gets, for "longest_first".

    >>> _share(9, 2, 6), _share(9, 8, 7)
    ((4, 2), (4, 3))
    """
    if a > b:
        b, a = _share(b, a, length)
        return a, b
    if 2 * a <= length:  # the shorter text fits into its half
        return a, min(b, length - a)
    return length // 2, length - length // 2


def truncation_strategy(padding: Any, truncation: Any, max_length: int | None, limit: int) -> tuple[str | None, int]:
    """The strategy (None: leave rows as they are) and the length that these arguments of a call ask for."""
    if max_length is not None:
        whole_number("max_length", max_length)
    if truncation is None:  # max_length on its own means: truncate
        truncation = max_length is not None and choice("padding", padding, PADDING) is None
    strategy = choice("truncation", truncation, TRUNCATION)
    length = limit if max_length is None else max_length
    return (None if length >= NO_LIMIT else strategy), length


def padded_width(rows: list[Row], padding: Any, length: int, multiple: int | None, is_truncated: bool) -> int:
    """The width that these arguments of a call ask for; 0: leave rows as they are."""
    strategy = choice("padding", padding, PADDING)
    if strategy is None or not rows:
        return 0
    width = length if strategy == "max_length" else max(map(len, rows))
    if width >= NO_LIMIT:
        raise InputError("padding='max_length' needs max_length, but got None; pass one, or padding=True")
    if multiple is None:
        return width
    whole_number("pad_to_multiple_of", multiple)
    if is_truncated and length % multiple:
        raise InputError(
            f"max_length must be a multiple of pad_to_multiple_of, but {length} / {multiple} leaves "
            f"{length % multiple}; pass max_length={-(-length // multiple) * multiple}"
        )
    return -(-width // multiple) * multiple


def common_width(rows: list[Row]) -> int:
    """The number of tokens in every row, which must be the same for one tensor."""
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
                "return_tensors='jax' needs jax, but it is not installed; pip install \"bloomlab[jax]\""
            )
        return import_module("jax.numpy").asarray(array)
    return torch.from_numpy(array) if kind == "pt" else array
