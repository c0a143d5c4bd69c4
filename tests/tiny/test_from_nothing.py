"""What lesson 02b trains on: the same each time, and no more of the world than it says."""

import pytest
import torch

from bloomlab.tiny.facts import held_out
from bloomlab.tiny.from_nothing import LENGTH, ROWS, VOCAB_SIZE, ids_of, own_tokenizer, pair_table, pieces, stories
from bloomlab.tiny.language import LANGUAGES
from bloomlab.tiny.measure import sentences

READ = stories(300)


@pytest.mark.slow
def test_the_stories_are_english_and_the_same_for_the_same_seed() -> None:
    assert stories(3) == READ[:3] != stories(3, "another")
    said = [sentence for story in READ[:40] for sentence in sentences(story)]
    assert all(LANGUAGES["en"].says(sentence) for sentence in said)
    assert all(story.count("\nLet us say it again.") == 1 for story in READ)


@pytest.mark.slow
def test_a_story_for_the_exam_has_pairs_that_no_other_story_has() -> None:
    def pairs(told: list[str]) -> list[tuple[str, str]]:
        named = (
            sentence for story in told for sentence in sentences(story) if sentence.split()[0] not in ("He", "She")
        )
        facts = [LANGUAGES["en"].parse(sentence) for sentence in named]
        return [(fact.values["person"], fact.values["city"]) for fact in facts if fact and "city" in fact.values]

    exam, read = pairs(stories(40, "exam", held=True)), pairs(READ[:40])
    assert exam and all(held_out(*pair) for pair in exam)
    assert read and not any(held_out(*pair) for pair in read)


def test_the_tokenizer_knows_the_words_of_its_stories_and_can_write_any_text() -> None:
    tokenizer = own_tokenizer(READ)
    assert tokenizer.vocab_size == VOCAB_SIZE and tokenizer.eos_token_id == 2
    assert len(tokenizer.encode(" lives in")) == 2 < len(tokenizer.encode(" zebras"))
    for text in (READ[0], "狮子 🦁", ""):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_ids_of_all_stories_are_in_one_row() -> None:
    tokenizer = own_tokenizer(READ)
    row = ids_of(READ[:2], tokenizer)
    assert tokenizer.decode(row.tolist()) == f"{READ[0]}</s>{READ[1]}</s>"


def test_a_step_reads_pieces_of_the_stream_and_the_same_ones_each_time() -> None:
    stream = torch.arange(1000)
    read = pieces(stream, 3)
    assert read.shape == (ROWS, LENGTH) and (read.diff() == 1).all()
    assert read.equal(pieces(stream, 3)) and not read.equal(pieces(stream, 4))
    assert pieces(torch.arange(64), 0).equal(torch.arange(64).expand(ROWS, LENGTH))


def test_the_table_of_pairs_is_one_of_probabilities() -> None:
    table = pair_table(torch.tensor([[0.0, 0], [3, 1]]))
    assert table.sum(1).tolist() == [1, 1] and table[0].tolist() == [0.5, 0.5] and table[1, 0] > table[1, 1] > 0
