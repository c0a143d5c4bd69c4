"""Is a longer text harder? The loss at each position, for texts from short to far beyond the trained length.

ALiBi's promise ("train short, test long") is that it is not. The same long rows of tokens are read whole and cut into
shorter pieces, so that every length is measured on the same text (a piece that was cut out begins amid a document):

    for step in length_lab(lab.model, ids, [32, 128, 1024]):
        print(step.done, "of", step.total)              # stop when you like: what is finished stays
    step.results[-1].mean, step.results[-1].by_octave()

Losses are in nats per token.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from bloomlab.errors import InputError, NearMatches
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import Hooks
from bloomlab.lens.inputs import positions_at_once
from bloomlab.weights.pretrained import without_gradients


class Octave(NamedTuple):
    """Positions `first` to `last`, and the mean loss of the tokens there."""

    first: int
    last: int
    mean: float


@dataclass(frozen=True)
class LengthLoss(NearMatches):
    """`losses` (length - 1): the mean loss of the tokens at positions 1, 2, … over `rows` pieces of `length` tokens."""

    length: int
    rows: int
    losses: Tensor

    @property
    def mean(self) -> float:
        """The mean loss of all tokens: what `model(ids, labels=ids).loss` gives."""
        return self.losses.mean().item()

    def by_octave(self) -> list[Octave]:
        """The mean over positions 1, 2–3, 4–7, 8–15, …: single positions are noisy.

        >>> LengthLoss(4, 1, torch.tensor([3.0, 2.0, 1.0])).by_octave()
        [Octave(first=1, last=1, mean=3.0), Octave(first=2, last=3, mean=1.5)]
        """
        firsts = [2**i for i in range(self.length.bit_length()) if 2**i < self.length]
        parts = [self.losses[first - 1 : 2 * first - 1] for first in firsts]
        return [
            Octave(first, first + len(part) - 1, part.mean().item()) for first, part in zip(firsts, parts, strict=True)
        ]


Result = TypeVar("Result")


class Progress(NamedTuple, Generic[Result]):
    """How many of all tokens have been read, and the results that are finished: lengths, or slopes."""

    done: int
    total: int
    results: tuple[Result, ...]


def length_lab(
    model: BloomForCausalLM, ids: Tensor, lengths: Sequence[int], batch_tokens: int = 4096
) -> Iterator[Progress[LengthLoss]]:
    """Measure one length after the other, a batch at a time; stop iterating to cancel.

    Args:
        ids: (row, pos) token ids, every row at least as long as the longest length. Each length cuts each row into
            as many whole pieces as it holds; what is left over at the end is not read.
        lengths: tokens in a piece, each at least 2.
        batch_tokens: about how many tokens go through the model at once.

    Raises:
        InputError: ids or lengths do not fit.
    """
    if ids.ndim != 2 or not len(ids):
        raise InputError(f"ids must be (row, pos) with at least one row, but have the shape {tuple(ids.shape)}")
    for length in lengths:
        if not 2 <= length <= ids.shape[1]:
            raise InputError(f"a length must be from 2 to {ids.shape[1]}, the tokens of a row, but got {length}")
    return _measure(model, ids, lengths, batch_tokens)


def _measure(
    model: BloomForCausalLM, ids: Tensor, lengths: Sequence[int], batch_tokens: int
) -> Iterator[Progress[LengthLoss]]:
    cut = [ids[:, : ids.shape[1] // n * n].reshape(-1, n) for n in lengths]  # (piece, length) each
    total, done = sum(pieces.numel() for pieces in cut), 0
    results: tuple[LengthLoss, ...] = ()
    for pieces in cut:
        count, length = pieces.shape
        losses = torch.zeros(length - 1)
        read = 0
        for batch in pieces.split(max(1, batch_tokens // length)):
            losses += token_losses(model, batch).sum(0)
            done, read = done + batch.numel(), read + len(batch)
            if read == count:
                results += (LengthLoss(length, count, losses / count),)
            yield Progress(done, total, results)


def token_losses(model: BloomForCausalLM, ids: Tensor, hooks: Hooks | None = None) -> Tensor:
    """The loss of every token but the first, in nats: ids (batch, pos) -> (batch, pos - 1), in float32 on the CPU.

    >>> from bloomlab.config import BloomConfig
    >>> model = BloomForCausalLM(BloomConfig(vocab_size=4, hidden_size=2, n_layer=1, n_head=1))
    >>> _ = model.transformer.word_embeddings.weight.data.zero_()  # no idea among 4: log(4)
    >>> token_losses(model, torch.tensor([[0, 1, 2]]))
    tensor([[1.3863, 1.3863]])
    """

    run = partial(model.transformer, ids.to(model.device), use_cache=False, hooks=hooks)
    return state_losses(model, without_gradients(run).last_hidden_state, ids)


def state_losses(model: BloomForCausalLM, states: Tensor, ids: Tensor) -> Tensor:
    """The same, of the states after the last norm (`final`): states (batch, pos, hidden) -> (batch, pos - 1)."""

    def run() -> Tensor:
        said, truth = states[:, :-1].flatten(0, 1), ids[:, 1:].flatten().to(model.device)
        step = positions_at_once(model.config.vocab_size)
        parts = zip(said.split(step), truth.split(step), strict=True)
        return torch.cat([F.cross_entropy(model.lm_head(x).float(), y, reduction="none") for x, y in parts])

    losses: Tensor = without_gradients(run) if ids.shape[1] > 1 else torch.zeros(0)
    return losses.view(len(ids), -1).cpu()
