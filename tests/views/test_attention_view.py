import asyncio
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bloomlab.errors import InputError
from bloomlab.lab import Lab, load
from bloomlab.lens.ledger import score_ledger
from bloomlab.model.alibi import slopes
from bloomlab.views import view as views
from bloomlab.views.attention import payload as attention
from bloomlab.views.attention.payload import attention_payload
from bloomlab.views.shared.panel import stamp
from bloomlab.views.view import View
from tests.tiny_random import byte_tokenizer, random_model
from tests.views.aside import aside, in_a_loop
from tests.views.lone import attention_view
from tests.views.small_trace import Values, counting_reader, small_trace

TEXT = "Leo lives in Oslo. 😀"
LAST = len(small_trace(TEXT).tokens) - 1


def causal(matrix: torch.Tensor) -> np.ndarray[Any, Any]:
    """The half that can be seen, row by row, written another way than in the view."""
    return np.concatenate([matrix[query, : query + 1].numpy() for query in range(len(matrix))])


# ---- the payload ----


def test_the_thumbnails_are_the_probabilities_of_all_heads_in_colour_steps() -> None:
    trace = small_trace(TEXT)
    payload = attention_payload(trace)
    expected = [
        np.round(255 * np.sqrt(causal(trace[f"h.{layer}.attn.probs"][0, head])))
        for layer in range(4)
        for head in range(8)
    ]
    assert np.array_equal(np.frombuffer(payload["thumbs"], np.uint8), np.concatenate(expected))


def test_a_thumbnail_never_differs_from_the_probability_by_more_than_a_step() -> None:
    trace = small_trace(TEXT)
    steps = np.frombuffer(attention_payload(trace)["thumbs"], np.uint8)
    exact = np.concatenate([causal(p) for p in trace.stack("attn.probs").flatten(0, 2)])
    assert np.abs(np.sqrt(exact) - steps / 255).max() <= 0.5 / 255 + 1e-6


def test_the_exact_values_are_those_of_the_layer_bit_for_bit() -> None:
    trace = small_trace(TEXT)
    payload = attention_payload(trace, layer=2, head=5)
    assert payload["exact"] == {"first": 16, "count": 8}
    for name in ("scores", "probs"):
        expected = np.concatenate([causal(head) for head in trace[f"h.2.attn.{name}"][0]])
        assert np.array_equal(np.frombuffer(payload[name], np.float32), expected)


def test_the_parts_on_the_page_sum_to_the_captured_probability() -> None:
    trace = small_trace(TEXT)
    payload = attention_payload(trace, layer=1)
    scores, probs = (
        np.frombuffer(payload[name], np.float32).reshape(8, -1).astype(np.float64) for name in ("scores", "probs")
    )
    for head in range(8):
        for query in range(LAST + 1):
            start = query * (query + 1) // 2
            row = scores[head, start : start + query + 1] + payload["picture"]["slopes"][head] * (
                np.arange(query + 1) - query
            )
            shares = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
            assert np.abs(shares - probs[head, start : start + query + 1]).max() < 1e-6


def test_what_is_not_bytes_is_small_and_can_be_sent_as_json() -> None:
    picture = attention_payload(small_trace(TEXT))["picture"]
    assert json.loads(json.dumps(picture)) == picture
    assert picture["slopes"] == slopes(8)
    assert [token["id"] for token in picture["tokens"]] == small_trace(TEXT).ids[0].tolist()
    assert picture["chips"][-1] == {"shown": "😀", "tokens": [LAST - 1, LAST]}
    assert picture["tokens"][-1]["bytes"] == "98 80"


def test_a_text_of_64_tokens_crosses_in_under_300_kilobytes() -> None:
    payload = attention_payload(small_trace("-" * 64))
    assert len(payload["picture"]["tokens"]) == 64
    assert payload["exact"]["count"] == 8
    assert size(payload) < 300_000


@pytest.mark.slow
def test_560m_with_512_tokens_crosses_in_under_2_megabytes() -> None:
    one = small_trace("-" * 512, layers=1, heads=16)
    values = {name.replace("h.0", f"h.{layer}"): value for name, value in one.values.items() for layer in range(24)}
    one.config.n_layer = 24
    trace = Values(values, **{k: v for k, v in vars(one).items() if k != "values"})
    payload = attention_payload(trace, layer=7, head=3)
    assert payload["picture"]["block"] == 8
    assert payload["exact"] == {"first": 7 * 16 + 3, "count": 1}
    assert size(payload) < 2_000_000


def size(payload: dict[str, Any]) -> int:
    return sum(len(value) if isinstance(value, bytes) else len(json.dumps(value)) for value in payload.values())


def test_a_thumbnail_of_a_long_text_shows_the_largest_of_each_block() -> None:
    trace = small_trace("-" * 130, layers=1, heads=2)
    payload = attention_payload(trace)
    block, side = payload["picture"]["block"], 44
    assert block == 3
    tiles = np.frombuffer(payload["thumbs"], np.uint8).reshape(2, side * (side + 1) // 2)
    probs = trace["h.0.attn.probs"][0, 1].numpy()
    for row, column in [(0, 0), (5, 2), (43, 43), (43, 0), (20, 20)]:
        largest = probs[block * row : block * (row + 1), block * column : block * (column + 1)].max()
        assert tiles[1, row * (row + 1) // 2 + column] == round(255 * float(largest) ** 0.5)


def test_a_trace_in_bfloat16_and_with_a_graph_is_taken_as_it_is() -> None:
    trace = small_trace("Leo")
    for name, value in trace.values.items():
        trace.values[name] = value.bfloat16().requires_grad_()
    payload = attention_payload(trace)
    assert np.frombuffer(payload["scores"], np.float32)[0] == trace["h.0.attn.scores"][0, 0, 0, 0].item()


def test_the_stamp_says_where_the_numbers_come_from() -> None:
    full = {"model": "tiny", "weights": "0123456789abcdef", "dtype": "torch.float32", "seed": 7}
    assert stamp(full | {"edits": {"h.2.attn.mixed": "zero(head=3)"}}) == (
        "tiny · weights 0123456789ab · float32 · seed 7 · edited: h.2.attn.mixed zero(head=3)"
    )
    assert stamp({}) == "unnamed model · weights not hashed · no seed · no edits"


# ---- the view ----


def test_the_first_picture_points_from_the_last_token_to_the_one_it_looks_at_most() -> None:
    view = attention_view(small_trace, TEXT, layer=1, head=2)
    row = small_trace(TEXT)["h.1.attn.probs"][0, 2, LAST]
    assert (view.layer, view.head, view.query, view.key) == (1, 2, LAST, int(row.argmax()))
    assert (view.state, view.text) == ("ready", TEXT)


def test_another_layer_brings_its_exact_values_without_another_run() -> None:
    runs: list[str] = []
    view = attention_view(counting_reader(runs), TEXT)
    first = view.scores
    view.head = 6
    assert view.scores is first  # the whole layer was there already
    view.layer = 3
    assert view.exact == {"first": 24, "count": 8}
    expected = causal(small_trace(TEXT)["h.3.attn.scores"][0, 0])
    assert np.array_equal(np.frombuffer(view.scores, np.float32)[: len(expected)], expected)
    assert runs == [TEXT]


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ({"layer": 99, "head": -1}, {"layer": 3, "head": 0}),
        ({"query": 99}, {"query": LAST}),
        ({"query": 2}, {"query": 2, "key": 2}),
        ({"query": 4, "key": 9}, {"query": 4, "key": 4}),
    ],
)
def test_a_selection_outside_the_picture_becomes_the_nearest_inside(
    asked: dict[str, int], given: dict[str, int]
) -> None:
    view = attention_view(small_trace, TEXT)
    view.key = LAST
    view.set_state(asked)  # as a message from the page
    assert {name: getattr(view, name) for name in given} == given


def test_a_new_text_keeps_the_head_and_moves_the_cell() -> None:
    view = attention_view(small_trace, TEXT, layer=2, head=7)
    view.show("A cat.")
    assert (view.layer, view.head, view.text) == (2, 7, "A cat.")
    assert view.query == len(small_trace("A cat.").tokens) - 1 >= view.key


def test_a_model_with_fewer_heads_moves_the_selection_inside() -> None:
    sizes = iter([(4, 8), (2, 3)])

    def read(text: str) -> Any:
        layers, heads = next(sizes)
        return small_trace(text, layers, heads)

    view = attention_view(read, TEXT, layer=3, head=7)
    view.show(TEXT)
    assert (view.layer, view.head) == (1, 2)
    assert view.exact["count"] == 3


def test_a_text_that_cannot_be_read_raises_and_changes_nothing() -> None:
    view = attention_view(refusing, TEXT)
    before = view.get_state()
    with pytest.raises(InputError, match="9000 tokens"):
        view.show("long")
    after = view.get_state()
    assert {name: after[name] for name in before} == before
    with pytest.raises(InputError):
        attention_view(refusing, "long")


def refusing(text: str) -> Any:
    if text == "long":
        raise InputError("the text has 9000 tokens, but at most 2048 are read; shorten it")
    if text == "broken":
        raise RuntimeError("something else")
    if text == "interrupted":
        raise KeyboardInterrupt
    return small_trace(text)


def type_text(view: View, text: str, number: int) -> None:
    """As a message from the page."""
    view.set_state({"typed": {"text": text, "number": number}})


def type_at_once(view: View, text: str, number: int) -> None:
    """The same where no event loop runs: nothing more can come, so nothing is waited for."""
    aside(lambda: type_text(view, text, number))


@pytest.mark.parametrize(
    ("text", "says"),
    [("long", "the text has 9000 tokens"), ("broken", "RuntimeError: something else"), ("interrupted", "interrupted")],
)
def test_an_error_while_typing_is_said_in_the_view_and_the_picture_stays(text: str, says: str) -> None:
    view = attention_view(refusing, TEXT)
    picture = view.picture
    type_at_once(view, text, 1)
    assert (view.state, view.answered) == ("error", 1)
    assert says in view.message
    assert view.picture is picture
    type_at_once(view, "A cat.", 2)
    assert (view.state, view.message, view.answered, view.text) == ("ready", "", 2, "A cat.")


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_nothing_typed_is_the_empty_state_and_runs_nothing(text: str) -> None:
    runs: list[str] = []
    view = attention_view(counting_reader(runs), TEXT)
    type_at_once(view, text, 1)
    assert (view.state, view.answered, runs) == ("empty", 1, [TEXT])
    type_at_once(view, TEXT, 2)  # back to what is shown: nothing to run either
    assert (view.state, view.answered, runs) == ("ready", 2, [TEXT])


def test_a_view_without_a_text_waits_in_the_empty_state() -> None:
    runs: list[str] = []
    view = attention_view(counting_reader(runs))
    assert (view.state, runs, view.text, view.code) == ("empty", [], "", "")
    assert "nothing read yet" in repr(view)
    with pytest.raises(InputError, match="show a text first"):
        view.save("never.html")


@pytest.mark.slow
def test_a_burst_of_a_hundred_texts_costs_at_most_two_runs_and_the_last_wins() -> None:
    runs: list[str] = []
    view = attention_view(counting_reader(runs), TEXT)

    async def burst() -> None:
        for number in range(1, 101):
            type_text(view, f"Text number {number}.", number)
            await asyncio.sleep(0.0005)
        while view.answered < 100:
            await asyncio.sleep(0.01)

    in_a_loop(burst)
    assert len(runs) - 1 <= 2
    assert view.text == "Text number 100."


@pytest.mark.slow
def test_a_burst_while_the_model_is_busy_costs_one_more_run() -> None:
    """What arrives during a run waits in a queue, and is handed over one by one afterwards."""
    runs: list[str] = []
    view = attention_view(counting_reader(runs), TEXT)

    async def burst() -> None:
        type_text(view, "first", 1)
        await asyncio.sleep(3 * views.PAUSE)  # it runs
        for number in range(2, 101):
            type_text(view, f"Text number {number}.", number)
        while view.answered < 100:
            await asyncio.sleep(0.01)

    in_a_loop(burst)
    assert runs == [TEXT, "first", "Text number 100."]


# ---- what one takes away ----


def test_the_code_computes_the_selected_cell() -> None:
    """It is run, with a lab that gives the small trace."""
    view = attention_view(small_trace, TEXT, setup="lab = the_lab")
    view.layer, view.head, view.query, view.key = 2, 5, 6, 3
    lab = Values({}, trace=lambda text, read: small_trace(text))
    said: list[str] = []
    exec(view.code, {"the_lab": lab, "print": lambda value: said.append(str(value))})
    trace = small_trace(TEXT)
    assert said[0] == str(trace["h.2.attn.probs"][0, 5, 6, 3])
    assert said[1] == str(score_ledger(trace["h.2.attn.scores"][0, 5], slopes(8)[5], 6, 3))


@pytest.mark.parametrize("pattern", ["layer", "all", "rollout"])
def test_the_code_computes_the_cell_of_a_mean_and_of_the_rollout(pattern: str) -> None:
    view = attention_view(small_trace, TEXT, setup="lab = the_lab")
    view.pattern, view.layer, view.query, view.key = pattern, 2, 6, 3
    lab = Values({}, trace=lambda text, read: small_trace(text))
    said: list[Any] = []
    exec(view.code, {"the_lab": lab, "print": said.append})
    number = 6 * 7 // 2 + 3
    assert float(said[0]) == pytest.approx(float(np.frombuffer(view.averages, np.float32)[number]), rel=1e-6)


def test_a_real_lab_is_explored_and_the_code_repeats_its_numbers() -> None:
    lab = Lab(random_model(), byte_tokenizer(), name="random")
    view = lab.attention("Leo 猫!")
    assert [chip["tokens"] for chip in view.picture["chips"]] == [[0], [1], [2], [3], [4, 5, 6], [7]]
    assert view.picture["stamp"].startswith("random · weights ")
    view.layer, view.head, view.query, view.key = 2, 5, 6, 1
    said: list[str] = []
    code = view.code.replace(lab.code, "lab = the_lab")
    exec(code, {"the_lab": lab, "print": lambda value: said.append(str(value))})
    start = 5 * 36 + 6 * 7 // 2 + 1
    captured = np.frombuffer(view.probs, np.float32)[start]
    assert said[0] == f"tensor({captured:.4f})"
    assert said[1].endswith(f"{captured:.4f}")


@pytest.mark.parametrize("text", ["{layer} TEXT SETUP", "quote ' and \" and \\", "a\nb", "x\u202ey"])
def test_the_code_holds_the_text_exactly(text: str) -> None:
    view = attention_view(small_trace, text)
    assert f"lab.trace({text!r}, read=" in view.code
    assert "\u202e" not in view.code
    compile(view.code, "code", "exec")


def test_the_same_output_has_a_widget_a_still_page_and_a_line_of_text() -> None:
    data, _ = attention_view(small_trace, TEXT)._repr_mimebundle_()
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}
    assert "4 layers × 8 heads" in data["text/plain"]
    assert "Leo lives in Oslo" in data["text/plain"]
    assert len(data["text/html"]) < 100_000


class Tags(HTMLParser):
    """The tags, their attributes and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", "</p><script>alert(1)</script>", '"><svg onload=x>'])
def test_the_still_page_has_no_script_and_only_our_tags(text: str) -> None:
    trace = small_trace(text)
    trace.provenance["model"] = text
    data, _ = attention_view(lambda _: trace, text)._repr_mimebundle_()
    page = Tags(data["text/html"])
    assert page.tags <= {"div", "p", "code", "bdi", "img", "table", "thead", "tbody", "tr", "td", "th", "small"}
    assert page.attributes <= {"src", "width", "height", "alt"}
    assert text in page.text  # in the stamp, as the model's name


def test_the_still_pages_table_has_the_row_of_the_selected_token() -> None:
    view = attention_view(small_trace, TEXT, layer=1, head=4)
    view.query = 5
    data, _ = view._repr_mimebundle_()
    row = small_trace(TEXT)["h.1.attn.probs"][0, 4, 5]
    said = Tags(data["text/html"]).text
    assert "token 5 in looks at" in said
    step = round(255 * row.max().item() ** 0.5)
    assert f"{(step / 255) ** 2:.3f}" in said


def test_the_still_page_of_a_long_text_names_blocks_of_tokens() -> None:
    data, _ = attention_view(small_trace, "-" * 130)._repr_mimebundle_()
    said = Tags(data["text/html"]).text
    assert "129 to 129" in said  # three tokens a block, and the last has one: it looks at itself and its neighbours
    assert len(data["text/html"]) < 200_000


@pytest.mark.slow
def test_the_picture_is_drawn_in_every_script_without_a_warning(tmp_path: Path) -> None:
    view = attention_view(small_trace, "Leo القطة $x$ <b>", layer=1, head=1)
    png, svg = view.save(tmp_path / "x.png"), view.save(tmp_path / "x.svg")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert svg.read_text().count("<path") > 20


def test_the_title_of_a_saved_page_cannot_turn_a_tab_around(tmp_path: Path) -> None:
    html = attention_view(small_trace, "a\u202eb </title>").save(tmp_path / "x.html").read_text(encoding="utf-8")
    assert "<title>a⟨U+202E⟩b &lt;/title&gt; · bloomlab</title>" in html


def test_a_view_is_saved_only_in_forms_it_has(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"saved as \.html, \.png or \.svg; got .*leo\.pdf"):
        attention_view(small_trace, TEXT).save(tmp_path / "leo.pdf")
    assert list(tmp_path.iterdir()) == []


def test_a_saved_page_of_a_large_model_keeps_to_one_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view = attention_view(small_trace, TEXT)
    whole = view.save(tmp_path / "whole.html").stat().st_size
    monkeypatch.setattr(attention, "SAVED_BYTES", 1000)
    assert view.save(tmp_path / "layer.html").stat().st_size < whole
    assert view.exact == {"first": 0, "count": 8}  # saving changes nothing in the view


RECAP = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"


@pytest.mark.slow
def test_a_first_look_opens_at_the_head_that_looks_most_at_another_token() -> None:
    lab = load()
    view = lab.explore(RECAP, level="first")
    looks = lab.trace(RECAP, ["attn.probs"]).stack("attn.probs")[:, 0, :, -1, 1:-1].amax(-1)
    assert (view.layer, view.head) == divmod(int(looks.argmax()), looks.shape[1])
    assert (view.query, view.key, view.level, list(view.panels)) == (19, 3, "first", ["attention"])
    view.layer, view.head = 0, 1
    view.show(RECAP.replace("again", "cat"))
    assert (view.layer, view.head) == (0, 1)  # what somebody has chosen stays
    assert lab.explore("Leo", level="first").query == 0  # there is nothing else to look at


@pytest.mark.slow
def test_a_first_look_without_script_is_its_row_and_a_figure(tmp_path: Path) -> None:
    view = load().explore(RECAP, level="first", layer=0, head=1, query=16)
    still = view._repr_mimebundle_()[0]["text/html"]
    assert (
        re.search(r"it looks at \u2068·again\u2069: (9\d|100) %", still)
        and still.count("<tr>") == 18
        and "<img" not in still
    )
    assert view.save(tmp_path / "first.png").stat().st_size > 10_000
    view.level = "whole"
    assert "<img" in view._repr_mimebundle_()[0]["text/html"]


def test_a_level_that_there_is_not_is_refused() -> None:
    with pytest.raises(InputError, match=r"level is 'whole' or 'first', but got 'fist'; did you mean 'first'"):
        load().explore(RECAP, level="fist")
