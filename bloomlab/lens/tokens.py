"""How was this token built? The merges of byte-level BPE, step by step, and the script a token is written in.

BLOOM's vocabulary was learned by joining: the pair of neighbours that stood together most often became one token,
then the next pair, and so on. A text is cut the same way: of all neighbours that can be joined, those that were
learned first (of the lowest rank) are joined first.

Source: Sennrich, Haddow and Birch, "Neural Machine Translation of Rare Words with Subword Units", 2016, section 3.2.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from bloomlab.errors import NearMatches
from bloomlab.text.tokenizer import BloomTokenizerFast


@dataclass(frozen=True)
class Merge(NearMatches):
    """One step: `left` and `right` were neighbours and became one; `parts` is the whole sequence afterwards.

    `rank` is the place of the pair in the order of learning, 0 the first; `at` the place of the joined part.
    """

    rank: int
    left: bytes
    right: bytes
    at: int
    parts: tuple[bytes, ...]


def merges(tokenizer: BloomTokenizerFast, data: bytes) -> list[Merge]:
    """The steps that build a token, or several in a row from one piece, out of single bytes.

    A token can be rebuilt without its neighbours, `merges(tokenizer, token.bytes)`: no merge crossed its edge, or it
    would end elsewhere. A special token was not learned, so no steps join all of it.

    >>> import bloomlab
    >>> [step.left + step.right for step in merges(bloomlab.load().tokenizer, b" in")]
    [b'in', b' in']
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


def script(text: str) -> str:
    """The script of the first letter, as Unicode names it; "" if there is no letter.

    >>> script(" Oslo"), script("小梅"), script("रवि"), script(" 12!")
    ('LATIN', 'CJK', 'DEVANAGARI', '')
    """
    letter = next((character for character in text if unicodedata.category(character)[0] in "LM"), "")
    return unicodedata.name(letter, "").split(" ")[0].split("-")[0] if letter else ""
