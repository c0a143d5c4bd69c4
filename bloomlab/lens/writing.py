"""One step of writing: what the model would say, what the settings make of it, and why this token was chosen.

    before    softmax(logits)                                     what the model says
    after     softmax(penalty, temperature, top-k, top-p of it)   what a token is drawn from; greedy: all on the largest
    race      the token of the largest after / number is drawn    one exponential number of mean 1 for each token

A setting moves `after` only, so it needs no run of the model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bloomlab.errors import InputError, NearMatches
from bloomlab.generation.predict import adjust, narrow
from bloomlab.generation.settings import Settings

REPEATS = 3  # so often must a passage stand at the end to be a loop,
LOOP = 12  # and so long must all of it be, in tokens: "very very very" is none


@dataclass(frozen=True)
class Choice(NearMatches):
    """The choice of one token.

    Attributes:
        ids: (token) the likeliest tokens before or after the settings, likeliest before first; the chosen one last,
            if it is none of them.
        before, after: (token) their probabilities in the model, and after the settings.
        numbers: (token) the number drawn for each, where one was drawn; the largest after / number wins.
        entropy, entropy_after: how open the choice was, nats.
        open: how many tokens the settings leave.
        chosen: the id of the token; None if none was chosen yet.
        rank: its place among all tokens in the model, 1 for the likeliest; 0 if none was chosen.
        probability, probability_after: its own; NaN if none was chosen.
        settings: those that `after` is made with.
    """

    ids: Tensor
    before: Tensor
    after: Tensor
    numbers: Tensor | None
    entropy: float
    entropy_after: float
    open: int
    chosen: int | None
    rank: int
    probability: float
    probability_after: float
    settings: Settings


def choice(
    logits: Tensor,
    ids: Tensor,
    settings: Settings,
    chosen: int | None = None,
    numbers: Tensor | None = None,
    top: int = 10,
    n_new: int = 0,
    stop_ids: Sequence[int] = (),
) -> Choice:
    """What the settings make of the scores of one step.

    Args:
        logits: (vocab) the model's scores of the next token.
        ids: (pos) the text so far, which a repetition penalty looks at.
        settings: as `generate` takes them.
        chosen: the token that came next.
        numbers: (vocab) those that were drawn for it, as `generation.sampling.race` gives them.
        top: how many tokens to list.
        n_new: how many of `ids` are new, and
        stop_ids: what ends a text: before `min_new_tokens` it is out of the question.

    >>> step = choice(torch.tensor([0.5, 0.3, 0.2]).log(), torch.tensor([0]), Settings(do_sample=True, top_k=2), 1)
    >>> step.ids, step.before, step.after
    (tensor([0, 1, 2]), tensor([0.5000, 0.3000, 0.2000]), tensor([0.6250, 0.3750, 0.0000]))
    >>> step.rank, step.open, round(step.entropy, 2), round(step.probability_after, 3)
    (2, 2, 1.03, 0.375)

    Raises:
        InputError: the logits are not (vocab), or `top` is not a number of tokens.
    """
    if logits.dim() != 1 or ids.dim() != 1:
        raise InputError(f"a step has logits (vocab) and ids (pos), but got {tuple(logits.shape)}, {tuple(ids.shape)}")
    if not isinstance(top, int) or top < 1:
        raise InputError(f"top must be at least 1 token, but got {top!r}")
    logits, ids = logits.detach(), ids.to(logits.device)
    stop = torch.tensor(list(stop_ids), dtype=torch.long, device=logits.device)
    scores = adjust(logits[None], ids[None], torch.ones_like(ids)[None], n_new, stop, settings)
    if settings.greedy:
        after = torch.zeros(logits.shape, dtype=torch.float64, device=logits.device)
        after[scores[0].argmax()] = 1
    else:
        after = narrow(scores, settings)[0].double().softmax(-1)
    before = logits.double().softmax(-1)

    best = torch.maximum(before, after).topk(min(top, len(before))).indices
    best = best[before[best].argsort(descending=True, stable=True)]
    if chosen is not None and chosen not in best.tolist():
        best = torch.cat([best, best.new_tensor([chosen])])
    own = None if chosen is None else before[chosen]
    return Choice(
        ids=best.cpu(),
        before=before[best].float().cpu(),
        after=after[best].float().cpu(),
        numbers=None if numbers is None else numbers[best].float().cpu(),
        entropy=float(torch.special.entr(before).sum()),
        entropy_after=float(torch.special.entr(after).sum()),
        open=int((after > 0).sum()),
        chosen=chosen,
        rank=0 if own is None else int((before > own).sum()) + 1,
        probability=float("nan") if own is None else float(own),
        probability_after=float("nan") if chosen is None else float(after[chosen]),
        settings=settings,
    )


def loop_period(ids: Sequence[int], repeats: int = REPEATS, at_least: int = LOOP) -> int:
    """The length of the passage that a text ends in over and over, in tokens; 0 if it does not.

    >>> loop_period([7, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3]), loop_period([1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6])
    (3, 0)
    """
    row = list(ids)
    for period in range(1, len(row) // repeats + 1):
        length = max(repeats * period, at_least)
        if length <= len(row) and all(row[-i] == row[-i - period] for i in range(1, length - period + 1)):
            return period
    return 0
