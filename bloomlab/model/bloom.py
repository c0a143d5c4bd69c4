"""BLOOM without a head: embedding, blocks, final layer norm.

x = embed(ids)
x = block(x)                   n_layer times
final = layer_norm(x)          (batch, pos, hidden)
"""

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bloomlab.config import BloomConfig
from bloomlab.errors import InputError
from bloomlab.hooks import Chain, Edit, Hooks
from bloomlab.model.attention import make_bias
from bloomlab.model.block import BloomBlock
from bloomlab.model.cache import KVCache
from bloomlab.model.embedding import embed
from bloomlab.outputs import BaseModelOutputWithPastAndCrossAttentions
from bloomlab.pretrained import BloomPreTrainedModel


class BloomModel(BloomPreTrainedModel):
    """The base model: ids in, the final state of the residual stream out.

    >>> model = BloomModel(BloomConfig(vocab_size=100, hidden_size=16, n_layer=2, n_head=4))
    >>> model(torch.tensor([[5, 6, 7]])).last_hidden_state.shape
    torch.Size([1, 3, 16])
    """

    def __init__(self, config: BloomConfig) -> None:
        super().__init__(config)
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.word_embeddings_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_epsilon)
        self.h = nn.ModuleList(BloomBlock(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_epsilon)
        self.gradient_checkpointing = False
        self.init_weights()

    def forward(
        self,
        input_ids: Tensor | None = None,
        past_key_values: Any = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        cache_position: Tensor | None = None,
        hooks: Hooks | None = None,
        **deprecated: Any,
    ) -> BaseModelOutputWithPastAndCrossAttentions | tuple[Any, ...]:
        """One pass over the columns that are new.

        Args:
            input_ids: (batch, pos) token ids; or, in their place,
            inputs_embeds: (batch, pos, hidden) vectors that take the table's place, before the layer norm.
            past_key_values: the cache an earlier pass returned; it is left as it was.
            attention_mask: (batch, key) 1 for a token, 0 for padding, past and new columns together.
            head_mask: (head,) or (layer, head): what each head's probabilities are multiplied by; 1 keeps.
            use_cache: whether to return a cache for the next pass.
            output_attentions, output_hidden_states: return all of them; `hooks` reads single ones.
            return_dict: False for a plain tuple of the values that are there.
            cache_position: (pos,) the new columns' places; they are known without it, so it is only checked.
            hooks: what to read and what to change in this call.

        Raises:
            InputError: the inputs do not fit each other or the model.
            HookError: a spot does not exist, or an edit does not give back what it should.
        """
        config = self.config
        refuse_unknown(deprecated)
        past = None
        if past_key_values is not None:
            past = KVCache.of(past_key_values, config.n_layer, config.n_head, config.head_dim)
        column = past.length if past else 0
        mask = _checked_mask(input_ids, inputs_embeds, attention_mask, cache_position, column, config.vocab_size)
        recompute = self.gradient_checkpointing and self.training
        use_cache = config.use_cache if use_cache is None else use_cache
        if recompute and use_cache:
            warnings.warn("gradient checkpointing keeps no cache: use_cache is off for this call", stacklevel=2)
            use_cache = False

        # the documented switches are readings and edits like any other
        attentions = self._spots("attn.probs") if _either(output_attentions, config.output_attentions) else []
        states = _either(output_hidden_states, config.output_hidden_states)
        hidden_states = [*self._spots("resid_pre"), "final"] if states else []
        asked = Hooks(read=[*attentions, *hidden_states], detach=False)
        hooks = self.checked(hooks)
        if head_mask is not None or asked.read:
            hooks = Chain(Hooks(edit=self._head_mask_edits(head_mask)), hooks, asked)
        hooks.start(column)

        x = embed(input_ids, inputs_embeds, self.word_embeddings, self.word_embeddings_layernorm, hooks)
        bias = make_bias(mask, x.shape[1], config.n_head, x.dtype)
        pairs = []
        for i, block in enumerate(self.h):
            inputs = (x, bias, past[i] if past else None, hooks.at(f"h.{i}"))
            x, key_value = checkpoint(block, *inputs, use_reentrant=False) if recompute else block(*inputs)
            pairs.append(key_value)
        x = hooks("final", self.ln_f(x), "batch pos hidden")

        output = BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=x,
            past_key_values=KVCache(pairs) if use_cache else None,
            hidden_states=tuple(asked[name] for name in hidden_states) or None,
            attentions=tuple(asked[name] for name in attentions) or None,
        )
        return output if _either(return_dict, config.return_dict) else output.to_tuple()

    def _spots(self, name: str) -> list[str]:
        return [f"h.{i}.{name}" for i in range(self.config.n_layer)]

    def _head_mask_edits(self, head_mask: Tensor | None) -> dict[str, Edit]:
        """One edit a layer, which multiplies each head's probabilities by its entry of the mask."""
        if head_mask is None:
            return {}
        shape = (self.config.n_layer, self.config.n_head)
        if tuple(head_mask.shape) not in (shape, shape[1:]):
            raise InputError(
                f"head_mask must have shape {shape[1:]} (heads) or {shape} (layers, heads), "
                f"but has {tuple(head_mask.shape)}"
            )

        def multiply(keep: Tensor) -> Edit:
            return lambda probs, at: probs * keep.to(probs)[:, None, None]

        return dict(zip(self._spots("attn.probs"), map(multiply, head_mask.expand(shape)), strict=True))


def refuse_unknown(extra: dict[str, Any]) -> None:
    """Accept the keyword that old code still passes, with a warning, and refuse all others by name."""
    if extra.pop("position_ids", None) is not None:
        warnings.warn("position_ids have no effect in BLOOM: ALiBi needs none", FutureWarning, stacklevel=4)
    if extra:
        raise InputError(f"forward got arguments it does not know: {', '.join(sorted(extra))}; remove them")


def _either(value: bool | None, default: bool) -> bool:
    return default if value is None else value


def _checked_mask(
    input_ids: Tensor | None,
    inputs_embeds: Tensor | None,
    attention_mask: Tensor | None,
    cache_position: Tensor | None,
    column: int,
    vocab_size: int,
) -> Tensor:
    """The mask of all columns, past and new (all ones if none was given), once the inputs fit each other."""
    inputs = input_ids if input_ids is not None else inputs_embeds
    if inputs is None or (input_ids is not None and inputs_embeds is not None):
        raise InputError("pass either input_ids or inputs_embeds: exactly one of the two")
    if input_ids is None:
        inputs = inputs[..., 0]
    if inputs.dim() != 2 or inputs.shape[1] == 0:
        raise InputError(
            f"inputs must have shape (batch, pos) with at least one position, but have {tuple(inputs.shape)}"
        )
    if input_ids is not None and (inputs.is_floating_point() or inputs.dtype == torch.bool):
        raise InputError(f"input_ids must be whole numbers, but are {inputs.dtype}")
    batch, n_key = inputs.shape[0], column + inputs.shape[1]
    # a look at the values: not while compiling, nor where there are none
    look = not torch.compiler.is_compiling() and inputs.is_cpu
    if look and input_ids is not None and inputs.numel():
        low, high = int(inputs.min()), int(inputs.max())
        if low < 0 or high >= vocab_size:
            raise InputError(f"token ids must be from 0 to {vocab_size - 1}, but go from {low} to {high}")
    if look and cache_position is not None and cache_position.tolist() != list(range(column, n_key)):
        raise InputError(f"cache_position must be {column} to {n_key - 1}, but is {cache_position.tolist()}")
    if attention_mask is None:
        return torch.ones(batch, n_key, dtype=torch.long, device=inputs.device)
    if tuple(attention_mask.shape) != (batch, n_key):
        raise InputError(
            f"attention_mask must have shape {(batch, n_key)}: every row, {column} past and {inputs.shape[1]} new "
            f"columns; but it has {tuple(attention_mask.shape)}"
        )
    return attention_mask.to(inputs.device)
