"""Where do the heads look, and why there? Patterns of attention, and what position alone makes of them.

    probs          softmax(q·k/√d + ALiBi)     what the model used
    content only   softmax(q·k/√d)             if the head had no sense of position
    position only  softmax(ALiBi)              if it had nothing else

A pattern holds, for each query, the share of its attention that each key gets: a row sums to 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bloomlab.errors import InputError
from bloomlab.lens.inputs import causal, check, layers
from bloomlab.model.alibi import slopes
from bloomlab.model.positions import own_slopes
from bloomlab.tracing.trace import Trace

READ = ["attn.scores", "attn.probs"]


def head_average(probs: Trace | Tensor) -> Tensor:
    """The mean pattern of each layer's heads: (layer, head, query, key) -> (layer, query, key).

    >>> sharp, flat = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    >>> head_average(torch.stack([sharp, flat])[None])
    tensor([[[1.0000, 0.0000],
             [0.2500, 0.7500]]])
    """
    return layers(probs, "attn.probs").mean(1)


def rollout(probs: Trace | Tensor) -> Tensor:
    """How much of each column's state would come from each token, if attention were all there is.

    (layer, head, query, key) -> (layer, query, key). A layer keeps half of a state (the residual stream) and takes
    half from where its heads look on average; the layers are chained:

        A = ½ · identity + ½ · mean over heads        rollout[layer] = A[layer] · rollout[layer - 1]

    Source: Abnar and Zuidema, "Quantifying Attention Flow in Transformers", 2020, section 3. It leaves out the
    values, the MLPs and the sizes of what is added: a sketch, not a proof.

    >>> back = torch.tensor([[1.0, 0.0], [1.0, 0.0]]).expand(2, 1, 2, 2)  # two layers that look at the first token
    >>> rollout(back)[:, 1]
    tensor([[0.5000, 0.5000],
            [0.7500, 0.2500]])
    """
    average = head_average(probs)
    flows = torch.empty_like(average)
    for layer, mean in enumerate(average):
        step = (mean + torch.eye(len(mean))) / 2
        flows[layer] = step @ flows[layer - 1] if layer else step
    return flows


def position_only(head_slopes: Sequence[float], n: int) -> Tensor:
    """The patterns ALiBi alone makes, with no content at all: slopes (head) -> (head, query, key) for n tokens.

    >>> position_only([math.log(2)], 3)          # every step back halves the weight: 4/7, 2/7, 1/7
    tensor([[[1.0000, 0.0000, 0.0000],
             [0.3333, 0.6667, 0.0000],
             [0.1429, 0.2857, 0.5714]]])
    """
    pos = torch.arange(n)
    distance = pos[:, None] - pos  # (query, key)
    bias = -torch.tensor(head_slopes, dtype=torch.float64)[:, None, None] * distance
    return bias.masked_fill(~causal(n), -math.inf).softmax(-1).float()


def content_only(scores: Trace | Tensor) -> Tensor:
    """The patterns without ALiBi: `attn.scores` (layer, head, query, key) -> the same shape.

    >>> content_only(torch.tensor([[[[0.0, 9.0], [math.log(3), 0.0]]]]))
    tensor([[[[1.0000, 0.0000],
              [0.7500, 0.2500]]]])
    """
    scores = layers(scores, "attn.scores")
    return scores.masked_fill(~causal(scores.shape[-1]), -math.inf).softmax(-1)


def overlap(pattern: Tensor, other: Tensor) -> Tensor:
    """How much two patterns have in common: the attention both put on the same keys, 0 to 1.

        Σ over keys of min(pattern, other)            then the mean over queries

    0: no key in common. 1: the same pattern. (1 - overlap is the total variation distance.) The first query has one
    key to look at, so it says nothing and is left out. (…, query, key) twice -> (…).

    >>> a, b = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.25, 0.75]])
    >>> overlap(a, b)
    tensor(0.2500)
    """
    if pattern.shape[-2:] != other.shape[-2:]:
        raise InputError(
            f"two patterns need the same queries and keys, but have {tuple(pattern.shape[-2:])} and "
            f"{tuple(other.shape[-2:])}; take both from one text"
        )
    common = torch.minimum(pattern, other).sum(-1)
    return common[..., 1:].mean(-1) if common.shape[-1] > 1 else common[..., 0]


def position_share(probs: Trace | Tensor) -> Tensor:
    """How much of each head's pattern position alone explains: (layer, head), 0 to 1.

    It is the overlap of the head's pattern with the one its ALiBi slope alone would make: the share of its attention
    that lies where position would have put it anyway. Chosen over correlation or a divergence because it cannot
    leave 0 to 1, needs no clipping, and is a share of attention that can be seen in the picture.

    >>> position_share(position_only(slopes(2), 4)[None])
    tensor([[1., 1.]])
    """
    used = own_slopes(probs.config) if isinstance(probs, Trace) else None
    probs = layers(probs, "attn.probs")
    alone = position_only(used or slopes(probs.shape[1]), probs.shape[-1])
    return torch.stack([overlap(layer, alone) for layer in probs])


def content_share(trace: Trace) -> Tensor:
    """How much of each head's pattern content alone explains: (layer, head), 0 to 1. See `position_share`.

    The two need not sum to 1: of a flat head both explain nearly all. The trace must have read READ.
    """
    check(trace, READ)
    probs, alone = layers(trace, "attn.probs"), content_only(trace)
    return torch.stack([overlap(*pair) for pair in zip(probs, alone, strict=True)])


@dataclass(frozen=True)
class Arc:
    """One link: a query, the key it looks at, and the share of its attention that key gets."""

    query: int
    key: int
    weight: float


def arcs(pattern: Tensor, count: int = 20, itself: bool = False) -> list[Arc]:
    """The strongest links of one pattern (query, key), the strongest first; equal ones in reading order.

    `itself`: also a token's link to itself. Links of weight 0 are none.

    >>> arcs(torch.tensor([[1.0, 0.0, 0.0], [0.75, 0.25, 0.0], [0.5, 0.125, 0.375]]), count=2)
    [Arc(query=1, key=0, weight=0.75), Arc(query=2, key=0, weight=0.5)]
    """
    if pattern.ndim != 2:
        raise InputError(f"arcs need one pattern, (query, key), but got the shape {tuple(pattern.shape)}; pick a head")
    if type(count) is not int or count < 1:
        raise InputError(f"count must be a whole number of at least 1, but got {count!r}")
    shown = pattern.detach().float().cpu().tril(0 if itself else -1)
    order = shown.flatten().argsort(descending=True, stable=True)[:count].tolist()
    places = [divmod(place, shown.shape[1]) for place in order]
    return [Arc(query, key, shown[query, key].item()) for query, key in places if shown[query, key] > 0]
