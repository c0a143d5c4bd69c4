"""Small random changes to files: to their bytes, and to what their JSON says; and made-up texts that would be code."""

import json
import random
import struct
from copy import deepcopy
from typing import Any

INTERESTING: list[Any] = [
    *(None, True, False, 0, -1, 1, 2, 3, 0.5, 255, 1 << 15, 1 << 31, 1 << 32, 1 << 62, 1 << 63, 1 << 64, 10**30),
    *(
        -1e308,
        1e308,
        float("nan"),
        float("inf"),
        "",
        "a",
        "\ud800",
        "\x00",
        "\u202e",
        "../x",
        "/etc/passwd",
        "a" * 5000,
    ),
    *([], {}, [[]], {"": None}, [0] * 100, ["a", "b"], {"type": "BPE"}, {"type": "Sequence"}),
]
ENDS = ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
PIECES = [
    *ENDS,
    *("'", '"', "'''", '"""', "\\", "\\n", "\\u2028", "\x00", "\t", "%", "%%", "!", "?", "??", "$x", "#", ";"),
    *("{", "}", "{layer}", "{quoted}", "TEXT", "SETUP", "HEADS", "EDITS", "ALIKE", "%bloom ", "!touch x", "%time 1"),
    *("lab.trace(TEXT, read=['x'])", "import bloomlab\n", "tensor(3)", "<b>", "zero(", ">>> ", "In [1]: ", "é", "😀"),
    *("\u202e", "\u200b", "\ufeff", "\xa0", "a", "b c", " "),
]
MARKUP = '</noscript></script></style><img src=x onerror="window.canary=1"> " onload=\'window.canary=1'
BYTES = [b"\x00", b"\xff", b"{", b"}", b'"', b"[", b",", b"\\ud800", b"\xef\xbb\xbf", b"PK\x03\x04", b"\x80\x02", b"."]


def text_like_code(chance: random.Random) -> str:
    """A made-up text of what ends lines, closes quotes, or is a command somewhere."""
    return "".join(chance.choice(PIECES) for _ in range(chance.randrange(1, 12)))


def changed_bytes(content: bytes, chance: random.Random) -> bytes:
    """A few bits, bytes or pieces of the content changed, moved, repeated or left out."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        place, piece = chance.randrange(len(data) + 1), chance.randrange(1, 64)
        match chance.randrange(7):
            case 0 if place < len(data):
                data[place] ^= 1 << chance.randrange(8)
            case 1:
                del data[place:]
            case 2:
                del data[place : place + piece]
            case 3:
                data[place:place] = data[place : place + piece]
            case 4:
                data[place:place] = chance.randbytes(piece)
            case 5:
                data[place : place + 1] = chance.choice(BYTES)
            case _:
                place = chance.choice((0, place))
                number = chance.choice((0, 1, len(data), 1 << 31, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1))
                data[place : place + 8] = struct.pack("<Q", number)
    return bytes(data)


def changed_value(value: Any, chance: random.Random) -> Any:
    """A few places in a JSON value changed, left out or renamed."""
    value = deepcopy(value)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        inside = value
        while isinstance(inside, dict | list) and inside:
            key = chance.choice(list(inside) if isinstance(inside, dict) else range(len(inside)))
            below = inside[key]
            if isinstance(below, dict | list) and below and chance.random() < 0.7:
                inside = below
                continue
            match chance.randrange(6):
                case 0:
                    del inside[key]
                case 1 if isinstance(inside, dict):
                    inside[chance.choice(("", "a", "\ud800", str(key)[:-1], str(key) + "x"))] = inside.pop(key)
                case 2:
                    inside[key] = deepcopy(chance.choice(list(inside.values()) if isinstance(inside, dict) else inside))
                case 3 if isinstance(below, int):
                    inside[key] = below + chance.choice((-1, 1, 1 << 20))
                case _:
                    inside[key] = deepcopy(chance.choice(INTERESTING))  # else the next change is to the list itself
            break
    return value


def changed_json(content: bytes, chance: random.Random) -> bytes:
    text = json.dumps(changed_value(json.loads(content), chance))
    return text.encode()


def changed_header(content: bytes, chance: random.Random) -> bytes:
    """A safetensors file with another header of the right length."""
    length = int.from_bytes(content[:8], "little")
    header = changed_json(content[8 : 8 + length], chance)
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


def changed(name: str, content: bytes, chance: random.Random) -> bytes:
    """A file of this name, changed in its meaning or in its bytes."""
    if chance.random() < 0.6 and name.endswith(".json"):
        return changed_json(content, chance)
    if chance.random() < 0.6 and name.endswith(".safetensors"):
        return changed_header(content, chance)
    return changed_bytes(content, chance)
