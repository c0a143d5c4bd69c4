"""The arguments of a call as the documentation has them, kept out of the lesson.

Older spellings, switches and layouts end here: the components only see an input, a mask, a cache and hooks.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bloomlab.config import BloomConfig
from bloomlab.errors import InputError
from bloomlab.hooks import Edit, Hooks, Known, values_hidden


def refuse_unknown(extra: dict[str, Any]) -> None:
    """Accept, with a warning, the one keyword that old code still passes; refuse all others by name."""
    if extra.pop("position_ids", None) is not None:
        warnings.warn("position_ids have no effect in BLOOM: ALiBi needs none", FutureWarning, stacklevel=5)
    if extra:
        raise InputError(f"forward got arguments it does not know: {', '.join(sorted(extra))}; remove them")


def check_config(config: BloomConfig, blocks: Any) -> None:
    """Refuse a config that no longer describes the model's blocks. A model without its last blocks still runs.

    Raises:
        InputError: it has fewer layers, or another number of heads, than the model.
    """
    n_layer, n_head = len(blocks), blocks[0].self_attention.n_head if blocks else config.n_head
    if config.n_layer < n_layer or config.n_head != n_head:
        raise InputError(
            f"the config was changed after the model was made: it says {config.n_layer} layers of {config.n_head} "
            f"heads, but there are {n_layer} of {n_head}; set it back, or make the model anew"
        )


def caches(use_cache: bool, recompute: bool) -> bool:
    """Whether this call keeps a cache. Gradient checkpointing, which computes every block twice, keeps none."""
    if use_cache and recompute:
        warnings.warn("gradient checkpointing keeps no cache: use_cache is off for this call", stacklevel=4)
    return use_cache and not recompute


def full_mask(
    input_ids: Tensor | None,
    inputs_embeds: Tensor | None,
    attention_mask: Tensor | None,
    cache_position: Tensor | None,
    past: Sequence[tuple[Tensor, Tensor]] | None,
    config: BloomConfig,
) -> Tensor:
    """The mask (batch, key) of all columns, past and new; all ones by default.

    Raises:
        InputError: the inputs do not fit each other, the past or the vocabulary.
    """
    inputs = input_ids if input_ids is not None else inputs_embeds
    if inputs is None or (input_ids is not None and inputs_embeds is not None):
        raise InputError("pass either input_ids or inputs_embeds: exactly one of the two")
    given: list[tuple[str, Any]] = [("the input", inputs), ("attention_mask", attention_mask)]
    for name, value in given:
        if value is not None and not isinstance(value, Tensor):
            got = type(value).__name__
            how = "tokenizer(text, return_tensors='pt') makes one" if got == "str" else "wrap it in torch.tensor(…)"
            raise InputError(f"{name} must be a tensor, but got {got}; {how}")
    if input_ids is not None and (inputs.is_floating_point() or inputs.dtype == torch.bool):
        raise InputError(f"input_ids must be whole numbers, but are {inputs.dtype}")
    expected = "(batch, pos)" if inputs is input_ids else f"(batch, pos, {config.hidden_size})"
    fits = inputs.dim() == 2 if inputs is input_ids else inputs.dim() == 3 and inputs.shape[2] == config.hidden_size
    if not fits or 0 in inputs.shape:
        raise InputError(f"inputs must have shape {expected}, with no empty axis, but have {tuple(inputs.shape)}")

    column = past[0][0].shape[2] if past else 0
    batch, n_key = inputs.shape[0], column + inputs.shape[1]
    if past and past[0][0].shape[0] != batch:
        raise InputError(
            f"past_key_values has {past[0][0].shape[0]} rows but the inputs have {batch}; use the same batch"
        )
    if inputs.is_cpu and not values_hidden():  # elsewhere, looking at the values would wait for the device
        _check_values(input_ids, attention_mask, cache_position, range(column, n_key), config.vocab_size)
    if attention_mask is None:
        return torch.ones(batch, n_key, dtype=torch.long, device=inputs.device)
    if tuple(attention_mask.shape) != (batch, n_key):
        raise InputError(
            f"attention_mask must have shape {(batch, n_key)}: every row, {column} past and {inputs.shape[1]} new "
            f"columns; but it has {tuple(attention_mask.shape)}"
        )
    return attention_mask.to(inputs.device)


def _check_values(
    input_ids: Tensor | None,
    attention_mask: Tensor | None,
    cache_position: Tensor | None,
    columns: range,
    vocab_size: int,
) -> None:
    if input_ids is not None:
        low, high = int(input_ids.min()), int(input_ids.max())
        if low < 0 or high >= vocab_size:
            raise InputError(f"token ids must be from 0 to {vocab_size - 1}, but go from {low} to {high}")
    if attention_mask is not None and not ((attention_mask == 0) | (attention_mask == 1)).all():
        least, most = attention_mask.min().item(), attention_mask.max().item()
        raise InputError(f"attention_mask must be 1 for a token and 0 for padding, but goes from {least} to {most}")
    if cache_position is not None and cache_position.tolist() != list(columns):
        raise InputError(f"cache_position must be {columns[0]} to {columns[-1]}, but is {cache_position.tolist()}")


def switches(
    head_mask: Tensor | None, output_attentions: bool | None, output_hidden_states: bool | None, config: BloomConfig
) -> tuple[Hooks, Hooks]:
    """The documented switches as hooks: the edits of a head mask, and the readings of the other two."""
    attentions = config.output_attentions if output_attentions is None else output_attentions
    hidden_states = config.output_hidden_states if output_hidden_states is None else output_hidden_states
    layers = range(config.n_layer)
    read = [f"h.{i}.attn.probs" for i in layers] if attentions else []
    read += [*(f"h.{i}.resid_pre" for i in layers), "final"] if hidden_states else []
    edit = {} if head_mask is None else _head_mask_edits(head_mask, config.n_layer, config.n_head)
    return Hooks(edit=edit), Hooks(read=read, detach=False)


def _head_mask_edits(head_mask: Tensor, n_layer: int, n_head: int) -> dict[str, Edit]:
    """One edit for each layer; it multiplies each head's probabilities by its entry in the mask."""
    if tuple(head_mask.shape) not in ((n_head,), (n_layer, n_head)):
        raise InputError(
            f"head_mask must have shape {(n_head,)} (heads) or {(n_layer, n_head)} (layers, heads), "
            f"but has {tuple(head_mask.shape)}"
        )

    def multiply(keep: Tensor) -> Edit:
        return lambda probs, at: probs * keep.to(probs)[:, None, None]

    rows = head_mask.expand(n_layer, n_head)
    return {f"h.{i}.attn.probs": multiply(keep) for i, keep in enumerate(rows)}


def begin(known: Known, mask: Tensor, past: object, use_cache: bool, config: BloomConfig) -> tuple[int, Tensor]:
    """The layer and the state that a run begins with.

    Raises:
        InputError: a cache is used or wanted, which would lack the layers below; or the state does not fit.
    """
    expected = (*mask.shape, config.hidden_size)
    if past or use_cache:
        raise InputError("a run that begins from a known state computes no cache; pass use_cache=False and no past")
    if not 0 <= known.layer <= config.n_layer or tuple(known.state.shape) != expected:
        raise InputError(
            f"a known state must be {expected}, before a layer from 0 to {config.n_layer}, but got "
            f"{tuple(known.state.shape)} before layer {known.layer}"
        )
    return known.layer, known.state


def past_pairs(past: object, config: BloomConfig) -> list[tuple[Tensor, Tensor]] | None:
    """One (key, value) a layer from a cache, or from a tuple in either documented layout.

    The layouts: both (batch, head, key, head_dim); or, older, keys (batch · head, head_dim, key) and values
    (batch · head, key, head_dim).

    Raises:
        InputError: another number of layers, or shapes that fit neither layout.
    """
    if past is None:
        return None
    layers = getattr(past, "layers", None)
    if isinstance(layers, list):  # a DynamicCache of transformers; one that is still empty has no layers, or empty ones
        pairs: list[Any] = [(getattr(layer, "keys", None), getattr(layer, "values", None)) for layer in layers]
        filled = [pair for pair in pairs if isinstance(pair[0], Tensor) and pair[0].numel()]
        if not filled:
            return None
        past = filled
    if not isinstance(past, Sequence) or not all(_is_pair(pair) for pair in past):
        raise InputError(
            "past_key_values must be a KVCache, a DynamicCache or one (key, value) of tensors a layer, but got "
            f"{type(past).__name__}"
        )
    n_layer, head_dim = config.n_layer, config.head_dim
    n_head = getattr(config, "heads_here", config.n_head)  # one of several processes has a part of them
    pairs = [_four_dimensional(k, v, n_head) for k, v in past]
    if len(pairs) != n_layer:
        raise InputError(f"past_key_values has {len(pairs)} layers but the model has {n_layer}; use the same model's")
    for k, v in pairs:
        fits = k.dim() == 4 and k.shape[1] == n_head and k.shape[3] == head_dim
        if not fits or not k.shape == v.shape == pairs[0][0].shape:
            raise InputError(
                f"each key and value must have shape (batch, {n_head}, key, {head_dim}), the same in all layers, "
                f"but got {tuple(k.shape)} and {tuple(v.shape)}"
            )
    return pairs


def _is_pair(pair: object) -> bool:
    return isinstance(pair, Sequence) and len(pair) == 2 and all(isinstance(half, Tensor) for half in pair)


def _four_dimensional(k: Tensor, v: Tensor, n_head: int) -> tuple[Tensor, Tensor]:
    if k.dim() == 3 and v.dim() == 3 and k.shape[0] % n_head == 0:
        return k.mT.unflatten(0, (-1, n_head)), v.unflatten(0, (-1, n_head))
    return k, v


def without_padding(labels: Tensor, attention_mask: Tensor | None, shifted: bool = False) -> Tensor:
    """Labels (batch, pos) with -100, which no loss counts, at padding; if `shifted`, also right after padding.

    So the loss of a padded batch is the mean over the tokens of its texts, whichever side the padding is on.

    >>> without_padding(torch.tensor([[7, 8, 9]]), torch.tensor([[0, 1, 1]]), shifted=True)
    tensor([[-100, -100,    9]])
    """
    if attention_mask is None or labels.dim() != 2:
        return labels
    columns = labels.shape[1]
    is_token = attention_mask.to(labels.device).bool()
    counts = is_token[:, -columns:]
    if shifted:
        counts = counts & F.pad(is_token, (1, 0))[:, -columns - 1 : -1]
    return labels if counts.shape != labels.shape else labels.masked_fill(~counts, -100)
