"""Whatever JSON says, in whatever place: what is read from it is right, or it is refused in words."""

import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bloomlab.config import DEFAULTS, BloomConfig
from bloomlab.errors import BloomlabError, CheckpointError, ConfigError, TokenizerError
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.text.tokenizer_file import check_tokenizer
from bloomlab.weights.layouts import read_index
from bloomlab.weights.tensor_file import open_file
from tests.text.small_tokenizer import trained_json

pytestmark = pytest.mark.slow  # hundreds of files, made and read

PER_FILE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # one folder for all examples is meant

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)


ANYTHING = st.recursive(PLAIN, nested, max_leaves=6)


def good_message(error: BloomlabError) -> bool:
    return 10 < len(str(error)) < 1000 and "Traceback" not in str(error)


# -- config.json ----

KEYS = st.sampled_from([*DEFAULTS, "n_embed", "num_labels", "id2label", "label2id", "model_type", "auto_map", "self"])


@given(st.dictionaries(KEYS | st.text(max_size=8), ANYTHING | st.integers(1, 64), max_size=6))
def test_a_config_is_right_or_refused(values: dict[str, Any]) -> None:
    try:
        config = BloomConfig.from_dict(values)
    except ConfigError as error:
        assert good_message(error)
        return
    for name in ("vocab_size", "hidden_size", "n_layer", "n_head"):
        assert type(getattr(config, name)) is int and getattr(config, name) > 0
    assert config.hidden_size == config.n_head * config.head_dim
    again = BloomConfig.from_dict(config.to_dict())
    assert repr(again.to_dict()) == repr(config.to_dict())  # as text: NaN is not equal to itself


@PER_FILE
@given(content=st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_a_config_file_of_any_bytes_is_right_or_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    try:
        BloomConfig.from_pretrained(tmp_path)
    except ConfigError as error:
        assert good_message(error)


# -- safetensors headers ----

DTYPES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}
SIZES = st.integers(-2, 5) | st.sampled_from([1 << 31, 1 << 61, 1 << 62, 1 << 63, 1 << 70]) | ANYTHING
ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from([*DTYPES, "I64", "BOOL"]) | ANYTHING,
        "shape": st.lists(SIZES, max_size=3) | ANYTHING,
        "data_offsets": st.lists(SIZES, min_size=2, max_size=2) | ANYTHING,
    }
)


def write(folder: Path, header: Any, data: bytes) -> Path:
    text = json.dumps(header).encode()
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@PER_FILE
@given(header=st.dictionaries(st.text(max_size=5), ENTRY | ANYTHING, max_size=3), size=st.integers(0, 24))
def test_a_header_is_right_or_refused(tmp_path: Path, header: Any, size: int) -> None:
    try:
        stored = open_file(write(tmp_path, header, bytes(size)))
    except CheckpointError as error:
        assert good_message(error)
        return
    total = sum(math.prod(each.shape) * each.dtype.itemsize for each in stored.values())
    assert total == size
    for each in stored.values():
        assert each.load(torch.float32).shape == each.shape


@PER_FILE
@given(
    shapes=st.lists(st.lists(st.integers(0, 4), max_size=3), max_size=4),
    dtype=st.sampled_from(list(DTYPES)),
    order=st.randoms(use_true_random=False),
)
def test_an_honest_header_is_read(tmp_path: Path, shapes: list[list[int]], dtype: str, order: Any) -> None:
    place, table = 0, {}
    for i, shape in enumerate(shapes):
        end = place + math.prod(shape) * DTYPES[dtype]
        table[f"x{i}"] = {"dtype": dtype, "shape": shape, "data_offsets": [place, end]}
        place = end
    names = list(table)
    order.shuffle(names)  # the order of names says nothing about the order of numbers
    stored = open_file(write(tmp_path, {name: table[name] for name in names}, bytes(place)))
    assert {name: list(each.shape) for name, each in stored.items()} == {f"x{i}": s for i, s in enumerate(shapes)}


@PER_FILE
@given(content=st.binary(max_size=64), length=st.integers(0, (1 << 64) - 1) | st.integers(0, 64))
def test_a_file_of_any_bytes_is_no_checkpoint(tmp_path: Path, content: bytes, length: int) -> None:
    assume(not content.startswith(b"{}"))
    for name in ("model.safetensors", "pytorch_model.bin"):
        (tmp_path / name).write_bytes(struct.pack("<Q", length) + content)
        try:
            assert open_file(tmp_path / name) is not None
        except CheckpointError as error:
            assert good_message(error)


# -- the index of shards ----

FILES = (
    st.sampled_from(["a.safetensors", "b.bin", "../a.safetensors", "/a.bin", "a", "", "C:a.bin", "a\0.bin"]) | ANYTHING
)


@PER_FILE
@given(values=st.fixed_dictionaries({"weight_map": st.dictionaries(st.text(max_size=5), FILES, max_size=4)}) | ANYTHING)
def test_an_index_names_files_beside_it_or_is_refused(tmp_path: Path, values: Any) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps(values))
    try:
        table = read_index(path)
    except CheckpointError as error:
        assert good_message(error)
        return
    assert table
    for file in table.values():
        assert (tmp_path / file).parent == tmp_path and Path(file).name == file


# -- tokenizer.json ----


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every part of a JSON value, those of the vocabulary and the merges by example."""
    inner = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [path, *(each for key in inner[:6] for each in places(value[key], (*path, key)))]


HONEST = json.loads(trained_json())
PLACES = [place for place in places(HONEST) if place]
TEXT = "hello (world), नमस्ते 世界 🙂\n"


@settings(max_examples=100)
@given(place=st.sampled_from(PLACES), value=ANYTHING | st.sampled_from([1 << 31, 1 << 63, "a" * 5000, "\ud800"]))
def test_a_tokenizer_is_right_or_refused(place: tuple[Any, ...], value: Any) -> None:
    values = json.loads(trained_json())
    inside = values
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    try:
        parts = check_tokenizer(values, "tokenizer.json")
    except TokenizerError as error:
        assert good_message(error)
        return
    ids = {**parts.vocab, **{text: index for text, index, _ in parts.added}}.values()
    assert sorted(ids) == list(range(len(ids)))


@PER_FILE
@given(place=st.sampled_from(PLACES), value=PLAIN)
def test_a_tokenizer_that_opens_gives_back_every_text(tmp_path: Path, place: tuple[Any, ...], value: Any) -> None:
    values = json.loads(trained_json())
    inside = values
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    try:
        tokenizer = BloomTokenizerFast.from_pretrained(tmp_path)
    except TokenizerError as error:
        assert good_message(error)
        return
    spaces = " \n" if tokenizer.add_prefix_space else ""  # it puts some in, as it is meant to
    decoded = tokenizer.decode(tokenizer.encode(TEXT))
    assert decoded.translate(dict.fromkeys(map(ord, spaces))) == TEXT.translate(dict.fromkeys(map(ord, spaces)))
