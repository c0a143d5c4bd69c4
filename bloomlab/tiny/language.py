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
from functools import cache, lru_cache
from typing import Any, NamedTuple

from bloomlab.tiny.facts import (
    CITIES,
    CODAS,
    ONSETS,
    PEOPLE,
    SCRIPTS,
    VOWELS,
    Fact,
    choices,
    gender,
    is_invented,
    read_toml,
    spell,
)

CODES = ("en", "fr", "es", "pt", "id", "vi", "sw", "zh", "ar", "hi")
SLOT = re.compile(r"\{(?P<slot>\w+)(\.(?P<form>\w+)|~(?P<other>\w+)|\|(?P<choices>[^{}]+))?\}")


class Place(NamedTuple):
    """Where a sentence names something: its first character, the one after its last, and the slot of the fact."""

    start: int
    end: int
    slot: str


@dataclass(frozen=True)
class Language:
    """One language: its sentences for each kind of fact, its words, its spelling rules."""

    code: str
    label: str  # its own name for itself, as it stands before a translation
    again: str  # the sentence that opens a recap
    talk: tuple[str, ...]  # small talk: sentences about nobody
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
            return {"one": CITIES[key].get(self.code, key) if key in CITIES else spell(key, self.code)}
        if slot == "age":
            return {"one": key}
        return self.words[slot][key]

    def fill(self, template: str, values: Mapping[str, str]) -> str:
        """The sentence that a template makes of these values."""

        return self.spell_out(SLOT.sub(lambda mark: self.form_of(mark, values), template))

    def form_of(self, mark: re.Match[str], values: Mapping[str, str]) -> str:
        slot, other, choices = mark["slot"], mark["other"], mark["choices"]
        word = self.word(slot, values[slot])
        if other:
            return word[self.word(other, values[other])["class"]]
        if choices:
            classes = ("m", "f") if slot == "person" else self.classes
            return str(choices).split("|")[classes.index(word["class"])]
        return word[mark["form"] or "one"]

    def places(self, template: str, values: Mapping[str, str]) -> list[Place]:
        """Where the sentence that `fill` makes names the things of its fact, in the order it does.

        >>> LANGUAGES["fr"].places("{animal|Le|La} {animal} de {person}.", {"animal": "elephant", "person": "Ana"})
        [Place(start=2, end=10, slot='animal'), Place(start=13, end=16, slot='person')]
        """
        places = []
        for mark in SLOT.finditer(template):
            if not mark["choices"] and mark["form"] != "measure":
                end = len(self.fill(template[: mark.end()], values))  # the spelling rules change what stands before
                form = self.form_of(mark, values).replace(" ", self.gap)
                places.append(Place(end - len(form), end, mark["slot"]))
        return places

    def spell_out(self, text: str) -> str:
        for pattern, replacement in self.rules:
            text = re.sub(pattern, replacement, text)
        return (text[0].upper() + text[1:]).replace(" ", self.gap)

    def template(self, form: str, fact: Fact, rng: random.Random | None = None) -> str:
        """The template of a form: "say" in one of the ways there are, "they", "ask" or "answer"."""
        templates = self.sentences[fact.kind][form]
        return str(templates if isinstance(templates, str) else (rng or random).choice(templates))

    def say(self, fact: Fact, rng: random.Random) -> str:
        """A full sentence with the person's name, in one of the ways there are."""
        return self.fill(self.template("say", fact, rng), fact.values)

    def write(self, form: str, fact: Fact) -> str:
        """The fact as "they" (about the person just named), "ask" (a question) or "answer" (a short answer)."""
        return self.fill(self.template(form, fact), fact.values)

    # -------------------------------------------------------------------------------- and the way back

    def says(self, sentence: str) -> bool:
        """Whether the grammar could have said a sentence: a fact, small talk, or the start of a recap."""
        return sentence == self.again or sentence in self.talk or self.parse(sentence) is not None

    def parse(self, sentence: str) -> Fact | None:
        """The fact that a sentence states, asks for or answers; None where the grammar never says it like this.

        Every template is tried with every word the sentence may hold. A sentence is grammatical when one of
        them gives back exactly the same text, agreement, elision and capitals included.
        """
        for kind, template in self.templates():
            marks = list(SLOT.finditer(template))
            shown = {mark["slot"] for mark in marks if not mark["choices"]}
            slots = sorted(shown | {mark["other"] or mark["slot"] for mark in marks})
            candidates = [
                self.candidates(kind, slot, sentence) if slot in shown else self.one_of_each(kind, slot)
                for slot in slots
            ]
            for keys in itertools.product(*candidates):
                values = dict(zip(slots, keys, strict=True))
                if self.fill(template, values) == sentence:
                    return Fact(kind, values)
        return None

    def templates(self) -> Iterator[tuple[str, str]]:
        """Every (kind, template) of this language."""
        for kind, forms in self.sentences.items():
            for template in [*forms["say"], forms["they"], forms["ask"], forms["answer"]]:
                yield kind, template

    def candidates(self, kind: str, slot: str, sentence: str) -> list[str]:
        """The words of a slot that some part of the sentence could stand for."""
        if slot == "age":
            return re.findall(r"[1-9][0-9]", sentence)
        if slot in ("person", "friend"):
            people = [person for person in PEOPLE if spell(person, self.code) in sentence]
            return people + invented_in(sentence, self.code)
        lower = sentence.lower()
        keys = CITIES if slot == "city" else choices(kind, slot)
        matches = [key for key in keys if any(form.lower() in lower for form in self.word(slot, key).values())]
        return matches + invented_in(sentence, self.code) if slot == "city" else matches

    def one_of_each(self, kind: str, slot: str) -> list[str]:
        """One word of every class, for a slot that is only agreed with: the "She" of "She is a cook" is any woman."""
        keys = PEOPLE if slot == "person" else choices(kind, slot)
        return list({self.word(slot, key)["class"]: key for key in keys}.values())


@cache
def name_letters(code: str) -> re.Pattern[str]:
    """Words that could be invented names: any of the letters that names are written with in a script."""
    if code not in SCRIPTS:
        return re.compile("[A-Z][a-z]+")
    script = SCRIPTS.index(code)
    tables = [*ONSETS.values(), *CODAS.values()], [*VOWELS.values()]
    letters = {letter for row in tables[0] for letter in row[script]} | {row[2 + script] for row in tables[1]}
    vowels = {row[script] for row in tables[1]} if code != "zh" else set()
    return re.compile(f"[{''.join(sorted({*''.join({*letters, *vowels}), '्'} - {' '}))}]+")


@lru_cache(maxsize=64)  # parse asks once for every template
def invented_in(sentence: str, code: str) -> list[str]:
    """Every word of a sentence that could be an invented name, as it is written.

    >>> invented_in("Kantolo kennt d'Ulora.", "fr"), invented_in("里奥认识卡米洛。", "zh")
    (['Kantolo', 'Ulora'], ['卡米', '卡米洛', '米洛'])
    """
    runs = name_letters(code).findall(sentence)
    if code == "zh":  # nothing marks where a name begins and ends
        runs = [run[i:j] for run in runs for i, j in itertools.combinations(range(len(run) + 1), 2) if j > i + 1]
    people = {spell(person, code) for person in PEOPLE}
    return [run for run in dict.fromkeys(runs) if run not in people and (code in SCRIPTS or is_invented(run))]


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
        talk=tuple(sentence.replace(" ", gap) for sentence in data.pop("talk")),
        classes=tuple(data.pop("classes", ("m", "f"))),
        rules=tuple((pattern, replacement) for pattern, replacement in data.pop("rules", ())),
        gap=gap,
        words=words,
        sentences=data,  # what is left: one table for each kind of fact
    )


LANGUAGES: dict[str, Language] = {code: read_language(code) for code in CODES}
