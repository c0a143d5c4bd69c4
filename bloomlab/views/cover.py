"""A cover: a question whose answer stays hidden until somebody has written down a prediction.

A wrong prediction is remembered; a result that was only looked at is not. The answer is computed when the cell runs,
so it is true of the model at hand.
"""

import base64
import io
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import traitlets
from anywidget import AnyWidget
from IPython.core.formatters import DisplayFormatter
from ipywidgets import Output, Widget  # type: ignore[import-untyped]  # it ships no types

from bloomlab.errors import InputError, check_attribute, shorten
from bloomlab.guards.arguments import whole_text
from bloomlab.guards.files import replacing
from bloomlab.guards.markup import escaped
from bloomlab.guards.memory import saying_that_memory_is_full
from bloomlab.views.shared.assets import module_text, style_text
from bloomlab.views.shared.beside import show_beside, update_beside
from bloomlab.views.shared.from_page import FromPage
from bloomlab.views.shared.page import page

YES_NO = ("yes", "no")
WORDS = (
    *YES_NO,
    "your prediction",
    "your prediction, a number",
    "your prediction, in a few words",
    "reveal",
    "Choose one first: a guess will do.",
    "Write a number first: a guess will do.",
    "Write a prediction first: a guess will do.",
    "you said",
    "it is",
    "You said {said}. It is {answer}.",
    "nothing",
    "nothing was predicted",
    "You knew it.",
    "Close enough for a guess.",
    "Not what you said: why?",
    "Compare the two.",
    "{by} too high.",
    "{by} too low.",
    "{by} times too high.",
    "{by} times too low.",
    "what was covered",
    "Predict, write it down, and open this",
)
"""All that every cover says, whatever it asks; `words` says them in another language."""
NO_WORDS: Mapping[str, str] = {}
VIEW = "application/vnd.jupyter.widget-view+json"


def cover_payload(
    question: str,
    answer: str | bool | int | float,
    choices: Sequence[object] = (),
    because: str = "",
    unit: str = "",
    words: Mapping[str, str] = NO_WORDS,
) -> dict[str, Any]:
    """What the page is told: the question, how to predict, and what the answer is.

    `kind` is "choice", "number" or "text"; `number` is the answer as it is shown, to say how far off a prediction was.

    >>> cover_payload("How much?", 2 / 3)["answer"], cover_payload("Is it?", True)["choices"]
    ('0.667', ['yes', 'no'])

    Raises:
        InputError: something is not a text, or the answer is that is not among the choices.
    """
    if not whole_text(question, "question").strip():
        raise InputError("expected a question, but got an empty text; a cover asks for a prediction")
    answer = answer.item() if hasattr(answer, "item") else answer  # a tensor or array of one number
    if isinstance(answer, bool):
        yes_no = [words.get(word, word) for word in YES_NO]
        answer, choices = yes_no[not answer], choices or yes_no
    if not isinstance(answer, str | int | float):
        raise InputError(
            f"expected an answer that is a text or a number, but got {shorten(answer)}; "
            "a table, a picture or a view goes into shows="
        )
    if isinstance(answer, float) and not math.isfinite(answer):
        raise InputError(f"expected an answer that is a finite number, but got {answer}; find out where it comes from")
    given = [whole_text(str(choice), "a choice") for choice in choices]
    shown = str(answer) if given or isinstance(answer, str) else _digits(answer)
    if given and shown not in given:
        raise InputError(
            f"the answer {shorten(shown)} is not among the choices {', '.join(map(repr, given))}; add it to choices="
        )
    is_number = not isinstance(answer, str) and not given
    return {
        "question": question,
        "kind": "choice" if given else "number" if is_number else "text",
        "choices": given,
        "answer": whole_text(shown, "answer"),
        "number": float(shown.replace(",", "")) if is_number else None,
        "because": whole_text(because, "because"),
        "unit": whole_text(unit, "unit"),
    }


def _digits(number: int | float) -> str:
    """A whole number in full, any other to three digits.

    >>> _digits(250880), _digits(0.04321), _digits(1234.5)
    ('250,880', '0.0432', '1,234')
    """
    return f"{number:,}" if isinstance(number, int) else f"{number:.3g}" if abs(number) < 999.5 else f"{number:,.0f}"


@saying_that_memory_is_full
class Cover(FromPage):
    """A question; under it, once there is a prediction, prediction and answer side by side, and what follows from it.

    Attributes:
        prediction: what was written or chosen; "" before.
        revealed: whether the answer is shown; set it to True to show it from Python.
        answer: the answer as it is shown.
        shows: what was covered: the object that was passed as `shows`, or None.
        words: what WORDS are in another language; those that are not there stay English.
    """

    _esm = module_text("cover")
    _css = style_text()

    question = traitlets.Unicode().tag(sync=True)
    kind = traitlets.Enum(("choice", "number", "text"), "text").tag(sync=True)
    choices = traitlets.List(traitlets.Unicode()).tag(sync=True)
    answer = traitlets.Unicode().tag(sync=True)
    number = traitlets.Float(None, allow_none=True).tag(sync=True)
    unit = traitlets.Unicode().tag(sync=True)
    because = traitlets.Unicode().tag(sync=True)
    words = traitlets.Dict(value_trait=traitlets.Unicode(), key_trait=traitlets.Unicode()).tag(sync=True)
    shown = traitlets.Unicode().tag(sync=True)  # the widget that shows the covered thing, as widgets name each other
    shown_text = traitlets.Unicode().tag(sync=True)  # the same for a page without a kernel
    shown_picture = traitlets.Unicode().tag(sync=True)  # and if it is a picture: a PNG in base64
    name = traitlets.Unicode().tag(sync=True)  # of its still, which is hidden while a live view is in the page
    scale = traitlets.Float(1.0, min=0.5, max=3.0).tag(sync=True)  # larger for a projector
    live = traitlets.Bool(True).tag(sync=True)  # False in a saved page

    # what the page sets
    prediction = traitlets.Unicode().tag(sync=True)
    revealed = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        question: str,
        answer: str | bool | int | float,
        *,
        choices: Sequence[object] = (),
        because: str = "",
        unit: str = "",
        shows: object = None,
        words: Mapping[str, str] = NO_WORDS,
        **traits: Any,
    ) -> None:
        told = cover_payload(question, answer, choices, because, unit, words)
        self.shows = shows
        self._bundle = {} if shows is None else bundle(shows)
        self._holder = _widget(shows, self._bundle)  # kept, for as long as the cover is
        covered = {"shown": _reference(self._holder), "shown_picture": self._bundle.get("image/png", "")}
        traits.setdefault("layout", {"width": "100%"})  # in a box that gives it no width, it would have none
        super().__init__(
            **told, **covered, words=dict(words), shown_text=str(self._bundle.get("text/plain", "")), **traits
        )
        self.name = self.model_id
        self._complete = True

    def __setattr__(self, name: str, value: Any) -> None:
        if self.__dict__.get("_complete"):
            check_attribute(self, name, self.traits())
        super().__setattr__(name, value)

    def page_sets(self) -> list[str]:
        """What is written or chosen there, and that it has been."""
        return ["prediction", "revealed"]

    def save(self, path: str | Path) -> Path:
        """Write the question as a page that works in any browser, offline: to hand out, or to project.

        Raises:
            InputError: the file's name does not end in .html, or it cannot be written.
        """
        path = Path(path)
        if path.suffix != ".html":
            raise InputError(f"a cover is saved as .html, for a picture would show its answer; got {str(path)!r}")
        text = page("cover", self.saved_state(), self._still(), self.question)
        with replacing(path) as draft:
            draft.write_text(text, encoding="utf-8")
        return path

    def saved_state(self) -> dict[str, Any]:
        """The traits of a page to hand out: what was predicted here is not said."""
        names = (
            "question",
            "kind",
            "choices",
            "answer",
            "number",
            "unit",
            "because",
            "words",
            "shown_text",
            "shown_picture",
            "scale",
        )
        return {name: getattr(self, name) for name in names} | {"prediction": "", "revealed": False, "shown": ""}

    def _say(self, phrase: str) -> str:
        return escaped(self.words.get(phrase, phrase))

    def _asked(self, prediction: str) -> str:
        """The question and what has been predicted, without script."""
        choices = "".join(f'<li dir="auto">{escaped(choice)}</li>' for choice in self.choices)
        said = f'<p dir="auto">{self._say("you said")}: <bdi>{escaped(prediction)}</bdi></p>' if prediction else ""
        return f'<p dir="auto"><b>{escaped(self.question)}</b></p>{said}{choices and f"<ul>{choices}</ul>"}'

    def _still(self, prediction: str = "") -> str:
        """The question, and the answer folded away, without script."""
        because = f'<p dir="auto">{escaped(self.because)}</p>' if self.because else ""
        return (
            f"<div>{self._asked(prediction)}"
            f"<details><summary>{self._say('Predict, write it down, and open this')}</summary>"
            f"<p><b><bdi>{escaped(self.answer)}</bdi></b> {escaped(self.unit)}</p>{because}{self._covered()}"
            "</details></div>"
        )

    def _covered(self) -> str:
        """The covered object without script: as markup of its own, a picture, or text."""
        data = self._bundle
        if "text/html" in data:
            return str(data["text/html"])
        if "image/png" in data:
            source = f"data:image/png;base64,{escaped(str(data['image/png']))}"
            return f'<img src="{source}" alt="{self._say("what was covered")}">'
        return f'<pre dir="auto">{escaped(str(data["text/plain"]))}</pre>' if data else ""

    def __repr__(self) -> str:
        choices = f" ({' · '.join(self.choices)})" if self.choices else ""
        return f"{self.question}{choices}\npredict, then look: cover.answer (in the next cell: _.answer)"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget; and for a page without a kernel, or a terminal, the same in still form."""
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        return {**data, "text/html": self._still(self.prediction), "text/plain": repr(self)}, metadata

    def _ipython_display_(self) -> None:
        """In a notebook, the still is an output of its own, and with it what was predicted: both stay in the file."""
        data, metadata = self._repr_mimebundle_()
        show_beside(self, data | {"text/html": self._beside()}, metadata, self._about())

    def _beside(self) -> str:
        """What stands in the notebook: no answer before there is a prediction, not even out of sight."""
        return self._still(self.prediction) if self.revealed else self._asked("")

    def _about(self) -> dict[str, str]:
        return {
            "question": self.question,
            "prediction": self.prediction,
            "answer": self.answer if self.revealed else "",
        }

    @traitlets.observe("prediction", "revealed")
    def _keep(self, _: dict[str, Any]) -> None:
        if self.revealed:
            update_beside(self, self._beside(), self._about())


def bundle(shows: object) -> dict[str, Any]:
    """All forms in which a notebook could show an object, by MIME type.

    A figure of matplotlib is drawn here: without pyplot no notebook knows how to show one, and with it the figure is
    taken from it, for it would show it under the cell.
    """
    drawn, pyplot = (sys.modules.get(f"matplotlib.{name}") for name in ("figure", "pyplot"))
    if drawn is not None and isinstance(shows, drawn.Figure):
        picture = io.BytesIO()
        shows.savefig(picture, format="png", bbox_inches="tight")
        if pyplot is not None:
            pyplot.close(shows)
        return {"image/png": base64.b64encode(picture.getvalue()).decode(), "text/plain": "a picture"}
    if isinstance(shows, str):
        return {"text/plain": shows}
    if hasattr(shows, "_ipython_display_") and hasattr(shows, "_repr_mimebundle_"):  # it is not to be shown yet
        return dict(shows._repr_mimebundle_()[0])
    data: dict[str, Any] = DisplayFormatter().format(shows)[0]  # type: ignore[no-untyped-call]  # IPython's
    return data


def _widget(shows: object, data: dict[str, Any]) -> Widget | None:
    """The widget that shows an object: itself, its view, or one around what Jupyter shows as the result of a cell."""
    if isinstance(shows, Widget):
        return shows
    if VIEW in data and hasattr(shows, "view"):
        return cast(Widget, shows.view)
    if not data or "image/png" in data:  # the page shows a picture by itself
        return None
    return Output(outputs=({"output_type": "display_data", "data": data, "metadata": {}},))


def _reference(widget: Widget | None) -> str:
    """How the page names a widget: as anywidget's hosts do, all of them; other widgets, as only Jupyter does."""
    if widget is None:
        return ""
    return f"{'anywidget:' if isinstance(widget, AnyWidget) else 'IPY_MODEL_'}{widget.model_id}"
