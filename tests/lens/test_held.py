"""By which way a change goes: everything held is no change, nothing held is the whole of it, and each part by hand."""

from typing import Any

import pytest
import torch

from bloomlab.errors import HookError, InputError
from bloomlab.lab import Lab
from bloomlab.lens.cases import Case
from bloomlab.lens.held import WAYS, Held, held, holding, noticed
from bloomlab.lens.trials import SpotEdits, Trial, by_spot, run
from bloomlab.tracing.donors import copied, hold
from bloomlab.tracing.edits import zero
from tests.claims.stories import recaps

RECAP = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
CHANGED = RECAP.replace("again", "cat")
SIXTEEN: SpotEdits = {"h.0.attn.mixed": (copied(RECAP, head=1, query=16),)}
HEAD = {"h.3.attn.mixed": (zero(head=4),)}
BOUND = 3e-5


def last(steps: Any) -> Held:
    *_, step = steps
    assert step.done == step.total
    found: Held = step.results[-1]
    return found


def logits(lab: Lab, *edits: SpotEdits) -> torch.Tensor:
    """(run, vocab) of one batch."""
    ids = tuple(lab.tokenizer.encode(CHANGED))
    found = torch.zeros(len(edits), lab.model.config.vocab_size)
    for places, rows in run(lab.model, lab.tokenizer, [Trial(ids, one) for one in edits]):
        found[places] = rows
    return found


def everything(lab: Lab) -> dict[str, Any]:
    layers = range(lab.model.config.n_layer)
    return {f"h.{layer}.{part}": (hold(),) for layer in layers for part in ("attn.mixed", "mlp.out")}


@pytest.mark.slow
def test_everything_held_is_exactly_no_change_and_nothing_held_is_all_of_it(lab: Lab) -> None:
    before, after, nothing, all_held = logits(lab, {}, SIXTEEN, holding(SIXTEEN, {}), holding(SIXTEEN, everything(lab)))
    assert nothing.equal(after) and all_held.equal(before) and not after.allclose(before, atol=0.5)
    found = last(held(lab.model, lab.tokenizer, [Case(CHANGED, "", " Oslo", " Lima")], SIXTEEN))
    oslo, lima = (lab.tokenizer.encode(token)[0] for token in (" Oslo", " Lima"))
    assert found.before.item() == pytest.approx((before[oslo] - before[lima]).item(), abs=BOUND)
    assert found.after.item() == pytest.approx((after[oslo] - after[lima]).item(), abs=BOUND)


@pytest.mark.slow
def test_each_number_is_the_run_by_hand(lab: Lab) -> None:
    found = last(held(lab.model, lab.tokenizer, [Case(CHANGED, "", " Oslo")], SIXTEEN, "probability"))
    oslo = lab.tokenizer.encode(" Oslo")[0]
    assert "head 1.1" in found.parts and {f"MLP {layer}" for layer in range(4)} <= {*found.parts}
    for name, part in ((name, name.split()[1]) for name in found.parts):
        place = found.parts.index(name)
        for way, left in zip(WAYS, found.left[place, :, 0].tolist(), strict=True):
            if name.startswith("MLP"):
                spot, axes = f"h.{part}.mlp.out", {}
            else:
                layer, head = map(int, part.split("."))
                spot, axes = f"h.{layer}.attn.{'mixed' if way == 'whole' else way}", {"head": head}
            if name.startswith("MLP") and way != "whole":
                assert left != left
                continue
            trace = lab.trace(CHANGED, ["logits"], holding(SIXTEEN, {spot: (hold(**axes),)}))  # type: ignore[arg-type]
            assert left == pytest.approx(float(trace["logits"][0, -1].softmax(-1)[oslo]), abs=BOUND), (name, way)


@pytest.mark.slow
def test_the_sixteen_numbers_go_by_mlp_0_and_by_what_head_1_1_offers_to_be_found_by(lab: Lab) -> None:
    stories = [Case(s.text.replace("again", "cat"), s.text, f" {s.city}") for s in recaps(lab, 64)]
    found = last(held(lab.model, lab.tokenizer, stories, by_spot(lab.model, SIXTEEN), "probability"))
    left = {
        name: dict(zip(WAYS, found.left[place].mean(-1).tolist(), strict=True))
        for place, name in enumerate(found.parts)
    }
    assert found.before.mean() < 0.05 and found.after.mean() > 0.6
    assert left["MLP 0"]["whole"] <= 0.05 and left["head 1.1"]["k"] <= 0.06 and left["head 1.1"]["q"] >= 0.6
    assert found.parts[found.order[0]] in ("MLP 0", "head 1.1")
    assert found.together.mean().item() == pytest.approx(found.before.mean().item(), abs=0.01)
    assert found.sentence.startswith("mean of 64 texts: p(' ")


def test_what_is_left_in_the_last_layer_is_the_direct_effect(lab: Lab) -> None:
    found = last(held(lab.model, lab.tokenizer, [Case(RECAP, "", " Oslo", " Lima")], HEAD))
    assert found.parts == ("MLP 3",) and found.order == [0]  # its own pattern did not move, and no head comes after it
    runs = [lab.trace(RECAP, ["logits"], edit)["logits"][0, -1] for edit in (None, HEAD | {"h.3.mlp.out": hold()})]
    oslo, lima = (lab.tokenizer.encode(token)[0] for token in (" Oslo", " Lima"))
    direct = (runs[1][oslo] - runs[1][lima]).item()
    assert found.left[0, 0, 0].item() == pytest.approx(direct, abs=BOUND) == found.together.item()
    assert f"holding MLP 3 as it was, {direct:.3f} is left." in found.sentence


@pytest.mark.slow
def test_what_is_held_comes_after_what_is_changed_there(lab: Lab) -> None:
    edit = {"h.0.mlp.out": (zero(),)}
    runs = [lab.trace(RECAP, ["attn.probs", "mlp.out"], one) for one in (None, edit)]
    parts = noticed(*runs)
    assert parts["MLP 0"] == {"whole": ("h.0.mlp.out", {})}
    found = last(held(lab.model, lab.tokenizer, [Case(RECAP)], edit))
    place = found.parts.index("MLP 0")
    torch.testing.assert_close(found.left[place, 0], found.before, atol=BOUND, rtol=0)  # the edit itself is undone
    assert found.order[0] == place


def test_where_nothing_changes_no_part_is_held(lab: Lab) -> None:
    found = last(held(lab.model, lab.tokenizer, [Case(RECAP)], {"h.1.mlp.out": (hold(),)}))
    assert found.parts == () and found.left.shape == (0, 4, 1) and found.order == []
    assert found.sentence.endswith("no head and no MLP noticed the edit, so there is none to be held.")


def test_bad_input_is_one_sentence(lab: Lab) -> None:
    with pytest.raises(InputError, match="no text to hold a part in"):
        held(lab.model, lab.tokenizer, [], HEAD)
    with pytest.raises(InputError, match="'logit difference' or 'probability'"):
        held(lab.model, lab.tokenizer, [Case(RECAP)], HEAD, "loss")
    with pytest.raises(InputError, match="1 of 1 texts have others"):
        held(lab.model, lab.tokenizer, [Case(RECAP), Case("Leo")], SIXTEEN)
    with pytest.raises(HookError, match="goes from 0 to 7"):
        last(held(lab.model, lab.tokenizer, [Case(RECAP)], {"h.3.attn.mixed": (zero(head=9),)}))
