"""What the embedded model reads: documents about the tiny world, lines of Python, and sums.

Seven documents in a hundred are sums and ten are Python. The rest are in one of ten languages: a story with a
recap, with questions and their answers, with its question before it, a translation; and, one in six, a long story
that is asked about what it said at the beginning. Every second half can be worked out from the first: that is what
teaches a model to look back, and to keep apart who is who.
"""

import random
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from bloomlab.tiny.facts import FACTS, PEOPLE, TRAINING, WORDS, Fact, Pool, draw_fact, draw_facts
from bloomlab.tiny.language import LANGUAGES, Language
from bloomlab.tiny.world import draw_story, join, shuffled, tell

SHORT = {"recap": 0.15, "questions": 0.38, "question first": 0.17, "translation": 0.13}
KINDS = {**SHORT, "far": 0.17}


class Document(NamedTuple):
    """A text, and how many of its characters say something new: what comes after them follows from them."""

    text: str
    news: int


def documents(
    seed: str,
    pool: Pool = TRAINING,
    languages: Mapping[str, Language] = LANGUAGES,
    kinds: Mapping[str, float] = KINDS,
) -> Iterator[Document]:
    """Documents without end, the same ones for the same seed; stories are of these kinds, in these shares."""
    rng = random.Random(seed)
    while True:
        place = rng.random()
        if place < 0.07:
            yield Document(sums(rng), 0)
        elif place < 0.17:
            yield Document(python(rng), 0)
        else:
            kind = rng.choices(list(kinds), list(kinds.values()))[0]
            text = document(kind, rng, pool, languages)
            yield Document(text, text.rindex("\n") if kind == "question first" else text.index("\n"))


# --------------------------------------------------------------------------------------------- stories


def document(
    kind: str, rng: random.Random, pool: Pool = TRAINING, languages: Mapping[str, Language] = LANGUAGES
) -> str:
    """A document of one of the KINDS, in a language drawn at random."""
    language, *others = rng.sample(list(languages.values()), min(len(languages), 2))
    if kind == "far":
        return far(rng, language, pool)
    if kind == "translation":
        (facts,) = draw_facts(rng, people=1, each=rng.choice((1, 2, 3)), pool=pool)
        other = others[0]
        return f"{language.label} {tell(facts, language, rng).text}\n{other.label} {tell(facts, other, rng).text}"

    told = draw_story(rng, language, rng.choice((1, 2, 2, 3)), pool)
    if kind == "recap":
        again = [language.say(fact, rng) for fact in rng.sample(told.facts, len(told.facts))]
        return f"{told.text}\n{language.gap.join([language.again, *again])}"
    if kind == "questions":
        return ask(told.text, rng.sample(told.facts, rng.randint(1, len(told.facts))), language)
    fact = rng.choice(told.facts)
    return f"{language.write('ask', fact)}\n{told.text}\n{language.write('answer', fact)}"


def ask(text: str, facts: list[Fact], language: Language) -> str:
    """A text, and below it a question and its answer for each fact."""
    pairs = [join(language.write("ask", fact), language.write("answer", fact), language) for fact in facts]
    return "\n".join([text, *pairs])


def far(rng: random.Random, language: Language, pool: Pool = TRAINING, between: range = range(4, 18)) -> str:
    """A long document: facts about two or three people, sentences about others, then questions about the first."""
    early = shuffled(draw_facts(rng, people=rng.choice((2, 3)), each=rng.choice((1, 2)), pool=pool), rng)
    names = tuple({fact.values["person"] for fact in early})
    text = join(tell(early, language, rng).text, filler(rng, language, rng.choice(between), names, pool), language)
    return ask(text, rng.sample(early, min(len(early), 4)), language)


def filler(rng: random.Random, language: Language, count: int, names: tuple[str, ...], pool: Pool = TRAINING) -> str:
    """So many sentences that have nothing to do with the people of these names: small talk, and facts about others."""
    others = [pool.person(rng, but=names) for _ in range(3)]
    pairs = [(person, kind) for person in others for kind in FACTS]
    facts = [
        draw_fact(kind, person, rng.choice(WORDS["animal"]), rng, pool) for person, kind in rng.sample(pairs, count)
    ]
    return tell(sorted(facts, key=lambda fact: others.index(fact.values["person"])), language, rng, talk=0.3).text


# ------------------------------------------------------------------------------------- Python and sums


def python(rng: random.Random) -> str:
    """A few lines of Python, with what they print where they print something."""
    a, b = rng.randint(0, 9), rng.randint(0, 9)
    name, friend = rng.sample(list(PEOPLE), 2)
    thing = rng.choice(WORDS["animal"])
    verb, sign, result = rng.choice((("add", "+", a + b), ("subtract", "-", a - b), ("multiply", "*", a * b)))
    return rng.choice(
        (
            f">>> x = {a}\n>>> y = {b}\n>>> x {sign} y\n{result}",
            f">>> {a} {sign} {b}\n{result}",
            f">>> names = ['{name}', '{friend}']\n>>> names[{b % 2}]\n'{(name, friend)[b % 2]}'",
            f">>> len('{thing}')\n{len(thing)}",
            f">>> for i in range({2 + a % 4}):\n...     print(i)\n" + "\n".join(map(str, range(2 + a % 4))),
            f"def {verb}(a, b):\n    return a {sign} b\n\nprint({verb}({a}, {b}))  # {result}",
            f"class {thing.capitalize()}:\n    def __init__(self, name):\n        self.name = name\n",
            f"{thing} = '{name}'\nprint({thing})  # {name}",
            f"ages = {{'{name}': {10 + a}, '{friend}': {10 + b}}}\nprint(ages['{name}'])  # {10 + a}",
            f"if {a} > {b}:\n    print('yes')\nelse:\n    print('no')\n# {'yes' if a > b else 'no'}",
            f"import random\nrandom.seed({a})\nprint(random.choice(['{name}', '{friend}']))",
        )
    )


def sums(rng: random.Random) -> str:
    """Three to five sums of numbers up to twelve: 7 + 5 = 12."""
    lines = []
    for _ in range(rng.randint(3, 5)):
        a, b = rng.randint(0, 12), rng.randint(0, 12)
        lines.append(f"{a} + {b} = {a + b}")
    return "\n".join(lines)
