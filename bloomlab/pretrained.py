"""What all BLOOM models share: how they are made, opened and saved. It knows no component."""

import functools
import json
from typing import Any

import torch
from torch import Tensor, nn

from bloomlab.config import BloomConfig
from bloomlab.errors import InputError
from bloomlab.hooks import NO_HOOKS, Hooks, Spot, list_spots


class BloomPreTrainedModel(nn.Module):
    """The base of BloomModel and of the models with a head."""

    config_class = BloomConfig
    base_model_prefix = "transformer"

    def __init__(self, config: BloomConfig) -> None:
        super().__init__()
        if not isinstance(config, BloomConfig):
            raise InputError(f"a model is made from a BloomConfig, but got {type(config).__name__}")
        self.config = config

    def init_weights(self, *modules: nn.Module) -> None:
        """New weights for the modules (all, if none is named): normal(0, initializer_range), biases 0, norms 1, 0."""
        for module in modules or (self,):
            for part in module.modules():
                if isinstance(part, nn.Linear | nn.Embedding):
                    nn.init.normal_(part.weight, 0.0, self.config.initializer_range)
                if isinstance(part, nn.Linear) and part.bias is not None:
                    nn.init.zeros_(part.bias)
                if isinstance(part, nn.LayerNorm):
                    nn.init.ones_(part.weight)
                    nn.init.zeros_(part.bias)

    def checked(self, hooks: Hooks | None) -> Hooks:
        """The hooks of a call, once all their names are known to exist; none if there are none."""
        if hooks is None:
            return NO_HOOKS
        hooks.check(self.hook_names)
        return hooks

    def hook_names(self) -> dict[str, Spot]:
        """All spots of this model, in the order a call passes them, with their axes and shapes.

        A shape holds a number where the config fixes the size, and the axis' name where the call does.
        """
        model_class: Any = type(self)
        return dict(_spots(model_class, json.dumps(self.config.to_dict(), sort_keys=True, default=str)))


@functools.lru_cache(maxsize=64)
def _spots(model_class: Any, config: str) -> dict[str, Spot]:
    """A dry run without numbers: tensors on the meta device have shapes only."""
    with torch.device("meta"):
        model = model_class(BloomConfig.from_dict(json.loads(config))).eval()
        ids: Tensor = torch.zeros(1, 1, dtype=torch.long)

    def run(hooks: Hooks) -> Any:
        return model(input_ids=ids, hooks=hooks)

    return list_spots(run)
