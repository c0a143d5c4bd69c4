"""The map of the model: its parts are the model's, its sizes those of the tensors that ran."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bloomlab
from bloomlab.errors import InputError
from bloomlab.lab import Lab, load
from bloomlab.lens.whole import whole
from bloomlab.tracing.edits import zero
from bloomlab.views.map.panel import PARTS
from bloomlab.views.map.payload import READ, map_payload, parts_payload
from bloomlab.views.map.still import shape_of
from tests.tiny_random import byte_tokenizer, random_model
from tests.views.lone import map_view

TEXT = "Leo lives in Oslo. He has a cat."
VARIANTS: list[dict[str, Any]] = [
    {},
    {"tie_word_embeddings": False},
    {"apply_residual_connection_post_layernorm": True},
    {"positions": "learned", "n_positions": 40},
    {"positions": "rotary"},
    {"n_layer": 1, "n_head": 1},
]


@pytest.fixture(scope="module")
def lab() -> Lab:
    return load()


def test_the_small_map_has_one_part_lit_also_without_script(lab: Lab) -> None:
    view = lab.map(TEXT, part="mlp", small=True)
    assert (view.level, view.part, list(view.panels)) == ("small", "mlp", ["map"])
    still = view._repr_mimebundle_()[0]["text/html"]
    assert "<mark>[MLP]</mark>" in still and still.count("<mark>") == 1 and "4 × (" in still
    assert lab.map(TEXT, part="mlp").map.part == "mlp"


def test_a_part_that_there_is_not_is_refused_with_its_neighbour(lab: Lab) -> None:
    with pytest.raises(InputError, match=r"the parts are text, .* did you mean 'attn'"):
        lab.map(TEXT, part="attnn", small=True)
    with pytest.raises(InputError, match="small must be True or False, but got 'yes'"):
        lab.map(TEXT, small="yes")  # type: ignore[arg-type]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_parts_add_up_to_the_model(variant: dict[str, Any]) -> None:
    model = random_model(**variant)
    parts = whole(model.config, model.hook_names())
    learned = sum(part.parameters * (model.config.n_layer if part.layered else 1) for part in parts)
    assert learned == sum(parameter.numel() for parameter in model.parameters())
    alibi = next(part for part in parts if part.name == "alibi")
    assert (alibi.title == "ALiBi") == ("positions" not in variant)


@pytest.mark.slow
def test_each_part_names_what_there_is(lab: Lab) -> None:
    parts = whole(lab.model.config, lab.model.hook_names())
    root = Path(bloomlab.__file__).parent
    lessons = {lesson.file[:2] for lesson in lab.lessons()}
    assert tuple(part.name for part in parts) == PARTS
    for part in parts:
        assert (root / part.file).is_file() and part.lesson in lessons and part.tab in lab.explore(TEXT).panels
        assert not part.spot or part.spot.format(layer=0) in lab.model.hook_names()


def test_the_shapes_are_those_of_the_tensors_that_ran(lab: Lab) -> None:
    trace = lab.trace(TEXT, read="*")
    for part in parts_payload(lab.model):
        if part["spot"]:
            sizes = [size or len(trace.tokens) for _, size, _ in part["axes"]]
            assert tuple(sizes) == tuple(trace[part["spot"].format(layer=2)].shape[1:]), part["name"]
            words = shape_of(part, len(trace.tokens)).replace(",", "").split(" × ")
            assert [int(word.split()[0]) for word in words] == sizes


def test_the_lengths_and_the_next_token_are_the_models(lab: Lab) -> None:
    trace = lab.trace(TEXT, read=[*READ, "logits"])
    payload = map_payload(trace, lab.model, lab.tokenizer)
    lengths = np.frombuffer(payload["norms"], np.float32).reshape(9, -1)
    written = np.frombuffer(payload["written"], np.float32).reshape(8, -1)
    for row, spot in {0: "embed", 3: "h.1.resid_mid", 8: "h.3.resid_post"}.items():
        np.testing.assert_allclose(lengths[row], trace[spot][0].norm(dim=-1).numpy(), rtol=1e-5)
    np.testing.assert_allclose(written[5], trace["h.2.mlp.out"][0].norm(dim=-1).numpy(), rtol=1e-5)
    probs = trace["logits"][0, -1].softmax(-1)
    assert [prob for _, prob in payload["next"]] == pytest.approx(probs.topk(3).values.tolist(), rel=1e-5)
    assert payload["next"][0][0].removeprefix("·") == lab.tokenizer.decode([int(probs.argmax())]).strip()


@pytest.mark.slow
def test_a_difference_has_both_runs(lab: Lab) -> None:
    edit = {"h.1.mlp.out": zero()}
    view = lab.explore(TEXT, edit=edit, tab="map")
    view.run = "difference"
    base, edited = (lab.trace(TEXT, read=[*READ, "logits"], edit=each) for each in ({}, edit))
    assert view.troubles == {} and view.map_picture["difference"] == {}
    for piece, trace in (("norms", edited), ("norms_before", base)):
        last = np.frombuffer(getattr(view, f"map_{piece}"), np.float32).reshape(9, -1)[-1]
        np.testing.assert_allclose(last, trace["h.3.resid_post"][0].norm(dim=-1).numpy(), rtol=1e-5)
    ids = view.map_picture["next_ids"]
    assert view.map_next_before == pytest.approx(base["logits"][0, -1].softmax(-1)[ids].tolist(), rel=1e-4)
    assert [prob for _, prob in view.map_next] == pytest.approx(
        edited["logits"][0, -1].softmax(-1)[ids].tolist(), rel=1e-4
    )
    assert "(was " in view._repr_mimebundle_()[0]["text/html"]
    view.run = "what if"
    assert view.map_norms_before == b"" and view.map_next_before == []


def test_it_is_the_explorers_first_tab_and_follows_the_text(lab: Lab) -> None:
    view = lab.map(TEXT)
    assert view.tab == "map" and view.troubles == {} and next(iter(view.panels)) == "map"
    before = view.map_next
    view.show("2 + 3 =")
    assert view.map_next != before and len(view.map_norms) == 4 * 9 * len(view.trace.tokens)
    with pytest.raises(Exception, match="part"):
        view.map.part = "heart"


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_its_code_runs_and_prints_the_shape(lab: Lab, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    view = lab.map(TEXT)
    view.map.part, view.layer = part, 1
    exec(view.code, {})
    first, *parts = capsys.readouterr().out.splitlines()
    spot = next((one["spot"] for one in view.map_parts if one["name"] == part), "") or "embed"
    assert first == str(lab.trace(TEXT, read=[spot.format(layer=1)])[spot.format(layer=1)].shape)
    assert len(parts) == len(PARTS)


def test_a_trace_of_another_model_is_refused(lab: Lab) -> None:
    other = Lab(random_model(), byte_tokenizer()).trace("Leo", read=READ)
    with pytest.raises(InputError, match="wide"):
        map_payload(other, lab.model, lab.tokenizer)


@pytest.mark.slow
def test_without_script_it_is_a_table_of_texts(tmp_path: Path) -> None:
    lab = Lab(random_model(), byte_tokenizer(), name="<b>x</b>")
    view = map_view(lambda text: lab.trace(text, read=READ), lab.model, lab.tokenizer, "a<img src=x>")
    still = view._repr_mimebundle_()[0]["text/html"] if isinstance(view._repr_mimebundle_(), tuple) else ""
    still = still or view.panels["map"].still(view.trace, view._shown(view.panels["map"]))
    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append(tag)  # type: ignore[method-assign]
    parser.feed(still)
    assert "img" not in tags and "b" not in tags and tags.count("tr") == len(PARTS) + 1
    assert (view.save(tmp_path / "map.png")).stat().st_size > 5_000
    assert torch.is_grad_enabled()
