"""What the model's card says: how it was trained, what it can do, and what it cannot."""

import ast
import itertools
import random
import re
from statistics import mean

import torch

from bloomlab import Lab, tiny
from bloomlab.lens import costs
from bloomlab.tiny.documents import Document, documents
from bloomlab.tiny.facts import CITIES, PEOPLE, Pool, spell
from bloomlab.tiny.labelled import columns
from bloomlab.tiny.language import LANGUAGES, Language
from bloomlab.tiny.measure import look_back, questions, recall, repeated_ids, sentences, token_before, write_on
from bloomlab.tiny.world import TAGS, Span, draw_story
from tests.claims.claim import claim
from tests.claims.stories import recaps

CARD = "bloomlab/tiny/README.md"
ABOUT_THE_TRAINING = "about the training, not about the weights"


# ------------------------------------------------------------------------------------- how it was trained


def loss_of_story(lab: Lab, document: Document) -> tuple[float, float, int, int]:
    """Of one document: the loss of its story, the loss of all, the tokens of its story, all tokens."""
    ids = torch.tensor([lab.tokenizer.encode(document.text)])
    told = len(lab.tokenizer.encode(document.text[: document.news])) - 1  # the first token is not foreseen
    with torch.no_grad():
        losses = torch.nn.functional.cross_entropy(lab.model(ids).logits[0, :-1], ids[0, 1:], reduction="none")
    return float(losses[:told].sum()), float(losses.sum()), told, len(losses)


@claim(
    "The stories themselves hold most of what even the finished model cannot foresee",
    said_in=CARD,
    value="share of the loss that falls on the stories of 100 documents, not on what follows from them",
    control="share of the tokens",
    holds=lambda value, control: value[0] > 0.75 and value[0] > control[0] + 0.1,
)
def the_stories_hold_most_of_the_loss(lab: Lab) -> tuple[float, float]:
    drawn = itertools.islice(documents("claims", Pool(held=True)), 130)
    parts = [loss_of_story(lab, document) for document in drawn if document.news][:100]
    loss, every_loss, tokens, every_token = (sum(part) for part in zip(*parts, strict=True))
    return loss / every_loss, tokens / every_token


@claim(
    "Most documents are short, so what it needs is seldom far.",
    said_in=CARD,
    value="share of 200 documents with fewer than 128 tokens",
    control="with more than 256, the length of a row",
    holds=lambda value, control: value[0] > 0.75 and control[0] < 0.05,
    untrained=ABOUT_THE_TRAINING,
)
def most_documents_are_short(lab: Lab) -> tuple[float, float]:
    lengths = [len(lab.tokenizer.encode(document.text)) for document in itertools.islice(documents("claims"), 200)]
    return mean(length < 128 for length in lengths), mean(length > 256 for length in lengths)


def history(column: str) -> dict[int, float]:
    """What was measured at each step of the training."""
    measured = tiny.history()
    return dict(zip(map(int, measured["step"]), measured[column], strict=True))


def reached(column: str, level: float) -> float:
    """The first step that measured more than this."""
    return float(min(step for step, value in history(column).items() if value > level))


@claim(
    "For a third of the training no head does it, then within a few hundred steps there is one",
    said_in=CARD,
    value="steps from when the best head gives a tenth of its attention to what came next last time, to three quarters",
    control="steps before that",
    holds=lambda value, control: value[0] < 500 and control[0] > 4800 / 3 - 1,
    untrained=ABOUT_THE_TRAINING,
)
def looking_back_comes_at_once(lab: Lab) -> tuple[float, float]:
    before = max(step for step, value in history("induction").items() if value < 0.1)
    return reached("induction", 0.75) - before, before


@claim(
    "telling people apart comes later (near), and answering across 120 tokens with it (far).",
    said_in=CARD,
    value="steps until more than 55 % of the questions about two people are answered right: near, far",
    control="steps until the best head gives more than half of its attention to what came next last time",
    holds=lambda value, control: min(value) > max(control) and max(value) - min(value) < 500,
    untrained=ABOUT_THE_TRAINING,
)
def telling_people_apart_comes_later(lab: Lab) -> tuple[list[float], float]:
    return [reached(column, 0.55) for column in ("near", "far")], reached("induction", 0.5)


# ---------------------------------------------------------------------------------------------- its limits

ELSEWHERE = {
    "en": [
        "Water boils at one hundred degrees.",
        "The train leaves at nine from platform two.",
        "She forgot her umbrella at the office.",
        "We are looking for a cheaper flat.",
        "Could you pass me the salt, please?",
        "The committee will meet again on Thursday.",
        "Nobody answered when he rang the bell.",
        "Light travels faster than sound.",
    ],
    "fr": ["Le train part à neuf heures.", "Elle a oublié son parapluie.", "Nous cherchons un appartement."],
    "es": ["El tren sale a las nueve.", "Se olvidó el paraguas en la oficina.", "Buscamos un piso más barato."],
    "pt": ["O comboio parte às nove.", "Ela esqueceu o guarda-chuva no escritório."],
    "sw": ["Treni inaondoka saa tatu.", "Alisahau mwavuli wake ofisini."],
}
"""Real sentences about other things than those of the tiny world, in five of its languages."""


@claim(
    "It knows its world and nothing else.",
    said_in=CARD,
    value="bits of surprise a byte, 8 stories of its world",
    control="8 English sentences about other things",
    holds=lambda value, control: max(value) < 1.5 and min(control) > 4,
)
def it_knows_its_world_only(lab: Lab) -> tuple[list[float], list[float]]:
    def bits(text: str) -> float:
        return costs.cost(lab.trace(text, read=costs.READ)).bits_per_byte or 0.0

    return [bits(story.text) for story in recaps(lab, 8)], [bits(text) for text in ELSEWHERE["en"]]


@claim(
    "A prompt needs a word that tells the language: after a bare name it picks any.",
    said_in=CARD,
    value="languages that it goes on in after 10 bare names",
    control="after the same names and a French verb",
    holds=lambda value, control: value[0] >= 3 and control[0] == 1,
    untrained="an untrained model writes in no language, and the untrained head names any",
)
def after_a_bare_name_it_picks_any_language(lab: Lab) -> tuple[float, float]:
    def languages(verb: str) -> float:
        texts = [lab.generate(name + verb, max_new_tokens=10) for name in list(PEOPLE)[:10]]
        return float(len({result.label for result in lab.classify(texts)}))

    return languages(""), languages(" vit")


def only_the_gender_is_wrong(language: Language, sentence: str) -> bool:
    """Whether the sentence is right with another person in it, in the place of a word that is no city."""
    cities = {language.word("city", city)["one"] for city in CITIES}
    words = set(re.findall(r"[^\s.?!。？؟।,']+", sentence)) - cities
    people = [spell(person, language.code) for person in ("Leo", "Ana")]
    return any(language.says(sentence.replace(word, person)) for word in words for person in people)


@claim(
    "What is wrong in its greedy texts is mostly the gender of a person, and the loop repeats it.",
    said_in=CARD,
    value="share of the ungrammatical sentences that would be right about another person",
    control="share of the others",
    holds=lambda value, control: value[0] > 0.5 > control[0],
)
def most_slips_are_of_gender(lab: Lab) -> tuple[float, float]:
    written = write_on(lab.model, lab.tokenizer, 12)
    every = [(language, sentence) for language, text in written for sentence in sentences(text)]
    wrong = [(language, sentence) for language, sentence in every if not language.says(sentence)]
    if not wrong:
        return 0.0, 0.0
    share = mean(only_the_gender_is_wrong(language, sentence) for language, sentence in wrong)
    return share, 1 - share


@claim(
    "Greedy text falls into loops; sample at a temperature of about 0.7.",
    said_in=CARD,
    value="different words for each word written, greedy, mean of 5 texts of 60 tokens",
    control="drawn at temperature 0.7",
    holds=lambda value, control: value[0] < control[0] - 0.2,
    untrained="greedy texts of an untrained model repeat themselves even more",
)
def greedy_text_falls_into_loops(lab: Lab) -> tuple[float, float]:
    def variety(**settings: float | bool) -> float:
        texts = [
            lab.generate(f"{name} lives in", max_new_tokens=60, **settings).split()
            for name in ("Leo", "Ana", "Ivan", "Mei", "Omar")
        ]
        return mean(len(set(words)) / len(words) for words in texts)

    return variety(), variety(do_sample=True, temperature=0.7, seed=1)


@claim(
    "It tells people apart less often than a person would, and the less the more there are: see the table.",
    said_in=CARD,
    value="share of 60 questions about one person that it answers right",
    control="about one of four people",
    holds=lambda value, control: value[0] > 0.9 and control[0] < value[0] - 0.1,
)
def the_more_people_the_fewer_are_told_apart(lab: Lab) -> tuple[float, float]:
    one, four = (mean(recall(lab.model, lab.tokenizer, questions(lab.tokenizer, 60, people=n))) for n in (1, 4))
    return one, four


def sums_right(lab: Lab, numbers: range, prompt: str = "{} + {} =", answer: str = " {}") -> float:
    """The share of the sums of two of these numbers that it knows, every third of them asked."""
    pairs = list(itertools.product(numbers, repeat=2))[::3]
    return mean(recall(lab.model, lab.tokenizer, [(prompt.format(a, b), answer.format(a + b)) for a, b in pairs]))


@claim(
    "It knows most of the sums up to 12 + 12, all of which it has read, and none beyond.",
    said_in=CARD,
    value="share of the sums of two numbers up to 12 that it knows",
    control="of two numbers from 13 to 24",
    holds=lambda value, control: value[0] > 0.8 and control[0] < 0.1,
)
def it_knows_the_sums_that_it_has_read(lab: Lab) -> tuple[float, float]:
    return sums_right(lab, range(13)), sums_right(lab, range(13, 25))


@claim(
    "Its Python has the form of Python, but it does not calculate in it: after >>> 3 + 4 it guesses.",
    said_in=CARD,
    value="share of 7 openings that it goes on with as Python can read",
    control="share of right results after >>> and a sum of two digits",
    holds=lambda value, control: value[0] > 0.8 and control[0] < 0.3,
)
def its_python_has_the_form_of_python(lab: Lab) -> tuple[float, float]:
    openings = ["def add(a, b):", "def subtract(a, b):", "class Cat:", "class Dog:", "if 3 > 5:", "if 7 > 2:"]
    return mean(
        python_can_read(lab.generate(opening, max_new_tokens=60, eos_token_id=lab.tokenizer.eos_token_id))
        for opening in [*openings, "import random"]
    ), sums_right(lab, range(10), ">>> {} + {}", "\n{}")


def python_can_read(text: str) -> bool:
    try:
        ast.parse(text.removesuffix("</s>"))
    except SyntaxError:
        return False
    return "\n" in text.strip()


AT_THE_START, BEHIND = "{} is the birthplace of Leo.", "Leo lives in {}."


def tagged(lab: Lab, cities: list[str], sentence: str, tag: str, which: int = -1) -> float:
    """The share of cities that bear this tag in a sentence, at their last token or, with 0, at their first."""
    tags = []
    for city in cities:
        encoded = lab.tokenizer([sentence.format(city)], return_offsets_mapping=True, return_tensors="pt")
        start = sentence.index("{")
        place = columns(Span(start, start + len(city), "CITY"), encoded["offset_mapping"].tolist()[0])[which]
        with torch.no_grad():
            tags.append(TAGS[int(lab.heads["tags"](encoded["input_ids"]).logits[0, place].argmax())])
    return mean(one == tag for one in tags)


@claim(
    "At the start of a sentence, a city of several tokens is only known at its last one",
    said_in=CARD,
    value="share of the cities of several tokens that are tagged as a city there, at their last token",
    control="at their first token",
    holds=lambda value, control: value[0] > 0.6 and control[0] < 0.2,
)
def a_word_is_known_at_its_last_token(lab: Lab) -> tuple[float, float]:
    cities = [city for city in CITIES if len(lab.tokens(city)) > 1]
    last, first = (tagged(lab, cities, AT_THE_START, "CITY", which) for which in (-1, 0))
    return last, first


@claim(
    "a city that it has never read is taken for a person; behind “lives in” it tags even such a city.",
    said_in=CARD,
    value="share of 40 cities in spellings never read: tagged as a city behind “lives in”, as a person at the start",
    control="tagged as a person behind “lives in”, as a city at the start",
    holds=lambda value, control: min(value) > 0.8 and max(control) < 0.2,
)
def a_new_city_at_the_start_is_taken_for_a_person(lab: Lab) -> tuple[list[float], list[float]]:
    rng, pool = random.Random(0), Pool(unseen=True)
    drawn = (pool.city("Leo", rng) for _ in itertools.count())
    cities = list(itertools.islice((city for city in drawn if city not in CITIES), 40))
    right, wrong = ("CITY", "PERSON"), ("PERSON", "CITY")
    return [tagged(lab, cities, text, tag) for text, tag in zip((BEHIND, AT_THE_START), right, strict=True)], [
        tagged(lab, cities, text, tag) for text, tag in zip((BEHIND, AT_THE_START), wrong, strict=True)
    ]


@claim(
    "No head gives the token before half of its attention on random tokens, where content is no help",
    said_in=CARD,
    value="most attention that one of the 32 heads gives to what came next last time",
    control="to the token before",
    holds=lambda value, control: value[0] > 0.5 > control[0],
)
def no_head_looks_at_the_token_before_only(lab: Lab) -> tuple[float, float]:
    ids = repeated_ids(8, vocab_size=lab.model.config.vocab_size)
    return float(look_back(lab.model)[0].max()), float(token_before(lab.model, ids).max())


@claim(
    "The language head knows a language by the words of this world.",
    said_in=CARD,
    value="share of 50 stories of this world whose language it names right, five languages",
    control="of 18 sentences about other things, in the same languages",
    holds=lambda value, control: value[0] > 0.9 and control[0] < 0.6,
)
def a_language_is_known_by_the_words_of_this_world(lab: Lab) -> tuple[float, float]:
    def right(texts: dict[str, list[str]]) -> float:
        return float(mean(lab.classify(text).label == code for code, each in texts.items() for text in each))

    rng = random.Random(0)
    world = {code: [draw_story(rng, LANGUAGES[code], 1, Pool(held=True)).text for _ in range(10)] for code in ELSEWHERE}
    return right(world), right(ELSEWHERE)


@claim(
    "a question without an answer gets one too, often with a probability above one half",
    said_in=CARD,
    value="share of 60 questions about other stories whose answer has a probability above one half",
    control="a tenth: what would be seldom",
    holds=lambda value, control: value[0] > 0.2 > control[0],
)
def a_question_without_an_answer_gets_one(lab: Lab) -> tuple[float, float]:
    rng, english = random.Random(0), LANGUAGES["en"]
    sure = []
    for _ in range(60):
        asked, told = (draw_story(rng, english, 2, Pool(held=True)) for _ in range(2))
        sure.append(lab.answer(rng.choice(asked.questions).question, told.text).score > 0.5)
    return mean(sure), 0.1
