"""What the embedded model reads: short documents about the tiny world, lines of Python, and sums.

Seven documents in a hundred are sums and ten are Python. The rest, in one of ten languages, are a story with
a recap, a story with a question and its answer, the question before the story, or a translation. Every
second half can be worked out from the first: that is what teaches a model to look back.
"""

import random
from collections.abc import Iterator, Mapping

from bloomlab.tiny.language import LANGUAGES, Language
from bloomlab.tiny.world import FACTS, PEOPLE, WORDS, Fact, draw_fact, draw_person


def documents(seed: str, held: bool = False, languages: Mapping[str, Language] = LANGUAGES) -> Iterator[str]:
    """Documents without end, the same ones for the same seed.

    `held` takes every (person, city) pair from those that training never shows.
    """
    rng = random.Random(seed)
    kinds = {"recap": 0.35, "question last": 0.25, "question first": 0.20, "translation": 0.20}
    while True:
        place = rng.random()
        if place < 0.07:
            yield sums(rng)
        elif place < 0.17:
            yield python(rng)
        else:
            kind = rng.choices(list(kinds), list(kinds.values()))[0]
            yield story(kind, rng, held, languages)


# --------------------------------------------------------------------------------------------- stories


def story(kind: str, rng: random.Random, held: bool, languages: Mapping[str, Language]) -> str:
    """A document of one of the four kinds, in a language drawn at random.

    >>> print(story("question last", random.Random(31), False, LANGUAGES))
    Foha has a cat. She lives in Shanghai. She was born in Beijing.
    Which animal does Foha have? A cat.
    """
    language, other = rng.sample(list(languages.values()), 2)
    if kind == "translation":
        facts = draw_facts(rng, held, people=1, each=rng.choice((1, 2)))
        return f"{language.label} {tell(facts, language, rng)}\n{other.label} {tell(facts, other, rng)}"

    people = rng.choice((1, 2))
    facts = draw_facts(rng, held, people, each=rng.choice((2, 3) if people == 1 else (1, 2)))
    told = tell(facts, language, rng)
    if kind == "recap":
        again = [language.say(fact, rng) for fact in rng.sample(facts, len(facts))]
        return f"{told}\n{language.gap.join([language.again, *again])}"

    fact = rng.choice(facts)
    ask, answer = language.write("ask", fact), language.write("answer", fact)
    if kind == "question last":
        return f"{told}\n{language.gap.join([ask, answer])}"
    return f"{ask}\n{told}\n{answer}"


def draw_facts(rng: random.Random, held: bool, people: int, each: int) -> list[Fact]:
    """`each` facts about each of `people` people; two people are told apart by facts of the same kinds."""
    kinds = rng.sample(list(FACTS), each)
    facts: list[Fact] = []
    for _ in range(people):
        person = draw_person(rng, but=facts[0].values["person"] if facts else "")
        animal = rng.choice(WORDS["animal"])
        facts += [draw_fact(kind, person, animal, rng, held) for kind in kinds]
    return facts


def tell(facts: list[Fact], language: Language, rng: random.Random) -> str:
    """Say the facts one after the other: by name, and by pronoun while it is about the same person."""
    sentences, last = [], ""
    for fact in facts:
        person = fact.values["person"]
        sentences.append(language.write("they", fact) if person == last else language.say(fact, rng))
        last = person
    return language.gap.join(sentences)


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
