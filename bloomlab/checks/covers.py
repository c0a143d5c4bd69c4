"""Predict, then look: a question whose answer stays covered until a prediction is written down."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bloomlab.checks.record import SESSION
from bloomlab.guards.arguments import one_of
from bloomlab.guards.memory import in_words
from bloomlab.lessons import folder
from bloomlab.translated import catalogue_of, languages

if TYPE_CHECKING:
    from bloomlab.views.cover import Cover


@in_words
def cover(
    question: str,
    answer: str | bool | int | float,
    *,
    choices: Sequence[object] = (),
    because: str = "",
    unit: str = "",
    shows: object = None,
) -> "Cover":
    """Ask for a prediction; once there is one, show it beside the answer.

    Args:
        question: what to predict.
        answer: what it is: a value that the notebook has computed. A number asks for a number, True or False for yes
            or no, a text for a text.
        choices: to choose from; the answer must be one of them.
        because: one sentence that explains the answer.
        unit: what follows a number: "tokens", "%".
        shows: what appears with the answer: a view, a table, a figure, a text, anything a notebook can show.

    Returns:
        the widget; `.prediction` is what was said, `.answer` the answer, `.save("question.html")` a page to hand out.

    Raises:
        InputError: no question, an answer that is neither text nor number, or one that is not among the choices.
    """
    from bloomlab.views.cover import Cover

    asked = Cover(question, answer, choices=choices, because=because, unit=unit, shows=shows, words=SESSION.words)
    asked.observe(lambda _: _keep(asked), ["revealed"])
    return asked


def language(code: str) -> None:
    """Say in a language what every cover ("reveal", "you said") and the checks of translated lessons say.

    The first cell of a translated lesson does.

    Args:
        code: "fr" or "es", or another that lessons have been translated to; "en" for English.

    Raises:
        InputError: no lesson has been translated to it.
    """
    code = one_of("code", code, ("en", *languages(folder())))
    SESSION.words, SESSION.sentences = (
        {english: said for (_, english), said in (catalogue_of(folder() / name, code) or {}).items()}
        for name in ("cover", "checks")
    )


def _keep(asked: "Cover") -> None:
    """Keep what was predicted when the answer is shown, for checks.report(name=…)."""
    if asked.revealed and asked.prediction:
        SESSION.guessed(asked.question, asked.prediction, asked.answer)
