"""Which files make up a model: the layouts BLOOM's weights have been published in, and the index of shards.

model.safetensors                                  one file, or
model.safetensors.index.json + its shards          several; the index says which tensor is in which
pytorch_model.bin, pytorch_model.bin.index.json    the same in the older format
flax_model.msgpack                                 the layout of the Flax classes, which bloomlab.jax reads
"""

from pathlib import Path

from bloomlab.errors import CheckpointError, shorten, shorten_path
from bloomlab.guards.files import read_json

LAYOUTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""What is looked for, in this order."""

MSGPACK = "flax_model.msgpack"
FLAX_ONLY = f"{MSGPACK}, which FlaxBloomForCausalLM opens; what that then saves with save_pretrained opens here too"

MAX_INDEX_BYTES = 1 << 20  # BLOOM's largest index is 0.1 MB


def read_index(index: Path) -> dict[str, str]:
    """Which file holds each tensor. Only files beside the index may be named.

    Raises:
        CheckpointError: the index is missing or broken, or leads out of its folder.
    """
    weight_map = read_json(index, MAX_INDEX_BYTES, CheckpointError).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(
            f"expected a weight_map of tensors and files in {shorten_path(index)}, but got {shorten(weight_map)}"
        )
    for name, file in weight_map.items():
        plain = isinstance(file, str) and not set(file) & set("/\\\0:")
        if not plain or not file.endswith((".safetensors", ".bin")):
            raise CheckpointError(
                f"expected the name of a file beside {shorten_path(index)} for {shorten(name)}, but got {shorten(file)}"
            )
    return weight_map
