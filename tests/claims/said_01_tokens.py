"""What lesson 01 says: what tokens cost in languages that were learned, and in those that were not."""

from functools import cache

from bloomlab import Lab
from bloomlab.lens import costs
from bloomlab.lens.costs import Cost
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
