"""What lesson 13 says: what single heads wish for is noise; what they wish for together lowers the loss."""

from functools import cache

import torch

from bloomlab import Lab
from bloomlab.hooks import Edit
from bloomlab.tiny.measure import validation_rows
from tests.claims.claim import claim

LESSON = "notebooks/13_the_same_model_in_jax.ipynb"


def scaled(factors: torch.Tensor) -> dict[str, Edit]:
    """Each head's line multiplied by a factor of its own (layer, head)."""

    def edit(row: torch.Tensor) -> Edit:
        return lambda alibi, at: alibi * row[:, None, None]

    return {f"h.{layer}.attn.alibi": edit(row) for layer, row in enumerate(factors)}


@cache
def wishes(lab: Lab) -> torch.Tensor:
    """The gradient of each text's loss with respect to the factors: (text, layer, head)."""
    from bloomlab import Hooks

    gradients = []
    for ids in validation_rows(lab.tokenizer, length=64, rows=48):
        factors = torch.ones(lab.model.config.n_layer, lab.model.config.n_head, requires_grad=True)
        loss = lab.model(ids[None], labels=ids[None], hooks=Hooks(edit=scaled(factors))).loss
        gradients.append(torch.autograd.grad(loss, factors)[0])
    return torch.stack(gradients)


def loss_after(lab: Lab, step: float) -> float:
    """The mean loss after a step of at most so much against the mean gradient."""
    from bloomlab import Hooks

    wish = wishes(lab).mean(0)
    factors = 1 - step * wish / wish.abs().max()
    ids = validation_rows(lab.tokenizer, length=64, rows=48)
    with torch.no_grad():
        return float(lab.model(ids, labels=ids, hooks=Hooks(edit=scaled(factors))).loss)


@claim(
    "So the picture is mostly noise: look at it, and do not tell stories about single heads.",
    said_in=LESSON,
    value="share of the 32 heads whose mean gradient is more than 2 standard errors from 0",
    control="share of the 32 heads that matter when they are silenced: more than 2 standard errors",
    holds=lambda value, control: value[0] < 0.2 and control[0] > 0.5,
)
def single_wishes_are_noise(lab: Lab) -> tuple[float, float]:
    from bloomlab import Hooks, zero

    each = wishes(lab)
    sure = each.mean(0).abs() / (each.std(0) / len(each) ** 0.5)
    ids = validation_rows(lab.tokenizer, length=64, rows=48)

    def losses(edit: dict[str, Edit]) -> torch.Tensor:
        with torch.no_grad():
            logits = lab.model(ids, hooks=Hooks(edit=edit)).logits
        return torch.nn.functional.cross_entropy(logits[:, :-1].mT, ids[:, 1:], reduction="none").mean(1)

    whole, counts = losses({}), []
    for layer in range(lab.model.config.n_layer):
        for head in range(lab.model.config.n_head):
            change = losses({f"h.{layer}.attn.mixed": zero(head=head)}) - whole
            counts.append(float(change.mean() > 2 * change.std() / len(change) ** 0.5))
    return float((sure > 2).float().mean()), sum(counts) / len(counts)


@claim(
    "It falls, and by little. It must fall for a small enough step: that is what a gradient says.",
    said_in=LESSON,
    value="thousandths of a nat that the loss falls after the step",
    control="after the opposite step",
    holds=lambda value, control: 0 < value[0] < 50 and control[0] < 0,
    untrained="what a gradient says holds in any model",
)
def all_wishes_together_lower_the_loss(lab: Lab) -> tuple[float, float]:
    before = loss_after(lab, 0)
    return 1000 * (before - loss_after(lab, 0.05)), 1000 * (before - loss_after(lab, -0.05))
