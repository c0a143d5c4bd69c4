"""No memory left: each verb of a lab, and all else there is to do, under a limit that is reached at once or soon.

Each is tried in a copy of a Python that has opened the embedded model and nothing else: as the first thing that it
does, when much must still be imported, and once more, when all is there. Then the limit is taken away, and the same
must work.
"""

import contextlib
import os
import random
import re
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

import bloomlab
from bloomlab import cli
from bloomlab.errors import LONGEST, BloomlabError
from tests.budget import slowness
from tests.hostile.guards import in_a_copy
from tests.hostile.in_copies import in_a_new_python
from tests.supply import smoke

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the limit is that of Linux"),
]

ROOMS = (0, 1, 8, 32)  # MB of addresses beyond those that the program has
PATIENCE = 30.0  # seconds for a copy, where the fixed work of tests/budget.py takes its usual time
SECONDS = 5.0  # of the processor until the error in words, there


@contextlib.contextmanager
def room_for(megabytes: int) -> Iterator[None]:
    """Inside, this program gets so many addresses more than it has, and no others."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (megabytes << 20), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def words(result: object) -> str:
    """A result as it shows itself, without the numbers that Jupyter gives."""
    return re.sub(r"[0-9a-f]{32}|0x[0-9a-f]+", "", repr(result))


def others_words(shown: str) -> str:
    """What a page shows that only a library would say."""
    return "".join(re.findall(r".{0,200}(?:MemoryError|allocate memory|failed to map|out of memory).{0,200}", shown))


def case(use: Callable[[Any], object], lab: Any, folder: str, megabytes: int, warm: bool) -> dict[str, Any]:
    """What comes of a use in so little memory, and afterwards: "" for each that is as it should be."""
    os.chdir(folder)
    before = [words(use(lab)) for _ in range(2)][1] if warm else ""  # the first time it may find nothing there yet
    came: BaseException | None = None
    result: object = None
    started = time.process_time()
    with room_for(megabytes):
        try:
            result = use(lab)
        except BaseException as error:
            came = error
    seconds = time.process_time() - started
    wrong = came is not None and (not isinstance(came, BloomlabError) or len(str(came)) > LONGEST)
    said = "".join(traceback.format_exception(came))[-3000:] if wrong else others_words(words(result))
    kind, came = type(came).__name__, None  # with all that its frames hold
    try:
        again = words(use(lab))
        after = f"was {before[:500]}, is {again[:500]}" if warm and again != before else ""
    except BaseException as error:
        after = "".join(traceback.format_exception(error))[-3000:]
    return {"kind": kind, "said": said, "after": after, "seconds": seconds}


def command(lab: Any) -> list[int]:
    """The codes with which the command ends; 2 where it says in words what is wrong."""
    return [cli.main(words) for words in (["info", "tiny"], ["explore", "Leo", "--save", "command.html"], ["page"])]


def uses() -> dict[str, Callable[[Any], object]]:
    """What to do with a lab, by its name."""
    return {**smoke.verbs(), **smoke.others(), "load": lambda lab: bloomlab.load(), "the command": command}


def cases(*rooms: int) -> list[tuple[str, int, bool]]:
    """Every use, in each of so much room, as the first thing and when all is there."""
    return list(product(uses(), rooms, (False, True)))


def tried(count: str, seed: str, *rooms: str) -> dict[str, dict[str, Any] | None]:
    """What came of so many cases ("0": all of them); None for one that has ended its copy, or did not end."""
    chosen = cases(*map(int, rooms))
    if int(count):
        chosen = random.Random(seed).sample(chosen, int(count))
    use, lab, patience = uses(), bloomlab.load(), PATIENCE * slowness()
    with TemporaryDirectory() as folder:
        in_a_copy(partial(case, use["finding"], lab, folder, 1 << 20, False), patience)  # "a saved finding" opens it
        return {
            f"{name}, {megabytes} MB{', warm' if warm else ''}": in_a_copy(
                partial(case, use[name], lab, folder, megabytes, warm), patience
            )
            for name, megabytes, warm in chosen
        }


def check(found: dict[str, dict[str, Any] | None], least: int) -> None:
    """Each succeeds, or ends in words, and then works; at least so many felt the limit."""
    assert found and not [name for name, came in found.items() if came is None], "ended its copy, or did not end"
    outcomes = {name: came for name, came in found.items() if came is not None}
    assert not {name: came["said"] for name, came in outcomes.items() if came["said"]}
    assert not {name: came["after"] for name, came in outcomes.items() if came["after"]}
    slow = {name: came["seconds"] for name, came in outcomes.items() if came["seconds"] > SECONDS * slowness()}
    assert not slow
    assert sum(came["kind"] == "MemoryLimitError" for came in outcomes.values()) >= least


def test_a_sample_without_memory_ends_in_words_and_works_afterwards() -> None:
    """`make long` tries all of them."""
    check(in_a_new_python("tests.hostile.test_no_memory", "tried", "16", "1", "0", "1"), 3)


@pytest.mark.long
@pytest.mark.parametrize("room", ROOMS)
def test_whatever_is_done_without_memory_ends_in_words_and_works_afterwards(room: int) -> None:
    check(in_a_new_python("tests.hostile.test_no_memory", "tried", "0", "", str(room)), 0)
