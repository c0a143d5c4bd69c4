"""The small exercises of lessons 01 to 07: one idea each, done by hand."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bloomlab.checks.verdict import Verdict, exercise, run, run_for_number, same, shape, slip
from bloomlab.config import BloomConfig
from bloomlab.errors import BloomlabError, shorten
from bloomlab.lens.inputs import check, one

if TYPE_CHECKING:
    from bloomlab.lab import Lab
    from bloomlab.tracing.trace import Trace

LONGEST = 20  # characters of an answer that is one word


@exercise("a word, a text", str)
def costs_more(lab: "Lab", word: str) -> Verdict:
    """01: a word with more tokens than it has characters."""
    if not word.strip() or len(word) > LONGEST:
        return Verdict(False, f"take a word of 1 to {LONGEST} characters; this has {len(word)}.")
    tokens = len(lab.tokens(word))
    said = f"{word!r} has {len(word)} characters, {len(word.encode())} bytes, and {tokens} tokens"
    if tokens > len(word):
        return Verdict(True, f"{said}: its bytes stay apart, for no merge was learned that joins them.")
    if len(word.encode()) == len(word):
        return Verdict(False, f"{said}. A letter of English is one byte, and less than a byte no token is.")
    return Verdict(False, f"{said}. Merges join these bytes; take a script that the model has not read.")


@exercise("a text", str)
def has_token(lab: "Lab", token: str, text: str) -> Verdict:
    """01: a text in which a word is the token with a space in front, such as " Leo", and never the one without."""
    wanted, without = (lab.tokens(each)[0].id for each in (token, token.strip()))
    if token.strip() not in text:
        return Verdict(False, f"there is no {token.strip()!r} in {shorten(text, 40)}.")
    try:
        ids = lab.tokens(text).ids
    except BloomlabError as error:
        return Verdict(False, f"the text cannot be read: {error}.")
    if without in ids:
        place = ids.index(without)
        return Verdict(False, f"token {place} is {token.strip()!r}, id {without}: no space stands in front of it.")
    if wanted not in ids:
        return Verdict(False, f"here {token.strip()!r} is part of another word, and has not the id {wanted}.")
    return Verdict(
        True, f"{token!r} has the id {wanted}, {token.strip()!r} at the start of a text {without}: two rows."
    )


@exercise("a function of two vectors")
def cosine(function: Callable[[Tensor, Tensor], Any]) -> Verdict:
    """02: the cosine of two vectors.

    >>> cosine(lambda a, b: a @ b)
    Not yet: that is the product alone; longer vectors make it larger. Divide by both lengths.
    """
    generator = torch.Generator().manual_seed(2)
    a, b = torch.randn(2, 8, generator=generator) * 3
    value = run_for_number(function, a.clone(), b.clone(), expected="one number")
    if isinstance(value, Verdict):
        return value
    answer = torch.tensor(value)
    product, lengths = a @ b, a.norm() * b.norm()
    if same(answer, product / lengths):
        return Verdict(True, "it does not change when a vector gets longer, only when it turns.")
    slips = {
        "that is the product alone; longer vectors make it larger. Divide by both lengths.": product,
        "that divides by one of the two lengths; a twice as long b would count twice.": product / a.norm(),
        "nearly: the other length.": product / b.norm(),
        "divide by the lengths, not by their squares.": product / lengths**2,
        "that is a distance; two long vectors of one direction may be far apart.": (a - b).norm(),
        "that is the mean of the products; divide by the lengths.": product / len(a),
    }
    return Verdict(False, slip(answer, slips) or "(a · b) / (|a| · |b|): the product, over both lengths.")


@exercise("a whole number", int)
def table_size(size: str, count: int) -> Verdict:
    """02: how many numbers the table of embeddings of a published BLOOM has.

    >>> table_size("560m", 250880)
    Not yet: that is how many rows there are; each is 1,024 numbers wide.
    """
    config = BloomConfig.named(size)
    rows, width = config.vocab_size, config.hidden_size
    if count == rows * width:
        return Verdict(True, f"{rows:,} rows of {width:,} numbers: {count:,}, {count * 2 / 1e9:.2f} GB in float16.")
    slips = {
        rows: f"that is how many rows there are; each is {width:,} numbers wide.",
        width: f"that is one row; there are {rows:,}.",
        rows + width: "rows times width, not rows and width.",
        2
        * rows
        * width: "those are bytes, of two a number; or the table counted twice: the last step uses the same one.",
        4 * rows * width: "those are bytes, of four a number; how many numbers?",
        config.parameter_count(): "those are all numbers of the model; of the table alone?",
    }
    return Verdict(False, slips.get(count, f"a table of {rows:,} rows, {width:,} wide, has another number of numbers."))


@exercise("a tensor", Tensor)
def state_after(trace: "Trace", layer: int, state: Tensor) -> Verdict:
    """05: the states after a layer, as a sum of what was added up to there.

    Args:
        trace: must have read "embed", "attn.out", "mlp.out" and "resid_post".
        state: (pos, hidden), or with a batch of one in front.
    """
    check(trace, ["embed", "attn.out", "mlp.out", "resid_post"])
    truth = one(trace, f"h.{layer}.resid_post")
    if state.shape[:1] == (1,) and state.ndim == truth.ndim + 1:
        state = state[0]
    if state.shape != truth.shape:
        return Verdict(False, f"expected {tuple(truth.shape)}, a state for each token, but got {shape(state)}.")
    embed = one(trace, "embed")
    attn, mlp = (
        torch.stack([one(trace, f"h.{i}.{part}.out") for i in range(trace.config.n_layer)]) for part in ("attn", "mlp")
    )
    upto = slice(layer + 1)
    if same(state, truth, 1e-4):
        return Verdict(
            True, f"embedding, and {2 * (layer + 1)} additions: nothing else is in the stream after layer {layer}."
        )
    slips = {
        "the embedding is missing; the stream begins with it.": (attn[upto] + mlp[upto]).sum(0),
        "what the MLPs added is missing.": embed + attn[upto].sum(0),
        "what the attentions added is missing.": embed + mlp[upto].sum(0),
        f"that is the state before layer {layer}: layer {layer} itself adds, too.": embed
        + (attn[:layer] + mlp[:layer]).sum(0),
        f"that is the sum over all layers; stop after layer {layer}.": embed + (attn + mlp).sum(0),
        f"that is what layer {layer} adds; all layers before it have added, too.": attn[layer] + mlp[layer],
        f"layers 0 to {layer - 1} are missing.": embed + attn[layer] + mlp[layer],
    }
    return Verdict(
        False, slip(state, slips, 1e-4) or f"embed, and attn.out and mlp.out of layers 0 to {layer}: add them."
    )


@exercise("a function of a tensor")
def bend(function: Callable[[Tensor], Any]) -> Verdict:
    """06: GELU, x · ½ · (1 + tanh(√(2/π) · (x + 0.044715 x³))), which is how BLOOM bends its neurons.

    >>> bend(torch.relu)
    Not yet: that is ReLU, with a corner at 0; GELU lets a little of small negative numbers through.
    """
    x = torch.linspace(-4, 4, 33)
    value = run(function, x.clone())
    if isinstance(value, Verdict):
        return value
    if not isinstance(value, Tensor) or value.shape != x.shape:
        return Verdict(False, f"expected a bent number for each, {tuple(x.shape)}, but got {shape(value)}.")
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    truth = x / 2 * (1 + inner.tanh())
    if same(value, truth, 1e-4):
        return Verdict(True, "the bend of every neuron in every BLOOM.")
    slips = {
        "that is ReLU, with a corner at 0; GELU lets a little of small negative numbers through.": x.relu(),
        "the half is missing: large x should come out as x, not as 2x.": 2 * truth,
        "that is the gate, between 0 and 1; it is to be multiplied by x.": (1 + inner.tanh()) / 2,
        "the 1 is missing: tanh runs from -1 to 1, and the gate from 0 to 1.": x / 2 * inner.tanh(),
        "the factor √(2/π) is missing in front of the bracket.": x / 2 * (1 + (x + 0.044715 * x**3).tanh()),
        "the cube is missing: 0.044715 times x *three times* itself.": x
        / 2
        * (1 + (math.sqrt(2 / math.pi) * (x + 0.044715 * x)).tanh()),
        "that is x · sigmoid(x), another bend (SiLU).": x * x.sigmoid(),
        "nothing is bent.": x,
    }
    return Verdict(
        False, slip(value, slips, 1e-4) or "x · ½ · (1 + tanh(√(2/π) · (x + 0.044715 x³))): go through it again."
    )


@exercise("a whole number", int)
def mlp_numbers(width: int, count: int) -> Verdict:
    """06: how many numbers the MLP of a layer of this width has, biases included.

    >>> mlp_numbers(1024, 8 * 1024**2)
    Not yet: nearly: each of the two matrices has a bias, of 4H and of H numbers.
    """
    h = width
    if count == 8 * h * h + 5 * h:
        return Verdict(True, f"8H² + 5H = {count:,} for H = {h:,}: up H × 4H and 4H biases, down 4H × H and H biases.")
    slips = {
        8 * h * h: "nearly: each of the two matrices has a bias, of 4H and of H numbers.",
        4 * h * h + 4 * h: "that is one matrix with its bias, the way up; and the way down?",
        4 * h * h: "that is one matrix; there are two, and each has a bias.",
        8 * h * h + 8 * h: "nearly: the bias of the way down has H numbers, not 4H.",
        8 * h * h + 2 * h: "nearly: the bias of the way up has 4H numbers, one for each neuron.",
        2 * h * h + 2 * h: "the middle is four times as wide as the state.",
        12 * h * h + 13 * h: "that is the whole layer, with its attention and its layer norms.",
    }
    return Verdict(False, slips.get(count, "up: H × 4H and a bias; down: 4H × H and a bias. Add them up."))


@exercise("a function of logits and a temperature")
def heated(function: Callable[[Tensor, float], Any]) -> Verdict:
    """07: probabilities at a temperature.

    >>> heated(lambda logits, t: logits.softmax(-1) / t)
    Not yet: at temperature 0.5: those do not sum to 1: divide the *logits*, before softmax.
    """
    logits = torch.tensor([2.0, 1.0, -1.0, 0.5])
    for temperature in (0.5, 2.0):
        value = run(function, logits.clone(), temperature)
        if isinstance(value, Verdict):
            return value
        if not isinstance(value, Tensor) or value.shape != logits.shape:
            return Verdict(
                False, f"expected a probability for each token, {tuple(logits.shape)}, but got {shape(value)}."
            )
        if same(value, (logits / temperature).softmax(-1)):
            continue
        slips = {
            "those do not sum to 1: divide the *logits*, before softmax.": logits.softmax(-1) / temperature,
            "the wrong way round: that divides by 1 / temperature, so heat makes it surer.": (
                logits * temperature
            ).softmax(-1),
            "the temperature does nothing: it divides the logits.": logits.softmax(-1),
            "those are logits; softmax makes them probabilities.": logits / temperature,
            "softmax twice: the first one is too early.": (logits.softmax(-1) / temperature).softmax(-1),
            "subtracting the same from all logits changes nothing; divide them.": (logits - temperature).softmax(-1),
        }
        said = slip(value, slips) or "divide the logits by the temperature, then softmax."
        return Verdict(False, f"at temperature {temperature:g}: {said}")
    return Verdict(True, "near 0 the likeliest token gets nearly all, and the hotter, the more alike they are.")


@exercise("a function of probabilities and p")
def kept_by_top_p(function: Callable[[Tensor, float], Any]) -> Verdict:
    """07: how many tokens top-p keeps: the fewest whose probabilities reach p together."""
    for probs, p in (([0.1, 0.5, 0.25, 0.15], 0.7), ([0.05, 0.9, 0.05], 0.5), ([0.25, 0.25, 0.25, 0.25], 0.6)):
        given = torch.tensor(probs)
        answer = run_for_number(function, given.clone(), p, expected="how many tokens are kept")
        if isinstance(answer, Verdict):
            return answer
        largest_first = given.sort(descending=True).values.cumsum(0)
        truth = int((largest_first < p).sum()) + 1
        if answer == truth:
            continue
        slips = {
            truth - 1: "one too few: together they must *reach* p, so the token that crosses it stays.",
            int((given >= p).sum()): "that asks each token alone; add them up, the likeliest first.",
            int((given.cumsum(0) < p).sum())
            + 1: "in the order of the vocabulary; sort them first, the likeliest first.",
            int((given.sort().values.cumsum(0) < p).sum()) + 1: "the unlikeliest first; sort them the other way.",
        }
        said = slips.get(int(answer) if math.isfinite(answer) else -1, f"it is {truth}, not {answer:g}.")
        return Verdict(False, f"of {probs} with p = {p}: {said}")
    return Verdict(True, "few where the model is sure, many where it is not.")
