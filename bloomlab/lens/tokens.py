"""What is a text to the model? How its tokens were built, and what a language costs in tokens and in bits.

BLOOM's vocabulary was learned by joining: the pair of neighbours that stood together most often became one token,
then the next pair, and so on. A text is cut the same way: of all neighbours that can be joined, those that were
learned first (of the lowest rank) are joined first.

Source: Sennrich, Haddow and Birch, "Neural Machine Translation of Rare Words with Subword Units", 2016, section 3.2.
"""

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from bloomlab.errors import InputError
from bloomlab.lens.reads import check, positions_at_once
from bloomlab.tokenizer import BloomTokenizerFast
from bloomlab.trace import Trace

READ = ["logits"]
NO_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")


@dataclass(frozen=True)
class Merge:
    """One step: `left` and `right` were neighbours and became one; `parts` is all there is after it.

    `rank` is the place of the pair in the order of learning, 0 the first; `at` the place of the joined part.
    """

    rank: int
    left: bytes
    right: bytes
    at: int
    parts: tuple[bytes, ...]


def merges(tokenizer: BloomTokenizerFast, data: bytes) -> list[Merge]:
    """The steps that build a token, or several in a row that belong to one piece, from its single bytes.

    The neighbours of a token have no say: a join across its edge did not happen, or it would end elsewhere. So a
    token can be rebuilt alone: `merges(tokenizer, token.bytes)`. A special token was not learned: no steps join all
    of it.

        for step in merges(lab.tokenizer, " Oslo".encode()):
            print(step.rank, step.left, step.right)
    """
    return replay(data, tokenizer.merge_ranks)


def replay(data: bytes, ranks: Mapping[tuple[bytes, bytes], int]) -> list[Merge]:
    """Join the neighbours of the lowest rank, the leftmost first, until none can be joined.

    >>> for step in replay(b"abab", {(b"a", b"b"): 0, (b"ab", b"ab"): 1}):
    ...     print(step.rank, *step.parts)
    0 b'ab' b'a' b'b'
    0 b'ab' b'ab'
    1 b'abab'
    """
    parts = [bytes([byte]) for byte in data]
    steps: list[Merge] = []
    while pairs := [(ranks[pair], at) for at, pair in enumerate(pairwise(parts)) if pair in ranks]:
        rank, at = min(pairs)
        left, right = parts[at : at + 2]
        parts[at : at + 2] = [left + right]
        steps.append(Merge(rank, left, right, at, tuple(parts)))
    return steps


@dataclass(frozen=True)
class Cost:
    """What a text costs: counts, and the model's mean surprise at its tokens (all but the first), in bits a byte.

    `words` is None for a script that does not set its words apart; `bits_per_byte` where nothing was predicted.
    """

    tokens: int
    words: int | None
    characters: int
    bytes: int
    bits_per_byte: float | None = None

    @property
    def tokens_per_word(self) -> float | None:
        """Also called fertility; None where words cannot be counted."""
        return self.tokens / self.words if self.words else None

    @property
    def tokens_per_character(self) -> float:
        return self.tokens / self.characters

    @property
    def tokens_per_byte(self) -> float:
        return self.tokens / self.bytes


def count_words(text: str) -> int | None:
    """Words: what stands between white space and has a letter or a digit. None if a script sets no spaces.

    >>> count_words("Leo's cat - it sleeps !"), count_words("小梅有一只猫。"), count_words("...")
    (4, None, 0)
    """
    if any(script(character) in NO_SPACES for character in set(text)):
        return None
    return sum(any(character.isalnum() for character in word) for word in text.split())


def script(text: str) -> str:
    """The script of the first letter, as Unicode names it; "" if there is no letter.

    >>> script(" Oslo"), script("小梅"), script("रवि"), script(" 12!")
    ('LATIN', 'CJK', 'DEVANAGARI', '')
    """
    letter = next((character for character in text if unicodedata.category(character)[0] in "LM"), "")
    return unicodedata.name(letter, "").split(" ")[0].split("-")[0] if letter else ""


def surprise(trace: Trace) -> Tensor:
    """How unexpected each token was, in nats: (pos), -log of its probability; the first has none, NaN.

    Its mean is the loss: `model(ids, labels=ids).loss`.

    Raises:
        HookError, InputError: the trace has not read READ, or is of several texts.
    """
    check(trace, READ)
    ids = trace.ids[0].cpu()
    logits, following = trace["logits"][0, :-1].detach(), ids[1:, None]
    step = positions_at_once(logits.shape[-1])
    parts = [
        (x.logsumexp(-1, keepdim=True) - x.gather(-1, y))[:, 0]
        for x, y in ((x.float().cpu(), y) for x, y in zip(logits.split(step), following.split(step), strict=True))
    ]
    return torch.cat([torch.tensor([torch.nan]), *parts])


def cost(trace: Trace) -> Cost:
    """What the text of a trace costs; the trace must have read READ.

        bits per byte = Σ surprise / log 2 / bytes of the tokens that were predicted

    It compares languages and tokenizers as no loss per token can: everybody's text has bytes.

    Raises:
        HookError, InputError: the trace has not read READ, or is of several texts.
    """
    nats = surprise(trace)[1:]
    parts = [token.bytes for token in trace.tokens]
    data = b"".join(parts)
    if not data:
        raise InputError("these tokens stand for no text, so it has no cost; trace a text instead")
    text = data.decode("utf-8", "replace")
    predicted = len(data) - len(parts[0])
    bits = nats.double().sum().item() / math.log(2) / predicted if predicted else None
    return Cost(len(parts), count_words(text), len(text), len(data), bits)


def compare(traces: Mapping[str, Trace]) -> dict[str, Cost]:
    """The costs of several texts, by name: `compare({"en": lab.trace(…, read=tokens.READ), "zh": …})`."""
    return {name: cost(trace) for name, trace in traces.items()}
