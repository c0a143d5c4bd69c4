"""Folders of models that lie: one honest folder, and everything ROBUSTNESS asks for done to a copy of it.

`CASES` maps a name to what it does to a folder; whoever opens the folder must get a model or an error of bloomlab.
"""

import io
import json
import pickle
import shutil
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from tests.text.small_tokenizer import hub_folder, trained_json
from tests.tiny_random import random_model

WEIGHTS, INDEX, BIN = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
CANARY = "executed"


def honest_folder(folder: Path) -> Path:
    """A model that opens, and its tokenizer."""
    random_model(vocab_size=420, hidden_size=12, n_layer=2, n_head=2).half().save_pretrained(folder)
    return hub_folder(folder)


def sharded_folder(folder: Path) -> Path:
    """The same in several files."""
    random_model(vocab_size=420, hidden_size=12, n_layer=2, n_head=2).half().save_pretrained(folder, "8KB")
    return hub_folder(folder)


Change = Callable[[Path], None]
CASES: dict[str, tuple[Change, str]] = {}
"""Name -> what it does to a folder, and what the outcome must say: words of an error, or "" for a model."""


def case(name: str, words: str) -> Callable[[Change], Change]:
    def keep(change: Change) -> Change:
        CASES[name] = (change, words)
        return change

    return keep


def put(file: str, content: bytes | str | Any) -> Change:
    """Write this in a file's place; what is no text or bytes, as JSON."""

    def change(folder: Path) -> None:
        if isinstance(content, bytes):
            (folder / file).write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content)
            (folder / file).write_text(text, encoding="utf-8")

    return change


def cut(file: str, length: float) -> Change:
    """Keep so many bytes of a file; below 0, all but so many; a fraction is a share."""

    def change(folder: Path) -> None:
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: int(length * len(content)) if 0 < length < 1 else int(length)])

    return change


def grown(file: str, before: bytes, after: bytes) -> Change:
    """More bytes before and after a file's own."""
    return lambda folder: put(file, before + (folder / file).read_bytes() + after)(folder)


def then(*changes: Change) -> Change:
    """One change after the other."""

    def change(folder: Path) -> None:
        for each in changes:
            each(folder)

    return change


# -- config.json ----


def config(**changes: Any) -> Change:
    """Other values in config.json."""

    def change(folder: Path) -> None:
        values = json.loads((folder / "config.json").read_text())
        put("config.json", {**values, **changes})(folder)

    return change


def removed(file: str) -> Change:
    return lambda folder: (folder / file).unlink()


def sparse(file: str, size: int) -> Change:
    """A file of this size that takes no room: a hole."""

    def change(folder: Path) -> None:
        with (folder / file).open("wb") as handle:
            handle.truncate(size)

    return change


CASES |= {
    "config missing": (removed("config.json"), "expected a file"),
    "config empty": (put("config.json", b""), "the file is empty"),
    "config is a list": (put("config.json", []), "holds a list"),
    "config with a byte order mark": (grown("config.json", b"\xef\xbb\xbf", b""), ""),
    "config in UTF-16": (put("config.json", '{"n_layer": 2}'.encode("utf-16")), "UTF-8"),
    "config truncated": (cut("config.json", 0.5), "expected JSON"),
    "config nested 100,000 deep": (put("config.json", b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "nested too deep"),
    "config with 5,000 digits": (put("config.json", b'{"n_layer": ' + b"9" * 5000 + b"}"), "expected JSON"),
    "config with NaN": (config(layer_norm_epsilon=float("nan")), "layer_norm_epsilon"),
    "config with Infinity": (config(initializer_range=float("inf")), "initializer_range"),
    "config with a key twice": (put("config.json", b'{"n_layer": 2, "n_layer": 3}'), "'n_layer' twice"),
    **{f"config n_layer {value!r}": (config(n_layer=value), "n_layer") for value in (0, -1, 1.5, "24", True, 10**9)},
    "config vocab_size 10**12": (config(vocab_size=10**12), "vocab_size"),
    "config with heads that do not divide": (config(n_head=5), "n_head must divide"),
    "config of another model": (config(model_type="llama"), "'llama'"),
    "config of 64 MB": (sparse("config.json", 64 << 20), "67108864"),
    "config as large as it may be": (config(n_layer=1000, hidden_size=10**6, n_head=1, vocab_size=10**8), "lacks"),
    "config with a thousand layers": (config(n_layer=1000), "lacks"),
    "config with a hundred thousand labels": (config(num_labels=100_000, id2label=None, label2id=None), ""),
    "config with a million labels": (config(num_labels=10**6, id2label=None, label2id=None), "num_labels"),
}  # fmt: skip


@case("config that names code", "")
def _(folder: Path) -> None:
    touch = f"from pathlib import Path; Path({str(folder / CANARY)!r}).touch()\n"
    for name in ("evil.py", "modeling_evil.py", "configuration_evil.py", "__init__.py", "conftest.py"):
        (folder / name).write_text(touch)
    auto = {"AutoModelForCausalLM": "modeling_evil.Evil", "AutoConfig": "configuration_evil.Evil"}
    config(auto_map=auto, trust_remote_code=True, architectures=["evil.Evil"], _target_="os.system")(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    put("tokenizer_config.json", {**settings, "auto_map": auto, "tokenizer_class": "evil.Evil"})(folder)


# -- weights ----


class Malicious:
    """Unpickling this leaves a file: the sign that something was executed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return (Path.touch, (self.folder / CANARY,))


def as_zip(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def as_legacy(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def in_bin(make: Callable[[Path], bytes]) -> Change:
    """A .bin in place of the weights."""

    def change(folder: Path) -> None:
        content = make(folder)
        (folder / WEIGHTS).unlink()
        (folder / BIN).write_bytes(content)

    return change


def state() -> dict[str, torch.Tensor]:
    model = random_model(vocab_size=420, hidden_size=12, n_layer=2, n_head=2)
    return {name: weights.detach().clone() for name, weights in model.named_parameters()}


FIRST = "transformer.ln_f.weight"


def odd(make: Callable[[], Any]) -> Change:
    """A .bin in which one tensor is something else."""
    return in_bin(lambda folder: as_zip({**state(), FIRST: make()}))


def quantised() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch is giving them up
        return torch.quantize_per_tensor(torch.ones(12), 0.1, 0, torch.qint8)


def inconsistent_sparse() -> torch.Tensor:
    """A sparse tensor with an index far outside its shape: to make it dense is to write anywhere in memory."""
    with torch.sparse.check_sparse_tensor_invariants(False):
        return torch.sparse_coo_tensor(
            torch.tensor([[1 << 40]]), torch.tensor([1.0]), (12,), check_invariants=False, is_coalesced=True
        )


def compressed(folder: Path) -> bytes:
    """A zip whose parts are packed: 200 kB that stand for 200 MB."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(as_zip(state()))) as source,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as out,
    ):
        for part in source.infolist():
            out.writestr(part.filename, source.read(part))
        out.writestr("archive/data/999", bytes(200 << 20))
    return buffer.getvalue()


def overlapping(folder: Path) -> bytes:
    """A zip in which a thousand entries are one and the same part."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        out.writestr("archive/data.pkl", b"x" * 10_000)
        part = out.infolist()[0]
        for i in range(1000):
            twin = zipfile.ZipInfo(f"archive/data/{i}")
            twin.file_size = twin.compress_size = part.file_size
            twin.CRC, twin.header_offset = part.CRC, part.header_offset
            out.filelist.append(twin)
    return buffer.getvalue()


def honest_bin(folder: Path) -> bytes:
    return as_zip(state())


LEFT = (0, 4, 8, 20, 0.5, -1)
PICKLES = {"zip": as_zip, "legacy": as_legacy, "raw": pickle.dumps}
CASES |= {
    **{
        f"weights: a program in a {kind} pickle": (
            in_bin(lambda folder, write=write: write({**state(), "x": Malicious(folder)})),  # type: ignore[misc]
            "restricted loader",
        )
        for kind, write in PICKLES.items()
    },
    **{
        f"weights: a {kind} pickle named .safetensors": (
            lambda folder, write=write: put(WEIGHTS, write({"x": Malicious(folder)}))(folder),  # type: ignore[misc]
            WEIGHTS,
        )
        for kind, write in PICKLES.items()
    },
    "weights: a whole module": (in_bin(lambda folder: as_zip(torch.nn.Linear(2, 2))), "restricted loader"),
    "weights: numpy": (odd(lambda: np.zeros(12)), BIN),
    "weights: sparse": (odd(lambda: torch.eye(12).to_sparse()), BIN),
    "weights: sparse, with an index outside": (odd(inconsistent_sparse), BIN),
    "weights: quantised": (odd(quantised), BIN),
    "weights: meta": (odd(lambda: torch.zeros(12, device="meta")), BIN),
    "weights: complex": (odd(lambda: torch.zeros(12, dtype=torch.complex64)), BIN),
    "weights: stride 0": (odd(lambda: torch.zeros(1).expand(1 << 40)), BIN),
    "weights: integers": (odd(lambda: torch.zeros(12, dtype=torch.long)), BIN),
    "weights: a list": (odd(lambda: [1.0] * 12), BIN),
    "weights: integer keys": (in_bin(lambda folder: as_zip({0: torch.zeros(2)})), BIN),
    "weights: packed": (in_bin(compressed), "is compressed"),
    "weights: overlapping parts": (in_bin(overlapping), "parts claim"),
    **{f"weights: {n} bytes left": (cut(WEIGHTS, n), WEIGHTS) for n in LEFT},
    **{f"weights: {n} bytes left of a .bin": (then(in_bin(honest_bin), cut(BIN, n)), BIN) for n in LEFT},
    "weights: a trailing byte": (grown(WEIGHTS, b"", b"x"), "but the file at"),
    "weights: a Git LFS pointer": (put(WEIGHTS, b"version https://git-lfs.github.com/spec/v1\noid"), "Git LFS"),
    "weights: a web page": (put(WEIGHTS, b"<!DOCTYPE html><html>"), "web page"),
    "weights: NaN": (lambda f: save_file({k: v * float("nan") for k, v in state().items()}, f / WEIGHTS), ""),
}  # fmt: skip


@case("weights: a folder", WEIGHTS)
def _(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).mkdir()


# -- headers ----


def header(change_to: Callable[[dict[str, Any]], Any]) -> Change:
    """Another header before the same numbers."""

    def change(folder: Path) -> None:
        content = (folder / WEIGHTS).read_bytes()
        length = int.from_bytes(content[:8], "little")
        text = json.dumps(change_to(json.loads(content[8 : 8 + length]))).encode()
        (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])

    return change


def entry(**changes: Any) -> Change:
    return header(lambda table: {**table, FIRST: {**table[FIRST], **changes}})


def length(n: int) -> Change:
    return lambda folder: put(WEIGHTS, struct.pack("<Q", n) + (folder / WEIGHTS).read_bytes()[8:])(folder)


def many(n: int) -> dict[str, Any]:
    return {f"h.{i}.x": {"dtype": "F16", "shape": [0], "data_offsets": [0, 0]} for i in range(n)}


def marked(folder: Path) -> None:
    """A byte order mark before the header, which safetensors itself would not read."""
    content = (folder / WEIGHTS).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = b"\xef\xbb\xbf" + content[8 : 8 + length]
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(header)) + header + content[8 + length :])


def twice(folder: Path) -> None:
    """One tensor named twice, each time in the same words."""
    content = (folder / WEIGHTS).read_bytes()
    length = int.from_bytes(content[:8], "little")
    table = json.loads(content[8 : 8 + length])
    text = json.dumps({FIRST: table[FIRST]})[:-1].encode() + b"," + json.dumps(table).encode()[1:]
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])


CASES |= {
    "header: one tensor twice": (twice, "twice; keep one of them"),
    "header: 2**63 bytes": (length(1 << 63), "its header would have"),
    "header: over 100 MB": (length(101 << 20), "its header would have"),
    "header: longer than the file": (length(1 << 20), "its header would have"),
    "header: overlapping": (entry(data_offsets=[0, 24]), "starts at byte"),
    "header: negative": (entry(data_offsets=[-24, 0]), "has sizes"),
    "header: overflowing": (entry(shape=[1 << 61, 16], data_offsets=[0, 0]), "cannot lie"),
    "header: beyond the file": (entry(shape=[1 << 40], data_offsets=[0, 1 << 41]), WEIGHTS),
    "header: empty": (header(lambda table: {}), "its tensors end at byte 10"),
    "header: a list": (header(lambda table: []), "not a table of tensors"),
    "header: ten thousand entries": (header(lambda table: {**many(10_000), **table}), "does not have"),
    "header: more entries than a megabyte holds": (header(lambda table: many(30_000)), "its header would have"),
    "header: a tensor missing": (header(lambda table: {k: v for k, v in table.items() if k != FIRST}), WEIGHTS),
    "header: another name": (header(lambda table: {k.replace(FIRST, "x"): v for k, v in table.items()}), "lacks"),
    "header: the second of another shape": (entry(shape=[3, 4]), "expected shape"),
    "header: a shape of 49,000 numbers": (entry(shape=[1] * 49_000), "cannot lie at bytes"),
    "header: offsets of 49,000 numbers": (entry(data_offsets=[1] * 49_000), "cannot lie at bytes"),
    "header: after a byte order mark": (marked, "not a table of tensors"),
    "header: another dtype": (entry(dtype="F8_E4M3", shape=[24]), "numbers of type"),
}  # fmt: skip


# -- shards ----


def index(change_to: Callable[[dict[str, str]], Any]) -> Change:
    """Several files, and another index."""

    def change(folder: Path) -> None:
        (folder / WEIGHTS).unlink()
        sharded_folder(folder)
        values = json.loads((folder / INDEX).read_text())
        put(INDEX, {**values, "weight_map": change_to(values["weight_map"])})(folder)
        shutil.copy(folder / min(values["weight_map"].values()), folder.parent / "outside.safetensors")

    return change


CASES |= {
    "index: honest": (index(lambda table: table), ""),
    "index: a file above": (index(lambda table: {**table, FIRST: "../outside.safetensors"}), "beside"),
    "index: an absolute path": (index(lambda table: {**table, FIRST: "/etc/x.safetensors"}), "beside"),
    "index: empty": (index(lambda table: {}), "expected a weight_map"),
    "index: a list": (index(lambda table: list(table)), "expected a weight_map"),
    "index: a number": (index(lambda table: {**table, FIRST: 3}), "beside"),
    "index: a missing shard": (index(lambda table: dict.fromkeys(table, "lost.safetensors")), "expected a file"),
    "index: a tensor in another shard": (index(lambda table: {**table, FIRST: min(table.values())}), "does not say"),
    "index: itself": (index(lambda table: {**table, FIRST: INDEX}), "beside"),
    "index: one tensor unsaid": (index(lambda table: {k: v for k, v in table.items() if k != FIRST}), "does not say"),
    "index: one tensor too many": (index(lambda table: {**table, "x": min(table.values())}), "but it does not"),
}


# -- tokenizer.json ----


def tokenizer(path: str, value: Any) -> Change:
    """Another value at a place in tokenizer.json."""

    def change(folder: Path) -> None:
        values = json.loads(trained_json())
        *steps, last = path.split("/")
        inner = values
        for step in steps:
            inner = inner[int(step) if step.isdecimal() else step]
        inner[int(last) if last.isdecimal() else last] = value
        put("tokenizer.json", values)(folder)

    return change


def small_vocabulary(folder: Path) -> None:
    """A model that knows fewer tokens than its tokenizer gives."""
    random_model(vocab_size=300, hidden_size=12, n_layer=2, n_head=2).save_pretrained(folder)


TOKENIZER = "tokenizer.json"
SPLIT = "pre_tokenizer/pretokenizers/0"
PRECOMPILED = {"type": "Precompiled", "precompiled_charsmap": None}
TRUNCATION = {"max_length": 1, "stride": 5, "strategy": "LongestFirst", "direction": "Right"}
PADDING = {"strategy": {"Fixed": 10**9}, "direction": "Left", "pad_id": 0, "pad_type_id": 0, "pad_token": "a"}
BOMB = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000}
BOMBS = {"type": "Sequence", "normalizers": [BOMB] * 3}  # one letter becomes a thousand million
MILLIONS = 2_100_000  # values in six megabytes
CASES |= {
    "tokenizer: empty": (put(TOKENIZER, b""), "the file is empty"),
    "tokenizer: 404": (put(TOKENIZER, b"404: Not Found"), "expected JSON"),
    "tokenizer: truncated": (cut(TOKENIZER, 0.5), "expected JSON"),
    "tokenizer: not UTF-8": (put(TOKENIZER, b'{"model": "\xff"}'), "UTF-8"),
    "tokenizer: Precompiled null": (tokenizer("normalizer", PRECOMPILED), "normalizer"),
    "tokenizer: Replace bombs": (tokenizer("normalizer", BOMBS), "normalizer"),
    "tokenizer: FixedLength 0": (tokenizer(SPLIT, {"type": "FixedLength", "length": 0}), "first step"),
    "tokenizer: a catastrophic expression": (tokenizer(f"{SPLIT}/pattern", {"Regex": "(a*)*(a*)*b"}), "first step"),
    "tokenizer: truncation with a stride beyond it": (tokenizer("truncation", TRUNCATION), ""),
    "tokenizer: padding to 10**9": (tokenizer("padding", PADDING), ""),
    "tokenizer: an id beyond": (tokenizer("model/vocab/a", 10**6), "ids"),
    "tokenizer: an id twice": (tokenizer("model/vocab/a", 5), "ids"),
    "tokenizer: id 2**31": (tokenizer("model/vocab/a", 2**31), "ids"),
    "tokenizer: a merge of nothing": (tokenizer("model/merges/0", ["", ""]), "merge 0"),
    "tokenizer: a merge that is not there": (tokenizer("model/merges/0", ["Ġ", "Q"]), "merge 0"),
    "tokenizer: an added token of a megabyte": (tokenizer("added_tokens/0/content", "a" * (1 << 20)), "added token"),
    "tokenizer: an added token that eats spaces": (tokenizer("added_tokens/0/lstrip", True), "lstrip"),
    "tokenizer: another model": (tokenizer("model/type", "Unigram"), "BPE"),
    "tokenizer: of millions of empty lists": (put(TOKENIZER, b'{"a": [' + b"[]," * MILLIONS + b"0]}"), "values in"),
    "tokenizer: of millions of empty tables": (put(TOKENIZER, b'{"a": [' + b"{}," * MILLIONS + b"0]}"), "values in"),
    "tokenizer: of 200 MB": (sparse(TOKENIZER, 200 << 20), "at most"),
    "tokenizer: a folder": (then(removed(TOKENIZER), lambda folder: (folder / TOKENIZER).mkdir()), "expected a file"),
    "tokenizer: more tokens than the model has": (small_vocabulary, "tokens"),
}  # fmt: skip
