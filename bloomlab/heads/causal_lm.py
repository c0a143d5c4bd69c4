"""The head BLOOM was trained with: from the final state of each position, a score for every possible next token.

    logits = final · table^T                                             (batch, pos, vocab)

The table is the embedding table itself: the weights are tied, so a token is scored by how well the final state
points along its own embedding.
"""

from collections.abc import Iterator
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from bloomlab.config import BloomConfig
from bloomlab.errors import InputError
from bloomlab.generation.decode import Step, generate, stream
from bloomlab.hooks import Hooks, values_hidden
from bloomlab.model.arguments import without_padding
from bloomlab.model.bloom import BloomModel
from bloomlab.outputs import CausalLMOutputWithCrossAttentions
from bloomlab.weights.pretrained import BloomPreTrainedModel


class BloomForCausalLM(BloomPreTrainedModel):
    """BLOOM as a language model.

    >>> import torch
    >>> model = BloomForCausalLM(BloomConfig(vocab_size=100, hidden_size=16, n_layer=2, n_head=4))
    >>> ids = torch.tensor([[5, 6, 7]])
    >>> out = model(ids, labels=ids)
    >>> out.logits.shape, out.loss.shape
    (torch.Size([1, 3, 100]), torch.Size([]))
    """

    accepts_loss_kwargs = True

    def __init__(self, config: BloomConfig) -> None:
        super().__init__(config)
        self.transformer = BloomModel(config)
        # tied weights belong to the table, so none are created here
        device = "meta" if config.tie_word_embeddings else None
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False, device=device)
        if config.tie_word_embeddings:
            self.tie_weights()
        else:
            self.init_weights(self.lm_head)

    def tie_weights(self) -> None:
        """Make the head's matrix the embedding table itself."""
        self.lm_head.weight = self.transformer.word_embeddings.weight

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
        cache_position: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        num_items_in_batch: int | Tensor | None = None,
        hooks: Hooks | None = None,
        **deprecated: Any,
    ) -> CausalLMOutputWithCrossAttentions | tuple[Any, ...]:
        """BloomModel's arguments, and:

        Args:
            labels: (batch, pos) the ids to predict, the same as input_ids: they are shifted inside, so that position
                i is compared with the label at i + 1. -100 is left out, and so are padding and what comes after it:
                the first token of a text is foreseen by none. The loss is computed in float32.
            logits_to_keep: only the last so many positions (0: all), or the positions in a tensor.
            num_items_in_batch: divide the summed loss by this number, not by how many labels there are.

        Raises:
            InputError, HookError: as BloomModel does; or the labels do not have the inputs' shape.
        """
        hooks = self.checked(hooks)
        if not isinstance(logits_to_keep, Tensor) and (type(logits_to_keep) is not int or logits_to_keep < 0):
            raise InputError(f"logits_to_keep must be a whole number of at least 0, but got {logits_to_keep!r}")
        if labels is not None and not (isinstance(logits_to_keep, int) and logits_to_keep == 0):
            raise InputError("labels need the logits of every position; leave logits_to_keep out")
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
            cache_position=cache_position,
            hooks=hooks,
            **deprecated,
        )
        x = output.last_hidden_state
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        if hooks.wants("logits"):  # a reading needs every position
            logits = hooks("logits", self._logits(x), "batch pos vocab")[:, keep]
        else:
            logits = self._logits(x[:, keep])

        loss = None
        if labels is not None:
            loss = next_token_loss(logits, without_padding(labels, attention_mask, True), num_items_in_batch)
        result = CausalLMOutputWithCrossAttentions(loss=loss, logits=logits, **dict(output.items()[1:]))
        return result.returned(return_dict, self.config)

    def generate(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, **settings: Any) -> Any:
        """Continue each row: (batch, pos) ids -> (batch, longer) ids, prompt included. See `Settings`, and for what
        else it takes and can return, `bloomlab.generation.decode.generate`.

        Raises:
            GenerationError, InputError: as `stream` does.
        """
        return generate(self, input_ids, attention_mask, **settings)

    def stream(
        self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, **settings: Any
    ) -> Iterator[Step]:
        """Continue each row, a `Step` at a time."""
        return stream(self, input_ids, attention_mask, **settings)

    def _logits(self, x: Tensor) -> Tensor:
        # As one flat list of positions: with three axes and a batch of 1, torch first copies the whole frozen matrix.
        logits: Tensor = self.lm_head(x.flatten(0, 1))
        return logits.view(*x.shape[:2], -1)


def next_token_loss(logits: Tensor, labels: Tensor, num_items_in_batch: int | Tensor | None = None) -> Tensor:
    """Mean surprise at the next token, in nats: position i's logits against the label at i + 1; -100 is left out.

    logits (batch, pos, vocab), labels (batch, pos) -> a number, in float32.

    >>> import torch
    >>> next_token_loss(torch.zeros(1, 3, 4), torch.tensor([[0, 1, 2]]))  # no idea among 4: log(4)
    tensor(1.3863)
    """
    if logits.shape[:2] != labels.shape:
        raise InputError(
            f"labels must have shape {tuple(logits.shape[:2])} like the inputs, but have {tuple(labels.shape)}"
        )
    if labels.is_cpu and not values_hidden():  # elsewhere, looking at the values would wait for the device
        odd = (labels != -100) & ((labels < 0) | (labels >= logits.shape[2]))
        if odd.any():
            raise InputError(f"labels must be ids from 0 to {logits.shape[2] - 1}, or -100, but have {labels[odd][0]}")
    guesses, truth = logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten().to(logits.device)
    if num_items_in_batch is None:
        return F.cross_entropy(guesses, truth)
    return F.cross_entropy(guesses, truth, reduction="sum") / num_items_in_batch
