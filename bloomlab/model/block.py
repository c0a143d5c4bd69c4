"""One block: attention, then the MLP, each added to the residual stream.

    resid_mid  = resid_pre + attention(layer_norm(resid_pre))
    resid_post = resid_mid + mlp(layer_norm(resid_mid))

Attention moves information between positions; the MLP works on each position alone; the stream carries the sum.
With `apply_residual_connection_post_layernorm` the stream itself is replaced by its layer norm before each addition.
"""

from torch import Tensor, nn

from bloomlab.config import BloomConfig
from bloomlab.hooks import NO_HOOKS, Hooks
from bloomlab.model.attention import Bias, BloomAttention, KeyValue
from bloomlab.model.mlp import BloomMLP


class BloomBlock(nn.Module):
    """Two residual additions. x (batch, pos, hidden) -> (batch, pos, hidden), and the layer's keys and values."""

    def __init__(self, config: BloomConfig) -> None:
        super().__init__()
        self.input_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_epsilon)
        self.self_attention = BloomAttention(config)
        self.post_attention_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_epsilon)
        self.mlp = BloomMLP(config)
        self.residual_is_normed = config.apply_residual_connection_post_layernorm

    def forward(
        self, x: Tensor, bias: Bias, past: KeyValue | None = None, hooks: Hooks = NO_HOOKS
    ) -> tuple[Tensor, KeyValue]:
        x = hooks("resid_pre", x, "batch pos hidden")
        normed = self.input_layernorm(x)
        attn_out, key_value = self.self_attention(normed, bias, past, hooks.at("attn"))
        x = hooks("resid_mid", (normed if self.residual_is_normed else x) + attn_out, "batch pos hidden")

        normed = self.post_attention_layernorm(x)
        mlp_out = self.mlp(normed, hooks.at("mlp"))
        x = hooks("resid_post", (normed if self.residual_is_normed else x) + mlp_out, "batch pos hidden")
        return x, key_value
