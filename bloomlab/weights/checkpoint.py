"""A folder of weights, in every layout BLOOM has been published in (layouts.py lists them).

Names may or may not begin with `transformer.` (those on the hub do not). Names and shapes are compared with what
the model needs before a single number is read: a load that fails has changed nothing.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from bloomlab.errors import CheckpointError, InputError, did_you_mean, shorten, shorten_path
from bloomlab.guards.files import check_unchanged, json_bytes, replacing_all, saying_why_unread, version
from bloomlab.guards.memory import check_memory, in_words
from bloomlab.guards.uninterrupted import uninterrupted
from bloomlab.weights.devices import Place, on_disk, weights_place
from bloomlab.weights.layouts import FLAX_ONLY, LAYOUTS, MSGPACK, read_index
from bloomlab.weights.slowly import HINT, OTHERWISE, expect
from bloomlab.weights.tensor_file import Stored, open_files

PREFIX = "transformer."
HEADS = (
    "lm_head.weight",
    "score.weight",
    "classifier.weight",
    "classifier.bias",
    "qa_outputs.weight",
    "qa_outputs.bias",
)
"""Tensors that a file may hold for a head that the model does not have; they are left alone."""

SHARDS = ("model", "model-again")  # how their names begin; the second where a save would overwrite the first
UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}


# -- reading ----


def open_folder(folder: Path, meanwhile: Callable[[], object] | None = None) -> dict[str, Stored]:
    """Every tensor in a folder's files, by its name without `transformer.`; no numbers are read yet.

    `meanwhile` is called if there is something to wait for.

    Raises:
        CheckpointError: there are no weights, or a file is missing or broken.
    """
    with saying_why_unread(folder, CheckpointError):
        name = next((name for name in LAYOUTS if (folder / name).exists()), "")
        there = FLAX_ONLY if (folder / MSGPACK).exists() else "none; check the folder"
    if not name:
        raise CheckpointError(
            f"expected one of {', '.join(LAYOUTS)} in {shorten_path(folder, 120)}, but there is {there}"
        )
    path = folder / name
    stored = _open_shards(path, meanwhile) if path.suffix == ".json" else open_files([path], meanwhile)[path]
    tensors: dict[str, Stored] = {}
    for full, tensor in stored.items():
        short = full.removeprefix(PREFIX)
        if short in tensors:
            both = f"{shorten(short, 60)} and {shorten(PREFIX + short, 60)}"
            raise CheckpointError(f"{shorten_path(tensor.file)} holds both {both}; keep one of them")
        tensors[short] = tensor
    return tensors


def refuse_quantized(about: Any, folder: Path | None) -> None:
    """Refuse weights that a config says are quantised (`quantization_config`): they would be read as other numbers.

    A folder whose tensors are plain numbers all the same is let through; what is on the hub still (None) is not looked
    at, since that would mean to fetch it.

    Raises:
        CheckpointError: they are, as far as can be told.
    """
    try:
        stored = {} if folder is None else open_folder(folder)
    except CheckpointError:  # such as tensors of whole numbers, which no BLOOM has
        stored = {}
    plain = all(each.dtype.is_floating_point and name.endswith((".weight", ".bias")) for name, each in stored.items())
    if not stored or not plain:
        how = about.get("quant_method", "by a method that it does not name") if isinstance(about, dict) else about
        raise CheckpointError(
            f"config.json says that the weights are quantised ({shorten(how, 40)}), which bloomlab does not read; open "
            "the original model, and choose dtype='bfloat16' if memory is short"
        )


def _open_shards(index: Path, meanwhile: Callable[[], object] | None) -> dict[str, Stored]:
    """Follow the index, which must be the same at the end: else shards of two saves could be taken for one model."""
    seen = version(index)
    try:
        return _follow(index, meanwhile)
    finally:
        check_unchanged(index, seen, CheckpointError)


def _follow(index: Path, meanwhile: Callable[[], object] | None) -> dict[str, Stored]:
    """Each tensor is in the file that the index names, and all files are in this folder."""
    weight_map = read_index(index)
    stored: dict[str, Stored] = {}
    advice = "fetch the model's files again"
    files = list(dict.fromkeys(index.parent / file for file in weight_map.values()))
    for path, inside in open_files(files, meanwhile).items():
        for name in inside:
            if weight_map.get(name) != path.name:
                raise CheckpointError(
                    f"{shorten_path(path)} holds {shorten(name)}, which {index.name} does not say; {advice}"
                )
        stored.update(inside)
    lost = [name for name in weight_map if name not in stored]
    if lost:
        raise CheckpointError(
            f"{shorten_path(index)} says that {shorten_path(weight_map[lost[0]], 80)} holds {shorten(lost[0])}, "
            f"but it does not; {advice}"
        )
    return stored


@dataclass(frozen=True)
class Plan:
    """Which stored tensor goes where; `new` lists the parameters of a head that the files lack."""

    source: dict[str, Stored]
    new: list[str]


def match(
    stored: Mapping[str, Stored],
    needed: Mapping[str, tuple[int, ...]],
    head: Iterable[str],
    ignore_mismatched_sizes: bool = False,
) -> Plan:
    """Compare the stored tensors with those the model needs; `head` lists those that may be missing.

    With `ignore_mismatched_sizes` a tensor of the head that has another shape counts as missing.

    Raises:
        CheckpointError: a tensor is missing, is not the model's, or has another shape.
    """
    optional = set(head)
    where = shorten_path(next(iter(stored.values())).file.parent, 120) if stored else "the files"
    source = {name: stored[name.removeprefix(PREFIX)] for name in needed if name.removeprefix(PREFIX) in stored}
    if ignore_mismatched_sizes:
        source = {
            name: tensor
            for name, tensor in source.items()
            if name not in optional or tensor.shape == tuple(needed[name])
        }
    missing = [name for name in needed if name not in source and name not in optional]
    expected = {name.removeprefix(PREFIX) for name in needed}
    extra = [name for name in stored if name not in expected and name not in HEADS]
    advice = "check that config.json belongs to these weights"
    if missing:
        near = did_you_mean(missing[0].removeprefix(PREFIX), extra)
        raise CheckpointError(
            f"expected {len(needed)} tensors in {where}, but it lacks {_some(missing)}{near}; {advice}"
        )
    if extra:
        raise CheckpointError(f"{where} holds {_some(extra)}, which the model does not have; {advice}")
    for name, shape in needed.items():
        if name in source and source[name].shape != tuple(shape):
            hint = f"{advice}; ignore_mismatched_sizes=True makes a head new" if name in optional else advice
            raise CheckpointError(
                f"expected shape {tuple(shape)} for {name!r}, but {shorten_path(source[name].file, 120)} holds "
                f"{shorten(source[name].shape)}; {hint}"
            )
    return Plan(source, [name for name in needed if name not in source])


def read_state(
    plan: Plan,
    dtype: torch.dtype,
    rounded: bool = False,
    slow: bool = False,
    places: Mapping[str, Place] | None = None,
) -> dict[str, Tensor]:
    """Read the numbers: memory-mapped where the file has the dtype, else cast.

    `rounded`: they will be made int8. `slow` lets what is mapped be larger than the memory. `places` are those of a
    model on several devices: each tensor goes to its own as soon as it is read.

    Raises:
        InputError: `slow`, or a place on the disk, but the files have another dtype: what is cast cannot stay in them.
        MemoryLimitError: they do not fit into this machine's memory.
    """
    held = {tensor.dtype for tensor in plan.source.values()}
    slowly = {name: tensor for name, tensor in plan.source.items() if slow or (places and on_disk(places, name))}
    if slowly and held != {dtype}:
        names = " and ".join(sorted(str(each).removeprefix("torch.") for each in held))
        how = "allow='slow' leaves the weights in their files, which hold"
        how = how if slow else "what is placed on the disk stays in its file, and the files hold"
        raise InputError(f"{how} {names}; choose dtype='auto'")
    if slowly:
        expect(_count(slowly) * dtype.itemsize, {tensor.file for tensor in slowly.values()})
    here = {
        name: tensor
        for name, tensor in plan.source.items()
        if name not in slowly and (not places or weights_place(places, name).type == "cpu")
    }
    if here:
        check_fits(_count(here), torch.int8 if rounded else dtype, mapped=held == {dtype} and not rounded)
    to_do, state = deque(plan.source.items()), dict[str, Tensor]()

    def read() -> None:
        while to_do:
            try:
                name, tensor = to_do.popleft()
            except IndexError:  # another thread took the last
                return
            numbers = tensor.load(dtype)
            state[name] = numbers if places is None else numbers.to(weights_place(places, name))

    try:
        if places is None:
            uninterrupted(read, threads=min(4, os.cpu_count() or 1))
        else:  # nothing that is cast waits here for its turn to be copied to a card
            read()
    finally:
        to_do.clear()  # after an interrupt or an error the other threads have nothing more to read
    for tensor in {tensor.file: tensor for tensor in plan.source.values()}.values():
        tensor.check_unchanged()
    return {name: state[name] for name in plan.source}


def _count(tensors: Mapping[str, Stored]) -> int:
    return sum(torch.Size(tensor.shape).numel() for tensor in tensors.values())


def check_fits(count: int, dtype: torch.dtype, mapped: bool = False) -> None:
    """Refuse more parameters than this machine's memory can hold.

    Raises:
        MemoryLimitError: they do not fit.
    """
    advice = f"try dtype='bfloat16' or 'int8', a smaller model, or 'tiny'; {'' if mapped else OTHERWISE}{HINT}"
    check_memory(count * dtype.itemsize, f"a model of {count:,} parameters in {str(dtype)[6:]}", advice)


def _some(names: list[str]) -> str:
    shown = ", ".join(shorten(name) for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


# -- writing ----


def write_state(
    folder: Path,
    state: Mapping[str, Tensor],
    max_shard_size: int | str = "50GB",
    beside: Mapping[str, dict[str, Any]] | None = None,
) -> list[Path]:
    """Write tensors under these names as safetensors, in several files if they are larger than max_shard_size.

    `beside` are files of JSON that belong to them, by name. All are written beside their places, shards under names
    that no index in the folder leads to, and moved at the end: a program that is killed leaves the old weights or the
    new. Weights left by an earlier save are removed last.

    Raises:
        InputError: the folder is missing, full or read-only.
    """
    shards = _split(_apart(state), shard_bytes(max_shard_size))
    names = [LAYOUTS[0]]
    with replacing_all(folder, lambda: remove_weights(folder, names)) as draft:
        names[:] = _shard_names(folder, len(shards)) if len(shards) > 1 else names
        for name, shard in zip(names, shards, strict=True):
            tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in shard.items()}
            save_file(tensors, draft(name), {"format": "pt"})
        if len(shards) > 1:
            weight_map = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
            sizes = {"total_size": sum(tensor.nbytes for tensor in state.values())}
            draft(LAYOUTS[1]).write_bytes(json_bytes({"metadata": sizes, "weight_map": weight_map}))
            names.append(LAYOUTS[1])
        for name, values in (beside or {}).items():
            draft(name).write_bytes(json_bytes(values))
    return [folder / name for name in names]


def _apart(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors; of those that share memory, all but one as copies, since a file keeps each by itself."""
    own, end = dict(state), 0
    for name, tensor in sorted(state.items(), key=lambda item: item[1].data_ptr()):
        extent = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
        if tensor.data_ptr() < end:
            own[name] = tensor.detach().clone()
        end = max(end, tensor.data_ptr() + extent * tensor.itemsize)
    return own


def _shard_names(folder: Path, count: int) -> list[str]:
    """Names for shards, none of which the folder's index leads to: until there is another, that must find its own."""
    try:
        taken = set(read_index(folder / LAYOUTS[1]).values())
    except CheckpointError:  # there is none, or none that can be followed
        taken = set()
    usual, others = ([f"{start}-{i + 1:05d}-of-{count:05d}.safetensors" for i in range(count)] for start in SHARDS)
    return usual if taken.isdisjoint(usual) else others


def remove_weights(folder: Path, but: Iterable[str] = ()) -> None:
    """Remove safetensors that were saved here before: what leads to shards first, for nothing to lead nowhere."""
    shards = {path.name for start in SHARDS for path in folder.glob(f"{start}-[0-9]*-of-*.safetensors")}
    for name in (*LAYOUTS[:2], *sorted(shards)):
        if name not in but:
            (folder / name).unlink(missing_ok=True)


@in_words
def convert(folder: Path) -> list[Path]:
    """Write the weights of a folder's .bin files as safetensors beside them; their names and numbers stay as they are.

    Raises:
        CheckpointError: the folder has no weights, has safetensors already, or a file in it is broken.
        InputError: it cannot be written to.
    """
    stored = open_folder(folder)
    for name in LAYOUTS[:2]:
        if (folder / name).exists():
            raise CheckpointError(f"{shorten_path(folder)} holds {name} already; there is nothing to convert")
    state: dict[str, Tensor] = {}
    for name, place in stored.items():
        state[name] = place.load(place.dtype)
        place.check_unchanged()
    return write_state(folder, state, "5GB")


def shard_bytes(size: int | str) -> int:
    """A size in bytes from a number or a text.

    >>> shard_bytes("200MB"), shard_bytes("1GiB"), shard_bytes(5000)
    (200000000, 1073741824, 5000)
    """
    text = str(size).strip().upper()
    unit = next((unit for unit in UNITS if text.endswith(unit)), "")
    number = text.removesuffix(unit).strip()
    if isinstance(size, bool) or not number.isdecimal() or int(number) < 1:
        raise InputError(f"expected a size such as '5GB' or a number of bytes as max_shard_size, but got {size!r}")
    return int(number) * UNITS.get(unit, 1)


def _split(state: Mapping[str, Tensor], limit: int) -> list[dict[str, Tensor]]:
    """The tensors in order, in as few groups as fit; a tensor above the limit has a group of its own."""
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in state.items():
        if shards[-1] and size + tensor.nbytes > limit:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += tensor.nbytes
    return shards
