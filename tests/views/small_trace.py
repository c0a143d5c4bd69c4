"""A trace of a made-up model: random scores, real softmax, real bytes of any text."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from bloomlab.model.alibi import slopes
from bloomlab.text.tokens import Token


def tokens_of(text: str, most_bytes: int = 4) -> list[Token]:
    """Words of one script are cut into pieces of up to `most_bytes` bytes, other characters too: 😀 gets two."""
    pieces: list[Token] = []
    for place, character in enumerate(text):
        data = character.encode("utf-8")
        if character.isascii() and character.isalpha() and pieces and pieces[-1].text.isascii():
            last = pieces[-1]
            if last.text.isalpha() and len(last.bytes) < most_bytes:
                pieces[-1] = Token(last.id + 7, last.bytes + data, last.text + character, (last.span[0], place + 1))
                continue
        parts = [data] if len(data) < 4 else [data[:2], data[2:]]
        pieces += [
            Token(100 + 11 * place + part[0] % 7, part, character if len(parts) == 1 else "", (place, place + 1))
            for part in parts
        ]
    return pieces


def small_trace(text: str, layers: int = 4, heads: int = 8, seed: int = 0) -> Any:
    """What lab.trace(text, read=["attn.scores", "attn.probs"]) would give, of a model with random scores."""
    tokens = tokens_of(text)
    random = torch.Generator().manual_seed(seed)
    values: dict[str, Tensor] = {}
    pos = torch.arange(len(tokens))
    bias = torch.tensor(slopes(heads))[:, None, None] * pos  # as trained: slope × key
    for layer in range(layers):
        scores = 2 * torch.randn(1, heads, len(tokens), len(tokens), generator=random)
        later = pos > pos[:, None]
        values[f"h.{layer}.attn.scores"] = scores
        values[f"h.{layer}.attn.probs"] = (scores + bias).masked_fill(later, float("-inf")).softmax(-1)
    return Values(
        values,
        text=text,
        tokens=tokens,
        ids=torch.tensor([[token.id for token in tokens]]),
        config=SimpleNamespace(n_layer=layers, n_head=heads),
        provenance={"model": "random", "weights": "0123456789abcdef", "dtype": "float32", "seed": seed, "edits": {}},
    )


class Values(SimpleNamespace):
    """Attributes, and tensors by name."""

    def __init__(self, values: dict[str, Tensor], **attributes: Any) -> None:
        super().__init__(**{"edit": {}, "lab": None, "base": None} | attributes)
        self.values = values

    def head(self, name: str, head: int) -> Tensor:
        return self.values[name][0, head]

    def heads(self, name: str) -> Tensor:
        return self.values[name][0]

    def __getitem__(self, name: str) -> Tensor:
        return self.values[name]

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def stack(self, name: str) -> Tensor:
        return torch.stack([self[f"h.{layer}.{name}"] for layer in range(self.config.n_layer)])


def counting_reader(runs: list[str]) -> Callable[[str], Any]:
    """A `read` that keeps a list of what it was asked."""

    def read(text: str) -> Any:
        runs.append(text)
        return small_trace(text)

    return read
