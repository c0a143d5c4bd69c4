"""The documents are seeded, in the promised proportions, and true."""

import contextlib
import doctest
import io
import itertools
import random
import re

import pytest

from bloomlab.tiny.documents import documents, python, story, sums
from bloomlab.tiny.language import LANGUAGES
from bloomlab.tiny.world import Fact, held_out

ENGLISH = {"en": LANGUAGES["en"], "again": LANGUAGES["en"]}


def some(seed: str, count: int, held: bool = False) -> list[str]:
    return list(itertools.islice(documents(seed, held), count))


def test_the_same_seed_gives_the_same_documents() -> None:
    assert some("a", 50) == some("a", 50)
    assert some("a", 50) != some("b", 50)


def test_seven_in_a_hundred_are_sums_and_ten_are_python() -> None:
    texts = some("shares", 6000)
    numbers = sum(bool(re.fullmatch(r"[0-9+= \n]+", text)) for text in texts)
    code = sum(text.startswith((">>>", "def ", "class ", "if ", "import ")) or "print(" in text for text in texts)
    assert 0.06 < numbers / 6000 < 0.08
    assert 0.085 < code / 6000 < 0.115


@pytest.mark.parametrize("held", [False, True])
def test_no_document_crosses_the_line_between_training_and_held_out_pairs(held: bool) -> None:
    language, seen = LANGUAGES["en"], 0
    for seed in range(150):
        text = story("recap", random.Random(seed), held, ENGLISH)
        for sentence in re.findall(r"[^.\n]+\.", text):
            fact = language.parse(sentence.strip())
            if fact and "city" in fact.values and fact.values["person"] in sentence:
                seen += 1
                assert held_out(fact.values["person"], fact.values["city"]) == held
    assert seen > 50


def test_a_recap_says_what_the_story_said() -> None:
    language = LANGUAGES["en"]
    for seed in range(40):
        told, again = story("recap", random.Random(seed), False, ENGLISH).split("\n")
        first, *rest = re.findall(r"[^.]+\.", again)
        assert first == language.again and len(rest) == told.count(".")


@pytest.mark.parametrize("kind", ["question last", "question first"])
def test_the_answer_is_in_the_story(kind: str) -> None:
    language = LANGUAGES["en"]
    for seed in range(60):
        *rest, answer = re.findall(r"[A-Z0-9][^.?]*[.?]", story(kind, random.Random(seed), False, ENGLISH))
        asked = language.parse(next(sentence for sentence in rest if sentence.endswith("?")))
        assert asked is not None
        told = [fact for sentence in rest if sentence.endswith(".") and (fact := language.parse(sentence))]
        same = [{**fact.values, "person": asked.values["person"]} for fact in told if fact.kind == asked.kind]
        assert answer in [language.write("answer", Fact(asked.kind, values)) for values in same]


def test_a_translation_has_two_labelled_lines() -> None:
    labels = tuple(language.label for language in LANGUAGES.values())
    for seed in range(40):
        lines = story("translation", random.Random(seed), False, LANGUAGES).split("\n")
        assert len(lines) == 2 and all(line.startswith(labels) for line in lines)


def test_sums_are_right() -> None:
    for seed in range(100):
        for line in sums(random.Random(seed)).split("\n"):
            a, b, total = map(int, re.findall(r"\d+", line))
            assert a + b == total


def test_python_does_what_the_document_says() -> None:
    for seed in range(300):
        text = python(random.Random(seed))
        if text.startswith(">>>"):
            source = re.sub(r"(\n\.\.\. .*)\n(?!\.\.\.)", r"\1\n... \n", text)  # a terminal wants an empty line here
            test = doctest.DocTestParser().get_doctest(source + "\n", {}, "document", None, 0)
            assert doctest.DocTestRunner(verbose=False).run(test, out=lambda _: None).failed == 0, text
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(text, "document", "exec"), {})
        promised = re.findall(r"# (\S+)$", text)
        assert not promised or printed.getvalue().strip() == promised[-1], text
