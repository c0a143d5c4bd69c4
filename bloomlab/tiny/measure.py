"""What the embedded model can do, in numbers: the same measurements during training and on the shipped files.

Every function takes a model, looks, and gives back numbers; none changes anything.
"""

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
    losses = [float(model(batch, labels=batch).loss) for batch in ids.to(model_device(model)).split(16)]
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
def look_back(model: BloomForCausalLM) -> tuple[Tensor, Tensor, float]:
    """How well each head looks back, on random tokens said twice.

    Returns (layer, head) mean attention from a repeated token to the one *after* its first occurrence (an
    induction head: what came next last time comes next again), (layer, head) mean attention to the token
    before, and the share of repeated tokens whose next one is predicted right.
    """
    ids = repeated_ids(vocab_size=model.config.vocab_size).to(model_device(model))
    half = ids.shape[1] // 2
    names = [f"h.{layer}.attn.probs" for layer in range(model.config.n_layer)]
    hooks = Hooks(read=names)
    logits = model(ids, hooks=hooks).logits
    probs = torch.stack([hooks[name] for name in names])  # (layer, batch, head, query, key)

    query = torch.arange(half, 2 * half)
    induction = probs[..., query, query - half + 1].mean((1, 3))
    query = torch.arange(8, 2 * half)  # the first few have hardly anything to choose from
    previous = probs[..., query, query - 1].mean((1, 3))
    right = logits[:, half:-1].argmax(-1) == ids[:, half + 1 :]
    return induction.cpu(), previous.cpu(), float(right.float().mean())


def previous_token_bound(slope: float) -> float:
    """The most that a head with this ALiBi slope can give the token before: 1 - exp(-slope).

    On a long row of tokens it has no preference among, a token d back gets (1 - exp(-slope)) · exp(-slope · d).
    A head that has learned to leave out the token itself (d = 0) moves them all one up.

    >>> round(previous_token_bound(0.5), 2)
    0.39
    """
    return 1 - math.exp(-slope)


# --------------------------------------------------------------------------------------------- grammar


def sentences(text: str) -> list[str]:
    """The whole sentences of a text; what comes after the last full stop is left out.

    >>> sentences("Où vit Ana ? À Oslo. Elle")
    ['Où vit Ana ?', 'À Oslo.']
    """
    return [part.strip() for part in re.findall(r"[^.?!。？؟।]+[.?!。？؟।]", text)]


@torch.no_grad()
def write_on(model: BloomForCausalLM, tokenizer: BloomTokenizerFast, count: int = 12) -> list[tuple[Language, str]]:
    """What the model makes, greedily, of `count` half sentences in each language, to the end of the document."""
    halves, languages = [], []
    for language in LANGUAGES.values():
        rng = random.Random(f"half sentences {language.code}")
        for kind in itertools.islice(itertools.cycle(FACTS), count):
            fact = draw_fact(kind, draw_person(rng), rng.choice(WORDS["animal"]), rng, held=True)
            ids = tokenizer.encode(language.say(fact, rng))
            halves.append(ids[: len(ids) // 2 + 1])
            languages.append(language)

    width = max(map(len, halves))
    ids = torch.tensor([[tokenizer.pad_token_id or 0] * (width - len(half)) + half for half in halves])
    mask = torch.tensor([[0] * (width - len(half)) + [1] * len(half) for half in halves])
    device = model_device(model)
    written = model.generate(ids.to(device), mask.to(device), max_new_tokens=64, eos_token_id=tokenizer.eos_token_id)
    texts = [tokenizer.decode(row, skip_special_tokens=True) for row in written.tolist()]
    return list(zip(languages, texts, strict=True))


def grammatical(written: list[tuple[Language, str]]) -> tuple[float, list[str]]:
    """The share of sentences that their language's grammar could have said, and those it could not."""
    every = [(language, sentence) for language, text in written for sentence in sentences(text)]
    wrong = [sentence for language, sentence in every if sentence != language.again and not language.parse(sentence)]
    return 1 - len(wrong) / len(every), wrong


def model_device(model: BloomForCausalLM) -> torch.device:
    return next(model.parameters()).device


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
        logits = model(torch.tensor([ids]).to(model_device(model))).logits[0, -1, ::EVERY]
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
