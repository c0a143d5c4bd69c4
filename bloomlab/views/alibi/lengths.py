"""What the length lab of the ALiBi view reads, and the curves that it draws."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch

from bloomlab.errors import InputError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens.lengths import LengthLoss, Progress, length_lab
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tiny.measure import validation_rows
from bloomlab.tiny.rows import LENGTH

LENGTHS = [32, 64, 128, 256, 512, 1024]  # of the texts that the embedded model's length lab reads
TRAINED = LENGTH  # the embedded model was trained on rows of so many tokens
FEWEST = 64  # tokens behind a point of the length lab; fewer are too noisy to show


class LengthTexts(NamedTuple):
    """What a length lab reads: which texts in words, the length trained on if known, else 0, and how to run it."""

    says: str
    trained: int
    run: Callable[[], Iterator[Progress]]


def document_rows(model: BloomForCausalLM, tokenizer: BloomTokenizerFast) -> LengthTexts:
    """For the embedded model: unseen documents, up to 4 times as long as the rows of its training."""
    ids = validation_rows(tokenizer, length=LENGTHS[-1], rows=4)
    says = f"4 rows of {LENGTHS[-1]} tokens of documents that training never drew, cut into shorter texts"
    return LengthTexts(says, TRAINED, lambda: length_lab(model, ids, LENGTHS))


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
    return LengthTexts(says, 0, lambda: length_lab(model, ids, lengths))


def curve(result: LengthLoss) -> dict[str, Any]:
    """A length's line: its mean loss, and [first position, last, loss] wherever at least FEWEST tokens were read."""
    parts = [part for part in result.by_octave() if (part.last - part.first + 1) * result.rows >= FEWEST]
    return {
        "length": result.length,
        "rows": result.rows,
        "mean": result.mean,
        "points": [[part.first, part.last, part.mean] for part in parts],
    }
