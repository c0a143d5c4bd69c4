"""The checks of lessons 01 to 06: tokens, embeddings, attention, ALiBi, the residual stream, the MLP."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bloomlab.checks.verdict import Verdict, exercise, run, run_for_number, same, shape, slip, told
from bloomlab.lens.hidden import READ_PARTS
from bloomlab.lens.inputs import check, one
from bloomlab.model.alibi import slopes
from bloomlab.tracing.edits import zero

if TYPE_CHECKING:
    from bloomlab.lab import Lab
    from bloomlab.tracing.trace import Trace


Words = Mapping[tuple[str, ...], int]  # each word cut into its pieces, and how often it occurs


@exercise("a function of the words")
def most_common_pair(words: Mapping[str, int], function: Callable[[dict[tuple[str, ...], int]], Any]) -> Verdict:
    """01: the neighbours that occur together most often, five times, each time joined before the next.

    Args:
        words: each word, and how often it occurs.
        function: gets {the pieces of a word: how often it occurs}, and returns a pair of pieces.

    >>> most_common_pair({"lives": 2, "moves": 1}, lambda words: ("l", "i"))
    Not yet: step 1: ('l', 'i') occurs 2 times, but ('v', 'e') 3 times.
    """
    pieces = {tuple(word): count for word, count in words.items()}
    merges = []
    for step in range(1, 6):
        counts = _pairs(pieces)
        if not counts:
            return Verdict(False, f"after {step - 1} merges every word is one piece; give it more words than these.")
        pair = run(function, dict(pieces))
        if isinstance(pair, Verdict):
            return pair
        best = max(counts, key=lambda pair: counts[pair])
        if not (isinstance(pair, tuple) and pair in counts and counts[pair] == counts[best]):
            return Verdict(False, f"step {step}: {_pair_slip(pair, pieces, counts, best)}")
        merges.append(f"{pair[0]}+{pair[1]}")
        pieces = {_joined(word, pair): count for word, count in pieces.items()}
    shown = ", ".join("·".join(word) for word in list(pieces)[:4])
    return Verdict(True, f"the first five merges are {', '.join(merges)}. Now the words begin with {shown}.")


def _pairs(words: Words) -> Counter[tuple[str, str]]:
    """How often each two neighbours occur; of equals, the one that comes first in the words is named first."""
    counts: Counter[tuple[str, str]] = Counter()
    for word, count in words.items():
        for pair in pairwise(word):
            counts[pair] += count
    return counts


def _joined(word: Sequence[str], pair: tuple[str, str]) -> tuple[str, ...]:
    joined: list[str] = []
    for piece in word:
        if joined and (joined[-1], piece) == pair:
            joined[-1] += piece
        else:
            joined.append(piece)
    return tuple(joined)


def _pair_slip(pair: Any, words: Words, counts: Counter[tuple[str, str]], best: tuple[str, str]) -> str:
    if isinstance(pair, str):
        return f"expected two pieces, such as {best}, but got one text, {pair[:20]!r}."
    if not (isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(piece, str) for piece in pair)):
        return f"expected two pieces, such as {best}, but got {repr(pair)[:60]}."
    if pair not in counts:
        letters = "".join(pair)
        if any(letters in piece for word in words for piece in word):
            return f"{letters!r} is inside of one piece by now; look at the pieces, not at the letters."
        return f"{pair} are nowhere neighbours in this order; each pair is a piece and the next one in the same word."
    said = f"{pair} occurs {counts[pair]} times, but {best} {counts[best]} times"
    in_words = Counter(pair for word in words for pair in set(pairwise(word)))
    if in_words[pair] == max(in_words.values()):
        return f"{said}. It is in the most words; but a word that occurs ten times counts ten times."
    return f"{said}."


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
            sizes, got = tuple(v.shape), shape(mixed)
            wrong = told("expected a mixed value for each query, {sizes}, but got {got}.", sizes=sizes, got=got)
            return Verdict(False, wrong)
        if not same(mixed, _attend(q, k, v, 0.25)):
            return Verdict(False, _attention_slip(mixed, q, k, v))
    return Verdict(True, told("for 1, 2, 7 and 30 tokens it gives what a head of BLOOM gives."))


def _attend(q: Tensor, k: Tensor, v: Tensor, slope: float, scale: float = 0.25, masked: bool = True) -> Tensor:
    scores = q @ k.T * scale + slope * torch.arange(len(k))
    later = torch.ones_like(scores).triu(1).bool() & masked
    return scores.masked_fill(later, -math.inf).softmax(-1) @ v


def _columns(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The mistake of a softmax over the wrong axis."""
    scores = q @ k.T / 4 + 0.25 * torch.arange(len(k))
    later = torch.ones_like(scores).triu(1).bool()
    return scores.masked_fill(later, -math.inf).softmax(0).nan_to_num() @ v


def _late_mask(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The mistake of a mask after the softmax."""
    scores = q @ k.T / 4 + 0.25 * torch.arange(len(k))
    return scores.softmax(-1).tril() @ v


def _attention_slip(mixed: Tensor, q: Tensor, k: Tensor, v: Tensor) -> str:
    if mixed.isnan().any():
        return told("some values are NaN: did a token get nothing to look at? It may see itself and all before it.")
    slips = {
        "early tokens see later ones: hide every key after the query, before the softmax.": _attend(
            q, k, v, 0.25, masked=False
        ),
        "the scores are too large: divide q·k by the root of the width.": _attend(q, k, v, 0.25, scale=1),
        "the scores are too small: divide q·k by the *root* of the width, not by the width.": _attend(
            q, k, v, 0.25, scale=1 / 16
        ),
        "ALiBi is missing: add slope × the position of the key to the scores.": _attend(q, k, v, 0),
        "the probabilities add up to 1 over the queries, not over the keys: softmax over the last axis.": _columns(
            q, k, v
        ),
        "keys are hidden after the softmax, so the rows no longer add up to 1: hide them before it.": _late_mask(
            q, k, v
        ),
        "ALiBi was divided too: scale q·k by the root of the width first, then add slope × position.": _attend(
            q, k, v, 0.25 / 4
        ),
        "ALiBi has the wrong sign: with it a near key starts *ahead* of a far one.": _attend(q, k, v, -0.25),
        "those are the values themselves; mix them with the probabilities: probs @ v.": v,
    }
    steps = told("scores / root of the width, + slope × position, hide later keys, softmax(-1), @ v.")
    again = told("with {count} tokens the values differ; go through it again: {steps}", count=len(q), steps=steps)
    return slip(mixed, slips) or again


@exercise("a number", int, float)
def half_weight(distance: int, slope: float) -> Verdict:
    """04: the slope at which a key so many tokens back has half of the weight it would have here.

    >>> half_weight(20, 0.25)
    Not yet: with slope 0.25 a key 20 tokens back has e^(-0.25 × 20) = 0.01 of its weight; the head must be flatter.
    """
    if not 0 < slope < math.inf:
        none = told("with a slope of {slope} nothing is taken from far keys; slopes are above 0.", slope=f"{slope:g}")
        return Verdict(False, none)
    weight = math.exp(-slope * distance)
    sum_of = told(
        "with slope {slope} a key {distance} tokens back has e^(-{slope} × {distance}) = {weight}",
        slope=f"{slope:.3g}",
        distance=distance,
        weight=f"{weight:.2f}",
    )
    if weight < 0.495:
        return Verdict(False, told("{sum} of its weight; the head must be flatter.", sum=sum_of))
    if weight > 0.505:
        return Verdict(False, told("{sum} of its weight; the head must be steeper.", sum=sum_of))
    nearest = min(slopes(8), key=lambda other: abs(math.log(other / slope)))
    best = told("{sum}. Of the slopes of eight heads, 1/{turns} comes nearest.", sum=sum_of, turns=f"{1 / nearest:.0f}")
    return Verdict(True, best)


@exercise("a function of a part")
def wrote(lab: "Lab", trace: "Trace", word: str, rival: str, function: Callable[[Tensor], Any]) -> Verdict:
    """05: how much a part of the last state adds, directly, to the score of one word over that of another.

    Args:
        trace: of one text; it must have read lens.hidden.READ_PARTS.
        function: gets the part of the last token, (hidden,), and returns a number.
    """
    parts = _last_parts(trace)
    given = []
    for part in parts.values():
        value = run_for_number(function, part, expected="one number for each part")
        if isinstance(value, Verdict):
            return value
        given.append(value)
    answer = torch.tensor(given)
    norm, rows = lab.model.transformer.ln_f, lab.model.lm_head.weight.detach()
    asks, rivals = (rows[lab.tokens(each)[0].id] for each in (word, rival))
    stack = torch.stack(list(parts.values()))
    weight, last = norm.weight.detach(), stack.sum(0)
    centred = stack - stack.mean(-1, keepdim=True)
    spread = (last.var(unbiased=False) + norm.eps).sqrt()
    alone = (stack.var(-1, unbiased=False, keepdim=True) + norm.eps).sqrt()
    truth = centred / spread * weight @ (asks - rivals)
    if same(answer, truth):
        largest = truth.abs().topk(3).indices.tolist()
        named = ", ".join(f"{list(parts)[i]} {truth[i]:+.2f}" for i in largest)
        bias = float(norm.bias.detach() @ (asks - rivals))
        return Verdict(
            True, f"{named}; all parts make {truth.sum():.2f}, and with norm.bias' {bias:+.2f} that is the model's own."
        )
    slips = {
        f"that is the score of {word!r} alone; softmax sees only differences: take the row of {rival!r} away.": centred
        / spread
        * weight
        @ asks,
        "the sign: the row of the word, less the row of its rival.": -truth,
        "a layer norm takes the mean of its input away, so of each part its own mean.": stack
        / spread
        * weight
        @ (asks - rivals),
        "you divided by the spread of each part. It is the whole last state that the layer norm divides by.": centred
        / alone
        * weight
        @ (asks - rivals),
        "each part went through the whole layer norm; divide by the spread of the last state, and add no bias.": (
            centred / alone * weight + norm.bias.detach()
        )
        @ (asks - rivals),
        "the bias of the layer norm belongs to no part; leave it out.": (centred / spread * weight + norm.bias.detach())
        @ (asks - rivals),
        "nearly: what is left is times norm.weight.": centred / spread @ (asks - rivals),
        "the final layer norm is missing: it divides by the spread of the last state, and has weights.": centred
        @ (asks - rivals),
        "that skips the final layer norm, through which every part has to go.": stack @ (asks - rivals),
    }
    steps = "less its mean, over the spread of the last state, times norm.weight, times the difference of the rows."
    return Verdict(False, slip(answer, slips) or f"go through it again: the part {steps}")


def _last_parts(trace: "Trace") -> dict[str, Tensor]:
    """What was added to the stream at the last token, by the labels of lens.hidden.shares."""
    check(trace, READ_PARTS)
    parts = {"embed": one(trace, "embed")[-1]}
    for layer in range(trace.config.n_layer):
        parts |= {f"{layer} {name}": one(trace, f"h.{layer}.{name}.out")[-1] for name in ("attn", "mlp")}
    return parts


@exercise("a function of a neuron")
def neuron_off(lab: "Lab", ids: Tensor, layer: int, neurons: Sequence[int], function: Callable[[int], Any]) -> Verdict:
    """06: by how much the probability of its favourite falls when a neuron is off where it is loudest.

    Its favourite is the token whose score the neuron's column of the second matrix raises most.

    Args:
        ids: the texts, (row, pos); the loudest place is among these.
        neurons: those on which the function is tried.
    """
    given, outcomes, names = [], [], []
    for neuron in neurons:
        value = run_for_number(function, neuron, expected="a number for each neuron")
        if isinstance(value, Verdict):
            return value
        given.append(value)
        favourite, outcome = _switched_off(lab, ids, layer, neuron)
        names.append(lab.tokenizer.decode([favourite]))
        outcomes.append(outcome)
    answer = torch.tensor(given)
    truth, *wrong = torch.tensor(outcomes).mT
    if same(answer, truth, 1e-6):
        shown = ", ".join(
            f"{n} {name!r} {100 * fall:+.1f}" for n, name, fall in zip(neurons, names, -truth, strict=True)
        )
        return Verdict(True, f"the favourites change by so many points: {shown}. Which names would you keep?")
    slips = dict(
        zip(
            (
                "that switches the neuron off at every token; name the place, with pos=….",
                "that switches the whole MLP off there; name the neuron, with neuron=….",
                "that is what the score loses; take the probability, after softmax.",
                "the sign: a favourite that falls gives a positive number, before less after.",
                "that is the probability without the neuron; how far is it below the one with it?",
                "nothing has changed: is the edit in the second run?",
            ),
            wrong,
            strict=True,
        )
    )
    steps = "the favourite's probability right after the loudest place, less the same with the neuron 0 there."
    return Verdict(False, slip(answer, slips, 1e-6) or f"the number is another one: {steps}")


def fall_without(lab: "Lab", ids: Tensor, layer: int, neuron: int) -> float:
    """By how much the probability of its favourite falls when a neuron is off where it is loudest; see `neuron_off`."""
    _, (fall, *_) = _switched_off(lab, ids, layer, neuron)
    return fall


def _switched_off(lab: "Lab", ids: Tensor, layer: int, neuron: int) -> tuple[int, list[float]]:
    """A neuron's favourite; the fall of its probability, and what each usual mistake gives instead."""
    spot = f"h.{layer}.mlp.post"
    number, pos = divmod(int(lab.trace(ids, read=[spot])[spot][..., neuron].argmax()), ids.shape[1])
    row = ids[number : number + 1]
    down = lab.model.get_parameter(f"transformer.h.{layer}.mlp.dense_4h_to_h.weight").detach()
    favourite = int((lab.model.lm_head.weight.detach() @ down[:, neuron]).argmax())

    def scores(**where: int) -> Tensor:
        edit = {spot: zero(**where)} if where else {}
        return lab.trace(row[:, : pos + 1], read=["logits"], edit=edit)["logits"][0, -1]

    def chance(scores: Tensor) -> float:
        return float(scores.softmax(-1)[favourite])

    whole, off = scores(), scores(pos=pos, neuron=neuron)
    fall = chance(whole) - chance(off)
    everywhere, everyone = (chance(whole) - chance(scores(**where)) for where in ({"neuron": neuron}, {"pos": pos}))
    return favourite, [fall, everywhere, everyone, float(whole[favourite] - off[favourite]), -fall, chance(off), 0.0]
