"""The labels are true: they point at the words that the world put there."""

import random

import pytest
import torch

import bloomlab
from bloomlab import tiny
from bloomlab.tiny.labelled import TAGS, TASKS, batch, draw_question, draw_story, spans
from bloomlab.tiny.language import LANGUAGES
from bloomlab.tiny.world import Fact


@pytest.fixture(scope="module")
def tokenizer() -> bloomlab.BloomTokenizerFast:
    return bloomlab.BloomTokenizerFast.from_pretrained(tiny.folder())


def test_a_span_is_the_longest_form_of_its_word_capital_or_not() -> None:
    fact = Fact("buys", {"person": "Leo", "number": "3", "food": "apple"})
    french, chinese = LANGUAGES["fr"], LANGUAGES["zh"]
    for language in (french, chinese):
        sentence = language.say(fact, random.Random(0))
        words = {slot: sentence[start:end] for start, end, slot in spans(sentence, fact, language)}
        assert words["person"] == language.word("person", "Leo")["one"]
        assert words["food"] in {form.replace(" ", language.gap) for form in language.word("food", "apple").values()}
    assert [slot for *_, slot in spans("Pommes", Fact("eats", {"food": "apple"}), french)] == ["food"]


@pytest.mark.parametrize("seed", range(40))
def test_every_thing_a_story_names_is_found_in_it(seed: int) -> None:
    story = draw_story(random.Random(seed))
    for fact, found in zip(story.facts, story.spans, strict=True):
        named = {span.slot for span in found}
        # a person may be a pronoun, and an animal whose colour is told too; nothing else can be left unsaid
        assert set(fact.values) - named <= {"person", "animal"}, (story.text, fact)
        for start, end, slot in found:
            shown = story.text[start:end].lower()
            forms = story.language.word(slot, fact.values[slot])
            assert shown in {form.replace(" ", story.language.gap).lower() for form in forms.values()}


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
    story = draw_story(random.Random("tags"))  # the first of the batch
    ids, labels = examples["input_ids"][0], examples["labels"][0]
    for sentence in story.spans:
        for start, end, slot in sentence:
            tag = {"friend": "PERSON", "age": "NUMBER"}.get(slot, slot.upper())
            tagged = tokenizer.decode(ids[labels == TAGS.index(tag)])
            assert story.text[start:end] in tagged
    assert (labels[labels != -100] == 0).any() and torch.isin(labels, torch.arange(len(TAGS))).any()
