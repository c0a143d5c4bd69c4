"""How much memory this program may still use, asked before anything large is created.

A container is often allowed far less than the machine has, and a program that takes more is killed without a
word. So the smallest of these counts: the limit a server names in MEM_LIMIT (bytes), the limits of the control
groups the program runs in, the addresses that it may still be given (`ulimit -v`), and the memory that is free on the
machine.
"""

import contextlib
import ctypes
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from functools import cached_property, wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from bloomlab.errors import BloomlabError, MemoryLimitError

CGROUPS = Path("/sys/fs/cgroup")
PROC = Path("/proc")


def free_bytes() -> int | None:
    """Bytes this program can still use; None if the system does not say."""
    used = _own_bytes()
    left = [*(limit - used for limit in _limits()), *_addresses_left()]
    available = _available_bytes()
    return max(0, min([*left, *([] if available is None else [available])])) if left or available is not None else None


def check_memory(needed: int, what: str, advice: str) -> None:
    """Refuse, in words, something that would not fit.

    Raises:
        MemoryLimitError: `needed` bytes are more than this program can still use.
    """
    free = free_bytes()
    if free is not None and needed > free:
        raise MemoryLimitError(f"{what} needs {gigabytes(needed)}, but {gigabytes(free)} are free here; {advice}")


def give_back() -> None:
    """Give the system back what is free in this program: glibc keeps blocks of up to 32 MB for later, here and there.

    Elsewhere than on Linux with glibc, nothing happens.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


NO_ROOM = ("allocate memory", "failed to map segment", "out of memory")  # as torch, the linker, XLA, the system say it
ADVICE = "end other programs, or restart the kernel"
SMALLER_PASS = "give it fewer tokens at a time, read less, or end other programs"
SHOWS = ("_repr_html_", "_repr_mimebundle_", "_ipython_display_")  # what a notebook asks for
Class = TypeVar("Class", bound=type)
Given = ParamSpec("Given")
Result = TypeVar("Result")


def saying_that_memory_is_full(kind: Class) -> Class:
    """A class whose public names, and what shows it, say in one sentence that there was no memory left.

    >>> @saying_that_memory_is_full
    ... class Lab:
    ...     def trace(self): return [0] * (1 << 60)
    >>> Lab().trace()
    Traceback (most recent call last):
    bloomlab.errors.MemoryLimitError: trace() needs more memory than is left; end other programs, or restart the kernel
    """
    for name, value in list(vars(kind).items()):
        if name.startswith("_") and name not in SHOWS:
            continue
        if inspect.isfunction(value):
            setattr(kind, name, in_words(value))
        elif isinstance(value, staticmethod | classmethod):
            setattr(kind, name, type(value)(in_words(value.__func__)))
        elif isinstance(value, property):
            setattr(kind, name, property(in_words(value.fget), value.fset, value.fdel) if value.fget else value)
        elif isinstance(value, cached_property):
            value.func = in_words(value.func)
    return kind


def in_words(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """A function that says in one sentence that there was no memory left, whoever noticed it."""
    what = "showing this" if function.__name__ in SHOWS else f"{function.__name__}()"

    @wraps(function)
    def said(*arguments: Given.args, **named: Given.kwargs) -> Result:
        return within_memory(lambda: function(*arguments, **named), what)

    return said


def within_memory(call: Callable[[], Result], what: str, advice: str = ADVICE) -> Result:
    """What a call gives.

    >>> within_memory(lambda: [0] * (1 << 60), "a list", "make it shorter")
    Traceback (most recent call last):
    bloomlab.errors.MemoryLimitError: a list needs more memory than is left; make it shorter

    Raises:
        MemoryLimitError: it needs more memory than there is, whoever noticed it.
    """
    try:
        return call()
    except BloomlabError:
        raise
    except (MemoryError, RuntimeError, ImportError, OSError) as error:
        if not says_that_memory_is_full(error):
            raise
        _drop_half_loaded(error)
    # raised here, since an error that stands behind another keeps all that its call had made
    raise MemoryLimitError(f"{what} needs more memory than is left; {advice}")


def _drop_half_loaded(error: BaseException) -> None:
    """Forget the parts of packages that memory ended in: who is asked for them again must load them from the start."""
    step = error.__traceback__
    while step is not None:
        package = str(step.tb_frame.f_globals.get("__name__"))
        if step.tb_frame.f_code.co_name == "<module>" and package not in sys.modules:
            for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
                del sys.modules[name]
        step = step.tb_next


def said_of(error: BaseException) -> str:
    """What a page says of an error that nobody is there to catch.

    >>> said_of(ValueError("no"))
    'ValueError: no'
    >>> said_of(MemoryError())
    'there is not enough memory left for this; end other programs, or restart the kernel'
    """
    if isinstance(error, BloomlabError):
        return str(error)
    if says_that_memory_is_full(error):
        return f"there is not enough memory left for this; {ADVICE}"
    return f"{type(error).__name__}: {error}"


def says_that_memory_is_full(error: BaseException) -> bool:
    """Whether an error, of Python or of a library, is that there was no memory.

    >>> says_that_memory_is_full(MemoryError()), says_that_memory_is_full(OSError(12, "Cannot allocate memory"))
    (True, True)
    >>> says_that_memory_is_full(OSError(2, "No such file"))
    False
    """
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in NO_ROOM)


def gigabytes(count: int) -> str:
    """Bytes in words.

    >>> gigabytes(1_118_429_184), gigabytes(40_960), gigabytes(12)
    ('1.1 GB', '41.0 kB', '12 bytes')
    """
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def _limits() -> Iterator[int]:
    """Every limit that is set for this program."""
    named = os.environ.get("MEM_LIMIT", "")
    if named.isdecimal() and int(named) > 0:
        yield int(named)
    for folder, name in _control_groups():
        text = _read(folder / name)
        if text.isdecimal() and int(text) < 1 << 60:  # "max", or a number too large to mean anything: no limit
            yield int(text)


def _addresses_left() -> Iterator[int]:
    """Bytes that the system will still give addresses to, where it counts them; files that are mapped count, too."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # no such limits there
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        pages = _read(PROC / "self" / "statm").split()
        if limit != resource.RLIM_INFINITY and pages:
            yield limit - int(pages[0]) * os.sysconf("SC_PAGE_SIZE")


def _control_groups() -> Iterator[tuple[Path, str]]:
    """The limit files of this program's control groups and their parents, version 2 and version 1."""
    for line in _read(PROC / "self" / "cgroup").splitlines():
        _, kinds, path = line.split(":", 2) if line.count(":") >= 2 else ("", "-", "")
        if kinds and "memory" not in kinds.split(","):
            continue
        root, name = (CGROUPS / "memory", "memory.limit_in_bytes") if kinds else (CGROUPS, "memory.max")
        group = Path(path.lstrip("/"))
        for part in (group, *group.parents):
            if ".." not in part.parts:
                yield root / part, name


def _available_bytes() -> int | None:
    """Free memory of the machine, counting caches that it would drop to make room."""
    for line in _read(PROC / "meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _own_bytes() -> int:
    """Memory this program holds, not counting pages of mapped files."""
    pages = _read(PROC / "self" / "statm").split()
    return (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE") if len(pages) > 2 else 0


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""
