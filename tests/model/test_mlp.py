"""The MLP: up, tanh-GELU, down, one position at a time."""

import math

import torch

from bloomlab.hooks import Hooks
from tests.tiny_random import random_model


def test_the_mlp_is_the_written_formula() -> None:
    mlp = random_model().transformer.h[0].mlp
    x = torch.randn(2, 3, 24, generator=torch.Generator().manual_seed(0))
    pre = x @ mlp.dense_h_to_4h.weight.T + mlp.dense_h_to_4h.bias
    post = pre / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (pre + 0.044715 * pre**3)))
    out = post @ mlp.dense_4h_to_h.weight.T + mlp.dense_4h_to_h.bias
    hooks = Hooks(read=["pre", "post", "out"])
    hooks.start(0)
    torch.testing.assert_close(mlp(x, hooks), out, rtol=1e-5, atol=1e-5)
    for name, expected in (("pre", pre), ("post", post), ("out", out)):
        torch.testing.assert_close(hooks[name], expected, rtol=1e-5, atol=1e-5)


def test_each_position_is_on_its_own() -> None:
    mlp = random_model().transformer.h[0].mlp
    x = torch.randn(1, 3, 24, generator=torch.Generator().manual_seed(0))
    changed = x.clone()
    changed[0, 1] += 1
    difference = (mlp(changed) - mlp(x)).abs().amax(-1)[0]
    assert difference[1] > 0.1 and difference[0] == difference[2] == 0
