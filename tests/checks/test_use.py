"""Lessons 07 to 12: right answers pass, and each usual mistake gets the word that helps."""

from typing import Any

import pytest

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


V, H, L = 250_880, 2_560, 30


@pytest.mark.parametrize(
    ("count", "says"),
    [
        (V * H, "table alone"),
        (L * (12 * H * H + 13 * H), "come on top"),
        (L * (12 * H * H + 13 * H) + 4 * H, "the table is missing"),
        (V * H + L * (12 * H * H + 13 * H), "4H"),
        (2 * V * H + 4 * H + L * (12 * H * H + 13 * H), "one table"),
        (V * H + 4 * H + L * 12 * H * H, "biases"),
        (V * H + 4 * H + 12 * H * H + 13 * H, "has 30"),
        (7, "7 is not it"),
    ],
)
def test_a_wrong_count_of_parameters_is_told_what_is_missing(count: int, says: str) -> None:
    verdict = checks.parameters("3b", count)
    assert not verdict.done and says in verdict.says


@pytest.mark.parametrize("size", ["560m", "3b", "176b"])
def test_the_right_count_of_parameters_passes(size: str) -> None:
    assert checks.parameters(size, bloomlab.BloomConfig.named(size).parameter_count()).done
