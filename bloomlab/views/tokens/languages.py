"""The same text in ten languages, where the embedded world's grammar knows what the text says."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from bloomlab.tiny.language import LANGUAGES, Language

SENTENCE = re.compile(r"[^.!?。！？।؟]+[.!?。！？।؟]\s*")
FORMS = ("say", "they", "ask", "answer")


class Said(NamedTuple):
    """A fact and the form in which it is said, by name or by pronoun, as a question or an answer."""

    form: str
    kind: str
    values: Mapping[str, str]


FIRST = Said("say", "lives", {"person": "Leo", "city": "Oslo"})


def texts_to_compare(text: str, chosen: Mapping[str, str] | None) -> tuple[dict[str, str], str]:
    """What the comparison reads, by name, and a word about it where it does not say what the text says."""
    if chosen is not None:
        texts, note = dict(chosen), ""
    elif by_code := translations(text):
        texts, note = {own_name(code): translated for code, translated in by_code.items()}, ""
    else:
        texts = {own_name(code): translated for code, translated in first_sentences().items()}
        note = (
            "The embedded world's grammar does not know this text, so the other rows say that Leo lives in Oslo. "
            "lab.tokens(text, translations={name: text, …}) compares your own."
        )
    return (texts if text in texts.values() else {"this text": text, **texts}), note


def translations(text: str) -> dict[str, str]:
    """What the text says in each language, by its code; empty where the grammar does not know it all.

    In the text's own language it stays as it is.

    >>> texts = translations("Leo has a cat. He lives in Oslo.")
    >>> texts["en"], texts["fr"], texts["zh"]
    ('Leo has a cat. He lives in Oslo.', 'Leo a un chat. Il habite à Oslo.', '里奥有一只猫。他住在奥斯陆。')
    >>> translations("No model is an island.")
    {}
    """
    sentences = [match[0] for match in SENTENCE.finditer(text)]
    if not sentences or "".join(sentences) != text:
        return {}
    for code, language in LANGUAGES.items():
        facts: list[Said] = []
        for sentence in sentences:
            person = facts[-1].values["person"] if facts else None
            fact = _read(sentence.strip(), language, person)
            if fact is None:
                break
            facts.append(fact)
        else:
            try:
                return {**{name: _tell(facts, other) for name, other in LANGUAGES.items()}, code: text}
            except KeyError:  # a question leaves out what another language's agreement asks for
                return {}
    return {}


def first_sentences() -> dict[str, str]:
    """A fact that every language can say, for a text that the grammar does not know."""
    return {code: _tell([FIRST], language) for code, language in LANGUAGES.items()}


def own_name(code: str) -> str:
    """What a language calls itself.

    >>> own_name("fr"), own_name("zh")
    ('Français', '中文')
    """
    return LANGUAGES[code].label.rstrip(" :：")


def _read(sentence: str, language: Language, person: str | None) -> Said | None:
    """What a sentence states, and in which form; a pronoun stands for the person of the sentence before."""
    fact = language.parse(sentence)
    if fact is None:
        return None
    for form in FORMS:
        values = {**fact.values, "person": person} if form == "they" and person else fact.values
        for template in _templates(language, fact.kind, form):
            try:
                if language.fill(template, values) == sentence:
                    return Said(form, fact.kind, values)
            except KeyError:  # this form names more than the sentence did
                continue
    return None


def _tell(facts: list[Said], language: Language) -> str:
    return language.gap.join(language.fill(_templates(language, kind, form)[0], values) for form, kind, values in facts)


def _templates(language: Language, kind: str, form: str) -> list[str]:
    forms = language.sentences[kind][form]
    return list(forms) if form == "say" else [forms]
