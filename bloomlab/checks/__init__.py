"""The exercises of the lessons: a check looks at an answer and says what it shows, or where to look next.

    from bloomlab import checks
    checks.half_weight(20, slope)          Well done: … or Not yet: …
    checks.cover("How many?", count)       asks for a prediction, then shows it beside the answer

parts.py has the checks of lessons 01 to 06, about the parts of the model; use.py those of 07 to 13, about using it;
covers.py the cover.
No check raises for a wrong answer: a wrong answer is what it is for.
"""

from bloomlab.checks.covers import cover
from bloomlab.checks.parts import attention, decided, gelu, half_weight, layer_norm, more_tokens_than_characters
from bloomlab.checks.use import (
    columns_computed,
    enough_tokens,
    first_step,
    guess_among,
    one_shape,
    parameters,
    says_instead,
)
from bloomlab.checks.verdict import Verdict
from bloomlab.missing import explain_missing_names

__all__ = [
    "Verdict",
    "attention",
    "columns_computed",
    "cover",
    "decided",
    "enough_tokens",
    "first_step",
    "gelu",
    "guess_among",
    "half_weight",
    "layer_norm",
    "more_tokens_than_characters",
    "one_shape",
    "parameters",
    "says_instead",
]

explain_missing_names()  # a lesson has begun: its kernel says what to do about a cell that was run too early
