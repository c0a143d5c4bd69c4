"""What if ALiBi's slopes were others? The slopes that a run has used, what they change in it, and what is best.

A head's slope is changed by an edit in every layer, for the layers share their slopes:

    trace = lab.trace(text, read=READ, edit={"attn.alibi": scale(0.5, head=3)})
    slopes_used(trace)[:, 3]                            # half of slopes(8)[3], in each layer
    for step in loss_by_slope(lab.model, rows, [0, 0.5, 1, 2]):
        print(step.results[-1:])                        # stop when you like: what is finished stays

To halve every slope is to look twice as far: as if the model had been trained for twice the length. Slopes are in nats
per token, losses in nats per token.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bloomlab.errors import InputError, NearMatches, shorten
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import At, Edit, Hooks
from bloomlab.lens.effect import Effect, effect
from bloomlab.lens.inputs import check, names
from bloomlab.lens.lengths import Progress, state_losses, token_losses
from bloomlab.model.positions import own_slopes
from bloomlab.tracing.trace import Trace
from bloomlab.weights.pretrained import without_gradients

READ = ["attn.alibi", "final"]
Factor = float | Sequence[float]
"""One for all heads, or one for each."""


def slopes_used(trace: Trace) -> Tensor:
    """The slope of every head as the run has used it, measured from the biases that it added: (layer, head), float64.

    It is the rise of the bias over the last query's row, against the rise that the trained slope makes: exact where the
    model rounds nothing. A model that knows positions otherwise has slopes of 0. A run whose biases were not edited has
    the trained slopes, and need not have read them; nor has one token alone any distance to measure by.

    >>> import bloomlab
    >>> trace = bloomlab.load().trace("Leo lives in", read=READ, edit={"attn.alibi": bloomlab.scale(0.5, head=0)})
    >>> slopes_used(trace)[3, :3]
    tensor([0.2500, 0.2500, 0.1250], dtype=torch.float64)

    Raises:
        InputError: the biases were edited, but not read.
    """
    layers, trained = trace.config.n_layer, torch.tensor(own_slopes(trace.config), dtype=torch.float64)
    last = trace.ids.shape[-1] - 1
    found = []
    for name in names("attn.alibi", layers):
        if name not in trace and name in trace.provenance.get("edits", {}):
            raise InputError(f"the slopes of this run were edited, but it has not read them; trace with read={READ!r}")
        if name not in trace or last == 0 or not trained.any():  # 0 times anything stays 0
            found.append(trained)
            continue
        row = trace[name][0, :, -1].detach()
        whole = (trained.float() * last).to(row.dtype).double()  # rounded as the model does it
        found.append(trained * ((row[:, -1] - row[:, 0]).double().cpu() / whole))
    return torch.stack(found)


@dataclass(frozen=True)
class TextEffect(NearMatches):
    """What a run says of its text, against another run.

    Attributes:
        next: the token after the text, one position (see `effect.Effect`).
        before, after: (pos - 1) the loss of each token but the first, in nats.
    """

    next: Effect
    before: Tensor
    after: Tensor


def text_effect(model: BloomForCausalLM, before: Trace, after: Trace) -> TextEffect:
    """Compare what two runs of one text say next, and how surprised they are by the text; both must have read `final`.

    >>> import bloomlab
    >>> lab = bloomlab.load()
    >>> whole = lab.trace("Leo lives in", read=READ)
    >>> found = text_effect(lab.model, whole, whole)
    >>> found.next.kl.item(), (found.after - found.before).any().item()
    (0.0, False)

    Raises:
        HookError: a trace has not read `final`.
        InputError: the two are not of one text.
    """
    for run in (before, after):
        check(run, ["final"])
    if not before.ids.equal(after.ids):
        raise InputError("the two traces are of different tokens, so they cannot be compared; trace one text")
    states = [run["final"].detach().to(model.device, model.dtype) for run in (before, after)]
    last = [without_gradients(lambda state=state: model.lm_head(state[0, -1:])) for state in states]
    first, second = (state_losses(model, state, before.ids)[0] for state in states)
    return TextEffect(effect(last[0], last[1], before.ids[0, -1:].to(last[0].device), last[0].shape[-1]), first, second)


@dataclass(frozen=True)
class SlopeLoss(NearMatches):
    """The mean loss of `tokens` tokens with the trained slopes times `factor`: one for all, or one for each head."""

    factor: Factor
    mean: float
    tokens: int


def loss_by_slope(
    model: BloomForCausalLM,
    ids: Tensor,
    factors: Sequence[Factor],
    head: int | None = None,
    batch_tokens: int = 2048,
) -> Iterator[Progress[SlopeLoss]]:
    """Measure the loss with other slopes, one factor after the other, a batch at a time; stop iterating to cancel.

    All by the readable path through attention, so that factor 1 is to be compared with the others to the last digit.

    >>> from bloomlab.config import BloomConfig
    >>> model = BloomForCausalLM(BloomConfig(vocab_size=4, hidden_size=2, n_layer=1, n_head=1))
    >>> _ = model.transformer.word_embeddings.weight.data.zero_()  # no idea among 4, at any slope: log(4)
    >>> *_, last = loss_by_slope(model, torch.tensor([[0, 1, 2]]), [0, 1])
    >>> [(result.factor, round(result.mean, 4)) for result in last.results]
    [(0, 1.3863), (1, 1.3863)]

    Args:
        ids: (row, pos) token ids, at least 2 in a row.
        factors: what to multiply the slopes by, 0 or more each; a list has one for each head, whatever `head` is.
        head: the only head whose slope is multiplied by a factor that is one number; all of them by default.
        batch_tokens: about how many tokens go through the model at once.

    Raises:
        InputError: ids, factors or head do not fit.
    """
    heads = model.config.n_head
    if ids.ndim != 2 or not len(ids) or ids.shape[1] < 2:
        raise InputError(f"ids must be (row, pos) with at least two tokens in a row, but are {tuple(ids.shape)}")
    if head is not None and (type(head) is not int or not 0 <= head < heads):
        raise InputError(f"the model has heads 0 to {heads - 1}, but got {head!r}")
    rows = []
    for factor in factors:
        if isinstance(factor, Sequence):
            one_each = list(factor)
        else:
            one_each = [factor if head in (None, i) else 1.0 for i in range(heads)]
        if len(one_each) != heads or not all(_is_factor(number) for number in one_each):
            raise InputError(
                f"a factor must be 0 or more, for all or for each of {heads} heads, but got {shorten(factor)}"
            )
        rows.append(torch.tensor(one_each, dtype=torch.float32))
    return _measure(model, ids, list(zip(factors, rows, strict=True)), batch_tokens)


def _is_factor(value: object) -> bool:
    """Whether it is a number that slopes can be multiplied by."""
    return isinstance(value, int | float) and 0 <= value <= torch.finfo(torch.float32).max


def _measure(
    model: BloomForCausalLM, ids: Tensor, factors: Sequence[tuple[Factor, Tensor]], batch_tokens: int
) -> Iterator[Progress[SlopeLoss]]:
    total, done = len(factors) * ids.numel(), 0
    results: tuple[SlopeLoss, ...] = ()
    for factor, each in factors:
        edit, losses = _times(each.to(model.device, model.dtype)), []
        spots = dict.fromkeys(names("attn.alibi", model.config.n_layer), edit)
        for batch in ids.split(max(1, batch_tokens // ids.shape[1])):
            losses.append(token_losses(model, batch, Hooks(edit=spots)))
            done += batch.numel()
            if len(torch.cat(losses)) == len(ids):
                all_losses = torch.cat(losses)
                results += (SlopeLoss(factor, all_losses.mean().item(), all_losses.numel()),)
            yield Progress(done, total, results)


def _times(factors: Tensor) -> Edit:
    """The edit that multiplies the slope of each head: factors (head)."""

    def times(alibi: Tensor, at: At) -> Tensor:
        return alibi * factors[:, None, None]

    return times
