"""Examples with answers, for the task heads: the world knows what it said, so the labels come for free.

    language    a text, and which of the ten languages it is in, if it is in one
    tags        a text, and for each token what it names: a person, a city, an animal, …, or nothing
    answer      a question and a story, and the first and the last token of the answer

Each function draws one example; `batch` draws several and pads them into tensors that a head takes as they are.
"""

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tiny.documents import python, sums
from bloomlab.tiny.facts import TRAINING, Pool
from bloomlab.tiny.language import LANGUAGES
from bloomlab.tiny.world import TAGS, Span, Story, draw_story, span_of

LABELS: dict[str, tuple[str, ...]] = {"language": (*LANGUAGES, "other"), "tags": TAGS, "answer": ("start", "end")}
"""The three tasks, and the labels each tells apart."""
TASKS = {task: len(labels) for task, labels in LABELS.items()}
PEOPLE = (1, 2, 3)  # in a story

ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyz",
    "äöüßåøæœčšžłńśźżęąőűğışěřůțăâî",
    "абвгдежзиклмнопрстуфхцчшщыьэюя",
    "αβγδεζηθικλμνξοπρστυφχψω",
    "אבגדהוזחטיכלמנסעפצקרשת",
    "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをん",
    "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン",
    "가나다라마바사아자차카타파하고노도로모보소오조초코토포호구누두루무부수우주추",
    "กขคงจชซดตถทธนบปพฟมยรลวสหอะาิีึุู",
    "0123456789+-*/=()[]{}<>#%&@$!?;:_",
)
"""Letters of no language of the world, except for the first: those are what English is written with."""


def draw_other(rng: random.Random) -> str:
    """A text in none of the ten languages: Python, sums, or made-up words, in an alphabet of theirs or another.

    >>> draw_other(random.Random(9))
    'Væhed šfił e ż.'
    """
    kind = rng.random()
    if kind < 0.15:
        return python(rng)
    if kind < 0.25:
        return sums(rng)
    if kind < 0.30:
        return " ".join(chr(rng.choice((rng.randrange(33, 0x2000), rng.randrange(0x1F300, 0x1FAFF)))) for _ in range(8))
    alphabet = rng.choice(ALPHABETS[:2] if kind < 0.55 else ALPHABETS[1:])
    if alphabet == ALPHABETS[1]:
        alphabet = ALPHABETS[0] + alphabet
    letters = rng.sample(alphabet, max(8, len(alphabet) // 2))  # each text has its own favourites
    words = ["".join(rng.choices(letters, k=rng.randint(1, 9))) for _ in range(rng.randint(1, 20))]
    if rng.random() < 0.7:
        words = [rng.choice(words) if rng.random() < 0.3 else word for word in words]
    text = ("" if alphabet[0] in "あア" else " ").join(words)
    return (text.capitalize() if rng.random() < 0.5 else text) + rng.choice(
        ("", ".", "?", "!", "。" if alphabet[0] in "あア" else ".")
    )


def draw_labelled(rng: random.Random, pool: Pool = TRAINING, people: Sequence[int] = PEOPLE) -> Story:
    """A story of one to three people in one of the ten languages."""
    return draw_story(rng, rng.choice(list(LANGUAGES.values())), rng.choice(people), pool)


def draw_language(rng: random.Random, pool: Pool = TRAINING) -> tuple[str, str]:
    """A text and the label of its language: a story, one sentence of it, a question, or a text of "other" kind."""
    if rng.random() < 1 / 6:
        return draw_other(rng), "other"
    story = draw_labelled(rng, pool)
    sentence = rng.choice(story.sentences)
    short = LANGUAGES[story.language].fill(sentence.template, sentence.fact.values)
    return rng.choice((story.text, story.text, short, story.ask(sentence).question)), story.language


def draw_tagged(rng: random.Random, pool: Pool = TRAINING) -> tuple[str, list[Span]]:
    """A text and all it names: a story, every second time with a question before or behind it.

    One text in ten is of "other" kind and names nothing: a word that is unknown need not be a city.
    """
    if rng.random() < 1 / 10:
        return draw_other(rng), []
    story = draw_labelled(rng, pool)
    layout = rng.random()
    if layout < 1 / 2:
        return story.text, story.spans
    language, fact = LANGUAGES[story.language], rng.choice(story.facts)
    template, gap = language.template("ask", fact), rng.choice(("\n", language.gap))
    question = language.fill(template, fact.values)
    names = [span_of(place) for place in sorted(language.places(template, fact.values))]
    if layout < 3 / 4:
        return question + gap + story.text, [*names, *_moved(story.spans, len(question + gap))]
    return story.text + gap + question, [*story.spans, *_moved(names, len(story.text + gap))]


def _moved(spans: list[Span], by: int) -> list[Span]:
    return [Span(start + by, end + by, tag) for start, end, tag in spans]


def draw_question(rng: random.Random, pool: Pool = TRAINING, people: Sequence[int] = PEOPLE) -> tuple[str, Span]:
    """A question, a story of one to three people that answers it, and where the answer stands.

    The question comes first: a causal model must know what is asked before it reads.
    """
    story = draw_labelled(rng, pool, people)
    question, _, (start, end, tag) = rng.choice(story.questions)
    before = len(question) + 1
    return f"{question}\n{story.text}", Span(before + start, before + end, tag)


def batch(
    task: str,
    seed: str,
    rows: int,
    tokenizer: BloomTokenizerFast,
    held: bool = False,
    unseen: bool = False,
    people: Sequence[int] = PEOPLE,
) -> dict[str, Tensor]:
    """So many examples of a task, the same for the same seed, as the keyword arguments of its head.

    input_ids and attention_mask (row, pos), padded on the right; labels (row), labels (row, pos), or start_positions
    and end_positions (row). `held` and `unseen` draw what training never shows: see `facts.Pool`. Questions are asked
    about stories of so many `people`: with one, what kind of thing is asked for says enough.
    """
    rng, pool = random.Random(seed), Pool(held, unseen)
    if task == "language":
        pairs = [draw_language(rng, pool) for _ in range(rows)]
        inputs, _ = _encode([text for text, _ in pairs], tokenizer)
        return {**inputs, "labels": torch.tensor([LABELS[task].index(label) for _, label in pairs])}
    if task == "answer":
        asked = [draw_question(rng, pool, people) for _ in range(rows)]
        inputs, offsets = _encode([text for text, _ in asked], tokenizer)
        ends = torch.tensor([columns(span, row) for (_, span), row in zip(asked, offsets, strict=True)])
        return {**inputs, "start_positions": ends[:, 0], "end_positions": ends[:, 1]}
    tagged = [draw_tagged(rng, pool) for _ in range(rows)]
    inputs, offsets = _encode([text for text, _ in tagged], tokenizer)
    labels = torch.zeros_like(inputs["input_ids"])
    for row, (_, spans) in enumerate(tagged):
        for span in spans:
            first, last = columns(span, offsets[row])
            labels[row, first : last + 1] = TAGS.index(span.tag)
    return {**inputs, "labels": labels.masked_fill(inputs["attention_mask"] == 0, -100)}


def _encode(texts: list[str], tokenizer: BloomTokenizerFast) -> tuple[dict[str, Tensor], list[list[list[int]]]]:
    """The ids and the mask, and which characters each token stands for."""
    encoded = tokenizer(texts, padding=True, padding_side="right", return_offsets_mapping=True, return_tensors="pt")
    return {name: encoded[name] for name in ("input_ids", "attention_mask")}, encoded["offset_mapping"].tolist()


def columns(span: Span, offsets: Sequence[Sequence[int]]) -> tuple[int, int]:
    """The first and the last token that share a character with the span."""
    inside = [i for i, (start, end) in enumerate(offsets) if start < span.end and span.start < end]
    return inside[0], inside[-1]
