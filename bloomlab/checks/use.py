"""The checks of lessons 07 to 13: generation, interventions, the real models, JAX."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from bloomlab.checks.verdict import Verdict, exercise
from bloomlab.config import BloomConfig
from bloomlab.errors import BloomlabError

if TYPE_CHECKING:
    from bloomlab.lab import Lab
    from bloomlab.verdicts import Classification


@exercise("two numbers, as in 12, 34", tuple, list)
def columns_computed(prompt: int, new: int, answer: Sequence[int]) -> Verdict:
    """07: how many columns a generation computes, with the KV cache and without it.

    >>> columns_computed(50, 100, (149, 9950))
    Well done: 149 with the cache, 9950 without: it saves 99 % of the work, and more the longer the text.
    """
    with_cache, without = prompt + new - 1, sum(prompt + step for step in range(new))
    if len(answer) != 2:
        return Verdict(False, f"expected two numbers, with the cache and without it, but got {len(answer)}.")
    if answer[0] == prompt + new:
        return Verdict(False, "with the cache nearly: the last token is chosen, but no step reads it any more.")
    if answer[0] != with_cache:
        return Verdict(False, f"with the cache it is not {answer[0]}: the first step reads {prompt}, each later one 1.")
    if answer[1] != without:
        steps = f"{prompt}, {prompt + 1}, … {prompt + new - 1}"
        return Verdict(
            False, f"with the cache, right. Without it the steps read {steps}: add them up, not {answer[1]}."
        )
    saved = f"{100 * (1 - with_cache / without):.0f} %"
    return Verdict(
        True,
        f"{with_cache} with the cache, {without} without: it saves {saved} of the work, and more the longer the text.",
    )


@exercise("a whole number of tokens", int)
def enough_tokens(lab: "Lab", text: str, label: str, count: int) -> Verdict:
    """08: after how many tokens of a text the head gives it a label, and keeps to it."""
    tokens = lab.tokens(text)
    if not 1 <= count <= len(tokens):
        return Verdict(False, f"the text has {len(tokens)} tokens, so {count} of them cannot be read.")
    found = cast("list[Classification]", lab.classify([text[: token.span[1]] for token in tokens]))
    said = [one.label for one in found]
    wavers = next((n for n in range(count, len(said) + 1) if said[n - 1] != label), None)
    if wavers == count:
        return Verdict(False, f"after {count} it says {said[count - 1]!r}: {found[count - 1].text!r}; it needs more.")
    if wavers:
        return Verdict(
            False, f"after {count} it says {label!r}, but after {wavers} it says {said[wavers - 1]!r} again."
        )
    if count > 1 and said[count - 2] == label:
        return Verdict(False, f"after {count} it says {label!r}, but after {count - 1} it did so already.")
    return Verdict(True, f"{found[count - 1].text!r} is enough ({found[count - 1].score:.2f}), and it keeps to that.")


@exercise("a dictionary of edits", dict)
def says_instead(lab: "Lab", text: str, word: str, edit: dict[str, Any]) -> Verdict:
    """09: an edit after which the model goes on with another word."""
    if not edit:
        return Verdict(False, "the dictionary is empty, so nothing is changed; name a spot and an edit.")
    try:
        probs = lab.trace(text, read=["logits"], edit=edit)["logits"][0, -1].softmax(-1)
    except BloomlabError as error:
        return Verdict(False, f"the edit does not fit: {error}.")
    best, wanted = lab.tokenizer.decode([int(probs.argmax())]), float(probs[lab.tokens(word)[0].id])
    if best != word:
        found = f"now it says {best!r}, and {word!r} has probability {wanted:.2f}"
        return Verdict(False, f"{found}; where on the map is it bright, at which layer and which token?")
    return Verdict(True, f"with the same text it now says {word!r}, with probability {wanted:.2f}.")


@exercise("a step, a whole number", int)
def first_step(curve: Mapping[int, float], level: float, step: int) -> Verdict:
    """10: the first snapshot of a training at which a curve, by step, has reached a level.

    >>> first_step({100: 0.1, 200: 0.7, 300: 0.9}, 0.5, 300)
    Not yet: at step 300 it is 0.90, but at step 200 it was 0.70 already.
    """
    reached = [known for known, value in sorted(curve.items()) if value >= level]
    if step not in curve:
        return Verdict(False, f"there is no snapshot after step {step}; they are {', '.join(map(str, curve))}.")
    if step not in reached:
        return Verdict(False, f"at step {step} it is {curve[step]:.2f}, still below {level}; look later.")
    if step != reached[0]:
        return Verdict(
            False,
            f"at step {step} it is {curve[step]:.2f}, but at step {reached[0]} it was {curve[reached[0]]:.2f} already.",
        )
    before = max((known for known in curve if known < step), default=None)
    return Verdict(
        True,
        f"{curve[step]:.2f} at step {step}"
        + (f", and {curve[before]:.2f} at the one before it, {before}." if before else "."),
    )


@exercise("a number", int, float)
def guess_among(count: int, loss: float) -> Verdict:
    """11: the loss, in nats, of somebody who gives so many labels the same probability.

    >>> guess_among(8, 3)
    Not yet: that is in bits, the logarithm to base 2; in nats take the natural one.
    """
    if abs(loss - math.log(count)) < 0.01:
        return Verdict(True, f"{loss:.2f} nats, the logarithm of {count}: as open as a choice among {count}.")
    if abs(loss - math.log2(count)) < 0.01:
        return Verdict(False, "that is in bits, the logarithm to base 2; in nats take the natural one.")
    if abs(loss + math.log(count)) < 0.01:
        return Verdict(False, "the sign: a loss is −log of the probability, and the logarithm of a share is negative.")
    if abs(loss - 1 / count) < 0.001:
        return Verdict(False, "that is the probability of the right tag; the loss is −log of it.")
    return Verdict(False, f"each of {count} tags gets the probability 1/{count}; what is −log of that?")


@exercise("a whole number", int)
def parameters(size: str, count: int) -> Verdict:
    """12: how many numbers a published BLOOM has.

    >>> parameters("3b", 642_252_800)
    Not yet: that is the table alone, V·H; now the layers.
    """
    config = BloomConfig.named(size)
    v, h, n = config.vocab_size, config.hidden_size, config.n_layer
    layers = n * (12 * h * h + 13 * h)
    slips = {
        v * h: "that is the table alone, V·H; now the layers.",
        layers: "those are the layers; the table, V·H, and two layer norms, 4H, come on top.",
        layers + 4 * h: "nearly: the table is missing, V·H.",
        v * h + layers: "nearly: two layer norms stand outside the layers, 4H.",
        2 * v * h + 4 * h + layers: "nearly: the table is used twice, but it is one table.",
        v * h + 4 * h + 12 * n * h * h: "nearly: biases and layer norms are missing, 4H + 5H + 4H in each layer.",
        v * h + 4 * h + 12 * h * h + 13 * h: f"that is a BLOOM of one layer; this one has {n}.",
    }
    if count == config.parameter_count():
        return Verdict(True, f"{count:,} numbers, so {2 * count / 1e9:.1f} GB at two bytes each.")
    return Verdict(False, slips.get(count, f"{count:,} is not it: V·H + 4H, and in each layer 12H² + 13H."))


@exercise("a whole number", int)
def one_shape(lengths: Sequence[int], multiple: int) -> Verdict:
    """13: the smallest multiple to which texts of these lengths can be padded, so that all have one shape.

    >>> one_shape([1, 4, 9], 4)
    Not yet: padded to multiples of 4 they have 4 or 12 columns, and each of these is compiled anew.
    >>> one_shape([1, 4, 9], 16)
    Not yet: one shape, of 16 columns; but the longest text has 9, so a smaller number will do.
    >>> one_shape([1, 4, 9], 9)
    Well done: one shape, of 9 columns, compiled once.
    """
    if multiple < 1:
        return Verdict(False, "a multiple of nothing has no columns; take at least 1.")
    widths = sorted({-(-length // multiple) * multiple for length in lengths})
    if len(widths) > 1:
        shown = " or ".join(map(str, widths))
        return Verdict(
            False, f"padded to multiples of {multiple} they have {shown} columns, and each of these is compiled anew."
        )
    if multiple > max(lengths):
        return Verdict(
            False,
            f"one shape, of {widths[0]} columns; but the longest text has {max(lengths)}, so a smaller number will do.",
        )
    return Verdict(True, f"one shape, of {widths[0]} columns, compiled once.")
