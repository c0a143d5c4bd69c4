"""What lesson 07 says: a low temperature is not quite greedy, and greedy texts repeat themselves."""

from bloomlab import Lab
from bloomlab.generation.sampling import keep_top_p
from tests.claims.claim import claim
from tests.claims.stories import recaps

LESSON = "notebooks/07_generation.ipynb"
STARTS = ["Leo lives in", "Ana has a", "Ivan eats", "Mei works as a", "Omar lives in"]


@claim(
    "At 0 it would be greedy; at 0.1 it is not quite: where two tokens are nearly equally likely, either may be drawn.",
    said_in=LESSON,
    value="texts of 5 drawn at temperature 0.1 that differ from the greedy one",
    control="at temperature 0.0001",
    holds=lambda value, control: value[0] >= 1 and control[0] == 0,
)
def a_low_temperature_is_not_quite_greedy(lab: Lab) -> tuple[float, float]:
    greedy = [lab.generate(start, max_new_tokens=20) for start in STARTS]

    def different(temperature: float) -> float:
        drawn = [
            lab.generate(start, max_new_tokens=20, do_sample=True, temperature=temperature, seed=4) for start in STARTS
        ]
        return float(sum(one != other for one, other in zip(drawn, greedy, strict=True)))

    return different(0.1), different(0.0001)


@claim(
    "Nearly every sentence is good, and the text is poor: it repeats itself.",
    said_in=LESSON,
    value="different words for each word written, greedy, mean of 5 texts of 80 tokens",
    control="drawn at temperature 1",
    holds=lambda value, control: value[0] < control[0] - 0.05,
    untrained="greedy texts of an untrained model repeat themselves even more",
)
def greedy_texts_repeat_themselves(lab: Lab) -> tuple[float, float]:
    def variety(**settings: float | bool) -> float:
        texts = [lab.generate(start, max_new_tokens=80, **settings).split() for start in STARTS]  # type: ignore[union-attr]
        return sum(len(set(words)) / len(words) for words in texts) / len(texts)

    return variety(), variety(do_sample=True, seed=1)


def as_open_as(lab: Lab, start: str, temperature: float) -> float:
    """A choice among how many equal tokens would be as open, as a share of the vocabulary."""
    logs = (lab.trace(start, read=["logits"])["logits"][0, -1] / temperature).log_softmax(-1)
    return float((-(logs.exp() * logs).sum()).exp()) / len(logs)


@claim(
    "At 100 nearly every token has the same chance, whatever the model thinks.",
    said_in=LESSON,
    value="a choice among which share of the vocabulary would be as open, at temperature 100, 5 texts",
    control="at temperature 1",
    holds=lambda value, control: min(value) > 0.98 and max(control) < 0.2,
)
def at_100_all_tokens_are_alike(lab: Lab) -> tuple[list[float], list[float]]:
    return [as_open_as(lab, start, 100) for start in STARTS], [as_open_as(lab, start, 1) for start in STARTS]


OPEN = ["Leo", "Ana lives in", "Mei has a", "Ivan eats", "Omar works as a"]


@claim(
    "Top-p follows the model: where it is sure, it keeps a token or two, and where much is possible, many.",
    said_in=LESSON,
    value="tokens that top-p 0.9 keeps at the end of 5 recaps, and after '7 + 5 ='",
    control="after 5 beginnings",
    holds=lambda value, control: max(value) <= 2 and min(control) > 5,
)
def top_p_follows_the_model(lab: Lab) -> tuple[list[float], list[float]]:
    def kept(text: str) -> float:
        logits = lab.trace(text, read=["logits"])["logits"][:, -1]
        return float(keep_top_p(logits, 0.9).isfinite().sum())

    sure = [*(story.text for story in recaps(lab, 5)), "7 + 5 ="]
    return [kept(text) for text in sure], [kept(text) for text in OPEN]


@claim(
    "None is far ahead: nothing in the text says which animal.",
    said_in=LESSON,
    value="probability of the likeliest token after 'Leo has a'",
    control="after the same in a story that is told again, in which it was said",
    holds=lambda value, control: value[0] < 0.3 and control[0] > 0.9,
)
def no_animal_is_far_ahead(lab: Lab) -> tuple[float, float]:
    def likeliest(text: str) -> float:
        return float(lab.trace(text, ["logits"])["logits"][0, -1].softmax(-1).max())

    return likeliest("Leo has a"), likeliest("Leo has a cat. He lives in Oslo.\nLet us say it again. Leo has a")
