"""`make attack`: made-up inputs of every kind, as many as a time allows, and what came of them.

    python -m tests.hostile.attack                                a minute of each kind
    python -m tests.hostile.attack --seconds 3600 --seed 7 files  an hour of one kind, other inputs
    python -m tests.hostile.attack --seed 7 --only 4711 files     one input again, with its error in full

An input follows from kind, seed and number alone. They are tried in a process of its own, so that one which ends or
blocks it is noticed; the next is tried in a new one. The exit code is 1 if anything came but success or our error.
"""

import argparse
import importlib
import os
import random
import select
import subprocess
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds for one input, on a busy machine
BEGIN = 180.0  # seconds to prepare
OUTCOMES = ("our errors", "successes", "others' errors", "promises broken", "hangs", "crashes")
BAD = OUTCOMES[2:]
SHOWN = 5  # inputs of a kind that are named

Try = Callable[[random.Random], None]


class Broken(Exception):
    """Something that is promised did not hold."""


def outcome(kind: str, number: int, seed: str, attempt: Try) -> tuple[str, str]:
    """What came of one input, and in words."""
    from bloomlab.errors import LONGEST, BloomlabError

    try:
        attempt(random.Random(f"{kind} {seed} {number}"))
    except BloomlabError as error:
        long = len(str(error)) > LONGEST
        return ("promises broken", f"a message of {len(str(error))} characters") if long else ("our errors", str(error))
    except Broken as error:
        return "promises broken", str(error)
    except BaseException as error:  # whatever else comes is what this looks for
        return "others' errors", "".join(traceback.format_exception(error))
    return "successes", ""


def kinds(module: str) -> dict[str, Callable[[Path], Try]]:
    """The kinds of inputs that there are."""
    found: dict[str, Callable[[Path], Try]] = importlib.import_module(module).KINDS
    return found


def prepared(module: str, kind: str, folder: Path) -> Try:
    """How to try an input of a kind, in a folder of its own."""
    (folder / kind).mkdir()
    return kinds(module)[kind](folder / kind)


def work(module: str, seed: str) -> None:
    """For each line "kind number" on standard input, say on standard output what came of it; the caller ends it."""
    warnings.simplefilter("ignore")
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace")
    os.dup2(2, 1)  # whatever else is printed is no answer
    ready: dict[str, Try] = {}
    with TemporaryDirectory() as folder:
        for line in sys.stdin:
            kind, number = line.split()
            if kind not in ready:
                ready[kind] = prepared(module, kind, Path(folder))
            print("ready", file=out, flush=True)
            came, words = outcome(kind, int(number), seed, ready[kind])
            print(came, words.replace("\n", "\v")[-3000:], sep="\t", file=out, flush=True)


class Worker:
    """A process that tries inputs; after one that ends or blocks it, the next is tried in a new one."""

    def __init__(self, module: str, seed: str, patience: float = PATIENCE) -> None:
        self.module, self.seed, self.patience = module, seed, patience
        self.process: subprocess.Popen[bytes] | None = None

    def try_one(self, kind: str, number: int) -> tuple[str, str]:
        """What came of this input, and in words.

        Raises:
            RuntimeError: inputs of this kind cannot be prepared.
        """
        process = self.process = self.process or self._started()
        assert process.stdin is not None
        process.stdin.write(f"{kind} {number}\n".encode())
        if self._line(process, BEGIN) != "ready":
            self.close()
            raise RuntimeError(f"inputs of the kind {kind} cannot be prepared; see `--only {number} {kind}`")
        said = self._line(process, self.patience)
        if not said:
            self.close()
            return ("hangs" if said is None else "crashes"), ""
        came, _, words = said.partition("\t")
        return came, words

    def _started(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "tests.hostile.attack", "--module", self.module, "--seed", self.seed, "--work"]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(command, cwd=ROOT, env=environment, bufsize=0, **pipes)

    @staticmethod
    def _line(process: "subprocess.Popen[bytes]", patience: float) -> str | None:
        """What the process says next; "" if it has ended, None if it says nothing."""
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], patience)[0]:
            return None
        return process.stdout.readline().decode("utf-8", "replace").rstrip("\n")

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def attack(worker: Worker, kind: str, seconds: float) -> tuple[Counter[str], list[str]]:
    """Try inputs of a kind for so long, not counting what is prepared: what came of them, and the bad ones in words."""
    counts, bad = Counter[str](), []
    until, number = float("inf"), 0
    while time.monotonic() < until:
        came, words = worker.try_one(kind, number)
        counts[came] += 1
        if came in BAD:
            last = words.strip("\v").split("\v")[-1][:200]
            bad.append(f"{came}: --seed {worker.seed} --only {number} {kind}   {last}")
        until = min(until, time.monotonic() + seconds)
        number += 1
    return counts, bad


def row(name: str, counts: Counter[str]) -> str:
    return f"{name:<12}{counts.total():>9,}" + "".join(f"{counts[each]:>17,}" for each in OUTCOMES)


def run(module: str, names: Sequence[str], seconds: float, seed: str, patience: float = PATIENCE) -> Counter[str]:
    """Try inputs of these kinds, and print a line for each; returns the sum."""
    worker, total = Worker(module, seed, patience), Counter[str]()
    print(f"{'kind':<12}{'inputs':>9}" + "".join(f"{name:>17}" for name in OUTCOMES))
    try:
        for kind in names:
            counts, bad = attack(worker, kind, seconds)
            print("\n".join([row(kind, counts), *bad[:SHOWN]]), flush=True)
            total.update(counts)
    finally:
        worker.close()
    print(row("all", total))
    return total


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", help="all unless said otherwise")
    parser.add_argument("--seconds", type=float, default=60, help="for each kind")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--only", type=int, help="the number of one input")
    parser.add_argument("--module", default="tests.hostile.attacks", help=argparse.SUPPRESS)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.work:
        work(options.module, options.seed)
        return 0
    there = list(kinds(options.module))
    if unknown := [kind for kind in options.kinds if kind not in there]:
        parser.error(f"there is no kind {unknown[0]}; there are {', '.join(there)}")
    names = options.kinds or there
    if options.only is not None:
        warnings.simplefilter("ignore")
        with TemporaryDirectory() as folder:
            for kind in names:
                attempt = prepared(options.module, kind, Path(folder))
                print(kind, *outcome(kind, options.only, options.seed, attempt), sep="\n")
        return 0
    total = run(options.module, names, options.seconds, options.seed)
    return int(any(total[each] for each in BAD))


if __name__ == "__main__":
    from tests.hostile import attack as itself  # the same module, by the name under which the kinds know it

    sys.exit(itself.main())
