"""What a step of the training reads, and what it learns from.

Two kinds of rows teach what plain documents would not. Some are random tokens, said again and again. In a training
without them, ended after 2,200 of 4,800 steps, no head looked back for what came next last time: the best one gave it
12 % of its attention (measured once). And of most stories only what follows from them is learned, the answers and
recaps: who will live where cannot be foreseen, and trying to would take most of the effort.
"""

import random
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tiny.documents import Document, documents
from bloomlab.tiny.measure import FIRST_ID

ROWS, LENGTH = 8, 256  # one step reads 8 rows of 256 tokens
REPEATS, SEGMENT = 3 / 16, range(6, 100)  # this share of the rows repeats a random segment, of such a length in 256
FOLLOWS_ONLY = 2 / 3  # of this share of the stories only what follows from them is learned: answers, recaps


def batch(
    step: int,
    seed: int,
    tokenizer: BloomTokenizerFast,
    vocab_size: int,
    n_rows: int = ROWS,
    length: int = LENGTH,
    repeats: float = REPEATS,
    segment: range = SEGMENT,
    **what: Any,
) -> tuple[Tensor, Tensor]:
    """The ids a step reads and the labels it learns from: two times (n_rows, length). -100 is not learned.

    `repeats` is the share of rows that are random tokens, a `segment` of so many in 256; `what` says which documents
    the others hold (`documents`).
    """
    rng = random.Random(f"{seed} rows {step}")
    read = documents(f"{seed} step {step}", **what)
    rows = []
    for _ in range(n_rows):
        again = rng.random() < repeats
        row = repeated_row(rng, vocab_size, length, segment) if again else document_row(rng, read, tokenizer, length)
        rows.append((row[0][:length], row[1][:length]))
    ids, labels = zip(*rows, strict=True)
    return torch.tensor(ids), torch.tensor(labels)


def repeated_row(
    rng: random.Random, vocab_size: int, length: int = LENGTH, segment: range = SEGMENT
) -> tuple[list[int], list[int]]:
    """Random tokens, said again and again: nobody can foresee them the first time, so that is not learned."""
    once = [rng.randrange(FIRST_ID, vocab_size) for _ in range(rng.choice(segment) * length // LENGTH or 1)]
    ids = once * (length // len(once) + 1)
    return ids, [-100] * len(once) + ids[len(once) :]


def document_row(
    rng: random.Random, read: Iterator[Document], tokenizer: BloomTokenizerFast, length: int = LENGTH
) -> tuple[list[int], list[int]]:
    """Documents one after the other, </s> behind each; of most, what is new is read but not learned."""
    ids: list[int] = []
    labels: list[int] = []
    while len(ids) < length:
        text, news = next(read)
        row = [*tokenizer.encode(text), tokenizer.eos_token_id or 0]
        skipped = len(tokenizer.encode(text[:news])) if news and rng.random() < FOLLOWS_ONLY else 0
        ids += row
        labels += [-100] * skipped + row[skipped:]
    return ids, labels
