"""How ten languages say a fact, and how a sentence is read back.

`languages/*.toml` hold the sentence templates and the words. Four marks in a template do all the grammar:

    {city}               the word itself
    {food.many}          another form of the word
    {colour~animal}      the form that agrees with another word: its gender, or its noun class in Swahili
    {person|Il|Elle}     a choice by that word's gender or class

Then come the spelling rules between words (French "de Ana" is written "d'Ana") and a capital at the start.
"""

import itertools
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bloomlab.tiny.world import CITIES, PEOPLE, SYLLABLES, Fact, choices, gender, read_toml, spell

CODES = ("en", "fr", "es", "pt", "id", "vi", "sw", "zh", "ar", "hi")
SLOT = re.compile(r"\{(?P<slot>\w+)(\.(?P<form>\w+)|~(?P<other>\w+)|\|(?P<choices>[^{}]+))?\}")


@dataclass(frozen=True)
class Language:
    """One language: its sentences for each kind of fact, its words, its spelling rules."""

    code: str
    label: str  # its own name for itself, as it stands before a translation
    again: str  # the sentence that opens a recap
    sentences: Mapping[str, Mapping[str, Any]]  # kind -> say (a list), they, ask, answer
    words: Mapping[str, Mapping[str, Mapping[str, str]]]  # slot -> key -> form -> text
    classes: tuple[str, ...]  # what choices go by, in their order
    rules: tuple[tuple[str, str], ...]  # pattern, replacement
    gap: str  # what stands between words and between sentences: a space, or nothing in Chinese

    def word(self, slot: str, key: str) -> Mapping[str, str]:
        """The forms of a word: "one" is the plain form, "class" what other words agree with."""
        if slot in ("person", "friend"):
            return {"one": spell(key, self.code), "class": gender(key)}
        if slot == "city":
            return {"one": CITIES[key].get(self.code, key)}
        if slot == "age":
            return {"one": key}
        return self.words[slot][key]

    def fill(self, template: str, values: Mapping[str, str]) -> str:
        """The sentence that a template makes of these values."""

        def form_of(mark: re.Match[str]) -> str:
            slot, other, choices = mark["slot"], mark["other"], mark["choices"]
            word = self.word(slot, values[slot])
            if other:
                return word[self.word(other, values[other])["class"]]
            if choices:
                classes = ("m", "f") if slot == "person" else self.classes
                return str(choices).split("|")[classes.index(word["class"])]
            return word[mark["form"] or "one"]

        return self.spell_out(SLOT.sub(form_of, template))

    def spell_out(self, text: str) -> str:
        for pattern, replacement in self.rules:
            text = re.sub(pattern, replacement, text)
        return (text[0].upper() + text[1:]).replace(" ", self.gap)

    def say(self, fact: Fact, rng: random.Random) -> str:
        """A full sentence with the person's name, in one of the ways there are."""
        return self.fill(rng.choice(self.sentences[fact.kind]["say"]), fact.values)

    def write(self, form: str, fact: Fact) -> str:
        """The fact as "they" (about the person just named), "ask" (a question) or "answer" (a short answer)."""
        return self.fill(self.sentences[fact.kind][form], fact.values)

    # -------------------------------------------------------------------------------- and the way back

    def parse(self, sentence: str) -> Fact | None:
        """The fact that a sentence states, asks for or answers; None where the grammar never says it like this.

        Every template is tried with every word the sentence may hold. A sentence is grammatical when one of
        them gives back exactly the same text, agreement, elision and capitals included.
        """
        for kind, template in self.templates():
            marks = list(SLOT.finditer(template))
            shown = {mark["slot"] for mark in marks if not mark["choices"]}
            slots = sorted(shown | {mark["other"] or mark["slot"] for mark in marks})
            found = [
                self.found(kind, slot, sentence) if slot in shown else self.one_of_each(kind, slot) for slot in slots
            ]
            for keys in itertools.product(*found):
                values = dict(zip(slots, keys, strict=True))
                if self.fill(template, values) == sentence:
                    return Fact(kind, values)
        return None

    def templates(self) -> Iterator[tuple[str, str]]:
        """Every (kind, template) of this language."""
        for kind, forms in self.sentences.items():
            for template in [*forms["say"], forms["they"], forms["ask"], forms["answer"]]:
                yield kind, template

    def found(self, kind: str, slot: str, sentence: str) -> list[str]:
        """The words of a slot that some part of the sentence could stand for."""
        if slot == "age":
            return re.findall(r"[1-9][0-9]", sentence)
        if slot in ("person", "friend"):
            return people_in(sentence, self.code)
        lower = sentence.lower()
        keys = CITIES if slot == "city" else choices(kind, slot)
        return [key for key in keys if any(form.lower() in lower for form in self.word(slot, key).values())]

    def one_of_each(self, kind: str, slot: str) -> list[str]:
        """One word of every class, for a slot that is only agreed with: the "She" of "She is a cook" is any woman."""
        keys = PEOPLE if slot == "person" else choices(kind, slot)
        return list({self.word(slot, key)["class"]: key for key in keys}.values())


@lru_cache(maxsize=64)  # parse asks once for every template
def people_in(sentence: str, code: str) -> list[str]:
    """Everybody a sentence may name: people of the list, and every run of two or three syllables.

    >>> people_in("里奥认识卡米洛。", "zh")
    ['Leo', 'Kami', 'Kamilo', 'Milo']
    """
    people = [person for person in PEOPLE if spell(person, code) in sentence]
    spelled = {spell(syllable.capitalize(), code).lower(): syllable for syllable in SYLLABLES}
    text = sentence.lower()
    for start, size in itertools.product(range(len(text)), (2, 3)):
        name, here = "", start
        for _ in range(size):
            piece = next((piece for piece in spelled if text.startswith(piece, here)), None)
            if piece is None:
                break
            name, here = name + spelled[piece], here + len(piece)
        else:
            people.append(name.capitalize())
    return people


def read_language(code: str) -> Language:
    """Read `languages/CODE.toml`."""
    data = read_toml(code)
    words = {
        slot: {key: {"one": word} if isinstance(word, str) else word for key, word in table.items()}
        for slot, table in data.pop("words").items()
    }
    gap = " " if data.pop("spaces", True) else ""
    return Language(
        code=code,
        label=data.pop("label"),
        again=data.pop("again").replace(" ", gap),
        classes=tuple(data.pop("classes", ("m", "f"))),
        rules=tuple((pattern, replacement) for pattern, replacement in data.pop("rules", ())),
        gap=gap,
        words=words,
        sentences=data,  # what is left: one table for each kind of fact
    )


LANGUAGES: dict[str, Language] = {code: read_language(code) for code in CODES}
