"""What lesson 12 says: halving the digits hardly changes the model's mind; a model that learned nothing says again."""

from itertools import islice

import torch

from bloomlab import BloomConfig, BloomForCausalLM, Lab, load, zero
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
    value="largest change of the first choice's probability with rounded weights, 5 recaps",
    control="the same when the edit is large: without head 1 of layer 0, least of the 5",
    holds=lambda value, control: max(value) < 0.01 < control[0],
    untrained="rounding changes little in any model",
)
def bfloat16_changes_little(lab: Lab) -> tuple[list[float], float]:
    half, changes, lost = load(dtype="bfloat16"), [], []
    half.model.float()  # the weights stay rounded; how a product in bfloat16 is rounded differs by processor
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


@claim(
    "A BLOOM that has learned nothing says the token again that it has just read.",
    said_in=LESSON,
    value="of 24 layers of 16 heads at random: at how many of 20 tokens the first choice is that token, three draws",
    control="the same when the scores have a table of their own, not the one that reads",
    holds=lambda value, control: min(value) >= 18 and max(control) <= 2,
    untrained="about weights that have learned nothing",
)
def without_learning_it_says_again(lab: Lab) -> tuple[list[int], list[int]]:
    ids = torch.tensor([lab.tokenizer.encode("Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in")])
    shape = {"hidden_size": 256, "n_layer": 24, "n_head": 16, "vocab_size": lab.model.config.vocab_size}
    again: dict[bool, list[int]] = {True: [], False: []}
    for tied in again:
        for seed in range(3):
            torch.manual_seed(seed)
            model = BloomForCausalLM(BloomConfig(**shape, tie_word_embeddings=tied)).eval()
            with torch.inference_mode():
                again[tied].append(int((model(ids).logits.argmax(-1) == ids).sum()))
    return again[True], again[False]
