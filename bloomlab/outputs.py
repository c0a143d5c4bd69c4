"""What the models return: values by name, by key or by place.

    out.logits      out["logits"]      out[0]      loss, logits = out.to_tuple()

A value nobody asked for is None and does not count: `out[0]`, `len(out)`, `out.keys()` and `out.to_tuple()`
see only what is there. So `out[0]` is the loss when labels were given, and the logits when not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from torch import Tensor
from torch.utils._pytree import GetAttrKey, register_pytree_node

from bloomlab.config import BloomConfig
from bloomlab.errors import NearMatches


class ModelOutput(NearMatches):
    """A record whose missing values do not count.

    torch looks inside (in torch.export, torch.func), since each class tells it how to take one apart.
    """

    def __init_subclass__(cls) -> None:
        register_pytree_node(
            cls,
            lambda output: (list(vars(output).values()), list(vars(output))),
            lambda values, names: cls(**dict(zip(names, values, strict=True))),
            serialized_type_name=f"bloomlab.{cls.__name__}",
            flatten_with_keys_fn=lambda output: (
                [(GetAttrKey(name), value) for name, value in vars(output).items()],
                list(vars(output)),
            ),
        )

    def keys(self) -> tuple[str, ...]:
        """The names of the values that are there, in order."""
        names = (field.name for field in fields(self))  # type: ignore[arg-type]  # every subclass is a dataclass
        return tuple(name for name in names if getattr(self, name) is not None)

    def to_tuple(self) -> tuple[Any, ...]:
        """The values that are there, in order."""
        return tuple(getattr(self, name) for name in self.keys())

    def returned(self, return_dict: bool | None, config: BloomConfig) -> Self | tuple[Any, ...]:
        """This output, or a plain tuple if the call (or else the config) says `return_dict=False`."""
        return self if (config.return_dict if return_dict is None else return_dict) else self.to_tuple()

    def values(self) -> tuple[Any, ...]:
        return self.to_tuple()

    def items(self) -> tuple[tuple[str, Any], ...]:
        return tuple(zip(self.keys(), self.to_tuple(), strict=True))

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return self.to_tuple()[key]
        if key not in self.keys():
            raise KeyError(key)
        return getattr(self, key)

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())


@dataclass
class BaseModelOutputWithPastAndCrossAttentions(ModelOutput):
    """What BloomModel returns.

    last_hidden_state (batch, pos, hidden), after the final layer norm; past_key_values, a KVCache; hidden_states,
    n_layer + 1 of (batch, pos, hidden), the first after the embedding layer norm, the last after the final one;
    attentions, n_layer of (batch, head, query, key). cross_attentions is always None: BLOOM has none.
    """

    last_hidden_state: Tensor
    past_key_values: Sequence[tuple[Tensor, Tensor]] | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    cross_attentions: None = None


@dataclass
class CausalLMOutputWithCrossAttentions(ModelOutput):
    """What BloomForCausalLM returns: loss (nats per token), logits (batch, pos, vocab), and what the model returned."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Sequence[tuple[Tensor, Tensor]] | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    cross_attentions: None = None


@dataclass
class GenerateDecoderOnlyOutput(ModelOutput):
    """What `generate` returns with `return_dict_in_generate=True`.

    sequences (row, pos), prompt included; with `output_scores`, scores, for each step what was chosen from: after all
    settings, (row, vocab), of beams each one's log-probabilities; with `output_logits`, logits, the model's own; of
    beams, sequences_scores (row), by which they were compared.
    """

    sequences: Tensor
    sequences_scores: Tensor | None = None
    scores: tuple[Tensor, ...] | None = None
    logits: tuple[Tensor, ...] | None = None


@dataclass
class SequenceClassifierOutputWithPast(ModelOutput):
    """What BloomForSequenceClassification returns: logits (batch, label), one row a text."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Sequence[tuple[Tensor, Tensor]] | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class TokenClassifierOutput(ModelOutput):
    """What BloomForTokenClassification returns: logits (batch, pos, label)."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class QuestionAnsweringModelOutput(ModelOutput):
    """What BloomForQuestionAnswering returns: start_logits and end_logits, each (batch, pos)."""

    loss: Tensor | None = None
    start_logits: Tensor | None = None
    end_logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
