"""The twins that differ in nothing but how they know positions: what ships, what their card says, their training."""

import json

import pytest
import torch

import bloomlab
from bloomlab import tiny
from bloomlab.errors import InputError
from bloomlab.hooks import NO_HOOKS, Hooks
from bloomlab.model.positions import KINDS, kind_of, own_hooks
from bloomlab.tiny.card import fill
from bloomlab.tiny.floors import FIGURES
from bloomlab.tiny.measure_positions import (
    LENGTHS,
    PLACES,
    answered,
    asked,
    floors,
    loss_of_pieces,
    parts,
    plain_bloom,
    remedies,
    repeated,
)
from bloomlab.tiny.positions import LENGTH, READS
from bloomlab.tiny.rows import batch
from bloomlab.views.shared.figure import ShownFigure

TEXT = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
LABS = {kind: bloomlab.load("tiny", positions=kind) for kind in tiny.TWINS}
KEPT = json.loads((tiny.TWINS_FOLDER / FIGURES).read_text(encoding="utf-8"))


@pytest.mark.slow
def test_every_way_to_know_positions_has_its_twin():
    assert tiny.TWINS == KINDS == tuple(KEPT)
    assert {kind_of(lab.model.config) for lab in LABS.values()} == set(KINDS)
    for kind, lab in LABS.items():
        assert lab.code == f"lab = bloomlab.load('tiny', positions={kind!r})"
        assert lab.twin == kind and lab.name == f"tiny-{kind}" and not lab.embedded and not list(lab.heads)
        assert "learned" in lab.card() and lab.card() != bloomlab.load().card()


@pytest.mark.parametrize(
    "arguments, says",
    [
        ({"positions": "rotery"}, r"twins with alibi, .*rotary, but got 'rotery'; did you mean 'rotary'"),
        ({"positions": 3}, "but got 3"),
        ({"positions": "rotary", "revision": "step1200"}, "leave revision=… out"),
        ({"name_or_folder": "560m", "positions": "rotary"}, "leave it out for any other model"),
    ],
)
def test_what_is_no_twin_is_refused_in_words(arguments, says):
    with pytest.raises(InputError, match=says):
        bloomlab.load(**arguments)


def test_the_twin_with_alibi_is_bloom_with_no_edit():
    model = LABS["alibi"].model
    assert own_hooks(model.config, torch.ones(1, 4), model.transformer.position_embeddings) is NO_HOOKS
    assert "positions" not in model.config.to_dict()
    assert set(model.state_dict()) == set(bloomlab.load().model.state_dict())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "learned"])
def test_a_twin_is_bloom_with_edits(kind):
    twin = LABS[kind].model
    ids = torch.tensor([LABS[kind].tokenizer.encode(TEXT)])
    edit = {} if kind == "alibi" else own_hooks(twin.config, torch.ones_like(ids), None).edit
    plain = plain_bloom(twin)(ids, hooks=Hooks(edit=edit) if edit else None).logits
    torch.testing.assert_close(plain, twin(ids).logits, atol=1e-5, rtol=0)


def test_all_read_the_same_rows():
    tokenizer = LABS["alibi"].tokenizer
    first, again = (batch(7, 0, tokenizer, 512, 4, LENGTH, 3 / 8, **READS) for _ in range(2))
    assert first[0].equal(again[0]) and first[0].shape == (4, LENGTH)
    text = tokenizer.decode(batch(7, 0, tokenizer, 512, 4, LENGTH, 0.0, **READS)[0][0].tolist())
    assert text.isascii()  # English alone, and no random tokens


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_a_question_near_and_far_differs_in_the_distance_alone(place):
    tokenizer = LABS["alibi"].tokenizer
    for total in LENGTHS:
        for case in asked(tokenizer, total, 6):
            size = len(tokenizer.encode(case.texts[place] + case.question + case.answer))
            assert total - 40 < size <= total
            near, far = (sorted(case.texts[where].split(". ")) for where in ("near", "far"))
            assert "".join(near).replace(".", "") == "".join(far).replace(".", "") or len(near) == len(far)
    short, long = (asked(tokenizer, total, 3) for total in LENGTHS[:2])
    assert [case.answer for case in short] == [case.answer for case in long]


def test_learned_positions_end_where_the_table_ends():
    lab = LABS["learned"]
    with pytest.raises(InputError, match=f"vectors for {LENGTH} positions, but the text has"):
        lab.trace("Leo lives in Oslo. " * 20)
    assert set(KEPT["learned"]["by_length"]) == {str(LENGTH)}


def test_the_card_holds_the_kept_figures_and_its_floors():
    card = (tiny.TWINS_FOLDER / "README.md").read_text(encoding="utf-8")
    assert card == fill(card, parts(KEPT, tiny.TWINS_FOLDER))
    assert all(floors(KEPT)), [str(floor) for floor in floors(KEPT) if not floor]
    worse = json.loads(json.dumps(KEPT))
    worse["alibi"]["by_lag"]["16"]["right"][0] = 0.1
    assert not all(floors(worse))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["alibi", "rotary"])
def test_the_kept_figures_are_those_of_the_shipped_files(kind):
    lab = LABS[kind]
    again = repeated(lab.model, 16)
    assert again["right"] == pytest.approx(KEPT[kind]["by_lag"]["16"]["right"], abs=0.02)
    said = answered(lab.model, lab.tokenizer, asked(lab.tokenizer, LENGTH), "near")
    assert said["loss"] == pytest.approx(KEPT[kind]["asked"][str(LENGTH)]["near"]["loss"], abs=0.01)


def test_remedies_are_edits_of_known_names():
    of = {kind: remedies(lab.model) for kind, lab in LABS.items()}
    assert of["learned"] == {}
    assert all(set(of[kind]) == set(KEPT[kind]["remedies"]) for kind in KINDS)
    assert sum("base stretched" in name for name in of["rotary"]) == 3
    model, ids = plain_bloom(LABS["rotary"].model), torch.tensor([LABS["rotary"].tokenizer.encode(TEXT)])
    for edit in of["rotary"].values():
        assert model(ids, hooks=Hooks(edit=edit)).logits.isfinite().all()


def test_a_short_window_changes_what_a_long_one_does_not():
    model, row = plain_bloom(LABS["none"].model), torch.randint(4, 500, (1, 2 * LENGTH))
    seen = {
        name: loss_of_pieces(model, row, 2 * LENGTH, edit)[0] for name, edit in remedies(LABS["none"].model).items()
    }
    assert len(set(seen.values())) == len(seen)


# ------------------------------------------------------------------------------------------------ views


@pytest.mark.slow
def test_the_tab_says_where_there_is_no_alibi_and_what_stands_there():
    for kind, lab in LABS.items():
        view = lab.alibi(TEXT)
        if kind == "alibi":
            assert "other" not in view.picture and "reach" in repr(view)
            continue
        other = view.picture["other"]
        assert "has no ALiBi" in repr(view) and view.picture["trained"] == [0.0] * 8
        assert len(other["frequencies"]) == {"rotary": 8, "sinusoidal": 64}.get(kind, 0)
        assert len(other["sizes"]) == (LENGTH if kind == "learned" else 0)
        assert bool(other["alike"]) == (kind != "none")
        exec(compile(view.code, "code", "exec"), {"print": lambda *_: None})


@pytest.mark.slow
def test_a_figure_of_a_twin_without_alibi_draws_what_stands_there(tmp_path):
    for kind in ("none", "learned"):
        assert LABS[kind].alibi(TEXT).save(tmp_path / f"{kind}.png").stat().st_size > 10_000


def test_the_ledger_of_a_twin_without_alibi_has_no_position():
    view = LABS["rotary"].attention(TEXT)
    assert view.picture["slopes"] == [0.0] * 8
    assert "slopes" not in view.code


def test_two_twins_are_compared():
    view = LABS["rotary"].explore(TEXT, against=LABS["alibi"])
    view.run, view.tab = "difference", "alibi"
    assert "difference" in view.alibi.picture and "has no ALiBi" in view._repr_mimebundle_()[0]["text/html"]


def test_a_live_page_refuses_other_positions(tmp_path):
    with pytest.raises(InputError, match="ALiBi's positions only, but this model's are 'rotary'"):
        LABS["rotary"].explore(TEXT).save(tmp_path / "page.html", live=True)


def test_a_learned_table_without_its_lab_says_nothing_wrong(tmp_path):
    trace = LABS["learned"].trace(TEXT, read=["attn.scores", "attn.probs", "final"])
    opened = bloomlab.Trace.load(trace.save(tmp_path / "trace.safetensors"))
    from bloomlab.views.alibi.payload import alibi_payload

    assert alibi_payload(opened)["picture"]["other"]["alike"] == []


# ------------------------------------------------------------------------------------------------ lengths


def test_the_curves_stand_side_by_side():
    texts = [TEXT * 4]
    found = LABS["alibi"].lengths(LABS["rotary"], texts=texts)
    assert [curve.name for curve in found] == ["tiny-alibi", "tiny-rotary"]
    rows = found.records()
    assert [row["length"] for row in rows] == [32, 64] * 2
    ids = torch.tensor([LABS["rotary"].tokenizer.encode(texts[0])[:64]])
    assert rows[3]["loss"] == pytest.approx(LABS["rotary"].model(ids, labels=ids).loss.item(), abs=1e-4)
    assert f"{rows[3]['loss']:.3f}" in repr(found) and f"{rows[3]['loss']:.3f}" in found._repr_html_()
    figure = found.figure()
    assert len(figure.axes[0].lines) == 2 and isinstance(figure, ShownFigure)


def test_a_table_that_ends_is_a_dash():
    found = LABS["alibi"].lengths(LABS["learned"], texts=[TEXT * 8])
    assert repr(found).splitlines()[-1].split()[-1] == "–"


@pytest.mark.parametrize("other, says", [("tiny", "takes labs"), (None, "takes labs")])
def test_only_labs_are_compared(other, says):
    with pytest.raises(InputError, match=says):
        LABS["alibi"].lengths(other)


def test_texts_too_short_are_refused():
    with pytest.raises(InputError, match="at least 64 tokens"):
        LABS["alibi"].lengths(texts=["Leo"])
