"""BLOOM without a head: embedding, blocks, final layer norm.

x = embed(ids)
x = block(x)                   n_layer times
final = layer_norm(x)          (batch, pos, hidden)
"""

from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bloomlab.config import BloomConfig
from bloomlab.hooks import Hooks, chain
from bloomlab.model.arguments import begin, caches, check_config, full_mask, past_pairs, refuse_unknown, switches
from bloomlab.model.attention import make_bias
from bloomlab.model.block import BloomBlock
from bloomlab.model.cache import KVCache
from bloomlab.model.embedding import embed
from bloomlab.model.positions import own_hooks, own_table
from bloomlab.outputs import BaseModelOutputWithPastAndCrossAttentions
from bloomlab.weights.pretrained import BloomPreTrainedModel


class BloomModel(BloomPreTrainedModel):
    """The base model: ids in, the final state of the residual stream out.

    >>> import torch
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
        self.position_embeddings = own_table(config)  # None: BLOOM learns no positions
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
        """One pass over the new columns.

        Args:
            input_ids: (batch, pos) token ids; or, in their place,
            inputs_embeds: (batch, pos, hidden) vectors that take the table's place, before the layer norm.
            past_key_values: the cache that an earlier pass returned; it does not change.
            attention_mask: (batch, key) 1 for a token, 0 for padding, past and new columns together.
            head_mask: (head,) or (layer, head): what each head's probabilities are multiplied by; 1 keeps.
            use_cache: whether to return a cache for the next pass.
            output_attentions, output_hidden_states: return all of them; `hooks` reads single ones.
            return_dict: False returns a plain tuple.
            cache_position: (pos,) the new columns' places; the model knows them anyway, so this is only checked.
            hooks: what to read and what to change in this call.

        Raises:
            InputError: the inputs do not fit each other or the model.
            HookError: a spot does not exist, or an edit does not give back what it should.
        """
        config = self.config
        refuse_unknown(deprecated)
        check_config(config, self.h)
        past = past_pairs(past_key_values, config)
        column = past[0][0].shape[2] if past else 0
        mask = full_mask(input_ids, inputs_embeds, attention_mask, cache_position, past, config)
        recompute = self.gradient_checkpointing and self.training
        use_cache = caches(config.use_cache if use_cache is None else use_cache, recompute)

        # the documented switches are edits and readings like any other
        masked, asked = switches(head_mask, output_attentions, output_hidden_states, config)
        positions = own_hooks(config, mask, self.position_embeddings)  # none, with ALiBi
        hooks = chain(positions, masked, self.checked(hooks), asked)
        hooks.start(column)

        if hooks.known:  # another run has come as far as this
            first, x = begin(hooks.known, mask, past, use_cache, config)
        else:
            first, x = 0, embed(input_ids, inputs_embeds, self.word_embeddings, self.word_embeddings_layernorm, hooks)
        bias = make_bias(mask, x.shape[1], config.n_head, x.dtype)
        pairs = []
        for i, block in list(enumerate(self.h))[first:]:
            inputs = (x, bias, past[i] if past else None, hooks.at(f"h.{i}"))
            x, key_value = checkpoint(block, *inputs, use_reentrant=False) if recompute else block(*inputs)
            pairs.append(key_value)
        x = hooks("final", self.ln_f(x), "batch pos hidden")

        output = BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=x,
            past_key_values=KVCache(pairs) if use_cache else None,
            hidden_states=asked.ending("resid_pre", "final"),
            attentions=asked.ending("probs"),
        )
        return output.returned(return_dict, config)
