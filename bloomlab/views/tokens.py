"""The tokens of a text, as a list that shows itself: chips with ids and bytes, no script."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, overload
from unicodedata import bidirectional

from bloomlab.chips import Token, chips

# A notebook keeps no style sheet for a still picture, so the few rules stand in the elements.
STRIP = "display:flex;flex-wrap:wrap;gap:4px;align-items:stretch;margin:4px 0"
CHIP = "display:inline-block;padding:2px 6px;text-align:center;border:1px solid rgba(128,128,128,.45);border-radius:3px"
SHOWN = "display:block;white-space:pre;unicode-bidi:isolate;font-family:monospace"
SMALL = "display:block;font-family:monospace;font-size:11px;direction:ltr"


class Tokens(Sequence[Token]):
    """A sequence of Token, in the order of the text.

    >>> tokens = Tokens([Token(44, b"Leo", "Leo", (0, 3)), Token(17, b".", ".", (3, 4))])
    >>> tokens
    2 tokens
       0      44  4c 65 6f  Leo
       1      17  2e        .
    >>> tokens.ids, tokens[1].text, len(tokens[:1])
    ([44, 17], '.', 1)
    """

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._tokens = tuple(tokens)

    @property
    def ids(self) -> list[int]:
        """The ids the model is fed."""
        return [token.id for token in self._tokens]

    def __len__(self) -> int:
        return len(self._tokens)

    @overload
    def __getitem__(self, index: int) -> Token: ...
    @overload
    def __getitem__(self, index: slice) -> "Tokens": ...
    def __getitem__(self, index: int | slice) -> "Token | Tokens":
        return Tokens(self._tokens[index]) if isinstance(index, slice) else self._tokens[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(self._tokens)

    def __repr__(self) -> str:
        """A line for each token: place, id, bytes, and the text it shows as."""
        lines = []
        widest = max((len(token.bytes.hex(" ")) for token in self), default=0)
        for chip in chips(self):
            for part, place in enumerate(chip.tokens):
                token = self[place]
                shown = chip.shown if part == 0 else "┘"  # a further token of the same character
                lines.append(f"{place:4}{token.id:8}  {token.bytes.hex(' '):{widest}}  {shown}")
        return "\n".join([f"{len(self)} token{'' if len(self) == 1 else 's'}", *lines])

    def _repr_html_(self) -> str:
        """Chips: one for each piece of text, however many tokens it is made of."""
        made = []
        for chip in chips(self):
            ids = " ".join(map(str, chip.ids))
            parts = " ".join(f"[{self[place].bytes.hex(' ')}]" for place in chip.tokens)
            places = f"token{'' if len(chip.tokens) == 1 else 's'} {', '.join(map(str, chip.tokens))}"
            title = f"{places}: id {ids}, bytes {parts}"
            made.append(
                f'<span style="{CHIP}" title="{escape(title)}">'
                f'<bdi dir="auto" style="{SHOWN}">{escape(chip.shown)}</bdi>'
                f'<span style="{SMALL}">{ids}</span><span style="{SMALL}">{escape(parts)}</span></span>'
            )
        text = b"".join(token.bytes for token in self).decode("utf-8", "replace")
        count = f"{len(self)} token{'' if len(self) == 1 else 's'}, {len(text)} characters"
        strip = f'<div dir="{_direction(text)}" style="{STRIP}">{"".join(made)}</div>'
        return f"<div>{strip}<small>{count}; in each chip: the text, ids, bytes</small></div>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


def _direction(text: str) -> str:
    """Which way the text runs, by its first letter that has a direction: what dir="auto" does."""
    strong = next((kind for kind in map(bidirectional, text) if kind in ("L", "R", "AL")), "L")
    return "ltr" if strong == "L" else "rtl"
