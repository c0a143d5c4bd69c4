"""The gradient of a difference of two logits at any spot: what a small change there does, to first order."""

from collections.abc import Sequence

import torch
from torch import Tensor

from bloomlab.errors import InputError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import Hooks, Known
from bloomlab.weights.pretrained import with_gradients


def gradients(
    model: BloomForCausalLM, ids: Tensor, states: Tensor, pair: tuple[int, int], spots: Sequence[str]
) -> tuple[Tensor, dict[str, Tensor]]:
    """The difference of two tokens' logits after the text (row), and its gradient at each spot, of several runs.

    Each run of the ids (1, pos) begins with its own states (row, pos, hidden) in the place of the embedding. Gradients
    are on inside whatever the caller has switched off; no parameter's `.grad` or `requires_grad` changes.

    >>> import bloomlab
    >>> lab = bloomlab.load()
    >>> trace = lab.trace("Leo lives in", ["embed", "final"])
    >>> value, found = gradients(lab.model, trace.ids, trace["embed"], (300, 301), ["final"])
    >>> rows = lab.model.lm_head.weight
    >>> torch.equal(found["final"][0, -1], (rows[300] - rows[301]).detach())
    True

    Raises:
        InputError: the model was made under torch.inference_mode(), so no gradient goes through it.
    """
    found: tuple[Tensor, dict[str, Tensor]] = model.beside_weights(_gradients, ids, states, pair, spots)
    return found


def _gradients(
    model: BloomForCausalLM, ids: Tensor, states: Tensor, pair: tuple[int, int], spots: Sequence[str]
) -> tuple[Tensor, dict[str, Tensor]]:
    if any(parameter.is_inference() for parameter in model.parameters()):
        raise InputError(
            "this model was made inside torch.inference_mode(), so no gradient can pass through it; load it outside"
        )

    def run() -> tuple[Tensor, dict[str, Tensor]]:
        start = states.detach().clone().requires_grad_()
        hooks = Hooks(spots, detach=False, known=Known(0, start))
        rows = ids.clone().expand(len(start), -1)
        logits = model(input_ids=rows, use_cache=False, hooks=hooks, logits_to_keep=1).logits[:, -1].float()
        value = logits[:, pair[0]] - logits[:, pair[1]]
        found = torch.autograd.grad(value.sum(), [hooks[spot] for spot in spots])
        return value.detach().cpu(), dict(zip(spots, found, strict=True))

    result: tuple[Tensor, dict[str, Tensor]] = with_gradients(run)
    return result
