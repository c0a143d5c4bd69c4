import pytest

from bloomlab.errors import InputError
from bloomlab.heads.named import Heads
from tests.tasks.task_heads import random_head


def test_a_shipped_head_is_opened_once_when_it_is_first_asked_for() -> None:
    opened = []

    def open_one() -> object:
        opened.append("language")
        return random_head("language")

    heads = Heads(10, {"language": open_one})  # type: ignore[dict-item]
    assert list(heads) == ["language"] and "language" in heads and len(heads) == 1
    assert "not opened yet" in repr(heads) and opened == []
    assert heads["language"] is heads["language"] and opened == ["language"]
    assert repr(heads) == "Heads('language': BloomForSequenceClassification, 4 labels)"


def test_a_head_that_is_set_takes_the_place_of_the_shipped_one() -> None:
    heads = Heads(10, {"tags": lambda: random_head("tags")})
    mine = random_head("tags", 5).train()
    heads["tags"] = mine
    assert heads["tags"] is mine and not mine.training and len(heads) == 1


def test_a_head_that_does_not_exist_is_told_with_its_near_matches() -> None:
    heads = Heads(10, {"language": lambda: random_head("language")})
    with pytest.raises(InputError, match="no head 'langauge'; did you mean 'language'"):
        heads["langauge"]
    with pytest.raises(InputError, match="no head 'x'; give it one"):
        del heads["x"]
    assert heads.get("x") is None and "x" not in heads
    del heads["language"]
    assert list(heads) == [] and "set one" in repr(heads)
