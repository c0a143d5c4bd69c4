import pytest
import torch

from bloomlab.errors import HookError, InputError
from bloomlab.lens import attention, costs, hidden, inputs, logit_lens
from tests.tiny_random import random_model


def test_a_lens_says_which_readings_are_missing_and_how_to_make_them(random_lab) -> None:
    trace = random_lab().trace("abc", read=["attn.probs", "h.0.attn.scores"])
    with pytest.raises(HookError) as error:
        inputs.check(trace, attention.READ)
    assert "h.1.attn.scores, h.2.attn.scores;" in str(error.value)
    assert "h.0.attn.scores" not in str(error.value)
    assert "lab.trace(text, read=['attn.scores', 'attn.probs'])" in str(error.value)


def test_a_long_list_of_missing_readings_is_cut(random_lab) -> None:
    with pytest.raises(HookError, match=r"the trace has no embed, h\.0\.resid_mid, h\.1\.resid_mid and 4 more;"):
        hidden.stream(random_lab().trace("abc", read=["attn.probs"]))


@pytest.mark.parametrize("lens", [attention, hidden, logit_lens, costs])
def test_the_reads_of_every_lens_are_spots_of_the_model(lens) -> None:
    spots = random_model().hook_names()
    for spot in {*lens.READ, *getattr(lens, "READ_PARTS", [])}:
        assert set(inputs.names(spot, 3)) <= spots.keys()


def test_several_texts_are_refused_and_one_of_them_is_not(random_lab) -> None:
    trace = random_lab().trace(["abc", "abcde"], read=["attn.probs"])
    with pytest.raises(InputError, match=r"this trace has 2; pick one with trace\.row\(0\)"):
        attention.rollout(trace)
    assert attention.rollout(trace.row(0)).shape == (3, 3, 3)


@pytest.mark.parametrize("shape", [(3, 3), (2, 1, 3, 4), (2, 0, 3, 3)])
def test_a_tensor_with_other_axes_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"\(layer, head, query, key\)"):
        inputs.layers(torch.zeros(shape), "attn.probs")
