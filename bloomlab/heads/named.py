"""The task heads of a lab, by name."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

from bloomlab.errors import InputError, NearNames, did_you_mean
from bloomlab.weights.pretrained import BloomPreTrainedModel


class Heads(MutableMapping[str, BloomPreTrainedModel], NearNames):
    """A lab's task heads by name: "language", "tags" and "answer" are what its verbs ask.

    The embedded model brings its own, opened when first used; any lab takes others:

        lab.heads["language"] = my_head                  a BloomForSequenceClassification that `bloomlab.fit` trained
    """

    def __init__(
        self, n_token: int = 0, shipped: Mapping[str, Callable[[], BloomPreTrainedModel]] | None = None
    ) -> None:
        self._n_token = n_token
        self._shipped = dict(shipped or {})
        self._opened: dict[str, BloomPreTrainedModel] = {}

    def __getitem__(self, name: str) -> BloomPreTrainedModel:
        if name in self._shipped:
            self[name] = self._shipped[name]()
        if name not in self._opened:
            hint = did_you_mean(name, self)
            raise InputError(
                f"this lab has no head {name!r}{hint or f'; give it one: lab.heads[{name!r}] = model'}"
                " (bloomlab.fit trains heads, and the embedded lab, bloomlab.load(), has some)"
            )
        return self._opened[name]

    def __setitem__(self, name: str, head: BloomPreTrainedModel) -> None:
        if not isinstance(head, BloomPreTrainedModel):
            raise InputError(f"a head is a model such as BloomForTokenClassification, but got {type(head).__name__}")
        if head.config.vocab_size < self._n_token:
            raise InputError(
                f"the lab's tokenizer has {self._n_token} tokens, but the head knows {head.config.vocab_size}; "
                "train it on the lab's own tokens"
            )
        self._shipped.pop(name, None)
        self._opened[name] = head.eval()

    def get(self, name: str, default: Any = None) -> Any:
        """The head, opened, or `default` where there is none."""
        return self[name] if name in self else default

    def __delitem__(self, name: str) -> None:
        if name not in self:
            self[name]  # raises, and says which heads there are
        self._shipped.pop(name, None)
        self._opened.pop(name, None)

    def __contains__(self, name: object) -> bool:
        return name in self._shipped or name in self._opened

    def __iter__(self) -> Iterator[str]:
        return iter([*self._shipped, *self._opened])

    def __len__(self) -> int:
        return len(self._shipped) + len(self._opened)

    def __repr__(self) -> str:
        states = [f"{name!r}: not opened yet" for name in self._shipped]
        states += [
            f"{name!r}: {type(head).__name__}, {head.config.num_labels} labels" for name, head in self._opened.items()
        ]
        return f"Heads({'; '.join(states) or 'none; set one: lab.heads[name] = model'})"
