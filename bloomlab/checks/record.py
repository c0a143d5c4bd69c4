"""What a person did in this kernel's lesson, kept until it ends: tries at exercises, guesses under covers, and when.

Nothing is written and nothing is sent before somebody calls `checks.report(name=…)`, and what it writes is one file.
"""

import inspect
import time
from dataclasses import dataclass, field
from typing import Any

MOST, LONGEST = 500, 2000  # entries of a kind, and characters of a text


@dataclass(frozen=True)
class Try:
    """One call of a check with an answer; true if that was right.

    Attributes:
        exercise: the check's name, with the lesson's number before it: "02b follows".
        seconds: since the lesson began.
        done: whether the answer was right.
        says: what the check said about it.
        answer: what was answered: of a function its lines, of anything else as Python writes it.
    """

    exercise: str
    seconds: float
    done: bool
    says: str
    answer: str

    def __bool__(self) -> bool:
        return self.done


@dataclass(frozen=True)
class Guessed:
    """One prediction under a cover; `seconds` since the lesson began."""

    question: str
    seconds: float
    prediction: str
    answer: str


@dataclass
class Session:
    """Everything since the kernel's lesson began; `words` and `sentences` are what its covers and checks say in the
    lesson's language."""

    began: float = field(default_factory=time.time)
    tries: list[Try] = field(default_factory=list)
    guesses: list[Guessed] = field(default_factory=list)
    words: dict[str, str] = field(default_factory=dict)
    sentences: dict[str, str] = field(default_factory=dict)

    def tried(self, check: Any, answer: Any, done: bool, says: str) -> None:
        """Keep one try at an exercise; the dots that nobody has replaced are none."""
        if answer is ... or len(self.tries) >= MOST:
            return
        lesson = (check.__doc__ or "").partition(":")[0]
        self.tries.append(Try(f"{lesson} {check.__name__}", self._seconds(), done, says[:LONGEST], written(answer)))

    def guessed(self, question: str, prediction: str, answer: str) -> None:
        """Keep what was predicted; the same cover uncovered once more counts once."""
        question, prediction, answer = (text[:LONGEST] for text in (question, prediction, answer))
        if len(self.guesses) < MOST and not any(kept.question == question for kept in self.guesses):
            self.guesses.append(Guessed(question, self._seconds(), prediction, answer))

    def _seconds(self) -> float:
        return round(time.time() - self.began, 1)


def written(answer: Any) -> str:
    """An answer as text: the lines of a function, if they can be had; else what Python writes for it."""
    try:
        text = inspect.getsource(answer) if callable(answer) else repr(answer)
    except Exception:  # a function typed at a prompt has no lines; a repr may do anything
        text = f"a {type(answer).__name__}"
    return text[:LONGEST]


SESSION = Session()
