"""The MLP: works on each position by itself.

    pre  = x · up + bias          four times as wide: one number a neuron
    post = gelu(pre)              close to 0 for pre < 0, close to pre for pre > 0
    out  = post · down + bias     what is added to the residual stream

    gelu(x) = x/2 · (1 + tanh(sqrt(2/π) · (x + 0.044715 x³)))

Source of the formula: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016, section 2.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from bloomlab.config import BloomConfig
from bloomlab.hooks import NO_HOOKS, Hooks
from bloomlab.model.attention import sliced_linear


class BloomMLP(nn.Module):
    """Up, GELU, down. x (batch, pos, hidden) -> what to add to it (batch, pos, hidden)."""

    def __init__(self, config: BloomConfig) -> None:
        super().__init__()
        self.slices = config.pretraining_tp if config.slow_but_exact else 1
        self.dense_h_to_4h = nn.Linear(config.hidden_size, 4 * config.hidden_size)
        self.dense_4h_to_h = nn.Linear(4 * config.hidden_size, config.hidden_size)
        self.hidden_dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, x: Tensor, hooks: Hooks = NO_HOOKS) -> Tensor:
        pre = hooks("pre", self.dense_h_to_4h(x), "batch pos neuron")
        post = hooks("post", F.gelu(pre, approximate="tanh"), "batch pos neuron")
        down = self.dense_4h_to_h
        out = down(post) if self.slices == 1 else sliced_linear(post, down, self.slices)
        return hooks("out", self.hidden_dropout(out), "batch pos hidden")
