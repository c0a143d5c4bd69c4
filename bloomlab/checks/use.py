"""The checks of lessons 07 to 12: generation, interventions, the real models."""

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


@exercise("a text", str)
def changes_the_label(lab: "Lab", text: str, label: str, ending: str) -> Verdict:
    """08: at most ten tokens that, put at the end of a text, give it another label."""
    if not ending:
        return Verdict(False, "the ending is empty, so nothing has changed; add a word or two.")
    try:
        count, found = len(lab.tokens(ending)), cast("Classification", lab.classify(text + ending))
    except BloomlabError as error:
        return Verdict(False, f"{error}.")
    said = f"with {ending[:40]!r} at its end the head says {found.label!r} ({found.score:.2f})"
    if found.label != label:
        return Verdict(False, f"{said}; what would a text in {label!r} end with? The end weighs most.")
    if count > 10:
        return Verdict(False, f"{said}, but that took {count} tokens; try with ten or fewer.")
    return Verdict(True, f"{said}. {count} token{'s'[: count != 1]} outweighed all that came before.")


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
