"""Task heads for tests: random ones on the byte tokenizer's small model. One label is hostile."""

from typing import Any

import torch

from bloomlab.config import BloomConfig
from bloomlab.lab import Lab
from bloomlab.tiny.heads import HEADS
from tests.tiny_random import SIZES, byte_tokenizer, random_model

LABELS = {"language": ["en", "fr", "<b>ar</b>", "other"], "tags": ["O", "PERSON", "CITY"], "answer": ["start", "end"]}


def random_head(task: str, seed: int = 0, **changes: Any) -> Any:
    """A head in eval mode, every parameter random; the same seed gives the same weights."""
    labels = dict(enumerate(LABELS[task]))
    model = HEADS[task](BloomConfig(**{**SIZES, "pad_token_id": 3, "id2label": labels, **changes})).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + 0.2 * noise if "norm.weight" in name or "ln_f.weight" in name else 0.3 * noise)
    return model


def random_lab(**changes: Any) -> Lab:
    """A lab of a random model, with all three heads."""
    lab = Lab(random_model(**changes), byte_tokenizer(), name="random")
    for seed, task in enumerate(HEADS):
        lab.heads[task] = random_head(task, seed, **changes)
    return lab
