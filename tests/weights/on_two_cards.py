"""One model on two cards that are pretended, with weights that wait beside them: all comes out as in one place.

python -m tests.weights.on_two_cards                (a process of its own; ends with an error where something differs)
"""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import bloomlab
from bloomlab import Lab, add, patch, zero
from bloomlab.errors import HookError, InputError
from bloomlab.tracing.record import weights_hash
from tests.weights.pretended import two_cards

TEXT, START = "Leo lives in Oslo. Leo has a cat.", "Leo lives in"
ONE = bloomlab.load()
WAYS: dict[str, dict[str, Any]] = {
    "one card": {"device": "card:0"},
    "two cards": {"device_map": {"transformer.h.1": "card:1", "transformer.h.3": "card:1", "": "card:0"}},
    "lent from the CPU": {
        "device_map": {
            **{"transformer.ln_f": "card:0", "transformer.h.2": "card:1", "transformer.h.3": "card:1"},
            "": "cpu",
        }
    },
    "the head elsewhere": {"device_map": {"": "card:0", "lm_head": "card:1", "transformer.h.2": "cpu"}},
}
RESULTS: list[Callable[[Lab], Any]] = [
    lambda lab: lab.generate([START, "Ana has"], max_new_tokens=3),
    lambda lab: lab.generate(START, max_new_tokens=3, num_beams=3),
    lambda lab: lab.generate(START, max_new_tokens=3, do_sample=True, seed=3),
    lambda lab: lab.trace(START, ["attn.probs", "logits"], max_new_tokens=3).text,
    lambda lab: lab.ablate(TEXT, "h.2.attn.mixed", head=3),
    lambda lab: lab.lens(TEXT),
    lambda lab: lab.explore(TEXT),
    lambda lab: lab.attention(TEXT, layer=2),
    lambda lab: lab.hidden_states(TEXT),
    lambda lab: lab.alibi(TEXT),
    lambda lab: lab.predictions(TEXT),
    lambda lab: lab.map(TEXT),
    lambda lab: lab.tokens(TEXT),
    lambda lab: lab.write(START),
    lambda lab: lab.receipt(f"{TEXT} {START}"),
]


def said(result: Any) -> str:
    return re.sub(r"error \S+|weights \S+", "", repr(result))


def near(found: Tensor, expected: Tensor) -> bool:
    room = 1e-4 * max(1.0, expected.nan_to_num().abs().max().item())
    return torch.allclose(found.cpu(), expected, rtol=0, atol=room, equal_nan=True)


def check(lab: Lab, expected: list[str]) -> None:
    homes = {name: (id(tensor), tensor.device) for name, tensor in lab.model.named_parameters()}
    ours, theirs = lab.trace(TEXT, ["*"]), ONE.trace(TEXT, ["*"])
    assert ours.names == theirs.names and {ours[name].device for name in ours.names} == {lab.model.device}
    assert all(near(ours[name], theirs[name]) for name in theirs.names)
    clean = ONE.trace(TEXT, ["attn.mixed"])
    for edit in (
        {"h.2.attn.mixed": zero(head=3)},
        {"h.1.attn.mixed": patch(clean["h.1.attn.mixed"].flip(1)), "resid_mid": add(torch.ones(128))},
        {"h.0.mlp.post": lambda x, at: 2 * x, "h.3.attn.probs": lambda x, at: x.flip(1)},
    ):
        ours, theirs = (each.trace(TEXT, ["logits", "attn.probs"], edit) for each in (lab, ONE))
        assert all(near(ours[name], theirs[name]) for name in theirs.names), edit
    for result, one in zip(RESULTS, expected, strict=True):
        assert said(result(lab)) == one

    def stop(x: Tensor, at: Any) -> Tensor:
        raise KeyboardInterrupt

    for name in ("h.0.attn.mixed", "h.2.mlp.pre", "h.3.resid_post"):
        with pytest.raises(KeyboardInterrupt):
            lab.trace(TEXT, ["logits"], {name: stop})
        with pytest.raises(HookError):
            lab.trace(TEXT, ["logits"], {name: lambda x, at: x[:1, :1]})
        assert near(lab.trace(TEXT, ["logits"])["logits"], ONE.trace(TEXT, ["logits"])["logits"])
    assert {name: (id(tensor), tensor.device) for name, tensor in lab.model.named_parameters()} == homes
    if lab.model.device_map:  # (torch's own `model.to` parts weights that are tied when they go to a pretended card)
        assert weights_hash(lab.model) == weights_hash(ONE.model)


if __name__ == "__main__":
    expected = [said(result(ONE)) for result in RESULTS]
    with two_cards():
        with pytest.raises(InputError, match="a place must be a device that works here"):
            bloomlab.load(device_map={"": "card:2"})
        for name, how in WAYS.items():
            check(bloomlab.load(**how), expected)
            print(name, flush=True)
