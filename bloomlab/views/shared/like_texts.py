"""The texts that a view draws from and measures in: those that were given, or like ones."""

from collections.abc import Sequence
from typing import NamedTuple

from bloomlab.errors import BloomlabError, InputError
from bloomlab.hooks import NamedEdit
from bloomlab.lens.cases import Case
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tiny.like import like
from bloomlab.tracing.donors import in_words
from bloomlab.tracing.edits import zero
from bloomlab.views.shared.edits import TextSet, in_place

TEXTS = 64
OVER = ("this text", "texts")


class Stand(NamedTuple):
    """What stands in the place of what is taken out.

    Attributes:
        kind: as the page asks for it: "zero", "drawn", or "mean", which is the mean embedding.
        edit: puts it there; None of "mean".
        words: what it is.
        before, code: the Python for `edit`, and lines that go before it.
        default: whether `lab.receipt` and `lab.effects` put it there unasked.
    """

    kind: str
    edit: NamedEdit | None
    words: str
    before: str = ""
    code: str = ""
    default: bool = False


class LikeTexts:
    """Other texts of as many tokens as the one that is shown.

    Args:
        given: texts or cases; those of as many tokens are used. None: `tiny.like`.
    """

    def __init__(self, tokenizer: BloomTokenizerFast, given: Sequence[Case] | None = None) -> None:
        self._tokenizer, self.given = tokenizer, given
        self._made: dict[tuple[str, ...], list[Case]] = {}  # of one text, as they were asked for

    def cases(self, text: str, other: str = "", answer: str = "", rival: str = "") -> list[Case]:
        """The texts, with what is measured in each.

        Raises:
            InputError: there are none.
        """
        key = (text, other, answer, rival)
        if any(text != made for made, *_ in self._made):
            self._made.clear()
        if key not in self._made:
            self._made[key] = self._cases(*key)
        return self._made[key]

    def _cases(self, text: str, other: str, answer: str, rival: str) -> list[Case]:
        if self.given is None:
            return list(like(self._tokenizer, text, TEXTS, other=other, answer=answer, rival=rival))
        columns = len(self._tokenizer.encode(text))
        found = [case for case in self.given if case.text != text]
        found = [case for case in found if len(self._tokenizer.encode(case.text)) == columns]
        if not found:
            raise InputError(
                f"none of the {len(self.given)} texts that were given is another text of {columns} tokens, as this "
                "one has; give the view others"
            )
        return found

    def name(self, count: int) -> str:
        """What so many texts are called."""
        which = "like" if self.given is None else "given"
        return f"{count} {which} text{'' if count == 1 else 's'}"

    def code(self, text: str, **named: str) -> tuple[str, str]:
        """The Python that gives them, where `lab` is the lab: lines that go before, and an expression."""
        if self.given is not None:
            return f"from bloomlab.lens.cases import Case\ntexts = {self.cases(text)!r}\n", "texts"
        asked = "".join(f", {name}={token!r}" for name, token in named.items() if token)
        return "", f"lab.like({text!r}{asked})"

    def set_of(self, text: str) -> TextSet:
        """The texts that what is usual in a text's place is taken from.

        Raises:
            InputError: there are none.
        """
        cases = self.cases(text)
        code = "" if self.given is not None else self.code(text)[1]
        return TextSet(self.name(len(cases)), code, tuple(case.text for case in cases))


def stand(like: LikeTexts | None, text: str, kind: str, otherwise: str = "zero") -> Stand:
    """What stands in a place as the page asks for it; what is drawn, of like texts, and `otherwise` if there are none.

    >>> stand(None, "Leo", "drawn").words
    'zeros (there are no texts like this one)'
    """
    if kind == "drawn" and like is not None:
        try:
            before, code = like.code(text)
            edit = in_place("drawn", like.set_of(text), {})
            donors = f"[case.text for case in {code}]" if before else f"{code}.texts"
            return Stand("drawn", edit, in_words(edit), before, f"bloomlab.drawn({donors})", not before)
        except BloomlabError:  # nothing is known that is like this text
            pass
    why = " (there are no texts like this one)" if kind == "drawn" else ""
    if otherwise == "mean":
        return Stand("mean", None, f"the mean embedding{why}")
    return Stand("zero", zero(), f"zeros{why}", "", "bloomlab.zero()")
