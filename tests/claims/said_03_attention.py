"""What lesson 03 says: every head can be computed by hand, and why scores are divided by the root of the width."""

import torch
from torch import Tensor

from bloomlab import Lab, zero
from bloomlab.model.alibi import slopes
from tests.claims.claim import claim
from tests.claims.stories import recaps

LESSON = "notebooks/03_attention.ipynb"
ARITHMETIC = "arithmetic: true of any weights"
KEYS, WIDTH = 20, 256


def by_hand(lab: Lab, text: str, slope_of: int = 0) -> float:
    """How far the lesson's steps are from the model's, at most, over all heads and steps.

    Args:
        slope_of: takes the slope of the head so many further on.
    """
    config = lab.model.config
    names, far = ("q", "k", "v", "scores", "biased", "probs", "mixed"), []
    read = ["resid_pre", *(f"attn.{name}" for name in names)]
    theirs = lab.trace(text, read=read)
    for layer, block in enumerate(lab.model.transformer.h):
        x = block.input_layernorm(theirs[f"h.{layer}.resid_pre"])[0].detach()  # type: ignore[operator, union-attr]
        fused = block.self_attention.query_key_value(x).detach()  # type: ignore[operator, union-attr]
        for head in range(config.n_head):
            q, k, v = fused.view(len(x), config.n_head, 3, config.head_dim)[:, head].unbind(1)
            scores = q @ k.T / config.head_dim**0.5
            biased = scores + slopes(config.n_head)[(head + slope_of) % config.n_head] * torch.arange(len(x))
            later = torch.ones_like(biased).triu(1).bool()
            probs = biased.masked_fill(later, -torch.inf).softmax(-1)
            ours = dict(zip(names, (q, k, v, scores, biased, probs, probs @ v), strict=True))
            far += [float((ours[name] - theirs[f"h.{layer}.attn.{name}"][0, head]).abs().max()) for name in names]
    return max(far)


@claim(
    "Any other head will do",
    said_in=LESSON,
    value="largest difference from the model's numbers, all heads and steps, 5 stories",
    control="with the next head's slope",
    holds=lambda value, control: max(value) < 1e-4 and min(control) > 0.1,
    untrained=ARITHMETIC,
)
def every_head_can_be_computed_by_hand(lab: Lab) -> tuple[list[float], list[float]]:
    texts = [story.text for story in recaps(lab, 5)]
    return [by_hand(lab, text) for text in texts], [by_hand(lab, text, slope_of=1) for text in texts]


@claim(
    "standing at the last in, it looks back to the city.",
    said_in=LESSON,
    value="attention of head 5 of layer 3 from the last token to the city, the least of 8 stories",
    control="to the animal, the most",
    holds=lambda value, control: value[0] > 0.6 and control[0] < 0.3,
)
def the_head_of_the_lesson_looks_at_the_city(lab: Lab) -> tuple[float, float]:
    looks = [lab.trace(story.text, read=["h.3.attn.probs"])["h.3.attn.probs"][0, 5] for story in recaps(lab, 8)]
    return min(float(look[-1, 3]) for look in looks), max(float(look[-1, 8]) for look in looks)


@claim(
    "Nearly all of the attention goes there, so nearly all of what is handed over comes from there.",
    said_in=LESSON,
    value="length of what the other tokens hand over, of all that is handed over; 8 stories",
    control="length of what the city hands over",
    holds=lambda value, control: max(value) < 0.6 and min(control) > 0.7,
)
def what_is_handed_over_comes_from_the_city(lab: Lab) -> tuple[list[float], list[float]]:
    others, city = [], []
    for story in recaps(lab, 8):
        trace = lab.trace(story.text, read=["h.3.attn.probs", "h.3.attn.v"])
        parts = trace["h.3.attn.probs"][0, 5, -1][:, None] * trace["h.3.attn.v"][0, 5]
        whole, own = parts.sum(0), parts[3]
        others.append(float((whole - own).norm() / whole.norm()))
        city.append(float(own.norm() / whole.norm()))
    return others, city


def random_scores() -> Tensor:
    """The dot products (query, key) of random queries and keys of width 256."""
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(size, WIDTH, generator=generator) for size in (1000, KEYS))
    return q @ k.T


def moved(scores: Tensor) -> float:
    """How far the probabilities move with the scores: the mean size of the softmax's derivative, p (1 - p)."""
    probs = scores.softmax(-1)
    return float((probs * (1 - probs)).sum(-1).mean())


@claim(
    "Without the division, the scores of wide heads would be so large that softmax gives nearly everything to one key "
    "from the start",
    said_in=LESSON,
    value=f"largest of {KEYS} probabilities, random queries and keys of width {WIDTH}, mean of 1,000",
    control="with the division",
    holds=lambda value, control: value[0] > 0.9 and control[0] < 0.5,
    untrained=ARITHMETIC,
)
def undivided_scores_choose_one_key(lab: Lab) -> tuple[float, float]:
    scores = random_scores()
    largest = (each.softmax(-1).amax(-1).mean().item() for each in (scores, scores / WIDTH**0.5))
    return next(largest), next(largest)


@claim(
    "and there is hardly anything left to learn from.",
    said_in=LESSON,
    value=f"slope of the softmax over {KEYS} keys, random queries and keys of width {WIDTH}, mean of 1,000",
    control="with the division",
    holds=lambda value, control: value[0] < control[0] / 5,
    untrained=ARITHMETIC,
)
def undivided_scores_leave_nothing_to_learn_from(lab: Lab) -> tuple[float, float]:
    scores = random_scores()
    return moved(scores), moved(scores / WIDTH**0.5)


@claim(
    "Without its value a token is looked at as before, and hands over nothing; without its key it is hardly looked at.",
    said_in=LESSON,
    value="attention lost by the city with zeros in place of its key, 8 stories",
    control="with zeros in place of its value",
    holds=lambda value, control: min(value) > 0.7 and max(map(abs, control)) < 1e-5,
)
def a_key_decides_and_a_value_is_handed_over(lab: Lab) -> tuple[list[float], list[float]]:
    spot = "h.3.attn.probs"

    def lost(text: str, part: str) -> float:
        edit = {f"h.3.attn.{part}": zero(head=5, pos=3)}
        before, after = (lab.trace(text, [spot], each)[spot][0, 5, -1, 3] for each in ({}, edit))
        return float(before - after)

    texts = [story.text for story in recaps(lab, 8)]
    return [lost(text, "k") for text in texts], [lost(text, "v") for text in texts]
