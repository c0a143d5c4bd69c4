"""What lesson 08 says: a word tells the language, a score proves nothing, a causal head cannot look ahead."""

from statistics import mean

import torch

from bloomlab import Lab
from bloomlab.tiny.facts import PEOPLE
from tests.claims.claim import claim
from tests.claims.stories import one_token

LESSON = "notebooks/08_four_heads.ipynb"
TEXTS = [
    ("fr", "Leo vit à Oslo. Il a un chat."),
    ("en", "Leo lives in Oslo. He has a cat."),
    ("es", "Leo vive en Oslo. Tiene un gato."),
    ("id", "Leo tinggal di Oslo. Dia punya kucing."),
    ("vi", "Leo sống ở Oslo. Anh ấy có một con mèo."),
    ("pt", "Leo mora em Oslo. Ele tem um gato."),
]
CONTEXT = "Leo lives in Oslo. He has a cat. Ana lives in Lima. She has a dog."


def right(lab: Lab, tokens: int) -> float:
    """The share of texts whose language the head says after so many tokens."""
    cut = [text[: lab.tokens(text)[tokens - 1].span[1]] for _, text in TEXTS]
    return sum(lab.classify(part).label == code for part, (code, _) in zip(cut, TEXTS, strict=True)) / len(TEXTS)  # type: ignore[union-attr]


@claim(
    "One language-bearing word is usually enough; a bare name is not.",
    said_in=LESSON,
    value="share of 6 texts whose language is right after two words",
    control="after the name alone",
    holds=lambda value, control: value[0] > 0.6 and control[0] < 0.5,
)
def one_word_is_usually_enough(lab: Lab) -> tuple[float, float]:
    return right(lab, 3), right(lab, 1)


@claim(
    "To a question without an answer it may give a wrong place, sometimes with a high probability.",
    said_in=LESSON,
    value="highest score of an answer to 5 questions that the text does not answer",
    control="a third, of three answers that are equally likely",
    holds=lambda value, control: value[0] > control[0],
)
def a_wrong_place_may_score_high(lab: Lab) -> tuple[float, float]:
    questions = ["What does Leo eat?", "What does Ana eat?", "How old is Leo?", "How old is Ana?", "What is Leo's job?"]
    return max(lab.answer(question, CONTEXT).score for question in questions), 1 / 3  # type: ignore[union-attr]


@claim(
    "When these tokens were read, nobody had asked anything yet. The head cannot look ahead, and cannot read twice.",
    said_in=LESSON,
    value="largest difference of a start score in the text when another question follows it",
    control="when another question comes first",
    holds=lambda value, control: value[0] < 1e-4 and control[0] > 0.1,
    untrained="true of any causal model",
)
def a_causal_head_cannot_look_ahead(lab: Lab) -> tuple[float, float]:
    head, length = lab.heads["answer"], len(lab.tokens(CONTEXT))
    questions = [f"Where does {person} live?" for person in ("Leo", "Ana")]
    after = [torch.tensor([lab.tokenizer.encode(f"{CONTEXT}\n{question}")]) for question in questions]
    before = [torch.tensor([lab.tokenizer.encode(f"{question}\n{CONTEXT}")]) for question in questions]
    last = [head(ids).start_logits[0, :length].detach() for ids in after]
    first = [head(ids).start_logits[0, -length:].detach() for ids in before]
    return float((last[0] - last[1]).abs().max()), float((first[0] - first[1]).abs().max())


@claim(
    "Most bare names get a language all the same, though less surely than a sentence does.",
    said_in=LESSON,
    value="how sure the head is of 10 bare names, on average, and how many of them get a language",
    control="how sure it is of 6 texts, on average",
    holds=lambda value, control: value[0] < control[0] - 0.1 and value[-1] > 5,
)
def a_bare_name_gets_a_language(lab: Lab) -> tuple[list[float], float]:
    names = [lab.classify(name) for name in one_token(lab, PEOPLE, "")[:10]]
    texts = [lab.classify(text) for _, text in TEXTS]
    some_language = sum(name.label != "other" for name in names)  # type: ignore[union-attr]
    return [mean(name.score for name in names), some_language], mean(text.score for text in texts)  # type: ignore[union-attr]


@claim(
    "The head goes by the place: where a sentence begins, a person is named.",
    said_in=LESSON,
    value="share of 10 invented names that are a person to the head where a sentence begins",
    control="share that are a person where somebody lives",
    holds=lambda value, control: value[0] > 0.8 and control[0] < 0.2,
)
def the_place_makes_a_person(lab: Lab) -> tuple[float, float]:
    names = "Brimbo Zarko Wexil Tumbo Plim Drovik Fennix Gorlam Sibbet Trumpo".split()

    def person(text: str, name: str) -> bool:
        return any(found.tag == "PERSON" and found.text == name for found in lab.tag(text).entities)  # type: ignore[union-attr]

    begins = [person(f"Leo lives in Oslo. {name} has a cat.", name) for name in names]
    lives = [person(f"Leo lives in {name}. Ana has a cat.", name) for name in names]
    return sum(begins) / len(names), sum(lives) / len(names)
