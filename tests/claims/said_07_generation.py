"""What lesson 07 says: a low temperature is not quite greedy, and greedy texts repeat themselves."""

from bloomlab import Lab
from tests.claims.claim import claim

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
