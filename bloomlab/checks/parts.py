"""The checks of lessons 01 to 06: tokens, embeddings, attention, ALiBi, the residual stream, the MLP."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bloomlab.checks.verdict import Verdict, exercise, run, same, shape, slip
from bloomlab.errors import BloomlabError
from bloomlab.lens.logit_lens import logit_lens
from bloomlab.model.alibi import slopes

if TYPE_CHECKING:
    from bloomlab.lab import Lab
    from bloomlab.trace import Trace


@exercise("a text", str)
def more_tokens_than_characters(lab: "Lab", text: str) -> Verdict:
    """01: a text that costs more tokens than it has characters.

    >>> import bloomlab
    >>> more_tokens_than_characters(bloomlab.load(), "🦁")
    Well done: '🦁' has characters: 1, tokens: 4. Hardly a merge was learned for these bytes, so they stay alone.
    """
    try:
        count = len(lab.tokens(text))
    except BloomlabError as error:
        return Verdict(False, f"{error}.")
    found = f"{text[:20]!r} has characters: {len(text)}, tokens: {count}."
    if count > len(text):
        return Verdict(True, f"{found} Hardly a merge was learned for these bytes, so they stay alone.")
    if text.isascii():
        return Verdict(False, f"{found} Each of these characters is one byte, so it cannot be more than one token.")
    return Verdict(False, f"{found} Think of characters that the model has never met.")


@exercise("a tensor", Tensor)
def layer_norm(lab: "Lab", row: Tensor, normed: Tensor) -> Verdict:
    """02: the layer norm of one row of the table of embeddings."""
    if normed.shape != row.shape:
        return Verdict(False, f"expected one number for each of the row's {len(row)}, but got {shape(normed)}.")
    norm = lab.model.transformer.word_embeddings_layernorm
    weight, bias = norm.weight.detach(), norm.bias.detach()
    centred, variance = row - row.mean(), row.var(unbiased=False)
    standard = centred / (variance + norm.eps).sqrt()
    slips = {
        "that is the row itself; begin by taking its mean away.": row,
        "the mean is gone. Now divide by the root of the variance.": centred,
        "that has mean 0 and variance 1. Now what was learned: times norm.weight, plus norm.bias.": standard,
        "nearly: norm.bias is still to be added.": standard * weight,
        "nearly: torch's var divides by n - 1 unless you say unbiased=False.": centred
        / (row.var() + norm.eps).sqrt()
        * weight
        + bias,
        "nearly: norm.eps is added to the variance, under the root.": centred / variance.sqrt() * weight + bias,
    }
    if same(normed.detach(), standard * weight + bias):
        return Verdict(True, "these are the numbers that the first layer reads.")
    steps = "take the mean away, divide by the root of (variance + eps), times weight, plus bias."
    return Verdict(False, slip(normed.detach(), slips) or f"the steps are: {steps}")


@exercise("a function of q, k, v and slope")
def attention(attend: Callable[[Tensor, Tensor, Tensor, float], Tensor]) -> Verdict:
    """03: one head, tried on random q, k and v (token, width) of several lengths; it gives the mixed values."""
    generator = torch.Generator().manual_seed(3)
    for n in (1, 2, 7, 30):
        q, k, v = (torch.randn(n, 16, generator=generator) * 2 for _ in range(3))
        mixed = run(attend, q, k, v, 0.25)
        if isinstance(mixed, Verdict):
            return mixed
        if not isinstance(mixed, Tensor) or mixed.shape != v.shape:
            return Verdict(False, f"expected a mixed value for each query, {tuple(v.shape)}, but got {shape(mixed)}.")
        if not same(mixed, _attend(q, k, v, 0.25)):
            return Verdict(False, _attention_slip(mixed, q, k, v))
    return Verdict(True, "for 1, 2, 7 and 30 tokens it gives what a head of BLOOM gives.")


def _attend(q: Tensor, k: Tensor, v: Tensor, slope: float, scale: float = 0.25, masked: bool = True) -> Tensor:
    scores = q @ k.T * scale + slope * torch.arange(len(k))
    later = torch.ones_like(scores).triu(1).bool() & masked
    return scores.masked_fill(later, -math.inf).softmax(-1) @ v


def _attention_slip(mixed: Tensor, q: Tensor, k: Tensor, v: Tensor) -> str:
    if mixed.isnan().any():
        return "some values are NaN: did a token get nothing to look at? It may see itself and all before it."
    slips = {
        "early tokens see later ones: hide every key after the query, before the softmax.": _attend(
            q, k, v, 0.25, masked=False
        ),
        "the scores are too large: divide q·k by the root of the width.": _attend(q, k, v, 0.25, scale=1),
        "the scores are too small: divide q·k by the *root* of the width, not by the width.": _attend(
            q, k, v, 0.25, scale=1 / 16
        ),
        "ALiBi is missing: add slope × the position of the key to the scores.": _attend(q, k, v, 0),
        "ALiBi has the wrong sign: with it a near key starts *ahead* of a far one.": _attend(q, k, v, -0.25),
        "those are the values themselves; mix them with the probabilities: probs @ v.": v,
    }
    steps = "scores / root of the width, + slope × position, hide later keys, softmax(-1), @ v."
    return slip(mixed, slips) or f"with {len(q)} tokens the values differ; go through it again: {steps}"


@exercise("a number", int, float)
def half_weight(distance: int, slope: float) -> Verdict:
    """04: the slope at which a key so many tokens back has half of the weight it would have here.

    >>> half_weight(20, 0.25)
    Not yet: with slope 0.25 a key 20 tokens back has e^(-0.25 × 20) = 0.01 of its weight; the head must be flatter.
    """
    if not 0 < slope < math.inf:
        return Verdict(False, f"with a slope of {slope:g} nothing is taken from far keys; slopes are above 0.")
    weight = math.exp(-slope * distance)
    found = f"with slope {slope:.3g} a key {distance} tokens back has e^(-{slope:.3g} × {distance}) = {weight:.2f}"
    if abs(weight - 0.5) > 0.005:
        return Verdict(False, f"{found} of its weight; the head must be {'flatter' if weight < 0.5 else 'steeper'}.")
    nearest = min(slopes(8), key=lambda known: abs(math.log(known / slope)))
    return Verdict(True, f"{found}. Of the slopes of eight heads, 1/{1 / nearest:.0f} comes nearest.")


@exercise("the label of a state, such as '1 mid'", str)
def decided(lab: "Lab", trace: "Trace", label: str) -> Verdict:
    """05: the first state from which on the logit lens reads the final answer at the last token."""
    rows = logit_lens(lab.model, trace, top=1)
    labels, said = [row.label for row in rows], [int(row.ids[-1, 0]) for row in rows]
    if label not in labels:
        return Verdict(False, f"there is no state {label!r}; they are {', '.join(labels)}.")
    place, answer = labels.index(label), lab.tokenizer.decode([said[-1]])
    wavers = [labels[i] for i in range(place, len(said)) if said[i] != said[-1]]
    if label in wavers:
        return Verdict(False, f"there the lens reads {lab.tokenizer.decode([said[place]])!r}; look further down.")
    if wavers:
        return Verdict(
            False, f"{answer!r} is there, but it is gone again at {wavers[0]!r}; from where on does it stay?"
        )
    if place and said[place - 1] == said[-1]:
        return Verdict(False, f"{answer!r} is there, but {labels[place - 1]!r} says so already; look further up.")
    part = {"mid": "the attention of layer {}", "post": "the MLP of layer {}"}.get(label[2:], "the embedding")
    return Verdict(True, f"{answer!r} is the first choice from {label!r} on: {part.format(label[0])} decided.")


@exercise("a function of x")
def gelu(function: Callable[[Tensor], Tensor]) -> Verdict:
    """06: GELU as BLOOM computes it, tried from -5 to 5."""
    x = torch.linspace(-5, 5, 101)
    y = run(function, x)
    if isinstance(y, Verdict):
        return y
    if not isinstance(y, Tensor) or y.shape != x.shape:
        return Verdict(False, f"expected a number for each of the {len(x)} it was given, but got {shape(y)}.")
    root, cubic = math.sqrt(2 / math.pi), x + 0.044715 * x**3
    switch = 1 + torch.tanh(root * cubic)
    if same(y, x / 2 * switch, 1e-6):
        return Verdict(True, "from -5 to 5 it is the function that BLOOM uses.")
    slips = {
        "that is ReLU: right far from 0, but with a corner where GELU is smooth.": x.relu(),
        "that is only the switch, from 0 to 1; GELU is x times the switch.": switch / 2,
        "twice too large: 1 + tanh goes from 0 to 2, so take x/2.": x * switch,
        "inside tanh, 0.044715 x³ is missing.": x / 2 * (1 + torch.tanh(root * x)),
        "inside tanh, the root of 2/π is missing.": x / 2 * (1 + torch.tanh(cubic)),
        "the root of 2/π multiplies x³ too: mind the brackets.": x / 2 * (1 + torch.tanh(root * x + 0.044715 * x**3)),
        "that is the exact GELU, with erf; BLOOM uses the form with tanh.": torch.nn.functional.gelu(x),
    }
    worst = int((y - x / 2 * switch).abs().nan_to_num(math.inf).argmax())
    found = f"at x = {x[worst]:.1f} yours gives {float(y[worst]):.3f}, GELU {float((x / 2 * switch)[worst]):.3f}."
    return Verdict(False, slip(y, slips, 1e-6) or found)
