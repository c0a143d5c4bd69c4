"""The tiny world: its people, its cities, and the nine kinds of facts that can be true of somebody.

Everything here is independent of language: a fact is lives(person=Leo, city=Oslo). How it is said is in
language.py and `languages/*.toml`. Nothing is stored: every person and fact is drawn from a seeded generator.
"""

import random
import tomllib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The nine kinds of facts, with what each one names.
FACTS: dict[str, tuple[str, ...]] = {
    "lives": ("person", "city"),
    "born": ("person", "city"),
    "has": ("person", "animal"),
    "colour": ("person", "animal", "colour"),
    "eats": ("person", "food"),
    "job": ("person", "job"),
    "age": ("person", "age"),
    "buys": ("person", "number", "food"),
    "knows": ("person", "friend"),
}


def read_toml(name: str) -> dict[str, Any]:
    with open(Path(__file__).parent / "languages" / f"{name}.toml", "rb") as file:
        return tomllib.load(file)


NAMES = read_toml("names")
PEOPLE: dict[str, list[str]] = NAMES["people"]  # name -> gender, then the spellings in SCRIPTS
SYLLABLES: dict[str, list[str]] = NAMES["syllables"]  # syllable -> the spellings in SCRIPTS
CITIES: dict[str, dict[str, str]] = NAMES["cities"]  # English name -> language -> name
SCRIPTS = ("zh", "ar", "hi")  # the other seven languages write people's names in Latin letters

WORDS: dict[str, list[str]] = {slot: list(words) for slot, words in read_toml("en")["words"].items()}
COUNTABLE = ["bread", "apple", "banana", "orange", "egg", "mango", "tomato"]  # what one can buy three of
AGES = range(11, 100)  # for these an Arabic number takes the singular: one form of "year" is enough


# ---------------------------------------------------------------------------------------------- people


def syllables(name: str) -> list[str]:
    """Cut an invented name into its syllables, which all have two letters.

    >>> syllables("Kamilo")
    ['ka', 'mi', 'lo']
    """
    return [name[i : i + 2].lower() for i in range(0, len(name), 2)]


def gender(person: str) -> str:
    """f or m: known for the people of the list, told by the last letter for invented names.

    >>> gender("Leo"), gender("Kamila")
    ('m', 'f')
    """
    if person in PEOPLE:
        return PEOPLE[person][0]
    return "f" if person.endswith("a") else "m"


def spell(person: str, code: str) -> str:
    """A person's name in the script of a language.

    >>> spell("Leo", "fr"), spell("Leo", "hi"), spell("Kamilo", "zh")
    ('Leo', 'लियो', '卡米洛')
    """
    if code not in SCRIPTS:
        return person
    script = SCRIPTS.index(code)
    if person in PEOPLE:
        return PEOPLE[person][1 + script]
    return "".join(SYLLABLES[syllable][script] for syllable in syllables(person))


def draw_person(rng: random.Random, but: str = "") -> str:
    """A person other than `but`: three in four come from the list, the others have an invented name."""
    while True:
        if rng.random() < 0.75:
            name = rng.choice(list(PEOPLE))
        else:
            name = "".join(rng.sample(list(SYLLABLES), rng.choice((2, 3)))).capitalize()
        if name != but and name not in CITIES:
            return name


# ----------------------------------------------------------------------------------------------- facts


def held_out(person: str, city: str) -> bool:
    """True for one (person, city) pair in ten. They never occur in training: the model cannot know them by heart."""
    return (zlib.crc32(person.encode()) + list(CITIES).index(city)) % 10 == 0


@dataclass(frozen=True)
class Fact:
    """Something true in one document: a kind from FACTS, and a value for each thing that kind names."""

    kind: str
    values: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.kind}({', '.join(f'{slot}={value}' for slot, value in self.values.items())})"


def choices(kind: str, slot: str) -> list[str]:
    """The words of a slot that make sense in a kind of fact: nobody buys three honey."""
    return COUNTABLE if (kind, slot) == ("buys", "food") else WORDS[slot]


def draw_fact(kind: str, person: str, animal: str, rng: random.Random, held: bool = False) -> Fact:
    """A random fact of one kind about a person, whose animal (if it comes up) is this one.

    `held` takes the city from the held-out pairs instead of the others.
    """
    special: dict[str, Callable[[], str]] = {
        "person": lambda: person,
        "animal": lambda: animal,
        "friend": lambda: draw_person(rng, but=person),
        "city": lambda: rng.choice([city for city in CITIES if held_out(person, city) == held]),
        "age": lambda: str(rng.choice(AGES)),
    }
    slots = FACTS[kind]
    return Fact(kind, {slot: special[slot]() if slot in special else rng.choice(choices(kind, slot)) for slot in slots})
