import asyncio
import json
import math
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bloomlab.errors import HookError, InputError
from bloomlab.lab import Lab
from bloomlab.lens import hidden as lens
from bloomlab.lens.logit_lens import logit_lens
from bloomlab.tracing.edits import zero
from bloomlab.tracing.trace import Trace
from bloomlab.views.hidden import payload as hidden
from bloomlab.views.hidden.figure import lens_figure
from bloomlab.views.hidden.payload import READ, hidden_payload
from bloomlab.views.hidden.still import arrays
from bloomlab.views.shared.pictures import cell_colours
from bloomlab.views.view import View
from tests.tiny_random import byte_tokenizer, random_model
from tests.views.aside import aside, in_a_loop
from tests.views.lone import hidden_view, shown

TEXT = "Leo 😀."
LAST = 8  # a token for each byte
SHORT = "A cat."


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(random_model(), byte_tokenizer(), name="random")


def traced(lab: Lab, text: str = TEXT, **settings: Any) -> Trace:
    return lab.trace(text, read=READ, **settings)


def view_of(lab: Lab, text: str | Trace = TEXT, runs: list[str] | None = None, **traits: Any) -> View:
    """A view as the lab makes it, which keeps a list of what it was asked to read."""

    def read(text: str) -> Trace:
        if runs is not None:
            runs.append(text)
        if text == "long":
            raise InputError("the text has 9000 tokens, but at most 2048 are read; shorten it")
        if text == "broken":
            raise RuntimeError("something else")
        if text == "interrupted":
            raise KeyboardInterrupt
        return traced(lab, text)

    return hidden_view(read, lab.model, lab.tokenizer, text, **traits)


# ---- the payload ----


def test_the_cells_are_the_logit_lens(lab: Lab) -> None:
    trace = traced(lab)
    values = shown(view_of(lab))
    found = arrays(values)
    rows = logit_lens(lab.model, trace)
    assert values["picture"]["states"] == [row.label for row in rows]
    assert values["picture"]["states"][:3] == ["embed", "0 mid", "0 post"]
    for name in ("ids", "probs", "entropy", "rank", "surprise"):
        expected = torch.stack([getattr(row, name) for row in rows]).numpy()
        assert np.array_equal(found[name], expected, equal_nan=True), name
    assert found["probs"].shape == (7, LAST + 1, 5)
    assert (found["rank"][:, -1] == 0).all() and np.isnan(found["surprise"][:, -1]).all()


def test_the_last_row_is_what_the_model_says(lab: Lab) -> None:
    logits = lab.model(torch.tensor([lab.tokenizer.encode(TEXT)])).logits[0]
    best, ids = logits.softmax(-1).topk(5)
    found = arrays(shown(view_of(lab)))
    assert np.array_equal(found["ids"][-1], ids.numpy())
    assert np.abs(found["probs"][-1] - best.detach().numpy()).max() < 1e-6


def test_lengths_cosines_and_shares_are_those_of_the_lens(lab: Lab) -> None:
    trace = traced(lab)
    view = view_of(lab)
    found = arrays(shown(view))
    states, parts = lens.stream(trace).states, lens.shares(trace)
    assert np.array_equal(found["norms"], lens.norms(states).numpy())
    assert np.array_equal(found["shares"], parts.shares.numpy()) and np.array_equal(found["added"], parts.norms.numpy())
    assert np.abs(found["shares"].sum(0) - 1).max() < 1e-5
    half = np.frombuffer(view.cosines, np.float32).reshape(LAST + 1, 7 * 8 // 2)
    cosines = lens.cosines(states).numpy()
    for one, other, token in [(0, 0, 0), (3, 1, 2), (6, 5, LAST), (6, 0, 4)]:
        assert half[token, one * (one + 1) // 2 + other] == pytest.approx(cosines[one, other, token], abs=1e-6)


def test_the_maps_are_the_principal_components_of_each_state(lab: Lab) -> None:
    view = view_of(lab)
    points = np.frombuffer(view.points, np.float32).reshape(7, LAST + 1, 2)
    for row, state in enumerate(lens.stream(traced(lab)).states):
        found = lens.pca(state)
        assert np.allclose(points[row], found.points.numpy(), atol=1e-5)
        assert view.picture["explained"][row] == pytest.approx(found.explained.tolist(), abs=1e-4)


def test_every_token_that_is_named_has_a_word_and_its_script(lab: Lab) -> None:
    view = view_of(lab)
    found = arrays(shown(view))
    assert {int(word) for word in view.words} == set(found["ids"].flatten().tolist())
    tokenizer = lab.tokenizer
    assert hidden._word(tokenizer, tokenizer.encode("L")[0]) == ["L", "LATIN"]
    assert hidden._word(tokenizer, tokenizer.encode(" ")[0]) == ["·", ""]
    assert hidden._word(tokenizer, tokenizer.encode("😀")[0])[0] == "⟨0xF0⟩"  # a part of a character is no text
    assert hidden._word(tokenizer, 299) == ["⟨id 299⟩", ""]  # a row of the table that stands for nothing


def test_what_is_not_bytes_is_small_and_can_be_sent_as_json(lab: Lab) -> None:
    payload = hidden_payload(traced(lab), lab.model, lab.tokenizer)
    picture = payload["picture"]
    assert json.loads(json.dumps(picture)) == picture
    assert picture["chips"][-2] == {"shown": "😀", "tokens": [4, 5, 6, 7]}
    assert (picture["vocab"], picture["tied"], picture["refusal"]) == (300, True, "")


def size(payload: dict[str, Any]) -> int:
    return sum(len(value) if isinstance(value, bytes) else len(json.dumps(value)) for value in payload.values())


def test_a_long_text_crosses_a_window_at_a_time(lab: Lab) -> None:
    text = "ab " * 70
    assert size(hidden_payload(traced(lab, text[:64]), lab.model, lab.tokenizer)) < 300_000
    runs: list[str] = []
    view = view_of(lab, text, runs)
    assert view.window == {"first": 192, "count": 18}
    before = view.probs
    view.query = 195
    assert view.probs is before
    view.query = 130
    assert view.window == {"first": 128, "count": 64} and runs == [text]
    rows = logit_lens(lab.model, traced(lab, text))
    found = arrays(shown(view))
    assert np.allclose(found["probs"][3], rows[3].probs[128:192].numpy(), atol=1e-6)
    assert np.array_equal(found["rank"][3], rows[3].rank[128:192].numpy())


def test_a_stream_that_is_no_sum_has_no_shares_and_says_why() -> None:
    lab = Lab(random_model(apply_residual_connection_post_layernorm=True), byte_tokenizer())
    view = view_of(lab)
    assert (view.shares, view.added) == (b"", b"")
    assert "this model's stream is not a sum" in view.picture["refusal"]
    assert arrays(shown(view))["probs"].shape == (7, LAST + 1, 5)  # everything else is there
    assert "not a sum" in view._still()


def test_a_trace_of_another_model_is_refused(lab: Lab) -> None:
    trace = traced(Lab(random_model(hidden_size=12), byte_tokenizer()))
    assert view_of(lab, trace).state == "ready"  # it knows its own model
    trace.lab = None  # as one from a file
    with pytest.raises(InputError, match="12 wide, but this one is 24 wide"):
        view_of(lab, trace)


# ---- the view ----


def test_the_first_picture_is_the_prediction_after_the_last_token(lab: Lab) -> None:
    view = view_of(lab)
    assert (view.row, view.query, view.state, view.text) == (6, LAST, "ready", TEXT)
    view.layer = 0
    view.show(SHORT)
    assert (view.row, view.query, view.text) == (2, len(SHORT) - 1, SHORT)
    view.part = "mid"
    assert (view.row, view.picture["states"][view.row]) == (1, "0 mid")
    view.part = "embed"
    assert view.row == 0


def test_a_trace_is_shown_without_a_run_with_its_edits(lab: Lab) -> None:
    runs: list[str] = []
    view = view_of(lab, traced(lab, edit={"h.1.mlp.out": zero()}), runs)
    assert runs == [] and "edited: h.1.mlp.out" in view.picture["stamp"]
    assert "edit={'h.1.mlp.out': zero()}" in view.code and "from bloomlab import zero" in view.code
    assert (arrays(shown(view))["added"][4] == 0).all()  # MLP 1 added nothing


def test_a_trace_that_lacks_a_spot_says_how_to_read_it(lab: Lab) -> None:
    with pytest.raises(HookError, match=r"has no h\.0\.attn\.out.*read=\['embed', 'attn\.out'"):
        view_of(lab, lab.trace(TEXT, read=["embed", "resid_mid", "resid_post"]))


@pytest.mark.parametrize(("asked", "given"), [({"layer": 99}, ("row", 6)), ({"query": 99}, ("query", LAST))])
def test_a_selection_outside_the_picture_becomes_the_nearest_inside(
    lab: Lab, asked: dict[str, int], given: tuple[str, int]
) -> None:
    view = view_of(lab)
    view.layer = view.query = 1
    view.set_state(asked)  # as a message from the page
    assert getattr(view, given[0]) == given[1]


def type_at_once(view: View, text: str, number: int) -> None:
    aside(lambda: view.set_state({"typed": {"text": text, "number": number}}))


@pytest.mark.parametrize(
    ("text", "says"),
    [("long", "the text has 9000 tokens"), ("broken", "RuntimeError: something else"), ("interrupted", "interrupted")],
)
def test_an_error_while_typing_is_said_in_the_view_and_the_picture_stays(lab: Lab, text: str, says: str) -> None:
    view = view_of(lab)
    picture = view.picture
    type_at_once(view, text, 1)
    assert (view.state, view.answered) == ("error", 1)
    assert says in view.message and view.picture is picture
    type_at_once(view, SHORT, 2)
    assert (view.state, view.message, view.answered, view.text) == ("ready", "", 2, SHORT)


@pytest.mark.slow
def test_a_burst_of_a_hundred_texts_costs_at_most_two_runs_and_the_last_wins(lab: Lab) -> None:
    runs: list[str] = []
    view = view_of(lab, TEXT, runs)

    async def burst() -> None:
        for number in range(1, 101):
            view.set_state({"typed": {"text": f"Text {number}.", "number": number}})
            await asyncio.sleep(0.0005)
        while view.answered < 100:
            await asyncio.sleep(0.01)

    in_a_loop(burst)
    assert len(runs) - 1 <= 2 and view.text == "Text 100."


def test_a_view_without_a_text_waits_in_the_empty_state(lab: Lab) -> None:
    view = view_of(lab, "")
    assert (view.state, view.text, view.code) == ("empty", "", "")
    assert "nothing read yet" in repr(view) and "nothing read yet" in view._still()
    with pytest.raises(InputError, match="show a text first"):
        view.save("never.html")


# ---- what one takes away ----


def test_the_code_computes_the_selected_cell(
    lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab, "code", "lab = given")
    text = "'''\\ {row} TEXT SETUP\n"
    view = view_of(lab, text)
    view.layer, view.part, view.query = 1, "mid", 2
    exec(view.code, {"given": lab})
    said, length, *_ = capsys.readouterr().out.splitlines()
    found = arrays(shown(view))
    assert said.startswith("1 mid tensor(")
    assert f"{found['probs'][3, 2, 0]:.4f}" in said
    assert float(length.removeprefix("tensor(").removesuffix(")")) == pytest.approx(found["norms"][3, 2], abs=1e-3)


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
    assert "script" not in still.tags
    found = arrays(shown(view))
    assert "layer 2, after MLP" in still.text and f"{found['probs'][6, LAST, 0]:.2f}" in still.text
    assert f"{found['shares'][6, LAST]:+.3f}" in still.text and view.picture["stamp"] in still.text
    assert f"probability {found['probs'][6, LAST, 0]:.3f}" in repr(view)
    assert len(view_of(lab, "ab " * 70)._still()) < 100_000


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", "</script><script>x</script>", "'\"><svg onload=x>"])
def test_hostile_text_stays_text_in_the_still_page(lab: Lab, text: str) -> None:
    still = Tags(view_of(lab, text)._still())
    assert not still.tags & {"img", "script", "svg"}
    assert text.replace(" ", "·")[:4] in still.text.replace(" ", "")


@pytest.mark.parametrize("p", [0.0, 0.01, 0.2, 0.25, 0.3, 0.5, 1.0])
def test_words_can_be_read_on_every_colour(p: float) -> None:
    """WCAG asks for a contrast of 4.5 between small words and their paper."""

    def light(colour: list[int]) -> float:
        parts = [part / 255 for part in colour]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05

    paper, ink = map(light, cell_colours(p))
    assert max(paper, ink) / min(paper, ink) >= 4.5


@pytest.mark.slow
def test_the_picture_is_drawn_in_every_script_without_a_warning(lab: Lab, tmp_path: Path) -> None:
    view = view_of(lab, "$x$ القطة <b>")
    png, svg = view.save(tmp_path / "x.png"), view.save(tmp_path / "x.svg")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert svg.read_text().count("<path") > 20
    with pytest.raises(InputError, match=r"saved as \.html, \.png or \.svg; got .*leo\.pdf"):
        view.save(tmp_path / "leo.pdf")


def drawn(view: View) -> tuple[list[list[str]], str]:
    """What stands in the cells of the figure, row by row, and its title."""
    axes = lens_figure(shown(view)).axes[0]
    width = len(axes.get_xticks())
    words = [text.get_text() for text in axes.texts]
    return [words[start : start + width] for start in range(0, len(words), width)], axes.get_title("left")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["prediction", "script", "entropy", "rank", "norm", "added"])
def test_the_figure_shows_what_the_mode_shows(lab: Lab, mode: str) -> None:
    view = view_of(lab, "A cat\nand 2.")
    view.mode = mode
    found, (cells, _) = arrays(shown(view)), drawn(view)
    assert (len(cells), len(cells[0])) == (7, len(view.picture["tokens"]))
    for row, column in [(0, 0), (3, 2), (6, 6)]:
        said = view.words[str(found["ids"][row, column, 0])][0]
        expected = {
            "prediction": said,
            "script": said,
            "entropy": f"{found['entropy'][row, column]:.2f}",
            "rank": str(found["rank"][row, column]),
            "norm": f"{found['norms'][row, column]:.1f}",
            "added": signed(float(found["shares"][row, column])),
        }
        assert cells[row][column] == expected[mode].replace("$", r"\$")
    assert (cells[-1][-1] == "–") == (mode == "rank"), "nothing follows the last token"


def signed(share: float) -> str:
    return f"{'−' if round(share, 2) < 0 else '+'}{abs(share):.2f}"


@pytest.mark.slow
def test_the_figure_of_a_stream_that_is_no_sum_says_so() -> None:
    lab = Lab(random_model(apply_residual_connection_post_layernorm=True), byte_tokenizer())
    cells, title = drawn(view_of(lab, mode="added"))
    assert {word for row in cells for word in row} == {"–"} and "no shares here" in title


def test_entropies_are_between_sure_and_no_idea(lab: Lab) -> None:
    found = arrays(shown(view_of(lab)))
    assert (found["entropy"] >= 0).all() and (found["entropy"] <= math.log(300) + 1e-5).all()


# ---- lab.hidden_states ----


@pytest.mark.slow
def test_the_lab_shows_a_text_or_a_trace(lab: Lab) -> None:
    view = lab.hidden_states(TEXT)
    assert (view.text, view.picture["stamp"].split(" · ")[0]) == (TEXT, "random")
    type_at_once(view, SHORT, 1)
    assert (view.state, view.text) == ("ready", SHORT)
    assert lab.hidden_states(traced(lab, edit={"h.0.mlp.out": zero()})).picture["stamp"].endswith("h.0.mlp.out zero()")
    with pytest.raises(InputError, match="the text is empty"):
        lab.hidden_states("")
    with pytest.raises(HookError, match="make one with"):
        lab.hidden_states(lab.trace(TEXT))


# ---- of a large model, in pieces ----


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model is as large as one whose window is not read at once; a step reads two columns."""
    monkeypatch.setattr("bloomlab.views.hidden.said.AT_ONCE", 0)
    monkeypatch.setattr("bloomlab.views.hidden.said.positions_at_once", lambda vocab, size: 14)


def unread(view: View) -> list[int]:
    return [i for i, first in enumerate(arrays(shown(view))["ids"][0, :, 0].tolist()) if first < 0]


def whole(lab: Lab, view: View) -> None:
    """All numbers of the window are those of the lens."""
    found = arrays(shown(view))
    rows = logit_lens(lab.model, traced(lab, view.text))
    for name in ("ids", "probs", "entropy", "rank", "surprise"):
        expected = torch.stack([getattr(row, name) for row in rows]).numpy()
        assert np.allclose(found[name], expected, atol=1e-5, equal_nan=True), name
    assert {int(word) for word in view.words} == set(found["ids"].flatten().tolist())


@pytest.mark.usefixtures("large")
def test_without_a_page_all_of_a_large_models_window_is_read(lab: Lab) -> None:
    view = view_of(lab)
    assert view.reading["state"] == "done" and view.columns_read == LAST + 1
    whole(lab, view)


@pytest.mark.slow
@pytest.mark.usefixtures("large")
def test_the_chosen_column_is_read_first_then_those_around_it_and_a_click_moves_the_reading(lab: Lab) -> None:
    async def look() -> View:
        view = view_of(lab)
        seen = [unread(view)]
        assert view.reading == {**view.reading, "state": "running", "done": 1, "total": LAST + 1}
        assert view.words["-1"] == ["…", ""] and "<td>…</td>" in view._repr_mimebundle_()[0]["text/html"]
        view.query = 2  # before anything more has come
        seen.append(unread(view))
        while view.reading["state"] == "running":
            await asyncio.sleep(0.005)
            if unread(view) != seen[-1]:
                seen.append(unread(view))
        assert seen == [[*range(LAST)], [0, 1, 3, 4, 5, 6, 7], [0, 4, 5, 6, 7], [5, 6, 7], [7], []]
        return view

    view = in_a_loop(look)
    assert view.reading["state"] == "done" and view.reading["done"] == LAST + 1
    whole(lab, view)


@pytest.mark.slow
@pytest.mark.usefixtures("large")
def test_the_reading_stops_goes_on_and_is_finished_for_a_file(lab: Lab, tmp_path: Path) -> None:
    async def look() -> View:
        view = view_of(lab)
        view.filling = "stopped"
        await asyncio.sleep(0.1)
        assert view.reading["state"] == "stopped" and unread(view) == [*range(LAST)]
        view.query = 3  # what is pointed at is read all the same
        assert unread(view) == [0, 1, 2, 4, 5, 6, 7]
        return view

    view = in_a_loop(look)
    for name in ("view.html", "view.png"):
        view.save(tmp_path / name)
    assert len(unread(view)) == 7  # the page itself was not told
    saved = view._saved(*view._all_shown("what if"), "what if")
    assert (np.frombuffer(saved["ids"], np.int32) >= 0).all() and saved["reading"]["state"] == "idle"
    view.filling = "on"
    assert view.reading["state"] == "done"
    whole(lab, view)


@pytest.mark.slow
@pytest.mark.usefixtures("large")
def test_a_difference_comes_in_pieces_too(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    edit = {"h.0.attn.mixed": zero(head=1)}
    view = lab.hidden_states(TEXT, edit=edit)
    view.run = "difference"
    pieces = {name: getattr(view, name) for name in ("ids", "moved", "ids_before")}
    monkeypatch.undo()
    at_once = lab.hidden_states(TEXT, edit=edit)
    at_once.run = "difference"
    assert at_once.reading["state"] == "idle"
    assert pieces["ids"] == at_once.ids and pieces["ids_before"] == at_once.ids_before
    moved = [np.frombuffer(moved, np.float32) for moved in (pieces["moved"], at_once.moved)]
    assert np.allclose(*moved, atol=1e-5) and moved[0].max() > 0


@pytest.mark.slow
@pytest.mark.usefixtures("large")
def test_another_text_stops_the_reading_of_the_last(lab: Lab) -> None:
    async def look() -> View:
        view = view_of(lab)
        view.show(SHORT)
        while view.reading["state"] == "running":
            await asyncio.sleep(0.005)
        return view

    view = in_a_loop(look)
    assert view.reading["done"] == view.reading["total"] == len(SHORT)
    whole(lab, view)
