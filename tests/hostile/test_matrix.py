"""Every kind of file that lies ends in a model or in our error: quickly, in little memory, with nothing executed, and
with the model that is already open as it was."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.folders import CANARY, CASES, honest_folder
from tests.hostile.probe import BYTES, Probe, seconds_at_most

pytestmark = pytest.mark.slow  # more than a hundred processes and files


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Any:
    probe = Probe(honest_folder(tmp_path_factory.mktemp("honest")))
    yield probe
    probe.close()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is read from Linux' /proc")
@pytest.mark.parametrize("name", CASES)
def test_a_file_that_lies_ends_in_a_model_or_in_our_error(probe: Probe, tmp_path: Path, name: str) -> None:
    change, words = CASES[name]
    folder = honest_folder(tmp_path.joinpath(*["d" * 200] * 18, "model"))  # a long name makes no long error
    change(folder)
    probe.start()
    result = probe.open(folder)
    assert result, "the process was ended"
    assert result["kind"] != "not ours", result["error"]
    assert not (folder / CANARY).exists(), "something was executed"
    assert result["unchanged"]
    assert result["seconds"] < seconds_at_most() and result["bytes"] < BYTES, result
    assert bool(result["error"]) == bool(words), result
    assert words in result["error"] and len(result["error"]) <= 400
    if words:
        assert re.search(r"; |, but ", result["error"]), "no next step"
    else:
        assert result["text"] == "hello aaaaaaaaaaaaaaaaaaaa"


def test_the_honest_folder_opens(probe: Probe, tmp_path: Path) -> None:
    result = probe.open(honest_folder(tmp_path / "model"))
    assert result["error"] == "" and result["unchanged"]
