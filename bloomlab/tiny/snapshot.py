"""The embedded model as it was during its training, in a quarter of the size.

A weight is kept as a whole number from -127 to 127, with one scale for each row of its matrix:

    scale = max |row| / 127        whole = round(row / scale)        row ≈ whole · scale

Rounding changes the logits a little and what the heads attend to hardly at all (the card has the numbers).
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bloomlab.errors import InputError, did_you_mean
from bloomlab.guards.files import make_folder, replacing
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.tiny import folder, snapshots


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix as whole numbers (row, column) and a scale for each row (row, 1); a vector is one row.

    >>> whole, scale = quantize(torch.tensor([[1.0, -2.0], [0.0, 0.5]]))
    >>> whole
    tensor([[  64, -127],
            [   0,  127]], dtype=torch.int8)
    >>> [round(x, 3) for x in (whole * scale).flatten().tolist()]
    [1.008, -2.0, 0.0, 0.5]
    """
    scale = (weight.float().abs().amax(-1, keepdim=True) / 127).clamp(min=1e-12)
    return (weight / scale).round().to(torch.int8), scale


def write_snapshot(weights: Mapping[str, Tensor], path: Path) -> None:
    """Keep the weights of a model in a file, one byte each."""
    make_folder(path.parent)
    tensors = {}
    for name, weight in weights.items():
        tensors[name], tensors[f"{name}.scale"] = quantize(weight.detach().cpu())
    with replacing(path) as draft:
        save_file(tensors, draft, metadata={"format": "pt"})


def open_snapshot(
    revision: str,
    where: Path | None = None,
    dtype: torch.dtype | str = torch.float32,
    device: torch.device | str | None = None,
) -> BloomForCausalLM:
    """The embedded model at a step of its training: "step1200" is after step 1200.

    `where` is the folder of the model, the shipped one if not said; dtype and device are those of `bloomlab.load`.

    Raises:
        InputError: there is none of this step.
    """
    where = where or folder()
    kept = [f"step{step}" for step in snapshots(where)]
    if revision not in kept:
        hint = did_you_mean(str(revision), kept)
        raise InputError(f"the embedded model has no snapshot {str(revision)[:50]!r}{hint}; it has {', '.join(kept)}")
    tensors = load_file(where / "snapshots" / f"{revision}.safetensors")
    model = BloomForCausalLM.from_pretrained(where, dtype=dtype, device=device)
    for name, weight in model.named_parameters():
        weight.data = (tensors[name] * tensors[f"{name}.scale"]).to(weight)
    return model.eval()
