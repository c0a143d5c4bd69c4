"""A program of its own: what tensors are in a .bin file, as JSON on standard output. It reads no numbers.

A .bin is a pickle, a list of instructions that can build anything of any size. So it is followed here, with little
time and little memory, and by a Python that has loaded neither torch nor bloomlab: nothing that it could do reaches
the program that wants the weights. The names that it may use stand in ALLOWED; each is a stand-in of this file. What
it builds must be a table of tensors; of each only the words are handed over: where its numbers lie in the file.
"""

import contextlib
import io
import json
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

SECONDS = 2  # of computing
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


class Storage(NamedTuple):
    """Numbers in a row, known by a name."""

    kind: str
    key: str
    numbers: int


class Plain(NamedTuple):
    """A tensor: numbers of a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def rebuild(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> Plain:
    """What torch._utils._rebuild_tensor_v2 stands for."""
    numbers = (offset, *shape, *stride)
    if type(storage) is not Storage or len(shape) != len(stride):
        raise Refused("it builds a tensor of something other than numbers")
    if not all(type(number) is int and 0 <= number < 1 << 62 for number in numbers):
        raise Refused("it builds a tensor of impossible sizes")
    return Plain(storage, offset, tuple(shape), tuple(stride))


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


class Reader(pickle.Unpickler):
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
        return Storage(kind, key, numbers)


def table_of(path: str) -> Iterator[list[Any]]:
    """A line for each tensor: name, kind of numbers, first byte, how many numbers are there, offset, shape, stride.

    Raises:
        Refused: it is not a file of plain tensors.
    """
    with open(path, "rb") as file:
        state, places = (from_zip if zipfile.is_zipfile(file) else from_older)(file)
        if type(state) not in (dict, OrderedDict):
            raise Refused(f"it holds a {type(state).__name__}, not a table of tensors")
        if len(state) > MAX_TENSORS:
            raise Refused(f"it names {len(state)} tensors")
        for name, tensor in dict.items(state):
            if type(name) is not str:
                raise Refused(f"it names a tensor by a {type(name).__name__}")
            if type(tensor) is not Plain:
                raise Refused(f"{name[:80]!r} is a {type(tensor).__name__}")
            storage, offset, shape, stride = tensor
            if storage.key not in places:
                raise Refused(f"the numbers of {name[:80]!r} are not in it")
            yield [name, storage.kind, *places[storage.key], offset, shape, stride]


def from_zip(file: IO[bytes]) -> tuple[Any, dict[str, tuple[int, int]]]:
    """What the pickle of a zip builds; and of each storage its first byte and the bytes it has."""
    file.seek(0, io.SEEK_END)
    size = file.tell()
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
        packed = [part.filename for part in parts if part.compress_type != zipfile.ZIP_STORED]
        if packed:
            raise Refused(f"its part {packed[0][:80]!r} is compressed, which torch never does")
        total = sum(part.file_size for part in parts)
        if total > size:
            raise Refused(f"its parts claim {total} bytes, but the file has {size}")
        tables = [part for part in parts if part.filename.endswith("/data.pkl")]
        if len(tables) != 1 or tables[0].file_size > MAX_TABLE:
            raise Refused(f"it has no table of tensors of at most {MAX_TABLE} bytes")
        root = tables[0].filename.removesuffix("data.pkl")
        if any(part.filename == f"{root}byteorder" and archive.read(part)[:8] != b"little" for part in parts):
            raise Refused("its numbers are written from the other end")
        state = Reader(io.BytesIO(archive.read(tables[0]))).load()
        places = {}
        for part in parts:
            if part.filename.startswith(f"{root}data/"):
                file.seek(part.header_offset)
                header = file.read(30)
                if len(header) < 30:
                    raise Refused("one of its parts lies outside")
                start = part.header_offset + 30 + sum(struct.unpack("<HH", header[26:]))
                places[part.filename.removeprefix(f"{root}data/")] = (start, part.file_size)
    return state, places


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
    sizes = {tensor.storage.key: SIZES[tensor.storage.kind] for tensor in tensors}
    places = {}
    for key in keys:
        header = file.read(8)
        if len(header) < 8:
            raise Refused("it ends before its numbers do")
        held = struct.unpack("<Q", header)[0] * sizes.get(key, 0)
        if held >= 1 << 62:
            raise Refused("it has impossible sizes")
        places[key] = (file.tell(), held)
        file.seek(held, io.SEEK_CUR)
    return state, places


def limit() -> None:
    """Take no more than this; where the system has no such limits, the caller's patience is the only one."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))


def main(path: str) -> None:
    limit()
    try:
        said: dict[str, Any] = {"tensors": list(table_of(path))}
    except Refused as error:
        said = {"refused": str(error)}
    except MemoryError:
        said = {"refused": f"following it takes more than {BYTES >> 20} MB"}
    except RecursionError:
        said = {"refused": "it is nested too deep"}
    except Exception as error:  # anything that a broken file makes pickle and zipfile raise
        said = {"refused": f"{type(error).__name__}: {error}"}
    text = json.dumps(said)
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
