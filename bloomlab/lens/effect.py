"""What does an edit change in what the model says? Two runs over one text, compared at each position.

    KL                  Σ p·(log p − log q)           p: the next token before, q: after the edit; 0 if nothing changed
    change of the loss  −log q(next) + log p(next)    for the token that does follow; below 0 the edit helped

A large KL with a small change of the loss: the model says something else now, but was not right before.

Source: Kullback and Leibler, "On Information and Sufficiency", 1951. All in nats, summed in float64.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bloomlab.errors import InputError, NearMatches
from bloomlab.lens.inputs import check, positions_at_once
from bloomlab.tracing.trace import Trace

READ = ["logits"]


@dataclass(frozen=True)
class Effect(NearMatches):
    """What two runs over one text say, position by position.

    Attributes:
        kl: (pos) how far the second prediction is from the first.
        before, after: (pos) surprise at the token that follows, in each run; NaN at the last position.
        predicted: (run, pos) the likeliest next token, before and after.
        ids: (token) the likeliest next tokens at the last position, before or after.
        probs: (run, token) their probabilities.
    """

    kl: Tensor
    before: Tensor
    after: Tensor
    predicted: Tensor
    ids: Tensor
    probs: Tensor

    @property
    def loss_change(self) -> Tensor:
        """(pos) how much more surprised the second run is by the token that follows; NaN at the last position."""
        return self.after - self.before


def effect(before: Trace | Tensor, after: Trace | Tensor, ids: Tensor | None = None, top: int = 5) -> Effect:
    """Compare two traces of one text, which have read READ; or two logits (pos, vocab), of the text `ids` (pos).

    >>> sure, torn = torch.tensor([[0.0, -torch.inf]]), torch.zeros(1, 2)   # p = 1, 0; q = ½, ½
    >>> difference = effect(sure, torn, torch.tensor([0]))
    >>> difference.kl, difference.probs                                     # log 2
    (tensor([0.6931]), tensor([[1.0000, 0.0000],
            [0.5000, 0.5000]]))

    Raises:
        HookError: a trace has not read its logits.
        InputError: the two are not of one text and one vocabulary.
    """
    first, second = (_logits(run) for run in (before, after))
    ids = before.ids[0] if isinstance(before, Trace) else ids
    if ids is None or first.shape != second.shape or first.shape[:1] != ids.shape or first.ndim != 2:
        raise InputError(
            "to compare two runs they must read one text, (pos, vocab) each, and its ids (pos); got logits of "
            f"{tuple(first.shape)} and {tuple(second.shape)} and ids of {None if ids is None else tuple(ids.shape)}"
        )
    if isinstance(before, Trace) and isinstance(after, Trace) and not before.ids.equal(after.ids):
        raise InputError(
            "the two traces are of different tokens, so their positions cannot be compared; trace one text"
        )
    following = torch.cat([ids[1:], ids.new_tensor([-1])]).cpu()
    step = positions_at_once(first.shape[-1])
    rows = zip(first.split(step), second.split(step), following.split(step), strict=True)
    columns = zip(*(_compare(*row) for row in rows), strict=True)
    moved, surprises, predicted = (torch.cat(column, dim=-1) for column in columns)
    first_surprise, second_surprise = surprises.float()

    last = torch.stack([first[-1], second[-1]]).double().softmax(-1)
    best = last.max(0).values.topk(min(top, last.shape[-1])).indices
    best = best[last[0, best].argsort(descending=True, stable=True)]
    return Effect(moved.float(), first_surprise, second_surprise, predicted, best.cpu(), last[:, best].float().cpu())


def kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """How far a second prediction is from a first, in nats, of their log probabilities: (…, vocab) twice -> (…).

    >>> kl(torch.tensor([1.0, 0.0]).log(), torch.tensor([0.5, 0.5]).log())      # sure before, torn after: log 2
    tensor(0.6931)
    """
    return torch.where(log_p > -torch.inf, log_p.exp() * (log_p - log_q), 0.0).sum(-1)


def _logits(run: Trace | Tensor) -> Tensor:
    if isinstance(run, Trace):
        check(run, READ)
        run = run["logits"][0]
    return run.detach()


def _compare(before: Tensor, after: Tensor, following: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """kl (pos), surprises (run, pos) and predictions (run, pos) of a few positions."""
    log_p, log_q = before.double().log_softmax(-1).cpu(), after.double().log_softmax(-1).cpu()
    both = torch.stack([log_p, log_q])
    own = both.gather(-1, following.clamp(min=0).expand(2, -1)[..., None])[..., 0]
    return kl(log_p, log_q), (-own).where(following >= 0, torch.nan), both.argmax(-1)
