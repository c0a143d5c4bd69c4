import base64
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
from IPython.core.formatters import DisplayFormatter
from ipywidgets import Output
from matplotlib.figure import Figure

from bloomlab import checks
from bloomlab.errors import InputError
from bloomlab.views.cover import Cover, bundle, cover_payload
from bloomlab.views.shared.figure import ShownFigure
from tests.browser.texts import HOSTILE


class Table:
    """Something with a picture of its own, as a notebook shows it."""

    def __repr__(self) -> str:
        return "a table"

    def _repr_html_(self) -> str:
        return "<table><tr><td>12</td></tr></table>"


def test_a_number_a_choice_and_a_text_are_asked_for_in_their_own_way() -> None:
    assert cover_payload("How many?", 250880, unit="tokens")["answer"] == "250,880"
    assert [cover_payload("?", value)["kind"] for value in (4, 0.5, True, "Oslo")] == ["number"] * 2 + [
        "choice",
        "text",
    ]
    assert cover_payload("Which step?", 1800, choices=[1600, 1800])["answer"] == "1800"
    chosen = cover_payload("Which?", 3, choices=range(4))
    assert (chosen["kind"], chosen["choices"], chosen["answer"]) == ("choice", ["0", "1", "2", "3"], "3")
    assert cover_payload("Is it?", False)["answer"] == "no"


def test_what_is_compared_is_the_number_as_it_is_shown() -> None:
    told = cover_payload("What share?", 0.66666)
    assert (told["answer"], told["number"]) == ("0.667", 0.667)
    assert cover_payload("How many?", 999.9)["answer"] == "1,000"
    assert cover_payload("How many?", 1234567)["number"] == 1234567.0


class One:
    """A tensor or array of one number."""

    def item(self) -> float:
        return 0.25


def test_a_tensor_of_one_number_is_a_number() -> None:
    assert cover_payload("How much?", One())["answer"] == "0.25"  # type: ignore[arg-type]  # as a notebook may


@pytest.mark.parametrize(
    ("question", "answer", "more", "says"),
    [
        ("", 4, {}, r"expected a question"),
        (None, 4, {}, r"expected a text \(str\) as question"),
        ("Who?", [1, 2], {}, r"a text or a number, but got .*shows="),
        ("Who?", None, {}, r"a text or a number, but got None"),
        ("Who?", float("nan"), {}, r"a finite number, but got nan"),
        ("Who?", "Leo", {"choices": ["Ana", "Mia"]}, r"'Leo' is not among the choices 'Ana', 'Mia'"),
        ("Wh\ud800?", 4, {}, r"whole characters in question"),
        ("Who?", "\udfff", {}, r"whole characters in answer"),
        ("Who?", 4, {"because": 5}, r"as because"),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(question: Any, answer: Any, more: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Cover(question, answer, **more)


def test_the_text_asks_and_does_not_tell() -> None:
    cover = checks.cover("Which city?", "Oslo", choices=["Lima", "Oslo"], because="Leo lives there.")
    assert repr(cover).startswith("Which city? (Lima · Oslo)\n") and "cover.answer" in repr(cover)
    assert "Leo" not in repr(cover)
    data, _ = cover._repr_mimebundle_()
    assert data["text/plain"] == repr(cover)
    assert (cover.prediction, cover.revealed, cover.answer) == ("", False, "Oslo")


def test_without_a_script_the_answer_is_folded_away_below_the_question() -> None:
    data, _ = Cover("Which?", "b", choices=["a", "b"], because="so it is", shows=Table())._repr_mimebundle_()
    before, inside = data["text/html"].split("<details>")
    assert "Which?" in before and "so it is" not in before and "<td>12" not in before
    assert "so it is" in inside and "<td>12</td>" in inside
    assert "<script" not in data["text/html"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_text_in_the_still_form(text: str) -> None:
    cover = Cover(text, text, choices=[text, "b"], because=text, unit=text, shows=text)
    html = cover._still()
    assert html.count("<") == Cover("q", "a", choices=["a", "b"], because="c", unit="u", shows="s")._still().count("<")


def test_anything_a_notebook_can_show_can_be_covered() -> None:
    held = Cover("?", 1, shows=Table())
    assert isinstance(held._holder, Output) and held.shown == f"IPY_MODEL_{held._holder.model_id}"
    assert held._holder.outputs[0]["data"]["text/html"] == Table()._repr_html_()
    assert held.shown_text == "a table"
    view = Cover("inside", 2)
    assert Cover("?", 1, shows=view).shown == f"anywidget:{view.model_id}"  # a widget stands for itself
    assert Cover("?", 1).shown == "" == Cover("?", 1).shown_text
    assert bundle("a\nb") == {"text/plain": "a\nb"}


def test_a_covered_figure_is_not_shown_under_the_cell_as_well() -> None:
    figure = plt.figure(figsize=(1, 1))
    covered = Cover("?", 1, shows=figure)
    assert not plt.fignum_exists(figure.number)
    assert base64.b64decode(bundle(plt.figure(figsize=(1, 1)))["image/png"]).startswith(b"\x89PNG")
    assert '<img src="data:image/png;base64,' in covered._still()
    plt.close("all")


def test_a_figure_is_a_picture_where_pyplot_is_not_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """No notebook knows then how to show one: it would be the words <Figure size …>."""
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot")
    assert base64.b64decode(bundle(Figure(figsize=(1, 1)))["image/png"]).startswith(b"\x89PNG")
    shown: dict[str, Any] = DisplayFormatter().format(ShownFigure(figsize=(1, 1)))[0]  # type: ignore[no-untyped-call]
    assert shown["image/png"].startswith(b"\x89PNG")


def test_the_saved_page_asks_afresh_and_holds_no_widget(tmp_path: Path) -> None:
    cover = Cover("Which?", "b", choices=["a", "b"], shows=Table())
    cover.prediction, cover.revealed = "a", True
    text = cover.save(tmp_path / "question.html").read_text(encoding="utf-8")
    state = json.loads(text.split('id="state">')[1].split("</script>")[0])
    assert (state["prediction"], state["revealed"], state["shown"], state["live"]) == ("", False, "", False)
    assert state["shown_text"] == "a table"
    with pytest.raises(InputError, match=r"cannot write .*question\.html: .*directory; name a folder that is there"):
        cover.save(tmp_path / "question.html" / "question.html")
    with pytest.raises(InputError, match=r"saved as \.html"):
        cover.save(tmp_path / "question.png")


def test_what_was_predicted_is_kept_in_the_notebook_and_not_in_a_page_to_hand_out(tmp_path: Path) -> None:
    cover = Cover("How many?", 3)
    assert cover._about() == {"question": "How many?", "prediction": "", "answer": ""}
    assert "3" not in cover._beside()
    cover.set_state({"prediction": "<7>", "revealed": True})
    assert cover._about() == {"question": "How many?", "prediction": "<7>", "answer": "3"}
    assert "you said: <bdi>&lt;7&gt;</bdi>" in cover._beside() and "<bdi>3</bdi>" in cover._beside()
    assert "you said: <bdi>" not in cover.save(tmp_path / "x.html").read_text(encoding="utf-8")
