"""Texts like one: its people, cities, animals and other words of the tiny world in the place of each other.

    like(lab.tokenizer, "Leo lives in Oslo. Leo lives in")[0].text          "Ana lives in Lima. Ana lives in"

What is drawn from such texts says the same kind of thing at the same token, and nothing of this text in particular.
"""

import random
import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from bloomlab.errors import InputError
from bloomlab.guards.arguments import a_seed, whole_text, whole_within
from bloomlab.lens.cases import MOST, Case, Cases
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tiny.facts import CITIES, PEOPLE
from bloomlab.tiny.language import LANGUAGES

TRIES = 10  # texts for each that is asked for
OPENERS = "aeiou"  # what the word before may go by: a cat, an elephant


class Word(NamedTuple):
    """A word of the tiny world as a text writes it. Two of one kind can stand in each other's place.

    Attributes:
        key: which person, city, animal, …
        kind: its slot, its form, its gender or class, and whether it begins with a vowel.
    """

    key: str
    kind: tuple[str, str, str, bool]


def like(
    tokenizer: BloomTokenizerFast,
    text: str,
    n: int = 64,
    seed: int = 0,
    *,
    other: str = "",
    answer: str = "",
    rival: str = "",
) -> Cases:
    """At most `n` other texts of as many tokens, the same ones for the same seed.

    Args:
        text: names somebody or something of the tiny world, in one of its ten languages.
        other, answer, rival: of each `Case`; the same words take the same places there.

    Raises:
        InputError: the text names nothing of the tiny world, or nothing that could be replaced.

    >>> import bloomlab
    >>> tokenizer = bloomlab.load().tokenizer
    >>> case = like(tokenizer, "Leo lives in Oslo. Leo lives in", 1, answer=" Oslo")[0]
    >>> case.text.split()[0] == case.text.split()[4], case.text.split()[3] == case.answer.strip() + "."
    (True, True)
    """
    whole_within("n", n, 1, MOST)
    a_seed(seed)
    parts = [whole_text(part, "text") for part in (text, other, answer, rival)]
    code = _language(text)
    found = _words(code, text)
    if not found:
        raise InputError(
            "the text names nobody and nothing of the tiny world, so there are no texts like it; pass texts=[…] of as "
            "many tokens"
        )
    columns = [len(tokenizer.encode(part)) for part in parts]
    cases: dict[str, Case] = {}
    tried = 0
    for case in _drawn(tokenizer, code, parts, found, n, seed):
        tried += 1
        if [len(tokenizer.encode(part)) for part in case] == columns and _fits(case, text):
            cases.setdefault(case.text, case)
        if len(cases) == n:
            break
    if not cases:
        raise InputError("no other words of the tiny world fit into the text, token for token; pass texts=[…]")
    return Cases(cases.values(), columns[0], tried - len(cases))


def words_of_the_world() -> dict[str, dict[str, Any]]:
    """Every word of each language as it is written, with the number of its kind, as plain data for a page.

    >>> en = words_of_the_world()["en"]
    >>> kinds = dict(en["forms"])
    >>> kinds["Rome"] == kinds["Lima"] != kinds["Leo"], en["gap"]
    (True, ' ')
    """
    found = {}
    for code, language in LANGUAGES.items():
        forms = _forms(code)
        kinds = {kind: number for number, kind in enumerate(dict.fromkeys(word.kind for word in forms.values()))}
        found[code] = {"gap": language.gap, "forms": [[written, kinds[word.kind]] for written, word in forms.items()]}
    return found


def _fits(case: Case, text: str) -> bool:
    """Whether it is another text, and its two tokens are two: the rival may be none of the text's own words."""
    return case.text != text and (not case.answer or case.answer != case.rival)


def _drawn(
    tokenizer: BloomTokenizerFast,
    code: str,
    parts: list[str],
    found: Mapping[str, Word],
    n: int,
    seed: int,
) -> Iterator[Case]:
    gap = LANGUAGES[code].gap
    rng = random.Random(f"like {seed} {parts[0]}")
    own: dict[str, list[str]] = {}
    for written, word in found.items():
        size = len(tokenizer.encode(f"{gap}{written}"))
        others = [form for form, one in _forms(code).items() if one.kind == word.kind]
        own[written] = [form for form in others if len(tokenizer.encode(f"{gap}{form}")) == size]
    for _ in range(TRIES * n):
        chosen: dict[str, str] = {}
        for written, forms in own.items():
            left = [form for form in forms if form not in chosen.values()]
            chosen[written] = rng.choice(left or [written])
        yield Case(*(_replaced(code, part, chosen) for part in parts))


@cache
def _forms(code: str) -> dict[str, Word]:
    """Every word of a language as it is written; what is written like two of them is the first."""
    language = LANGUAGES[code]
    tables: dict[str, Any] = {"person": PEOPLE, "city": CITIES, **language.words}
    found: dict[str, Word] = {}
    for slot, keys in tables.items():
        for key in keys:
            forms = language.word(slot, key)
            for form, written in forms.items():
                if form in ("class", "measure"):
                    continue
                first = unicodedata.normalize("NFD", written)[0].lower() in OPENERS
                word = Word(key, (slot, form, forms.get("class", ""), first))
                found.setdefault(written.replace(" ", language.gap), word)
    return found


@cache
def _pattern(code: str) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(_forms(code), key=len, reverse=True))))


def _matches(code: str, text: str) -> Iterator[re.Match[str]]:
    """Where a text has words of a language; in Chinese nothing stands between two of them."""
    for match in _pattern(code).finditer(text):
        before, after = text[: match.start()][-1:], text[match.end() :][:1]
        if not LANGUAGES[code].gap or not (_joins(before) or _joins(after)):
            yield match


def _joins(letter: str) -> bool:
    """Whether a character goes on with the word beside it."""
    return bool(letter) and unicodedata.category(letter)[0] in "LMN"


def _words(code: str, text: str) -> dict[str, Word]:
    return {match[0]: _forms(code)[match[0]] for match in _matches(code, text)}


def _language(text: str) -> str:
    """The language that most of a text's characters are words of; of those that tie, the first."""
    return max(LANGUAGES, key=lambda code: sum(len(match[0]) for match in _matches(code, text)))


def _replaced(code: str, text: str, chosen: Mapping[str, str]) -> str:
    written, end = [], 0
    for match in _matches(code, text):
        written += [text[end : match.start()], chosen.get(match[0], match[0])]
        end = match.end()
    return "".join([*written, text[end:]])
