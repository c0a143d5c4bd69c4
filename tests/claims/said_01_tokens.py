"""What lesson 01 says: what tokens cost in languages that were learned, and in those that were not."""

from functools import cache
from itertools import islice

import torch

from bloomlab import Lab
from bloomlab.lens import costs
from bloomlab.lens.costs import Cost
from bloomlab.tiny.documents import documents
from tests.claims.claim import claim
from tests.claims.stories import recaps

LESSON = "notebooks/01_tokens.ipynb"
READ = ["Leo lives in Oslo.", "Leo habite à Oslo.", "利奥住在奥斯陆。", "يعيش ليو في أوسلو.", "लियो ओस्लो में रहता है।"]
NEVER_READ = ["Leo wohnt in Oslo.", "Лео живёт в Осло."]
ABOUT_THE_TOKENIZER = "about the tokenizer, not about the weights"


def bytes_a_token(lab: Lab, text: str) -> float:
    """How many bytes a token of this text holds on average."""
    tokens = lab.tokens(text)
    return sum(len(token.bytes) for token in tokens) / len(tokens)


@cache
def cost(lab: Lab, text: str) -> Cost:
    return costs.cost(lab.trace(text, read=costs.READ))


@claim(
    "Russian has nothing to borrow: nearly every byte stays alone, and each of its letters has two.",
    said_in=LESSON,
    value="bytes in a token of 5 Russian sentences",
    control="of 5 English ones",
    holds=lambda value, control: max(value) < 1.5 and min(control) > 2,
    untrained=ABOUT_THE_TOKENIZER,
)
def russian_stays_in_bytes(lab: Lab) -> tuple[list[float], list[float]]:
    russian = [f"{name} живёт в Осло." for name in ("Лео", "Анна", "Иван", "Нина", "Карим")]
    english = [f"{name} lives in Oslo." for name in ("Leo", "Anna", "Ivan", "Nina", "Karim")]
    return [bytes_a_token(lab, text) for text in russian], [bytes_a_token(lab, text) for text in english]


@claim(
    "Where a language was learned it is a bit or two at most",
    said_in=LESSON,
    value="bits of surprise a byte, 5 languages that were learned",
    control="2 languages that were not",
    holds=lambda value, control: max(value) < 2.5 and max(control) > 8,
)
def a_learned_language_costs_few_bits(lab: Lab) -> tuple[list[float], list[float]]:
    return [cost(lab, text).bits_per_byte or 0.0 for text in READ], [
        cost(lab, text).bits_per_byte or 0.0 for text in NEVER_READ
    ]


@claim(
    "English costs about one token for four characters.",
    said_in=LESSON,
    value="characters a token, 8 English stories",
    control="8 Russian sentences of the same length",
    holds=lambda value, control: min(value) > 2.8 and max(value) < 5 and max(control) < 1,
    untrained=ABOUT_THE_TOKENIZER,
)
def english_costs_a_token_for_four_characters(lab: Lab) -> tuple[list[float], list[float]]:
    stories = [story.text for story in recaps(lab, 8)]
    russian = [("Лео живёт в Осло. " * 9)[: len(text)] for text in stories]
    return [len(text) / len(lab.tokens(text)) for text in stories], [
        len(text) / len(lab.tokens(text)) for text in russian
    ]


@cache
def read_in_training() -> str:
    """The first 4,000 documents of a training."""
    return "\n".join(text for text, _ in islice(documents("0 step 0"), 4_000))


@claim(
    "The model was never shown an emoji.",
    said_in=LESSON,
    value="emoji in 4,000 documents of the training",
    control="Arabic letters in them",
    holds=lambda value, control: value[0] == 0 and control[0] > 1_000,
    untrained="about the training, not about the weights",
)
def no_emoji_was_read(lab: Lab) -> tuple[float, float]:
    text = read_in_training()
    return sum(character >= "\U0001f000" for character in text), sum("\u0600" <= one <= "\u06ff" for one in text)


@claim(
    "The model has read the first five; German and Russian it has never seen.",
    said_in=LESSON,
    value="how often 'lives', 'habite', '住在', 'يعيش', 'रहता' occur in 4,000 documents of the training",
    control="how often 'wohnt', 'живёт', and any Cyrillic letter occur",
    holds=lambda value, control: min(value) > 50 and max(control) == 0,
    untrained="about the training, not about the weights",
)
def five_languages_were_read(lab: Lab) -> tuple[list[float], list[float]]:
    text = read_in_training()
    cyrillic = sum("\u0400" <= one <= "\u04ff" for one in text)
    return [text.count(word) for word in ("lives", "habite", "住在", "يعيش", "रहता")], [
        text.count("wohnt"),
        text.count("живёт"),
        cyrillic,
    ]


ENGLISH = [
    "Leo lives in Oslo.",
    "Ana has two red apples.",
    "Mei knows Ivan.",
    "Where does Ana live?",
    "Nina lives in Lima.",
]
RUSSIAN = ["Лео живёт в Осло.", "У Анны есть кошка.", "Где живёт Анна?", "Дом очень старый.", "Собака спит в саду."]


@claim(
    "In Russian the model is surer of what comes next than in English, and wrong more often.",
    said_in=LESSON,
    value="probability of its first choice, then share of first choices that were wrong, 5 Russian sentences",
    control="the same of 5 English ones",
    holds=lambda value, control: min(value[:5]) > max(control[:5]) and sum(value[5:]) > sum(control[5:]) + 0.5,
)
def it_is_sure_and_wrong(lab: Lab) -> tuple[list[float], list[float]]:
    def sure_and_wrong(text: str) -> tuple[float, float]:
        ids = torch.tensor(lab.tokens(text).ids)
        best = lab.trace(text, read=["logits"])["logits"][0, :-1].softmax(-1).max(-1)
        return float(best.values.mean()), float((best.indices != ids[1:]).float().mean())

    def both(texts: list[str]) -> list[float]:
        sure, wrong = zip(*map(sure_and_wrong, texts), strict=True)
        return [*sure, *wrong]

    return both(RUSSIAN), both(ENGLISH)


@claim(
    "Arabic and Hindi look the cheapest here, since each of their letters takes two or three bytes; counted by the "
    "letter, they cost more than English and French.",
    said_in=LESSON,
    value="bits a character of the Arabic and the Hindi sentence, less what the dearer of English and French costs",
    control="the same in bits per byte, less what the dearest of all that were learned costs",
    holds=lambda value, control: min(value) > 0.2 and max(control) < 0,
    untrained="without training every byte costs about the same, so letters of more bytes cost more too",
)
def by_the_letter_they_cost_more(lab: Lab) -> tuple[list[float], list[float]]:
    costs = [cost(lab, text) for text in READ]
    by_byte = [each.bits_per_byte or 0.0 for each in costs]
    by_letter = [bits * each.bytes / each.characters for bits, each in zip(by_byte, costs, strict=True)]
    return [one - max(by_letter[:2]) for one in by_letter[3:]], [one - max(by_byte[:3]) for one in by_byte[3:]]
