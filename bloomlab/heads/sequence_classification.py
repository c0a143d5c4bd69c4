"""One label for a whole text: a straight line from the final state of its last token.

    logits = score(final)[last token]                                    (batch, label)

BLOOM reads from left to right, so the last token is the only one that has seen the whole text.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bloomlab.config import BloomConfig
from bloomlab.errors import InputError
from bloomlab.hooks import Hooks
from bloomlab.model.bloom import BloomModel
from bloomlab.outputs import SequenceClassifierOutputWithPast
from bloomlab.weights.pretrained import BloomPreTrainedModel


class BloomForSequenceClassification(BloomPreTrainedModel):
    """BLOOM that sorts texts into `config.num_labels` classes (or, with one label, rates them).

    >>> config = BloomConfig(vocab_size=100, hidden_size=16, n_layer=2, n_head=4, num_labels=3)
    >>> BloomForSequenceClassification(config)(torch.tensor([[5, 6, 7]])).logits.shape
    torch.Size([1, 3])
    """

    def __init__(self, config: BloomConfig) -> None:
        super().__init__(config)
        self.transformer = BloomModel(config)
        self.score = nn.Linear(config.hidden_size, config.num_labels, bias=False)
        self.init_weights(self.score)

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
    ) -> SequenceClassifierOutputWithPast | tuple[Any, ...]:
        """BloomModel's arguments, and:

        Args:
            labels: (batch) class ids; (batch) or (batch, 1) numbers to rate like; or (batch, label) zeros and ones.
                Which of the three is `config.problem_type`, or else what the labels look like: one label is a
                rating, whole numbers are class ids, other numbers say yes or no to each class.

        Raises:
            InputError, HookError: as BloomModel does; or there are several texts and neither a padding id nor an
                attention_mask, so nothing shows where each ends.
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
        logits = hooks("logits", self.score(output.last_hidden_state), "batch pos label")
        rows = torch.arange(logits.shape[0], device=logits.device)
        logits = logits[rows, last_token(input_ids, self.config.pad_token_id, rows, attention_mask)]

        loss = None if labels is None else label_loss(logits, labels, self.config.problem_type)
        result = SequenceClassifierOutputWithPast(loss=loss, logits=logits, **dict(output.items()[1:]))
        return result.returned(return_dict, self.config)


def last_token(
    input_ids: Tensor | None, pad_token_id: int | None, rows: Tensor, attention_mask: Tensor | None = None
) -> Tensor:
    """The column of each row's last token that is not padding, wherever the padding is.

    What is padding says the mask, or the id, or both; where nothing does, it is the last column.

    >>> last_token(torch.tensor([[5, 6, 3], [3, 5, 6]]), 3, torch.arange(2))
    tensor([1, 2])
    >>> last_token(None, None, torch.arange(2), torch.tensor([[1, 1, 0], [0, 1, 1]]))
    tensor([1, 2])
    """
    if attention_mask is not None:
        is_token = attention_mask if input_ids is None else attention_mask[:, -input_ids.shape[1] :]
        if pad_token_id is not None and input_ids is not None:
            is_token = is_token.to(input_ids.device).bool() & (input_ids != pad_token_id)
        columns = torch.arange(is_token.shape[1], device=is_token.device)
        return (columns * is_token.bool()).argmax(-1).to(rows.device)
    if pad_token_id is None and len(rows) > 1:
        raise InputError(
            f"with {len(rows)} texts a padding id must say where each ends; set config.pad_token_id, or pass one text"
        )
    if pad_token_id is None or input_ids is None:
        return torch.full_like(rows, -1)
    columns = torch.arange(input_ids.shape[1], device=input_ids.device)
    return (columns * (input_ids != pad_token_id)).argmax(-1)


def label_loss(logits: Tensor, labels: Tensor, problem_type: str | None) -> Tensor:
    """The loss of a rating (squared error), of one class (cross entropy) or of several (binary cross entropy).

    >>> label_loss(torch.tensor([[2.0], [4.0]]), torch.tensor([2.0, 3.0]), None)
    tensor(0.5000)
    """
    n_label = logits.shape[-1]
    labels = labels.to(logits.device)
    if problem_type is None:
        whole = not labels.is_floating_point()
        problem_type = (
            "regression" if n_label == 1 else "single_label_classification" if whole else "multi_label_classification"
        )
    if problem_type == "single_label_classification":
        return F.cross_entropy(logits, labels.flatten())
    if n_label == 1:
        logits, labels = logits.flatten(), labels.flatten()
    if logits.shape != labels.shape:
        raise InputError(
            f"labels for {problem_type} must have shape {tuple(logits.shape)}, but have {tuple(labels.shape)}"
        )
    if problem_type == "regression":
        return F.mse_loss(logits, labels)
    return F.binary_cross_entropy_with_logits(logits, labels)
