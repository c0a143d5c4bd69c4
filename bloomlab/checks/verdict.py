"""What a check says, and what every check does with an answer before it looks at it."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from bloomlab.checks.record import SESSION
from bloomlab.errors import NearMatches, shorten


@dataclass(frozen=True, repr=False)
class Verdict(NearMatches):
    """Whether the exercise is done, and a sentence to learn from.

    It is true if the exercise is done: `assert checks.wrote(answer)` is what an autograder writes.

    >>> Verdict(False, "look further down."), bool(Verdict(False, "look further down."))
    (Not yet: look further down., False)
    """

    done: bool
    says: str

    def __bool__(self) -> bool:
        return self.done

    def __repr__(self) -> str:
        return f"{told('Well done') if self.done else told('Not yet')}: {self.says}"


def told(sentence: str, **values: object) -> str:
    """A sentence in the lesson's language, where `languages/fr/checks.po` has it, with values in its places.

    >>> told("a key {count} tokens back", count=3)
    'a key 3 tokens back'
    """
    said = SESSION.sentences.get(sentence, sentence)
    return said.format(**values) if values else said


def exercise(expected: str, *kinds: type) -> Callable[[Callable[..., Verdict]], Callable[..., Verdict]]:
    """Make a check of a function whose last argument is the answer.

    A missing answer (`...`), or one of another kind, gets a sentence about what is expected.

    Args:
        expected: the answer in words.
        kinds: the types it may have; none: whatever can be called.

    >>> @exercise("a number", int)
    ... def seven(answer): return Verdict(answer == 7, "as many as a week has days.")
    >>> seven(...), seven("7")
    (Not yet: put a number in place of the three dots, and run the cell again.,
     Not yet: expected a number, but got str: '7'.)
    """

    def made(check: Callable[..., Verdict]) -> Callable[..., Verdict]:
        @functools.wraps(check)
        def checked(*arguments: Any) -> Verdict:
            answer = arguments[-1]
            if answer is ...:
                says = told(
                    "put {expected} in place of the three dots, and run the cell again.", expected=told(expected)
                )
                return Verdict(False, says)
            fits = isinstance(answer, kinds) and not isinstance(answer, bool) if kinds else callable(answer)
            try:
                verdict = check(*arguments) if fits else _expected(expected, type(answer).__name__, answer)
            except OverflowError:
                verdict = _expected(expected, told("one too large to compute with"), answer)
            SESSION.tried(check, answer, verdict.done, verdict.says)
            return verdict

        return checked

    return made


def _expected(expected: str, got: str, answer: object) -> Verdict:
    says = told(
        "expected {expected}, but got {got}: {answer}.", expected=told(expected), got=got, answer=shorten(answer, 60)
    )
    return Verdict(False, says)


def run(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a student's function; or, if it raises, the verdict on that."""
    try:
        return function(*arguments)
    except Exception as error:
        name, says = type(error).__name__, str(error)[:120]
        return Verdict(False, told("your function stops with {name}: {says}", name=name, says=says))


def number(value: Any) -> float:
    """A student's number, which may be a tensor that a gradient could be taken of.

    Raises:
        TypeError, ValueError, RuntimeError: if it is none.
    """
    try:
        return float(value.detach() if isinstance(value, Tensor) else value)
    except OverflowError:
        raise ValueError("a whole number that is too large to compute with") from None


def run_for_number(function: Callable[..., Any], *arguments: Any, expected: str) -> float | Verdict:
    """The number that a student's function gives; or, if it gives none, the verdict on that."""
    value = run(function, *arguments)
    if isinstance(value, Verdict):
        return value
    try:
        return number(value)
    except (TypeError, ValueError, RuntimeError):
        return Verdict(False, f"expected {expected}, but got {shape(value)}.")


def same(answer: Tensor, truth: Tensor, tolerance: float = 1e-5) -> bool:
    """Whether two tensors agree up to rounding."""
    return answer.shape == truth.shape and bool((answer - truth).abs().max() <= tolerance * (1 + truth.abs().max()))


def slip(answer: Tensor, slips: Mapping[str, Tensor], tolerance: float = 1e-5) -> str | None:
    """What to say, in the lesson's language, about an answer that is one of the usual mistakes, or None."""
    return next((told(says) for says, wrong in slips.items() if same(answer, wrong, tolerance)), None)


def shape(value: object) -> str:
    """The shape of a tensor in words, or what it is if it is none."""
    if not isinstance(value, Tensor):
        return type(value).__name__
    return told("a tensor of {sizes}", sizes=tuple(value.shape))
