"""Checks of arguments: each function returns the value, or says why it does not fit."""

from collections.abc import Iterable, Iterator
from typing import Any

from bloomlab.errors import InputError, shorten


def whole_text(value: Any, name: str, kind: Any = str) -> Any:
    """The value, if it is a text (or a list of words) made of whole characters."""
    if kind is not str and isinstance(value, kind):
        return [whole_text(word, f"word {place} of {name}") for place, word in enumerate(value)]
    if not isinstance(value, str) or kind is not str:
        expected = "a text (str)" if kind is str else "a list of words (str)"
        hint = "decode it first: value.decode('utf-8')" if isinstance(value, bytes) else "write it in quotes"
        raise InputError(f"expected {expected} as {name}, but got {shorten(value)}; {hint}")
    for start, part in () if value.isascii() else _parts(value):
        try:
            part.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"expected whole characters in {name}, but character {start + error.start} is half a surrogate pair "
                f"(U+{ord(part[error.start]):04X}); remove it, e.g. with text.encode('utf-8', 'ignore').decode()"
            ) from None
    return value


PART = 1 << 20  # characters


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """A text in parts, each with its first character, so that what is done with it takes little memory."""
    return ((start, text[start : start + PART]) for start in range(0, len(text), PART))


def bytes_in(text: str) -> int:
    r"""How many bytes a text has in UTF-8, counted without writing it down.

    >>> bytes_in("leo"), bytes_in("é\ud800")
    (3, 5)
    """
    return len(text) if text.isascii() else sum(len(part.encode("utf-8", "surrogatepass")) for _, part in _parts(text))


def whole_within(name: str, value: Any, low: int, high: int) -> int:
    """A whole number between two, both allowed."""
    if type(value) is not int or not low <= value <= high:
        raise InputError(f"{name} must be a whole number from {low} to {high}, but got {shorten(value)}")
    return value


SEEDS = 2**48  # a seed is multiplied and added to, within the 63 bits that a generator takes


def a_seed(value: Any) -> int:
    """A whole number that random numbers begin with."""
    return whole_within("seed", value, -SEEDS, SEEDS)


def id_list(ids: Any) -> list[int]:
    """One id, or a row of ids in a list, tensor or array, as a list."""
    row = ids.tolist() if hasattr(ids, "tolist") else ids
    row = [row] if isinstance(row, int) else row
    if isinstance(row, str | bytes | dict) or not isinstance(row, Iterable):
        raise InputError(f"expected token ids, but got {shorten(ids)}; pass a list of whole numbers")
    row = list(row)
    if {*map(type, row)} <= {int} and min(row, default=0) >= 0:  # as nearly all are: said of all at once
        return row
    for index in row:
        if getattr(index, "ndim", None) == 0:  # a tensor or array of one number
            return id_list([each.item() if hasattr(each, "item") else each for each in row])
        if type(index) is not int or index < 0:
            hint = "use batch_decode for several rows" if isinstance(index, Iterable) else "ids start at 0"
            raise InputError(f"expected whole numbers as token ids, but got {shorten(index)}; {hint}")
    return row


def flag(name: str, value: Any) -> bool:
    """True or False, and nothing else."""
    if not isinstance(value, bool):
        raise InputError(f"{name} must be True or False, but got {shorten(value)}")
    return value


def one_of(name: str, value: Any, options: tuple[str, ...]) -> str:
    """One of these words."""
    if not isinstance(value, str) or value not in options:
        raise InputError(f"{name} must be {' or '.join(map(repr, options))}, but got {shorten(value)}")
    return value


def choice(name: str, value: Any, options: dict[Any, str | None]) -> str | None:
    """The meaning of the chosen option; `options` maps each option to its meaning."""
    if not isinstance(value, bool | str | None) or value not in options:
        texts = [option for option in options if isinstance(option, str)]
        raise InputError(f"{name} must be True, False, {', '.join(map(repr, texts))}, but got {shorten(value)}")
    return options[value]


def whole_number(name: str, value: Any) -> int:
    """A whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} must be a whole number of at least 1, but got {shorten(value)}")
    return value
