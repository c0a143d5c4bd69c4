"""From the scores of all tokens to the choice of one: pure functions on logits (batch, vocab).

    repetition penalty  ->  temperature  ->  top-k  ->  top-p  ->  draw

Each step makes some tokens less likely; a token at -inf cannot be drawn. Greedy choice takes the largest logit after
the repetition penalty: the other steps do not change which one that is.
"""

import math

import torch
from torch import Tensor


def penalise_repetition(logits: Tensor, ids: Tensor, penalty: float) -> Tensor:
    """Make tokens that already stand in the row less likely: positive logits are divided, negative ones multiplied.

    logits (batch, vocab), ids (batch, pos) -> (batch, vocab). Source: Keskar et al., "CTRL", 2019, section 4.1.

    >>> penalise_repetition(torch.tensor([[2.0, -2.0, 1.0]]), torch.tensor([[0, 1]]), 2.0)
    tensor([[ 1., -4.,  1.]])
    """
    seen = logits.gather(1, ids)
    return logits.scatter(1, ids, torch.where(seen < 0, seen * penalty, seen / penalty))


def scale_temperature(logits: Tensor, temperature: float) -> Tensor:
    """Below 1 the likely become likelier, above 1 all come closer together.

    >>> scale_temperature(torch.tensor([[1.0, 2.0]]), 0.5)
    tensor([[2., 4.]])
    """
    return logits / temperature


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Keep the k likeliest tokens (and those that tie with the last of them).

    >>> keep_top_k(torch.tensor([[1.0, 3.0, 2.0]]), 2)
    tensor([[-inf, 3., 2.]])
    """
    lowest_kept = logits.topk(min(k, logits.shape[-1])).values[:, -1:]
    return logits.masked_fill(logits < lowest_kept, -math.inf)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the smallest set of likeliest tokens whose probabilities reach p; always at least one.

    Source: Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020, section 3.1.

    >>> probs = torch.tensor([[0.5, 0.3, 0.2]])
    >>> keep_top_p(probs.log(), 0.6).softmax(-1)
    tensor([[0.6250, 0.3750, 0.0000]])
    """
    ascending, order = logits.sort()
    drop = ascending.softmax(-1).cumsum(-1) <= 1 - p
    drop[:, -1] = False
    return logits.masked_fill(drop.scatter(1, order, drop), -math.inf)


def draw(logits: Tensor, generator: torch.Generator) -> Tensor:
    """One token a row, each as often as its probability says: (batch, vocab) -> (batch)."""
    return torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]


def race(logits: Tensor, generator: torch.Generator) -> Tensor:
    """The numbers by which `draw` draws, one for each token: (batch, vocab) -> (batch, vocab).

    Each is exponential with mean 1, whatever the token; the largest probability / number wins. So a token wins by
    being likely or by drawing a small number, and it wins as often as its probability says. `generator` must be in
    the state that `draw` finds it in, and is left in the state in which `draw` leaves it.
    Source: torch.multinomial for one sample; Efraimidis and Spirakis, "Weighted random sampling", 2006.

    >>> logits = torch.tensor([[0.0, 1.0, 2.0]])
    >>> numbers = race(logits, torch.Generator().manual_seed(3))
    >>> (logits.softmax(-1) / numbers).argmax(-1) == draw(logits, torch.Generator().manual_seed(3))
    tensor([True])
    """
    return torch.empty(logits.shape, dtype=torch.float32, device=logits.device).exponential_(1, generator=generator)
