"""A claim: a sentence that bloomlab says of a model, and the measurement that could refute it.

    @claim(
        "Silence head 1 of layer 0 at that full stop alone, and Oslo is lost.",  # word for word, as it is printed
        said_in="notebooks/00_welcome.ipynb",
        value="p(city) lost when the head is silenced at the full stop, five stories",
        control="the same, silenced at the city",
        holds=lambda value, control: min(value) > 0.7 and max(control) < 0.05,
    )
    def one_head_marks_the_recap(lab):
        return [loss(lab, story, full_stop) for story in STORIES], [loss(lab, story, city) for story in STORIES]

`value` is what the sentence is about; `control` is the same measurement where the sentence expects nothing: another
head, place or text, or a model that was never trained. Both are one number or a list of them. A sentence is refuted
if `holds` is false; a sentence that cannot be refuted is no claim, so `holds` must be false when value and control are
exchanged (`make claims` also measures each with untrained weights).
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bloomlab import Lab

ROOT = Path(__file__).parents[2]
Numbers = float | Sequence[float]
Measure = Callable[[Lab], tuple[Numbers, Numbers]]


@dataclass(frozen=True)
class Claim:
    """One sentence and its measurement.

    Attributes:
        name: of the function that measures it.
        sentence: word for word; emphasis and line breaks do not count.
        said_in: the files that say it, from the project's root.
        value, control: what the two numbers are, in words.
        holds: whether the sentence is true, from (value, control); a single number comes as a list of one.
        measure: (value, control) of a lab.
        untrained: why the sentence also holds without training, or is not about the weights; "" if it must not hold.
        findings: the files of docs/findings that the numbers are from (see kept.py).
    """

    name: str
    sentence: str
    said_in: tuple[str, ...]
    value: str
    control: str
    holds: Callable[[list[float], list[float]], bool]
    measure: Measure
    untrained: str = ""
    findings: tuple[str, ...] = ()

    def measured(self, lab: Lab) -> tuple[list[float], list[float]]:
        """The value and the control, each a list of numbers; the same each time, also of a model drawn at random."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            value, control = self.measure(lab)
        return numbers(value), numbers(control)


CLAIMS: dict[str, Claim] = {}
"""All claims by name, in the order in which they are written."""


def claim(
    sentence: str,
    said_in: str | Sequence[str],
    value: str,
    control: str,
    holds: Callable[[list[float], list[float]], bool],
    untrained: str = "",
    findings: Sequence[str] = (),
) -> Callable[[Measure], Measure]:
    """Make a claim of the function below, which measures it."""

    def register(measure: Measure) -> Measure:
        name = measure.__name__
        if name in CLAIMS:
            raise ValueError(f"two claims are called {name}; rename one")
        files = (said_in,) if isinstance(said_in, str) else tuple(said_in)
        CLAIMS[name] = Claim(name, sentence, files, value, control, holds, measure, untrained, tuple(findings))
        return measure

    return register


def numbers(found: Numbers) -> list[float]:
    """One number, or several, as a list."""
    return [float(number) for number in found] if isinstance(found, Sequence) else [float(found)]


def prose(path: Path) -> str:
    """What a file says, without emphasis and line breaks; of a notebook all its cells, covers too."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    return plain(text)


def plain(text: str) -> str:
    """A text as it is compared: without * and `, joined strings and comment marks, with single spaces.

    >>> plain("It *marks*\\n  the `recap`.")
    'It marks the recap.'
    """
    text = re.sub(r'"\s*\n\s*f?"', "", text)  # one sentence over two strings of Python
    text = re.sub(r"\n\s*(?:#|>|-) ", "\n", text)
    return re.sub(r"\s+", " ", re.sub(r"[*`_]", "", text)).strip()
