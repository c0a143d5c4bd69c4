"""What the lab of the ALiBi view reads, and its curves: loss by length, of a model or its twins, or by slope."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from bloomlab.errors import InputError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens.lengths import LengthLoss, Progress, length_lab
from bloomlab.lens.slopes import Factor, SlopeLoss, loss_by_slope, slopes_used
from bloomlab.model.positions import own_slopes, reached
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tiny.measure import validation_rows
from bloomlab.tiny.rows import LENGTH
from bloomlab.views.lengths import Lengths

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace

LENGTHS = [32, 64, 128, 256, 512, 1024]  # of the texts that the embedded model's length lab reads
TWIN_LENGTHS = [16, 32, 64, 128, 256, 512]  # of its twins', trained on shorter rows
TRAINED = LENGTH  # the embedded model was trained on rows of so many tokens
FACTORS: list[float] = [0.0, *(round(2 ** (step / 2), 4) for step in range(-6, 7))]  # of slopes: flat, 1/8 to 8
FEWEST = 64  # tokens behind a point of the length lab; fewer are too noisy to show


class LengthTexts(NamedTuple):
    """What a length lab reads: which texts in words, the length trained on if known, else 0, and how to run it.

    `by_slope(factors, head)` measures them with other slopes, as `bloomlab.lens.slopes.loss_by_slope` does.
    """

    says: str
    trained: int
    run: Callable[[], Iterator[Progress[LengthLoss]]]
    by_slope: Callable[[Sequence[Factor], int | None], Iterator[Progress[SlopeLoss]]] | None = None
    ids: Tensor = torch.zeros(0, 0)  # (row, pos): the texts themselves, to be read by other models, too
    lengths: Sequence[int] = ()


def document_rows(model: BloomForCausalLM, tokenizer: BloomTokenizerFast) -> LengthTexts:
    """For the embedded model: unseen documents, up to 4 times as long as the rows of its training."""
    ids = validation_rows(tokenizer, length=LENGTHS[-1], rows=4)
    says = f"4 rows of {LENGTHS[-1]} tokens of documents that training never drew, cut into shorter texts"
    by_slope = partial(loss_by_slope, model, ids.reshape(-1, TRAINED))
    return LengthTexts(says, TRAINED, lambda: length_lab(model, ids, LENGTHS), by_slope, ids, LENGTHS)


def twin_rows(model: BloomForCausalLM, tokenizer: BloomTokenizerFast) -> LengthTexts:
    """For a twin of the embedded model: unseen documents, up to 8 times as long as the rows of its training."""
    from bloomlab.tiny import positions  # the trainer, only where a twin is at hand

    longest, trained = TWIN_LENGTHS[-1], positions.LENGTH
    reads = [length for length in TWIN_LENGTHS if length <= reached(model.config, longest)]
    ids = validation_rows(tokenizer, longest, 8, **positions.READS)
    says = f"8 rows of {longest} tokens of documents that training never drew, cut into shorter texts"
    if reads != TWIN_LENGTHS:
        says += f"; it has learned {reads[-1]} positions, and reads no longer ones"
    by_slope = partial(loss_by_slope, model, ids.reshape(-1, trained))
    cut = ids.reshape(-1, reads[-1])
    return LengthTexts(says, trained, lambda: length_lab(model, cut, reads), by_slope, ids, TWIN_LENGTHS)


def text_rows(model: BloomForCausalLM, texts: Sequence[Sequence[int]]) -> LengthTexts:
    """For any model: its own texts, as ids, all cut to the length of the shortest. Nothing is repeated or joined.

    Raises:
        InputError: the shortest has fewer than 64 tokens, so that there are no two lengths to compare.
    """
    least = min(map(len, texts))
    lengths = [32 * 2**i for i in range(least.bit_length()) if 32 * 2**i <= least]
    if len(lengths) < 2:
        raise InputError(
            f"the length lab needs texts of at least 64 tokens, to compare 32 with 64, but the shortest has {least}; "
            "pass longer ones: lab.alibi(text, texts=[…])"
        )
    ids = torch.tensor([list(text[:least]) for text in texts])
    sizes = ", ".join(str(len(text)) for text in texts[:5]) + (", …" if len(texts) > 5 else "")
    which = f"a text of {sizes} tokens" if len(texts) == 1 else f"{len(texts)} texts of {sizes} tokens"
    says = f"{which}, the first {lengths[-1]} and shorter pieces"
    rows = ids[:, : lengths[-1]]
    return LengthTexts(
        says, 0, lambda: length_lab(model, ids, lengths), partial(loss_by_slope, model, rows), ids, lengths
    )


def curve(result: LengthLoss) -> dict[str, Any]:
    """A length's line: its mean loss, and [first position, last, loss] wherever at least FEWEST tokens were read."""
    parts = [part for part in result.by_octave() if (part.last - part.first + 1) * result.rows >= FEWEST]
    return {
        "length": result.length,
        "rows": result.rows,
        "mean": result.mean,
        "points": [[part.first, part.last, part.mean] for part in parts],
    }


def twin_curves(found: Lengths) -> dict[str, Any]:
    """The twins' lines: of each, [length, mean loss] of every length that is measured."""
    return {
        "says": found.says,
        "trained": found.trained,
        "curves": [{"name": twin.name, "points": [[loss.length, loss.mean] for loss in twin.losses]} for twin in found],
    }


def slope_curve(head: int | None, says: str, results: Sequence[SlopeLoss]) -> dict[str, Any]:
    """The loss by slope: [factor, mean loss] in order; that of the slopes as they stand apart, if they are moved.

    >>> slope_curve(None, "rows", [SlopeLoss(1.0, 2.5, 9), SlopeLoss([0.5, 1.0], 2.75, 9), SlopeLoss(0.0, 3.0, 9)])
    {'head': None, 'says': 'rows', 'points': [[0.0, 3.0], [1.0, 2.5]], 'desk': 2.75}
    """
    points = sorted([result.factor, result.mean] for result in results if isinstance(result.factor, float))
    desk = [result.mean for result in results if not isinstance(result.factor, float)]
    return {"head": head, "says": says, "points": points, "desk": desk[0] if desk else None}


def desk_factors(trace: "Trace") -> list[list[float]]:
    """What each head's slope was multiplied by in a run, in a list; an empty one if nothing was, or not in all layers.

    The lab measures these slopes beside its curve.
    """
    trained = torch.tensor(own_slopes(trace.config), dtype=torch.float64)
    if not trained.any():
        return []
    factors = (slopes_used(trace) / trained).round(decimals=6)
    alike = (factors == factors[0]).all() and (factors >= 0).all()
    return [factors[0].tolist()] if alike and (factors != 1).any() else []
