"""ALiBi: attention with linear biases, how BLOOM knows where a token stands.

Every head adds a straight line to its scores, so that a key far back starts at a disadvantage:

    biased[query, key] = scores[query, key] - slope · (query - key)

A steep head looks at its neighbours, a flat one far back. Softmax does not notice a constant added to a whole
row, so BLOOM adds slope · key instead: one row of biases serves every query.

Source: Press, Smith and Lewis, "Train Short, Test Long", 2022, section 3 and its footnote on head counts.
"""

import math

from torch import Tensor


def slopes(n_head: int) -> list[float]:
    """One slope for each head, from steep to flat: a geometric sequence that ends at 2^-8.

    With n heads, n a power of two, the first slope and the ratio are both 2^(-8/n). For any other n: the slopes of
    the largest power of two p below n, then every other slope of 2p heads, the steepest first.

    >>> slopes(4)
    [0.25, 0.0625, 0.015625, 0.00390625]
    >>> slopes(6)
    [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125]
    """
    power = 2 ** math.floor(math.log2(n_head))
    base = 2 ** (-(2 ** (3 - math.log2(power))))
    between = 2 ** (-(2 ** (3 - math.log2(2 * power))))
    return [base**i for i in range(1, power + 1)] + [between**i for i in range(1, 2 * (n_head - power), 2)]


def key_positions(attention_mask: Tensor) -> Tensor:
    """Each column's position among the tokens of its row; padding is not counted and gets 0.

    (batch, key) -> (batch, key)

    >>> import torch
    >>> key_positions(torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]))
    tensor([[0, 0, 0, 1, 2],
            [0, 1, 2, 3, 4]])
    """
    mask = attention_mask.long()
    return (mask.cumsum(-1) - 1) * mask


def alibi_bias(head_slopes: Tensor, positions: Tensor) -> Tensor:
    """What ALiBi adds to the scores: slope · position of the key, the same for every query.

    Slopes (head), positions (batch, key) -> (batch, head, 1, key), in the slopes' dtype. A model casts the float32
    result to its own dtype: bfloat16 holds whole numbers only up to 256, so neighbours far from the start
    become equal. The trained models learned with that, so it stays.

    >>> import torch
    >>> alibi_bias(torch.tensor([0.5, 0.25]), torch.tensor([[0, 1, 2]]))
    tensor([[[[0.0000, 0.5000, 1.0000]],
    <BLANKLINE>
             [[0.0000, 0.2500, 0.5000]]]])
    """
    return head_slopes[None, :, None, None] * positions[:, None, None, :]
