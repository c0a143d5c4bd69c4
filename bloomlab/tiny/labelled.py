"""Examples with answers, for the task heads: the world knows what it said, so the labels come for free.

    language    a story, and which of the ten languages it is in
    tags        a story, and for each token what it names: a person, a city, an animal, …
    answer      a question and a story, and the first and the last token of the answer

Each function draws one example; `batch` draws several and pads them into tensors that a head takes as they are.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bloomlab.tiny.documents import draw_facts
from bloomlab.tiny.language import LANGUAGES, SLOT, Language
from bloomlab.tiny.world import Fact
from bloomlab.tokenizer import BloomTokenizerFast

TAGS = ("O", "PERSON", "CITY", "ANIMAL", "FOOD", "JOB", "COLOUR", "NUMBER")
TAG_OF_SLOT = {"friend": "PERSON", "age": "NUMBER"}  # any other slot names its tag itself
TASKS = {"language": len(LANGUAGES), "tags": len(TAGS), "answer": 2}
"""The three tasks, and how many labels each tells apart."""


class Span(NamedTuple):
    """A stretch of characters and the slot of the fact that it names (end excluded)."""

    start: int
    end: int
    slot: str


def spans(sentence: str, fact: Fact, language: Language) -> list[Span]:
    """Where a sentence names the things of its fact.

    >>> spans("Leo has a cat.", Fact("has", {"person": "Leo", "animal": "cat"}), LANGUAGES["en"])
    [Span(start=0, end=3, slot='person'), Span(start=10, end=13, slot='animal')]
    """
    found = []
    for slot, key in fact.values.items():
        forms = [form for name, form in language.word(slot, key).items() if name != "class"]
        forms = [form.replace(" ", language.gap) for form in forms]
        # a form may hold another ("apple", "apples"), and the first word of a sentence has a capital
        for form in sorted(forms, key=len, reverse=True):
            start = sentence.lower().find(form.lower())
            if start >= 0:
                found.append(Span(start, start + len(form), slot))
                break
    return sorted(found)


class Story(NamedTuple):
    """A story and where it names what; for each sentence its fact and its spans, counted in the whole text."""

    language: Language
    text: str
    facts: list[Fact]
    spans: list[list[Span]]


def draw_story(rng: random.Random, held: bool = False, people: int | None = None) -> Story:
    """A story of one or two people in one of the ten languages; `held` as for `documents`."""
    language = rng.choice(list(LANGUAGES.values()))
    people = rng.choice((1, 2)) if people is None else people
    facts = draw_facts(rng, held, people, each=rng.choice((2, 3) if people == 1 else (1, 2)))
    text, places, last = "", [], ""
    for fact in facts:
        person = fact.values["person"]
        sentence = language.write("they", fact) if person == last else language.say(fact, rng)
        start = len(text) + (len(language.gap) if text else 0)
        text = f"{text}{language.gap}{sentence}" if text else sentence
        places.append([Span(start + a, start + b, slot) for a, b, slot in spans(sentence, fact, language)])
        last = person
    return Story(language, text, facts, places)


def draw_question(rng: random.Random, held: bool = False) -> tuple[str, Span]:
    """A question, a story of one person that answers it, and where the answer stands.

    The question comes first: a causal model must know what is asked before it reads. One person, because a model this
    small hardly tells two apart (its card has the figure).
    """
    while True:
        story = draw_story(rng, held, people=1)
        i = rng.randrange(len(story.facts))
        fact = story.facts[i]
        answer = next(mark["slot"] for mark in SLOT.finditer(story.language.sentences[fact.kind]["answer"]))
        found = [span for span in story.spans[i] if span.slot == answer]
        if found:
            question = story.language.write("ask", fact) + "\n"
            start, end, slot = found[0]
            return question + story.text, Span(len(question) + start, len(question) + end, slot)


def batch(task: str, seed: str, rows: int, tokenizer: BloomTokenizerFast, held: bool = False) -> dict[str, Tensor]:
    """So many examples of a task, the same for the same seed, as the keyword arguments of its head.

    input_ids and attention_mask (row, pos), padded on the right; labels (row), labels (row, pos), or start_positions
    and end_positions (row).
    """
    rng = random.Random(seed)
    texts, answers = [], []
    for _ in range(rows):
        if task == "answer":
            text, span = draw_question(rng, held)
            texts.append(text)
            answers.append([span])
        else:
            story = draw_story(rng, held)
            texts.append(story.text)
            answers.append([span for sentence in story.spans for span in sentence])
            if task == "language":
                answers[-1] = [Span(0, list(LANGUAGES).index(story.language.code), "language")]
    encoded = tokenizer(texts, padding=True, padding_side="right", return_offsets_mapping=True, return_tensors="pt")
    inputs = {name: encoded[name] for name in ("input_ids", "attention_mask")}
    offsets = encoded["offset_mapping"].tolist()
    if task == "language":
        return {**inputs, "labels": torch.tensor([answer[0].end for answer in answers])}
    if task == "answer":
        ends = torch.tensor([_columns(answer[0], row) for answer, row in zip(answers, offsets, strict=True)])
        return {**inputs, "start_positions": ends[:, 0], "end_positions": ends[:, 1]}
    labels = torch.zeros_like(inputs["input_ids"])
    for i, row in enumerate(answers):
        for span in row:
            first, last = _columns(span, offsets[i])
            labels[i, first : last + 1] = TAGS.index(TAG_OF_SLOT.get(span.slot, span.slot.upper()))
    return {**inputs, "labels": labels.masked_fill(inputs["attention_mask"] == 0, -100)}


def _columns(span: Span, offsets: Sequence[Sequence[int]]) -> tuple[int, int]:
    """The first and the last token that share a character with the span."""
    inside = [i for i, (start, end) in enumerate(offsets) if start < span.end and span.start < end]
    return inside[0], inside[-1]
