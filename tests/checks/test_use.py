"""Lessons 07 to 12: right answers pass, and each usual mistake gets the word that helps."""

import pytest

import bloomlab
from bloomlab import checks


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
    other = lab.trace(text.replace("Oslo", "Rome"), read=["resid_post", "logits"])
    word = lab.tokenizer.decode([int(other["logits"][0, -1].argmax())])
    spot = f"h.{lab.model.config.n_layer - 1}.resid_post"
    last = len(lab.tokens(text)) - 1
    assert checks.says_instead(lab, text, word, {spot: bloomlab.patch(other[spot], pos=last)}).done
    assert "bright" in checks.says_instead(lab, text, word, {spot: bloomlab.patch(other[spot], pos=0)}).says
    assert "empty" in checks.says_instead(lab, text, word, {}).says
    assert "h.0.nothing" in checks.says_instead(lab, text, word, {"h.0.nothing": bloomlab.zero()}).says
    assert "does not fit" in checks.says_instead(lab, text, word, {spot: bloomlab.zero(head=1)}).says


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
