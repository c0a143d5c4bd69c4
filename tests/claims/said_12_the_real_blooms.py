"""What lesson 12 says: halving the digits hardly changes the model's mind."""

from itertools import islice

from bloomlab import BloomConfig, Lab, load, zero
from bloomlab.tiny.documents import documents
from tests.claims.claim import claim
from tests.claims.stories import recaps

LESSON = "notebooks/12_the_real_blooms.ipynb"


@claim(
    "The largest one has 70 layers, the smallest 24: three times as many.",
    said_in=LESSON,
    value="layers of the largest BLOOM over those of the smallest",
    control="numbers of the largest over those of the smallest",
    holds=lambda value, control: 2.5 < value[0] < 3.5 and control[0] > 100,
    untrained="about the sizes, not about the weights",
)
def three_times_as_many_layers(lab: Lab) -> tuple[float, float]:
    large, small = BloomConfig.named("176b"), BloomConfig.named("560m")
    return large.n_layer / small.n_layer, large.parameter_count() / small.parameter_count()


@claim(
    "Hardly at all: rounding every weight to bfloat16 moves the first choice by less than a hundredth.",
    said_in=LESSON,
    value="largest change of the first choice's probability in bfloat16, 5 recaps",
    control="the same when the edit is large: without head 1 of layer 0, least of the 5",
    holds=lambda value, control: max(value) < 0.01 < control[0],
    untrained="rounding changes little in any model",
)
def bfloat16_changes_little(lab: Lab) -> tuple[list[float], float]:
    half, changes, lost = load(dtype="bfloat16"), [], []
    for story in recaps(lab, 5):
        whole, rounded, edited = (
            each.trace(story.text, read=["logits"], edit=edit)["logits"][0, -1].float().softmax(-1)
            for each, edit in ((load(), {}), (half, {}), (load(), {"h.0.attn.mixed": zero(head=1)}))
        )
        first = int(whole.argmax())
        changes.append(float((whole - rounded)[first].abs()))
        lost.append(float((whole - edited)[first].abs()))
    return changes, min(lost)


@claim(
    "In the small model's world there are cities, and none is a capital.",
    said_in=LESSON,
    value="how often 'Oslo' occurs in 4,000 documents of the training",
    control="how often 'capital' occurs",
    holds=lambda value, control: value[0] > 50 and control[0] == 0,
    untrained="about the training, not about the weights",
)
def no_city_is_a_capital(lab: Lab) -> tuple[float, float]:
    text = "\n".join(text for text, _ in islice(documents("0 step 0"), 4_000))
    return text.count("Oslo"), text.lower().count("capital")
