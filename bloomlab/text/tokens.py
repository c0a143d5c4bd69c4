"""What each token looks like on a page.

BLOOM's tokens are runs of bytes, not of letters: 中 can be three tokens, and one token can end in the middle
of a character. A `Token` says which bytes it is and which characters of the text it covers. A `DisplayToken` is
what a view draws: the fewest tokens in a row that show as whole characters, everything invisible made visible.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any

from bloomlab.errors import InputError, NearMatches, did_you_mean, shorten
from bloomlab.guards.arguments import whole_text

_SHOWN = {
    " ": "·",
    "\n": "↵",
    "\t": "⇥",
    "\r": "␍",
    "\x7f": "␡",
    **{chr(code): chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t\r"},  # ␀ ␁ ␂ …
}
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Zs", "Zl", "Zp"}  # not Cn: new emoji are unknown to an older Python
_BLANK_LETTERS = "\u115f\u1160\u3164\uffa0\u2800\u034f"  # fillers: letters by category, blank on the screen
_SELECTORS = "\u17b4\u17b5\u180b\u180c\u180d\u180f" + "".join(map(chr, range(0xFE00, 0xFE10)))  # marks without ink
_RESERVED = "\u2065" + "".join(map(chr, range(0xFFF0, 0xFFF9)))  # for more of such marks: no font draws them


@dataclass(frozen=True)
class Token(NearMatches):
    """One token: its id, its bytes, and the span of characters that it covers in the text (end excluded).

    `text` is those characters if the bytes are whole characters by themselves, otherwise "". Tokens that share
    a character all have that character's span.
    """

    id: int
    bytes: bytes
    text: str
    span: tuple[int, int]


@dataclass(frozen=True)
class DisplayToken(NearMatches):
    """The fewest tokens in a row that show as whole characters.

    `tokens` are their positions in the sequence, `shown` is what to draw, `text` what the bytes decode to.
    """

    text: str
    shown: str
    tokens: tuple[int, ...]
    ids: tuple[int, ...]
    bytes: bytes


def visible(text: str) -> str:
    r"""The text with every space, line end, control, zero-width and direction mark made visible.

    >>> visible("a b\n"), visible("x\u202ey"), visible("\u0301")
    ('a·b↵', 'x⟨U+202E⟩y', '◌\u0301')
    >>> visible("\ufe0f")  # of a heart in colour, whose heart is another token
    '⟨U+FE0F⟩'
    """
    seen = text.lstrip(_SELECTORS)  # after the sign that they are about, they show in its shape
    names = [f"⟨U+{ord(character):04X}⟩" for character in text[: len(text) - len(seen)]]
    shown = "".join([*names, *(_visible_character(character) for character in seen)])
    # an accent or a vowel sign at the start would be drawn on its neighbour, so it gets a circle to sit on
    return f"◌{shown}" if shown and unicodedata.category(shown[0]).startswith("M") else shown


def _visible_character(character: str) -> str:
    if character in _SHOWN:
        return _SHOWN[character]
    code, category = ord(character), unicodedata.category(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python's "surrogateescape" spells a byte that is not text
        return f"⟨0x{code - 0xDC00:02X}⟩"
    reserved = character in _RESERVED or code & 0xFFFE == 0xFFFE or code >= 0xE0000
    if category in _UNSEEN or character in _BLANK_LETTERS or reserved:
        return f"⟨U+{code:04X}⟩"
    return character


def unseen(text: str) -> list[str]:
    r"""What in a text has no face of its own, by code and by Unicode's name: each once, in order.

    >>> unseen("a b\u2764\ufe0f\u200b\u200b\n")
    ['U+FE0F variation selector-16', 'U+200B zero width space']
    """
    faceless = [letter for letter in text if letter in _SELECTORS or _visible_character(letter).startswith("⟨U+")]
    return [
        f"U+{ord(letter):04X} {unicodedata.name(letter, 'without a name').lower()}"
        for letter in dict.fromkeys(faceless)
    ]


@cache
def names_of_the_unseen() -> dict[str, str]:
    r"""Unicode's name of every character that has no face of its own, where it has a name.

    >>> names_of_the_unseen()["\u200b"]
    'zero width space'
    """
    letters = map(chr, (*range(0x20000), *range(0xE0000, 0xE0200)))
    found = {letter: unicodedata.name(letter, "").lower() for letter in letters if unseen(letter)}
    return {letter: name for letter, name in found.items() if name}


def display_tokens(tokens: Sequence[Token]) -> list[DisplayToken]:
    """Join tokens until their bytes are whole characters; every token is in exactly one display token.

    Bytes that are not text (a model can generate them) are a display token of their own, shown as ⟨0xE4⟩.

    >>> first, second = (Token(9, part, "", (0, 1)) for part in (b"\\xe4\\xb8", b"\\xad"))
    >>> [(part.shown, part.tokens) for part in display_tokens([first, second])]
    [('中', (0, 1))]
    """
    joined: list[DisplayToken] = []
    group: list[int] = []
    unfinished = b""  # the start of a character whose other bytes are still to come
    for pos, token in enumerate(tokens):
        if unfinished and not _can_continue(unfinished, token.bytes):
            joined.append(_join(tokens, group))
            group, unfinished = [], b""
        group.append(pos)
        unfinished = _unfinished(unfinished + token.bytes)
        if not unfinished:
            joined.append(_join(tokens, group))
            group = []
    if group:
        joined.append(_join(tokens, group))
    return joined


def _join(tokens: Sequence[Token], group: list[int]) -> DisplayToken:
    data = b"".join(tokens[pos].bytes for pos in group)
    ids = tuple(tokens[pos].id for pos in group)
    shown = visible(data.decode("utf-8", "surrogateescape"))
    if not data:  # 200 rows of BLOOM's embedding belong to no token
        shown = f"⟨id {ids[0]}⟩"
    return DisplayToken(data.decode("utf-8", "replace"), shown, tuple(group), ids, data)


def _unfinished(data: bytes) -> bytes:
    """The bytes of a character that is cut off at the end; b"" if the last character is whole."""
    for tail in (data[-1:], data[-2:], data[-3:]):
        try:
            tail.decode()
        except UnicodeDecodeError as error:
            if error.start == 0 and error.reason == "unexpected end of data":
                return tail
    return b""


def _can_continue(unfinished: bytes, more: bytes) -> bool:
    """Whether the first of the next bytes belongs to the character that was cut off."""
    start = unfinished + more[:1]
    return bool(more) and (_unfinished(start) == start or _text_or_empty(start) != "")


def character_of_each_byte(data: bytes) -> list[int]:
    """For every byte, the index of the character it is part of when the bytes are read as UTF-8.

    Bytes that are not text count as in Python's "replace": each run that becomes one � is one character.

    >>> character_of_each_byte("aé中".encode()), character_of_each_byte(b"a\\xe4\\xb8b")
    ([0, 1, 1, 2, 2, 2], [0, 1, 1, 2])
    """
    characters: list[int] = []
    count = 0
    while len(characters) < len(data):
        rest = data[len(characters) :]
        try:
            text, broken = rest.decode(), 0
        except UnicodeDecodeError as error:
            text, broken = rest[: error.start].decode(), error.end - error.start
        for character in text:
            characters += [count] * len(character.encode())
            count += 1
        if broken:
            characters += [count] * broken
            count += 1
    return characters


def find(tokens: Sequence[Token], text: str) -> list[int]:
    """The places of all tokens that have part of this text, wherever it stands in theirs; a space counts.

    >>> tokens = tokens_in(b"Leo saw Leo", [7, 8, 9], [b"Leo", b" saw", b" Leo"])
    >>> find(tokens, "Leo"), find(tokens, " Leo"), find(tokens, "o s")
    ([0, 2], [2], [0, 1])

    Raises:
        InputError: it stands nowhere, or it is no text.
    """
    part, data = whole_text(text, "text").encode(), b"".join(token.bytes for token in tokens)
    places: set[int] = set()
    start = data.find(part) if part else -1
    while start >= 0:
        ends = accumulate(len(token.bytes) for token in tokens)
        places |= {
            place
            for place, (token, end) in enumerate(zip(tokens, ends, strict=True))
            if end > start and end - len(token.bytes) < start + len(part)
        }
        start = data.find(part, start + 1)
    if not places:
        words = [shown.text.strip() for shown in display_tokens(tokens)]
        raise InputError(f"{shorten(text)} is nowhere in the text{did_you_mean(text.strip(), words)}")
    return sorted(places)


class TokenList(NearMatches, list[Token]):
    """Tokens in their order; `find` and `index` take a text, too."""

    def find(self, text: str) -> list[int]:
        """The places of all tokens that have part of this text; see `find`."""
        return find(self, text)

    def index(self, value: Any, *span: Any) -> int:
        """The place of a token; of a text, that of the first token that has part of it."""
        return find(self, value)[0] if isinstance(value, str) else super().index(value, *span)


def tokens_in(data: bytes, ids: Sequence[int], parts: Sequence[bytes]) -> list[Token]:
    """The tokens with these ids and bytes, and their spans in the text whose UTF-8 is `data`.

    A part may start with a space that is not in the text, because `add_prefix_space` put it there.

    >>> [token.span for token in tokens_in("é!".encode(), [7, 8, 9], [b"\\xc3", b"\\xa9", b"!"])]
    [(0, 1), (0, 1), (1, 2)]
    """
    character = character_of_each_byte(data)
    end = character[-1] + 1 if character else 0
    tokens, start = [], 0
    for token_id, part in zip(ids, parts, strict=True):
        stop = start + len(part) - (not data.startswith(part, start))
        first = character[start] if start < len(data) else end
        span = (first, character[stop - 1] + 1 if stop > start else first)
        tokens.append(Token(token_id, part, _text_or_empty(part), span))
        start = stop
    return tokens


def _text_or_empty(data: bytes) -> str:
    """The text of whole characters; "" for any other bytes."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return ""
