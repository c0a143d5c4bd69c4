"""What Trainer, PEFT and pipelines ask of a model: names that are part of their public contract, and for whom each is.

They ask by name and do not look at the class, so no library of theirs is imported here, and none is needed. Nothing in
bloomlab uses this file; a reader of the model can leave it out.
"""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bloomlab.errors import InputError


class GenerationDefaults(SimpleNamespace):
    """The ids of special tokens that a model generates with, as transformers' GenerationConfig has them."""

    def to_dict(self) -> dict[str, Any]:
        """The ids by name."""
        return dict(vars(self))

    def to_diff_dict(self) -> dict[str, Any]:
        """What differs from the defaults: nothing, since the model knows these ids by itself."""
        return {}


class ForOthers(nn.Module):
    """The base of all BLOOM models, as other libraries see it."""

    main_input_name: ClassVar[str] = "input_ids"
    """For pipelines and Trainer, which count tokens by it."""

    accepts_loss_kwargs: ClassVar[bool] = False
    """For Trainer: whether `forward` takes `num_items_in_batch`. The causal model does."""

    supports_gradient_checkpointing: ClassVar[bool] = True
    """For Trainer and PEFT."""

    framework: ClassVar[str] = "pt"
    input_modalities: ClassVar[tuple[str, ...]] = ("text",)
    output_modalities: ClassVar[tuple[str, ...]] = ("text",)
    """For pipelines, which show them."""

    _keys_to_ignore_on_save: ClassVar[None] = None
    """For Trainer, when it goes on from a checkpoint. (This name and no other begins with a _, in theirs too.)"""

    @property
    def name_or_path(self) -> str:
        """For PEFT, which writes down what an adapter was made for."""
        return str(getattr(self.config, "_name_or_path", "") or "")

    @property
    def generation_config(self) -> "GenerationDefaults":
        """For pipelines, PEFT and Trainer: what `generate` does where a call says nothing, which the config says."""
        config: Any = self.config
        return GenerationDefaults(
            bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id
        )

    @generation_config.setter
    def generation_config(self, value: Any) -> None:
        if not isinstance(value, GenerationDefaults):  # PEFT gives back what it got
            raise InputError("how to generate is said in the call: model.generate(ids, generation_config=…)")

    def can_generate(self) -> bool:
        """For pipelines: whether it has `generate`."""
        return hasattr(type(self), "generate")

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        past_key_values: Any = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """For PEFT's models for causal language, and for loops like theirs: the arguments of the next pass.

        Of ids whose first columns are in the cache, the others only. (bloomlab's own `generate` does not call it.)
        """
        column = 0 if past_key_values is None or not len(past_key_values) else past_key_values[0][0].shape[2]
        inputs = {
            "past_key_values": past_key_values,
            "attention_mask": attention_mask,
            "use_cache": kwargs.get("use_cache"),
        }
        if inputs_embeds is not None and column == 0:
            return {"inputs_embeds": inputs_embeds, **inputs}
        return {"input_ids": input_ids[:, column:], **inputs}

    @property
    def is_gradient_checkpointing(self) -> bool:
        """For PEFT and Trainer: whether it recomputes in training."""
        return bool(getattr(self.base_model, "gradient_checkpointing", False))

    def enable_input_require_grads(self) -> None:
        """For PEFT with gradient checkpointing: gradients flow through the embeddings, though these are frozen.

        Here they do anyway (recomputation does not need inputs with gradients), so there is nothing to do.
        """

    def disable_input_require_grads(self) -> None:
        """For PEFT: the reverse of `enable_input_require_grads`."""

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """torch's, for Trainer and safetensors: a weight that is tied is there once, as in a checkpoint's files."""
        found = super().state_dict(*args, **kwargs)
        prefix = kwargs.get("prefix", args[1] if len(args) > 1 else "")
        if self._is_tied():
            found.pop(f"{prefix}lm_head.weight", None)
        return found

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        """torch's, and the reverse: with tied weights, the table is the head's matrix, too."""
        table, head = f"{prefix}transformer.word_embeddings.weight", f"{prefix}lm_head.weight"
        if self._is_tied() and table in state_dict:
            state_dict.setdefault(head, state_dict[table])
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _is_tied(self) -> bool:
        head: Any = getattr(self, "lm_head", None)
        table: Any = getattr(getattr(self, "transformer", None), "word_embeddings", None)
        return head is not None and getattr(head, "weight", self) is getattr(table, "weight", None)


def without_adapter_wrapper(model: Any) -> Any:
    """The model that a wrapper of PEFT's holds, whose layers have the adapters in them; any other model itself."""
    wrapped = hasattr(model, "peft_config") and hasattr(model, "get_base_model")
    return model.get_base_model() if wrapped else model


def prompt_adapters(model: Any) -> list[str]:
    """The adapters of a wrapper of PEFT's that are no part of a layer: they put columns before the text."""
    configs = getattr(model, "peft_config", None) or {}
    return [name for name, config in configs.items() if getattr(config, "is_prompt_learning", False)]


def adapters(model: nn.Module) -> list[str]:
    """The adapters that are on in a model's layers, by name; what is merged for now says so.

    Told by what PEFT's layers have: `base_layer`, `active_adapters`, `disable_adapters`, `merged_adapters`.
    """
    return sorted({name for layer in _adapted(model) for name in _on(layer)})


def _adapted(model: nn.Module) -> Iterator[Any]:
    parts = model.modules() if isinstance(model, nn.Module) else ()  # a JAX model has none
    return (part for part in parts if hasattr(type(part), "active_adapters") and hasattr(part, "base_layer"))


def _on(layer: Any) -> list[str]:
    merged = list(getattr(layer, "merged_adapters", ()))
    active = [] if getattr(layer, "disable_adapters", False) or merged else list(layer.active_adapters)
    return [*active, *(f"{name} (merged)" for name in merged)]


def linear_map(layer: nn.Module) -> tuple[Tensor, Tensor | None]:
    """The matrix and the bias of a layer, whatever it is made of: of one with an adapter, what it does as a whole.

    (out, in) and (out). A plain layer's own; of any other, what it makes of zeros and of each unit vector.

    >>> weight, bias = linear_map(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)))
    >>> weight.shape, bias.shape
    (torch.Size([2, 3]), torch.Size([2]))
    """
    in_parts = isinstance(layer, nn.Linear) and getattr(type(layer), "far", False)  # in other processes, plain there
    if type(layer) is nn.Linear or in_parts:
        plain: Any = layer
        return plain.weight.detach(), None if plain.bias is None else plain.bias.detach()
    own = next(layer.parameters())
    width = getattr(layer, "in_features", own.shape[-1])
    with torch.no_grad():
        bias = layer(torch.zeros(1, width, dtype=own.dtype, device=own.device))[0]
        rows = layer(torch.eye(width, dtype=own.dtype, device=own.device))
    return (rows - bias).mT, bias
