"""Small BLOOMs for tests, with every parameter random: biases and layer norms too, so that nothing hides behind a 0."""

from functools import cache
from typing import Any

import torch
from tokenizers import Tokenizer, models
from torch import Tensor

from bloomlab.config import BloomConfig
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.text.tokenizer_file import bloom_pipeline

# Every axis has a size of its own, so that none can be taken for another.
SIZES: dict[str, Any] = {"vocab_size": 300, "hidden_size": 24, "n_layer": 3, "n_head": 6}
BATCH, PAST, POS = 2, 7, 5


def random_model(seed: int = 0, scale: float = 0.3, **changes: Any) -> BloomForCausalLM:
    """A model in eval mode; the same seed and config give the same weights."""
    model = BloomForCausalLM(BloomConfig(**{**SIZES, **changes})).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + 0.2 * noise if "layernorm.weight" in name or "ln_f.weight" in name else scale * noise)
    return model


def random_ids(batch: int = BATCH, pos: int = POS, seed: int = 1) -> Tensor:
    return torch.randint(4, 260, (batch, pos), generator=torch.Generator().manual_seed(seed))


def padded_mask(pos: int = POS) -> Tensor:
    """Two rows: one begins with two columns of padding, the other has none."""
    mask = torch.ones(2, pos, dtype=torch.long)
    mask[0, :2] = 0
    return mask


@cache
def byte_tokenizer() -> BloomTokenizerFast:
    """BLOOM's tokenizer without any merges: every byte is a token."""
    alphabet = sorted({*range(33, 127), *range(161, 173), *range(174, 256)})
    characters = [chr(byte) for byte in alphabet] + [chr(256 + i) for i in range(256 - len(alphabet))]
    pieces = ["<unk>", "<s>", "</s>", "<pad>", *sorted(characters)]
    library = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, []))
    return BloomTokenizerFast(tokenizer_object=bloom_pipeline(library))
