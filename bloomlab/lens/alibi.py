"""How far does each head look? ALiBi's slopes, what they allow, and what the heads make of it.

A key d tokens back starts slope · d nats behind the query's own token, and e^(-slope · d) of its weight is left.

Source: Press, Smith and Lewis, "Train Short, Test Long", 2022, section 3. Distances are in tokens, biases in nats.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from bloomlab.errors import InputError
from bloomlab.lens.inputs import layers
from bloomlab.model.alibi import alibi_bias
from bloomlab.tracing.trace import Trace

READ = ["attn.probs"]
NATS = 3.0  # e^-3 = 5 % of the weight is left there


def reach(slope: float, nats: float = NATS) -> float:
    """The distance at which ALiBi has taken away so many nats: nats / slope tokens.

    >>> reach(0.5), reach(1 / 256)
    (6.0, 768.0)
    """
    if not slope > 0:
        raise InputError(f"reach needs a slope above 0, but got {slope}; a flat head reaches everywhere")
    return nats / slope


def bias_by_distance(head_slopes: Sequence[float], n: int) -> Tensor:
    """What each head adds to the score of a key 0, 1, … n-1 tokens back: slopes (head) -> (head, distance), in nats.

    >>> bias_by_distance([0.5, 0.25], 3)
    tensor([[ 0.0000, -0.5000, -1.0000],
            [ 0.0000, -0.2500, -0.5000]])
    """
    return torch.tensor(head_slopes)[:, None] * -torch.arange(n) + 0.0  # + 0.0: no -0


def previous_token_bound(slope: float, earlier: float = math.inf) -> float:
    """The most attention a head can give the previous token if it has no preference among the earlier tokens.

    It leaves out the token itself; d tokens back then weighs e^(-slope · d), and of the sum over the `earlier` tokens
    the first term has the share

        (1 - e^(-slope)) / (1 - e^(-slope · earlier))        in a long text 1 - e^(-slope)

    A flat head, of slope 0, gives each of them as much: 1 / earlier.

    >>> round(previous_token_bound(0.5), 4), round(previous_token_bound(math.log(2), earlier=2), 4)  # 2 : 1
    (0.3935, 0.6667)
    >>> previous_token_bound(0.0, earlier=4), previous_token_bound(0.0)
    (0.25, 0.0)
    """
    if slope == 0:
        return 1 / earlier
    share = math.expm1(-abs(slope)) / math.expm1(-abs(slope) * earlier)
    return share if slope > 0 else share * math.exp(slope * (earlier - 1))  # below 0 the farthest weighs most


def mean_distance(probs: Trace | Tensor, first_query: int = 0) -> Tensor:
    """How far back each head looks on average, in tokens: (layer, head, query, key) -> (layer, head).

        Σ over keys of probs · (query - key)          then the mean over queries

    The first queries have nothing far back to look at; `first_query` leaves out those before it.

    >>> mean_distance(torch.tensor([[[[1.0, 0.0], [0.5, 0.5]]]]))
    tensor([[0.2500]])
    """
    probs = layers(probs, "attn.probs")
    n = probs.shape[-1]
    if not 0 <= first_query < n:
        raise InputError(f"first_query must be from 0 to {n - 1}, the text's last token, but got {first_query}")
    pos = torch.arange(n, dtype=probs.dtype)
    # Σ p · (query - key) = query · Σ p - Σ p · key: no second tensor as large as probs
    distance = probs.sum(-1) * pos - probs @ pos  # (layer, head, query)
    return distance[..., first_query:].mean(-1)


def first_tie(slope: float, dtype: torch.dtype, up_to: int = 4096) -> int | None:
    """The first position whose bias equals its neighbour's to the right, as a model in `dtype` holds them.

    BLOOM adds slope · position, and bfloat16 has 8 binary digits: from there on a head cannot tell some neighbours
    apart by position. None if there is no such position among the first `up_to`.

    >>> first_tie(0.5, torch.bfloat16), first_tie(0.5, torch.float32)
    (256, None)
    """
    positions = torch.arange(up_to + 1)[None]
    bias = alibi_bias(torch.tensor([slope]), positions).to(dtype).flatten()  # rounded as the model does it
    ties = (bias[1:] == bias[:-1]).nonzero()
    return int(ties[0]) if len(ties) else None
