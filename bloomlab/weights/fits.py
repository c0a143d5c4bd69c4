"""Which models fit into this machine's memory, before anything is downloaded or opened."""

import os
from dataclasses import dataclass
from typing import Any

from bloomlab.config import SIZES, BloomConfig
from bloomlab.guards.frames import InPandas
from bloomlab.guards.memory import free_bytes, gigabytes
from bloomlab.weights.hub import NAMES

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}
"""Bytes for one parameter; in int8 a thousandth more, for the scales. The published files are float16 (bfloat16 for
176b)."""


@dataclass(frozen=True, repr=False)
class Fit:
    """Whether a model fits, and how. Its repr is the answer in words; it is true if the model fits in any dtype.

    Attributes:
        name: of the model.
        parameters: how many numbers it has.
        bytes: how much memory they need, by dtype.
        free: bytes this program may still use; None if the system does not say.
    """

    name: str
    parameters: int
    bytes: dict[str, int]
    free: int | None

    @property
    def dtypes(self) -> list[str]:
        """The dtypes in which it fits, the most precise first."""
        return [dtype for dtype, needed in self.bytes.items() if self.free is None or needed <= self.free]

    @property
    def advice(self) -> str:
        """The Python that opens it here, or the largest published model that can be opened."""
        if self.dtypes:
            dtype = "" if self.dtypes[0] == "float32" else f", dtype={self.dtypes[0]!r}"
            return f"bloomlab.load({self.name!r}{dtype})"
        counts = {size: BloomConfig.named(size).parameter_count() for size in SIZES}
        smaller = [Fit(size, n, _bytes(n), self.free) for size, n in counts.items() if n < self.parameters]
        fitting = [fit for fit in smaller if fit.dtypes]
        return f"instead: {fitting[-1].advice}" if fitting else "nothing fits; end other programs first"

    def __bool__(self) -> bool:
        return bool(self.dtypes)

    def __repr__(self) -> str:
        lines = [f"{self.name}: {self.parameters:,} parameters"]
        for dtype, needed in self.bytes.items():
            lines.append(f"  {dtype:<9} {gigabytes(needed):>9}  {'fits' if dtype in self.dtypes else 'does not fit'}")
        free = "the system does not say how much memory is free" if self.free is None else gigabytes(self.free)
        return "\n".join([*lines, f"  free here {free:>9}", f"  {self.advice}"])


def fits(
    name_or_folder: str | os.PathLike[str],
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Fit:
    """How many parameters a model has, how much memory they need by dtype, and what fits here.

    The weights are counted, not opened; a text needs some more while it is read. The published sizes need no
    network; of another model on the hub only the config.json is fetched.

    >>> fits("7b1").bytes["bfloat16"]
    14138032128

    Raises:
        ConfigError: there is no such model, or its config.json is broken.
        DownloadError: its config.json cannot be fetched.
    """
    return fit_of(os.fspath(name_or_folder), config_of(name_or_folder, revision, cache_dir))


class Models(list[Fit], InPandas):
    """Whether each of several models fits; its repr is a table."""

    def records(self) -> list[dict[str, Any]]:
        """Each model: its name, its parameters, and the dtypes in which it fits here."""
        return [{"name": fit.name, "parameters": fit.parameters, "opens with": ", ".join(fit.dtypes)} for fit in self]

    def __repr__(self) -> str:
        lines = [f"{'name':<14}{'parameters':>16}  opens here with"]
        lines += [f"{fit.name:<14}{fit.parameters:>16,}  {fit.advice if fit else 'does not fit'}" for fit in self]
        return "\n".join(
            [*lines, "bloomz-… as bloom-…, trained further on tasks; any other BLOOM by folder or owner/name"]
        )


def models() -> Models:
    """The models that have a name of their own, and what fits into this machine's memory. Needs no network.

    >>> [fit.name for fit in models()][:3]
    ['tiny', '560m', '1b1']
    """
    return Models(fits(size) for size in SIZES)


def config_of(
    name_or_folder: str | os.PathLike[str],
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> BloomConfig:
    """The config of a model; a published size is known without looking at its files. Raises what `fits` raises."""
    name = os.fspath(name_or_folder)
    size = _size(name)
    if size and not os.path.isdir(name):
        return BloomConfig.named(size)
    return BloomConfig.from_pretrained(name_or_folder, revision=revision, cache_dir=cache_dir)


def fit_of(name: str, config: BloomConfig) -> Fit:
    """Whether a model of these sizes fits here."""
    count = config.parameter_count()
    return Fit(name, count, _bytes(count), free_bytes())


def _size(name: str) -> str:
    """The published size that a name stands for, or ""."""
    full = NAMES.get(name, name)
    return next((size for size in SIZES if name == size or full in (NAMES.get(size), NAMES.get(f"bloomz-{size}"))), "")


def _bytes(count: int) -> dict[str, int]:
    return {dtype: count * size for dtype, size in BYTES.items()}
