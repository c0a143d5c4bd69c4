"""The file of a trace: a safetensors file whose description says what its tensors are. Nothing in it is taken on trust.

Others may have written it, and views put what it says on a page. So each value of the description is checked for its
type and its range, and against the others, before there is a Trace: what is opened can be used everywhere.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bloomlab.config import BloomConfig
from bloomlab.errors import BloomlabError, InputError, shorten, shorten_path
from bloomlab.guards.arguments import whole_text
from bloomlab.guards.files import parse_json
from bloomlab.hooks import Reading
from bloomlab.text.tokens import Token, tokens_in

KEY = "bloomlab_trace"
OWN = ("ids", "attention_mask")  # tensors that are no readings
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
MAX_AXES = 8
COLUMNS = ("pos", "query", "key")
MAX_DESCRIPTION = 64 << 20  # bytes; a token takes about 80


class Contents(NamedTuple):
    """What a trace is made of, in the order in which Trace takes it."""

    readings: dict[str, Reading]
    text: str | list[str]
    tokens: Sequence[Sequence[Token]]
    ids: Tensor
    attention_mask: Tensor
    config: BloomConfig
    provenance: dict[str, Any]


def description(contents: Contents) -> dict[str, Any]:
    """All but the tensors, ready for JSON."""
    return {
        "axes": {name: reading.axes for name, reading in contents.readings.items()},
        "text": contents.text,
        "tokens": [[{**asdict(token), "bytes": token.bytes.hex()} for token in row] for row in contents.tokens],
        "config": contents.config.to_dict(),
        "provenance": contents.provenance,
    }


def read_trace(path: str | os.PathLike[str]) -> Contents:
    """What is in a trace's file.

    Raises:
        InputError: the file is missing, is not a saved trace, or says what cannot be.
    """
    try:
        if not Path(path).is_file():
            raise InputError("there is no such file")
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(KEY)
            if text is None:
                raise InputError("it has no description of a trace")
            said = parse_json(text.encode(), "its description", MAX_DESCRIPTION, InputError)
            if not isinstance(said, dict) or said.keys() != {"axes", "text", "tokens", "config", "provenance"}:
                raise InputError("its description is not that of a trace")
            axes = _axes(said["axes"])
            stored = set(file.keys())
            if lost := sorted({*OWN, *axes} - stored):
                raise InputError(f"it has no tensor {shorten(lost[0])}")
            tensors = {name: file.get_tensor(name) for name in (*OWN, *axes)}
        return _checked(said, axes, tensors)
    except BloomlabError as error:
        why = str(error)
    except (OSError, RuntimeError, SafetensorError, TypeError, ValueError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
    raise InputError(f"{shorten_path(path)} is not a trace that trace.save() wrote: {why[:200]}")


def _checked(said: Mapping[str, Any], axes: Mapping[str, str], tensors: Mapping[str, Tensor]) -> Contents:
    ids, mask = tensors["ids"], tensors["attention_mask"]
    config = BloomConfig.from_dict(said["config"])
    _check_ids(ids, mask, config)
    readings = {name: Reading(tensors[name], axes[name]) for name in axes}
    sizes = {
        **{"batch": ids.shape[0], **dict.fromkeys(COLUMNS, ids.shape[1])},
        **{"head": config.n_head, "head_dim": config.head_dim, "hidden": config.hidden_size},
        **{"neuron": 4 * config.hidden_size, "vocab": config.vocab_size},
    }
    for name, reading in readings.items():
        _check_reading(name, reading, sizes, config.n_layer)
    texts = _texts(said["text"], len(ids))
    rows = said["tokens"]
    if not isinstance(rows, list) or len(rows) != len(ids):
        raise InputError(f"it has {len(ids)} rows of ids, but its tokens are those of others")
    tokens = [_tokens(*row) for row in zip(rows, texts, ids, mask, strict=True)]
    return Contents(readings, said["text"], tokens, ids, mask, config, _provenance(said["provenance"]))


def _axes(said: Any) -> dict[str, str]:
    """The axes of each reading, by the name of its spot."""
    if not isinstance(said, dict):
        raise InputError("its axes are not a table")
    for name, axes in said.items():
        if name in OWN or not all(part.isidentifier() or part.isdecimal() for part in name.split(".")):
            raise InputError(f"{shorten(name)} is not the name of a spot")
        words = axes.split() if isinstance(axes, str) else []
        known = ("batch", *COLUMNS, "head", "head_dim", "hidden", "neuron", "vocab", "label")
        if not 0 < len(words) <= MAX_AXES or not set(words) <= set(known) or len(set(words)) < len(words):
            raise InputError(f"{shorten(axes)} are not the axes of {shorten(name)}")
    return said


def _check_ids(ids: Tensor, mask: Tensor, config: BloomConfig) -> None:
    if ids.dtype != torch.long or ids.dim() != 2 or not ids.numel():
        raise InputError(f"its ids are {tuple(ids.shape)} {ids.dtype}; expected whole numbers (batch, pos)")
    if not 0 <= int(ids.min()) <= int(ids.max()) < config.vocab_size:
        raise InputError(f"its ids must be from 0 to {config.vocab_size - 1}, as its config says")
    if mask.dtype not in (torch.long, torch.int32, torch.bool) or mask.shape != ids.shape:
        raise InputError(f"its attention_mask is {tuple(mask.shape)} {mask.dtype}, its ids {tuple(ids.shape)}")
    steps = mask.long().diff(dim=1, prepend=torch.zeros(len(mask), 1, dtype=torch.long))
    if int(mask.max()) > 1 or int(mask.min()) < 0 or not ((steps == 1).sum(1) == 1).all():
        raise InputError("in each row of its attention_mask the ones must stand together")


def _check_reading(name: str, reading: Reading, sizes: Mapping[str, int], n_layer: int) -> None:
    tensor, axes = reading.tensor, reading.axes.split()
    layer = name.split(".")[1] if name.startswith("h.") else "0"
    if not layer.isdecimal() or int(layer[:5]) >= n_layer:
        raise InputError(f"it has {n_layer} layers, and so no {shorten(name)}")
    if tensor.dtype not in FLOATS:
        raise InputError(f"{shorten(name)} is of {tensor.dtype}")
    shape = tuple(tensor.shape)
    if len(shape) != len(axes) or any(sizes.get(axis, size) != size for axis, size in zip(axes, shape, strict=True)):
        raise InputError(f"{shorten(name)} is {shorten(shape)}, which does not fit its axes {reading.axes} here")


def _texts(said: Any, count: int) -> list[str]:
    """The text of each row."""
    if isinstance(said, str) and count == 1:
        return [whole_text(said, "its text")]
    if not isinstance(said, list) or len(said) != count:
        raise InputError(f"it has {count} rows, but its text is of others")
    return [whole_text(text, "its text") for text in said]


def _tokens(said: Any, text: str, ids: Tensor, mask: Tensor) -> list[Token]:
    """The tokens of a row. What they show follows from their bytes, so it is worked out and not believed."""
    row = ids[mask.bool()].tolist()
    if not isinstance(said, list) or len(said) != len(row):
        raise InputError(f"a row has {len(row)} ids, but its tokens are those of others")
    parts = []
    for token, token_id in zip(said, row, strict=True):
        if not isinstance(token, dict) or type(token.get("id")) is not int or token["id"] != token_id:
            raise InputError(f"it has the id {token_id} where its tokens say {shorten(token)}")
        if not isinstance(token.get("bytes"), str):
            raise InputError(f"the bytes of a token are written as a text, but got {shorten(token)}")
        parts.append(bytes.fromhex(token["bytes"]))
    data = b"".join(parts)
    tokens = tokens_in(data, row, parts)
    for token, is_said in zip(tokens, said, strict=True):
        if is_said != {**asdict(token), "bytes": is_said["bytes"], "span": list(token.span)}:
            raise InputError(f"{shorten(is_said)} is not what its bytes say")
    if data.decode("utf-8", "replace").strip() != text.strip():
        raise InputError("its tokens are not those of its text")
    return tokens


def _provenance(said: Any) -> dict[str, Any]:
    """Where the numbers come from: words and numbers, and tables of words."""
    if not isinstance(said, dict):
        raise InputError("its provenance is not a table")
    for name, value in said.items():
        if name in ("edits", "versions"):
            if not isinstance(value, dict) or not all(isinstance(word, str) for word in value.values()):
                raise InputError(f"the {name} in its provenance are not a table of words, but {shorten(value)}")
        elif name == "seed":
            if value is not None and type(value) is not int:
                raise InputError(f"the seed in its provenance is no whole number, but {shorten(value)}")
        elif not isinstance(value, str):
            raise InputError(f"{shorten(name)} in its provenance is no text, but {shorten(value)}")
    return said
