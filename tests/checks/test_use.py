"""Lessons 07 to 12: right answers pass, and each usual mistake gets the word that helps."""

from typing import Any

import pytest

import bloomlab
from bloomlab import checks
from bloomlab.verdicts import Classification


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


def test_a_patch_that_changes_the_answer_passes_and_others_are_told_where_to_look() -> None:
    lab = bloomlab.load()
    text = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
    other = lab.trace(text.replace("Oslo", "Lima"), read=["resid_post", "logits"])
    word = lab.tokenizer.decode([int(other["logits"][0, -1].argmax())])
    spot = f"h.{lab.model.config.n_layer - 1}.resid_post"
    last = len(lab.tokens(text)) - 1
    assert checks.says_instead(lab, text, word, {spot: bloomlab.patch(other[spot], pos=last)}).done
    assert "bright" in checks.says_instead(lab, text, word, {spot: bloomlab.patch(other[spot], pos=0)}).says
    assert "empty" in checks.says_instead(lab, text, word, {}).says
    assert "h.0.nothing" in checks.says_instead(lab, text, word, {"h.0.nothing": bloomlab.zero()}).says
    assert "does not fit" in checks.says_instead(lab, text, word, {spot: bloomlab.zero(head=1)}).says


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


@pytest.mark.parametrize(
    ("step", "done", "says"),
    [
        (200, True, "0.10 at the one before it, 100"),
        (300, False, "0.70 already"),
        (100, False, "look later"),
        (150, False, "100, 200, 300"),
    ],
)
def test_the_first_step_at_a_level_is_told_from_the_others(step: int, done: bool, says: str) -> None:
    verdict = checks.first_step({100: 0.1, 200: 0.7, 300: 0.9}, 0.5, step)
    assert verdict.done == done and says in verdict.says


def test_a_curve_that_never_gets_there_and_one_that_starts_there() -> None:
    assert "look later" in checks.first_step({100: 0.1}, 0.5, 100).says
    assert checks.first_step({100: 0.6}, 0.5, 100).done


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
