"""Padding rows that were encoded before: what makes a batch of examples, as collators and data loaders ask for it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from bloomlab.errors import InputError, shorten
from bloomlab.guards.arguments import choice, whole_number
from bloomlab.text.batches import NO_LIMIT, PADDING, as_tensors

FILLED = {"attention_mask": 0, "token_type_ids": 0, "special_tokens_mask": 1}
"""What is padded beside the ids, and with what. Whatever else an example has stays as it is."""


def padded(
    examples: Any,
    pad_id: int,
    side: str,
    padding: Any = True,
    max_length: int | None = None,
    multiple: int | None = None,
    mask: bool = True,
    kind: str | None = None,
) -> dict[str, Any]:
    """Examples of one width: a list of them, or one dictionary of lists, or of one row.

    `mask` adds an attention_mask where there is none. With `kind`, tensors; tensors that are given stay tensors.

    Raises:
        InputError: there are no `input_ids`, or the rows do not make a tensor.
    """
    values, given = _by_name(examples)
    if not isinstance(values.get("input_ids"), list):
        raise InputError(
            f"expected encodings with input_ids, but got {shorten(list(values))}; call the tokenizer first"
        )
    is_batch = not values["input_ids"] or isinstance(values["input_ids"][0], list)
    if not is_batch:
        values = {name: [value] for name, value in values.items()}
    if mask and "attention_mask" not in values:
        values["attention_mask"] = [[1] * len(row) for row in values["input_ids"]]
    strategy = choice("padding", padding, PADDING)
    if strategy and values["input_ids"]:
        width = max(map(len, values["input_ids"])) if strategy == "longest" else max_length
        if width is None or width >= NO_LIMIT:
            raise InputError("padding='max_length' needs max_length, but got None; pass one, or padding=True")
        if multiple is not None:
            width = -(-width // whole_number("pad_to_multiple_of", multiple)) * multiple
        for name, filling in {"input_ids": pad_id, **FILLED}.items():
            if name in values:
                values[name] = [_filled(row, width, filling, side) for row in values[name]]
    if not is_batch:
        values = {name: value[0] for name, value in values.items()}
    return as_tensors(values, kind or given)


def _by_name(examples: Any) -> tuple[dict[str, Any], str | None]:
    """The values by their names, as lists; and what they were before: "pt", "np" or None."""
    if isinstance(examples, Sequence) and examples and all(isinstance(example, Mapping) for example in examples):
        lacking = next((name for name in examples[0] if any(name not in example for example in examples)), None)
        if lacking is not None:
            raise InputError(f"every example must have {lacking!r}, as the first has, but some have not")
        examples = {name: [example[name] for example in examples] for name in examples[0]}
    if not isinstance(examples, Mapping):
        raise InputError(f"expected encodings, as the tokenizer returns them, but got {shorten(examples)}")
    ids = examples.get("input_ids")
    first = ids[0] if isinstance(ids, list | tuple) and ids else ids
    kind = "pt" if isinstance(first, torch.Tensor) else "np" if isinstance(first, np.ndarray) else None
    return {name: _plain(value) for name, value in examples.items()}, kind


def _plain(value: Any) -> Any:
    """A tensor or an array as a list, also inside lists."""
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        return value.tolist()
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _filled(row: list[int], width: int, filling: int, side: str) -> list[int]:
    more = [filling] * (width - len(row))
    return more + row if side == "left" else row + more
