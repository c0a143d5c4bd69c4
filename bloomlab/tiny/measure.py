"""What the embedded model can do, in numbers: the same measurements during training and on the shipped files.

Every function takes a model, looks, and gives back numbers; none changes anything.
"""

import dataclasses
import itertools
import math
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bloomlab.errors import CheckpointError
from bloomlab.files import read_json
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import Hooks
from bloomlab.tiny.documents import documents
from bloomlab.tiny.language import LANGUAGES, Language
from bloomlab.tiny.world import FACTS, WORDS, draw_fact, draw_person
from bloomlab.tokenizer import BloomTokenizerFast

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


def validation_rows(tokenizer: BloomTokenizerFast, length: int = 128, rows: int = 96) -> Tensor:
    """Documents that training never drew; every (person, city) pair in them is held out."""
    return pack(documents("validation", held=True), tokenizer, length, rows)


@torch.no_grad()
def loss(model: BloomForCausalLM, ids: Tensor) -> float:
    """Mean surprise at the next token, in nats: exp of it is how many tokens the model hesitates between."""
    losses = [float(model(batch, labels=batch).loss) for batch in ids.to(model.device).split(16)]
    return sum(losses) / len(losses)


def loss_by_length(model: BloomForCausalLM, ids: Tensor, lengths: tuple[int, ...]) -> dict[int, float]:
    """The loss on the same long rows, read whole or cut into shorter pieces."""
    return {length: loss(model, ids.reshape(-1, length)) for length in lengths}


# --------------------------------------------------------------------------------------------- attention


def repeated_ids(rows: int = 32, half: int = 48, vocab_size: int = 3072, seed: int = 0) -> Tensor:
    """Random tokens, said twice: (rows, 2 · half). Only somebody who looks back knows the second half."""
    generator = torch.Generator().manual_seed(seed)
    once = torch.randint(FIRST_ID, vocab_size, (rows, half), generator=generator)
    return torch.cat([once, once], dim=1)


@torch.no_grad()
def look_back(model: BloomForCausalLM) -> tuple[Tensor, float]:
    """How well each head finds what came next last time, on random tokens said twice.

    Returns (layer, head) mean attention from a repeated token to the one *after* its first occurrence, and the
    share of repeated tokens whose next one is predicted right.
    """
    ids = repeated_ids(vocab_size=model.config.vocab_size)
    half = ids.shape[1] // 2
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


def attention(model: BloomForCausalLM, ids: Tensor) -> tuple[Tensor, Tensor]:
    """All probabilities (layer, batch, head, query, key) and the logits (batch, pos, vocab) of one pass."""
    names = [f"h.{layer}.attn.probs" for layer in range(model.config.n_layer)]
    hooks = Hooks(read=names)
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
    rng = random.Random(f"half sentences {language.code}")
    spaced = dataclasses.replace(language, gap=" ")  # Chinese does not write its word boundaries
    halves = []
    for kind in itertools.islice(itertools.cycle(FACTS), count):
        fact = draw_fact(kind, draw_person(rng), rng.choice(WORDS["animal"]), rng, held=True)
        words = spaced.say(fact, rng).split(" ")
        halves.append(language.gap.join(words[: len(words) // 2 + 1]))
    return halves


@torch.no_grad()
def write_on(model: BloomForCausalLM, tokenizer: BloomTokenizerFast, count: int = 18) -> list[tuple[Language, str]]:
    """What the model makes, greedily, of `count` half sentences in each language, to the end of the document."""
    languages = [language for language in LANGUAGES.values() for _ in range(count)]
    prompts = [half for language in LANGUAGES.values() for half in half_sentences(language, count)]
    batch = tokenizer(prompts, padding=True, return_tensors="pt").to(model.device)
    written = model.generate(**batch, max_new_tokens=64, eos_token_id=tokenizer.eos_token_id, progress=False)
    texts = [tokenizer.decode(row, skip_special_tokens=True) for row in written]
    return list(zip(languages, texts, strict=True))


def grammatical(written: list[tuple[Language, str]]) -> tuple[float, list[str]]:
    """The share of sentences that their language's grammar could have said, and those it could not."""
    every = [(language, sentence) for language, text in written for sentence in sentences(text)]
    wrong = [sentence for language, sentence in every if sentence != language.again and not language.parse(sentence)]
    return 1 - len(wrong) / len(every), wrong


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
