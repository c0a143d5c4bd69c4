"""From the arguments of a call to a batch.

Sort out the texts, truncate rows of tokens that are too long, pad rows that are too short, and stack them.

The `tokenizers` library can do this too, but it stores the settings of the last call inside the tokenizer, so one
call would change the next. Here a row is a value, and truncating or padding it makes another.
"""

from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from itertools import chain
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from tokenizers import Encoding

from bloomlab.errors import InputError, MissingPackageError, shorten
from bloomlab.guards.arguments import bytes_in, choice, one_of, whole_number, whole_text
from bloomlab.guards.memory import check_memory, gigabytes

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
MANY = 1 << 18  # characters; fewer take no memory to speak of
BYTES_OF_A_BYTE = 220  # in memory at most, of a byte of text: where each is a token (measured: 115 to 219)
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

    @cached_property
    def offsets(self) -> list[tuple[int, int]]:
        """Of each token, its first character and the one after its last; (0, 0) for padding."""
        return self._whole([part.cut(part.encoding.offsets) for part in self.parts], (0, 0))

    @cached_property
    def word_ids(self) -> list[int | None]:
        """Of each token, the index of the piece it was cut from; None for padding."""
        return self._whole([part.cut(part.encoding.word_ids) for part in self.parts], None)

    @cached_property
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

    def token_at(self, char: int, sequence: int) -> int | None:
        """The first token that has this character of the first or second text."""
        places = enumerate(zip(self.offsets, self.sequence_ids, strict=True))
        return next((i for i, ((a, b), own) in places if own == sequence and a <= char < b), None)

    def tokens_of_word(self, word: int, sequence: int) -> list[int]:
        """The tokens of a word of the first or second text."""
        places = enumerate(zip(self.word_ids, self.sequence_ids, strict=True))
        return [i for i, (own, its) in places if its == sequence and own == word]

    def truncate(self, length: int, side: str, stride: int = 0) -> "list[Row]":
        """Windows of at most `length` tokens over a row of one text without padding; neighbours share `stride`.

        The first is what is kept: the surplus is cut off on this side, and goes into the others.

        Raises:
            InputError: the windows would not move.
        """
        if len(self) <= length:
            return [self]
        if stride >= length > 0:
            raise InputError(f"stride must be less than the {length} tokens of a window, but is {stride}")
        encoding, start, _, sequence = self.parts[0]
        spans = windows(len(self), length, stride, side)
        return [Row(self.ids[a:b], (Part(encoding, start + a, start + b, sequence),)) for a, b in spans]

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

    check_room([*text, *(text_pair or [])])
    kind: Any = (list, tuple) if words else str
    name = "{} {}" if is_batch else "{}"
    texts = [whole_text(item, name.format("text", number), kind) for number, item in enumerate(text)]
    if text_pair is None:
        return texts, None, is_batch
    pairs = [whole_text(item, name.format("text_pair", number), kind) for number, item in enumerate(text_pair)]
    return texts, pairs, is_batch


def check_room(texts: list[Any]) -> None:
    """Refuse more text than there is memory for its tokens, before any is cut."""
    single = [one for each in texts for one in (each if isinstance(each, list | tuple) else [each])]
    given = [each for each in single if isinstance(each, str)]
    if sum(map(len, given)) > MANY:
        size = sum(map(bytes_in, given))
        check_memory(size * BYTES_OF_A_BYTE, f"to encode a text of {gigabytes(size)}", "encode it in parts")


def windows(n: int, length: int, stride: int, side: str) -> list[tuple[int, int]]:
    """Where windows of `length` begin and end over n tokens, from the side that is kept on; neighbours share `stride`.

    >>> windows(7, 3, 1, "right"), windows(6, 4, 0, "left"), windows(5, 0, 0, "right")
    ([(0, 3), (2, 5), (4, 7)], [(2, 6), (0, 2)], [(0, 0), (0, 5)])
    """
    if length == 0:
        return [(0, 0), (0, n)]
    found: list[tuple[int, int]] = []
    for first in range(0, n, length - stride):
        found.append((first, min(first + length, n)))
        if first + length >= n:
            break
    return found if side == "right" else [(n - b, n - a) for a, b in found]


def join(first: Row, second: Row | None, strategy: str | None, length: int, side: str, stride: int = 0) -> list[Row]:
    """Join a text and its partner, if it has one, into at most `length` tokens; then the windows over what was cut.

    "longest_first" shortens the longer of the two until they fit, then both; "only_first" and "only_second"
    leave the other one whole; without a strategy both stay whole.

    Raises:
        InputError: the text that may be shortened is too short for that, or the windows would not move.
    """
    if strategy is None:
        return [first if second is None else first + second]
    if second is None:
        if strategy == "only_second":
            raise InputError("truncation='only_second' needs a pair of texts, but got one; pass truncation=True")
        return first.truncate(length, side, stride)
    surplus = len(first) + len(second) - length
    if surplus <= 0:
        return [first + second]
    if strategy == "longest_first":
        a, b = _share(len(first), len(second), length)
        firsts, seconds = first.truncate(a, side, stride), second.truncate(b, side, stride)
        # as the library joins them: the windows of the first text with each of the second, then its own with the rest
        kept, rest = firsts[0], seconds[1:]
        return [kept + seconds[0], *(x + y for x in firsts[1:] for y in seconds), *(kept + y for y in rest)]
    shortened, name = (first, "first") if strategy == "only_first" else (second, "second")
    if len(shortened) <= surplus:
        raise InputError(
            f"expected the {name} text to have more than {surplus} tokens, so that the pair can be cut to "
            f"{length}, but it has {len(shortened)}; pass truncation=True, which shortens both"
        )
    parts = shortened.truncate(len(shortened) - surplus, side, stride)
    return [part + second if shortened is first else first + part for part in parts]


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


def as_tensor(values: list[list[Any]], kind: str, width: int) -> Any:
    """Rows of equal length as one tensor of integers, (batch, width, …): "pt" for torch, "np" for numpy, "jax".

    >>> as_tensor([[1, 2], [3, 4]], "np", 2).shape
    (2, 2)
    """
    return _tensor(np.array(values, dtype=np.int64).reshape(len(values), width, *np.shape(values)[2:]), kind)


def as_tensors(values: dict[str, Any], kind: str | None) -> dict[str, Any]:
    """Lists as tensors of this kind, whole numbers as int64; None leaves them as they are.

    Raises:
        InputError: the rows of one of them differ in length, or hold no numbers.
    """
    if kind is None:
        return values
    one_of("return_tensors", kind, ("pt", "np", "jax"))
    found = {}
    for name, value in values.items():
        try:
            array = np.array(value)
        except ValueError:
            array = np.array(None)
        if array.dtype.kind not in "iufb":
            raise InputError(
                f"{name} makes no tensor: its rows differ in length, or hold no numbers; padding=True fills ids and "
                "masks; leave out, or pad by yourself, whatever else has a value for each token"
            )
        dtype = {"i": np.int64, "u": np.int64, "f": np.float32 if kind == "pt" else np.float64}.get(array.dtype.kind)
        found[name] = _tensor(array if dtype is None else array.astype(dtype), kind)
    return found


def _tensor(array: "np.ndarray[Any, Any]", kind: str) -> Any:
    if kind == "jax":
        if find_spec("jax") is None:
            raise MissingPackageError(
                "return_tensors='jax' needs jax, but it is not installed; pip install \"bloomlab[jax]\""
            )
        return import_module("jax.numpy").asarray(array)
    return torch.from_numpy(array) if kind == "pt" else array
