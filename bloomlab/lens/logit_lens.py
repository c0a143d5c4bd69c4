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
from bloomlab.lens.lengths import Progress
from bloomlab.tracing.trace import Trace
from bloomlab.weights.pretrained import without_gradients

WORDS, BLOCK = 2048, 64  # of the vocabulary at a time, so that they stay near the processor; and of its blocks


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


def lens_so_far(model: BloomForCausalLM, trace: Trace, top: int = 5) -> Iterator[Progress[tuple[LensRow, ...]]]:
    """The same as a job that says how far it is: with each row, those that are read."""
    rows, total = tuple[LensRow, ...](), len(stream(trace).labels)
    for row in lens_rows(model, trace, top):
        rows = (*rows, row)
        yield Progress(len(rows), total, (rows,))


def read_out(model: BloomForCausalLM, states: Tensor) -> Tensor:
    """The logits a model computes from states of its stream: (pos, hidden) -> (pos, vocab), in the model's dtype."""

    def run() -> Tensor:
        logits: Tensor = model.lm_head(model.transformer.ln_f(states.to(model.device, model.dtype)))
        return logits

    out: Tensor = without_gradients(run)
    return out


def _row(model: BloomForCausalLM, label: str, state: Tensor, ids: Tensor, top: int) -> LensRow:
    return LensRow(label, *read_as_words(model, state, followers(ids), top))


def followers(ids: Tensor) -> Tensor:
    """The token that follows each; -1 after the last: (pos) -> (pos)."""
    return torch.cat([ids[1:], ids.new_tensor([-1])])


def read_as_words(model: BloomForCausalLM, states: Tensor, following: Tensor, top: int) -> tuple[Tensor, ...]:
    """The summary of states (cell, hidden), given the token that follows each (cell), as many at a time as fit."""
    step = positions_at_once(model.config.vocab_size, model.dtype.itemsize)
    parts = zip(states.split(step), following.split(step), strict=True)
    read = [summary(read_out(model, x).cpu(), y, top) for x, y in parts]
    return tuple(torch.cat(column) for column in zip(*read, strict=True))


def summary(logits: Tensor, following: Tensor, top: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """ids, probs, entropy, rank, surprise of logits (pos, vocab), given the token that follows (pos), or -1 for none.

    The vocabulary is taken a slice at a time, and logits are counted from the largest, so that no sum overflows.

    >>> ids, probs, entropy, rank, surprise = summary(torch.tensor([[0.0, 0.0, -100.0]]), torch.tensor([2]), 1)
    >>> probs, entropy, rank, surprise
    (tensor([[0.5000]]), tensor([0.6931]), tensor([3]), tensor([100.6931]))
    """
    lowest = torch.finfo().min / 2  # -inf · 0 would be NaN; half of it, so that differences are numbers, too
    own = logits.gather(-1, following.clamp(min=0)[:, None]).float()  # (pos, 1)
    values, ids = _largest(logits, top)
    peak = values[:, :1].float().clamp(min=lowest)
    total, mean, above = torch.zeros(3, len(logits))
    for part in logits.split(WORDS, -1):
        part = part.float().clamp(min=lowest)
        larger = torch.gt(part, own.clamp(min=lowest), out=torch.empty_like(part))  # 1.0 or 0.0: bools sum slowly
        below = part - peak
        weights = below.exp()
        total += weights.sum(-1)
        mean += (weights * below).sum(-1)
        above += larger.sum(-1)

    whole = peak[:, 0] + total.log()  # log of the sum of e^logit
    entropy = (total.log() - mean / total).clamp(min=0)
    has_next = following >= 0
    rank = (above.long() + 1).where(has_next, torch.tensor(0))
    surprise = (whole - own[:, 0]).where(has_next, torch.nan)
    return ids, (values.float() - whole[:, None]).exp(), entropy, rank, surprise


def _largest(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest of each row (pos, vocab) and where they are: they are in the blocks with the largest maxima.

    >>> _largest(torch.arange(256.0)[None], 2)
    (tensor([[255., 254.]]), tensor([[255, 254]]))
    """
    width = values.shape[-1]
    if width % BLOCK or width // BLOCK < count:
        best, places = values.topk(min(count, width), -1)
        return best, places
    blocks = values.unflatten(-1, (-1, BLOCK))  # (pos, block, BLOCK)
    which = blocks.amax(-1).topk(count, -1).indices  # (pos, count)
    inside = blocks.gather(1, which[..., None].expand(-1, -1, BLOCK)).flatten(1)
    best, places = inside.topk(count, -1)
    return best, which.gather(-1, places // BLOCK) * BLOCK + places % BLOCK
