"""Attention: every position gathers from the positions before it.

    scores = q·k / sqrt(head_dim)          how well a query fits each key
    biased = scores + slope · position     ALiBi: near keys start ahead
    probs  = softmax(biased)               over the keys this query may see
    mixed  = probs · v                     the values, averaged with these weights
    out    = dense(heads side by side)     what is added to the residual stream

The readable lines run when a hook asks for scores, alibi, biased or probs. Otherwise torch's fused kernel computes
`mixed` from the same q, k, v and bias without ever storing the square of scores. What reading costs: on one core, the
16 heads of bloom-560m take 31 ms a layer instead of 16 at 512 tokens in float32, and 956 instead of 143 at 2,048.
"""

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bloomlab.config import BloomConfig
from bloomlab.hooks import NO_HOOKS, Hooks, in_transform, values_hidden
from bloomlab.model.alibi import alibi_bias, key_positions, slopes

KeyValue = tuple[Tensor, Tensor]
"""The keys and the values of one layer, each (batch, head, key, head_dim)."""


@dataclass
class Bias:
    """What every layer of one pass adds to its scores, made once by BloomModel."""

    alibi: Tensor  # (batch, head, 1, key)
    visible: Tensor  # (batch, 1, query, key): may this query see this key?
    causal: bool = False  # known to be neither padded nor continued: each query sees all keys up to its own

    both: Tensor | None = None
    there: dict[torch.device, "Bias"] = field(default_factory=dict)  # of a model on several devices, on each of them

    @property
    def fused(self) -> Tensor:
        """Both in one, -inf where not visible: (batch, head, query, key). The readable lines never make it."""
        if self.both is None:
            self.both = self.alibi.masked_fill(~self.visible, -math.inf)
        return self.both

    def to(self, device: torch.device) -> "Bias":
        """The same on another device, for the blocks that are there."""
        if device not in self.there:
            self.there[device] = Bias(self.alibi.to(device), self.visible.to(device), self.causal)
        return self.there[device]


def visible_keys(attention_mask: Tensor, n_query: int) -> Tensor:
    """Which keys each of the last `n_query` columns may see: itself and the real tokens before it.

    A padding column sees itself only, so that its values do not depend on what surrounds it.
    (batch, key) -> (batch, 1, query, key)

    >>> visible_keys(torch.tensor([[0, 1, 1]]), 3).long()
    tensor([[[[1, 0, 0],
              [0, 1, 0],
              [0, 1, 1]]]])
    """
    real = attention_mask.bool()
    key = torch.arange(real.shape[1], device=real.device)
    query = key[-n_query:, None]
    both_real = real[:, None, :] & real[:, -n_query:, None]  # (batch, query, key)
    return ((key < query) & both_real | (key == query))[:, None]


def make_bias(attention_mask: Tensor, n_query: int, n_head: int, dtype: torch.dtype) -> Bias:
    """The bias of the last `n_query` columns, from the mask (batch, key) of all columns so far."""
    head_slopes = torch.tensor(slopes(n_head), device=attention_mask.device)
    alibi = alibi_bias(head_slopes, key_positions(attention_mask)).to(dtype)  # float32 until here
    visible = visible_keys(attention_mask, n_query)
    whole = n_query == attention_mask.shape[1] and attention_mask.is_cpu and not values_hidden()
    return Bias(alibi, visible, causal=whole and bool(attention_mask.all()))


def pattern(q: Tensor, k: Tensor, bias: Bias, hooks: Hooks = NO_HOOKS) -> Tensor:
    """Who looks at whom: q and k (batch, head, pos, head_dim) -> (batch, head, query, key), each row sums to 1."""
    # all under one name: of a long text they are so large that no two should stay longer than they are needed
    scores = hooks("scores", q @ k.mT / math.sqrt(q.shape[-1]), "batch head query key")
    scores = scores + hooks("alibi", bias.alibi.expand_as(scores), "batch head query key")
    scores = hooks("biased", scores, "batch head query key")
    # filled, not added: two very low numbers would sum to -inf and a whole row of those to NaN
    scores = scores.masked_fill(~bias.visible, torch.finfo(scores.dtype).min)
    return scores.softmax(-1, dtype=torch.float32).to(q.dtype)


def fused(q: Tensor, k: Tensor, v: Tensor, bias: Bias, dropout: float = 0.0) -> Tensor:
    """What the readable lines compute, in one kernel: (batch, head, query, head_dim).

    ALiBi is one row for all queries, so where nothing is padded no mask is needed, and the kernel skips the keys that
    no query sees. Only under its own name does it take a row and "causal" at once. With a mask, (head, query, key), a
    text of 2,048 tokens would take twice as long here, and 134 MB for the 16 heads of bloom-560m.
    """
    if bias.causal and not dropout and q.is_cpu and all(x.stride(-1) == 1 for x in (q, k, v)):
        flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        mixed: Tensor = flash(q, k, v, 0.0, True, attn_mask=bias.alibi)[0]
        return mixed
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias.fused, dropout_p=dropout)


def split_heads(fused: Tensor, head_dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Cut the fused projection into q, k and v. BLOOM stores them interleaved: q, k, v of head 0, then of head 1, …

    (batch, pos, 3 · hidden) -> three times (batch, head, pos, head_dim)
    """
    q, k, v = fused.unflatten(-1, (-1, 3, head_dim)).unbind(-2)  # (batch, pos, head, head_dim)
    return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)


def merge_heads(mixed: Tensor) -> Tensor:
    """Heads side by side again: (batch, head, query, head_dim) -> (batch, query, hidden)."""
    return mixed.transpose(1, 2).flatten(2)


def extend(past: KeyValue | None, k: Tensor, v: Tensor) -> KeyValue:
    """The keys and values so far, as a new pair; the past pair does not change."""
    return (k, v) if past is None else (torch.cat([past[0], k], 2), torch.cat([past[1], v], 2))


def sliced_linear(x: Tensor, linear: nn.Linear, slices: int) -> Tensor:
    """The same product as `linear(x)`, summed over column slices, as in training on several devices.

    The bias is added once, as it was in training (another implementation forgets it here).

    >>> linear = nn.Linear(4, 2)
    >>> x = torch.ones(4)
    >>> torch.allclose(sliced_linear(x, linear, 2), linear(x))
    True
    """
    if type(linear) is not nn.Linear:  # one that another library has put around it
        return linear(x)  # type: ignore[no-any-return]  # it is a tensor
    parts = zip(x.tensor_split(slices, -1), linear.weight.tensor_split(slices, -1), strict=True)
    total = sum(F.linear(part, weight.to(part.device)) for part, weight in parts)
    return total if linear.bias is None else total + linear.bias


class BloomAttention(nn.Module):
    """Self-attention with ALiBi. x (batch, pos, hidden) -> what to add to it (batch, pos, hidden), and the new pair."""

    def __init__(self, config: BloomConfig) -> None:
        super().__init__()
        self.n_head, self.head_dim = config.n_head, config.head_dim
        self.slices = config.pretraining_tp if config.slow_but_exact else 1
        self.readable = getattr(config, "attn_implementation", None) == "eager"
        self.query_key_value = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.attention_dropout = nn.Dropout(config.attention_dropout)
        self.hidden_dropout = nn.Dropout(config.hidden_dropout)

    def forward(
        self, x: Tensor, bias: Bias, past: KeyValue | None = None, hooks: Hooks = NO_HOOKS
    ) -> tuple[Tensor, KeyValue]:
        q, k, v = split_heads(self.query_key_value(x), self.head_dim)
        q = hooks("q", q, "batch head query head_dim")
        k = hooks("k", k, "batch head pos head_dim")  # before the cache: an edit applies once
        v = hooks("v", v, "batch head pos head_dim")
        k, v = key_value = extend(past, k, v)

        # (a transform of torch.func may want what the fused kernel lacks, such as derivatives forwards; and for a
        # single query it is slow in bfloat16: with 512 keys .88 ms a layer, the readable lines .17)
        single = q.is_cpu and q.shape[2] == 1 and q.dtype != torch.float32
        if self.readable or single or hooks.wants("scores", "alibi", "biased", "probs") or in_transform():
            probs = self.attention_dropout(pattern(q, k, bias, hooks))
            probs = hooks("probs", probs, "batch head query key")
            mixed = probs @ v
        else:
            dropout = self.attention_dropout.p if self.training else 0.0
            mixed = fused(q, k, v, bias, dropout)

        mixed = hooks("mixed", mixed, "batch head query head_dim")
        merged = merge_heads(mixed)
        out = self.dense(merged) if self.slices == 1 else sliced_linear(merged, self.dense, self.slices)
        return hooks("out", self.hidden_dropout(out), "batch pos hidden"), key_value
