"""The checks of lessons 07 to 12 and 15: generation, interventions, the real models, JAX."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from bloomlab.checks.verdict import Verdict, exercise, same, slip, told
from bloomlab.config import BloomConfig
from bloomlab.errors import BloomlabError, shorten
from bloomlab.hooks import At, Hooks, NamedEdit

if TYPE_CHECKING:
    from bloomlab.lab import Lab
    from bloomlab.tasks.results import Classification


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


@exercise("a dictionary with one edit", dict)
def says_instead(lab: "Lab", text: str, word: str, most: int, edit: dict[str, Any]) -> Verdict:
    """09: a patch at one position, of at most so many numbers, after which the model goes on with another word."""
    if len(edit) != 1:
        many = told("the dictionary names {count} spots; name one spot, and one edit for it.", count=len(edit))
        return Verdict(False, many)
    [(spot, change)] = edit.items()
    if not isinstance(change, NamedEdit):
        other = told("expected an edit such as bloomlab.patch(…), but got {got}.", got=type(change).__name__)
        return Verdict(False, other)
    overwritten: list[Tensor] = []  # for each position, how many numbers

    def watched(tensor: Tensor, at: At) -> Tensor:
        kept = change(torch.full_like(tensor, torch.nan), at).isnan()
        place = next((i for i, axis in enumerate(at.axes) if axis in ("pos", "query")), 0)
        overwritten.append((~kept).transpose(0, place).flatten(1).sum(1))
        return change(tensor, at)

    try:
        probs = lab.trace(text, read=["logits"], edit={spot: watched})["logits"][0, -1].softmax(-1)
    except BloomlabError as error:
        return Verdict(False, told("the edit does not fit: {error}.", error=error))
    positions, numbers = (int(count.sum()) for count in (overwritten[0] > 0, overwritten[0]))
    if positions == 0:
        return Verdict(False, told("nothing is overwritten; a patch puts there what the other run had."))
    if positions > 1:
        wide = told("the patch overwrites {count} positions; name one, with pos=… (or query=…).", count=positions)
        return Verdict(False, wide)
    if numbers > most:
        large = told(
            "the patch overwrites {count} numbers; at most {most} are allowed, so name the heads.",
            count=numbers,
            most=most,
        )
        return Verdict(False, large)
    best, chance = lab.tokenizer.decode([int(probs.argmax())]), float(probs[lab.tokens(word)[0].id])
    values = {"best": repr(best), "word": repr(word), "chance": f"{chance:.2f}", "count": numbers}
    if best != word:
        other = told(
            "now it says {best}, and {word} has probability {chance}; "
            "where on the map is it bright, at which layer and which token?",
            **values,
        )
        return Verdict(False, other)
    right = told(
        "with the same text it now says {word}, with probability {chance}: {count} numbers were enough.", **values
    )
    return Verdict(True, right)


@exercise("a step, a whole number", int)
def tells_people_apart(
    says: Mapping[int, Sequence[str]], stories: Sequence[tuple[str, str]], level: float, step: int
) -> Verdict:
    """10: the first snapshot that names the right city in a share of the stories.

    Args:
        says: by step, the word with which each story goes on.
        stories: each with its right city.

    >>> stories = [("Leo lives in Oslo. Ana lives in Lima. Leo lives in", "Oslo")]
    >>> tells_people_apart({100: ["Lima"], 200: ["Oslo"], 300: ["Oslo"]}, stories, 0.75, 300)
    Not yet: at step 300 it is right in 1 of 1, but at step 200 it was right in 1 already.
    """
    if step not in says:
        return Verdict(
            False, f"there is no snapshot after step {shorten(step, 20)}; they are {', '.join(map(str, says))}."
        )
    right = {
        each: sum(word == city for word, (_, city) in zip(words, stories, strict=True)) for each, words in says.items()
    }
    first = next((each for each in sorted(says) if right[each] >= level * len(stories)), None)
    if first is not None and step > first:
        return Verdict(
            False,
            f"at step {step} it is right in {right[step]} of {len(stories)}, "
            f"but at step {first} it was right in {right[first]} already.",
        )
    if step != first:
        in_story = sum(f" {word}." in text for word, (text, _) in zip(says[step], stories, strict=True))
        coin = "; that is a city of the story, but whose?" if in_story >= level * len(stories) else "; look later."
        return Verdict(
            False, f"at step {step} it names a city of the story in {in_story}, the right one in {right[step]}{coin}"
        )
    before = max((each for each in says if each < step), default=None)
    return Verdict(
        True,
        f"the right city in {right[step]} of {len(stories)} at step {step}"
        + (f", and in {right[before]} at the one before it, {before}." if before is not None else "."),
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
def tokens_that_fit(size: str, memory: float, count: int) -> Verdict:
    """12: how many tokens of one text fit beside the weights of a published BLOOM, all in bfloat16, with the cache.

    Args:
        memory: in bytes; what a step computes in passing is left out.

    >>> tokens_that_fit("7b1", 16e9, 16 * 10**9 // (2 * 30 * 4096 * 2))
    Not yet: those would be 30.1 GB: the weights have to fit, too, 14.1 GB.
    """
    config = BloomConfig.named(size)
    width, layers, weights = config.hidden_size, config.n_layer, 2 * config.parameter_count()
    each = 2 * layers * width * 2  # a key and a value in each layer, of two bytes a number
    most = int((memory - weights) // each)
    if most < 1:
        return Verdict(False, f"the weights alone, {weights / 1e9:.1f} GB, do not fit; take more memory.")

    def near(other: float) -> bool:
        return abs(count - other) <= 1

    if near(most):
        return Verdict(
            True,
            f"{count:,} tokens of {each:,} bytes each, beside {weights / 1e9:.1f} GB of weights. "
            f"A second text of that length would need {each * most / 1e9:.1f} GB more.",
        )
    slips = {
        memory / each: f"those would be {(weights + count * each) / 1e9:.1f} GB: the weights have to fit, too, "
        f"{weights / 1e9:.1f} GB.",
        (memory - weights) * 2 / each: "nearly: the cache keeps a key and a value for each token.",
        (memory - weights) * layers / each: f"that is one layer's cache; each of the {layers} layers has its own.",
        (memory - weights) * 2 * layers / each: f"a key and a value, in each of {layers} layers.",
        (memory - weights) / each / 2: "that counts four bytes a number; bfloat16 has two.",
        (memory - weights) * 2 / each * 2: "a number has two bytes, and each token a key and a value.",
        (memory - weights) * width / each: f"a key is not one number but {width:,}, and so is a value.",
        memory - weights: "those are the bytes that are left; how many does one token take?",
        (memory - weights / 2) / each: "a weight has two bytes.",
    }
    said = next((says for other, says in slips.items() if near(other)), None)
    if said is None and count > most:
        said = f"those would be {(weights + count * each) / 1e9:.1f} GB, weights and cache together."
    return Verdict(False, said or f"more will fit: {count:,} tokens take {count * each / 1e9:.2f} GB of cache.")


USES = {
    "novel": ("write a novel with it, and sell it", ""),
    "patients": ("tell patients which medicine to take", "medical advice is on the list of restrictions."),
    "asylum": ("score applications for asylum", "immigration offices are on the list, as courts and police are."),
    "heads": ("publish which of its heads look back", ""),
    "reviews": ("post reviews as if people had written them", "it must be said that a machine wrote a text."),
    "tuned": ("train it further and sell the result, with the same restrictions", ""),
}
"""Uses of a published BLOOM, and what stands against each in its licence, the BigScience RAIL License 1.0."""


@exercise("a set of names", set, list, tuple)
def forbidden(names: Collection[str]) -> Verdict:
    """12: which of the USES the licence of the real BLOOMs does not allow.

    >>> forbidden({"patients", "asylum"})
    Not yet: one is missing; who reads the text, and what do they take it for?
    """
    said = {str(name) for name in names}
    if stray := sorted(said - USES.keys()):
        return Verdict(False, f"expected some of {', '.join(USES)}, but got {', '.join(stray)[:60]}.")
    not_allowed = {name for name, (_, against) in USES.items() if against}
    if extra := sorted(said - not_allowed):
        free = "money is no matter, nor is looking inside; whoever passes the model on hands on the same restrictions."
        return Verdict(False, f"{extra[0]!r} is allowed: {free}")
    if missing := sorted(not_allowed - said):
        hints = {
            "patients": "whose health might depend on it?",
            "asylum": "whose future might depend on it?",
            "reviews": "who reads the text, and what do they take it for?",
        }
        return Verdict(False, f"one is missing; {hints[missing[0]]}")
    return Verdict(True, " ".join(f"{name}: {USES[name][1]}" for name in sorted(not_allowed)))


@runtime_checkable
class Array(Protocol):
    """What numpy can read: an array of JAX, of numpy, or a tensor."""

    def __array__(self) -> Any: ...


@exercise("an array", Array)
def wishes(lab: "Lab", story: str, city: str, gradient: Array) -> Verdict:
    """15: the gradient of log p(city) at a story's end, with respect to a factor for each head's ALiBi bias.

    Args:
        city: the token that comes next, such as " Oslo".
        gradient: (layer, head).
    """
    config = lab.model.config
    try:
        answer = torch.tensor(np.asarray(gradient), dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        return Verdict(False, f"expected an array of numbers, which this is not: {str(error)[:100]}")
    if answer.shape != (config.n_layer, config.n_head):
        wanted = f"one number for each layer and head, {(config.n_layer, config.n_head)}"
        return Verdict(False, f"expected {wanted}, but got {tuple(answer.shape)}; grad of a function of the factors.")
    ids, token = torch.tensor([lab.tokens(story).ids]), lab.tokens(city)[0].id
    factors = torch.ones(config.n_layer, config.n_head, requires_grad=True)
    edit = {
        f"h.{layer}.attn.alibi": lambda bias, at, layer=layer: bias * factors[layer][:, None, None]
        for layer in range(config.n_layer)
    }
    with torch.enable_grad():
        logits = lab.model(ids, hooks=Hooks(edit=edit)).logits[0]
        logs = logits.log_softmax(-1)
        following = logs[:-1].gather(-1, ids[0, 1:, None])
        mistakes = {
            "": logs[-1, token],
            "that is the gradient of a loss, −log p; the sign turns, for p should rise.": -logs[-1, token],
            "that is the gradient of the probability; take its logarithm.": logs[-1, token].exp(),
            "that is of the score before softmax; log_softmax comes first.": logits[-1, token],
            "that is of the loss over the whole text; here only its last token counts.": -following.mean(),
            "that is the place before the last; the city comes after the whole story.": logs[-2, token],
        }
        found = [torch.autograd.grad(number, factors, retain_graph=True)[0] for number in mistakes.values()]
    truth, *wrong = found
    if same(answer, truth, 1e-4):
        layer, head = divmod(int(truth.abs().argmax()), config.n_head)
        wish = float(truth[layer, head])
        way = "nearer keys favoured more" if wish > 0 else "to look farther"
        return Verdict(
            True, f"the largest is head {layer}.{head}'s, {wish:+.2f}: here {city!r} would gain from {way} in it."
        )
    slips = dict(zip(list(mistakes)[1:], wrong, strict=True))
    said = slip(answer, slips, 1e-4) or "the numbers are others: is it log p of this city, at the last token?"
    return Verdict(False, said)
