"""What would the model say if it stopped here? The logit lens reads every state of the stream as if it were the last.

    logits = lm_head(ln_f(state))            at each layer, and between its attention and its MLP

The last row is what the model says. Earlier rows show when the answer appears; nothing taught the model to make sense
there, so a strange word in an early row means little. The first row mostly names the very token just read, and is
sure of it: BLOOM scores the next token with the table it looked the last one up in.

Source: nostalgebraist, "interpreting GPT: the logit lens", 2020. Entropies are in nats.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bloomlab.errors import InputError, NearMatches
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens.hidden import READ as READ
from bloomlab.lens.hidden import stream
from bloomlab.lens.inputs import positions_at_once
from bloomlab.tracing.trace import Trace
from bloomlab.weights.pretrained import without_gradients


@dataclass(frozen=True)
class LensRow(NearMatches):
    """One state of the stream read as a prediction.

    Attributes:
        label: "embed", "0 mid", "0 post", … (see `hidden`).
        ids: (pos, top) the likeliest next tokens, the likeliest first.
        probs: (pos, top) their probabilities.
        entropy: (pos) 0: sure; log(vocab): no idea.
        rank: (pos) rank of the token that follows, 1 for the likeliest; 0 in the last column, which none follows.
        surprise: (pos) -log of that token's probability; NaN at the last column.
    """

    label: str
    ids: Tensor
    probs: Tensor
    entropy: Tensor
    rank: Tensor
    surprise: Tensor


def logit_lens(model: BloomForCausalLM, trace: Trace, top: int = 5) -> list[LensRow]:
    """All rows, in the order of the model; the trace must have read READ.

    >>> import bloomlab
    >>> lab = bloomlab.load()
    >>> rows = logit_lens(lab.model, lab.trace("Leo lives", read=READ))
    >>> [row.label for row in rows][:3], rows[0].probs.shape
    (['embed', '0 mid', '0 post'], torch.Size([2, 5]))

    Raises:
        HookError: the trace lacks a spot.
        InputError: it is of several texts, of a model of another size, or `top` is not a number of tokens.
    """
    return list(lens_rows(model, trace, top))


def lens_rows(model: BloomForCausalLM, trace: Trace, top: int = 5) -> Iterator[LensRow]:
    """The rows one by one, since in a large model each takes a while. Stop iterating to cancel."""
    labels, states = stream(trace)
    width, vocab = model.config.hidden_size, model.config.vocab_size
    if states.shape[-1] != width:
        raise InputError(
            f"the trace is of a model {states.shape[-1]} wide, but this one is {width} wide; pass the model that was "
            "traced"
        )
    if type(top) is not int or not 1 <= top <= vocab:
        raise InputError(f"top must be a whole number from 1 to {vocab}, the vocabulary, but got {top!r}")
    return (_row(model, label, state, trace.ids[0].cpu(), top) for label, state in zip(labels, states, strict=True))


def read_out(model: BloomForCausalLM, states: Tensor) -> Tensor:
    """The logits a model computes from states of its stream: (pos, hidden) -> (pos, vocab), in the model's dtype."""

    def run() -> Tensor:
        logits: Tensor = model.lm_head(model.transformer.ln_f(states.to(model.device, model.dtype)))
        return logits

    out: Tensor = without_gradients(run)
    return out


def _row(model: BloomForCausalLM, label: str, state: Tensor, ids: Tensor, top: int) -> LensRow:
    following = torch.cat([ids[1:], ids.new_tensor([-1])])
    step = positions_at_once(model.config.vocab_size)
    parts = zip(state.split(step), following.split(step), strict=True)
    read = [summary(read_out(model, x).float().cpu(), y, top) for x, y in parts]
    return LensRow(label, *(torch.cat(column) for column in zip(*read, strict=True)))


def summary(logits: Tensor, following: Tensor, top: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """ids, probs, entropy, rank, surprise of logits (pos, vocab), given the token that follows (pos), or -1 for none.

    >>> ids, probs, entropy, rank, surprise = summary(torch.tensor([[0.0, 0.0, -100.0]]), torch.tensor([2]), 1)
    >>> probs, entropy, rank, surprise
    (tensor([[0.5000]]), tensor([0.6931]), tensor([3]), tensor([100.6931]))
    """
    log_probs = logits.log_softmax(-1)
    probs = log_probs.exp()
    entropy = -torch.where(probs > 0, probs * log_probs, 0.0).sum(-1)
    best, ids = log_probs.topk(top, -1)

    has_next = following >= 0
    own = log_probs.gather(-1, following.clamp(min=0)[:, None])  # (pos, 1)
    rank = ((log_probs > own).sum(-1) + 1).where(has_next, torch.tensor(0))
    return ids, best.exp(), entropy, rank, (-own[:, 0]).where(has_next, torch.nan)
