"""What travels between the notebook and the engines, as bytes: functions by cloudpickle, tensors as their numbers."""

import io
from typing import Any

import torch
from torch import Tensor, nn

from bloomlab.errors import InputError, MissingPackageError, shorten

NEEDED = "a model in several processes needs ipyparallel and cloudpickle: pip install 'bloomlab[cluster]'"


def written(content: Any) -> bytes:
    """Anything that Python can pickle, functions of a notebook's cells too, as bytes.

    Raises:
        InputError: something in it cannot travel, such as an open file.
    """
    try:
        import cloudpickle  # type: ignore[import-untyped]  # it has no types
    except ImportError:
        raise MissingPackageError(NEEDED) from None
    file = io.BytesIO()
    pickler = cloudpickle.Pickler(file, protocol=5)
    pickler.dispatch_table = {
        **getattr(pickler, "dispatch_table", {}),
        Tensor: _taken_apart,
        nn.Parameter: _taken_apart,
    }
    try:
        pickler.dump(content)
    except (TypeError, AttributeError, ValueError, RecursionError, OSError) as error:  # pickle's own words
        raise InputError(
            f"this cannot be sent to an engine: {shorten(str(error), 150)}; an edit may hold numbers, texts, tensors "
            "and functions, but no open file, lock or generator"
        ) from None
    return file.getvalue()


def read_letter(letter: bytes) -> Any:
    """What was written. Only ever bytes of one's own engines or notebook, which ipyparallel's keys vouch for."""
    import pickle

    return pickle.loads(letter)


def _taken_apart(tensor: Tensor) -> Any:
    """The numbers of a tensor, and of these only its own: torch would send all that it shares memory with."""
    flat = tensor.detach().cpu().contiguous()
    return _put_together, (bytes(flat.reshape(-1).view(torch.uint8).numpy().data), flat.dtype, tuple(flat.shape))


def _put_together(numbers: bytes, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    if not numbers:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(numbers), dtype=torch.uint8).view(dtype).reshape(shape)
