"""Every kind of file that lies ends in a model or in our error: quickly, in little memory, with nothing executed, and
with the model that is already open as it was."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import pytest

from tests.hostile.folders import CANARY, CASES, honest_folder

ROOT = Path(__file__).parents[2]
SECONDS, BYTES = 2.0, 50 << 20


class Probe:
    """A Python that opens folders; after one that ends it, the next is opened in a new one."""

    def __init__(self, honest: Path) -> None:
        self.honest = honest
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> tuple[IO[str], IO[str]]:
        if self.process is None:
            command = [sys.executable, "-m", "tests.hostile.probe", str(self.honest)]
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            self.process = subprocess.Popen(command, text=True, env=environment, **pipes)
        assert self.process.stdin is not None and self.process.stdout is not None
        return self.process.stdin, self.process.stdout

    def open(self, folder: Path) -> dict[str, Any]:
        """What came of opening this folder; {} if it ended the process."""
        to, out = self.start()
        to.write(f"{folder}\n")
        to.flush()
        line = out.readline()
        if not line:
            self.close()
        return json.loads(line) if line else {}

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Any:
    probe = Probe(honest_folder(tmp_path_factory.mktemp("honest")))
    yield probe
    probe.close()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is read from Linux' /proc")
@pytest.mark.parametrize("name", CASES)
def test_a_file_that_lies_ends_in_a_model_or_in_our_error(probe: Probe, tmp_path: Path, name: str) -> None:
    change, words = CASES[name]
    folder = honest_folder(tmp_path / "model")
    change(folder)
    probe.start()
    result = probe.open(folder)
    assert result, "the process was ended"
    assert result["kind"] != "not ours", result["error"]
    assert not (folder / CANARY).exists(), "something was executed"
    assert result["unchanged"]
    assert result["seconds"] < SECONDS and result["bytes"] < BYTES, result
    assert bool(result["error"]) == bool(words), result
    assert words in result["error"] and len(result["error"]) < 700
    if words:
        assert re.search(r"; |, but ", result["error"]), "no next step"
    else:
        assert result["text"] == "hello aaaaaaaaaaaaaaaaaaaa"


def test_the_honest_folder_opens(probe: Probe, tmp_path: Path) -> None:
    result = probe.open(honest_folder(tmp_path / "model"))
    assert result["error"] == "" and result["unchanged"]
