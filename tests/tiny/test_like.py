"""Texts like one: as many tokens, other people and things, the same words in the same places."""

from typing import Any

import pytest

import bloomlab
from bloomlab.errors import InputError
from bloomlab.lab import Lab
from bloomlab.tiny.like import like

AGAIN = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
TEXTS = {
    "en": AGAIN,
    "fr": "Léa habite à Paris. Elle a un chat.",
    "zh": "里奥住在奥斯陆。里奥有一只猫。",
    "ar": "يعيش ليو في أوسلو. لدى ليو قطة.",
    "hi": "लियो ओस्लो में रहता है। लियो के पास एक बिल्ली है।",
}


@pytest.fixture(scope="module")
def lab() -> Lab:
    return bloomlab.load()


@pytest.mark.parametrize("code", TEXTS)
def test_every_text_is_another_of_as_many_tokens(lab: Lab, code: str) -> None:
    text = TEXTS[code]
    found = lab.like(text)
    assert len(found) == 64 == len({case.text for case in found}) and text not in found.texts
    columns = len(lab.tokenizer.encode(text))
    assert found.tokens == columns and {len(lab.tokenizer.encode(one)) for one in found.texts} == {columns}


def test_a_word_is_replaced_alike_wherever_it_stands(lab: Lab) -> None:
    plain = AGAIN.replace("again", "now")
    for text, other, answer, rival in lab.like(plain, 20, other=AGAIN, answer=" Oslo", rival=" Lima"):
        words = text.replace(".", "").split()
        assert words[0] == words[-3] and answer == f" {words[3]}" and words[3] != "Lima" and rival == " Lima"
        assert other == text.replace("now", "again")
        assert words[4] == "He" and bloomlab.tiny.facts.gender(words[0]) == "m"
        assert words[6] == "a" and words[7][0] not in "aeiou"


def test_the_same_seed_gives_the_same_texts(lab: Lab) -> None:
    first, again, other = (lab.like(AGAIN, 8, seed).texts for seed in (0, 0, 1))
    assert first == again != other
    assert lab.like(AGAIN, 4).texts == first[:4]


def test_a_word_inside_another_is_left_alone(lab: Lab) -> None:
    """A cat is in "category", and Ana in "Banana": they are no words there."""
    for text in lab.like("Leo has a category. Banana", 5).texts:
        assert text.endswith(" has a category. Banana") and not text.startswith("Leo")


@pytest.mark.parametrize(
    ("text", "more", "words"),
    [
        ("Nothing is named here.", {}, "names nobody and nothing of the tiny world"),
        ("", {}, "names nobody"),
        ("Leo lives", {"n": 0}, "n must be a whole number"),
        ("Leo lives", {"seed": "1"}, "seed must be"),
        ("Leo lives", {"answer": 5}, "expected a text"),
    ],
)
def test_what_has_no_like_is_refused_in_a_sentence(lab: Lab, text: Any, more: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        like(lab.tokenizer, text, **more)
