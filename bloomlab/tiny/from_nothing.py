"""What it takes to train a small BLOOM from nothing in a notebook: stories, a tokenizer of its own, pieces to read.

    read = stories(3000)                                 a small part of the tiny world, in English
    tokenizer = own_tokenizer(read)                      256 bytes and 446 merges, learned from these stories
    stream = ids_of(read, tokenizer)                     all of them, one after the other
    pieces(stream, step)                                 what one step of a training reads: 16 pieces of 64 tokens

The embedded model is trained on the same world (train.py), but in ten languages, and reads thirty times as much.
"""

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tiny.documents import document
from bloomlab.tiny.facts import Pool
from bloomlab.tiny.language import LANGUAGES
from bloomlab.tiny.train_tokenizer import learned

VOCAB_SIZE = 706
ROWS, LENGTH = 16, 64


def stories(count: int, seed: str = "lesson", held: bool = False) -> list[str]:
    """So many English stories that are told and told again, the same ones for the same seed.

    Args:
        held: they bring together people and cities that no story does otherwise: for an exam.

    >>> print(stories(1)[0])
    Mombasa is the birthplace of Ravi. Dewi was born in Sydney. Zuri was born in Athens.
    Let us say it again. Mombasa is the birthplace of Ravi. Dewi was born in Sydney. Zuri was born in Athens.
    """
    rng, english = random.Random(seed), {"en": LANGUAGES["en"]}
    return [document("recap", rng, Pool(held, known=True), english) for _ in range(count)]


def own_tokenizer(texts: Sequence[str], vocab_size: int = VOCAB_SIZE) -> BloomTokenizerFast:
    """A tokenizer learned from these texts alone, as in lesson 01: merge the commonest pair, again and again."""
    return BloomTokenizerFast(tokenizer_object=learned(texts, vocab_size))


def ids_of(texts: Sequence[str], tokenizer: BloomTokenizerFast) -> Tensor:
    """The ids of all texts in one row, </s> behind each: (pos,)."""
    end = tokenizer.eos_token_id or 0
    return torch.tensor([token for text in texts for token in [*tokenizer.encode(text), end]])


def pieces(stream: Tensor, step: int, rows: int = ROWS, length: int = LENGTH) -> Tensor:
    """What a step of a training reads: pieces of the stream, drawn by the number of the step. (row, pos)

    >>> pieces(torch.arange(100), 7, rows=2, length=3).diff()
    tensor([[1, 1],
            [1, 1]])
    """
    generator = torch.Generator().manual_seed(step)
    start = torch.randint(len(stream) - length + 1, (rows, 1), generator=generator)
    return stream[start + torch.arange(length)]


def pair_table(counts: Tensor, more: float = 0.01) -> Tensor:
    """From how often each token followed each, (token, next token), the probabilities of what follows.

    Args:
        more: is added to every count, so that no pair is impossible.

    >>> pair_table(torch.tensor([[3.0, 1], [0, 0]]), more=0)[0], pair_table(torch.tensor([[3.0, 1], [0, 0]]))[1]
    (tensor([0.7500, 0.2500]), tensor([0.5000, 0.5000]))
    """
    counts = counts + more
    return counts / counts.sum(1, keepdim=True)
