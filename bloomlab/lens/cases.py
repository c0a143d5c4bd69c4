"""The texts that an effect is measured in: one text says little, and 64 of one kind say how far it holds.

    made = of_template(Case("{name} lives in {city}. {name} lives in", answer=" {city}"), {"name": …, "city": …})
    alike(tokenizer, made, 64)                                       or lab.cases, which does both

A template with gaps and a list for each gap. Positions mean the same in all of the texts only if they have as many
tokens, so those that have others are left out, and counted.
"""

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from string import Formatter
from typing import Any, NamedTuple, overload

from bloomlab.errors import InputError, did_you_mean, shorten
from bloomlab.guards.arguments import whole_within
from bloomlab.guards.frames import InPandas
from bloomlab.text.tokenizer import BloomTokenizerFast

MOST = 20_000  # texts that are tried for a template


class Case(NamedTuple):
    """A text to measure an edit in, and what belongs to it.

    Attributes:
        text: what is read.
        other: the text that `copied` copies from in this case; "" leaves the one that the edit names.
        answer, rival: the tokens that are compared after it; "" leaves the model's own answer and its runner-up.
    """

    text: str
    other: str = ""
    answer: str = ""
    rival: str = ""


class Cases(Sequence[Case], InPandas):
    """Some cases whose texts have as many tokens.

    Attributes:
        tokens: how many each text has.
        left_out: how many others of those that were tried have other counts, or an answer that is not one token.
    """

    def __init__(self, cases: Iterable[Case], tokens: int, left_out: int) -> None:
        self._cases, self.tokens, self.left_out = tuple(cases), tokens, left_out

    @property
    def texts(self) -> list[str]:
        """The texts alone, for `usual` and `drawn`."""
        return [case.text for case in self._cases]

    def records(self) -> list[dict[str, Any]]:
        """Each case: the text, what it is copied from, and what is measured in it."""
        return [case._asdict() for case in self]

    def __len__(self) -> int:
        return len(self._cases)

    @overload
    def __getitem__(self, index: int) -> Case: ...
    @overload
    def __getitem__(self, index: slice) -> "Cases": ...
    def __getitem__(self, index: int | slice) -> "Case | Cases":
        if isinstance(index, int):
            return self._cases[index]
        return Cases(self._cases[index], self.tokens, self.left_out)

    def __repr__(self) -> str:
        first = shorten(self[0].text, 120) if self else "none"
        return f"{len(self)} texts of {self.tokens} tokens ({self.left_out} others were left out), such as {first}"


def filled(template: str, values: Mapping[str, str]) -> str:
    """A template with its gaps filled.

    >>> filled("{name} lives in {city}.", {"name": "Leo", "city": "Oslo"})
    'Leo lives in Oslo.'
    """
    return "".join(text + (values[gap] if gap else "") for text, gap in _parts(template))


def combinations(gaps: Mapping[str, Sequence[str]], seed: int = 0) -> Iterator[dict[str, str]]:
    """Ways to fill gaps from their lists, in an order that the seed draws, none twice; no word stands in two gaps.

    >>> list(combinations({"a": ["x", "y"], "b": ["x", "y"]}))
    [{'a': 'y', 'b': 'x'}, {'a': 'x', 'b': 'y'}]
    """
    words = {gap: list(dict.fromkeys(listed)) for gap, listed in gaps.items()}
    total = math.prod(map(len, words.values()))
    for place in random.Random(seed).sample(range(min(total, 2**62)), min(total, MOST)):
        values = {}
        for gap, listed in words.items():
            place, index = divmod(place, len(listed))
            values[gap] = listed[index]
        if len(set(values.values())) == len(values):
            yield values


def of_template(template: Case, gaps: Mapping[str, Sequence[str]], seed: int = 0) -> Iterator[Case]:
    """The cases that a template makes, in an order that the seed draws; `alike` picks those of as many tokens.

    Args:
        template: a case whose texts have gaps such as {city}.
        gaps: for each gap its words; of two gaps with the same list each text has two different words.

    >>> next(of_template(Case("{name} lives", answer=" in"), {"name": ["Leo"]}))
    Case(text='Leo lives', other='', answer=' in', rival='')

    Raises:
        InputError: a gap has no list, or a list no gap.
    """
    for one in template:
        if not isinstance(one, str):
            raise InputError(f"a template is a text with gaps such as {{city}}, but got {shorten(one)}")
    named = {gap for one in template for _, gap in _parts(one) if gap}
    for gap in sorted(named ^ gaps.keys()):
        what = "a list of words, but no gap in the template" if gap in gaps else "a gap, but no list of words"
        raise InputError(f"{{{gap}}} has {what}{did_you_mean(gap, (named | gaps.keys()) - {gap})}")
    for gap, words in gaps.items():
        if isinstance(words, str) or not words or not all(isinstance(word, str) and word for word in words):
            raise InputError(f"the gap {{{gap}}} needs a list of at least one word, but got {shorten(words)}")

    return (Case(*(filled(one, values) for one in template)) for values in combinations(gaps, seed))


def alike(tokenizer: BloomTokenizerFast, made: Iterable[Case], n: int) -> Cases:
    """The first `n` of the most frequent token count; fewer if there are not as many.

    A case is left out if its other text has another count than its text, or if an answer is not one token.

    Raises:
        InputError: every case is left out, or `n` is not a number of texts.
    """
    whole_within("n", n, 1, MOST)
    found: dict[int, list[Case]] = {}
    tried = 0
    for case in made:
        tried += 1
        tokens = len(tokenizer.encode(case.text))
        asked = [token for token in (case.answer, case.rival) if token]
        if any(len(tokenizer.encode(token)) != 1 for token in asked) or (
            case.other and len(tokenizer.encode(case.other)) != tokens
        ):
            continue
        found.setdefault(tokens, []).append(case)
        if len(found[tokens]) == n:
            break
    if not found:
        raise InputError(
            f"of {tried} ways to fill the gaps none gives a text with an other of as many tokens and answers of one "
            "token each; use other words, and begin an answer with the space before it"
        )
    tokens = max(found, key=lambda count: len(found[count]))
    return Cases(found[tokens], tokens, tried - len(found[tokens]))


def of_texts(texts: Iterable[str | Case]) -> list[Case]:
    """Each text as a case.

    Raises:
        InputError: there is none, too many, or something else than texts.
    """
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise InputError(f"texts is a list of texts, but got {shorten(texts)}; of a template, lab.cases makes one")
    found = [case if isinstance(case, Case) else Case(case) for case in texts]
    if not found:
        raise InputError("texts is empty; name at least one text, or leave texts out")
    if len(found) > MOST:
        raise InputError(f"texts holds {len(found):,} texts, but at most {MOST:,} are read; take a part of them")
    for case in found:
        if not all(isinstance(part, str) for part in case) or not case.text:
            raise InputError(f"texts is a list of texts, none of them empty, but holds {shorten(tuple(case))}")
    return found


def _parts(template: str) -> list[tuple[str, str]]:
    """A template cut into (text, gap); the last gap may be "".

    Raises:
        InputError: its braces do not fit together, or a gap is no simple name.
    """
    try:
        parsed = list(Formatter().parse(template))
    except ValueError as error:
        raise InputError(f"the template has a brace that does not fit ({error}); write {{{{ for a brace") from None
    if any(gap is not None and (not gap.isidentifier() or form or turned) for _, gap, form, turned in parsed):
        raise InputError("a gap of a template is a name in braces, such as {city}, and nothing else")
    return [(text, gap or "") for text, gap, *_ in parsed]
