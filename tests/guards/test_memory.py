"""How much memory may still be taken: the smallest limit counts."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import pytest

from bloomlab.errors import BloomlabError, MemoryLimitError
from bloomlab.guards import memory
from bloomlab.lab import Lab
from bloomlab.views.shared.steps import Steps
from bloomlab.views.tokens.result import Tokens
from tests.tiny_random import byte_tokenizer, random_model

GB = 10**9
ROOT = Path(__file__).parents[2]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 8 GB free, on which this program holds 1 GB and maps 3 GB of files."""
    monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr("os.sysconf", lambda name: 4000)
    monkeypatch.delenv("MEM_LIMIT", raising=False)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text(f"MemTotal: 16000000 kB\nMemAvailable: {8 * GB // 1024} kB\n")
    (tmp_path / "proc/self/statm").write_text("9000000 1000000 750000 1 0 1 0")
    return tmp_path


def group(machine: Path, line: str, file: str, limit: str) -> None:
    (machine / "proc/self/cgroup").write_text(f"12:cpu:/other\n{line}\n")
    path = machine / "cgroup" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(limit + "\n")


def free(expected: int) -> bool:
    value = memory.free_bytes()
    return value is not None and abs(value - expected) < 2000


def test_without_limits_what_the_machine_has_left_counts(machine: Path) -> None:
    assert free(8 * GB)


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("0::/", "memory.max"),
        ("0::/user/one", "user/one/memory.max"),
        ("0::/user/one", "user/memory.max"),
        ("0::/host/path/not/mounted/here", "memory.max"),
        ("4:memory:/docker/abc", "memory/docker/abc/memory.limit_in_bytes"),
        ("4:memory:/docker/abc", "memory/memory.limit_in_bytes"),
        ("4:cpu,memory:/x", "memory/x/memory.limit_in_bytes"),
    ],
)
def test_a_control_groups_limit_counts_less_what_is_held(machine: Path, line: str, file: str) -> None:
    group(machine, line, file, str(3 * GB))
    assert free(2 * GB)


@pytest.mark.parametrize("limit", ["max", str(2**63 - 4096), "", "nonsense"])
def test_a_control_group_without_a_limit_changes_nothing(machine: Path, limit: str) -> None:
    group(machine, "0::/", "memory.max", limit)
    assert free(8 * GB)


def test_the_servers_own_limit_counts(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group(machine, "0::/", "memory.max", str(6 * GB))
    monkeypatch.setenv("MEM_LIMIT", str(4 * GB))
    assert free(3 * GB)
    for nonsense in ("", "4G", "-1", "0"):
        monkeypatch.setenv("MEM_LIMIT", nonsense)
        assert free(5 * GB)


def test_a_limit_on_addresses_counts_less_all_that_has_one(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the mapped files too: 9,000,000 pages in all."""
    resource = pytest.importorskip("resource")
    for limit, left in ((38 * GB, 2 * GB), (35 * GB, 0), (resource.RLIM_INFINITY, 8 * GB)):
        monkeypatch.setattr(resource, "getrlimit", lambda kind, limit=limit: (limit, limit))
        assert free(left)


def test_a_limit_already_reached_leaves_nothing(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEM_LIMIT", str(GB // 2))
    assert memory.free_bytes() == 0


def test_what_does_not_fit_is_refused_in_words(machine: Path) -> None:
    memory.check_memory(7 * GB, "a model", "try 'tiny'")
    with pytest.raises(MemoryLimitError, match=r"^a model needs 9\.0 GB, but 8\.0 GB are free here; try 'tiny'$") as e:
        memory.check_memory(9 * GB, "a model", "try 'tiny'")
    assert isinstance(e.value, MemoryError) and isinstance(e.value, BloomlabError)


def test_a_system_that_says_nothing_refuses_nothing(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(name: str) -> int:
        raise ValueError(name)

    monkeypatch.setattr("os.sysconf", silent)
    (machine / "proc/meminfo").unlink()
    (machine / "proc/self/statm").unlink()
    assert memory.free_bytes() is None
    memory.check_memory(1 << 60, "a model", "")


def test_this_machine_has_some_memory_free() -> None:
    value = memory.free_bytes()
    assert value is not None and value > 1 << 20


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1966080 bytes"),
        ImportError("libzstd.so: failed to map segment from shared object"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_every_verb_of_a_lab_says_in_words_that_memory_is_full(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Lab, "_checked", fail)
    monkeypatch.setattr(Lab, "_view", fail)
    monkeypatch.setattr(Lab, "_checked_list", fail)
    lab = Lab(random_model(n_layer=1), byte_tokenizer(), name="small")
    for verb in (lab.trace, lab.generate, lab.explore, lab.attention, lab.lens):
        with pytest.raises(MemoryLimitError, match=rf"{verb.__name__}\(\) needs more memory than is left"):
            verb("Leo")


def test_what_shows_a_result_says_it_too() -> None:
    """Packages that draw are loaded when they are first needed, which may be after the verb has returned."""

    def fail() -> NoReturn:
        raise ImportError("libtiff.so: failed to map segment from shared object")

    with pytest.raises(MemoryLimitError, match=r"^view\(\) needs more memory than is left"):
        _ = Tokens([], fail).view
    with pytest.raises(MemoryLimitError, match="needs more memory than is left"):
        Tokens([], fail)._repr_mimebundle_()


@pytest.mark.slow
def test_every_class_that_shows_or_saves_itself_says_it() -> None:
    doors, silent = {*memory.SHOWS, "save"}, []
    for path in (ROOT / "bloomlab").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and doors & {getattr(each, "name", "") for each in node.body}:
                marks = [each.id for each in node.decorator_list if isinstance(each, ast.Name)]
                silent += [] if "saying_that_memory_is_full" in marks else [f"{path.name}: {node.name}"]
    assert not silent


def test_every_kind_of_method_says_it() -> None:
    @memory.saying_that_memory_is_full
    class Full:
        def method(self) -> None:
            raise MemoryError

        @staticmethod
        def static() -> None:
            raise MemoryError

        @classmethod
        def of_class(cls) -> None:
            raise MemoryError

        @property
        def own(self) -> None:
            raise MemoryError

        @cached_property
        def kept(self) -> None:
            raise MemoryError

        def _repr_html_(self) -> str:
            raise MemoryError

    full = Full()
    with pytest.raises(MemoryLimitError, match=r"^showing this needs more memory than is left"):
        full._repr_html_()
    for name in ("method", "static", "of_class", "own", "kept"):
        with pytest.raises(MemoryLimitError, match=rf"^{name}\(\) needs more memory than is left"):
            getattr(full, name)()


def test_a_page_says_it_too() -> None:
    said: list[str] = []

    def job() -> Iterator[None]:
        yield
        raise MemoryError

    Steps(job(), lambda state, words: said.append(words)).finish()
    assert said == ["there is not enough memory left for this; end other programs, or restart the kernel"]


def test_a_package_that_memory_ended_in_is_loaded_from_its_start_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parts that were whole stay behind, and would go on with the rest that is no longer there."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "__init__.py").write_text("from half import part\nif part.FULL: raise MemoryError\n")
    (tmp_path / "half" / "part.py").write_text("FULL = True\n")
    with pytest.raises(MemoryLimitError, match="a package needs more memory"):
        memory.within_memory(lambda: importlib.import_module("half"), "a package")
    assert not [name for name in sys.modules if name.startswith("half")]
    (tmp_path / "half" / "part.py").write_text("FULL = 0\n")
    importlib.invalidate_caches()
    assert importlib.import_module("half").part.FULL == 0
    for name in ("half", "half.part"):
        del sys.modules[name]


def test_other_errors_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Lab, "_checked", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        Lab(random_model(n_layer=1), byte_tokenizer(), name="small").trace("Leo")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the limit is that of Linux")
@pytest.mark.parametrize("verb", ["bloomlab.load()", "lab.generate('Leo', max_new_tokens=1)", "lab.explore('Leo')"])
def test_without_memory_a_verb_ends_in_words_and_the_next_load_works(verb: str) -> None:
    """With not a page more than it has. The thread of a bar, which had no memory to begin, was waited for for ever."""
    script = (
        "import resource, bloomlab\n"
        "lab = bloomlab.load()\n"
        "size = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "hard = resource.getrlimit(resource.RLIMIT_AS)[1]\n"
        "resource.setrlimit(resource.RLIMIT_AS, (size, hard))\n"
        f"try: {verb}\n"
        "except bloomlab.BloomlabError as error: pass\n"
        "resource.setrlimit(resource.RLIMIT_AS, (hard, hard))\n"
        "print(bloomlab.load().name)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout == "tiny\n", done.stderr
