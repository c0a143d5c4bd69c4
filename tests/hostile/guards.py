"""Does a test hold every guard? Each `raise` is left out in turn, and a test that comes by there must fail.

    python -m tests.hostile.guards                        in the files that read what others wrote
    python -m tests.hostile.guards config tracing/trace   in these files of bloomlab
    python -m tests.hostile.guards --sample 20            so many guards, picked at random but always the same

The tests run once, to see which of them comes by which guard; then for each guard those alone, in a new process.
"""

import argparse
import ast
import importlib
import importlib.abc
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FILES = (
    "config hooks lab guards/arguments guards/files guards/memory lens/difference text/tokenizer text/tokenizer_file "
    "tracing/edits tracing/record tracing/trace_file views/measured views/shared/edits weights/bin_file "
    "weights/checkpoint weights/download weights/hub weights/layouts weights/pretrained weights/reopens "
    "weights/tensor_file"
).split()
HEAVY = [
    "tests.conftest",
    "torch",
    "safetensors.torch",
    "tokenizers",
    "huggingface_hub",
    "hypothesis",
    "numpy",
    "tqdm.auto",
]
PATIENCE = 120  # seconds for the tests of one guard; if they then still wait for something, that was noticed too

left_out: str | None = None
"""The guard that is not there, as "config.py:133"; none, to see which tests come by which guard."""
now = ""
came_by: dict[str, set[str]] = defaultdict(set)  # guard -> tests


def holds(guard: str) -> bool:
    """What every guard asks before it raises."""
    came_by[guard].add(now)
    return guard != left_out


class Asking(ast.NodeTransformer):
    """Puts `if holds("config.py:133"):` before every `raise`."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.guards: list[str] = []

    def visit_Raise(self, node: ast.Raise) -> ast.If:
        self.guards.append(f"{self.file}:{node.lineno}")
        ask = ast.parse(
            f"__import__('tests.hostile.guards', fromlist=['holds']).holds({self.guards[-1]!r})", mode="eval"
        ).body
        asked = ast.If(test=ask, body=[node], orelse=[])
        return ast.fix_missing_locations(ast.copy_location(asked, node))


def asking(path: Path) -> tuple[ast.Module, list[str]]:
    """A file whose guards ask first, and their names."""
    change = Asking(str(path.relative_to(ROOT / "bloomlab")) if path.is_relative_to(ROOT) else path.name)
    tree = change.visit(ast.parse(path.read_text(encoding="utf-8")))
    return tree, change.guards


def module_name(path: Path) -> str:
    """What a file of bloomlab is imported as."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports these files of bloomlab with guards that ask."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = {module_name(path): path for path in paths}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in self.paths:
            return None
        return importlib.util.spec_from_file_location(name, self.paths[name], loader=self)

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: Any) -> None:
        exec(compile(asking(Path(module.__file__))[0], module.__file__, "exec"), module.__dict__)


class Watching:
    """A plugin for pytest: runs only the tests that are wanted, and knows which one runs."""

    def __init__(self, wanted: set[str] | None) -> None:
        self.wanted = wanted
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.wanted is not None:
            items[:] = [item for item in items if item.nodeid in self.wanted]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        global now
        now = nodeid

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0) + report.duration
        self.failed += [report.nodeid] if report.failed else []


def in_a_copy(run: Callable[[], Any], patience: float) -> Any:
    """What `run` gives, from a copy of this process; None if it took too long or was ended."""
    with tempfile.NamedTemporaryFile("r+") as answer:
        child = os.fork()
        if child == 0:
            try:
                os.setsid()
                os.chdir(ROOT)
                nothing = os.open(os.devnull, os.O_RDWR)
                for stream in (0, 1, 2):
                    os.dup2(nothing, stream)
                answer.write(json.dumps(run()))
                answer.flush()
            finally:
                os._exit(0)
        until = time.monotonic() + patience
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if time.monotonic() > until:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                break
            time.sleep(0.01)
        said = Path(answer.name).read_text()
        return json.loads(said) if said else None


def run_tests(files: Sequence[str], wanted: set[str] | None = None) -> dict[str, Any]:
    watching = Watching(wanted)
    options = ["-q", "-p", "no:cacheprovider", "-m", "not browser and not long", *([] if wanted is None else ["-x"])]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what was imported once for all
    code = pytest.main([*options, *files], plugins=[watching])
    reached = {guard: sorted(tests - {""}) for guard, tests in came_by.items()}
    return {"code": int(code), "failed": watching.failed, "seconds": watching.seconds, "came_by": reached}


def without(guard: str, tests: Sequence[str]) -> str:
    """What the tests that come by a guard, quick ones first, say when it is not there: "held", or what is wrong."""
    global left_out
    said = "no test comes by"
    left_out = guard
    for some in (tests[:3], tests[3:]):
        if some and not said.startswith("held"):
            files = sorted({test.split("::")[0] for test in some})
            result = in_a_copy(partial(run_tests, files, set(some)), PATIENCE)
            code = None if result is None else result["code"]
            words = {0: "no test notices", 1: "held", None: "held, as the tests come to no end"}
            said = words.get(code, f"pytest ended with {code}")
    left_out = None
    return said


def tests_of(files: Sequence[str]) -> list[str]:
    """The tests of the files that read what others wrote, and of these files."""
    modules = [Path(name) for name in (*FILES, "weights/fits", "tasks/ask", *files)]
    own = [path.with_name(f"test_{path.name}") for path in modules]
    others = (
        "hostile/test_properties",
        "model/test_bloom",
        "tracing/test_trace",
        "text/test_encoding",
        "tracing/test_donors",
        "weights/test_devices",
        "weights/test_hub_cache",
        "weights/test_quantized",
        "weights/test_slowly",
        "hostile/test_surroundings",
        "hostile/test_traces",
        "lens/test_over_texts",
        "test_guesses",
        "views/test_attention_given",
        "views/test_attention_view",
        "views/test_effects",
        "views/test_map",
    )
    names = [*own, *map(Path, others)]
    paths = [ROOT / "tests" / f"{name}.py" for name in dict.fromkeys(names)]
    return [str(path.relative_to(ROOT)) for path in paths if path.exists()]


def examine(files: Sequence[str], tests: Sequence[str], sample: int | None = None) -> dict[str, str]:
    """Every guard, and whether it is held.

    Raises:
        RuntimeError: the tests do not run.
    """
    paths = [ROOT / "bloomlab" / f"{name}.py" for name in files]
    guards = [guard for path in paths for guard in asking(path)[1]]
    sys.meta_path.insert(0, Finder(paths))
    for name in [*HEAVY, *map(module_name, paths)]:  # once, and not in each process
        importlib.import_module(name)
    first = in_a_copy(lambda: run_tests(tests), 900)
    if first is None or first["code"] not in (0, 1):
        raise RuntimeError("the tests do not run; see what pytest says")
    for test in first["failed"]:
        print(f"{test} fails with all guards in place, so it is skipped")
    seconds = first["seconds"]
    if sample is not None:
        guards = random.Random(0).sample(guards, min(sample, len(guards)))
    found = {}
    for guard in guards:
        near = sorted(set(first["came_by"].get(guard, [])) - set(first["failed"]), key=lambda test: seconds[test])
        found[guard] = without(guard, near)
        print(f"{guard:<28} {len(near):>4} tests  {found[guard]}", flush=True)
    return found


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", default=FILES)
    parser.add_argument("--sample", type=int)
    parser.add_argument(
        "--only", nargs="+", metavar="TESTS", help="these files of tests, in place of all that belong here"
    )
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    found = examine(options.files, options.only or tests_of(options.files), options.sample)
    held = sum(said.startswith("held") for said in found.values())
    print(f"{held} of {len(found)} guards held, in {time.perf_counter() - started:.0f} s")
    return int(held < len(found))


def in_another_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What this prints: it changes how bloomlab is imported, so nothing else can run beside it."""
    command = [sys.executable, "-m", "tests.hostile.guards", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


if __name__ == "__main__":
    from tests.hostile import guards  # the same module, by the name under which the guards ask it

    sys.exit(guards.main(sys.argv[1:]))
