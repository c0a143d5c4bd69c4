"""One label for each token: a straight line from its final state.

    logits = classifier(dropout(final))                                  (batch, pos, label)

A token's state knows what stands before it and nothing of what follows: a causal model tags with half the context.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from bloomlab.config import BloomConfig
from bloomlab.errors import InputError
from bloomlab.hooks import Hooks
from bloomlab.model.arguments import without_padding
from bloomlab.model.bloom import BloomModel
from bloomlab.outputs import TokenClassifierOutput
from bloomlab.weights.pretrained import BloomPreTrainedModel


class BloomForTokenClassification(BloomPreTrainedModel):
    """BLOOM that gives every token one of `config.num_labels` tags.

    >>> import torch
    >>> config = BloomConfig(vocab_size=100, hidden_size=16, n_layer=2, n_head=4, num_labels=5)
    >>> BloomForTokenClassification(config)(torch.tensor([[5, 6, 7]])).logits.shape
    torch.Size([1, 3, 5])
    """

    def __init__(self, config: BloomConfig) -> None:
        super().__init__(config)
        self.transformer = BloomModel(config)
        choices = (config.classifier_dropout, config.hidden_dropout, 0.1)
        self.dropout = nn.Dropout(next(p for p in choices if p is not None))
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.init_weights(self.classifier)

    def forward(
        self,
        input_ids: Tensor | None = None,
        past_key_values: Any = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        hooks: Hooks | None = None,
        **deprecated: Any,
    ) -> TokenClassifierOutput | tuple[Any, ...]:
        """BloomModel's arguments, and:

        Args:
            labels: (batch, pos) a tag's id for each token (the documentation's "(batch)" is a slip). -100 is left out,
                and so is padding.

        Raises:
            InputError, HookError: as BloomModel does; or the labels do not have the inputs' shape.
        """
        hooks = self.checked(hooks)
        output = self.transformer(
            input_ids=input_ids,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            hooks=hooks,
            **deprecated,
        )
        logits = hooks("logits", self.classifier(self.dropout(output.last_hidden_state)), "batch pos label")

        loss = None
        if labels is not None:
            if labels.shape != logits.shape[:2]:
                raise InputError(f"labels must have shape {tuple(logits.shape[:2])}, but have {tuple(labels.shape)}")
            labels = without_padding(labels.to(logits.device), attention_mask)
            loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        result = TokenClassifierOutput(loss, logits, output.hidden_states, output.attentions)
        return result.returned(return_dict, self.config)
