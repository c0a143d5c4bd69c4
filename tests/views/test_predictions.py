import asyncio
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bloomlab.errors import HookError, InputError
from bloomlab.lab import Lab
from bloomlab.tracing.edits import zero
from bloomlab.tracing.trace import Trace
from bloomlab.views.predictions.payload import READ, answer_values, predictions_payload
from bloomlab.views.predictions.still import arrays, cell, head_sentences, lines
from bloomlab.views.view import View
from tests.tasks.task_heads import LABELS, random_head, random_lab
from tests.tiny_random import byte_tokenizer, random_model
from tests.views.aside import aside, in_a_loop
from tests.views.lone import predictions_view, shown

TEXT = "Leo 😀 في."
QUESTION = "Who?"
LAST = 13  # a token for each byte
SHORT = "A cat."


@pytest.fixture(scope="module")
def lab() -> Lab:
    return random_lab()


def view_of(
    lab: Lab, text: str | Trace = TEXT, question: str = QUESTION, runs: list[str] | None = None, **traits: Any
) -> View:
    """A view as the lab makes it, which keeps a list of what it was asked to read."""

    def read(text: str) -> Trace:
        if runs is not None:
            runs.append(text)
        if text == "long":
            raise InputError("the text has 9000 tokens, but at most 2048 are read; shorten it")
        return lab.trace(text, read=READ)

    return predictions_view(read, lab.model, lab.tokenizer, lab.heads, text, question, **traits)


# ---- the payload ----


def test_the_last_layer_says_what_the_lab_s_verbs_say(lab: Lab) -> None:
    view = view_of(lab)
    found = arrays(shown(view))
    label: Any = lab.classify(TEXT)
    assert view.picture["column"] == label.column == LAST
    scores = dict(zip(LABELS["language"], found["language"][-1, LAST].tolist(), strict=True))
    assert scores == pytest.approx(label.scores, abs=1e-5)
    tagging: Any = lab.tag(TEXT)
    for place, scores in enumerate(tagging.scores):
        assert found["tags"][-1, place].tolist() == pytest.approx(list(scores.values()), abs=1e-5)
    named = [[e.text, e.tag, e.columns[0], e.columns[-1]] for e in tagging.entities]
    assert view.named[-1] == named
    answer: Any = lab.answer(QUESTION, TEXT)
    assert found["ends"][-1, 0].tolist() == pytest.approx(answer.starts, abs=1e-5)
    assert found["ends"][-1, 1].tolist() == pytest.approx(answer.ends, abs=1e-5)
    text, score, first, last = view.answers[-1]["spans"][0]
    best = answer.spans[0]
    assert (text, first, last) == (best.text, best.first, best.last) and score == pytest.approx(best.score, abs=1e-5)
    assert view.answers[-1]["note"] == answer.note


def test_the_next_tokens_of_the_last_layer_are_the_model_s(lab: Lab) -> None:
    logits = lab.model(torch.tensor([lab.tokenizer.encode(TEXT)])).logits[0]
    best, ids = logits.softmax(-1).topk(8)
    view = view_of(lab)
    found = arrays(shown(view))
    assert np.array_equal(found["ids"][-1], ids.numpy())
    assert np.abs(found["probs"][-1] - best.detach().numpy()).max() < 1e-6
    assert set(view.words) == {str(i) for i in found["ids"].flatten().tolist()}


def test_every_layer_has_probabilities_that_sum_to_one(lab: Lab) -> None:
    found = arrays(shown(view_of(lab)))
    for task in ("language", "tags"):
        assert found[task].shape == (3, LAST + 1, len(LABELS[task]))
        assert np.abs(found[task].sum(-1) - 1).max() < 1e-5
    assert (found["ends"].sum(-1) < 1).all()  # the rest went to the question


def test_the_cells_say_the_likeliest_with_its_mark(lab: Lab) -> None:
    values = shown(view_of(lab))
    found = arrays(values)
    text, _, first, _ = values["answers"][2]["spans"][0]
    assert [name for name, _, _ in lines(values)] == [
        "next token", "label, if the text ended here", "tag", "answer starts", "answer ends"
    ]  # fmt: skip
    starts, label = cell(values, found, "start", 2, first), cell(values, found, "language", 2, LAST)
    assert starts and starts.mark == "[" and starts.word == f"{found['ends'][2, 0, first]:.2f}"
    assert label and label.mark == "▲" and label.p == found["language"][2, LAST].max()
    values["asked"] = "answer"
    assert [layer for _, _, layer in lines(values)] == [0, 0, 1, 1, 2, 2]
    assert any(f"\u2068{text}\u2069" in sentence for sentence in head_sentences(values))


def test_what_is_not_bytes_is_small_and_can_be_sent_as_json(lab: Lab) -> None:
    payload = predictions_payload(lab.trace(TEXT, read=READ), lab.model, lab.tokenizer, lab.heads, QUESTION)
    rest = {name: value for name, value in payload.items() if not isinstance(value, bytes)}
    assert json.loads(json.dumps(rest)) == rest
    assert payload["picture"]["labels"] == {"language": LABELS["language"], "tags": LABELS["tags"]}


def size(payload: dict[str, Any]) -> int:
    return sum(len(value) if isinstance(value, bytes) else len(json.dumps(value)) for value in payload.values())


def test_a_long_text_crosses_a_window_of_next_tokens_at_a_time(lab: Lab) -> None:
    text = "ab " * 70
    trace = lab.trace(text[:64], read=READ)
    assert size(predictions_payload(trace, lab.model, lab.tokenizer, lab.heads, QUESTION)) < 300_000
    runs: list[str] = []
    view = view_of(lab, text, runs=runs)
    assert view.window == {"first": 192, "count": 18, "top": 8}
    before = view.probs
    view.query = 195
    assert view.probs is before
    view.query = 130
    assert view.window == {"first": 128, "count": 64, "top": 8} and runs == [text]
    values = shown(view)
    assert cell(values, arrays(values), "next", 0, 5) is None and cell(values, arrays(values), "tags", 0, 5) is not None


def test_a_lab_without_heads_shows_the_next_token_and_says_how_to_add_them() -> None:
    lab = Lab(random_model(), byte_tokenizer())
    view = view_of(lab)
    assert (view.language, view.tags, view.ends, view.answers, view.named) == (b"", b"", b"", [], [])
    assert [kind for _, kind, _ in lines(shown(view))] == ["next"]
    for task in ("language", "tags", "answer"):
        assert f"lab.heads[{task!r}] = model" in view.picture["missing"][task]
        assert f"lab.heads[{task!r}] = model" in view._still().replace("&#x27;", "'")
    assert "label_probs(" not in view.code and "next_tokens" in view.code
    lab.heads["tags"] = random_head("tags")
    lab.heads["language"] = random_head("tags")  # of the wrong kind
    view.show(SHORT)
    assert view.tags and "needs a BloomForSequenceClassification" in view.picture["missing"]["language"]


@pytest.mark.parametrize(
    ("question", "says"),
    [("x" * 300, "the question has 301 tokens, but at most 256"), ("a\ud800", "half a surrogate pair"), (" ", "")],
)
def test_a_question_that_cannot_be_asked_is_told(lab: Lab, question: str, says: str) -> None:
    found = answer_values(lab.trace(TEXT, read=READ), lab.tokenizer, lab.heads["answer"], question)
    assert says in found["trouble"] and found["answers"] == [] and bool(found["trouble"]) == bool(says)


# ---- the view ----


def test_the_first_picture_is_what_the_heads_say_in_the_end(lab: Lab) -> None:
    view = view_of(lab)
    assert (view.layer, view.query, view.state, view.text, view.asked) == (2, LAST, "ready", TEXT, "all")
    view.layer = 1
    view.show(SHORT)
    assert (view.layer, view.query, view.text) == (1, len(SHORT) - 1, SHORT)


def test_a_trace_is_shown_without_a_run_and_its_edits_reach_every_head(lab: Lab) -> None:
    runs: list[str] = []
    plain, edited = view_of(lab), view_of(lab, lab.trace(TEXT, READ, {"h.0.mlp.out": zero()}), runs=runs)
    assert runs == [] and edited.picture["edited"] and not plain.picture["edited"]
    assert all(getattr(edited, piece) != getattr(plain, piece) for piece in ("probs", "language", "tags", "ends"))


def test_a_trace_that_lacks_a_spot_says_how_to_read_it(lab: Lab) -> None:
    with pytest.raises(HookError, match=r"has no h\.0\.resid_post.*read=\['resid_post'\]"):
        view_of(lab, lab.trace(TEXT))


def test_another_question_is_asked_of_the_same_text_without_reading_it_again(lab: Lab) -> None:
    runs: list[str] = []
    view = view_of(lab, runs=runs)
    before = view.ends
    aside(lambda: view.set_state({"question": "Where does Leo live?"}))
    assert view.ends != before and runs == [TEXT]
    answer: Any = lab.answer("Where does Leo live?", TEXT)
    assert view.answers[-1]["spans"][0][0] == answer.text
    aside(lambda: view.set_state({"question": "x" * 300}))
    assert "301 tokens" in view.trouble and view.answers == []
    aside(lambda: view.set_state({"question": ""}))
    assert (view.trouble, view.answers, view.ends) == ("", [], b"")


@pytest.mark.slow
def test_a_burst_of_questions_asks_the_last_one_only(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from bloomlab.views.predictions import panel as predictions

    asked = []
    ask = predictions.answer_values

    def counted(*arguments: Any) -> dict[str, Any]:
        asked.append(arguments[-1])
        return ask(*arguments)

    monkeypatch.setattr(predictions, "answer_values", counted)
    view = view_of(lab)
    asked.clear()

    async def burst() -> None:
        for number in range(100):
            view.set_state({"question": f"Question {number}?"})
            await asyncio.sleep(0.0005)
        await asyncio.sleep(0.3)

    in_a_loop(burst)
    assert len(asked) <= 2 and asked[-1] == "Question 99?"


def test_an_error_while_typing_is_said_in_the_view_and_the_picture_stays(lab: Lab) -> None:
    view = view_of(lab)
    picture = view.picture
    aside(lambda: view.set_state({"typed": {"text": "long", "number": 1}}))
    assert (view.state, view.answered) == ("error", 1)
    assert "9000 tokens" in view.message and view.picture is picture
    aside(lambda: view.set_state({"typed": {"text": SHORT, "number": 2}}))
    assert (view.state, view.text, len(arrays(shown(view))["tags"][0])) == ("ready", SHORT, len(SHORT))


def test_a_view_without_a_text_waits_in_the_empty_state(lab: Lab) -> None:
    view = view_of(lab, "")
    assert (view.state, view.text, view.code) == ("empty", "", "")
    assert "nothing read yet" in repr(view) and "nothing read yet" in view._still()
    view.question = "Who?"
    with pytest.raises(InputError, match="show a text first"):
        view.save("never.html")


# ---- what one takes away ----


def test_the_code_computes_the_selected_cell(
    lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab, "code", "lab = given")
    view = view_of(lab, "'''\\ {layer} TEXT SETUP\n", "\"'{query}\\ SETUP 😀?")
    view.layer, view.query = 1, 2
    exec(view.code, {"given": lab})
    said, label, tag, ends = capsys.readouterr().out.splitlines()
    found = arrays(shown(view))
    assert f"{found['probs'][1, 2, 0]:.4f}" in said
    for line, values in ((label, found["language"][1, 2]), (tag, found["tags"][1, 2]), (ends, found["ends"][1, :, 2])):
        numbers = [float(number) for number in line.removeprefix("tensor([").removesuffix("])").split(",")]
        assert numbers == pytest.approx(values.tolist(), abs=1e-4)


class Tags(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_widget_also_has_a_still_form_and_a_line_of_text(lab: Lab) -> None:
    view = view_of(lab)
    data, _ = view._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    still = Tags(data["text/html"])
    assert "script" not in still.tags and "▲" in still.text and view.picture["stamp"] in still.text
    label: Any = lab.classify(TEXT)
    assert f"label: {label.label}, probability {label.score:.3f}, read from token {LAST}" in repr(view)
    assert len(view_of(lab, "ab " * 70)._still()) < 100_000


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", "</script><script>x</script>", "'\"><svg onload=x>"])
def test_hostile_text_question_and_label_stay_text_in_the_still_page(lab: Lab, text: str) -> None:
    still = Tags(view_of(lab, text, text)._still())
    assert not still.tags & {"img", "script", "svg", "b"}
    assert text in still.text  # the question


@pytest.mark.slow
@pytest.mark.parametrize("asked", ["all", "next", "language", "tags", "answer"])
def test_the_picture_is_drawn_in_every_script_without_a_warning(lab: Lab, tmp_path: Path, asked: str) -> None:
    view = view_of(lab, "$x$ القطة <b>", "$a$ \u202e?", asked=asked)
    png, svg = view.save(tmp_path / "x.png"), view.save(tmp_path / "x.svg")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert svg.read_text().count("<path") > 20
    with pytest.raises(InputError, match=r"saved as \.html, \.png or \.svg; got .*leo\.pdf"):
        view.save(tmp_path / "leo.pdf")


# ---- lab.predictions ----


def test_the_lab_shows_a_text_or_a_trace(lab: Lab) -> None:
    view = lab.predictions(TEXT, QUESTION)
    assert (view.text, view.question, view.picture["stamp"].split(" · ")[0]) == (TEXT, QUESTION, "random")
    aside(lambda: view.set_state({"typed": {"text": SHORT, "number": 1}}))
    assert (view.state, view.text) == ("ready", SHORT)
    assert lab.predictions(lab.trace(TEXT, READ)).text == TEXT
    with pytest.raises(InputError, match="the text is empty"):
        lab.predictions("")
    with pytest.raises(InputError, match="as question, but got None"):
        lab.predictions(TEXT, None)  # type: ignore[arg-type]
