"""What may come next, whichever way it is chosen: pure functions on scores (batch, vocab), in their order.

    sequence_bias  ->  repetition_penalty  ->  no_repeat_ngram_size  ->  bad_words_ids  ->  min_new_tokens
    ->  forced_eos_token_id  ->  remove_invalid_values  ->  exponential_decay_length_penalty
    ->  suppress_tokens  ->  begin_suppress_tokens  ->  logits_processor

A token at -inf cannot come. `ids` (batch, pos) is the text so far, with -1 at padding, which is no text.
Where no paper is named, the source is the documentation of `generate` in transformers.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from bloomlab.errors import GenerationError, shorten

NO_TOKEN = -1


def bias_sequences(scores: Tensor, ids: Tensor, biases: Mapping[tuple[int, ...], float]) -> Tensor:
    """Add a bias to the last token of each sequence, in the rows whose text ends in the tokens before it.

    >>> bias_sequences(torch.zeros(2, 3), torch.tensor([[0, 1], [1, 0]]), {(2,): 5.0, (1, 0): -math.inf})
    tensor([[-inf, 0., 5.],
            [0., 0., 5.]])
    """
    added = torch.zeros_like(scores)
    for length in sorted({len(sequence) for sequence in biases}):
        if length - 1 > ids.shape[1]:
            continue
        group = [sequence for sequence in biases if len(sequence) == length]
        sequences = torch.tensor(group, device=ids.device)  # (sequence, token)
        values = torch.tensor([biases[sequence] for sequence in group], dtype=scores.dtype, device=ids.device)
        ends_so = (ids[:, None, ids.shape[1] - length + 1 :] == sequences[:, :-1]).all(-1)  # (batch, sequence)
        added = added.index_add(1, sequences[:, -1], torch.where(ends_so, values, 0.0))
    return scores + added


def penalise_repetition(scores: Tensor, ids: Tensor, penalty: float) -> Tensor:
    """Make tokens that already stand in the row less likely: positive scores are divided, negative ones multiplied.

    Source: Keskar et al., "CTRL: A Conditional Transformer Language Model", 2019, section 4.1.

    >>> penalise_repetition(torch.tensor([[2.0, -2.0, 1.0]]), torch.tensor([[0, 1]]), 2.0)
    tensor([[ 1., -4.,  1.]])
    """
    changed = torch.where(scores < 0, scores * penalty, scores / penalty)
    return torch.where(_marked(scores, ids), changed, scores)


def forbid_repeated_ngrams(scores: Tensor, ids: Tensor, n: int) -> Tensor:
    """Forbid each token that would end a run of n tokens that stands in the row already.

    Source: Paulus et al., "A Deep Reinforced Model for Abstractive Summarization", 2018, section 2.5.

    >>> forbid_repeated_ngrams(torch.zeros(1, 3), torch.tensor([[1, 2, 0, 1]]), 2)  # 1 2 stands there
    tensor([[0., 0., -inf]])
    """
    if ids.shape[1] < n:
        return scores
    runs = ids.unfold(1, n, 1)  # (batch, run, n)
    begun = ids[:, None, ids.shape[1] - n + 1 :]  # the last n - 1 tokens
    again = (runs[..., :-1] == begun).all(-1)
    return scores.masked_fill(_marked(scores, runs[..., -1].masked_fill(~again, NO_TOKEN)), -math.inf)


def forbid(scores: Tensor, token_ids: Sequence[int] | Tensor) -> Tensor:
    """Forbid these tokens: suppressed ones, or the end tokens while a row is too short.

    >>> forbid(torch.zeros(1, 3), [0, 2])
    tensor([[-inf, 0., -inf]])
    """
    return scores.index_fill(1, torch.as_tensor(token_ids, dtype=torch.long, device=scores.device), -math.inf)


def force(scores: Tensor, token_ids: Sequence[int]) -> Tensor:
    """Forbid all tokens but these, which become equally likely.

    >>> force(torch.tensor([[1.0, 2.0, 3.0]]), [1])
    tensor([[-inf, 0., -inf]])
    """
    only = torch.full_like(scores, -math.inf)
    return only.index_fill(1, torch.as_tensor(token_ids, dtype=torch.long, device=scores.device), 0.0)


def remove_invalid(scores: Tensor) -> Tensor:
    """Put numbers where there are none: 0 for NaN, the largest and the least number for infinities.

    >>> remove_invalid(torch.tensor([[math.nan, -math.inf, 1.0]]))
    tensor([[ 0.0000e+00, -3.4028e+38,  1.0000e+00]])
    """
    return scores.nan_to_num(nan=0.0)


def raise_ends(scores: Tensor, stop_ids: Tensor, factor: float, late: int) -> Tensor:
    """Make the end tokens likelier by |score| · (factor ^ late - 1), where a row is `late` tokens over its length.

    >>> raise_ends(torch.tensor([[-2.0, 1.0]]), torch.tensor([0]), 1.5, 2)  # -2 + 2 · 1.25
    tensor([[0.5000, 1.0000]])
    """
    if late <= 0:
        return scores
    ends = scores[:, stop_ids]
    growth = float(torch.tensor(factor, dtype=torch.float64) ** late) - 1  # beyond all numbers it is infinite
    forbidden = ends <= torch.finfo(scores.dtype).min
    more = (ends.abs() * growth).masked_fill(forbidden | ~ends.isfinite(), 0.0)
    return scores.index_copy(1, stop_ids, (ends + more).clamp(max=torch.finfo(scores.dtype).max))


def process(scores: Tensor, ids: Tensor, functions: Sequence[Callable[[Tensor, Tensor], Tensor]]) -> Tensor:
    """What functions (ids, scores) -> scores make of the scores, one after the other.

    >>> process(torch.zeros(1, 2), torch.tensor([[1]]), [lambda ids, scores: scores - 1])
    tensor([[-1., -1.]])

    Raises:
        GenerationError: a function does not give back scores of the same shape.
    """
    for place, function in enumerate(functions):
        new = function(ids, scores.clone())  # its own, to write into as it likes
        if not isinstance(new, Tensor) or new.shape != scores.shape or not new.is_floating_point():
            came = f"{new.dtype} {tuple(new.shape)}" if isinstance(new, Tensor) else shorten(new)
            raise GenerationError(
                f"logits_processor[{place}] must return the scores, a tensor {tuple(scores.shape)}, but gave {came}"
            )
        scores = new.to(scores)
    return scores


def _marked(scores: Tensor, token_ids: Tensor) -> Tensor:
    """Which tokens are named: (batch, any) ids, with -1 for none -> (batch, vocab)."""
    vocab = scores.shape[1]
    marked = torch.zeros(len(scores), vocab + 1, dtype=torch.bool, device=scores.device)  # one more, for none
    return marked.scatter(1, token_ids.masked_fill(token_ids == NO_TOKEN, vocab), True)[:, :vocab]
