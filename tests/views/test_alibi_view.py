import asyncio
import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch

from bloomlab.errors import HookError, InputError
from bloomlab.lab import Lab, load
from bloomlab.lens import alibi
from bloomlab.lens.attention import content_share, position_share
from bloomlab.lens.lengths import LengthLoss, Progress
from bloomlab.model.alibi import slopes
from bloomlab.tiny import TWINS as TWIN_NAMES
from bloomlab.views.alibi.lengths import TWIN_LENGTHS, LengthTexts, curve, text_rows
from bloomlab.views.alibi.payload import alibi_payload, bound_in_text
from bloomlab.views.alibi.still import measured_of
from bloomlab.views.lengths import LengthCurve, Lengths
from tests.tiny_random import byte_tokenizer, random_model
from tests.views.aside import aside, in_a_loop
from tests.views.lone import alibi_view
from tests.views.small_trace import counting_reader, small_trace

TEXT = "Leo lives in Oslo. 😀"
LAST = len(small_trace(TEXT).tokens) - 1


@pytest.fixture(scope="module")
def random_lab() -> Lab:
    return Lab(random_model(), byte_tokenizer(), name="random")


# ---- the payload ----


def test_what_is_measured_is_what_the_lenses_say(random_lab: Lab) -> None:
    trace = random_lab.trace("Leo 猫!", read=["attn.scores", "attn.probs"])
    payload = alibi_payload(trace)
    measured = measured_of(payload["picture"], payload["measured"])
    assert torch.allclose(measured[0], alibi.mean_distance(trace), atol=1e-6)
    assert torch.allclose(measured[2], position_share(trace), atol=1e-6)
    assert torch.allclose(measured[3], content_share(trace), atol=1e-6)
    for layer in range(3):
        probs = trace[f"h.{layer}.attn.probs"][0]
        for head in range(6):
            given = [probs[head, query, query - 1].item() for query in range(1, len(trace.tokens))]
            assert measured[1, layer, head].item() == pytest.approx(sum(given) / len(given), abs=1e-6)


def test_what_the_slopes_alone_say_of_a_head() -> None:
    picture = alibi_payload(small_trace(TEXT))["picture"]
    of_heads = picture["of_heads"]
    assert picture["slopes"] == slopes(8)
    assert of_heads["reach"] == [6, 12, 24, 48, 96, 192, 384, 768]
    assert of_heads["tie"] == [alibi.first_tie(slope, torch.bfloat16) for slope in slopes(8)]
    assert of_heads["bound"][0] == pytest.approx(0.393469, abs=1e-6)


def test_a_head_of_position_alone_gives_at_most_the_bound_and_all_of_it_is_explained() -> None:
    """Heads whose content says nothing: what they really do is what position alone does."""
    trace = small_trace("-" * 20)
    for layer in range(4):
        scores = torch.zeros_like(trace[f"h.{layer}.attn.scores"])
        bias = torch.tensor(slopes(8))[:, None, None] * torch.arange(20)
        trace.values[f"h.{layer}.attn.scores"] = scores
        trace.values[f"h.{layer}.attn.probs"] = (
            (scores + bias).masked_fill(~torch.ones(20, 20, dtype=torch.bool).tril(), -torch.inf).softmax(-1)
        )
    payload = alibi_payload(trace)
    picture, measured = payload["picture"], measured_of(payload["picture"], payload["measured"])
    assert torch.allclose(measured[2], torch.ones(4, 8), atol=1e-5)
    assert torch.allclose(measured[0], torch.tensor(picture["of_heads"]["alone"]).expand(4, 8), atol=1e-4)
    assert (measured[1] < torch.tensor(picture["of_heads"]["bound_here"])).all()


def test_the_bound_of_a_short_text_grows_towards_that_of_a_long_one() -> None:
    bounds = [bound_in_text(1 / 2, tokens) for tokens in (2, 5, 20, 2000)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] == 1 and bounds[-1] == pytest.approx(alibi.previous_token_bound(1 / 2), abs=1e-3)


def test_what_is_not_bytes_is_small_and_can_be_sent_as_json() -> None:
    payload = alibi_payload(small_trace(TEXT))
    assert json.loads(json.dumps(payload["picture"])) == payload["picture"]
    assert len(payload["measured"]) == 4 * 4 * 4 * 8
    assert len(json.dumps(payload["picture"])) < 6000


def test_one_token_alone_can_be_shown() -> None:
    payload = alibi_payload(small_trace("a"))
    measured = measured_of(payload["picture"], payload["measured"])
    assert (measured[:2] == 0).all() and (measured[2:] == 1).all()


def test_a_trace_in_bfloat16_and_with_a_graph_is_taken_as_it_is() -> None:
    trace = small_trace(TEXT)
    for name, value in trace.values.items():
        trace.values[name] = value.bfloat16().requires_grad_()
    payload = alibi_payload(trace)
    assert measured_of(payload["picture"], payload["measured"]).isfinite().all()


# ---- the view ----


def test_the_first_picture_is_read_from_the_last_token_to_the_one_before() -> None:
    view = alibi_view(small_trace, TEXT, layer=1, head=2)
    assert (view.layer, view.head, view.query, view.key) == (1, 2, LAST, LAST - 1)
    assert (view.state, view.text) == ("ready", TEXT)


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
    view = alibi_view(small_trace, TEXT)
    view.set_state(asked)  # as a message from the page
    assert {name: getattr(view, name) for name in given} == given


def test_a_smaller_model_moves_the_selection_inside() -> None:
    sizes = iter([(4, 8), (2, 3)])
    view = alibi_view(lambda text: small_trace(text, *next(sizes)), TEXT, layer=3, head=7)
    view.show(TEXT)
    assert (view.layer, view.head) == (1, 2)


def test_a_text_that_cannot_be_read_raises_and_changes_nothing() -> None:
    view = alibi_view(refusing, TEXT)
    before = view.get_state()
    with pytest.raises(InputError, match="9000 tokens"):
        view.show("long")
    assert {name: view.get_state()[name] for name in before} == before


def refusing(text: str) -> Any:
    if text == "long":
        raise InputError("the text has 9000 tokens, but at most 2048 are read; shorten it")
    return small_trace(text)


def test_typing_reads_another_text_and_an_error_keeps_the_picture() -> None:
    runs: list[str] = []
    view = alibi_view(counting_reader(runs), TEXT)
    aside(lambda: view.set_state({"typed": {"text": "A cat.", "number": 1}}))
    assert (view.state, view.text, view.answered, runs) == ("ready", "A cat.", 1, [TEXT, "A cat."])
    view._read = refusing
    aside(lambda: view.set_state({"typed": {"text": "long", "number": 2}}))
    assert (view.state, view.text, view.answered) == ("error", "A cat.", 2)
    assert "9000 tokens" in view.message


def test_the_verb_takes_a_text_or_a_trace_and_refuses_a_trace_that_lacks_the_scores(random_lab: Lab) -> None:
    trace = random_lab.trace("Leo 猫!", read=["attn.scores", "attn.probs"])
    of_text, of_trace = random_lab.alibi("Leo 猫!"), random_lab.alibi(trace)
    assert of_text.picture == of_trace.picture and of_text.measured == of_trace.measured
    assert of_trace.trace is trace
    with pytest.raises(HookError, match=r"attn\.scores"):
        random_lab.alibi(random_lab.trace("Leo", read=["attn.probs"]))
    with pytest.raises(InputError, match="empty"):
        random_lab.alibi("")


def test_the_code_repeats_the_numbers_of_the_selected_head(random_lab: Lab) -> None:
    view = random_lab.alibi("Leo {layer} 猫!")
    view.layer, view.head, view.query, view.key = 2, 5, 6, 1
    said: list[str] = []
    code = view.code.replace(random_lab.code, "lab = the_lab")
    exec(code, {"the_lab": random_lab, "print": lambda *values: said.append(" ".join(map(str, values)))})
    measured = measured_of(view.picture, view.measured)[:, 2, 5]
    assert said[0].startswith("0.125 24.0 0.1175")
    assert said[1] == f"tensor({-0.125 * 5:.4f})"
    assert said[2] == f"tensor({measured[0]:.4f})"
    assert said[3] == f"tensor({measured[2]:.4f}) tensor({measured[3]:.4f})"


# ---- the length lab ----


def fake_texts(steps: int = 4, ran: list[int] | None = None) -> Any:
    """A length lab of so many steps that finishes a length in each."""

    def run() -> Iterator[Progress]:
        results: tuple[LengthLoss, ...] = ()
        for i in range(steps):
            if ran is not None:
                ran.append(i)
            length = 32 * 2**i
            results += (LengthLoss(length, 64, torch.full((length - 1,), 2.0 - i / 4)),)
            yield Progress(i + 1, steps, results)

    return lambda text: LengthTexts("4 made-up rows", 64, run)


def test_the_length_lab_runs_here_and_says_what_it_read() -> None:
    view = alibi_view(small_trace, TEXT, texts=fake_texts())
    assert view.lengths["state"] == "idle"
    results = view.run_length_lab()
    assert [result.length for result in results] == [32, 64, 128, 256]
    lengths = view.lengths
    assert (lengths["state"], lengths["done"], lengths["total"], lengths["trained"]) == ("done", 4, 4, 64)
    assert lengths["message"] == "4 made-up rows"
    assert [(c["length"], c["mean"]) for c in lengths["curves"]] == [(32, 2.0), (64, 1.75), (128, 1.5), (256, 1.25)]


TWINS = {"tiny-alibi": {64: 2.0, 512: 1.75}, "tiny-none": {64: 2.25, 512: 3.0}, "tiny-learned": {64: 2.5}}


def fake_twins() -> Iterator[Progress[Lengths]]:
    """A step for each length of each of three twins."""
    curves: list[LengthCurve] = []
    total = sum(map(len, TWINS.values()))
    for name, means in TWINS.items():
        curves.append(LengthCurve(name, ()))
        for length, mean in means.items():
            losses = (*curves[-1].losses, LengthLoss(length, 8, torch.full((length - 1,), mean)))
            curves[-1] = LengthCurve(name, losses)
            done = sum(len(each.losses) for each in curves)
            yield Progress(done, total, (Lengths(curves, "made-up documents", 64),))


def test_the_twins_are_measured_beside_what_was_found_before() -> None:
    view = alibi_view(small_trace, TEXT, texts=fake_texts(), twins=fake_twins)
    assert view.twins == {"any": True}
    view.run_length_lab()
    curves = view.lengths["curves"]
    view.question = "twins"
    found = view.run_length_lab()
    assert [curve.name for curve in found] == list(TWINS)
    lengths = view.lengths
    assert (lengths["state"], lengths["asked"], lengths["done"], lengths["total"]) == ("done", "twins", 5, 5)
    assert (lengths["twins"]["says"], lengths["twins"]["trained"]) == ("made-up documents", 64)
    assert {twin["name"]: dict(twin["points"]) for twin in lengths["twins"]["curves"]} == TWINS
    assert lengths["curves"] == curves and lengths["trained"] == 64
    twins = lengths["twins"]
    for question in ("slopes", "lengths"):
        view.question = question
        if question == "lengths":
            view.run_length_lab()
        assert view.lengths["twins"] == twins


def test_the_twins_are_measured_a_step_at_a_time_and_stopped() -> None:
    view = alibi_view(small_trace, TEXT, twins=fake_twins)
    view.question = "twins"
    job = view._begin(panel := view.panels["alibi"], panel.jobs[0])
    assert view.lengths["state"] == "running" and view.lengths["twins"] == {}
    for _ in range(3):
        job._step()
    assert (view.lengths["done"], len(view.lengths["twins"]["curves"])) == (3, 2)
    aside(lambda: view.set_state({"stopped": 1}))
    assert view.lengths["state"] == "stopped" and len(view.lengths["twins"]["curves"]) == 2
    assert [curve.name for curve in view.length_losses] == ["tiny-alibi", "tiny-none"]


def test_another_model_has_no_twins(random_lab: Lab) -> None:
    view = random_lab.alibi("hello")
    assert view.twins == {"any": False} and load().alibi().twins == {"any": True}
    view.question = "twins"
    with pytest.raises(InputError, match="only the embedded model has twins"):
        view.run_length_lab()


@pytest.mark.slow
@pytest.mark.parametrize("longest", [64, pytest.param(512, marks=pytest.mark.long)])
def test_the_embedded_models_twins_have_the_numbers_of_the_verb(longest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shorter = [length for length in TWIN_LENGTHS if length <= 2 * longest]
    monkeypatch.setattr("bloomlab.views.alibi.lengths.TWIN_LENGTHS", TWIN_LENGTHS if longest == 512 else shorter)
    view = load().explore()
    view.tab, view.alibi.question = "alibi", "twins"
    found = view.alibi.run_length_lab()
    alibi, *others = [load("tiny", positions=kind) for kind in TWIN_NAMES]
    expected = alibi.lengths(*others)
    assert found.records() == expected.records() and found.says == expected.says
    means = {twin["name"]: dict(twin["points"]) for twin in view.alibi.lengths["twins"]["curves"]}
    assert list(means) == [f"tiny-{kind}" for kind in TWIN_NAMES]
    assert max(means["tiny-learned"]) == 64 and max(means["tiny-rotary"]) == min(512, 2 * longest)
    assert all(means[row["model"]][row["length"]] == row["loss"] for row in expected.records())


def test_a_press_runs_the_lab_step_by_step_and_another_stops_it() -> None:
    ran: list[int] = []
    view = alibi_view(small_trace, TEXT, texts=fake_texts(50, ran))

    async def press() -> None:
        view.set_state({"wanted": 1})
        while len(ran) < 2:
            await asyncio.sleep(0.001)
        view.set_state({"stopped": 1})
        await asyncio.sleep(0.05)

    in_a_loop(press)
    assert 2 <= len(ran) < 10
    assert view.lengths["state"] == "stopped"
    assert len(view.lengths["curves"]) == len(view.length_losses) == len(ran)
    aside(lambda: view.set_state({"stopped": 2}))  # nothing runs: nothing changes
    assert view.lengths["state"] == "stopped"


@pytest.mark.slow
def test_a_press_while_the_lab_runs_starts_it_anew_and_only_once() -> None:
    ran: list[int] = []
    view = alibi_view(small_trace, TEXT, texts=fake_texts(5, ran))

    async def press() -> None:
        view.set_state({"wanted": 1})
        await asyncio.sleep(0)
        view.set_state({"wanted": 2})
        while view.lengths["state"] == "running":
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)

    in_a_loop(press)
    assert view.lengths["state"] == "done" and len(view.lengths["curves"]) == 5
    assert len(ran) <= 7


def test_an_interrupt_keeps_what_is_finished() -> None:
    def run() -> Iterator[Progress]:
        yield Progress(1, 2, (LengthLoss(32, 64, torch.ones(31)),))
        raise KeyboardInterrupt

    view = alibi_view(small_trace, TEXT, texts=lambda text: LengthTexts("rows", 0, run))
    assert len(view.run_length_lab()) == 1
    assert (view.lengths["state"], len(view.lengths["curves"])) == ("stopped", 1)


def test_a_text_that_is_too_short_says_so_and_repeats_nothing(random_lab: Lab) -> None:
    view = random_lab.alibi("a short text")
    with pytest.raises(InputError, match=r"at least 64 tokens.*but the shortest has 12"):
        view.run_length_lab()
    aside(lambda: view.set_state({"wanted": 1}))
    assert view.lengths["state"] == "error" and "texts=" in view.lengths["message"]
    with pytest.raises(InputError, match="without a model"):
        alibi_view(small_trace, TEXT).run_length_lab()


def test_other_models_read_the_given_texts_cut_to_the_shortest(random_lab: Lab) -> None:
    texts = ["ab" * 75, "c" * 130]
    view = random_lab.alibi("hello", texts=texts)
    results = view.run_length_lab()
    assert [(result.length, result.rows) for result in results] == [(32, 8), (64, 4), (128, 2)]
    assert view.lengths["message"].startswith("2 texts of 150, 130 tokens, the first 128")
    ids = torch.tensor([random_lab.tokenizer.encode(text)[:128] for text in texts])
    assert results[-1].mean == pytest.approx(random_lab.model(ids, labels=ids).loss.item(), abs=1e-5)
    assert view.lengths["trained"] == 0
    assert len(random_lab.alibi("hello", texts="d" * 70).run_length_lab()) == 2  # one text, not 70


def test_a_point_stands_only_where_enough_tokens_were_read() -> None:
    line = curve(LengthLoss(128, 2, torch.ones(127)))
    assert [point[:2] for point in line["points"]] == [[32, 63], [64, 127]]
    assert text_rows(random_model(), [range(64)]).says == "a text of 64 tokens, the first 64 and shorter pieces"


@pytest.mark.slow
def test_the_embedded_model_reads_documents_up_to_four_times_its_trained_length() -> None:
    view = load().alibi()
    view.run_length_lab()
    means = {c["length"]: c["mean"] for c in view.lengths["curves"]}
    assert view.lengths["trained"] == 256 and list(means) == [32, 64, 128, 256, 512, 1024]
    assert means[1024] < means[256] < means[32]


# ---- what one takes away ----


class Tags(HTMLParser):
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
    data, _ = alibi_view(lambda _: trace, text)._repr_mimebundle_()
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}
    page = Tags(data["text/html"])
    assert page.tags <= {"div", "p", "code", "bdi", "table", "thead", "tbody", "tr", "td", "th", "small"}
    assert page.attributes == set()
    assert text in page.text  # in the stamp, as the model's name


def test_the_still_page_and_the_line_of_text_have_the_heads_numbers() -> None:
    view = alibi_view(small_trace, TEXT, layer=1)
    measured = measured_of(view.picture, view.measured)
    said = Tags(view._repr_mimebundle_()[0]["text/html"]).text
    assert "Heads of layer 1" in said and "768" in said
    assert f"{measured[0, 1, 7]:.1f}" in said and f"{measured[2, 1, 7]:.0%}" in said
    assert "reach 6 to 768 tokens" in repr(view)
    assert "nothing read yet" in repr(alibi_view(small_trace))


@pytest.mark.slow
def test_figures_are_drawn_without_a_warning(tmp_path: Path) -> None:
    trace = small_trace(TEXT)
    trace.provenance["model"] = "$x$ <b>"
    view = alibi_view(lambda _: trace, TEXT, layer=1, head=1)
    assert view.save(tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert view.save(tmp_path / "x.svg").read_text().count("<path") > 20


def test_a_view_is_saved_only_in_forms_it_has(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"saved as \.html, \.png or \.svg; got .*leo\.pdf"):
        alibi_view(small_trace, TEXT).save(tmp_path / "leo.pdf")
    with pytest.raises(InputError, match="show a text first"):
        alibi_view(small_trace).save(tmp_path / "leo.html")
    assert list(tmp_path.iterdir()) == []


def test_the_code_holds_a_text_with_marks_exactly() -> None:
    view = alibi_view(small_trace, "{distance} TEXT SETUP", setup="lab = the_lab")
    assert "lab.trace('{distance} TEXT SETUP', read=" in view.code
    compile(view.code, "code", "exec")
