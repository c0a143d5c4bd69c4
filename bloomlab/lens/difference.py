"""Where does an edit show? Two runs over one text, compared in every part that a view draws.

    attention       ½·Σ over keys of |p − q|      the share of its attention that a query has moved, 0 to 1
    states          |after − before| / |before|   how far a state has moved, as a share of its length
    logit lens      Σ p·(log p − log q)           how far what it would say has moved, in nats, at every state
    next token      after − before                of the probabilities that have changed most
    task heads      after − before                of each label's probability

The second run is measured by the first; a run against itself is exactly 0 everywhere. `effect` compares what the two
runs say at the end.

Source of the distance between patterns: total variation, as in Levin and Peres, "Markov Chains and Mixing Times",
2017, section 4.1.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from bloomlab.errors import InputError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens.effect import kl
from bloomlab.lens.hidden import READ, norms, shares, stream
from bloomlab.lens.inputs import check, layers, names, positions_at_once
from bloomlab.lens.logit_lens import read_out
from bloomlab.tracing.trace import Trace

Models = tuple[BloomForCausalLM, BloomForCausalLM]  # the first run's, and the second's

READ_STATES = READ
READ_SHARES = ["attn.out", "mlp.out"]


@dataclass(frozen=True)
class AttentionChange:
    """How much each head's pattern has changed.

    Attributes:
        moved: (layer, head, query) the share of its attention that a query has moved, 0 to 1.
        before, after: (layer, head, query, key) the two patterns.
    """

    moved: Tensor
    before: Tensor
    after: Tensor

    @property
    def heads(self) -> Tensor:
        """(layer, head) the largest share that one of its queries has moved: who noticed."""
        return self.moved.amax(-1)

    def noticed(self, count: int) -> "list[Look]":
        """Of the heads that have moved most, the largest change: of each one look, in the query that moved most."""
        order = self.heads.flatten().argsort(descending=True, stable=True)[:count].tolist()
        places = [divmod(place, self.heads.shape[1]) for place in order]
        return [self._largest_of(layer, head) for layer, head in places if self.heads[layer, head] > 0]

    def largest(self) -> "Look | None":
        """The look that has changed most, in the head and the query that moved most; None if nothing has."""
        return next(iter(self.noticed(1)), None)

    def _largest_of(self, layer: int, head: int) -> "Look":
        query = int(self.moved[layer, head].argmax())
        key = int((self.after[layer, head, query] - self.before[layer, head, query]).abs().argmax())
        first, second = (run[layer, head, query, key].item() for run in (self.before, self.after))
        return Look(layer, head, query, key, first, second)


class Look(NamedTuple):
    """One cell of a pattern in two runs: the share of its attention that a query gives a key."""

    layer: int
    head: int
    query: int
    key: int
    before: float
    after: float


def attention_change(before: Trace | Tensor, after: Trace | Tensor) -> AttentionChange:
    """Compare the patterns of two runs: `attn.probs` (layer, head, query, key) of two traces, or such tensors.

    >>> whole, edited = torch.tensor([[1.0, 0.0], [0.75, 0.25]]), torch.tensor([[1.0, 0.0], [0.25, 0.75]])
    >>> change = attention_change(whole[None, None], edited[None, None])
    >>> change.heads, change.largest()
    (tensor([[0.5000]]), Look(layer=0, head=0, query=1, key=0, before=0.75, after=0.25))

    Raises:
        HookError, InputError: a trace lacks the patterns; or the two are not of one text and one size of model.
    """
    first, second = layers(before, "attn.probs"), layers(after, "attn.probs")
    _check_pair(first, second)
    return AttentionChange((second - first).abs().sum(-1) / 2, first, second)


@dataclass(frozen=True)
class StreamChange:
    """How far each state of the residual stream has moved, and what each part now adds.

    Attributes:
        labels: "embed", "0 mid", "0 post", …
        distance: (state, pos) the length of the change over the state's length before.
        norms: (run, state, pos) how long the states are.
        shares: (part, pos) by how much each part's share of the last state has changed; None where the stream is not
            a sum, or the traces have not read the parts.
    """

    labels: tuple[str, ...]
    distance: Tensor
    norms: Tensor
    shares: Tensor | None

    @property
    def reached(self) -> Tensor:
        """(state) whether anything has changed there: what lies below an edit is False."""
        return (self.distance > 0).any(-1)


def stream_change(before: Trace, after: Trace) -> StreamChange:
    """Compare the residual streams of two runs, which have read READ_STATES; and READ_SHARES, for the shares.

    >>> import bloomlab
    >>> lab = bloomlab.load()
    >>> read = READ_STATES + READ_SHARES
    >>> whole = lab.trace("Leo lives in", read=read)
    >>> without = lab.trace("Leo lives in", read=read, edit={"h.2.attn.mixed": bloomlab.zero(head=3)})
    >>> change = stream_change(whole, without)
    >>> [label for label, reached in zip(change.labels, change.reached) if not reached]
    ['embed', '0 mid', '0 post', '1 mid', '1 post']

    Raises:
        HookError, InputError: a trace lacks a spot; or the two are not of one text and one size of model.
    """
    labels, first = stream(before)
    second = stream(after).states
    _check_pair(first, second)
    distance = relative_distance(first, second)
    parts = None
    summed = not before.config.apply_residual_connection_post_layernorm
    spots = [name for part in READ_SHARES for name in names(part, before.config.n_layer)]
    if summed and all(spot in trace for trace in (before, after) for spot in spots):
        parts = shares(after).shares - shares(before).shares
    return StreamChange(labels, distance, torch.stack([norms(first), norms(second)]), parts)


def relative_distance(before: Tensor, after: Tensor) -> Tensor:
    """How far a vector has moved, as a share of its length before: (…, hidden) twice -> (…).

    >>> relative_distance(torch.tensor([[3.0, 4.0], [0.0, 2.0]]), torch.tensor([[3.0, 3.0], [0.0, 2.0]]))
    tensor([0.2000, 0.0000])
    """
    moved = norms(after - before)
    return torch.where(moved > 0, moved / norms(before), 0.0)


@dataclass(frozen=True)
class LensChange:
    """How far what the model would say has moved, at every state.

    Attributes:
        labels: "embed", "0 mid", "0 post", …
        kl: (state, pos) in nats.
        ids: (run, state, pos) the likeliest next token before and after.
        probs: (run, state, pos) its probability in its own run.
    """

    labels: tuple[str, ...]
    kl: Tensor
    ids: Tensor
    probs: Tensor


def lens_change(
    model: BloomForCausalLM,
    before: Trace,
    after: Trace,
    here: slice = slice(None),
    before_model: BloomForCausalLM | None = None,
) -> LensChange:
    """Read the states of two runs as predictions and compare them; the traces must have read READ_STATES.

    `here` selects columns, since each takes a while with a large vocabulary. Where `before` is of another model, it is
    `before_model`: states mean something only to the last norm and the vocabulary of their own model.

    >>> import bloomlab
    >>> lab = bloomlab.load()
    >>> whole = lab.trace("Leo lives in", read=READ_STATES)
    >>> lens_change(lab.model, whole, whole).kl.any().item()
    False

    Raises:
        HookError, InputError: as `stream_change` does; or the traces are of two models, and only one was given.
    """
    labels, first = stream(before)
    second = stream(after).states
    _check_pair(first, second)
    models = _models(model, before, after, before_model)
    step = positions_at_once(2 * model.config.vocab_size)
    rows = []
    for one, other in zip(first[:, here], second[:, here], strict=True):
        pairs = zip(one.split(step), other.split(step), strict=True)
        rows.append(
            [torch.cat(column, -1) for column in zip(*(_compared(models, pair) for pair in pairs), strict=True)]
        )
    kl, ids, probs = (torch.stack(column) for column in zip(*rows, strict=True))
    return LensChange(labels, kl, ids.transpose(0, 1), probs.transpose(0, 1))


def _compared(models: Models, states: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """kl (pos), ids (run, pos) and probs (run, pos) of two states (pos, hidden)."""
    read = zip(models, states, strict=True)
    log_p, log_q = (read_out(model, state).double().cpu().log_softmax(-1) for model, state in read)
    best = [run.max(-1) for run in (log_p, log_q)]
    log_probs, ids = (torch.stack(column) for column in zip(*best, strict=True))
    return kl(log_p, log_q).float(), ids, log_probs.exp().float()


def _models(model: BloomForCausalLM, before: Trace, after: Trace, before_model: BloomForCausalLM | None) -> Models:
    """The models of two runs, the first's and the second's."""
    weights = {run.provenance.get("weights") for run in (before, after)}
    if before_model is None and len(weights - {None}) > 1:
        raise InputError(
            "the traces are of two models, and each reads its own states only; pass the first one, too: before_model=…"
        )
    models = (before_model or model, model)
    sizes = [one.config.vocab_size for one in models]
    if sizes[0] != sizes[1]:
        raise InputError(f"the two models have other vocabularies, of {sizes[0]} and {sizes[1]} tokens")
    return models


@dataclass(frozen=True)
class NextChange:
    """Which next tokens have become more, or less, likely.

    Attributes:
        ids: (layer, pos, top) those whose probability has changed most, the largest change first; where nothing has
            changed, the likeliest.
        probs: (run, layer, pos, top) their probabilities before and after.
    """

    ids: Tensor
    probs: Tensor


def next_change(
    model: BloomForCausalLM,
    before: Trace,
    after: Trace,
    here: slice = slice(None),
    top: int = 5,
    before_model: BloomForCausalLM | None = None,
) -> NextChange:
    """What two runs say comes next, after each layer; the traces must have read `resid_post`.

    `here` and `before_model` are as in `lens_change`.

    >>> import bloomlab
    >>> lab = bloomlab.load()
    >>> read, text = ["resid_post"], "Leo lives in Oslo. Leo lives in"
    >>> without = lab.trace(text, read, edit={"h.3.attn.mixed": bloomlab.zero(head=4)})
    >>> change = next_change(lab.model, lab.trace(text, read), without, top=1)
    >>> lab.tokenizer.decode(change.ids[3, -1]), change.probs[0, :3].equal(change.probs[1, :3])
    (' Lima', True)

    Raises:
        HookError, InputError: as `lens_change` does.
    """
    for run in (before, after):
        check(run, ["resid_post"])
    if before.ids.shape != after.ids.shape or before.config.n_layer != after.config.n_layer:
        raise InputError(
            "the two runs have other numbers of tokens or layers, so there is no difference; look at each by itself"
        )
    models = _models(model, before, after, before_model)
    ids, probs = [], []
    for layer in range(after.config.n_layer):
        states = (run[f"h.{layer}.resid_post"][0, here] for run in (before, after))
        read = zip(models, states, strict=True)
        both = torch.stack([read_out(one, state).float().cpu().softmax(-1) for one, state in read])
        change = (both[1] - both[0]).abs()
        order = torch.where((change > 0).any(-1, keepdim=True), change, both[1])
        ids.append(order.topk(top).indices)
        probs.append(both.gather(-1, ids[-1].expand(2, -1, -1)))
    return NextChange(torch.stack(ids), torch.stack(probs, 1))


@dataclass(frozen=True)
class LabelChange:
    """What has changed in what a task head says.

    Attributes:
        change: (layer, pos, label) of each label's probability.
        labels: (run, layer, pos) the likeliest label before and after.
    """

    change: Tensor
    labels: Tensor

    def largest(self) -> tuple[int, int, int]:
        """The layer, the column and the label whose probability has changed most."""
        layer, pos, label = _place_of_largest(self.change.abs())
        return layer, pos, label


def label_change(before: Tensor, after: Tensor) -> LabelChange:
    """Compare a task head's probabilities in two runs, (layer, pos, label) each (see `lens.predictions.label_probs`).

    >>> change = label_change(torch.tensor([[[0.9, 0.1]]]), torch.tensor([[[0.2, 0.8]]]))
    >>> change.change.round(decimals=1), change.labels.flatten().tolist(), change.largest()
    (tensor([[[-0.7000,  0.7000]]]), [0, 1], (0, 0, 0))

    Raises:
        InputError: the two have other shapes.
    """
    if before.shape != after.shape or before.ndim != 3:
        raise InputError(
            f"two readings of one head have one shape, (layer, pos, label), but got {tuple(before.shape)} and "
            f"{tuple(after.shape)}"
        )
    return LabelChange(after - before, torch.stack([before.argmax(-1), after.argmax(-1)]))


def _place_of_largest(values: Tensor) -> tuple[int, ...]:
    """Where the largest value stands; of several equal ones, the first."""
    return tuple(int(i) for i in torch.unravel_index(values.flatten().argmax(), values.shape))


def _check_pair(first: Tensor, second: Tensor) -> None:
    """Refuse two runs whose positions or layers do not stand for each other."""
    if first.shape != second.shape:
        raise InputError(
            "to compare two runs they must have the same tokens, layers and sizes, but they have "
            f"{tuple(first.shape)} and {tuple(second.shape)}; look at each by itself"
        )
