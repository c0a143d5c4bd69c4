"""Pairs of stories that differ in one city: what an effect is measured in, with its donor and its two answers.

    pairs = recaps(lab.tokenizer)
    lab.refute(pairs[0].text, edit, texts=pairs[1:])

A story of the tiny world is told and told again, up to the city; its `other` is the same story in another city.
"""

import random
from collections.abc import Iterator

from bloomlab.errors import InputError, did_you_mean
from bloomlab.guards.arguments import whole_within
from bloomlab.lens.cases import Case, Cases, alike
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tiny.facts import CITIES, PEOPLE, WORDS, Fact
from bloomlab.tiny.language import LANGUAGES, Language
from bloomlab.tiny.world import join

FIRST = ("lives", "has")
TRIES = 40  # stories for each that is asked for


def recaps(
    tokenizer: BloomTokenizerFast,
    n: int = 64,
    seed: int = 0,
    language: str = "en",
    first: str = "lives",
    between: str = "\n",
) -> Cases:
    """So many different stories of as many tokens, the same ones for the same seed.

    Args:
        language: "en", or another of the languages that put the city last and words between spaces: fr, es, pt.
        first: what is said first of somebody: where they "lives", or what animal they "has".
        between: what stands before the story is told again: a new line, as the model was trained; or " ", after which
            it is told again in English only.

    Raises:
        InputError: there are no such stories.

    >>> import bloomlab
    >>> recaps(bloomlab.load().tokenizer, 1, seed=2)[0].text                    # doctest: +ELLIPSIS
    '... lives in ... a ....\\nLet us say it again. ... lives in'
    """
    if language not in ("en", "fr", "es", "pt"):
        hint = did_you_mean(str(language), LANGUAGES)
        raise InputError(f"there are pairs in en, fr, es and pt, but not in {language!r}{hint}")
    if first not in FIRST:
        raise InputError(f"a story begins with 'lives' or 'has', but not with {first!r}")
    whole_within("n", n, 1, 1000)
    return alike(tokenizer, _drawn(tokenizer, LANGUAGES[language], first, between, n, seed), n)


def _drawn(
    tokenizer: BloomTokenizerFast, language: Language, first: str, between: str, n: int, seed: int
) -> Iterator[Case]:
    rng = random.Random(f"pairs {language.code} {first} {seed}")
    cities = [city for city in CITIES if len(tokenizer.encode(f" {language.word('city', city)['one']}")) == 1]
    seen = set()
    for _ in range(TRIES * n):
        person, animal = rng.choice(list(PEOPLE)), rng.choice(list(WORDS["animal"]))
        city, other = rng.sample(cities, 2)
        case = Case(
            *(told(language, first, between, person, animal, place) for place in (city, other)),
            *(f" {language.word('city', place)['one']}" for place in (city, other)),
        )
        if case.text not in seen:
            seen.add(case.text)
            yield case


def told(language: Language, first: str, between: str, person: str, animal: str, city: str) -> str:
    """A story of two facts that is told again, up to its city.

    >>> told(LANGUAGES["fr"], "has", " ", "Leo", "cat", "Oslo")
    'Leo a un chat. Il habite à Oslo. Récapitulons. Leo habite à'
    """
    lives = Fact("lives", {"person": person, "city": city})
    has = Fact("has", {"person": person, "animal": animal})
    facts = [lives, has] if first == "lives" else [has, lives]
    said = language.fill(language.sentences[facts[0].kind]["say"][0], facts[0].values)
    story = join(said, language.write("they", facts[1]), language)
    again = language.fill(language.sentences["lives"]["say"][0], lives.values)
    end = again.rindex(language.word("city", city)["one"])
    return join(f"{story}{between}{language.again}", again[:end].rstrip(), language)


def translated(language: Language, other: Language, person: str, city: str) -> str:
    """A sentence and its translation, as the model was trained on them, up to the city of the second.

    >>> translated(LANGUAGES["en"], LANGUAGES["fr"], "Leo", "Oslo")
    'English: Leo lives in Oslo.\\nFrançais : Leo habite à'
    """
    lives = {"person": person, "city": city}
    first, second = (
        f"{each.label} {each.fill(each.sentences['lives']['say'][0], lives)}" for each in (language, other)
    )
    return f"{first}\n{second[: second.rindex(other.word('city', city)['one'])].rstrip()}"
