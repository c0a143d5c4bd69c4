"""Opens folders in a process of its own, so that one that kills or blocks the process is noticed, and reports on each.

Run with the folders as lines of standard input; answers one line of JSON for each.
"""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

import torch

import bloomlab
from bloomlab.errors import BloomlabError
from tests.budget import slowness

ROOT = Path(__file__).parents[2]
SECONDS, BYTES = 2.0, 50 << 20
"""What a bad file may cost at most, where the fixed work of tests/budget.py takes its usual time."""

PATIENCE = 60  # seconds, on a busy machine; then the process is taken to be blocked
TEXT = "hello aaaaaaaaaaaaaaaaaaaa"


def seconds_at_most() -> float:
    """`SECONDS`, and more where the fixed work takes longer, too."""
    return SECONDS * slowness()


def peak() -> int:
    """The most memory held since `forget_peak`, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def try_to_use(folder: Path) -> dict[str, Any]:
    """Open what is in a folder and use it once; say what came of it."""
    result: dict[str, Any] = {"error": "", "kind": "", "text": ""}
    try:
        lab = bloomlab.load(folder, dtype="auto")
        ids = lab.tokenizer.encode(TEXT)
        result["text"] = lab.tokenizer.decode(ids)
        with torch.no_grad():
            lab.model(torch.tensor([ids[:50]]))
    except BloomlabError as error:
        result |= {"error": str(error), "kind": type(error).__name__}
    except BaseException as error:  # whatever else comes is what this looks for
        result |= {"error": repr(error)[:500], "kind": "not ours"}
    return result


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
        """What came of opening this folder; {} if it ended or blocked the process."""
        to, out = self.start()
        to.write(f"{folder}\n")
        to.flush()
        assert self.process is not None
        guard = threading.Timer(PATIENCE, self.process.kill)
        guard.start()
        line = out.readline()
        guard.cancel()
        if not line:
            self.close()
        return json.loads(line) if line else {}

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


class Opener:
    """Opens folders beside an honest one, and measures what each costs, and whether it changed anything."""

    def __init__(self, honest: Path) -> None:
        self.honest = bloomlab.load(honest, dtype="auto")
        self.ids = torch.tensor([self.honest.tokenizer.encode(TEXT)])
        self.expected = self._logits()
        try_to_use(honest)  # what only the first use loads

    def _logits(self) -> torch.Tensor:
        with torch.no_grad():
            return self.honest.model(self.ids).logits

    def open(self, folder: Path) -> dict[str, Any]:
        """What came of opening it: as `try_to_use`, with the seconds, the bytes, and whether all else is unchanged."""
        state, dtype, threads = torch.get_rng_state(), torch.get_default_dtype(), torch.get_num_threads()
        gradients = torch.is_grad_enabled()
        forget_peak()
        before, started = peak(), time.process_time()  # of this process only: the machine may be busy
        result = try_to_use(folder)
        result |= {"seconds": time.process_time() - started, "bytes": peak() - before}
        unchanged = torch.get_rng_state().equal(state) and torch.get_default_dtype() == dtype
        unchanged = unchanged and torch.get_num_threads() == threads and torch.is_grad_enabled() is gradients
        return result | {"unchanged": unchanged and self._logits().equal(self.expected)}


def main() -> None:
    opener = Opener(Path(sys.argv[1]))
    torch.set_grad_enabled(False)
    for line in sys.stdin:
        folder = Path(line.rstrip("\n"))
        os.chdir(folder)  # a file in the current folder must not be imported either
        print(json.dumps(opener.open(folder)), flush=True)


if __name__ == "__main__":
    main()
