"""The ALiBi view with moved slopes: the numbers of lab.trace with that edit, what they do to the text, a flat head."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import bloomlab
from bloomlab.errors import InputError
from bloomlab.lab import Lab
from bloomlab.lens import alibi
from bloomlab.lens.attention import overlap, position_only
from bloomlab.lens.effect import effect
from bloomlab.lens.slopes import SlopeLoss, loss_by_slope
from bloomlab.model.alibi import slopes
from bloomlab.text.tokens import display_tokens
from bloomlab.tracing.edits import scale, zero
from bloomlab.views.alibi.lengths import FACTORS, desk_factors
from bloomlab.views.alibi.payload import alibi_payload, desk
from bloomlab.views.alibi.still import measured_of
from bloomlab.views.view import View
from tests.tiny_random import byte_tokenizer, random_model
from tests.views.aside import aside
from tests.views.lone import alibi_view
from tests.views.small_trace import small_trace
from tests.views.test_alibi_view import fake_texts

TEXT = "Leo lives in Oslo."
READ = ["attn.scores", "attn.probs", "attn.alibi", "logits"]


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(random_model(), byte_tokenizer(), name="random")


def slope(head: int | None, factor: float) -> dict[str, Any]:
    return {"spot": "attn.alibi", "kind": "scale", "axes": {} if head is None else {"head": [head]}, "number": factor}


def move(view: View, *edits: dict[str, Any], gesture: int = 1) -> None:
    """As a message from the page."""
    wish = {"do": "set", "edits": list(edits), "gesture": gesture, "number": view.wished["number"] + 1}
    view.set_state({"wished": wish})


@pytest.mark.slow
def test_a_moved_slope_is_the_edit_of_trace_bit_for_bit(lab: Lab) -> None:
    view = lab.alibi(TEXT)
    for number, factor in enumerate((0.7, 0.6, 0.5)):
        move(view, slope(3, factor))
        assert view.state == "ready" and view.changes == [f"slope of head 3 × {factor}"], number
    edited = lab.trace(TEXT, READ, {"attn.alibi": scale(0.5, head=3)})
    assert view.trace is not None
    assert all(view.trace[f"h.{i}.attn.probs"].equal(edited[f"h.{i}.attn.probs"]) for i in range(3))
    measured = measured_of(view.picture, view.measured)
    assert torch.allclose(measured[0], alibi.mean_distance(edited), atol=1e-6)
    moved = [s / 2 if head == 3 else s for head, s in enumerate(slopes(6))]
    assert view.picture["slopes"] == moved and view.picture["trained"] == slopes(6)
    for layer in range(3):
        alone = overlap(edited[f"h.{layer}.attn.probs"][0], position_only(moved, len(edited.tokens)))
        assert torch.allclose(measured[2, layer], alone, atol=1e-6)
    view.set_state({"wished": {"do": "undo", "number": 9}})
    assert view.changes == [] and view.picture["slopes"] == slopes(6)  # the whole movement at once


@pytest.mark.slow
def test_what_the_edits_do_to_the_text_is_what_the_effect_lens_says(lab: Lab) -> None:
    view = lab.alibi(TEXT)
    assert view.picture["effect"] == {}
    move(view, slope(None, 0.25))
    whole, edited = lab.trace(TEXT, READ), lab.trace(TEXT, READ, {"attn.alibi": scale(0.25)})
    expected, shown = effect(whole, edited), view.picture["effect"]
    assert shown["kl"] == pytest.approx(expected.kl[-1].item(), rel=1e-3, abs=1e-7) and shown["kl"] > 0
    assert shown["loss"][0] == pytest.approx(expected.before[:-1].mean().item(), abs=1e-6)
    assert shown["loss"][1] == pytest.approx(expected.after[:-1].mean().item(), abs=1e-6)
    for (word, p, q), token in zip(shown["next"], expected.predicted[:, -1].tolist(), strict=True):
        assert word == display_tokens(lab.tokenizer.tokens_of_ids([token]))[0].shown
        chances = [run["logits"][0, -1].softmax(-1)[token].item() for run in (whole, edited)]
        assert [p, q] == pytest.approx(chances, abs=1e-6)
    view.run = "difference"
    assert view.picture["effect"] == shown
    view.run = "as it is"
    assert view.picture["effect"] == {} and view.picture["slopes"] == slopes(6)


@pytest.mark.slow
def test_one_token_has_no_loss_and_a_trace_of_ones_own_no_effect(lab: Lab) -> None:
    one = lab.alibi("a", edit={"attn.alibi": scale(0.5)})
    assert one.picture["effect"]["loss"] is None and one.picture["effect"]["kl"] == 0
    own = lab.alibi(lab.trace(TEXT, READ, {"attn.alibi": scale(0.5)}))
    assert own.picture["effect"] == {} and own.picture["slopes"] == [s / 2 for s in slopes(6)]
    with pytest.raises(InputError, match="has not read them"):
        lab.alibi(lab.trace(TEXT, ["attn.scores", "attn.probs"], {"attn.alibi": scale(0.5)}))


@pytest.mark.slow
def test_the_explorer_reads_all_that_the_desk_needs(lab: Lab) -> None:
    view = lab.explore(TEXT)
    view.tab = "alibi"
    move(view, slope(2, 3))
    alone = lab.alibi(TEXT, edit={"attn.alibi": scale(3, head=2)})
    assert view.alibi.picture["effect"] == alone.picture["effect"] and view.alibi.measured == alone.measured
    assert view.edits.keys() == {"attn.alibi"} and "edited: attn.alibi scale(3, head=2)" in view.picture["stamp"]
    view.tab = "attention"
    edited = lab.trace(TEXT, READ, view.edits)
    assert view.trace is not None and view.trace["h.2.attn.probs"].equal(edited["h.2.attn.probs"])


@pytest.mark.slow
def test_the_code_with_moved_slopes_gives_the_numbers_shown(lab: Lab) -> None:
    view = lab.alibi(TEXT, edit={"attn.alibi": [scale(0.5), scale(0.0, head=4)]})
    for head in (1, 4):
        view.layer, view.head = 2, head
        said: list[str] = []
        code = view.code.replace(lab.code, "lab = the_lab")
        exec(code, {"the_lab": lab, "print": lambda *values, said=said: said.append(" ".join(map(str, values)))})
        measured = measured_of(view.picture, view.measured)[:, 2, head]
        assert said[0].startswith({1: "0.03125 96.0", 4: "0.0 everywhere 0.0"}[head])
        assert said[2] == f"tensor({measured[0]:.4f})"
        numbers = [float(number) for number in re.findall(r"tensor\(([\d.]+)\)", said[3])]
        assert numbers == pytest.approx(measured[2:].tolist(), abs=6e-5)


@pytest.mark.slow
def test_a_flat_head_looks_everywhere_and_content_alone_explains_it(lab: Lab, tmp_path: Path) -> None:
    view = lab.alibi(TEXT, edit={"attn.alibi": scale(0.0)})
    of = view.picture["of_heads"]
    assert of["reach"] == [None] * 6 and of["bound"] == [0] * 6 and of["tie"] == [0] * 6
    assert of["alone"] == pytest.approx([17 / 4] * 6)  # all keys alike: half of the mean query's 8.5
    assert of["bound_here"][0] == pytest.approx(sum(1 / earlier for earlier in range(1, 18)) / 17)
    measured = measured_of(view.picture, view.measured)
    assert torch.allclose(measured[3], torch.ones(3, 6), atol=1e-6)
    assert json.loads(json.dumps(view.picture, allow_nan=False)) == view.picture
    assert "everywhere" in view._still() and "inf" in repr(view)
    assert view.save(tmp_path / "flat.svg").stat().st_size > 1000


@pytest.mark.slow
def test_slopes_that_differ_by_layer_are_shown_of_each(lab: Lab) -> None:
    view = lab.alibi(TEXT, edit={"h.1.attn.alibi": scale(0.5)})
    rows = [of["slopes"] for of in view.picture["by_layer"]]
    assert rows == [slopes(6), [s / 2 for s in slopes(6)], slopes(6)]
    view.layer = 1
    assert "reach 12 to 1536 tokens" in repr(view) and "<td>1536</td>" in view._still()
    alone = alibi_payload(lab.trace(TEXT, READ, {"attn.alibi": scale(0.5)}))
    ours, whole = (measured_of(view.picture, m) for m in (view.measured, alone["measured"]))
    assert not ours[2, 1].equal(whole[2, 1])  # it reads what layer 0 has written, as trained
    assert view.picture["by_layer"][1]["of_heads"] == alone["picture"]["of_heads"]


def test_the_desk_knows_the_factors_that_a_page_can_set_and_no_others() -> None:
    edits: dict[str, Any] = {"h.0.attn.alibi": [scale(0.3), scale(2, head=5), zero(head=1), scale(3, head=[0, 2])]}
    assert desk(edits, 6) == {"all": 0.3, "heads": [1, 1, 1, 1, 1, 2]}
    assert desk({"h.0.attn.alibi": [scale(2, query=1), lambda x, at: x], "h.1.attn.alibi": [scale(9)]}, 2) == {
        "all": 1.0,
        "heads": [1.0, 1.0],
    }


# ---- the difference ----


@pytest.mark.slow
def test_the_difference_has_both_runs_and_names_the_largest_change(lab: Lab) -> None:
    edit = {"h.1.attn.alibi": scale(4, head=2)}
    view = lab.alibi(TEXT, edit=edit)
    assert view.before == b""
    view.run = "difference"
    before, after = (measured_of(view.picture, part) for part in (view.before, view.measured))
    whole = lab.trace(TEXT, READ)
    assert torch.allclose(before[0], alibi.mean_distance(whole), atol=1e-6)
    difference = view.picture["difference"]
    reached = torch.tensor(difference["reached"])
    assert reached.tolist() == [[False] * 6, [head == 2 for head in range(6)], [True] * 6]
    assert not (after - before)[:, ~reached].any() and (after - before)[0, 1, 2] < 0  # steeper: it looks nearer
    layer, head, was, now = difference["largest"][0]
    change = (after - before)[0].abs()
    assert change[layer, head] == change.max() and [was, now] == [before[0, layer, head], after[0, layer, head]]
    assert difference["before"]["slopes"] == slopes(6) and view.picture["by_layer"][1]["slopes"][2] == 4 * slopes(6)[2]


@pytest.mark.slow
def test_a_against_a_is_exactly_0_also_with_a_slope_times_1(lab: Lab) -> None:
    for view in (lab.alibi(TEXT, edit={"attn.alibi": scale(1.0, head=2)}), lab.alibi(TEXT, against=TEXT)):
        view.run = "difference"
        assert view.before == view.measured and view.picture["difference"]["largest"] == [None] * 4
        assert not any(map(any, view.picture["difference"]["reached"]))


# ---- the lab's second question ----


@pytest.mark.slow
def test_the_loss_by_slope_has_the_curve_and_the_slopes_as_they_stand(lab: Lab) -> None:
    texts = ["ab" * 40, "c" * 70]
    view = lab.alibi(TEXT, texts=texts, edit={"attn.alibi": [scale(0.5), scale(3, head=1)]})
    view.question = "slopes"
    results = view.run_length_lab()
    ids = torch.tensor([lab.tokenizer.encode(text)[:64] for text in texts])
    each = [1.5 if head == 1 else 0.5 for head in range(6)]
    *_, last = loss_by_slope(lab.model, ids, [1.0, each, *(factor for factor in FACTORS if factor != 1)])
    assert [result.mean for result in results] == [result.mean for result in last.results]
    found = view.lengths["by_slope"]
    assert [point[0] for point in found["points"]] == sorted(FACTORS) and found["desk"] == last.results[1].mean
    assert (view.lengths["state"], view.lengths["asked"], found["head"]) == ("done", "slopes", None)
    view.question = "lengths"
    view.run_length_lab()
    assert view.lengths["by_slope"] == found and len(view.lengths["curves"]) == 2  # what was found before stays
    view.question, view.whose, view.head = "slopes", "head", 4
    view.run_length_lab()
    assert view.lengths["by_slope"]["head"] == 4 and len(view.lengths["curves"]) == 2
    only = loss_by_slope(lab.model, ids, [0.0], head=4)
    assert dict(view.lengths["by_slope"]["points"])[0.0] == [*only][-1].results[0].mean


def test_slopes_as_they_stand_are_a_point_of_their_own_only_where_they_are_moved(lab: Lab) -> None:
    for edit, expected in (
        (None, []),
        ({"attn.alibi": scale(0.5)}, [[0.5] * 6]),
        ({"h.0.attn.alibi": scale(0.5)}, []),  # not in all layers
        ({"attn.alibi": scale(-1.0)}, []),
    ):
        assert desk_factors(lab.trace(TEXT, READ, edit)) == expected


def test_another_question_alone_measures_nothing_and_texts_without_an_answer_say_so(lab: Lab) -> None:
    view = lab.alibi(TEXT, texts="d" * 70)
    aside(lambda: view.set_state({"question": "slopes"}))
    assert view.lengths["state"] == "idle"
    other = alibi_view(small_trace, TEXT, texts=fake_texts())
    other.question = "slopes"
    with pytest.raises(InputError, match="other slopes"):
        other.run_length_lab()


@pytest.mark.slow
def test_the_embedded_model_is_best_at_the_slopes_it_was_trained_with() -> None:
    view = bloomlab.load().alibi()
    view.question = "slopes"
    results: tuple[SlopeLoss, ...] = view.run_length_lab()
    losses = {result.factor: result.mean for result in results}
    assert min(losses, key=lambda factor: losses[factor]) == 1.0
    assert losses[0.0] > losses[0.5] + 2 and losses[2.0] > losses[1.0] + 0.1
