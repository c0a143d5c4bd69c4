"""The tiny world, told: short stories in ten languages, with every label that anyone could ask for.

    >>> told = story(language="fr", seed=4)
    >>> print(told.text)
    Le cheval de Gajo est jaune. Gajo habite à Dakar. Il a 58 ans. Il est médecin.
    >>> told.questions[1]
    Question(question='Où habite Gajo ?', answer='Dakar', span=Span(start=43, end=48, tag='CITY'))

The world knows what it said, so where a story names whom, and what can be asked about it, comes for free.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from bloomlab.errors import InputError, did_you_mean
from bloomlab.tiny.facts import TRAINING, Fact, Pool, draw_facts
from bloomlab.tiny.language import LANGUAGES, SLOT, Language, Place

TAGS = ("O", "PERSON", "CITY", "ANIMAL", "FOOD", "JOB", "COLOUR", "NUMBER")
TAG_OF_SLOT = {"friend": "PERSON", "age": "NUMBER"}  # any other slot names its tag itself


class Span(NamedTuple):
    """A stretch of characters (`end` excluded) and what it names: one of TAGS, never "O"."""

    start: int
    end: int
    tag: str


class Question(NamedTuple):
    """A question about a story, the words of the story that answer it, and where they stand."""

    question: str
    answer: str
    span: Span


class Sentence(NamedTuple):
    """A sentence of a story: where it begins, the fact it states and the template it was made with."""

    start: int
    fact: Fact
    template: str


@dataclass(frozen=True)
class Story:
    """A few sentences about one to four people; nothing in it is true of the real world.

    Attributes:
        text: the story.
        language: the code of its language.
        sentences: what it says, fact by fact; small talk is left out.
    """

    text: str
    language: str
    sentences: tuple[Sentence, ...] = field(repr=False)

    @property
    def facts(self) -> list[Fact]:
        """What the story says, in its order."""
        return [sentence.fact for sentence in self.sentences]

    @property
    def spans(self) -> list[Span]:
        """Everything the story names, in its order. Pronouns are no names."""
        return [span_of(place) for sentence in self.sentences for place in self._places(sentence)]

    @property
    def questions(self) -> list[Question]:
        """One question for each fact: only somebody who knows who is who can answer it."""
        return [self.ask(sentence) for sentence in self.sentences]

    def ask(self, sentence: Sentence) -> Question:
        """The question about one sentence."""
        language, fact = LANGUAGES[self.language], sentence.fact
        slot = next(mark["slot"] for mark in SLOT.finditer(language.template("answer", fact)) if not mark["choices"])
        place = next(place for place in self._places(sentence) if place.slot == slot)
        return Question(language.write("ask", fact), self.text[place.start : place.end], span_of(place))

    def _places(self, sentence: Sentence) -> list[Place]:
        start, fact, template = sentence
        places = LANGUAGES[self.language].places(template, fact.values)
        return sorted(place._replace(start=start + place.start, end=start + place.end) for place in places)


def span_of(place: Place) -> Span:
    """What stands in a place of a sentence, as a label."""
    return Span(place.start, place.end, TAG_OF_SLOT.get(place.slot, place.slot.upper()))


def story(language: str = "en", seed: int = 0, people: int | None = None) -> Story:
    """A story in one of the ten languages, the same one for the same seed.

    Args:
        language: "en", "fr", "es", "pt", "id", "vi", "sw", "zh", "ar" or "hi".
        people: how many it is about, one to four; drawn if not said.

    Raises:
        InputError: there is no such language, or nobody, or a crowd.

    >>> print(story("en", seed=7, people=1).text)
    Yejagla works as a doctor. Yejagla buys four loaves of bread. Her duck is blue. Yejagla knows Uta.
    """
    if language not in LANGUAGES:
        hint = did_you_mean(str(language), LANGUAGES)
        raise InputError(f"the tiny world has no language {language!r}{hint}; it has {', '.join(LANGUAGES)}")
    if people is not None and people not in range(1, 5):
        raise InputError(f"expected one to four people, but got {people!r}")
    rng = random.Random(f"story {language} {seed}")
    return draw_story(rng, LANGUAGES[language], people or rng.choice((1, 2, 2, 3)))


def draw_story(rng: random.Random, language: Language, people: int, pool: Pool = TRAINING) -> Story:
    """A story of so many people."""
    each = rng.choice(((2, 3, 4), (1, 2, 3), (1, 2), (1, 2))[people - 1])
    return tell(shuffled(draw_facts(rng, people, each, pool), rng), language, rng, talk=0.1)


def shuffled(facts: list[list[Fact]], rng: random.Random) -> list[Fact]:
    """The facts of several people in one list: person by person, or (every second time) all mixed up."""
    flat = [fact for each in facts for fact in each]
    if rng.random() < 0.5:
        rng.shuffle(flat)
    return flat


def tell(facts: Iterable[Fact], language: Language, rng: random.Random, talk: float = 0.0) -> Story:
    """Say the facts one after the other: by name or, right after the same person, often by pronoun.

    `talk` is the chance of small talk before a sentence; after it the name is said again.
    """
    text, sentences, last = "", [], ""
    for fact in facts:
        if rng.random() < talk:
            text, last = join(text, rng.choice(language.talk), language), ""
        person = fact.values["person"]
        template = language.template("they" if person == last and rng.random() < 0.6 else "say", fact, rng)
        sentence = language.fill(template, fact.values)
        text = join(text, sentence, language)
        sentences.append(Sentence(len(text) - len(sentence), fact, template))
        last = "" if fact.kind == "colour" else person  # "his cat is black; he" might be the cat
    return Story(text, language.code, tuple(sentences))


def join(text: str, sentence: str, language: Language) -> str:
    """A text with one sentence more."""
    return text + language.gap + sentence if text else sentence
