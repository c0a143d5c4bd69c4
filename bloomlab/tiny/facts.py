"""The tiny world: its people, its cities, and the nine kinds of facts that can be true of somebody.

Everything here is independent of language: a fact is lives(person=Leo, city=Oslo). How it is said is in
language.py and `languages/*.toml`. Nothing is stored: every person and fact is drawn from a seeded generator.
"""

import random
import re
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
CITIES: dict[str, dict[str, str]] = NAMES["cities"]  # English name -> language -> name
SCRIPTS = ("ar", "hi", "zh")  # the other seven languages write names in Latin letters

WORDS: dict[str, list[str]] = {slot: list(words) for slot, words in read_toml("en")["words"].items()}
COUNTABLE = ["bread", "apple", "banana", "orange", "egg", "mango", "tomato"]  # what one can buy three of
AGES = range(11, 100)  # for these an Arabic number takes the singular: one form of "year" is enough


# ----------------------------------------------------------------------------------------------- names


VOWELS: dict[str, list[str]] = NAMES["vowels"]
CODAS: dict[str, list[str]] = NAMES["codas"]
ONSETS: dict[str, list[str]] = NAMES["onsets"] | {
    first + second: [
        NAMES["onsets"][first][0] + arabic,
        NAMES["onsets"][first][1] + "्" + hindi,
        " ".join(character + syllable for syllable in chinese),
    ]
    for first, character in NAMES["clusters"].items()
    for second, (arabic, hindi, chinese) in NAMES["onsets"].items()
    if second in "lr" and first + second not in ("dl", "tl")
}


def syllables(name: str) -> list[tuple[str, str, str]]:
    """Cut an invented name into syllables of (onset, vowel, coda).

    >>> syllables("Kantolo")
    [('k', 'a', 'n'), ('t', 'o', ''), ('l', 'o', '')]
    """
    *runs, end = re.split("[aeiou]", name.lower())
    vowels = re.findall("[aeiou]", name.lower())
    # of the consonants between two vowels, as many as can begin a syllable do
    cuts = [0, *(next((i for i in range(len(run)) if run[i:] in ONSETS), len(run)) for run in runs[1:])][: len(runs)]
    codas = [*(run[:cut] for run, cut in zip(runs[1:], cuts[1:], strict=True)), end][: len(runs)]
    return [(run[cut:], vowel, coda) for run, cut, vowel, coda in zip(runs, cuts, vowels, codas, strict=True)]


def is_invented(name: str) -> bool:
    """Whether a word could be an invented name: of such syllables, or one with a coda.

    >>> [is_invented(name) for name in ("Kantolo", "Bruzev", "Thev", "She", "Elle", "Mvua")]
    [True, True, True, False, False, False]
    """
    if not re.fullmatch("[A-Z][a-z]{2,9}", name) or re.search(r"(.)\1", name.lower()):
        return False
    parts = syllables(name)
    whole = all(
        coda in ("", *CODAS) and (onset in ONSETS or (not onset and i == 0)) for i, (onset, _, coda) in enumerate(parts)
    )
    return whole and (len(parts) > 1 or (parts != [] and bool(parts[0][2])))


def never_trained(name: str) -> bool:
    """True if one of its syllables is among the eighth that training never shows: a spelling nobody has seen."""
    return any(zlib.crc32((onset + vowel).encode()) % 8 == 0 for onset, vowel, _ in syllables(name))


def invent(rng: random.Random, unseen: bool = False) -> str:
    """An invented name of two or three syllables; `unseen` gives it one that training never shows."""
    while True:
        parts = []
        for _ in range(rng.choice((2, 2, 3))):
            onset = rng.choice(list(NAMES["onsets"] if rng.random() < 0.8 else ONSETS))
            parts += [onset, rng.choice(list(VOWELS)), rng.choice(list(CODAS)) if rng.random() < 0.25 else ""]
        if rng.random() < 0.15:
            parts[0] = ""
        if rng.random() < 0.35:
            parts[-2:] = ["a", ""]
        name = "".join(parts).capitalize()
        if is_invented(name) and name not in PEOPLE and name not in CITIES and never_trained(name) == unseen:
            return name


def spell(name: str, code: str) -> str:
    """A person's name, or an invented city's, in the script of a language.

    >>> spell("Leo", "fr"), spell("Leo", "hi"), spell("Kantolo", "zh"), spell("Kantolo", "hi")
    ('Leo', 'लियो', '卡恩托洛', 'कान्तोलो')
    """
    if code not in SCRIPTS or not name.isascii():  # Language.parse reads invented names as they are written
        return name
    if name in PEOPLE:
        return PEOPLE[name][("zh", "ar", "hi").index(code) + 1]
    script, written = SCRIPTS.index(code), ""
    parts = syllables(name)
    for i, (onset, vowel, coda) in enumerate(parts):
        if not onset:
            written += VOWELS[vowel][2 + script]
        elif code == "zh":
            row = ONSETS[onset][2]
            written += (row.split() if " " in row else row)[list(VOWELS).index(vowel)]
        else:
            written += ONSETS[onset][script] + VOWELS[vowel][script]
        if coda:
            written += CODAS[coda][script] + ("्" if code == "hi" and i < len(parts) - 1 else "")
    return written


# ---------------------------------------------------------------------------------------------- people


WOMEN = ("a", "ا", "ा", *(row[2][0] for row in NAMES["onsets"].values()))  # how their invented names end


def gender(person: str) -> str:
    """f or m: known for the people of the list, told by the last letter for invented names.

    >>> gender("Leo"), gender("Xedira")
    ('m', 'f')
    """
    if person in PEOPLE:
        return PEOPLE[person][0]
    return "f" if person.endswith(WOMEN) else "m"


def held_out(person: str, city: str) -> bool:
    """True for one (person, city) pair in ten. They never occur in training: the model cannot know them by heart."""
    place = list(CITIES).index(city) if city in CITIES else zlib.crc32(city.encode())
    return (zlib.crc32(person.encode()) + place) % 10 == 0


@dataclass(frozen=True)
class Pool:
    """Whom and which cities facts are drawn from; as it stands, those of training.

    held: (person, city) pairs are those that training never shows, instead of the others.
    unseen: everybody has an invented name with a syllable that training never shows, and so have the invented cities.
    known: nobody has an invented name, and no city.
    """

    held: bool = False
    unseen: bool = False
    known: bool = False

    def person(self, rng: random.Random, but: tuple[str, ...] = ()) -> str:
        """A person other than those in `but`: every second one of training has an invented name."""
        while True:
            invented = self.unseen or (not self.known and rng.random() < 0.5)
            name = invent(rng, self.unseen) if invented else rng.choice(list(PEOPLE))
            if name not in but:
                return name

    def city(self, person: str, rng: random.Random) -> str:
        """A city for a person: every fourth one is invented."""
        while True:
            invented = not self.known and rng.random() < 0.25
            city = invent(rng, self.unseen) if invented else rng.choice(list(CITIES))
            if held_out(person, city) == self.held and city != person:
                return city


TRAINING = Pool()


# ----------------------------------------------------------------------------------------------- facts


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


def draw_fact(kind: str, person: str, animal: str, rng: random.Random, pool: Pool = TRAINING) -> Fact:
    """A random fact of one kind about a person, whose animal (if it comes up) is this one."""
    special: dict[str, Callable[[], str]] = {
        "person": lambda: person,
        "animal": lambda: animal,
        "friend": lambda: pool.person(rng, but=(person,)),
        "city": lambda: pool.city(person, rng),
        "age": lambda: str(rng.choice(AGES)),
    }
    slots = FACTS[kind]
    return Fact(kind, {slot: special[slot]() if slot in special else rng.choice(choices(kind, slot)) for slot in slots})


def draw_facts(rng: random.Random, people: int, each: int, pool: Pool = TRAINING) -> list[list[Fact]]:
    """`each` facts about each of `people` people, who are told apart by facts of the same kinds."""
    kinds = rng.sample(list(FACTS), each)
    names: list[str] = []
    for _ in range(people):
        names.append(pool.person(rng, but=tuple(names)))
    animals = rng.sample(WORDS["animal"], people)
    return [
        [draw_fact(kind, person, animal, rng, pool) for kind in kinds]
        for person, animal in zip(names, animals, strict=True)
    ]
