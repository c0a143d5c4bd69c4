"""A program of its own: what tensors are in .bin files, a line of JSON for each file. It reads no numbers.

A .bin is a pickle, a list of instructions that can build anything of any size. So it is followed here, with little
time and little memory, and by a Python that has loaded neither torch nor bloomlab: nothing that it could do reaches
the program that wants the weights. The names that it may use stand in ALLOWED; each is a stand-in of this file. What
it builds must be a table of tensors; of each only the words are handed over: where its numbers lie in the file.

Whoever opens a .bin waits for this program, so it loads little: `zipfile`, `json` and `typing` would take longer than
all else together, and so would `collections` and `functools`. The zip is read here instead, as torch writes it, where
every part lies as it is.
"""

from __future__ import annotations

import io
import sys
from binascii import crc32

try:  # the same as in pickle and collections, without what only those written in Python need
    import _functools  # type: ignore[import-not-found]  # it has no stub
    from _collections import OrderedDict  # type: ignore[import-not-found]  # it has no stub

    given = sys.modules.setdefault("functools", _functools)  # _pickle takes `partial` of it, and nothing else
    try:
        from _pickle import Unpickler
    finally:
        if given is _functools:
            del sys.modules["functools"]
except (ImportError, AttributeError):
    from collections import OrderedDict
    from pickle import Unpickler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO, Any

SECONDS = 2  # of computing, for a file
BYTES = 384 << 20  # of memory, with this program's own
MAX_TABLE = 16 << 20  # bytes; that of 176 thousand million parameters has 0.1 MB
MAX_TENSORS = 50_000
LEGACY = (0x1950A86A20F9469CFC6C, 1001)  # how the older format begins: its magic number, its version
SIZES = {
    "HalfStorage": 2, "BFloat16Storage": 2, "FloatStorage": 4, "DoubleStorage": 8, "LongStorage": 8, "IntStorage": 4,
    "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1, "ComplexFloatStorage": 8,
    "ComplexDoubleStorage": 16,
}  # fmt: skip


class Refused(Exception):
    """It is not a file of plain tensors."""


class Storage(tuple):  # type: ignore[type-arg]  # Any is not there when this runs
    """Numbers in a row, known by a name: kind, key. A pickle can change no tuple that it was given."""

    __slots__ = ()


class Plain(tuple):  # type: ignore[type-arg]  # Any is not there when this runs
    """A tensor, which is numbers of a storage: storage, offset, shape, stride."""

    __slots__ = ()


def rebuild(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> Plain:
    """What torch._utils._rebuild_tensor_v2 stands for."""
    numbers = (offset, *shape, *stride)
    if type(storage) is not Storage or len(shape) != len(stride):
        raise Refused("it builds a tensor of something other than numbers")
    if not all(type(number) is int and 0 <= number < 1 << 62 for number in numbers):
        raise Refused("it builds a tensor of impossible sizes")
    return Plain((storage, offset, tuple(shape), tuple(stride)))


def parameter(tensor: Any, *_: Any) -> Any:
    """What torch._utils._rebuild_parameter stands for: a tensor."""
    return tensor


ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): rebuild,
    ("torch._utils", "_rebuild_tensor_v2"): rebuild,
    ("torch._utils", "_rebuild_parameter"): parameter,
    **{("torch", kind): kind for kind in SIZES},
}


class Reader(Unpickler):
    """Follows a pickle that may use these names only."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise Refused(f"it asks for {module[:60]}.{name[:60]}, and plain tensors need no such thing")
        return ALLOWED[module, name]

    def persistent_load(self, said: Any) -> Storage:
        if not isinstance(said, tuple) or len(said) not in (5, 6) or said[0] != "storage" or (said[5:] or (None,))[0]:
            raise Refused("it keeps its numbers in a way of its own")
        _, kind, key, _, numbers = said[:5]
        if kind not in SIZES or type(key) is not str or type(numbers) is not int or not 0 <= numbers < 1 << 62:
            raise Refused("it keeps its numbers in a way of its own")
        return Storage((kind, key))


def table_of(path: str) -> Iterator[list[Any]]:
    """A line for each tensor: name, kind of numbers, first byte, how many bytes are there, offset, shape, stride.

    Raises:
        Refused: it is not a file of plain tensors.
    """
    with open(path, "rb") as file:
        state, places = (from_zip if file.read(2) == b"PK" else from_older)(file)
        if type(state) not in (dict, OrderedDict):
            raise Refused(f"it holds a {type(state).__name__}, not a table of tensors")
        if len(state) > MAX_TENSORS:
            raise Refused(f"it names {len(state)} tensors")
        for name, tensor in dict.items(state):
            if type(name) is not str:
                raise Refused(f"it names a tensor by a {type(name).__name__}")
            if type(tensor) is not Plain:
                raise Refused(f"{name[:80]!r} is a {type(tensor).__name__}")
            (kind, key), offset, shape, stride = tensor
            if key not in places:
                raise Refused(f"the numbers of {name[:80]!r} are not in it")
            yield [name, kind, *places[key], offset, shape, stride]


def from_zip(file: IO[bytes]) -> tuple[Any, dict[str, tuple[int, int]]]:
    """What the pickle of a zip builds; and of each storage its first byte and the bytes it has."""
    parts = parts_of(file)
    tables = [name for name in parts if name.endswith("/data.pkl")]
    if len(tables) != 1 or parts[tables[0]][1] > MAX_TABLE:
        raise Refused(f"it has no table of tensors of at most {MAX_TABLE} bytes")
    root = tables[0].removesuffix("data.pkl")
    order = f"{root}byteorder"
    if order in parts and (parts[order][1] != 6 or content(file, *parts[order]) != b"little"):
        raise Refused("its numbers are written from the other end")
    state = Reader(io.BytesIO(content(file, *parts[tables[0]]))).load()
    start = f"{root}data/"
    return state, {name.removeprefix(start): part[:2] for name, part in parts.items() if name.startswith(start)}


def parts_of(file: IO[bytes]) -> dict[str, tuple[int, int, int]]:
    """The parts of a zip, by name: the first byte, how many there are, and their checksum.

    The list of parts stands at the end of a zip, and may say that it is longer ("zip64").
    """
    size = file.seek(0, io.SEEK_END)
    last = file.seek(max(0, size - 65_577))  # with the longest remark that may follow
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if not 0 <= at <= len(tail) - 22:
        raise Refused("it has no list of its parts")
    listed, place = uint(tail, at + 12, 4), uint(tail, at + 16, 4)
    if tail[max(0, at - 20) : at].startswith(b"PK\x06\x07"):
        file.seek(min(size, uint(tail, at - 12, 8)))
        record = file.read(56)
        listed, place = uint(record, 40, 8), uint(record, 48, 8)
    if listed > MAX_TABLE or place + listed > last + at:
        raise Refused("it has no list of its parts where it says")
    file.seek(place)
    lines, at = file.read(listed), 0
    parts: dict[str, tuple[int, int, int]] = {}
    total = 0
    while at < len(lines):
        if lines[at : at + 4] != b"PK\x01\x02" or len(lines) < at + 46:
            raise Refused("its list of parts is broken")
        lengths = [uint(lines, at + place, 2) for place in (28, 30, 32)]  # of its name, of what is more, of a remark
        more = at + 46 + lengths[0]
        name = lines[at + 46 : more].decode("utf-8", "surrogateescape")
        if uint(lines, at + 8, 2) & 1 or uint(lines, at + 10, 2):
            raise Refused(f"its part {name[:80]!r} is compressed, which torch never does")
        held, place = larger(lines[more : more + lengths[1]], uint(lines, at + 24, 4), uint(lines, at + 42, 4))
        total += held
        if total > size:
            raise Refused(f"its parts claim {total} bytes, but the file has {size}")
        file.seek(min(place, size))
        header = file.read(30)
        if not header.startswith(b"PK\x03\x04") or len(header) < 30:
            raise Refused("one of its parts lies outside")
        parts[name] = (place + 30 + uint(header, 26, 2) + uint(header, 28, 2), held, uint(lines, at + 16, 4))
        at += 46 + sum(lengths)
    return parts


def larger(more: bytes, size: int, place: int) -> tuple[int, int]:
    """A part's size and place; one that four bytes cannot hold stands in what is more of it (field 1)."""
    most = 0xFFFFFFFF
    while len(more) >= 4 and most in (size, place):
        kind, length = uint(more, 0, 2), uint(more, 2, 2)
        if kind == 1:
            numbers = more[4 : 4 + length]
            if size == most:
                size, numbers = uint(numbers, 0, 8), numbers[16:]  # packed, it is as large
            return size, uint(numbers, 0, 8) if place == most else place
        more = more[4 + length :]
    return size, place


def uint(data: bytes, place: int, size: int) -> int:
    """A whole number in a zip."""
    return int.from_bytes(data[place : place + size], "little")


def content(file: IO[bytes], start: int, size: int, crc: int) -> bytes:
    """What is in a part.

    Raises:
        Refused: it is not what was put there.
    """
    file.seek(start)
    data = file.read(size)
    if len(data) < size or crc32(data) != crc:
        raise Refused("its table of tensors was changed")
    return data


def from_older(file: IO[bytes]) -> tuple[Any, dict[str, tuple[int, int]]]:
    """The same of a file as torch wrote it before version 1.6: pickles one after the other, then the numbers."""
    file.seek(0)
    if tuple(Reader(file).load() for _ in range(2)) != LEGACY:
        raise Refused("it is not a file that torch.save wrote")
    about = Reader(file).load()
    if type(about) is not dict or about.get("little_endian") is not True:
        raise Refused("its numbers are written from the other end")
    state, keys = Reader(file).load(), Reader(file).load()
    if type(keys) is not list or not all(type(key) is str for key in keys) or len(keys) > MAX_TENSORS:
        raise Refused("it does not say where its numbers are")
    tensors = [tensor for tensor in dict.values(state) if type(tensor) is Plain] if isinstance(state, dict) else []
    sizes = {key: SIZES[kind] for (kind, key), *_ in tensors}
    places = {}
    for key in keys:
        header = file.read(8)
        if len(header) < 8:
            raise Refused("it ends before its numbers do")
        held = uint(header, 0, 8) * sizes.get(key, 0)
        if held >= 1 << 62:
            raise Refused("it has impossible sizes")
        places[key] = (file.tell(), held)
        file.seek(held, io.SEEK_CUR)
    return state, places


def limit(files: int = 1) -> None:
    """Take no more than this; where the system has no such limits, the caller's patience is the only one."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, files * SECONDS + 1))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    except (ImportError, ValueError, OSError):
        pass


def more_time() -> None:
    """For the next file, as much time as for the one before."""
    try:
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        until = int(used.ru_utime + used.ru_stime) + SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (until, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    except (ImportError, ValueError, OSError):
        pass


def in_json(value: Any) -> str:
    """A text, a whole number, or a row or table of such, as JSON."""
    if isinstance(value, str):
        units = value.encode("utf-16-be", "surrogatepass").hex(" ", 2).split() if value else []
        return f'"{value}"' if is_plain(value) else '"' + "".join(f"\\u{unit}" for unit in units) + '"'
    if isinstance(value, dict):
        return "{" + ", ".join(f"{in_json(name)}: {in_json(each)}" for name, each in value.items()) + "}"
    if isinstance(value, int):
        return str(value)
    if all(type(each) is int for each in value):
        return str([*value])
    return "[" + ", ".join(map(in_json, value)) + "]"


def is_plain(text: str) -> bool:
    """Whether a text stands in JSON as it is."""
    return text.isascii() and text.isprintable() and '"' not in text and "\\" not in text


def main(folder: str, *names: str) -> None:
    limit(len(names))
    with open(1, "wb") as out:  # closed here: whoever waits for its end need not wait while Python ends
        for name in names:
            out.write(f"{about(folder + '/' + name)}\n".encode("ascii"))
            out.flush()
            more_time()


def about(path: str) -> str:
    """What there is to say about one file."""
    try:
        said: dict[str, Any] = {"tensors": list(table_of(path))}
    except Refused as error:
        said = {"refused": str(error)}
    except MemoryError:
        said = {"refused": f"following it takes more than {BYTES >> 20} MB"}
    except RecursionError:
        said = {"refused": "it is nested too deep"}
    except Exception as error:  # anything that a broken file makes pickle raise
        said = {"refused": f"{type(error).__name__}: {error}"}
    return in_json(said)


if __name__ == "__main__":
    main(*sys.argv[1:])
