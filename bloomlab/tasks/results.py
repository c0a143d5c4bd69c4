"""What the task heads say about a text, how likely it is, and which token they read it from.

    lab.classify("Leo vit à Oslo.")                             one label for the whole text
    lab.tag("Leo lives in Oslo.")                               a tag for each token, and the things they name
    lab.answer("Where does Leo live?", "Leo lives in Oslo.")    a span of the context

Every score is a probability from a softmax: those of all labels sum to 1, whatever the text. So even a text unlike any
in training gets a label; at best, a low score shows that it is wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bloomlab.guards.frames import InPandas
from bloomlab.guards.markup import STAYS, escaped
from bloomlab.guards.memory import saying_that_memory_is_full
from bloomlab.text.tokens import Token, display_tokens, visible

OUTSIDE = "O"  # the tag of a token that is not part of a name
TOP_LABELS = 5  # labels in a table
SURE = 0.5  # an answer less likely than this is called a guess


class Entity(NamedTuple):
    """A name in the text: `text[start:end]`, on the tokens `columns`; the score is the lowest of its words' scores."""

    text: str
    tag: str
    start: int
    end: int
    score: float
    columns: tuple[int, ...]


class Span(NamedTuple):
    """A possible answer: `context[start:end]`, from the token `first` to the token `last` of the context.

    The score is the probability that the answer starts at `first` times the probability that it ends at `last`.
    """

    text: str
    start: int
    end: int
    score: float
    first: int
    last: int


@saying_that_memory_is_full
@dataclass(frozen=True)
class Classification(InPandas):
    """A label for a text.

    Attributes:
        label: the likeliest label.
        scores: the probability of each label, the likeliest first.
        column: the token it was read from: the last of the text, the only one that has seen all of it.
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

    def records(self) -> list[dict[str, Any]]:
        """Each label with its probability."""
        return [{"label": label, "score": p} for label, p in self.scores.items()]

    def __repr__(self) -> str:
        others = [f"{label} {p:.3f}" for label, p in list(self.scores.items())[1:4]]
        return (
            f"{self.label} {self.score:.3f} ({', '.join(others)}{', …' if len(self.scores) > 4 else ''}), "
            f"read from token {self.column} {_token_name(self.tokens, self.column)}"
        )

    def _repr_html_(self) -> str:
        marks = {self.column: ("▲", "the label was read from this token")}
        rows = [(label, "", p) for label, p in list(self.scores.items())[:TOP_LABELS]]
        caption = f"{len(self.tokens)} tokens; ▲ the token the label was read from"
        return f"<div>{_strip_html(self.tokens, marks)}{_table_html(rows)}<small>{caption}</small></div>"


@saying_that_memory_is_full
@dataclass(frozen=True)
class Tagging(InPandas):
    """A tag for each token of a text.

    Attributes:
        tags: the likeliest tag of each token, read from that token, which has not seen what follows it.
        scores: the probability of every tag, for each token.
        entities: neighbouring words with the same tag, other than "O". A word is tagged as its last token is.
    """

    text: str
    tags: tuple[str, ...]
    scores: tuple[dict[str, float], ...] = field(repr=False)
    entities: tuple[Entity, ...]
    tokens: tuple[Token, ...] = field(repr=False)

    def records(self) -> list[dict[str, Any]]:
        """Each token with its tag, and the probability of every tag."""
        return [
            {"token": token.text, "start": token.span[0], "end": token.span[1], "tag": tag, **scores}
            for token, tag, scores in zip(self.tokens, self.tags, self.scores, strict=True)
        ]

    def __repr__(self) -> str:
        names = ", ".join(f"{readable(entity.text)} {entity.tag} {entity.score:.3f}" for entity in self.entities)
        lines = [
            f"{pos:4}  {tag:8}  {self.scores[pos][tag]:.3f}  {_token_name(self.tokens, pos)}"
            for pos, tag in enumerate(self.tags)
        ]
        return "\n".join([names or "nothing is named", *lines])

    def _repr_html_(self) -> str:
        marks = {
            pos: (f"{tag} {scores[tag]:.2f}", ", ".join(f"{name} {p:.3f}" for name, p in scores.items()))
            for pos, (tag, scores) in enumerate(zip(self.tags, self.scores, strict=True))
            if tag != OUTSIDE
        }
        rows = [(entity.text, entity.tag, entity.score) for entity in self.entities]
        caption = "under each token that is part of a name: its tag and the probability"
        return f"<div>{_strip_html(self.tokens, marks)}{_table_html(rows)}<small>{caption}</small></div>"


@saying_that_memory_is_full
@dataclass(frozen=True)
class Answer(InPandas):
    """A span of the context that may answer a question. It is true unless `note` says that no answer was found.

    Attributes:
        text, start, end: the likeliest span, `context[start:end]`.
        score: the probability that the answer starts at its first token times that it ends at its last one.
        spans: the likeliest spans, that one first.
        starts, ends: the probability that an answer starts, or ends, at each token of the context.
        outside: the probability that it starts in the question, where no answer can be.
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

    def records(self) -> list[dict[str, Any]]:
        """Each possible answer with its place and probability."""
        return [span._asdict() for span in self.spans]

    def __bool__(self) -> bool:
        return self.outside <= SURE and bool(self.text)

    @property
    def note(self) -> str:
        """A reason not to trust the answer, in a sentence; "" if its score gives none.

        A high score does not prove it right: the head must point somewhere, and can be sure and wrong.
        """
        if self.outside > SURE:
            return f"no answer found: the head points at the question instead, with probability {self.outside:.2f}"
        if not self.text:
            return "no answer found: the likeliest span of the context holds nothing but white space"
        if self.score < SURE:
            return f"a guess: the likeliest span has a probability of only {self.score:.2f}"
        return ""

    def __repr__(self) -> str:
        best = self.spans[0]
        span = f"{readable(best.text)!r} {best.score:.3f}, characters {best.start} to {best.end}"
        where = f"token {best.first}" if best.first == best.last else f"tokens {best.first} to {best.last}"
        return f"{span}, {where} of the context" + (f"; {self.note}" if self.note else "")

    def _repr_html_(self) -> str:
        best = self.spans[0]
        marks = {
            pos: (f"{'[' if pos == best.first else ''}{start:.2f} {end:.2f}{']' if pos == best.last else ''}", "")
            for pos, (start, end) in enumerate(zip(self.starts, self.ends, strict=True))
            if start >= 0.005 or end >= 0.005 or best.first <= pos <= best.last
        }
        rows = [(span.text, "", span.score) for span in self.spans]
        caption = "under a token: the probabilities that the answer starts, and ends, there; [ ] the likeliest span"
        note = f"<p>{escaped(self.note)}</p>" if self.note else ""
        question = f'<p><bdi dir="auto">{escaped(readable(self.question))}</bdi></p>'
        strip = _strip_html(self.tokens, marks)
        return f"<div>{question}{strip}{_table_html(rows)}{note}<small>{caption}</small></div>"


# ------------------------------------------------------------------------------------------ showing


def _token_name(tokens: Sequence[Token], column: int) -> str:
    """What a token looks like; for a part of a character, its bytes."""
    return visible(tokens[column].text) if tokens[column].text else f"[{tokens[column].bytes.hex(' ')}]"


BORDER = "border:1px solid rgba(128,128,128,.45);border-radius:3px"
TOKEN = "display:block;white-space:pre;unicode-bidi:plaintext;font-family:monospace"
MARK = "display:block;font-size:11px;min-height:16px;direction:ltr"


def _strip_html(tokens: Sequence[Token], marks: dict[int, tuple[str, str]]) -> str:
    """The tokens as chips, each with a mark (what a head says there) under it and more of it under the pointer."""
    chips = []
    for display_token in display_tokens(tokens):
        own = [marks[pos] for pos in display_token.tokens if pos in marks]
        background = f";background:rgba(128,128,128,.18);{STAYS}" if own else ""
        title = escaped("; ".join(more for _, more in own if more))
        chips.append(
            f'<span style="padding:2px 6px;text-align:center;{BORDER}{background}" title="{title}">'
            f'<span style="{TOKEN}">{escaped(display_token.shown)}</span>'
            f'<span style="{MARK}">{escaped(" ".join(mark for mark, _ in own))}</span></span>'
        )
    return f'<div dir="auto" style="display:flex;flex-wrap:wrap;gap:4px;margin:4px 0">{"".join(chips)}</div>'


def readable(text: str) -> str:
    """A text to read: spaces stay spaces, and everything else that is invisible gets a mark.

    >>> readable("New York\\n")
    'New York↵'
    """
    return " ".join(visible(word) for word in text.split(" "))


def _table_html(rows: Sequence[tuple[str, str, float]]) -> str:
    """Names, what they are, and their probabilities as numbers and as bars."""
    bar = f'<span style="display:inline-block;height:8px;background:currentColor;{STAYS};width:{{:.0f}}px"></span>'
    lines = "".join(
        f'<tr><th style="text-align:start"><bdi>{escaped(readable(name))}</bdi></th><td>{escaped(readable(kind))}</td>'
        f'<td>{p:.3f}</td><td style="text-align:start">{bar.format(120 * p)}</td></tr>'
        for name, kind, p in rows
    )
    return f"<table><tbody>{lines}</tbody></table>"
