"""The small exercises of lessons 01 to 07: right answers pass, and each usual mistake gets the word that helps."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from bloomlab import Lab, checks, load
from bloomlab.tracing.trace import Trace

ROOT = math.sqrt(2 / math.pi)


@pytest.fixture(scope="module")
def lab() -> Lab:
    return load()


@pytest.mark.parametrize(
    ("word", "done", "says"),
    [
        ("Привет", True, "its bytes stay apart"),
        ("🦁", True, "1 characters, 4 bytes, and 4 tokens"),
        ("xyzzy", False, "less than a byte no token is"),
        ("está", False, "Merges join"),
        ("", False, "1 to 20 characters"),
        ("a" * 21, False, "1 to 20 characters"),
    ],
)
def test_a_word_with_more_tokens_than_characters(lab: Lab, word: str, done: bool, says: str) -> None:
    verdict = checks.costs_more(lab, word)
    assert verdict.done == done and says in verdict.says


@pytest.mark.parametrize(
    ("text", "done", "says"),
    [
        ("Ana knows Leo.", True, "two rows"),
        ("Leo knows Ana.", False, "no space stands in front"),
        ("Leo knows Leo.", False, "token 0 is"),
        ("Ana.", False, "there is no 'Leo'"),
        ("Leopold", False, "part of another word"),
    ],
)
def test_a_name_with_the_space_in_front(lab: Lab, text: str, done: bool, says: str) -> None:
    verdict = checks.has_token(lab, " Leo", text)
    assert verdict.done == done and says in verdict.says


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda a, b: a @ b / (a.norm() * b.norm()), "only when it turns"),
        (lambda a, b: a @ b / a.norm(), "one of the two lengths"),
        (lambda a, b: a @ b / b.norm(), "the other length"),
        (lambda a, b: a @ b / (a.norm() * b.norm()) ** 2, "not by their squares"),
        (lambda a, b: (a - b).norm(), "a distance"),
        (lambda a, b: (a * b).mean(), "the mean of the products"),
        (lambda a, b: a @ b + 1, "over both lengths"),
        (lambda a, b: a, "expected one number"),
    ],
)
def test_a_cosine(function: Callable[..., Any], says: str) -> None:
    assert says in checks.cosine(function).says
    assert checks.cosine(function).done == ("turns" in says)


@pytest.mark.parametrize(
    ("count", "says"),
    [
        (256_901_120, "0.51 GB in float16"),
        (1024, "one row"),
        (250_880 + 1024, "not rows and width"),
        (2 * 256_901_120, "those are bytes"),
        (4 * 256_901_120, "four a number"),
        (559_214_592, "all numbers of the model"),
        (7, "another number"),
    ],
)
def test_the_size_of_a_table(count: int, says: str) -> None:
    verdict = checks.table_size("560m", count)
    assert says in verdict.says and verdict.done == ("GB in float16" in says)


@pytest.fixture(scope="module")
def read(lab: Lab) -> Trace:
    return lab.trace("Leo lives in Oslo.", read=["embed", "attn.out", "mlp.out", "resid_post"])


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (lambda e, a, m: e + (a[:2] + m[:2]).sum(0), "4 additions"),
        (lambda e, a, m: (a[:2] + m[:2]).sum(0), "the embedding is missing"),
        (lambda e, a, m: e + a[:2].sum(0), "what the MLPs added"),
        (lambda e, a, m: e + m[:2].sum(0), "what the attentions added"),
        (lambda e, a, m: e + a[0] + m[0], "before layer 1"),
        (lambda e, a, m: e + (a + m).sum(0), "over all layers"),
        (lambda e, a, m: a[1] + m[1], "that is what layer 1 adds"),
        (lambda e, a, m: e + a[1] + m[1], "layers 0 to 0 are missing"),
        (lambda e, a, m: e, "add them"),
        (lambda e, a, m: e[..., 0], "expected"),
    ],
)
def test_a_state_is_a_sum(read: Trace, state: Callable[..., Tensor], says: str) -> None:
    made = state(read["embed"], read.stack("attn.out"), read.stack("mlp.out"))
    for answer in (made, made[0]):
        verdict = checks.state_after(read, 1, answer)
        assert says in verdict.says and verdict.done == ("additions" in says)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda x: x / 2 * (1 + (ROOT * (x + 0.044715 * x**3)).tanh()), "every BLOOM"),
        (lambda x: torch.nn.functional.gelu(x, approximate="tanh"), "every BLOOM"),
        (lambda x: x * (1 + (ROOT * (x + 0.044715 * x**3)).tanh()), "the half is missing"),
        (lambda x: (1 + (ROOT * (x + 0.044715 * x**3)).tanh()) / 2, "that is the gate"),
        (lambda x: x / 2 * (ROOT * (x + 0.044715 * x**3)).tanh(), "the 1 is missing"),
        (lambda x: x / 2 * (1 + (x + 0.044715 * x**3).tanh()), "the factor"),
        (lambda x: x / 2 * (1 + (ROOT * (x + 0.044715 * x)).tanh()), "the cube"),
        (lambda x: x * x.sigmoid(), "SiLU"),
        (lambda x: x, "nothing is bent"),
        (lambda x: x - 1, "go through it again"),
        (lambda x: x[0], "expected a bent number"),
    ],
)
def test_a_bend(function: Callable[..., Any], says: str) -> None:
    assert says in checks.bend(function).says
    assert checks.bend(function).done == ("every BLOOM" in says)


@pytest.mark.parametrize(
    ("count", "says"),
    [
        (8 * 128**2 + 5 * 128, "8H² + 5H = 131,712"),
        (4 * 128**2 + 4 * 128, "the way down?"),
        (4 * 128**2, "there are two"),
        (8 * 128**2 + 8 * 128, "H numbers, not 4H"),
        (8 * 128**2 + 2 * 128, "one for each neuron"),
        (2 * 128**2 + 2 * 128, "four times as wide"),
        (12 * 128**2 + 13 * 128, "the whole layer"),
        (1, "Add them up"),
    ],
)
def test_the_numbers_of_an_mlp(count: int, says: str) -> None:
    verdict = checks.mlp_numbers(128, count)
    assert says in verdict.says and verdict.done == ("8H²" in says)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda x, t: (x / t).softmax(-1), "the more alike"),
        (lambda x, t: (x * t).softmax(-1), "the wrong way round"),
        (lambda x, t: x.softmax(-1), "does nothing"),
        (lambda x, t: x / t, "those are logits"),
        (lambda x, t: (x.softmax(-1) / t).softmax(-1), "softmax twice"),
        (lambda x, t: (x / t**2).softmax(-1), "then softmax"),
        (lambda x, t: 1, "expected a probability"),
    ],
)
def test_a_temperature(function: Callable[..., Any], says: str) -> None:
    assert says in checks.heated(function).says
    assert checks.heated(function).done == ("alike" in says)


def largest_first(probs: Tensor) -> Tensor:
    return probs.sort(descending=True).values.cumsum(0)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda probs, p: int((largest_first(probs) < p).sum()) + 1, "few where the model is sure"),
        (lambda probs, p: int((largest_first(probs) < p).sum()), "one too few"),
        (lambda probs, p: int((probs >= p).sum()), "each token alone"),
        (lambda probs, p: int((probs.cumsum(0) < p).sum()) + 1, "the order of the vocabulary"),
        (lambda probs, p: int((probs.sort().values.cumsum(0) < p).sum()) + 1, "sort them the other way"),
        (lambda probs, p: math.nan, "it is 2"),
        (lambda probs, p: probs, "expected how many"),
    ],
)
def test_how_many_top_p_keeps(function: Callable[..., Any], says: str) -> None:
    assert says in checks.kept_by_top_p(function).says
    assert checks.kept_by_top_p(function).done == ("few where" in says)
