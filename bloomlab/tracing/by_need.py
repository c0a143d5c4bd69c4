"""Attention patterns of a long text, made again when they are looked at: all of them together would fill the memory.

A pattern has a number for each query, key and head: at 2,048 tokens, the 32 heads of the embedded model have 134
million, and their scores as many. The queries and keys that they follow from have a hundredth of that. So a trace may
keep these, and the head that is looked at is worked out once more, by the lines of code that the model itself has gone
through, with the same edits. An edit must therefore give the same whenever it is asked: all of bloomlab's do.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache

from torch import Tensor

from bloomlab.hooks import Edit, Hooks, Reading, Spot
from bloomlab.model.attention import Bias, make_bias, pattern
from bloomlab.weights.pretrained import without_gradients

READABLE = (".attn.scores", ".attn.alibi", ".attn.biased", ".attn.probs")
"""Reading or editing one of these sends its layer through the readable lines of attention, not the fused kernel."""

KEPT = 64_000_000  # bytes of patterns that a trace keeps; of more it keeps none
AT_WORK = 3  # matrices of all heads of a layer that the readable lines hold at once
AT_EDIT = 1  # and one more while one of them is edited


def behind(names: Iterable[str]) -> list[str]:
    """The spots that patterns are made from.

    >>> behind(["h.3.attn.probs", "h.3.attn.scores"])
    ['h.3.attn.q', 'h.3.attn.k']
    """
    layers = dict.fromkeys(name.rsplit(".", 1)[0] for name in names)
    return [f"{layer}.{part}" for layer in layers for part in ("q", "k")]


class _Read(Exception):
    """What was asked for is there."""


class _OneReading(Hooks):
    """Hooks that end a run where they have read: what comes after would take as much room again, and time."""

    def __call__(self, name: str, tensor: Tensor, axes: str) -> Tensor:
        passed = super().__call__(name, tensor, axes)
        if self.readings:
            raise _Read
        return passed


class ByNeed:
    """The patterns of a run that are not kept, and what it takes to make them again.

    Args:
        names: the spots, all of READABLE.
        edits: those of the run.
        spots: all of the model's, with their axes.
        attention_mask: (batch, key).
    """

    def __init__(
        self,
        names: Iterable[str],
        edits: Mapping[str, Sequence[Edit]],
        spots: Mapping[str, Spot],
        attention_mask: Tensor,
    ) -> None:
        self.names, self.spots = frozenset(names), spots
        self._edits = {name: several for name, several in edits.items() if name.endswith(READABLE)}
        self._bias, self._mask = cache(make_bias), attention_mask

    def apart(self, name: str) -> bool:
        """Whether each head can be made by itself: no edit has had all of them before it."""
        layer, part = name.rsplit(".", 1)
        earlier = [end.rsplit(".", 1)[1] for end in READABLE]
        return not any(f"{layer}.{one}" in self._edits for one in earlier[: earlier.index(part) + 1])

    def read(self, name: str, q: Tensor, k: Tensor, heads: slice = slice(None)) -> Reading:
        """A pattern of all heads, or of some: from q and k (batch, head, pos, head_dim), as they were read."""
        layer, _ = name.rsplit(".", 1)
        hooks = _OneReading([name], {} if self.apart(name) else self._edits)  # those of later spots would meet a part
        hooks.start(0)
        bias = self._bias(self._mask, q.shape[2], q.shape[1], q.dtype)
        inside = hooks.at(layer)

        def run() -> None:
            probs = pattern(q[:, heads], k[:, heads], Bias(bias.alibi[:, heads], bias.visible), inside)
            inside("probs", probs, self.spots[f"{layer}.probs"].axes)

        with suppress(_Read):
            without_gradients(run)
        return hooks.readings[name]
