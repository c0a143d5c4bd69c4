"""The KV cache: keys and values of the columns already read, so that the next pass need not compute them again.

A cache is never changed. Each pass makes a new one from the old, so an interrupted pass leaves the caller's cache as
it was, and two continuations of one prompt can start from the same cache.
"""

from collections.abc import Iterator, Sequence
from typing import Self

from torch import Tensor

from bloomlab.errors import InputError
from bloomlab.model.attention import KeyValue


class KVCache(Sequence[KeyValue]):
    """One pair (keys, values) a layer, each (batch, head, key, head_dim)."""

    def __init__(self, pairs: Sequence[KeyValue]) -> None:
        self._pairs = tuple(pairs)

    @property
    def length(self) -> int:
        """How many columns it holds."""
        return self._pairs[0][0].shape[2]

    @property
    def nbytes(self) -> int:
        """Bytes its tensors take."""
        return sum(tensor.nbytes for pair in self._pairs for tensor in pair)

    def rows(self, index: Tensor) -> Self:
        """The cache of these rows of the batch, in this order (a row may come more than once)."""
        return type(self)([(k.index_select(0, index), v.index_select(0, index)) for k, v in self._pairs])

    @classmethod
    def of(cls, past: object, n_layer: int, n_head: int, head_dim: int) -> Self:
        """A cache from a cache, or from a tuple with one (key, value) a layer in either documented layout.

        The layouts: both (batch, head, key, head_dim); or, older, keys (batch · head, head_dim, key) and values
        (batch · head, key, head_dim).

        Raises:
            InputError: another number of layers, or shapes that fit neither layout.
        """
        if isinstance(past, cls):
            pairs = past._pairs
        elif isinstance(past, Sequence) and all(isinstance(pair, Sequence) and len(pair) == 2 for pair in past):
            pairs = tuple(_four_dimensional(k, v, n_head) for k, v in past)
        else:
            raise InputError(
                f"past_key_values must be a KVCache or one (key, value) a layer, but got {type(past).__name__}"
            )
        if len(pairs) != n_layer:
            raise InputError(
                f"past_key_values has {len(pairs)} layers but the model has {n_layer}; use the same model's"
            )
        for k, v in pairs:
            if (
                k.shape != v.shape
                or k.dim() != 4
                or k.shape[1] != n_head
                or k.shape[3] != head_dim
                or k.shape != pairs[0][0].shape
            ):
                raise InputError(
                    f"each key and value must have shape (batch, {n_head}, key, {head_dim}), the same in all layers, "
                    f"but got {tuple(k.shape)} and {tuple(v.shape)}"
                )
        return cls(pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[KeyValue]:
        return iter(self._pairs)

    def __getitem__(self, layer):  # type: ignore[no-untyped-def]  # an int gives a pair, a slice several
        return self._pairs[layer]

    def __repr__(self) -> str:
        return f"KVCache({len(self)} layers × {self.length} columns, {self.nbytes} bytes)"


def _four_dimensional(k: Tensor, v: Tensor, n_head: int) -> KeyValue:
    if k.dim() == 3 and v.dim() == 3 and k.shape[0] % n_head == 0:
        return k.mT.unflatten(0, (-1, n_head)), v.unflatten(0, (-1, n_head))
    return k, v
