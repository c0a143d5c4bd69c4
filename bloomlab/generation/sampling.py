"""From scores to a draw: pure functions on scores (batch, vocab), in the order in which they apply.

    temperature  ->  top-k  ->  top-p  ->  min-p  ->  typical-p  ->  epsilon  ->  eta  ->  draw

Each makes some tokens less likely; a token at -inf cannot be drawn. Greedy choice skips them all: none changes which
score is the largest. `at_least` is how many tokens stay whatever the rule says; sampled beams need more than one.
"""

import math

import torch
from torch import Tensor


def scale_temperature(logits: Tensor, temperature: float) -> Tensor:
    """Below 1 the likely become likelier, above 1 all come closer together.

    >>> scale_temperature(torch.tensor([[1.0, 2.0]]), 0.5)
    tensor([[2., 4.]])
    """
    return logits / temperature


def keep_top_k(logits: Tensor, k: int, at_least: int = 1) -> Tensor:
    """Keep the k likeliest tokens (and those that tie with the last of them).

    >>> keep_top_k(torch.tensor([[1.0, 3.0, 2.0]]), 2)
    tensor([[-inf, 3., 2.]])
    """
    return logits.masked_fill(logits < _largest(logits, max(k, at_least)), -math.inf)


def keep_top_p(logits: Tensor, p: float, at_least: int = 1) -> Tensor:
    """Keep the smallest set of likeliest tokens whose probabilities reach p.

    Source: Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020, section 3.1.

    >>> probs = torch.tensor([[0.5, 0.3, 0.2]])
    >>> keep_top_p(probs.log(), 0.6).softmax(-1)
    tensor([[0.6250, 0.3750, 0.0000]])
    """
    ascending, order = logits.sort()
    drop = ascending.softmax(-1).cumsum(-1) <= 1 - p
    drop[:, -at_least:] = False
    return logits.masked_fill(drop.scatter(1, order, drop), -math.inf)


def keep_min_p(logits: Tensor, p: float, at_least: int = 1) -> Tensor:
    """Keep the tokens that are at least p times as likely as the likeliest one.

    Source: Nguyen et al., "Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs", 2024, section 3.

    >>> probs = torch.tensor([[0.5, 0.3, 0.2]])
    >>> keep_min_p(probs.log(), 0.5).softmax(-1)
    tensor([[0.6250, 0.3750, 0.0000]])
    """
    probs = logits.softmax(-1)
    drop = probs < p * probs.amax(-1, keepdim=True)
    best = probs.topk(min(at_least, probs.shape[-1])).indices
    return logits.masked_fill(drop.scatter(1, best, False), -math.inf)


def keep_typical(logits: Tensor, p: float, at_least: int = 1) -> Tensor:
    """Keep the smallest set of tokens that reach p, those whose surprise is nearest to the entropy first.

    So the likeliest token may go. Source: Meister et al., "Locally Typical Sampling", 2023, section 4.

    >>> probs = torch.tensor([[0.6, 0.3, 0.1]])  # entropy 0.90 nats; the surprises are 0.51, 1.20 and 2.30
    >>> keep_typical(probs.log(), 0.25).softmax(-1)
    tensor([[0., 1., 0.]])
    """
    log_probs = logits.log_softmax(-1)
    distance = (-log_probs - _entropy(log_probs)).abs()
    ascending, order = distance.sort()
    reached = logits.gather(1, order).softmax(-1).cumsum(-1)
    last = (reached < p).sum(-1, keepdim=True).clamp(max=logits.shape[-1] - 1)
    drop = ascending > ascending.gather(1, last)
    drop[:, :at_least] = False
    return logits.masked_fill(drop.scatter(1, order, drop), -math.inf)


def keep_above_epsilon(logits: Tensor, epsilon: float, at_least: int = 1) -> Tensor:
    """Keep the tokens whose probability is at least epsilon.

    Source: Hewitt et al., "Truncation Sampling as Language Model Desmoothing", 2022, section 4.1.

    >>> probs = torch.tensor([[0.5, 0.3, 0.2]])
    >>> keep_above_epsilon(probs.log(), 0.25).softmax(-1)
    tensor([[0.6250, 0.3750, 0.0000]])
    """
    drop = (logits.softmax(-1) < epsilon) & (logits < _largest(logits, at_least))
    return logits.masked_fill(drop, -math.inf)


def keep_above_eta(logits: Tensor, epsilon: float, at_least: int = 1) -> Tensor:
    """Keep the tokens whose probability is at least eta = min(epsilon, √epsilon · exp(-entropy)).

    So the bound is lower where the choice is open. Source: Hewitt et al., 2022 (as above), section 4.2.

    >>> probs = torch.tensor([[0.5, 0.3, 0.2]])  # entropy 1.03 nats, so eta = min(0.5, 0.7071 · 0.357) = 0.252
    >>> keep_above_eta(probs.log(), 0.5).softmax(-1)
    tensor([[0.6250, 0.3750, 0.0000]])
    """
    log_probs = logits.log_softmax(-1)
    eta = (math.sqrt(epsilon) * (-_entropy(log_probs)).exp()).clamp(max=epsilon)
    drop = (log_probs.exp() < eta) & (logits < _largest(logits, at_least))
    return logits.masked_fill(drop, -math.inf)


def draw(logits: Tensor, generator: torch.Generator | None) -> Tensor:
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


def _largest(logits: Tensor, k: int) -> Tensor:
    """The k-th largest score of each row: (batch, 1)."""
    return logits.topk(min(k, logits.shape[-1])).values[:, -1:]


def _entropy(log_probs: Tensor) -> Tensor:
    """How open each row's choice is, in nats: (batch, 1). What cannot come, -inf, adds nothing."""
    return -(log_probs.exp() * log_probs).nansum(-1, keepdim=True)
