"""An MLP's line opened: neurons that sum to it, and what it would lose without each part that it reads."""

import pytest
import torch

from bloomlab.errors import HookError, InputError
from bloomlab.lab import Lab
from bloomlab.lens import receipt as lens
from bloomlab.lens.mlp_receipt import READ, neurons, without
from bloomlab.tracing.edits import zero
from tests.tiny_random import byte_tokenizer, random_model

RECAP = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"


def pair(lab: Lab) -> tuple[int, int]:
    oslo, sydney = (lab.tokens(word)[0].id for word in (" Oslo", " Sydney"))
    return oslo, sydney


@pytest.mark.parametrize("layer", [0, 3])
@pytest.mark.parametrize("position", [-1, 4])
def test_the_neurons_of_an_mlp_sum_to_its_line(lab: Lab, layer: int, position: int) -> None:
    trace = lab.trace(RECAP, READ)
    found = neurons(lab.model, trace, layer, *pair(lab), position)
    whole = lens.receipt(lab.model, trace, *pair(lab), position)
    line = whole.direct[whole.names.index(f"MLP {layer}")].item()
    assert found.line == pytest.approx(line, abs=1e-5)
    assert found.values.double().sum().item() == pytest.approx(line, abs=1e-5)
    assert found.names[0] == "neuron 0" and found.names[-1] == "bias" and len(found.names) == 513


def test_a_neurons_line_is_what_the_mlp_no_longer_writes_without_it(lab: Lab) -> None:
    trace = lab.trace(RECAP, READ)
    found = neurons(lab.model, trace, 3, *pair(lab))
    scaled = lens.scaled_direction(lab.model, trace, *pair(lab))
    for neuron in found.order[:3]:
        after = lab.trace(RECAP, ["h.3.mlp.out"], {"h.3.mlp.post": zero(neuron=neuron)})
        lost = (trace["h.3.mlp.out"] - after["h.3.mlp.out"])[0, -1].double() @ scaled
        assert found.values[neuron].item() == pytest.approx(lost.item(), abs=1e-5)


def test_what_an_mlp_loses_without_a_head_is_what_it_writes_without_it(lab: Lab) -> None:
    """A head of its own layer reaches it directly, so an edit by hand shows the same."""
    trace = lab.trace(RECAP, READ)
    found = without(lab.model, trace, 3, *pair(lab))
    scaled = lens.scaled_direction(lab.model, trace, *pair(lab))
    for head in (4, 5):
        after = lab.trace(RECAP, ["h.3.mlp.out"], {"h.3.attn.mixed": zero(head=head)})
        lost = (trace["h.3.mlp.out"] - after["h.3.mlp.out"])[0, -1].double() @ scaled
        place = found.names.index(f"head 3.{head}")
        assert found.values[place].item() == pytest.approx(lost.item(), abs=1e-4) and abs(lost) > 0.3
    assert found.names[-1] == "attention bias 3" and "MLP 3" not in found.names and "MLP 2" in found.names


@pytest.mark.slow
def test_the_table_has_the_largest_parts_and_the_sentence_their_numbers(lab: Lab) -> None:
    table = lab.receipt(RECAP, " Oslo", " Sydney")
    opened, lost = table.neurons(3), table.without(3)
    first = opened.found.order[0]
    assert f"{opened.found.names[first]} has most, {opened.found.values[first]:.3f}" in opened.sentence
    assert opened.found.rows()[-1][0] == "501 smaller ones" and len(opened.found.rows()) == 13
    assert sum(float(row[1].replace("−", "-")) for row in opened.found.rows()) == pytest.approx(
        opened.found.line, abs=0.01
    )
    assert "would lose most without head 3.5" in lost.sentence and len(lost.found.records()) == len(lost.found.names)
    with pytest.raises(InputError, match="from 0 to 3"):
        table.neurons(4)


def test_it_says_what_it_lacks(lab: Lab) -> None:
    with pytest.raises(HookError, match=r"mlp\.post"):
        neurons(lab.model, lab.trace(RECAP, lens.READ), 3, *pair(lab))


def test_it_is_exact_in_other_shapes() -> None:
    lab = Lab(random_model(n_layer=2, tie_word_embeddings=False), byte_tokenizer(), name="random")
    trace = lab.trace("Leo lives in", READ)
    found = neurons(lab.model, trace, 1, 40, "mean", 3)
    assert found.values.double().sum().item() == pytest.approx(found.line, abs=1e-4)
    assert torch.isfinite(without(lab.model, trace, 1, 40, None, 3).values).all()
