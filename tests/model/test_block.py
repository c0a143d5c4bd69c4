"""A block: two additions to the stream, or to its layer norm."""

import pytest
import torch

from bloomlab.hooks import Hooks
from bloomlab.model.attention import make_bias
from tests.tiny_random import BATCH, POS, random_model

SPOTS = ["resid_pre", "attn.out", "resid_mid", "mlp.out", "resid_post"]


@pytest.mark.parametrize("normed", [False, True], ids=["usual", "post layernorm"])
def test_what_attention_and_mlp_give_is_what_is_added(normed: bool) -> None:
    block = random_model(apply_residual_connection_post_layernorm=normed).transformer.h[0]
    x = torch.randn(BATCH, POS, 24, generator=torch.Generator().manual_seed(0))
    hooks = Hooks(read=SPOTS)
    hooks.start(0)
    out, (k, v) = block(x, make_bias(torch.ones(BATCH, POS), POS, 6, torch.float32), None, hooks)

    pre, attn, mid, mlp, post = (hooks[name] for name in SPOTS)
    assert pre.equal(x) and post.equal(out)
    assert mid.equal((block.input_layernorm(pre) if normed else pre) + attn)
    assert post.equal((block.post_attention_layernorm(mid) if normed else mid) + mlp)
    assert k.shape == v.shape == (BATCH, 6, POS, 4)


def test_the_two_variants_are_not_the_same() -> None:
    ids = torch.tensor([[5, 6, 7]])
    usual, other = (
        random_model(apply_residual_connection_post_layernorm=normed)(ids).logits for normed in (False, True)
    )
    assert (usual - other).abs().max() > 0.1
