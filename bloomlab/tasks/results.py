"""What the task heads say of a text, how likely they hold it, and which token they read it from.

    lab.classify("Leo vit à Oslo.")                             one label for the whole text
    lab.tag("Leo lives in Oslo.")                               a tag for each token, and the things they name
    lab.answer("Where does Leo live?", "Leo lives in Oslo.")    a stretch of the context

Every score is a probability that a softmax gave: the shares of all labels sum to 1, whatever the text. So a text of
another world gets a label too; that the label is wrong shows in a low score at best.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple

from bloomlab.chips import Token, chips, visible

OUTSIDE = "O"  # the tag of a token that names nothing
LISTED = 5  # labels in a table
SURE = 0.5  # an answer less likely than this is called a guess


class Entity(NamedTuple):
    """A thing that is named: `text[start:end]`, on the tokens `columns`; the score is the least of its words'."""

    text: str
    tag: str
    start: int
    end: int
    score: float
    columns: tuple[int, ...]


class Span(NamedTuple):
    """A possible answer: `context[start:end]`, from the token `first` to the token `last` of the context.

    The score is the probability of this first token times that of this last one.
    """

    text: str
    start: int
    end: int
    score: float
    first: int
    last: int


@dataclass(frozen=True)
class Classification:
    """A label for a text.

    Attributes:
        label: the likeliest.
        scores: the probability of each label, the likeliest first.
        column: the token it was read from, the text's last: no other has seen the whole text.
    """

    text: str
    label: str
    scores: dict[str, float]
    column: int
    tokens: tuple[Token, ...] = field(repr=False)

    @property
    def score(self) -> float:
        """The probability of the label."""
        return self.scores[self.label]

    def __repr__(self) -> str:
        others = [f"{label} {p:.3f}" for label, p in list(self.scores.items())[1:4]]
        return (
            f"{self.label} {self.score:.3f} ({', '.join(others)}{', …' if len(self.scores) > 4 else ''}), "
            f"read from token {self.column} {_name(self.tokens, self.column)}"
        )

    def _repr_html_(self) -> str:
        marks = {self.column: ("▲", "the label was read from this token")}
        rows = [(label, "", p) for label, p in list(self.scores.items())[:LISTED]]
        read = f"{len(self.tokens)} tokens; ▲ the token the label was read from"
        return f"<div>{_strip(self.tokens, marks)}{_table(rows)}<small>{read}</small></div>"


@dataclass(frozen=True)
class Tagging:
    """A tag for each token of a text.

    Attributes:
        tags: the likeliest tag of each token, read from that token, which has seen nothing of what follows it.
        scores: the probability of every tag, for each token.
        entities: neighbouring words with the same tag, other than "O". A word is tagged as its last token is.
    """

    text: str
    tags: tuple[str, ...]
    scores: tuple[dict[str, float], ...] = field(repr=False)
    entities: tuple[Entity, ...]
    tokens: tuple[Token, ...] = field(repr=False)

    def __repr__(self) -> str:
        named = ", ".join(f"{readable(entity.text)} {entity.tag} {entity.score:.3f}" for entity in self.entities)
        lines = [
            f"{place:4}  {tag:8}  {self.scores[place][tag]:.3f}  {_name(self.tokens, place)}"
            for place, tag in enumerate(self.tags)
        ]
        return "\n".join([named or "nothing is named", *lines])

    def _repr_html_(self) -> str:
        marks = {
            place: (f"{tag} {self.scores[place][tag]:.2f}", ", ".join(f"{k} {p:.3f}" for k, p in scores.items()))
            for place, (tag, scores) in enumerate(zip(self.tags, self.scores, strict=True))
            if tag != OUTSIDE
        }
        rows = [(entity.text, entity.tag, entity.score) for entity in self.entities]
        read = "under each token that names something: what, and its probability"
        return f"<div>{_strip(self.tokens, marks)}{_table(rows)}<small>{read}</small></div>"


@dataclass(frozen=True)
class Answer:
    """A stretch of the context that may answer a question.

    Attributes:
        text, start, end: the likeliest stretch, `context[start:end]`.
        score: the probability of its first token times that of its last one.
        spans: the likeliest stretches, that one first.
        starts, ends: how likely an answer starts, and ends, at each token of the context.
        outside: how much of `starts` went to the tokens of the question, where no answer can be.
    """

    question: str
    context: str
    spans: tuple[Span, ...] = field(repr=False)
    outside: float
    starts: tuple[float, ...] = field(repr=False)
    ends: tuple[float, ...] = field(repr=False)
    tokens: tuple[Token, ...] = field(repr=False)

    @property
    def text(self) -> str:
        return self.spans[0].text

    @property
    def start(self) -> int:
        return self.spans[0].start

    @property
    def end(self) -> int:
        return self.spans[0].end

    @property
    def score(self) -> float:
        return self.spans[0].score

    @property
    def note(self) -> str:
        """Why not to trust the answer, in a sentence; "" if its score gives no reason.

        A high score is no proof: the head has to point somewhere, and can be sure of a wrong place.
        """
        if self.outside > SURE:
            return f"no answer found: the head points at the question instead, with probability {self.outside:.2f}"
        if not self.text:
            return "no answer found: the likeliest stretch of the context holds no character to show"
        if self.score < SURE:
            return f"a guess: the likeliest stretch has a probability of {self.score:.2f} only"
        return ""

    def __repr__(self) -> str:
        best = self.spans[0]
        said = f"{readable(best.text)!r} {best.score:.3f}, characters {best.start} to {best.end}"
        where = f"token {best.first}" if best.first == best.last else f"tokens {best.first} to {best.last}"
        return f"{said}, {where} of the context" + (f"; {self.note}" if self.note else "")

    def _repr_html_(self) -> str:
        best = self.spans[0]
        marks = {
            place: (f"{'[' if place == best.first else ''}{start:.2f} {end:.2f}{']' if place == best.last else ''}", "")
            for place, (start, end) in enumerate(zip(self.starts, self.ends, strict=True))
            if start >= 0.005 or end >= 0.005 or best.first <= place <= best.last
        }
        rows = [(span.text, "", span.score) for span in self.spans]
        read = "under a token: how likely the answer starts, and ends, there; [ ] the likeliest stretch"
        note = f"<p>{escape(self.note)}</p>" if self.note else ""
        asked = f'<p><bdi dir="auto">{escape(readable(self.question))}</bdi></p>'
        return f"<div>{asked}{_strip(self.tokens, marks)}{_table(rows)}{note}<small>{read}</small></div>"


# ------------------------------------------------------------------------------------------ showing


def _name(tokens: Sequence[Token], column: int) -> str:
    """What a token shows as; of one that is a part of a character, its bytes."""
    return visible(tokens[column].text) if tokens[column].text else f"[{tokens[column].bytes.hex(' ')}]"


EDGE = "border:1px solid rgba(128,128,128,.45);border-radius:3px"
SHOWN = "display:block;white-space:pre;unicode-bidi:plaintext;font-family:monospace"
BELOW = "display:block;font-size:11px;min-height:16px;direction:ltr"


def _strip(tokens: Sequence[Token], marks: dict[int, tuple[str, str]]) -> str:
    """The tokens as chips, and under each what a head says there, with more of it for a pointer."""
    made = []
    for chip in chips(tokens):
        said = [marks[place] for place in chip.tokens if place in marks]
        strong = ";background:rgba(128,128,128,.18)" if said else ""
        title = escape("; ".join(more for _, more in said if more))
        made.append(
            f'<span style="padding:2px 6px;text-align:center;{EDGE}{strong}" title="{title}">'
            f'<span style="{SHOWN}">{escape(chip.shown)}</span>'
            f'<span style="{BELOW}">{escape(" ".join(word for word, _ in said))}</span></span>'
        )
    return f'<div dir="auto" style="display:flex;flex-wrap:wrap;gap:4px;margin:4px 0">{"".join(made)}</div>'


def readable(text: str) -> str:
    """A text to read: spaces are spaces, and all else that is invisible is shown.

    >>> readable("New York\\n")
    'New York↵'
    """
    return " ".join(visible(word) for word in text.split(" "))


def _table(rows: Sequence[tuple[str, str, float]]) -> str:
    """Names, what they are, and their probabilities as numbers and as bars."""
    bar = '<span style="display:inline-block;height:8px;background:currentColor;width:{:.0f}px"></span>'
    lines = "".join(
        f'<tr><th style="text-align:start"><bdi>{escape(readable(name))}</bdi></th><td>{escape(readable(kind))}</td>'
        f'<td>{p:.3f}</td><td style="text-align:start">{bar.format(120 * p)}</td></tr>'
        for name, kind, p in rows
    )
    return f"<table><tbody>{lines}</tbody></table>"
