"""What the embedded model can do, in numbers: the same measurements during training and on the shipped files.

Every function takes a model, looks, and gives back numbers; none changes anything.
"""

import dataclasses
import itertools
import math
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bloomlab.errors import CheckpointError
from bloomlab.guards.files import read_json
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import Hooks
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tiny.documents import SHORT, documents, filler
from bloomlab.tiny.facts import FACTS, WORDS, Pool, draw_fact, draw_facts
from bloomlab.tiny.language import LANGUAGES, Language
from bloomlab.tiny.world import join, shuffled, tell

FIRST_ID = 4  # after <unk>, <s>, </s>, <pad>


# ------------------------------------------------------------------------------------------------ text


def pack(texts: Iterator[str], tokenizer: BloomTokenizerFast, length: int, rows: int) -> Tensor:
    """Rows of whole documents one after the other, </s> behind each, the last one cut -> (rows, length) ids."""
    packed = []
    for _ in range(rows):
        ids: list[int] = []
        while len(ids) < length:
            ids += [*tokenizer.encode(next(texts)), tokenizer.eos_token_id or 0]
        packed.append(ids[:length])
    return torch.tensor(packed)


def validation_rows(
    tokenizer: BloomTokenizerFast,
    length: int = 128,
    rows: int = 96,
    languages: Mapping[str, Language] = LANGUAGES,
    kinds: Mapping[str, float] = SHORT,
) -> Tensor:
    """Short documents that training never drew; every (person, city) pair in them is held out.

    Invented names are left out: nobody can foresee one, so they would measure the world, not the model.
    """
    read = documents("validation", Pool(held=True, known=True), languages, kinds)
    return pack((document.text for document in read), tokenizer, length, rows)


@torch.no_grad()
def loss(model: BloomForCausalLM, ids: Tensor) -> float:
    """Mean surprise at the next token, in nats: exp of it is how many tokens the model hesitates between."""
    losses = [float(model(batch, labels=batch).loss) for batch in ids.to(model.device).split(16)]
    return sum(losses) / len(losses)


def loss_by_length(model: BloomForCausalLM, ids: Tensor, lengths: tuple[int, ...]) -> dict[int, float]:
    """The loss on the same long rows, read whole or cut into shorter pieces."""
    return {length: loss(model, ids.reshape(-1, length)) for length in lengths}


@torch.no_grad()
def loss_by_position(model: BloomForCausalLM, ids: Tensor, width: int = 128) -> list[float]:
    """The mean loss of each stretch of `width` positions of long rows: is it harder, or easier, far in?"""
    total = torch.zeros(ids.shape[1] - 1)
    for rows in ids.split(2):
        logits = model(rows.to(model.device)).logits[:, :-1].float().cpu()
        total += torch.nn.functional.cross_entropy(logits.transpose(1, 2), rows[:, 1:], reduction="none").sum(0)
    return [float(part.mean()) / len(ids) for part in total.split(width)]


# --------------------------------------------------------------------------------------------- attention


def repeated_ids(rows: int = 32, half: int = 48, vocab_size: int = 3072, seed: int = 0) -> Tensor:
    """Random tokens, said twice: (rows, 2 · half). Only somebody who looks back knows the second half."""
    generator = torch.Generator().manual_seed(seed)
    once = torch.randint(FIRST_ID, vocab_size, (rows, half), generator=generator)
    return torch.cat([once, once], dim=1)


@torch.no_grad()
def look_back(model: BloomForCausalLM, half: int = 48, vocab_size: int | None = None) -> tuple[Tensor, float]:
    """How well each head finds what came next last time, on `half` random tokens said twice.

    Returns (layer, head) mean attention from a repeated token to the one *after* its first occurrence, and the
    share of repeated tokens whose next one is predicted right.
    """
    ids = repeated_ids(half=half, vocab_size=vocab_size or model.config.vocab_size)
    probs, logits = attention(model, ids)
    query = torch.arange(half, 2 * half)
    right = logits[:, half:-1].argmax(-1) == ids[:, half + 1 :]
    return probs[..., query, query - half + 1].mean((1, 3)), float(right.float().mean())


@torch.no_grad()
def token_before(model: BloomForCausalLM, ids: Tensor) -> Tensor:
    """(layer, head) mean attention to the token before; on random tokens there is nothing else to go by."""
    probs, _ = attention(model, ids)
    query = torch.arange(8, ids.shape[1])  # the first few have hardly anything to choose from
    return probs[..., query, query - 1].mean((1, 3))


@torch.no_grad()
def attention_distance(model: BloomForCausalLM, ids: Tensor) -> Tensor:
    """(layer, head) how many tokens back a head looks, on average over all queries."""
    probs, _ = attention(model, ids)
    position = torch.arange(ids.shape[1])
    back = (position[:, None] - position).clamp(min=0).float()
    return (probs * back).sum(-1).mean((1, 3))


def attention(model: BloomForCausalLM, ids: Tensor, edit: Mapping[str, Any] | None = None) -> tuple[Tensor, Tensor]:
    """All probabilities (layer, batch, head, query, key) and the logits (batch, pos, vocab) of one pass."""
    names = [f"h.{layer}.attn.probs" for layer in range(model.config.n_layer)]
    hooks = Hooks(read=names, edit=edit)
    logits = model(ids.to(model.device), hooks=hooks).logits
    return torch.stack([hooks[name] for name in names]).cpu(), logits.cpu()


# --------------------------------------------------------------------------------------------- grammar


def sentences(text: str) -> list[str]:
    """The whole sentences of a text; what comes after the last full stop is left out.

    >>> sentences("Où vit Ana ? À Oslo. Elle")
    ['Où vit Ana ?', 'À Oslo.']
    """
    return [part.strip() for part in re.findall(r"[^.?!。？؟।]+[.?!。？؟।]", text)]


def half_sentences(language: Language, count: int) -> list[str]:
    """The first words of `count` sentences about held-out facts: "Leo lives in"."""
    rng, pool = random.Random(f"half sentences {language.code}"), Pool(held=True)
    spaced = dataclasses.replace(language, gap=" ")  # Chinese does not write its word boundaries
    halves = []
    for kind in itertools.islice(itertools.cycle(FACTS), count):
        fact = draw_fact(kind, pool.person(rng), rng.choice(WORDS["animal"]), rng, pool)
        words = spaced.say(fact, rng).split(" ")
        halves.append(language.gap.join(words[: len(words) // 2 + 1]))
    return halves


@torch.no_grad()
def write_on(
    model: BloomForCausalLM, tokenizer: BloomTokenizerFast, count: int = 18, **settings: Any
) -> list[tuple[Language, str]]:
    """What the model makes of `count` half sentences in each language, to the end of the document.

    Greedily, unless `settings` (those of `generate`) say otherwise. Before each stands a sentence of small talk, which
    is left out of the result: it tells the language, for "Leo compra" is Spanish and Portuguese.
    """
    languages = [language for language in LANGUAGES.values() for _ in range(count)]
    halves = [half for language in LANGUAGES.values() for half in half_sentences(language, count)]
    talk = [language.talk[i % len(language.talk)] + language.gap for i, language in enumerate(languages)]
    prompts = [opening + half for opening, half in zip(talk, halves, strict=True)]
    batch = tokenizer(prompts, padding=True, return_tensors="pt").to(model.device)
    settings = {"max_new_tokens": 64, "eos_token_id": tokenizer.eos_token_id, "progress": False, **settings}
    written = model.generate(**batch, **settings)
    texts = [tokenizer.decode(row, skip_special_tokens=True) for row in written]
    told = [text.removeprefix(opening) for opening, text in zip(talk, texts, strict=True)]
    return list(zip(languages, told, strict=True))


def documents_read(where: Path, each: int = 48) -> Iterator[str]:
    """What the model in a folder was trained on: the first documents of each step, more than a step can hold."""
    run = read_json(where / "history.json", MAX_BYTES, CheckpointError)
    for step in range(1, run["steps"] + 1):
        yield from (text for text, _ in itertools.islice(documents(f"{run['seed']} step {step}"), each))


def absent(written: list[tuple[Language, str]], read: Iterable[str]) -> float:
    """The share of written stories (up to the first new line) that stand in none of the documents read."""
    stories = {text.split("\n")[0] for _, text in written}
    read_stories = {line for document in read for line in document.split("\n") if line in stories}
    return 1 - len(read_stories) / len(stories)


def grammatical(written: list[tuple[Language, str]]) -> tuple[float, list[str]]:
    """The share of sentences that their language's grammar could have said, and those it could not."""
    every = [(language, sentence) for language, text in written for sentence in sentences(text)]
    wrong = [sentence for language, sentence in every if not language.says(sentence)]
    return 1 - len(wrong) / len(every), wrong


# ---------------------------------------------------------------------------------------------- recall


def questions(
    tokenizer: BloomTokenizerFast,
    count: int,
    people: int = 2,
    gap: int = 0,
    held: bool = True,
    unseen: bool = False,
    languages: Mapping[str, Language] = LANGUAGES,
) -> list[tuple[str, str]]:
    """Stories of so many people, asked about one of them: (prompt, answer).

    Args:
        gap: the least number of tokens between the facts and the question, filled with sentences about others.
        held: (person, city) pairs are those that training never shows.
        unseen: the names are spelled as training never spells one.
    """
    rng, pool = random.Random(f"questions {people} {gap} {held} {unseen}"), Pool(held, unseen)
    cases: list[tuple[str, str]] = []
    while len(cases) < count:
        language = rng.choice(list(languages.values()))
        facts = shuffled(draw_facts(rng, people, each=rng.choice((1, 2)), pool=pool), rng)
        text, between = tell(facts, language, rng).text, ""
        names = tuple(fact.values["person"] for fact in facts)
        while len(tokenizer.encode(between)) < gap:
            between = join(between, filler(rng, language, 3, names, pool), language)
        fact = rng.choice(facts)
        told = join(text, between, language) if between else text
        answer = language.gap + language.write("answer", fact)[:-1]  # a full stop may be one token with a new line
        cases.append((f"{told}\n{language.write('ask', fact)}", answer))
    return cases


@torch.no_grad()
def recall(model: BloomForCausalLM, tokenizer: BloomTokenizerFast, cases: list[tuple[str, str]]) -> list[bool]:
    """Whether the model, always taking its likeliest token, gives exactly the answer of each (prompt, answer)."""
    right = []
    for prompt, answer in cases:
        before, after = tokenizer.encode(prompt), tokenizer.encode(answer)
        ids = torch.tensor([before + after]).to(model.device)
        predicted = model(ids, logits_to_keep=len(after) + 1).logits[0, :-1].argmax(-1)
        right.append(predicted.tolist() == after)
    return right


# ---------------------------------------------------------------------------------------------- golden


GOLDEN_TEXTS = (
    "Leo lives in Oslo. He has a black cat. Where does Leo",
    "Ana est née à",
    "El gato de Rosa es",
    "Paul mora em Lisboa.",
    "Siapa yang dikenal Budi?",
    "Con mèo của Lan màu",
    "Juma ananunua mikate",
    "小梅有一只",
    "تعيش ليلى في",
    "रवि दिल्ली में",
    "def add(a, b):\n    return a",
    "7 + 5 = ",
)
EVERY = 64  # one logit in 64 is kept
MAX_BYTES = 1 << 20


@torch.no_grad()
def golden(model: BloomForCausalLM, tokenizer: BloomTokenizerFast) -> list[dict[str, Any]]:
    """For a few texts, ids and last logits: what the shipped files must give on any machine."""
    entries = []
    for text in GOLDEN_TEXTS:
        ids = tokenizer.encode(text)
        logits = model(torch.tensor([ids]).to(model.device)).logits[0, -1, ::EVERY]
        entries.append({"text": text, "ids": ids, "logits": [round(x, 5) for x in logits.tolist()]})
    return entries


def golden_distance(model: BloomForCausalLM, tokenizer: BloomTokenizerFast, path: Path) -> float:
    """The largest difference between the logits kept in a file and the model's; infinite if the ids differ."""
    kept = read_json(path, MAX_BYTES, CheckpointError)["golden"]
    new = golden(model, tokenizer)
    if [entry["ids"] for entry in kept] != [entry["ids"] for entry in new]:
        return math.inf
    before = torch.tensor([entry["logits"] for entry in kept])
    return float((before - torch.tensor([entry["logits"] for entry in new])).abs().max())
