"""What each setting may be: small checks, each of which says in one sentence what was expected and what came."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from bloomlab.errors import GenerationError, shorten

Check = Callable[[str, Any], None]

MANY = 1_000_000  # more new tokens, beams or continuations is a slip: no machine could hold them


def refuse(name: str, expected: str, value: object) -> GenerationError:
    """The error about a value: what was expected, and what came."""
    return GenerationError(f"{name} must be {expected}, but got {shorten(value)}")


def is_whole(value: object, low: int, high: int | None = None) -> bool:
    """Whether it is a whole number within these bounds; True is none."""
    return type(value) is int and value >= low and (high is None or value <= high)


def whole(low: int, high: int | None = MANY) -> Check:
    """A whole number from `low` to `high`."""
    limits = f"of at least {low}" if high is None else f"from {low} to {high}"

    def check(name: str, value: Any) -> None:
        if not is_whole(value, low, high):
            raise refuse(name, f"a whole number {limits}", value)

    return check


def number(limits: str, fits: Callable[[float], bool]) -> Check:
    """A finite number that fits; `limits` says in words which do."""

    def check(name: str, value: Any) -> None:
        # (an int of 400 digits is finite, but does not fit a float)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e30 or not fits(value):
            raise refuse(name, f"a number {limits}", value)

    return check


def or_none(check: Check) -> Check:
    """What `check` takes, or None, which leaves the setting out."""
    return lambda name, value: None if value is None else check(name, value)


def yes_or_no(name: str, value: Any) -> None:
    """True or False, and nothing else."""
    if not isinstance(value, bool):
        raise refuse(name, "True or False", value)


def texts(name: str, value: Any) -> None:
    """A text, or a list of them, none empty."""
    several = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(text, str) and text for text in several):
        raise refuse(name, "a text, or a list of them", value)


def token_ids(name: str, value: Any) -> None:
    """A list of token ids."""
    if not isinstance(value, list | tuple) or not value or not all(is_whole(each, 0) for each in value):
        raise refuse(name, "a list of token ids of at least 0", _odd(value))


def sequences(name: str, value: Any) -> None:
    """A list of lists of token ids, none empty."""
    if not isinstance(value, list | tuple) or not value or not all(_is_sequence(each) for each in value):
        raise refuse(name, "a list of lists of token ids, such as [[5, 6], [7]]", _odd(value))


def biases(name: str, value: Any) -> None:
    """{(5, 6): -2.0}, or [[[5, 6], -2.0]]: sequences of token ids and what is added to the score of the last."""
    items = list(value.items()) if isinstance(value, Mapping) else value
    if not isinstance(items, list | tuple) or not items:
        raise refuse(name, "sequences of token ids with their biases, such as {(5, 6): -2.0}", value)
    for item in items:
        if not isinstance(item, list | tuple) or len(item) != 2 or not _is_sequence(item[0]):
            raise refuse(name, "sequences of token ids with their biases, such as {(5, 6): -2.0}", item)
        bias = item[1]
        real = isinstance(bias, int | float) and not isinstance(bias, bool)
        if not real or not (abs(bias) <= 1e30 or bias == -math.inf):
            raise refuse(f"the bias of {shorten(item[0], 40)} in {name}", "a number (-inf forbids)", bias)


def one_or_more_ids(name: str, value: Any) -> None:
    """A token id, or a list of them."""
    token_ids(name, value if isinstance(value, list | tuple) else [value])


def top_k(name: str, value: Any) -> None:
    """A whole number; 0, by custom, draws among all."""
    whole(0, None)(name, value)


def early(name: str, value: Any) -> None:
    """True, False or "never"."""
    if not isinstance(value, bool) and (not isinstance(value, str) or value != "never"):
        raise refuse(name, "True, False or 'never'", value)


def functions(name: str, value: Any) -> None:
    """A list of functions."""
    if not isinstance(value, list | tuple) or not all(callable(each) for each in value):
        raise refuse(name, "a list of functions (ids, scores) -> …", value)


def start_and_factor(name: str, value: Any) -> None:
    """(start, factor): a number of tokens, and a number above 0."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise refuse(name, "a pair (start, factor) such as (10, 1.05)", value)
    whole(0)(f"the start in {name}", value[0])
    number("above 0 (1 changes nothing)", lambda factor: factor > 0)(f"the factor in {name}", value[1])


def as_biases(value: Any) -> dict[tuple[int, ...], float]:
    """Checked biases as one dictionary.

    >>> as_biases([[[5, 6], -2.0]])
    {(5, 6): -2.0}
    """
    items = value.items() if isinstance(value, Mapping) else value
    return {tuple(sequence): float(bias) for sequence, bias in items}


def flat(value: Any) -> list[Any]:
    """One id, a list of them or of lists of them, or none, as a list of ids.

    >>> flat(None), flat(5), flat([[5, 6], [7]])
    ([], [5], [5, 6, 7])
    """
    if not isinstance(value, list | tuple):
        return [] if value is None else [value]
    return [token_id for each in value for token_id in (each if isinstance(each, list | tuple) else [each])]


def _is_sequence(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(is_whole(each, 0) for each in value)


def _odd(value: Any) -> Any:
    """The entry of a list that does not fit; all of it, if it is no list or is empty."""
    entries = value if isinstance(value, list | tuple) else []
    return next((each for each in entries if not (is_whole(each, 0) or _is_sequence(each))), value)


_PART = number("above 0 and at most 1", lambda p: 0 < p <= 1)
_CUTOFF = number("from 0 (which drops nothing) to below 1", lambda p: 0 <= p < 1)

CHECKS: dict[str, Check] = {
    "max_new_tokens": whole(0, MANY),
    "min_new_tokens": whole(0, None),
    "do_sample": yes_or_no,
    "temperature": number("at least 0 (0 is greedy)", lambda t: t >= 0),
    "top_k": or_none(top_k),
    "top_p": or_none(_PART),
    "min_p": or_none(number("from 0 to 1", lambda p: 0 <= p <= 1)),
    "typical_p": or_none(_PART),
    "epsilon_cutoff": or_none(_CUTOFF),
    "eta_cutoff": or_none(_CUTOFF),
    "renormalize_logits": yes_or_no,
    "sequence_bias": or_none(biases),
    "repetition_penalty": number("above 0 (1 changes nothing)", lambda r: r > 0),
    "no_repeat_ngram_size": or_none(whole(0)),
    "bad_words_ids": or_none(sequences),
    "forced_eos_token_id": or_none(one_or_more_ids),
    "remove_invalid_values": yes_or_no,
    "exponential_decay_length_penalty": or_none(start_and_factor),
    "suppress_tokens": or_none(token_ids),
    "begin_suppress_tokens": or_none(token_ids),
    "logits_processor": or_none(functions),
    "num_beams": whole(1),
    "length_penalty": number("(0 ignores the length)", lambda _: True),
    "early_stopping": early,
    "num_return_sequences": whole(1),
    "use_cache": yes_or_no,
    "stop_strings": or_none(texts),
    "max_time": or_none(number("of seconds above 0", lambda t: t > 0)),
    "stopping_criteria": or_none(functions),
    "seed": or_none(whole(0, 2**63 - 1)),
    "progress": yes_or_no,
}
"""What is checked of each setting; of ids, `Settings.check` also looks whether the model has them."""
