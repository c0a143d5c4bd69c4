"""One prediction: from the columns so far to the scores of the next token, checked to be numbers; and the choice."""

import math
from typing import Any

import torch
from torch import Tensor

from bloomlab.errors import GenerationError, InputError
from bloomlab.generation.sampling import draw, keep_top_k, keep_top_p, penalise_repetition, scale_temperature
from bloomlab.generation.settings import Settings
from bloomlab.hooks import Hooks, chain
from bloomlab.model.cache import KVCache
from bloomlab.weights.pretrained import BloomPreTrainedModel, without_gradients


def predict(
    model: BloomPreTrainedModel, ids: Tensor, mask: Tensor, past: KVCache | None, use_cache: bool, hooks: Hooks
) -> tuple[Tensor, KVCache | None]:
    """The logits (batch, vocab) of the next token and the new cache; only columns that are not in `past` are computed.

    Raises:
        GenerationError: the logits are not finite.
    """
    new = ids[:, past.length :] if past else ids
    inputs = {"input_ids": new, "past_key_values": past, "attention_mask": mask}
    output = without_gradients(model, **inputs, use_cache=use_cache, logits_to_keep=1, hooks=hooks)
    logits = output.logits[:, -1]
    if not logits.amax(-1).isfinite().all():  # -inf for some tokens is a choice; NaN, or -inf everywhere, is not
        raise _not_finite(model, inputs, hooks, ids)
    return logits, output.past_key_values


def adjust(scores: Tensor, ids: Tensor, mask: Tensor, n_new: int, stop_ids: Tensor, settings: Settings) -> Tensor:
    """The scores after the rules that hold for every way of choosing: repetition penalty and shortest length."""
    if settings.repetition_penalty != 1:
        tokens = torch.where(mask.bool(), ids, ids[:, -1:])  # padding does not count as repetition
        scores = penalise_repetition(scores, tokens, settings.repetition_penalty)
    return scores.index_fill(1, stop_ids, -math.inf) if n_new < settings.min_new_tokens else scores


def narrow(scores: Tensor, settings: Settings) -> Tensor:
    """The scores (batch, vocab) that a token is drawn from: by temperature, top-k and top-p, in this order."""
    scores = scale_temperature(scores.float(), settings.temperature)
    if settings.top_k is not None:
        scores = keep_top_k(scores, settings.top_k)
    if settings.top_p is not None:
        scores = keep_top_p(scores, settings.top_p)
    return scores


def choose(scores: Tensor, settings: Settings, generator: torch.Generator) -> Tensor:
    """The next token of each row: the one of the largest score, or a drawn one. (batch, vocab) -> (batch)."""
    return scores.argmax(-1) if settings.greedy else draw(narrow(scores, settings), generator)


def _not_finite(model: BloomPreTrainedModel, inputs: dict[str, Any], hooks: Hooks, ids: Tensor) -> GenerationError:
    """The error that says where the numbers stopped being finite: the pass is repeated, reading every spot."""
    spots = [name for name in model.hook_names() if "attn." not in name or name.endswith(("q", "k", "v", "out"))]
    look = Hooks(read=spots)
    without_gradients(model, **inputs, hooks=chain(Hooks(edit=hooks.edit), look))
    first = next((name for name in spots if not look[name].isfinite().all()), "logits")
    return GenerationError(
        f"the logits are not finite after {ids.shape[1]} columns: {first!r} is the first spot with an infinite or "
        "missing number; check the weights and the edits (the ids so far are in this error's .ids)",
        ids,
    )


def checked_prompt(input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
    """The mask of a prompt (all ones if none was given), checked to end in a token in every row."""
    if not isinstance(input_ids, Tensor) or input_ids.dim() != 2 or input_ids.shape[1] == 0:
        came = tuple(input_ids.shape) if isinstance(input_ids, Tensor) else type(input_ids).__name__
        raise InputError(f"input_ids must be a tensor (batch, pos) with at least one position, but got {came}")
    if attention_mask is None:
        return torch.ones_like(input_ids)
    if not isinstance(attention_mask, Tensor):
        raise InputError(f"attention_mask must be a tensor, but got {type(attention_mask).__name__}")
    if attention_mask.shape != input_ids.shape:
        raise InputError(
            f"attention_mask has shape {tuple(attention_mask.shape)} but input_ids {tuple(input_ids.shape)}; "
            "pass the tokenizer's own"
        )
    if not attention_mask[:, -1].all():
        row = int(attention_mask[:, -1].bool().logical_not().nonzero()[0])
        raise InputError(
            f"row {row} ends in padding, but a continuation starts at the right edge; "
            "pad on the left (tokenizer.padding_side = 'left') and leave no row empty"
        )
    return attention_mask
