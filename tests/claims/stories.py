"""The stories that claims are measured with. Names, cities and animals are one token each, so that places line up."""

import random
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from bloomlab import Lab
from bloomlab.tiny.facts import CITIES, PEOPLE, WORDS, gender


class Recap(NamedTuple):
    """A story that is told again, up to the city that comes next; and another city, to tell the same story with.

    Its tokens: 0 name, 3 city, 5 He or She, 6 has, 7 a, 8 animal, 16 the full stop after "again", 19 the last "in".

    >>> Recap("Leo", "Oslo", "Lima", "cat").text
    'Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in'
    """

    name: str
    city: str
    other: str
    animal: str

    @property
    def text(self) -> str:
        return self.with_city(self.city)

    @property
    def other_text(self) -> str:
        return self.with_city(self.other)

    def with_city(self, city: str) -> str:
        pronoun = {"m": "He", "f": "She"}[gender(self.name)]
        story = f"{self.name} lives in {city}. {pronoun} has a {self.animal}."
        return f"{story} Let us say it again. {self.name} lives in"


def recaps(lab: Lab, count: int, seed: int = 0, names: list[str] | None = None) -> list[Recap]:
    """So many different stories, the same ones for the same seed."""
    rng = random.Random(seed)
    names, cities = names or one_token(lab, PEOPLE, ""), one_token(lab, CITIES)
    animals = [animal for animal in one_token(lab, WORDS["animal"]) if animal[0] not in "aeiou"]
    drawn = [(rng.choice(names), rng.sample(cities, 2), rng.choice(animals)) for _ in range(count)]
    return [Recap(name, city, other, animal) for name, (city, other), animal in drawn]


def one_token(lab: Lab, words: Iterable[str], before: str = " ") -> list[str]:
    """Those of some words that are a single token, behind a space unless `before` says otherwise."""
    return [word for word in words if len(lab.tokens(before + word)) == 1]


def ids_of(lab: Lab, words: list[str], before: str = " ") -> Tensor:
    """The token of each word, behind a space unless `before` says otherwise."""
    return torch.tensor([lab.tokens(before + word)[0].id for word in words])


def chances(logits: Tensor, ids: Tensor) -> list[float]:
    """How likely each row (batch, pos, vocab) finds its own token after its last one."""
    probs = logits[:, -1].softmax(-1)
    return [float(row[token]) for row, token in zip(probs, ids, strict=True)]
