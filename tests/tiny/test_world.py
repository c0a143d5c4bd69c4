"""The world is the same each time, and keeps its secret pairs out of training."""

import itertools
import random

import pytest

from bloomlab.tiny.world import (
    CITIES,
    COUNTABLE,
    FACTS,
    PEOPLE,
    SYLLABLES,
    choices,
    draw_fact,
    draw_person,
    gender,
    held_out,
    spell,
    syllables,
)


def people(count: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return [draw_person(rng) for _ in range(count)]


def test_one_person_in_four_has_an_invented_name_of_known_syllables() -> None:
    drawn = people(1000)
    invented = [name for name in drawn if name not in PEOPLE]
    assert 200 < len(invented) < 300
    for name in invented:
        assert name.istitle() and len(syllables(name)) in (2, 3) and set(syllables(name)) <= set(SYLLABLES)


def test_nobody_is_called_like_a_city() -> None:
    assert "Lima" in CITIES and set(syllables("Lima")) <= set(SYLLABLES)  # it could happen
    assert not set(people(5000)) & set(CITIES)


def test_an_invented_name_tells_the_gender_by_its_last_letter() -> None:
    assert [gender(name) for name in ("Kamila", "Kamilo", "Kamili")] == ["f", "m", "m"]
    assert gender("Juma") == "m"  # known people have their own


@pytest.mark.parametrize("script", range(3))
def test_two_people_are_never_written_alike_by_their_syllables(script: int) -> None:
    spellings = [written[script] for written in SYLLABLES.values()]
    assert len(set(spellings)) == len(spellings)
    known = [written[1 + script] for written in PEOPLE.values()]
    assert len(set(known)) == len(known)


def test_names_are_spelled_in_the_script_of_the_language() -> None:
    assert [spell("Mirosa", code) for code in ("sw", "zh", "ar", "hi")] == ["Mirosa", "米罗萨", "ميروسا", "मीरोसा"]


def test_every_person_has_two_or_three_held_out_cities() -> None:
    for person in [*PEOPLE, *people(200)]:
        assert sum(held_out(person, city) for city in CITIES) in (2, 3)


def test_the_rule_that_holds_pairs_out_never_changes() -> None:
    """A model is trained under this rule: with another one its held-out pairs would be no secret."""
    assert [city for city in CITIES if held_out("Leo", city)] == ["Bogota", "Madrid", "Shanghai"]
    assert [city for city in CITIES if held_out("Kamilo", city)] == ["Athens", "Lima", "Prague"]


def test_facts_draw_their_city_from_the_pairs_asked_for() -> None:
    rng = random.Random(0)
    for held, kind in itertools.product((False, True), ("lives", "born")):
        for person in people(200):
            values = draw_fact(kind, person, "cat", rng, held).values
            assert held_out(person, values["city"]) == held


@pytest.mark.parametrize("kind", FACTS)
def test_a_fact_names_what_its_kind_says(kind: str) -> None:
    fact = draw_fact(kind, "Leo", "cat", random.Random(0))
    assert tuple(fact.values) == FACTS[kind] and fact.values["person"] == "Leo"
    assert fact.values.get("animal", "cat") == "cat" and fact.values.get("friend") != "Leo"
    assert str(fact).startswith(f"{kind}(person=Leo")


def test_only_countable_food_is_counted() -> None:
    assert choices("buys", "food") == COUNTABLE
    assert set(COUNTABLE) < set(choices("eats", "food"))
