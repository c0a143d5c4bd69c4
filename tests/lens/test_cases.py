"""Texts from templates: as many tokens each, none twice, and what does not fit is counted or refused."""

from typing import Any

import pytest

from bloomlab.errors import InputError
from bloomlab.lab import Lab
from bloomlab.lens.cases import Case, of_texts

NAMES, CITIES = ["Leo", "Ana", "Mia", "Bartholomew"], ["Oslo", "Lima", "Rome", "Ouagadougou"]
LIVES = "{name} lives in {city}. {name} lives in"


def test_a_template_gives_texts_of_as_many_tokens_and_counts_the_others(lab: Lab) -> None:
    found = lab.cases(LIVES, n=100, name=NAMES, city=CITIES)
    assert {len(lab.tokenizer.encode(case.text)) for case in found} == {found.tokens}
    assert len(found) + found.left_out == 16 and found.left_out > 0
    assert len({case.text for case in found}) == len(found)


def test_the_gaps_of_the_other_text_and_of_the_tokens_are_filled_alike(lab: Lab) -> None:
    cities = CITIES[:3]
    found = lab.cases(
        LIVES,
        other="{name} lives in {away}. {name} lives in",
        answer=" {city}",
        rival=" {away}",
        name=["Leo"],
        city=cities,
        away=cities,
    )
    assert len(found) == 6 - found.left_out > 0
    for text, other, answer, rival in found:
        assert text == f"Leo lives in{answer}. Leo lives in" and other == f"Leo lives in{rival}. Leo lives in"
        assert answer != rival and len(lab.tokenizer.encode(answer)) == 1


def test_the_same_seed_gives_the_same_texts(lab: Lab) -> None:
    first, again, other = (lab.cases(LIVES, 4, seed, name=NAMES, city=CITIES) for seed in (0, 0, 1))
    assert list(first) == list(again) != list(other)
    assert repr(first).startswith(f"4 texts of {first.tokens} tokens ({first.left_out} others were left out)")
    assert list(first[1:3]) == list(first)[1:3] and first[1:3].tokens == first.tokens


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"template": LIVES, "name": NAMES}, "city.*no list"),
        ({"template": LIVES, "name": NAMES, "citi": CITIES}, "did you mean 'city'"),
        ({"template": "Leo lives in", "city": CITIES}, "no gap in the template"),
        ({"template": LIVES, "name": [], "city": CITIES}, "at least one word"),
        ({"template": LIVES, "name": "Leo", "city": CITIES}, "at least one word"),
        ({"template": LIVES, "name": [3], "city": CITIES}, "at least one word"),
        ({"template": "{name", "name": NAMES}, "brace that does not fit"),
        ({"template": "{name.__class__}", "name": NAMES}, "a name in braces"),
        ({"template": "{name!r}", "name": NAMES}, "a name in braces"),
        ({"template": "{}", "name": NAMES}, "a name in braces"),
        ({"template": 3}, "a text with gaps"),
        ({"template": LIVES, "n": 0, "name": NAMES, "city": CITIES}, "from 1 to"),
        ({"template": "{name}", "answer": "{name} and more", "name": NAMES}, "one token each"),
        ({"template": "{a} {b}", "a": ["x"], "b": ["x"]}, "of 0 ways"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(lab: Lab, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        lab.cases(**arguments)
    assert len(str(caught.value)) < 400


def test_a_huge_number_of_ways_costs_nothing(lab: Lab) -> None:
    words = [str(number) for number in range(5000)]
    assert len(lab.cases("{a} {b} {c} {d}", 8, a=words, b=words, c=words, d=words)) == 8


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ("Leo", "a list of texts"),
        ([], "is empty"),
        (["Leo", ""], "none of them empty"),
        (["Leo", 3], "none of them empty"),
        ([Case("Leo", 3)], "none of them empty"),  # type: ignore[arg-type]
        (["Leo"] * 20_001, "20,001 texts"),
    ],
)
def test_a_list_that_holds_no_texts_is_refused(texts: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        of_texts(texts)
