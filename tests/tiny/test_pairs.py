"""Pairs of stories: as many tokens each, one city apart, in two templates and four languages."""

from typing import Any

import pytest

import bloomlab
from bloomlab.errors import InputError
from bloomlab.lab import Lab
from bloomlab.tiny.pairs import recaps


@pytest.fixture(scope="module")
def lab() -> Lab:
    return bloomlab.load()


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "fr", "es", "pt"])
@pytest.mark.parametrize("first", ["lives", "has"])
def test_a_pair_differs_in_one_token_which_the_model_knows(lab: Lab, language: str, first: str) -> None:
    pairs = recaps(lab.tokenizer, 12, language=language, first=first)
    assert len({pair.text for pair in pairs}) == 12
    for text, other, answer, rival in pairs:
        ids, others = (lab.tokenizer.encode(story) for story in (text, other))
        apart = [place for place, (a, b) in enumerate(zip(ids, others, strict=True)) if a != b]
        assert len(ids) == pairs.tokens and len(apart) == 1
        assert [lab.tokenizer.encode(answer), lab.tokenizer.encode(rival)] == [[ids[apart[0]]], [others[apart[0]]]]
    logits = lab.trace([pair.text for pair in pairs], ["logits"])["logits"][:, -1]
    right = [lab.tokenizer.encode(pair.answer)[0] for pair in pairs]
    assert sum(int(row.argmax()) == token for row, token in zip(logits, right, strict=True)) >= 11


def test_the_same_seed_gives_the_same_stories(lab: Lab) -> None:
    first, again, other = (list(recaps(lab.tokenizer, 5, seed)) for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"language": "zh"}, "not in 'zh'"), ({"first": "eats"}, "'lives' or 'has'"), ({"n": 0}, "from 1 to 1000")],
)
def test_other_stories_are_refused(lab: Lab, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        recaps(lab.tokenizer, **arguments)
