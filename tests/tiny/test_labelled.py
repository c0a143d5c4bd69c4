"""The labels are true: they point at the words that the world put there."""

import random
import re

import pytest
import torch

import bloomlab
from bloomlab import tiny
from bloomlab.tiny.facts import Pool
from bloomlab.tiny.labelled import LABELS, TASKS, batch, draw_language, draw_other, draw_question, draw_tagged
from bloomlab.tiny.language import LANGUAGES
from bloomlab.tiny.world import TAGS


@pytest.fixture(scope="module")
def tokenizer() -> bloomlab.BloomTokenizerFast:
    return bloomlab.BloomTokenizerFast.from_pretrained(tiny.folder())


@pytest.mark.parametrize("seed", range(20))
def test_a_question_comes_before_the_story_that_answers_it(seed: int) -> None:
    text, answer = draw_question(random.Random(seed))
    assert answer.start > text.index("\n")
    assert text[answer.start : answer.end].strip()


@pytest.mark.parametrize("task", TASKS)
def test_a_batch_is_the_same_for_the_same_seed_and_fits_its_head(
    task: str, tokenizer: bloomlab.BloomTokenizerFast
) -> None:
    one, two, other = (batch(task, seed, 5, tokenizer) for seed in ("a", "a", "b"))
    assert all(one[name].equal(two[name]) for name in one)
    assert not one["input_ids"].equal(other["input_ids"][:, : one["input_ids"].shape[1]])
    if task == "answer":
        assert (one["start_positions"] <= one["end_positions"]).all()
        assert (one["end_positions"] < one["attention_mask"].sum(1)).all()
    if task == "tags":
        assert one["labels"].shape == one["input_ids"].shape
        assert (one["labels"] == -100).equal(one["attention_mask"] == 0)


def test_tags_stand_on_the_tokens_of_their_words(tokenizer: bloomlab.BloomTokenizerFast) -> None:
    examples = batch("tags", "tags", 8, tokenizer)
    text, spans = draw_tagged(random.Random("tags"))  # the first of the batch
    ids, labels = examples["input_ids"][0], examples["labels"][0]
    assert spans
    for start, end, tag in spans:
        tagged = tokenizer.decode(ids[labels == TAGS.index(tag)])
        assert text[start:end] in tagged
    assert (labels[labels != -100] == 0).any() and torch.isin(labels, torch.arange(len(TAGS))).any()


@pytest.mark.slow
def test_questions_name_somebody_too_and_other_texts_nobody() -> None:
    """In every language: `?` ends a question, and the words that are marked are the values of its fact."""
    drawn = [draw_tagged(random.Random(seed)) for seed in range(400)]
    asked = [(text, spans) for text, spans in drawn if any(mark in text for mark in "?؟？") and spans]
    assert 120 < len(asked) < 240 and 20 < sum(not spans for _, spans in drawn) < 70
    for text, spans in asked:
        assert spans == sorted(spans) and all(text[start:end].strip() == text[start:end] for start, end, _ in spans)
        assert len({text[start:end] for start, end, tag in spans if tag == "PERSON"}) <= 6
        question = next(part for part in re.split(r"\n|(?<=[.。।?？؟]) ?", text) if part.endswith(("?", "؟", "？")))
        inside = [span for span in spans if text.index(question) <= span.start < text.index(question) + len(question)]
        assert "PERSON" in {span.tag for span in inside}, text


@pytest.mark.slow
def test_a_text_of_another_kind_is_in_no_language_of_the_world() -> None:
    drawn = [draw_other(random.Random(seed)) for seed in range(200)]
    assert len(set(drawn)) > 190 and all(text.strip() for text in drawn)
    for text in drawn:
        assert not any(language.parse(text) for language in LANGUAGES.values()), text
    assert any(">>>" in text for text in drawn) and any("а" <= letter <= "я" for letter in "".join(drawn))


@pytest.mark.slow
def test_one_text_in_six_is_in_another_language_and_the_others_in_theirs() -> None:
    labels = [draw_language(random.Random(seed))[1] for seed in range(600)]
    assert set(labels) == set(LABELS["language"])
    assert 60 < labels.count("other") < 140


def test_a_question_can_be_about_people_in_spellings_never_trained() -> None:
    texts = " ".join(draw_question(random.Random(seed), Pool(unseen=True))[0] for seed in range(20))
    assert not any(f" {name} " in texts for name in ("Leo", "Rosa", "Karim", "里奥"))
