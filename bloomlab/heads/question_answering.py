"""An answer inside the text: two numbers for each token, how well an answer would start and end there.

    start_logits, end_logits = qa_outputs(final)                         (batch, pos) each

A causal model must read the question before the context: only then do the context's states know what is asked.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from bloomlab.config import BloomConfig
from bloomlab.hooks import Hooks
from bloomlab.model.bloom import BloomModel
from bloomlab.outputs import QuestionAnsweringModelOutput
from bloomlab.weights.pretrained import BloomPreTrainedModel


class BloomForQuestionAnswering(BloomPreTrainedModel):
    """BLOOM that points at the first and the last token of an answer.

    >>> import torch
    >>> config = BloomConfig(vocab_size=100, hidden_size=16, n_layer=2, n_head=4)
    >>> BloomForQuestionAnswering(config)(torch.tensor([[5, 6, 7]])).start_logits.shape
    torch.Size([1, 3])
    """

    def __init__(self, config: BloomConfig) -> None:
        super().__init__(config)
        self.transformer = BloomModel(config)
        self.qa_outputs = nn.Linear(config.hidden_size, 2)
        self.init_weights(self.qa_outputs)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        hooks: Hooks | None = None,
        **deprecated: Any,
    ) -> QuestionAnsweringModelOutput | tuple[Any, ...]:
        """BloomModel's arguments (without a cache: the text is read once), and:

        Args:
            position_ids: accepted at its documented place and ignored, with a warning.
            start_positions, end_positions: (batch) the columns where the answer starts and ends. A column beyond the
                text, or of padding, is left out of the loss, which is the mean of both cross entropies over the
                columns that are no padding; one alone gives no loss.

        Raises:
            InputError, HookError: as BloomModel does.
        """
        hooks = self.checked(hooks)
        output = self.transformer(
            input_ids=input_ids,
            attention_mask=attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            use_cache=False,
            position_ids=position_ids,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            hooks=hooks,
            **deprecated,
        )
        logits = hooks("logits", self.qa_outputs(output.last_hidden_state), "batch pos label")
        start, end = logits.unbind(-1)

        loss = None
        if start_positions is not None and end_positions is not None:
            loss = (
                span_loss(start, start_positions, attention_mask) + span_loss(end, end_positions, attention_mask)
            ) / 2
        result = QuestionAnsweringModelOutput(loss, start, end, output.hidden_states, output.attentions)
        return result.returned(return_dict, self.config)


def span_loss(logits: Tensor, positions: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    """How surprising the true column is, in nats: logits (batch, pos), positions (batch), attention_mask (batch, pos).

    No answer is in padding, so it takes no part in the softmax. Rows whose column is beyond or padding are left out.

    >>> import torch
    >>> span_loss(torch.zeros(2, 4), torch.tensor([1, 9]))  # one row counts: log(4)
    tensor(1.3863)
    >>> span_loss(torch.zeros(1, 4), torch.tensor([1]), torch.tensor([[0, 1, 1, 0]]))  # log(2)
    tensor(0.6931)
    """
    beyond = logits.shape[1]
    truth = positions.flatten().to(logits.device).clamp(0, beyond)
    if attention_mask is not None:
        is_token = attention_mask.to(logits.device).bool()
        inside = F.pad(is_token, (0, 1)).gather(1, truth[:, None])[:, 0]
        truth = truth.where(inside, beyond)
        logits = logits.masked_fill(~is_token, float("-inf")).where(inside[:, None], 0)  # a row left out has no NaN
    return F.cross_entropy(logits, truth, ignore_index=beyond)
