"""The KV cache: keys and values of the columns already read, so that the next pass does not compute them again.

A cache is never changed. Each pass makes a new one from the old, so an interrupted pass leaves the caller's cache as
it was, and two continuations of one prompt can start from the same cache.
"""

from collections.abc import Iterator, Sequence
from typing import Self

from torch import Tensor

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
        """Bytes that its tensors take up."""
        return sum(tensor.nbytes for pair in self._pairs for tensor in pair)

    def rows(self, index: Tensor) -> Self:
        """The cache of these rows of the batch, in this order (a row may come more than once)."""
        return type(self)([(k.index_select(0, index), v.index_select(0, index)) for k, v in self._pairs])

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[KeyValue]:
        return iter(self._pairs)

    def __getitem__(self, layer):  # type: ignore[no-untyped-def]  # an int gives a pair, a slice several
        return self._pairs[layer]

    def __repr__(self) -> str:
        return f"KVCache({len(self)} layers × {self.length} columns, {self.nbytes} bytes)"
