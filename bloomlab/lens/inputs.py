"""The inputs of a lens: what it needs from a trace, checked in one place.

Every lens names the spots it needs in a list READ, so that one call asks for exactly those:

    trace = lab.trace(text, read=logit_lens.READ)

The functions take that trace, or the tensor itself. Numbers come out in float32 on the CPU, without the batch axis:
a lens looks at one text. Of several, pick one: `trace.row(0)`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from bloomlab.errors import HookError, InputError
from bloomlab.tracing.trace import Trace

AT_ONCE = 1 << 26  # bytes of logits computed at a time: 64 MiB

WHOLE = ("embed", "final", "logits")
"""Spots that exist once; every other one exists in each layer."""


def names(spot: str, n_layer: int) -> list[str]:
    """The full names of a spot.

    >>> names("embed", 2), names("attn.probs", 2)
    (['embed'], ['h.0.attn.probs', 'h.1.attn.probs'])
    """
    return [spot] if spot in WHOLE else [f"h.{layer}.{spot}" for layer in range(n_layer)]


def check(trace: Trace, read: Sequence[str]) -> None:
    """Refuse a trace that lacks one of these spots, or that is of several texts.

    Raises:
        HookError: spots were not read; the message names them and how to read them.
        InputError: the trace is of several texts.
    """
    missing = [name for spot in read for name in names(spot, trace.config.n_layer) if name not in trace]
    if missing:
        listed = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise HookError(
            f"this lens needs {', '.join(read)}, but the trace has no {listed}; "
            f"make one with lab.trace(text, read={list(read)!r})"
        )
    if len(trace.ids) != 1:
        raise InputError(f"a lens looks at one text, but this trace has {len(trace.ids)}; pick one with trace.row(0)")


def one(trace: Trace, spot: str) -> Tensor:
    """The reading at a spot that exists once, or at one layer's: (pos, …)."""
    return trace[spot][0].detach().float().cpu()


def layers(source: Trace | Tensor, spot: str) -> Tensor:
    """One attention spot in every layer: (layer, head, query, key), from a trace or from such a tensor itself.

    Raises:
        HookError: the trace lacks it.
        InputError: the trace is of several texts, or the tensor has other axes.
    """
    if isinstance(source, Trace):
        check(source, [spot])
        source = source.stack(spot)[:, 0]
    if source.ndim != 4 or source.shape[2] != source.shape[3] or 0 in source.shape:
        raise InputError(
            f"expected {spot} as (layer, head, query, key) with as many queries as keys, but got the shape "
            f"{tuple(source.shape)}; pass a trace, or trace.stack({spot!r})[:, 0]"
        )
    return source.detach().float().cpu()


def positions_at_once(vocab: int, size: int = 4) -> int:
    """How many positions' logits of `size` bytes to compute at a time: a long text and a large vocabulary would fill
    the memory.

    >>> positions_at_once(250880), positions_at_once(250880, size=2)
    (66, 133)
    """
    return max(1, AT_ONCE // (vocab * size))


def causal(n: int) -> Tensor:
    """Which keys each query may see, in a text of n tokens without padding: (query, key).

    >>> causal(3).long()
    tensor([[1, 0, 0],
            [1, 1, 0],
            [1, 1, 1]])
    """
    return torch.ones(n, n, dtype=torch.bool).tril()
