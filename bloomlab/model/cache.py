"""The KV cache: keys and values of the columns already read, so that the next pass does not compute them again.

A cache is never changed. Each pass makes a new one from the old, so an interrupted pass leaves the caller's cache as
it was, and two continuations of one prompt can start from the same cache.
"""

from collections.abc import Iterator, Sequence
from typing import Self

import torch
from torch import Tensor
from torch.utils._pytree import SequenceKey, register_pytree_node

from bloomlab.errors import NearMatches
from bloomlab.model.attention import KeyValue


class KVCache(NearMatches, Sequence[KeyValue]):
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
        return type(self)(
            [(k.index_select(0, index.to(k.device)), v.index_select(0, index.to(v.device))) for k, v in self._pairs]
        )

    def columns(self, index: slice | Tensor) -> Self:
        """The cache of these columns only. Of a slice it shares its memory."""
        return type(self)([(k[:, :, index], v[:, :, index]) for k, v in self._pairs])

    def copied(self) -> Self:
        """The same numbers in memory of their own."""
        return type(self)([(k.clone(), v.clone()) for k, v in self._pairs])

    @classmethod
    def joined(cls, parts: "Sequence[KVCache]") -> Self:
        """The cache of the columns of several, one after the other."""
        return cls(
            [(torch.cat(keys, 2), torch.cat(values, 2)) for keys, values in map(_both, zip(*parts, strict=True))]
        )

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[KeyValue]:
        return iter(self._pairs)

    def __getitem__(self, layer):  # type: ignore[no-untyped-def]  # an int gives a pair, a slice several
        return self._pairs[layer]

    def __repr__(self) -> str:
        return f"KVCache({len(self)} layers × {self.length} columns, {self.nbytes} bytes)"


def _both(pairs: Sequence[KeyValue]) -> tuple[list[Tensor], list[Tensor]]:
    """The keys and the values of one layer in several caches."""
    return [k for k, _ in pairs], [v for _, v in pairs]


register_pytree_node(  # so that torch.export and torch.func can look inside
    KVCache,
    lambda cache: (list(cache), None),
    lambda pairs, _: KVCache(list(pairs)),
    serialized_type_name="bloomlab.KVCache",
    flatten_with_keys_fn=lambda cache: ([(SequenceKey(i), pair) for i, pair in enumerate(cache)], None),
)
