"""Lessons 01 to 06: right answers pass, and each usual mistake gets the word that helps."""

import math
import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.trainers import BpeTrainer
from torch import Tensor

import bloomlab
from bloomlab import checks
from bloomlab.lens.hidden import READ_PARTS


@pytest.fixture(scope="module")
def lab() -> bloomlab.Lab:
    return bloomlab.load()


WORDS = {"lives": 9, "lived": 2, "live": 3, "the": 7, "she": 8, "then": 2, "there": 1, "other": 1, "bread": 3, "her": 4}
Pieces = dict[tuple[str, ...], int]


def most_common(words: Pieces, weighed: bool = True) -> tuple[str, str]:
    counts: Counter[tuple[str, str]] = Counter()
    for word, count in words.items():
        for pair in pairwise(word):
            counts[pair] += count if weighed else 1
    return counts.most_common(1)[0][0]


def test_the_merges_are_those_of_a_trainer_we_did_not_write() -> None:
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = WhitespaceSplit()
    letters = len({letter for word in WORDS for letter in word})
    text = (word for word, count in WORDS.items() for _ in range(count))
    tokenizer.train_from_iterator(text, BpeTrainer(vocab_size=letters + 5, show_progress=False))
    verdict = checks.most_common_pair(WORDS, most_common)
    assert verdict.done and verdict.says.count("+") == 5
    pieces = ["·".join(tokenizer.encode(word).tokens) for word in list(WORDS)[:4]]
    assert verdict.says.endswith(f"Now the words begin with {', '.join(pieces)}.")


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda words: most_common(words, weighed=False), "in the most words"),
        (lambda words: ("h", "e"), "step 2: 'he' is inside of one piece by now"),
        (lambda words: ("e", "h"), "nowhere neighbours in this order"),
        (lambda words: ("r", "e"), "step 1: ('r', 'e') occurs 4 times, but"),
        (lambda words: "he", "one text, 'he'"),
        (lambda words: ["h", "e"], "expected two pieces"),
        (lambda words: ("h", "e", "r"), "expected two pieces"),
        (lambda words: None, "but got None"),
        (lambda words: words["lives"], "your function stops with KeyError"),
    ],
)
def test_a_pair_that_is_not_the_most_common_is_told_why(function: Callable[[Pieces], Any], says: str) -> None:
    verdict = checks.most_common_pair(WORDS, function)
    assert not verdict.done and says in verdict.says, verdict


def test_a_function_that_empties_the_words_it_is_given_changes_nothing() -> None:
    def emptying(words: Pieces) -> tuple[str, str]:
        pair = most_common(words)
        words.clear()
        return pair

    assert checks.most_common_pair(WORDS, emptying).done
    assert "more words than these" in checks.most_common_pair({"ab": 1}, most_common).says


def test_a_layer_norm_passes_and_each_missing_step_is_named(lab: bloomlab.Lab) -> None:
    norm = lab.model.transformer.word_embeddings_layernorm
    row = lab.model.transformer.word_embeddings.weight[700].detach()
    weight, bias = norm.weight, norm.bias
    centred, variance = row - row.mean(), row.var(unbiased=False)
    assert checks.layer_norm(lab, row, norm(row)).done
    mistakes = {
        "begin by taking": row,
        "Now divide": centred,
        "times norm.weight": centred / (variance + norm.eps).sqrt(),
        "norm.bias is still": centred / (variance + norm.eps).sqrt() * weight,
        "unbiased=False": centred / (row.var() + norm.eps).sqrt() * weight + bias,
        "under the root": centred / variance.sqrt() * weight + bias,
        "the steps are": row * 2,
        "expected one number for each": row[:5],
    }
    for says, answer in mistakes.items():
        verdict = checks.layer_norm(lab, row, answer)
        assert not verdict.done and says in verdict.says, verdict


def attend(q: Tensor, k: Tensor, v: Tensor, slope: float, power: float = 0.5, sign: int = 1, mask: int = 1) -> Tensor:
    scores = q @ k.T / q.shape[-1] ** power + sign * slope * torch.arange(len(k))
    later = torch.ones_like(scores).triu(mask).bool()
    return scores.masked_fill(later, -math.inf).softmax(-1) @ v


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mask": 100}, "early tokens see later ones"),
        ({"power": 0}, "too large"),
        ({"power": 1}, "too small"),
        ({"sign": 0}, "ALiBi is missing"),
        ({"sign": -1}, "wrong sign"),
        ({"mask": 0}, "NaN"),
        ({"power": 2}, "go through it again"),
    ],
)
def test_attention_names_the_step_that_is_wrong(change: dict[str, float], says: str) -> None:
    verdict = checks.attention(lambda q, k, v, slope: attend(q, k, v, slope, **change))  # type: ignore[arg-type]
    assert not verdict.done and says in verdict.says


def test_attention_names_a_wrong_axis_a_late_mask_and_a_scaled_slope() -> None:
    def scores(q: Tensor, k: Tensor) -> Tensor:
        return q @ k.T / 4 + 0.25 * torch.arange(len(k))

    def hidden(q: Tensor, k: Tensor) -> Tensor:
        return scores(q, k).masked_fill(torch.ones(len(q), len(k)).triu(1).bool(), -math.inf)

    wrong_axis = checks.attention(lambda q, k, v, slope: hidden(q, k).softmax(0) @ v)
    late_mask = checks.attention(lambda q, k, v, slope: scores(q, k).softmax(-1).tril() @ v)
    scaled_slope = checks.attention(lambda q, k, v, slope: attend(q, k, v, slope / 4))
    for verdict, words in (
        (wrong_axis, "over the last axis"),
        (late_mask, "after the softmax"),
        (scaled_slope, "divided too"),
    ):
        assert not verdict.done and words in verdict.says, verdict


def test_attention_passes_in_both_forms_of_alibi() -> None:
    def papers(q: Tensor, k: Tensor, v: Tensor, slope: float) -> Tensor:
        pos = torch.arange(len(k))
        scores = q @ k.T / 4 - slope * (pos[:, None] - pos)
        return scores.masked_fill(pos > pos[:, None], -math.inf).softmax(-1) @ v

    assert checks.attention(attend).done and checks.attention(papers).done
    assert "values themselves" in checks.attention(lambda q, k, v, slope: v).says


@pytest.mark.parametrize("slope", [0.25, 0.001, 0, -1, math.inf, math.nan])
def test_a_wrong_slope_is_told_which_way_to_go(slope: float) -> None:
    verdict = checks.half_weight(20, slope)
    wanted = "flatter" if slope == 0.25 else "steeper" if slope == 0.001 else "above 0"
    assert not verdict.done and wanted in verdict.says


def test_the_right_slope_passes_and_meets_blooms_nearest() -> None:
    assert "1/32" in checks.half_weight(20, math.log(2) / 20).says


STORY = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"


@pytest.fixture(scope="module")
def trace(lab: bloomlab.Lab) -> bloomlab.Trace:
    return lab.trace(STORY, read=[*READ_PARTS, "h.3.resid_post", "logits"])


@pytest.fixture(scope="module")
def final(lab: bloomlab.Lab, trace: bloomlab.Trace) -> "Final":
    return Final(lab, trace)


class Final:
    """The right answer to "what wrote Oslo rather than Sydney?", and each step of it to be left out."""

    def __init__(self, lab: bloomlab.Lab, trace: bloomlab.Trace) -> None:
        self.norm, self.last = lab.model.transformer.ln_f, trace["h.3.resid_post"][0, -1]
        self.oslo, self.sydney = (
            lab.model.lm_head.weight[lab.tokens(word)[0].id].detach() for word in (" Oslo", " Sydney")
        )

    def __call__(self, part: Tensor, **other: Any) -> Tensor:
        variance = other.get("variance", self.last.var(unbiased=False))
        normed = (part - other.get("mean", part.mean())) / (variance + self.norm.eps).sqrt()
        return (normed * other.get("weight", self.norm.weight) + other.get("bias", 0)) @ other.get(
            "row", self.oslo - self.sydney
        )


def test_what_the_parts_write_adds_up_to_the_models_own_difference(
    lab: bloomlab.Lab, trace: bloomlab.Trace, final: Final
) -> None:
    verdict = checks.wrote(lab, trace, " Oslo", " Sydney", final)
    assert verdict.done and checks.wrote(lab, trace, " Oslo", " Sydney", lambda part: final(part).item()).done
    total, bias = (float(number) for number in re.findall(r"all parts make (\S+), .* ([+-]\S+) that", verdict.says)[0])
    oslo, sydney = (trace["logits"][0, -1, lab.tokens(word)[0].id].item() for word in (" Oslo", " Sydney"))
    assert total + bias == pytest.approx(oslo - sydney, abs=0.02)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda final, part: final(part, row=final.oslo), "alone; softmax sees only differences"),
        (lambda final, part: -final(part), "the sign"),
        (lambda final, part: final(part, mean=0), "its own mean"),
        (lambda final, part: final(part, variance=part.var(unbiased=False)), "the spread of each part"),
        (
            lambda final, part: final(part, variance=part.var(unbiased=False), bias=final.norm.bias),
            "through the whole layer norm",
        ),
        (lambda final, part: final(part, bias=final.norm.bias), "belongs to no part"),
        (lambda final, part: final(part, weight=1), "times norm.weight"),
        (lambda final, part: (part - part.mean()) @ (final.oslo - final.sydney), "the final layer norm is missing"),
        (lambda final, part: part @ (final.oslo - final.sydney), "skips the final layer norm"),
        (lambda final, part: 2 * final(part), "go through it again"),
        (lambda final, part: part, "expected one number for each part, but got a tensor of (128,)"),
        (lambda final, part: "text", "expected one number for each part, but got str"),
        (lambda final, part: 1 / 0, "your function stops with ZeroDivisionError"),
        (lambda final, part: math.nan, "go through it again"),
    ],
)
def test_each_step_that_is_left_out_on_the_way_to_the_scores_is_named(
    lab: bloomlab.Lab, trace: bloomlab.Trace, final: Final, function: Callable[[Final, Tensor], Any], says: str
) -> None:
    verdict = checks.wrote(lab, trace, " Oslo", " Sydney", lambda part: function(final, part))
    assert not verdict.done and says in verdict.says, verdict


class Neurons:
    """A few texts, and what the exercise asks of a neuron of layer 2 on them."""

    layer, spot, ids = 2, "h.2.mlp.post", torch.tensor([])

    def __init__(self, lab: bloomlab.Lab) -> None:
        self.lab = lab
        texts = [STORY, "One, two, three, four, five, six, seven, eight", "Where does Ana live? Ana lives in Lima."]
        shortest = min(len(lab.tokens(text)) for text in texts)
        self.ids = torch.tensor([lab.tokens(text).ids[:shortest] for text in texts])
        self.post = lab.trace(self.ids, read=[self.spot])[self.spot]
        self.neurons = self.post.amax((0, 1)).topk(2).indices.tolist()

    def place(self, neuron: int) -> tuple[int, int]:
        return divmod(int(self.post[..., neuron].argmax()), self.ids.shape[1])

    def scores(self, asked: int, /, **where: int) -> tuple[Tensor, int]:
        """All scores right after the loudest place, and the favourite's id."""
        row, pos = self.place(asked)
        edit = {self.spot: bloomlab.zero(**where)} if where else {}
        text = self.ids[row : row + 1, : pos + 1]
        down = self.lab.model.transformer.h[self.layer].mlp.dense_4h_to_h.weight[:, asked]
        scores = self.lab.trace(text, read=["logits"], edit=edit)["logits"][0, -1]
        return scores, int((self.lab.model.lm_head.weight @ down).argmax())

    def chance(self, asked: int, /, **where: int) -> float:
        scores, favourite = self.scores(asked, **where)
        return scores.softmax(-1)[favourite].item()

    def score(self, asked: int, /, **where: int) -> float:
        scores, favourite = self.scores(asked, **where)
        return scores[favourite].item()

    def off(self, neuron: int) -> dict[str, int]:
        return {"pos": self.place(neuron)[1], "neuron": neuron}

    def check(self, function: Callable[[int], Any]) -> checks.Verdict:
        return checks.neuron_off(self.lab, self.ids, self.layer, self.neurons, function)


@pytest.fixture(scope="module")
def ask(lab: bloomlab.Lab) -> Neurons:
    return Neurons(lab)


@pytest.mark.slow
def test_the_fall_without_a_neuron_passes_and_names_the_favourites(ask: Neurons) -> None:
    verdict = ask.check(lambda n: ask.chance(n) - ask.chance(n, **ask.off(n)))
    assert verdict.done
    for neuron in ask.neurons:
        favourite = ask.lab.tokenizer.decode([ask.scores(neuron)[1]])
        fall = ask.chance(neuron) - ask.chance(neuron, **ask.off(neuron))
        assert f"{neuron} {favourite!r} {-100 * fall:+.1f}" in verdict.says


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda ask, n: ask.chance(n) - ask.chance(n, neuron=n), "at every token"),
        (lambda ask, n: ask.chance(n) - ask.chance(n, pos=ask.place(n)[1]), "the whole MLP"),
        (lambda ask, n: ask.score(n) - ask.score(n, **ask.off(n)), "what the score loses"),
        (lambda ask, n: ask.chance(n, **ask.off(n)) - ask.chance(n), "the sign"),
        (lambda ask, n: ask.chance(n, **ask.off(n)), "the probability without the neuron"),
        (lambda ask, n: 0, "nothing has changed"),
        (lambda ask, n: 1.5, "the number is another one"),
        (lambda ask, n: math.nan, "the number is another one"),
        (lambda ask, n: ask.post, "expected a number for each neuron, but got a tensor of"),
        (lambda ask, n: None, "expected a number for each neuron, but got NoneType"),
        (lambda ask, n: 1 / 0, "your function stops with ZeroDivisionError"),
    ],
)
def test_each_mistake_in_switching_a_neuron_off_is_named(
    ask: Neurons, function: Callable[[Neurons, int], Any], says: str
) -> None:
    verdict = ask.check(lambda neuron: function(ask, neuron))
    assert not verdict.done and says in verdict.says, verdict
