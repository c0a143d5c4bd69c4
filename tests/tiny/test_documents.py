"""The documents are seeded, in the promised proportions, and true."""

import contextlib
import doctest
import io
import itertools
import random
import re

import pytest

from bloomlab.tiny.documents import KINDS, document, documents, python, sums
from bloomlab.tiny.facts import Fact, Pool, held_out
from bloomlab.tiny.language import LANGUAGES

ENGLISH = {"en": LANGUAGES["en"], "again": LANGUAGES["en"]}


def some(seed: str, count: int) -> list[str]:
    return [document.text for document in itertools.islice(documents(seed), count)]


def english(kind: str, seed: int, pool: Pool = Pool()) -> str:  # noqa: B008  # it is frozen
    return document(kind, random.Random(seed), pool, ENGLISH)


def test_the_same_seed_gives_the_same_documents() -> None:
    assert some("a", 50) == some("a", 50)
    assert some("a", 50) != some("b", 50)


@pytest.mark.slow
def test_seven_in_a_hundred_are_sums_and_ten_are_python() -> None:
    texts = some("shares", 6000)
    numbers = sum(bool(re.fullmatch(r"[0-9+= \n]+", text)) for text in texts)
    code = sum(text.startswith((">>>", "def ", "class ", "if ", "import ")) or "print(" in text for text in texts)
    assert 0.06 < numbers / 6000 < 0.08
    assert 0.085 < code / 6000 < 0.115


@pytest.mark.slow
@pytest.mark.parametrize("held", [False, True])
def test_no_document_crosses_the_line_between_training_and_held_out_pairs(held: bool) -> None:
    language, seen = LANGUAGES["en"], 0
    for seed in range(150):
        text = english("recap", seed, Pool(held=held, known=True))
        for sentence in re.findall(r"[^.\n]+\.", text):
            fact = language.parse(sentence.strip())
            if fact and "city" in fact.values and fact.values["person"] in sentence:
                seen += 1
                assert held_out(fact.values["person"], fact.values["city"]) == held
    assert seen > 50


def test_a_recap_says_what_the_story_said() -> None:
    language = LANGUAGES["en"]
    for seed in range(40):
        told, again = english("recap", seed).split("\n")
        first, *rest = re.findall(r"[^.]+\.", again)
        small = sum(told.count(sentence) for sentence in language.talk)
        assert first == language.again and len(rest) == told.count(".") - small


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["questions", "question first", "far"])
def test_every_answer_is_in_the_story(kind: str) -> None:
    language = LANGUAGES["en"]
    for seed in range(60):
        sentences = re.findall(r"[A-Z0-9][^.?]*[.?]", english(kind, seed))
        told = [fact for said in sentences if said.endswith(".") and (fact := language.parse(said))]
        asked = [i for i, said in enumerate(sentences) if said.endswith("?")]
        assert asked
        for i in asked:
            answer = sentences[-1] if kind == "question first" else sentences[i + 1]
            question = language.parse(sentences[i])
            assert question is not None
            same = [{**fact.values, "person": question.values["person"]} for fact in told if fact.kind == question.kind]
            assert answer in [language.write("answer", Fact(question.kind, values)) for values in same]


@pytest.mark.slow
def test_a_far_document_asks_about_its_beginning_only() -> None:
    language = LANGUAGES["en"]
    for seed in range(40):
        told, *asked = english("far", seed).split("\n")
        sentences = re.findall(r"[^.]+\.", told)
        for line in asked:
            fact = language.parse(line.split("?")[0] + "?")
            assert fact is not None
            person = fact.values["person"]
            assert any(person in sentence for sentence in sentences[:6])
            assert not any(person in sentence for sentence in sentences[-4:])


def test_one_story_in_six_is_long() -> None:
    assert sum(KINDS.values()) == pytest.approx(1) and 0.15 <= KINDS["far"] <= 0.20


def test_a_translation_has_two_labelled_lines() -> None:
    labels = tuple(language.label for language in LANGUAGES.values())
    for seed in range(40):
        lines = document("translation", random.Random(seed)).split("\n")
        assert len(lines) == 2 and all(line.startswith(labels) for line in lines)


def test_sums_are_right() -> None:
    for seed in range(100):
        for line in sums(random.Random(seed)).split("\n"):
            a, b, total = map(int, re.findall(r"\d+", line))
            assert a + b == total


@pytest.mark.slow
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
