"""Stories are the same for the same seed, and every label points at the words it should."""

import random

import pytest

from bloomlab import tiny
from bloomlab.errors import InputError
from bloomlab.tiny.facts import Fact, Pool
from bloomlab.tiny.language import CODES, LANGUAGES
from bloomlab.tiny.world import TAG_OF_SLOT, TAGS, draw_story, story, tell


def test_the_world_is_at_hand_as_tiny_world() -> None:
    assert tiny.world.story is story
    with pytest.raises(AttributeError):
        tiny.nothing  # noqa: B018


@pytest.mark.parametrize("code", CODES)
def test_a_story_is_the_same_for_the_same_seed_and_another_for_another(code: str) -> None:
    assert story(code, 7) == story(code, 7)
    assert len({story(code, seed).text for seed in range(30)}) == 30


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("unseen", [False, True])
def test_everything_a_story_names_is_found_in_it(code: str, unseen: bool) -> None:
    language, rng = LANGUAGES[code], random.Random(code)
    for _ in range(12):
        told = draw_story(rng, language, people=2, pool=Pool(unseen=unseen))
        words = [(told.text[start:end], tag) for start, end, tag in told.spans]
        for word, tag in words:
            assert word.strip() == word and word and tag in TAGS[1:]
        for fact in told.facts:
            for slot, key in fact.values.items():
                forms = {form.replace(" ", language.gap).lower() for form in language.word(slot, key).values()}
                tag = TAG_OF_SLOT.get(slot, slot.upper())
                # a person may be a pronoun
                assert slot == "person" or any(word.lower() in forms for word, its in words if its == tag), told.text


@pytest.mark.parametrize("code", CODES)
def test_every_question_is_about_one_person_and_answered_by_its_span(code: str) -> None:
    for seed in range(12):
        told = story(code, seed)
        assert len(told.questions) == len(told.facts)
        for fact, (question, answer, span) in zip(told.facts, told.questions, strict=True):
            assert told.text[span.start : span.end] == answer
            assert span in told.spans
            assert question == LANGUAGES[code].write("ask", fact)
            assert LANGUAGES[code].word("person", fact.values["person"])["one"] in question


def test_a_name_inside_another_word_is_not_mistaken_for_it() -> None:
    facts = [Fact("colour", {"person": "Fredo", "animal": "cat", "colour": "red"})]
    told = tell(facts, LANGUAGES["en"], random.Random(0))
    assert [(told.text[s.start : s.end], s.tag) for s in told.spans] == [
        ("Fredo", "PERSON"),
        ("cat", "ANIMAL"),
        ("red", "COLOUR"),
    ]
    assert told.questions[0].span.start == told.text.index("red.")


def test_the_answer_to_what_colour_is_a_colour_in_arabic_too() -> None:
    facts = [Fact("colour", {"person": "Ana", "animal": "cat", "colour": "black"})]
    assert tell(facts, LANGUAGES["ar"], random.Random(0)).questions[0].answer == "سوداء"


def test_small_talk_is_about_nobody_and_the_name_comes_back_after_it() -> None:
    facts = [Fact("eats", {"person": "Leo", "food": "rice"}), Fact("has", {"person": "Leo", "animal": "cat"})]
    told = tell(facts, LANGUAGES["en"], random.Random(0), talk=1.0)
    sentences = [sentence + "." for sentence in told.text.split(". ")]
    assert sentences[0] in LANGUAGES["en"].talk and sentences[2] in LANGUAGES["en"].talk
    assert sentences[1].startswith("Leo") and sentences[3].startswith("Leo")


def test_a_pronoun_never_follows_an_animal() -> None:
    cat = Fact("colour", {"person": "Leo", "animal": "cat", "colour": "red"})
    rice = Fact("eats", {"person": "Leo", "food": "rice"})
    for seed in range(30):
        assert tell([cat, rice], LANGUAGES["es"], random.Random(seed)).text.endswith("Leo come arroz.")


def test_a_story_can_be_about_one_to_four_people() -> None:
    for people in range(1, 5):
        assert len({fact.values["person"] for fact in story("fr", 3, people).facts}) == people


def test_what_the_world_does_not_have_is_one_clear_sentence() -> None:
    with pytest.raises(InputError, match=r"no language 'de'; .*it has en, fr"):
        story("de")
    with pytest.raises(InputError, match="one to four people, but got 9"):
        story("en", people=9)
