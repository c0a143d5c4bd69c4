"""Lessons 07 to 12 and 15: right answers pass, and each usual mistake gets the word that helps."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

import bloomlab
from bloomlab import checks
from bloomlab.tasks.results import Classification


@pytest.mark.parametrize(
    ("answer", "done", "says"),
    [
        ((149, 9950), True, "99 %"),
        ([149, 9950], True, "99 %"),
        ((150, 9950), False, "no step reads it"),
        ((100, 9950), False, "not 100"),
        ((149, 15000), False, "50, 51, … 149"),
        ((149,), False, "two numbers"),
        (("a", "b"), False, "not a"),
    ],
)
def test_the_columns_of_a_generation_are_counted(answer: tuple[int, ...], done: bool, says: str) -> None:
    verdict = checks.columns_computed(50, 100, answer)
    assert verdict.done == done and says in verdict.says


@pytest.mark.slow
def test_one_patch_that_changes_the_answer_passes_and_others_are_told_why_not() -> None:
    lab = bloomlab.load()
    text = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
    other = lab.trace(text.replace("Oslo", "Lima"), read=["resid_post", "attn.mixed", "attn.probs", "logits"])
    word = lab.tokenizer.decode([int(other["logits"][0, -1].argmax())])
    spot, mixed = (f"h.{lab.model.config.n_layer - 1}.{name}" for name in ("resid_post", "attn.mixed"))
    last, width = len(lab.tokens(text)) - 1, lab.model.config.hidden_size

    def verdict(edit: dict[str, Any], most: int = width) -> checks.Verdict:
        return checks.says_instead(lab, text, word, most, edit)

    patched = {spot: bloomlab.patch(other[spot], pos=last)}
    assert verdict(patched).done and f"{width} numbers" in verdict(patched).says
    assert verdict({mixed: bloomlab.patch(other[mixed], query=last)}).done
    assert f"overwrites {width} numbers" in verdict(patched, most=32).says
    assert "overwrites 20 positions" in verdict({spot: bloomlab.patch(other[spot])}).says
    assert "overwrites 20 positions" in verdict({mixed: bloomlab.patch(other[mixed], head=4)}).says
    assert "overwrites 2 positions" in verdict({spot: bloomlab.patch(other[spot], pos=[3, last])}).says
    assert "nothing is overwritten" in verdict({spot: bloomlab.scale(2.0, pos=last)}).says
    assert "nothing is overwritten" in verdict({spot: bloomlab.patch(other[spot], pos=99)}).says
    assert "bright" in verdict({spot: bloomlab.patch(other[spot], pos=0)}).says
    assert "names 0 spots" in verdict({}).says
    assert "names 2 spots" in verdict({**patched, mixed: bloomlab.zero()}).says
    assert "but got int" in verdict({spot: 7}).says
    assert "h.0.nothing" in verdict({"h.0.nothing": bloomlab.zero()}).says
    assert "does not fit" in verdict({spot: bloomlab.zero(head=1)}).says


class LabelledByCount(bloomlab.Lab):
    """A lab whose head looks at the number of tokens: 2, and from 4 on, are French; all else is English."""

    def classify(self, text: Any) -> Any:
        return [self._one(one) for one in text]

    def _one(self, text: str) -> Classification:
        label = "fr" if len(self.tokens(text)) in (2, 4, 5) else "en"
        return Classification(text, label, {label: 0.75}, 0, ())


@pytest.mark.parametrize(
    ("count", "says"),
    [
        (0, "has 5 tokens"),
        (1, "it needs more"),
        (2, "after 3 it says 'en' again"),
        (3, "it needs more"),
        (5, "after 4 it did so already"),
        (6, "has 5 tokens"),
    ],
)
def test_too_few_and_too_many_tokens_for_a_label_are_told_apart(count: int, says: str) -> None:
    opened = bloomlab.load()
    lab = LabelledByCount(opened.model, opened.tokenizer)
    verdict = checks.enough_tokens(lab, "Leo lives in Oslo.", "fr", count)
    assert not verdict.done and says in verdict.says
    assert "'Leo lives in Oslo' is enough (0.75)" in checks.enough_tokens(lab, "Leo lives in Oslo.", "fr", 4).says


STORIES = [
    (f"Leo lives in Oslo. Ana lives in Lima. Let us say it again. {asked} lives in", city)
    for asked, city in (("Leo", "Oslo"), ("Ana", "Lima"))
]
SAYS = {100: ["Paris", "Paris"], 200: ["Oslo", "Oslo"], 300: ["Oslo", "Lima"], 400: ["Oslo", "Lima"]}


@pytest.mark.parametrize(
    ("step", "done", "says"),
    [
        (300, True, "in 2 of 2 at step 300, and in 1 at the one before it, 200"),
        (400, False, "at step 300 it was right in 2 already"),
        (200, False, "a city of the story in 2, the right one in 1; that is a city of the story, but whose?"),
        (100, False, "a city of the story in 0, the right one in 0; look later"),
        (150, False, "100, 200, 300, 400"),
    ],
)
def test_the_first_step_that_tells_people_apart_is_told_from_the_others(step: int, done: bool, says: str) -> None:
    verdict = checks.tells_people_apart(SAYS, STORIES, 0.75, step)
    assert verdict.done == done and says in verdict.says


def test_people_that_are_never_told_apart_and_some_that_always_were() -> None:
    assert "look later" in checks.tells_people_apart({100: SAYS[100]}, STORIES, 0.75, 100).says
    assert checks.tells_people_apart({100: SAYS[300]}, STORIES, 0.75, 100).done


@pytest.mark.parametrize(
    ("loss", "done", "says"),
    [
        (2.079, True, "among 8"),
        (3.0, False, "bits"),
        (-2.079, False, "sign"),
        (0.125, False, "probability"),
        (1, False, "1/8"),
    ],
)
def test_the_loss_of_a_guess_is_a_logarithm(loss: float, done: bool, says: str) -> None:
    verdict = checks.guess_among(8, loss)
    assert verdict.done == done and says in verdict.says


L, H, P = 30, 4_096, 7_069_016_064  # of bloom-7b1: layers, width, parameters
LEFT, TOKEN = 16e9 - 2 * P, 2 * L * H * 2  # bytes beside the weights, and of the cache of one token


@pytest.mark.parametrize(
    ("count", "says"),
    [
        (16e9 / TOKEN, "the weights have to fit, too"),
        (LEFT * 2 / TOKEN, "a key and a value for each token"),
        (LEFT * L / TOKEN, "one layer's cache; each of the 30"),
        (LEFT * 2 * L / TOKEN, "a key and a value, in each of 30"),
        (LEFT / TOKEN / 2, "four bytes a number"),
        (LEFT * 2 * 2 / TOKEN, "a number has two bytes"),
        (LEFT * H / TOKEN, "not one number but 4,096"),
        (LEFT, "the bytes that are left"),
        ((16e9 - P) / TOKEN, "a weight has two bytes"),
        (5_000, "cache together"),
        (7, "more will fit"),
        (0, "more will fit"),
    ],
)
def test_a_wrong_number_of_tokens_that_fit_is_told_what_was_forgotten(count: float, says: str) -> None:
    verdict = checks.tokens_that_fit("7b1", 16e9, int(count))
    assert not verdict.done and says in verdict.says, verdict


@pytest.mark.slow
@pytest.mark.parametrize("size", ["560m", "3b", "7b1"])
def test_the_tokens_that_fit_are_those_of_a_real_cache(size: str) -> None:
    """Counted in the bytes of a cache that a model of this size has filled; no number of it is kept (meta)."""
    config = bloomlab.BloomConfig.named(size)
    with torch.device("meta"):
        model = bloomlab.BloomModel(config).to(torch.bfloat16)
        cache = model(torch.zeros(1, 5, dtype=torch.long), use_cache=True).past_key_values
    weights = sum(parameter.nbytes for parameter in model.parameters())
    filled = sum(tensor.nbytes for layer in cache for tensor in layer)
    most = int((16e9 - weights) // (filled / 5))
    assert checks.tokens_that_fit(size, 16e9, most).done
    assert not checks.tokens_that_fit(size, 16e9, most + 10).done


def test_weights_that_do_not_fit_leave_no_room_for_a_token() -> None:
    assert "take more memory" in checks.tokens_that_fit("176b", 16e9, 100).says


CITY_STORY = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"


@pytest.fixture(scope="module")
def lab() -> bloomlab.Lab:
    return bloomlab.load()


def scaled(lab: bloomlab.Lab, factors: Tensor, text: str = CITY_STORY) -> Tensor:
    """The logits (pos, vocab) with each head's ALiBi bias times its factor."""
    edit = {
        f"h.{layer}.attn.alibi": lambda bias, at, layer=layer: bias * factors[layer][:, None, None]
        for layer in range(len(factors))
    }
    ids = torch.tensor([lab.tokens(text).ids])
    logits: Tensor = lab.model(ids, hooks=bloomlab.Hooks(edit=edit)).logits[0]
    return logits


def gradient(lab: bloomlab.Lab, number: Callable[[Tensor], Tensor]) -> Tensor:
    factors = torch.ones(lab.model.config.n_layer, lab.model.config.n_head, requires_grad=True)
    return torch.autograd.grad(number(scaled(lab, factors)), factors)[0]


@pytest.mark.slow
def test_the_right_gradient_is_the_slope_between_two_factors(lab: bloomlab.Lab) -> None:
    oslo, step = lab.tokens(" Oslo")[0].id, 1e-2
    slopes = torch.zeros(lab.model.config.n_layer, lab.model.config.n_head)
    for place in product(*map(range, slopes.shape)):
        up, down = torch.ones_like(slopes), torch.ones_like(slopes)
        up[place] += step
        down[place] -= step
        with torch.no_grad():
            high, low = (scaled(lab, factors)[-1].log_softmax(-1)[oslo] for factors in (up, down))
        slopes[place] = (high - low) / (2 * step)
    truth = gradient(lab, lambda logits: logits[-1].log_softmax(-1)[oslo])
    assert torch.allclose(truth, slopes, atol=5e-3)
    verdict = checks.wishes(lab, CITY_STORY, " Oslo", truth)
    layer, head = divmod(int(slopes.abs().argmax()), slopes.shape[1])
    way = "nearer" if slopes[layer, head] > 0 else "farther"
    assert verdict.done and f"head {layer}.{head}'s" in verdict.says and way in verdict.says
    assert checks.wishes(lab, CITY_STORY, " Oslo", truth.double().numpy()).done


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "says"),
    [
        (lambda logits, oslo, ids: -logits[-1].log_softmax(-1)[oslo], "the sign turns"),
        (lambda logits, oslo, ids: logits[-1].softmax(-1)[oslo], "the gradient of the probability"),
        (lambda logits, oslo, ids: logits[-1, oslo], "log_softmax comes first"),
        (lambda logits, oslo, ids: cross_entropy(logits[:-1], ids[1:]), "the loss over the whole text"),
        (lambda logits, oslo, ids: logits[-2].log_softmax(-1)[oslo], "the place before the last"),
        (lambda logits, oslo, ids: logits[-1].log_softmax(-1)[oslo + 1], "log p of this city"),
    ],
)
def test_the_gradient_of_another_number_is_named(
    lab: bloomlab.Lab, number: Callable[[Tensor, int, Tensor], Tensor], says: str
) -> None:
    oslo, ids = lab.tokens(" Oslo")[0].id, torch.tensor(lab.tokens(CITY_STORY).ids)
    verdict = checks.wishes(lab, CITY_STORY, " Oslo", gradient(lab, lambda logits: number(logits, oslo, ids)))
    assert not verdict.done and says in verdict.says, verdict


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (torch.zeros(8), "but got (8,)"),
        (np.zeros((8, 4)), "but got (8, 4)"),
        (np.full((4, 8), "a"), "expected an array of numbers"),
        (np.full((4, 8), None), "expected an array of numbers"),
        (torch.zeros(4, 8, requires_grad=True), "expected an array of numbers"),
        (np.full((4, 8), np.nan), "the numbers are others"),
    ],
)
def test_what_is_no_gradient_of_the_factors_is_refused(lab: bloomlab.Lab, answer: Any, says: str) -> None:
    verdict = checks.wishes(lab, CITY_STORY, " Oslo", answer)
    assert not verdict.done and says in verdict.says, verdict


@pytest.mark.parametrize(
    ("names", "done", "says"),
    [
        ({"patients", "asylum", "reviews"}, True, "a machine wrote"),
        (["reviews", "patients", "asylum"], True, "medical advice"),
        ({"patients", "asylum"}, False, "what do they take it for?"),
        ({"patients", "reviews"}, False, "whose future"),
        ({"asylum", "reviews"}, False, "whose health"),
        ({"patients", "novel"}, False, "'novel' is allowed"),
        ({"everything"}, False, "expected some of novel"),
    ],
)
def test_what_a_licence_does_not_allow(names: set[str], done: bool, says: str) -> None:
    verdict = checks.forbidden(names)
    assert verdict.done == done and says in verdict.says
