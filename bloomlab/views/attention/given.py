"""One's own attention in the view: a tensor from anywhere, over the tokens of a text."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bloomlab.config import BloomConfig
from bloomlab.errors import InputError
from bloomlab.hooks import Reading
from bloomlab.tracing.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bloomlab.text.tokens import Token

ROUNDING = 1e-2  # of a row's sum: a row of bfloat16 is as far from 1
MOST = 1 << 28  # numbers

CODE = """\
# `probs` is the tensor that was passed, (layer, head, query, key)
print(probs[{layer}, {head}, {query}, {key}])  # what the matrix shows of one head
"""


def given_trace(text: str, tokens: "Sequence[Token]", probs: Any, reader: str) -> Trace:
    """A trace that holds nothing but a pattern of one's own, (layer, head, query, key), for the tokens of a text.

    Raises:
        InputError: it is no such tensor; or a row is not one of attention: below 0, not summing to 1, or looking ahead.
    """
    values = checked(probs, len(tokens))
    layers, heads = values.shape[:2]
    readings = {
        f"h.{layer}.attn.probs": Reading(values[layer][None], "batch head query key") for layer in range(layers)
    }
    ids = torch.tensor([[token.id for token in tokens]])
    config = BloomConfig(vocab_size=1, hidden_size=heads, n_layer=layers, n_head=heads)
    size = f"{layers} {'layer' if layers == 1 else 'layers'} × {heads} {'head' if heads == 1 else 'heads'}"
    given = f"your own attention, {size}, not the model's; tokens as {reader} reads them"
    return Trace(readings, text, [list(tokens)], ids, torch.ones_like(ids), config, {"given": given})


def checked(probs: Any, tokens: int) -> Tensor:
    """Patterns as float32, if every row is one of attention.

    >>> checked([[[[1.0, 0.0], [0.25, 0.75]]]], 2).shape
    torch.Size([1, 1, 2, 2])
    >>> checked([[[[1.0, 0.0], [0.25, 0.25]]]], 2)
    Traceback (most recent call last):
    bloomlab.errors.InputError: a row of attention sums to 1, but that of layer 0, head 0, query 1 sums to 0.5
    """
    try:
        values = torch.as_tensor(probs)
        if values.is_complex():
            raise TypeError("complex")
        values = values.detach().float().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"probs must be a tensor or an array (layer, head, query, key), but got {type(probs).__name__}"
        ) from error
    if values.ndim != 4 or values.shape[2:] != (tokens, tokens) or 0 in values.shape or values.numel() > MOST:
        raise InputError(
            f"probs must be (layer, head, query, key) with the text's {tokens} tokens as queries and as keys, but got "
            f"the shape {tuple(values.shape)}"
        )
    ahead = values.triu(1)
    if bool((~values.isfinite()).any()) or bool((values < 0).any()):
        layer, head, query, key = (~(values >= 0) | values.isinf()).nonzero()[0].tolist()
        found = values[layer, head, query, key].item()
        where = f"layer {layer}, head {head}, query {query}, key {key}"
        raise InputError(f"attention is 0 or more, but {where} has {found}")
    if bool((ahead > ROUNDING).any()):
        layer, head, query, key = (ahead > ROUNDING).nonzero()[0].tolist()
        raise InputError(
            f"no query of this view sees a key that comes later, but layer {layer}, head {head}, query {query} gives "
            f"key {key} {ahead[layer, head, query, key].item():.3g}; mask it before the softmax"
        )
    sums = values.sum(-1)
    if bool(((sums - 1).abs() > ROUNDING).any()):
        layer, head, query = ((sums - 1).abs() > ROUNDING).nonzero()[0].tolist()
        raise InputError(
            f"a row of attention sums to 1, but that of layer {layer}, head {head}, query {query} sums to "
            f"{sums[layer, head, query].item():.3g}"
        )
    return values
