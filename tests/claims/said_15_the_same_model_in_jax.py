"""What lesson 15 says: each head has its say in a recap, the same in story after story; a gradient carries over."""

from functools import cache

import torch

from bloomlab import Hooks, Lab, zero
from bloomlab.hooks import Edit
from bloomlab.tiny.pairs import recaps
from tests.claims.claim import claim

LESSON = "notebooks/15_the_same_model_in_jax.ipynb"


def louder(factors: torch.Tensor) -> dict[str, Edit]:
    """What each head has mixed, multiplied by a factor of its own (layer, head)."""

    def edit(row: torch.Tensor) -> Edit:
        return lambda mixed, at: mixed * row[:, None, None]

    return {f"h.{layer}.attn.mixed": edit(row) for layer, row in enumerate(factors)}


@cache
def told(lab: Lab) -> tuple[torch.Tensor, torch.Tensor]:
    """The lesson's 96 stories, (story, pos), and their cities."""
    cases = recaps(lab.tokenizer, 96)
    texts = torch.tensor([lab.tokens(case.text).ids for case in cases])
    return texts, torch.tensor([lab.tokens(str(case.answer))[0].id for case in cases])


def chances(lab: Lab, factors: torch.Tensor, texts: torch.Tensor, cities: torch.Tensor) -> torch.Tensor:
    """log p(city) at the end of each story."""
    logs = lab.model(texts, hooks=Hooks(edit=louder(factors))).logits[:, -1].log_softmax(-1)
    return logs.gather(-1, cities[:, None])[:, 0]


def gradients(lab: Lab) -> torch.Tensor:
    """Of log p(city) in the first 48 stories with respect to the factors: (story, layer, head)."""
    texts, cities = told(lab)
    found = []
    for ids, city in zip(texts[:48], cities[:48], strict=True):
        factors = torch.ones(lab.model.config.n_layer, lab.model.config.n_head, requires_grad=True)
        with torch.enable_grad():
            log = chances(lab, factors, ids[None], city[None])[0]
        found.append(torch.autograd.grad(log, factors)[0])
    return torch.stack(found)


@claim(
    "Nearly every head has a small say here, in the same direction in story after story.",
    said_in=LESSON,
    value="of the 32 heads, how many have a mean gradient of more than 2 standard errors",
    control="the same, after the sign of each story's gradient was drawn at random",
    holds=lambda value, control: value[0] >= 28 and control[0] <= 6,
)
def every_head_has_a_say(lab: Lab) -> tuple[float, float]:
    each = gradients(lab)

    def clear(each: torch.Tensor) -> float:
        return float((each.mean(0).abs() > 2 * each.std(0) / len(each) ** 0.5).sum())

    signs = torch.randint(0, 2, (len(each), 1, 1)) * 2.0 - 1
    return clear(each), clear(each * signs)


@claim(
    "Sure is not large: the picture above shows that a few heads matter most.",
    said_in=LESSON,
    value="share of all 32 mean gradients, by size, that the six largest make",
    control="the share of six that are all alike",
    holds=lambda value, control: value[0] > 0.5 > 2 * control[0],
)
def a_few_heads_matter_most(lab: Lab) -> tuple[float, float]:
    sizes = gradients(lab).mean(0).abs().flatten().sort(descending=True).values
    return float(sizes[:6].sum() / sizes.sum()), 6 / len(sizes)


@claim(
    "They gain, and they lose by the opposite step.",
    said_in=LESSON,
    value="hundredths of a nat that log p(city) rises in 48 other stories after a step of a tenth",
    control="after the opposite step",
    holds=lambda value, control: value[0] > 0.2 and control[0] < -0.2,
)
def a_gradient_carries_over(lab: Lab) -> tuple[float, float]:
    mean = gradients(lab).mean(0)
    texts, cities = (part[48:] for part in told(lab))
    with torch.no_grad():
        before, after, opposite = (
            float(chances(lab, 1 + step * mean / mean.abs().max(), texts, cities).mean()) for step in (0, 0.1, -0.1)
        )
    return 100 * (after - before), 100 * (opposite - before)


@claim(
    "The heads that look back have nearly flat lines, so hardly anything changes.",
    said_in=LESSON,
    value="p(city) lost without the lines of the two heads that look back, 8 stories",
    control="p(city) lost in the lesson's story without the lines of the four steepest heads of layer 1",
    holds=lambda value, control: max(map(abs, value)) < 0.005 and control[0] > 0.3,
    untrained="without training there is no p(city) to lose",
)
def flat_lines_hardly_matter(lab: Lab) -> tuple[list[float], float]:
    def lost(text: str, city: str, layer: int, heads: list[int]) -> float:
        edit = {f"h.{layer}.attn.alibi": zero(head=heads)}
        before, after = (
            lab.trace(text, ["logits"], each)["logits"][0, -1].softmax(-1)[lab.tokens(city)[0].id]
            for each in ({}, edit)
        )
        return float(before - after)

    def looks_back(text: str) -> list[int]:
        looks = lab.trace(text, ["h.3.attn.probs"])["h.3.attn.probs"][0, :, -1, 3]
        return [head for head, look in enumerate(looks.tolist()) if look > 0.5] or [0]

    stories = recaps(lab.tokenizer, 8)
    lesson = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
    return [lost(one.text, str(one.answer), 3, looks_back(one.text)) for one in stories], lost(
        lesson, " Oslo", 1, [0, 1, 2, 3]
    )
