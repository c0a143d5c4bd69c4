"""The same random BLOOM twice: ours, and the one in transformers.

Every parameter is random, biases and layer norms too, so that no term can hide behind a zero or a one.
"""

import torch
import transformers
from torch import Tensor

from bloomlab.config import BloomConfig
from bloomlab.heads.causal_lm import BloomForCausalLM

VOCAB = 101
N_HEADS = (1, 6, 7, 8, 16)


def make_pair(
    n_head: int = 8,
    seed: int = 0,
    scale: float | None = None,
    head_dim: int = 8,
    dtype: torch.dtype = torch.float32,
    **config: object,
) -> tuple[BloomForCausalLM, transformers.BloomForCausalLM]:
    """Our model and the reference with equal weights, of a size that makes every term count."""
    values = {"vocab_size": VOCAB, "hidden_size": head_dim * n_head, "n_layer": 3, "n_head": n_head, **config}
    ours = BloomForCausalLM(BloomConfig(**values)).eval()
    randomise(ours, seed, scale)
    theirs = transformers.BloomForCausalLM._from_config(
        transformers.BloomConfig(**values), attn_implementation="eager"
    ).eval()
    lacking, more = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert not more and set(lacking) <= {"lm_head.weight"}  # which is tied, so it is the table
    return ours.to(dtype), theirs.to(dtype)


def randomise(model: torch.nn.Module, seed: int = 0, scale: float | None = None) -> None:
    """Draw every parameter anew, of a size that makes every term count; layer norms scale by about one."""
    generator = torch.Generator().manual_seed(seed)
    scale = scale or 1.3 / model.config.hidden_size**0.5
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
            if ("norm" in name or "ln_f" in name) and name.endswith("weight"):
                parameter.add_(1)


def make_batch(
    seed: int = 0, batch: int = 3, columns: int = 11, left: tuple[int, ...] = (0, 4, 1)
) -> tuple[Tensor, Tensor]:
    """Ids and mask (batch, pos) with so much padding at the left of each row."""
    ids = torch.randint(4, VOCAB, (batch, columns), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(ids)
    for row, n in enumerate(left):
        mask[row, :n] = 0
        ids[row, :n] = 3
    return ids, mask
