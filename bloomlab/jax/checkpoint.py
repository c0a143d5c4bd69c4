"""The weights' two forms: torch's names in the files that torch reads, and flax's tree of parameters.

    h.0.mlp.dense_h_to_4h.weight   (out, in)        h / 0 / mlp / dense_h_to_4h / kernel   (in, out)
    ln_f.weight, ln_f.bias                          ln_f / scale, ln_f / bias
    word_embeddings.weight                          word_embeddings / embedding

A tree in a file of its own is `flax_model.msgpack`, the layout of the documented Flax classes. It holds arrays and
names, never code; it is read by flax and checked like every other layout.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import torch
from flax import serialization
from flax.traverse_util import flatten_dict, unflatten_dict
from torch import Tensor

from bloomlab.errors import CheckpointError, InputError, shorten, shorten_path
from bloomlab.guards.files import json_bytes, replacing_all, saying_why_unread, what_it_is
from bloomlab.guards.memory import check_memory
from bloomlab.weights.checkpoint import PREFIX, open_folder, remove_weights
from bloomlab.weights.layouts import LAYOUTS, MSGPACK
from bloomlab.weights.tensor_file import Stored

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}


def torch_name(path: tuple[str, ...]) -> str:
    """The name in torch of a parameter in flax's tree.

    >>> torch_name(("h", "0", "mlp", "dense_h_to_4h", "kernel"))
    'h.0.mlp.dense_h_to_4h.weight'
    """
    leaf = "weight" if path[-1] in ("kernel", "scale", "embedding") else path[-1]
    return ".".join([*path[:-1], leaf])


def torch_shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """Every parameter's shape in torch, by its name there."""
    flat = flatten_dict(tree)
    return {
        torch_name(path): tuple(leaf.shape[::-1] if path[-1] == "kernel" else leaf.shape) for path, leaf in flat.items()
    }


def checked_params(params: Any, expected: Any) -> Any:
    """The params, if they have the names and shapes of the tree `expected`; no number is looked at.

    Raises:
        InputError: they are of another model, or are not params.
    """
    if not isinstance(params, Mapping):
        raise InputError(f"params must be a tree like model.params, but got {type(params).__name__}")
    shapes, passed = torch_shapes(expected), torch_shapes(params)
    for name in sorted(shapes.keys() | passed.keys()):
        if shapes.get(name) != passed.get(name):
            raise InputError(
                f"expected shape {shapes.get(name)} for {name!r}, but got {passed.get(name)}; "
                "params must be of this model"
            )
    return params


def to_params(state: Mapping[str, Tensor], tree: Any) -> Any:
    """Torch's tensors as flax's tree; `tree` says which parameters there are."""
    flat = {path: state[torch_name(path)] for path in flatten_dict(tree)}
    return unflatten_dict({path: array(value.T if path[-1] == "kernel" else value) for path, value in flat.items()})


def to_state(params: Any) -> dict[str, Tensor]:
    """Flax's tree as torch's tensors, by their names there."""
    flat = {path: np.asarray(value) for path, value in flatten_dict(params).items()}
    return {torch_name(path): tensor(value.T if path[-1] == "kernel" else value) for path, value in flat.items()}


def array(values: Tensor) -> Any:
    """A tensor as a JAX array, copied. numpy has no bfloat16 of its own: there it is the same bits under another name.

    >>> array(torch.ones(2, dtype=torch.bfloat16)).dtype.name
    'bfloat16'
    """
    values = values.detach().cpu()
    if values.dtype == torch.bfloat16:
        return jnp.array(values.view(torch.int16).numpy().view(jnp.bfloat16))
    return jnp.array(values.numpy())


def tensor(values: Any) -> Tensor:
    """A JAX array as a tensor, copied.

    >>> tensor(jnp.ones(2, jnp.bfloat16))
    tensor([1., 1.], dtype=torch.bfloat16)
    """
    copied = np.array(values, order="C")
    if copied.dtype == jnp.bfloat16:
        return torch.from_numpy(copied.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(copied)


# -- files ----


def open_weights(folder: Path) -> dict[str, Stored]:
    """Every tensor in a folder, by its name in torch without `transformer.`; flax's own layout is looked for last.

    Raises:
        CheckpointError: there are no weights, or a file is missing or broken.
        MemoryLimitError: flax's own layout, which must be read whole, does not fit.
    """
    here = any((folder / name).exists() for name in LAYOUTS)
    return open_folder(folder) if here or not (folder / MSGPACK).exists() else _open_msgpack(folder / MSGPACK)


def _open_msgpack(path: Path) -> dict[str, Stored]:
    with saying_why_unread(path, CheckpointError):
        check_memory(2 * path.stat().st_size, f"reading {path.name}", "use a smaller model, or model.safetensors")
        data = path.read_bytes()
    if strange := what_it_is(data):
        raise CheckpointError(f"expected weights in {shorten_path(path)}, but {strange}; fetch the file itself")
    try:
        flat = flatten_dict(serialization.msgpack_restore(data))
    except Exception as error:  # anything that msgpack, numpy or flax raise for a broken file
        raise CheckpointError(f"{shorten_path(path)} is broken: {shorten(str(error))}; fetch it again") from None
    stored = {}
    for parts, leaf in flat.items():
        named = all(isinstance(part, str) for part in parts)
        if not named or not isinstance(leaf, np.ndarray) or leaf.dtype.name not in DTYPES:
            raise CheckpointError(
                f"expected weights in {shorten_path(path)}, but {shorten(parts)} is {shorten(leaf)}; fetch it again"
            )
        value = tensor(leaf.T if parts[-1] == "kernel" else leaf)
        name = torch_name(parts).removeprefix(PREFIX)
        stored[name] = Stored(name, path, tuple(value.shape), value.dtype, value.to)
    return stored


def write_msgpack(folder: Path, params: Any, beside: Mapping[str, dict[str, Any]]) -> None:
    """Write the tree as flax_model.msgpack, and files of JSON that belong to it; remove weights left by an earlier save
    that would be read first.

    Raises:
        CheckpointError: the folder holds somebody's pytorch_model.bin, which would be read in its place.
    """
    with replacing_all(folder, lambda: remove_weights(folder)) as draft:
        for name in LAYOUTS[2:]:
            if (folder / name).exists():
                raise CheckpointError(f"{folder} holds {name}, which would be read first; choose another folder")
        draft(MSGPACK).write_bytes(serialization.msgpack_serialize(unflatten_dict(flatten_dict(params))))
        for name, values in beside.items():
            draft(name).write_bytes(json_bytes(values))
