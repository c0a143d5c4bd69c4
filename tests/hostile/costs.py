"""What refusing a file costs: `python -m tests.hostile.costs` opens all that lie, and names the dearest.

For each, the most memory that this process held more than before, and the processor's time; for .bin files, the most
that the process which follows them held.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from bloomlab.guards.files import MOST_VALUES
from bloomlab.guards.memory import gigabytes
from bloomlab.text.tokenizer_file import MAX_BYTES
from bloomlab.weights import bin_process
from tests.hostile.folders import BIN, CASES, WEIGHTS, honest_folder, put
from tests.hostile.probe import Opener
from tests.weights.test_bin_file import PROGRAMS

SHOWN = 5
SIZE = MAX_BYTES - 100  # as long as a tokenizer.json may be
LARGE: dict[str, Callable[[Path], None]] = {
    "empty lists": put("tokenizer.json", b"[" + b"[]," * (SIZE // 3) + b"[]]"),
    "empty tables": put("tokenizer.json", b"[" + b"{}," * (SIZE // 3) + b"{}]"),
    "one text": put("tokenizer.json", b'{"model": "' + b"x" * SIZE + b'"}'),
    "zeros": put("tokenizer.json", bytes(SIZE)),
    "as many values as are read": put("tokenizer.json", b"[" + b"[]," * (MOST_VALUES // 2 - 9) + b"[]]"),
    "a million merges": put("tokenizer.json", b'{"model": {"merges": [' + b'"a b",' * 999_999 + b'"a b"]}}'),
}
FOLLOWED = """
import resource, subprocess, sys
subprocess.run([sys.executable, "-I", "-S", *sys.argv[1:]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_maxrss, used.ru_utime + used.ru_stime)
"""


def followed(path: Path) -> tuple[int, float]:
    """The most bytes that the process which follows a .bin file held, and its seconds of computing."""
    # from a small process, whose memory is counted as the new one's until that has begun
    command = [sys.executable, "-I", "-S", "-c", FOLLOWED, bin_process.__file__, str(path.parent), path.name]
    most, seconds = subprocess.check_output(command, text=True).split()
    return int(most) * 1024, float(seconds)


def in_bin(program: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / WEIGHTS).unlink()
        (folder / BIN).write_bytes(program)

    return change


def main() -> None:
    changes = {name: change for name, (change, words) in CASES.items() if words}
    changes |= {f"tokenizer.json as long as it may be: {name}": change for name, change in LARGE.items()}
    changes |= {f".bin: {name}": in_bin(program) for name, program in PROGRAMS.items()}
    found: list[tuple[int, float, float, str]] = []
    apart: list[tuple[int, float, str]] = []
    with TemporaryDirectory() as top:
        opener = Opener(honest_folder(Path(top) / "honest"))
        for number, (name, change) in enumerate(changes.items()):
            folder = honest_folder(Path(top) / str(number))
            change(folder)
            started = time.perf_counter()
            result = opener.open(folder)
            assert result["kind"].endswith("Error"), (name, result)
            found.append((result["bytes"], result["seconds"], time.perf_counter() - started, name))
            if name.startswith(".bin"):
                apart.append((*followed(folder / BIN), name))
            shutil.rmtree(folder)
    print(f"{len(found)} files refused, each in our words")
    for what, place in (("memory", 0), ("computing", 1), ("time", 2)):
        print(f"\nthe most {what}")
        for size, seconds, clock, name in sorted(found, key=lambda one: -one[place])[:SHOWN]:
            print(f"  {gigabytes(size):>10}{seconds:>7.2f} s computing{clock:>7.2f} s on the clock   {name}")
    print("\nthe process that follows a .bin file")
    for place in (0, 1):
        size, seconds, name = max(apart, key=lambda one: one[place])
        print(f"  {gigabytes(size):>10}{seconds:>7.2f} s computing   {name}")


if __name__ == "__main__":
    main()
