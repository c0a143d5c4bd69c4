"""A step reads what it should, and learns from what can be known."""

import itertools
import random

import pytest
import torch

from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tiny import folder
from bloomlab.tiny.documents import Document
from bloomlab.tiny.rows import LENGTH, REPEATS, ROWS, SEGMENT, batch, document_row, repeated_row


@pytest.fixture(scope="module")
def tokenizer() -> BloomTokenizerFast:
    return BloomTokenizerFast.from_pretrained(folder())


def test_a_step_always_reads_the_same(tokenizer: BloomTokenizerFast) -> None:
    first, labels = batch(7, 0, tokenizer, 3072)
    assert first.shape == labels.shape == (ROWS, LENGTH)
    assert torch.equal(first, batch(7, 0, tokenizer, 3072)[0])
    assert not torch.equal(first, batch(8, 0, tokenizer, 3072)[0])
    assert not torch.equal(first, batch(7, 1, tokenizer, 3072)[0])


def test_repeated_rows_repeat_and_are_learned_from_the_second_time_on() -> None:
    rng = random.Random(0)
    for _ in range(50):
        ids, labels = repeated_row(rng, 3072)
        size = labels.count(-100)
        assert size in SEGMENT and len(ids) == len(labels) >= LENGTH and min(ids) > 3
        assert labels[size:] == ids[size:] == ids[:-size]


@pytest.mark.slow
def test_every_fifth_row_repeats(tokenizer: BloomTokenizerFast) -> None:
    every = [ids for step in range(1, 41) for ids in batch(step, 0, tokenizer, 3072)[0].tolist()]
    documents = sum(tokenizer.eos_token_id in row[:-1] or row.count(tokenizer.encode(".")[0]) > 8 for row in every)
    assert REPEATS - 0.08 < 1 - documents / len(every) < REPEATS + 0.08


@pytest.mark.slow
def test_of_two_stories_in_three_only_what_follows_from_them_is_learned(tokenizer: BloomTokenizerFast) -> None:
    text = "Leo eats rice.\nWhat does Leo eat? Rice."
    story, end = Document(text, text.index("\n")), tokenizer.eos_token_id
    news = len(tokenizer.encode("Leo eats rice."))
    whole = [*tokenizer.encode(text), end]
    skipped = []
    for seed in range(300):
        ids, labels = document_row(random.Random(seed), itertools.repeat(story), tokenizer)
        assert ids[: len(whole)] == whole
        skipped.append(labels[: len(whole)].count(-100))
        assert labels[skipped[-1] : len(whole)] == whole[skipped[-1] :]
    assert set(skipped) == {0, news} and 0.57 < skipped.count(news) / 300 < 0.77
    labels = document_row(random.Random(0), itertools.repeat(Document("7 + 5 = 12", 0)), tokenizer)[1]
    assert -100 not in labels
