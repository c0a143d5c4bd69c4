"""What a generation begins with: ids, or vectors in their place, and a cache of columns that were read before."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from bloomlab.errors import InputError
from bloomlab.model.arguments import past_pairs
from bloomlab.model.cache import KVCache
from bloomlab.weights.pretrained import BloomPreTrainedModel


class Prompt(NamedTuple):
    """What there is before the first new token."""

    ids: Tensor  # (batch, pos) what a continuation is appended to: no columns, where there are vectors
    mask: Tensor  # (batch, key) 1 for a token, 0 for padding, of all columns: in the cache, or still to read
    past: KVCache | None = None  # columns that are not read again
    embeds: Tensor | None = None  # (batch, pos, hidden) vectors in place of ids

    @property
    def width(self) -> int:
        """How many columns it has, as `max_length` counts them."""
        return self.ids.shape[1] if self.embeds is None else self.embeds.shape[1]

    def repeated(self, times: int) -> "Prompt":
        """Each row so many times in a row."""
        if times == 1:
            return self
        rows = torch.arange(len(self.mask), device=self.mask.device).repeat_interleave(times)
        return Prompt(
            self.ids[rows],
            self.mask[rows],
            None if self.past is None else self.past.rows(rows),
            None if self.embeds is None else self.embeds[rows],
        )


def begin(
    model: BloomPreTrainedModel,
    input_ids: Tensor | None,
    attention_mask: Tensor | None = None,
    past_key_values: Any = None,
    inputs_embeds: Tensor | None = None,
) -> Prompt:
    """A prompt, checked against the model.

    With a cache, the ids are those of the whole text, its columns included; or, with a mask of the whole text, of the
    columns that it lacks. A cache of one row serves every row: a prefix that they share is read once.

    Raises:
        InputError: the parts do not fit each other, or the model.
    """
    if (input_ids is None) == (inputs_embeds is None):
        raise InputError("pass either input_ids or inputs_embeds: exactly one of the two")
    inputs = input_ids if inputs_embeds is None else inputs_embeds
    width = model.config.hidden_size
    axes, shape = ("(batch, pos)", (2,)) if inputs_embeds is None else (f"(batch, pos, {width})", (3, width))
    name = "input_ids" if inputs_embeds is None else "inputs_embeds"
    fits = isinstance(inputs, Tensor) and (inputs.dim(), *inputs.shape[2:]) == shape and inputs.shape[1] > 0
    if not isinstance(inputs, Tensor) or not fits:
        came = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
        raise InputError(f"{name} must be a tensor {axes} with at least one position, but got {came}")
    past = _cache(model, past_key_values, len(inputs))
    n_past = past.length if past else 0
    whole = inputs.shape[1]
    if past and isinstance(attention_mask, Tensor) and attention_mask.shape[-1] == n_past + whole:
        whole += n_past  # these are the columns that the cache lacks
    if n_past >= whole:
        raise InputError(
            f"past_key_values holds {n_past} columns and {name} has {inputs.shape[1]}; pass the whole text, of which "
            "at least the last column is not in the cache"
        )
    mask = checked_mask(attention_mask, (len(inputs), whole), name, inputs.device)
    if inputs_embeds is None:
        return Prompt(inputs, mask, past)
    unread = inputs[:, -(whole - n_past) :]
    return Prompt(torch.zeros(len(inputs), 0, dtype=torch.long, device=inputs.device), mask, past, unread)


def _cache(model: BloomPreTrainedModel, past_key_values: Any, rows: int) -> KVCache | None:
    """The cache, for so many rows."""
    pairs = past_pairs(past_key_values, model.config)
    if not pairs:
        return None
    past = KVCache(pairs)
    if past[0][0].dtype != model.dtype or (past[0][0].device != model.device and not model.device_map):
        raise InputError(
            f"past_key_values is {past[0][0].dtype} on {past[0][0].device}, but the model {model.dtype} on "
            f"{model.device}; make it with this model"
        )
    n_row = len(past[0][0])
    if n_row not in (1, rows):
        raise InputError(
            f"past_key_values has {n_row} rows but the inputs have {rows}; pass a cache of the same rows, or of one "
            "row that is the beginning of all"
        )
    return past if n_row == rows else past.rows(torch.zeros(rows, dtype=torch.long, device=model.device))


def checked_mask(mask: Tensor | None, shape: tuple[int, ...], name: str, device: torch.device) -> Tensor:
    """The mask (all ones if none was given), checked to have this shape and to end in a token in every row."""
    if mask is None:
        return torch.ones(shape, dtype=torch.long, device=device)
    if not isinstance(mask, Tensor):
        raise InputError(f"attention_mask must be a tensor, but got {type(mask).__name__}")
    if mask.shape != shape:
        raise InputError(f"attention_mask has shape {tuple(mask.shape)} but {name} {shape}; pass the tokenizer's own")
    if not mask[:, -1].all():
        row = int(mask[:, -1].bool().logical_not().nonzero()[0])
        raise InputError(
            f"row {row} ends in padding, but a continuation starts at the right edge; "
            "pad on the left (tokenizer.padding_side = 'left') and leave no row empty"
        )
    return mask
