"""The receipt of a look: its parts sum to the score that the model computed, and name what makes it."""

import pytest

import bloomlab
from bloomlab.errors import HookError, InputError
from bloomlab.lab import Lab
from bloomlab.lens.look_receipt import READ, look_receipt
from bloomlab.lens.look_receipts import look_receipts
from bloomlab.tracing.donors import hold
from bloomlab.tracing.edits import zero
from tests.tiny_random import byte_tokenizer, random_model

RECAP = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
STOP, FIRST_STOP = 16, 4


@pytest.fixture(scope="module")
def tiny() -> Lab:
    return bloomlab.load()


@pytest.mark.slow
@pytest.mark.parametrize("layer", range(4))
def test_every_look_of_every_head_closes(tiny: Lab, layer: int) -> None:
    trace = tiny.trace(RECAP, READ)
    for head in range(8):
        for query, key in ((19, 16), (19, 19), (7, 0), (0, 0)):
            found = look_receipt(tiny.model, trace, layer, head, query, key)
            assert found.error <= 1e-5 * max(1, abs(found.score))
            assert found.of_query.sum().item() == pytest.approx(found.score, abs=1e-4)
            assert found.of_key.sum().item() == pytest.approx(found.score, abs=1e-4)
            assert len(found.names) == len(found.parts) == 2 + 10 * layer


def test_it_closes_in_a_random_model_of_six_heads() -> None:
    lab = Lab(random_model(), byte_tokenizer(), name="random")
    trace = lab.trace("Leo lives", READ)
    for layer in range(3):
        assert look_receipt(lab.model, trace, layer, 5, 8, 2).error < 1e-5


def test_the_full_stop_after_again_is_looked_at_for_what_the_first_mlp_wrote_there(tiny: Lab) -> None:
    trace = tiny.trace(RECAP, READ)
    here, there = (look_receipt(tiny.model, trace, 1, 1, 19, key) for key in (STOP, FIRST_STOP))
    why = here.against(there)
    assert why.score == pytest.approx(here.score - there.score) and why.error < 1e-5
    assert why.names[int(why.of_key.argmax())] == "MLP 0"
    assert why.of_key.max() > why.score / 2


def test_a_part_that_is_taken_out_of_the_key_takes_its_line_with_it(tiny: Lab) -> None:
    """The norm's size changes, too, so the line is what is lost once that is undone."""
    trace = tiny.trace(RECAP, READ)
    found = look_receipt(tiny.model, trace, 1, 1, 19, STOP)
    edit = {"h.0.mlp.out": zero(pos=STOP), "h.1.attn.q": hold()}
    without = tiny.trace(RECAP, READ, edit)
    norm = tiny.model.transformer.h[1].input_layernorm
    sizes = [(run["h.0.resid_post"][0, STOP].var(unbiased=False) + norm.eps).sqrt() for run in (trace, without)]
    lines = found.of_key[[name != "MLP 0" for name in found.names]]
    bias = found.of_key[-1].item()
    expected = (lines.sum().item() - bias) * (sizes[0] / sizes[1]).item() + bias
    assert without["h.1.attn.scores"][0, 1, 19, STOP].item() == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    "place", [(4, 0, 3, 0), (0, 8, 3, 0), (0, 0, 3, 4), (0, 0, 20, 0), (-1, 0, 3, 0), (0, 0, 3, -1)]
)
def test_a_look_that_is_not_there_is_refused(tiny: Lab, place: tuple[int, int, int, int]) -> None:
    with pytest.raises(InputError, match="at a key not after it"):
        look_receipt(tiny.model, tiny.trace(RECAP, READ), *place)


def test_what_cannot_be_taken_apart_or_compared_is_refused(tiny: Lab) -> None:
    trace = tiny.trace(RECAP, READ)
    with pytest.raises(HookError, match=r"attn\.mixed"):
        look_receipt(tiny.model, tiny.trace(RECAP, ["attn.scores"]), 1, 1, 3, 0)
    with pytest.raises(InputError, match="in one layer"):
        look_receipt(tiny.model, trace, 1, 1, 3, 0).against(look_receipt(tiny.model, trace, 2, 1, 3, 0))
    model = random_model(apply_residual_connection_post_layernorm=True)
    lab = Lab(model, byte_tokenizer(), name="random")
    with pytest.raises(InputError, match="is not a sum"):
        look_receipt(model, lab.trace("Leo", READ), 1, 1, 2, 0)


def test_a_look_of_several_texts_needs_texts_of_as_many_tokens(tiny: Lab) -> None:
    *_, last = look_receipts(tiny.model, tiny.tokenizer, [RECAP, RECAP.replace("Oslo", "Lima")], 1, 1, 19, 16, 4)
    here, there = (look_receipt(tiny.model, tiny.trace(RECAP, READ), 1, 1, 19, key) for key in (16, 4))
    assert last.results[0].parts[0].equal(here.against(there).parts)
    with pytest.raises(InputError, match="these have 3 to 20"):
        next(look_receipts(tiny.model, tiny.tokenizer, [RECAP, "Leo lives in"], 1, 1, 2, 1))
