"""The attack that `make attack` makes for minutes, for one; and that nothing which goes wrong escapes it."""

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bloomlab.errors import InputError
from tests.hostile import attack
from tests.hostile.attack import BAD, Broken, Try
from tests.hostile.mutations import changed
from tests.text.small_tokenizer import trained_json

SECONDS = 60  # for all kinds together


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is read from Linux' /proc")
def test_made_up_inputs_of_every_kind_succeed_or_end_in_our_error(capfd: pytest.CaptureFixture[str]) -> None:
    names = list(attack.kinds("tests.hostile.attacks"))
    total = attack.run("tests.hostile.attacks", names, SECONDS / len(names), seed="test")
    said = capfd.readouterr().out
    assert not any(total[each] for each in BAD), said
    assert total["our errors"] > 100 and total["successes"] > 100, said


def _kind(attempt: Try) -> Callable[[Path], Try]:
    return lambda folder: attempt


def _raises(error: BaseException) -> Try:
    def attempt(chance: random.Random) -> None:
        if chance.random() < 0.5:
            raise error

    return attempt


KINDS = {  # what this module attacks instead
    "ours": _kind(_raises(InputError("expected a text, but got none; pass one"))),
    "others": _kind(_raises(KeyError("x"))),
    "panics": _kind(_raises(BaseException("the library panicked"))),
    "broken": _kind(_raises(Broken("code ran"))),
    "ends": _kind(lambda chance: os._exit(0)),
    "hangs": _kind(lambda chance: time.sleep(30)),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "came"),
    [("ours", "our errors"), ("others", "others' errors"), ("panics", "others' errors"), ("broken", "promises broken")],
)
def test_what_goes_wrong_is_counted_and_can_be_tried_again(
    kind: str, came: str, capsys: pytest.CaptureFixture[str]
) -> None:
    total = attack.run(__name__, [kind], 0.05, "0")
    assert total[came] > 1 and total["successes"] > 1 and total.total() == total[came] + total["successes"]
    said = capsys.readouterr().out
    assert (f"{came}: --seed 0 --only " in said) == (came in BAD)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "came"), [("ends", "crashes"), ("hangs", "hangs")])
def test_an_input_that_ends_or_blocks_the_process_is_counted(kind: str, came: str) -> None:
    assert attack.run(__name__, [kind], 0, "0", patience=0.5) == {came: 1}


def test_the_changes_are_the_same_for_the_same_seed() -> None:
    content = trained_json().encode()
    for number in range(20):
        twice = [changed("tokenizer.json", content, random.Random(f"0-{number}")) for _ in range(2)]
        assert twice[0] == twice[1]
    assert len({changed("tokenizer.json", content, random.Random(f"0-{number}")) for number in range(20)}) > 15
