"""What can be read off a state? A linear probe is fitted to some texts, and tried on others.

    W = (XᵀX + r·1)⁻¹ Xᵀ(Y - mean Y)         ridge regression from standardised states X to labels Y, one-hot

A probe that reads something shows that it is there to be read. It does not show that the model uses it, and a model
that never learned anything leaves such traces, too: every attention does. What is used, a patch shows (`patching`);
what would be said, the logit lens.

Source: Alain and Bengio, "Understanding intermediate layers using linear classifier probes", 2016.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from bloomlab.errors import InputError

RIDGE = 3.0


def probe(states: Tensor, labels: Sequence[str], tried: Sequence[bool], ridge: float = RIDGE) -> Tensor:
    """How often a linear probe reads the label of a text that it was not fitted to, at each place: (…, pos), 0 to 1.

    Args:
        states: (…, text, pos, hidden), as `trace.stack("resid_post")` gives them.
        labels: what is to be read, one for each text.
        tried: for each text, whether the probe is tried on it; it is fitted to the others. Keep apart what should not
            help: the same person's stories, for instance.
        ridge: how strongly weights are held back.

    Raises:
        InputError: not one label, and one yes or no, for each text; or nothing to fit to, or to try on.

    >>> states = torch.tensor([1.0, -1.0, 2.0, -3.0])[:, None, None]           # 4 texts, a token, a number
    >>> probe(states, ["up", "down", "up", "down"], [False, False, True, True])
    tensor([1.])
    """
    texts = states.shape[-3] if states.ndim >= 3 else 0
    if not len(labels) == len(tried) == texts:
        raise InputError(
            f"expected states (…, text, pos, hidden) with a label and a yes or no for each text, but got "
            f"{tuple(states.shape)}, {len(labels)} labels, {len(tried)} yes or no"
        )
    held = torch.tensor([bool(one) for one in tried])
    if held.all() or not held.any():
        raise InputError(
            f"a probe is fitted to some texts and tried on others, but {int(held.sum())} of {texts} are tried"
        )
    names = sorted(set(labels))
    truth = torch.tensor([names.index(label) for label in labels])
    goal = torch.nn.functional.one_hot(truth[~held], len(names)).float()
    states = states.detach().float().cpu().transpose(-3, -2)  # (…, pos, text, hidden)
    fitted, fresh = states[..., ~held, :], states[..., held, :]

    middle, scale = fitted.mean(-2, keepdim=True), fitted.std(-2, keepdim=True) + 1e-6
    fitted, fresh = (fitted - middle) / scale, (fresh - middle) / scale
    identity = torch.eye(states.shape[-1])
    weight: Tensor = torch.linalg.solve(fitted.mT @ fitted + ridge * identity, fitted.mT @ (goal - goal.mean(0)))

    read = (fresh @ weight + goal.mean(0)).argmax(-1)
    return (read == truth[held]).float().mean(-1)
