"""One prediction: from the columns so far to the scores of the next token, checked to be numbers; and the choice."""

import math
from typing import Any

import torch
from torch import Tensor

from bloomlab.errors import GenerationError
from bloomlab.generation import rules, sampling
from bloomlab.generation.settings import Settings
from bloomlab.generation.values import as_biases, flat
from bloomlab.hooks import Hooks, chain
from bloomlab.model.cache import KVCache
from bloomlab.weights.pretrained import BloomPreTrainedModel, without_gradients


def predict(
    model: BloomPreTrainedModel,
    ids: Tensor,
    mask: Tensor,
    past: KVCache | None,
    use_cache: bool,
    hooks: Hooks,
    embeds: Tensor | None = None,
    finite: bool = True,
) -> tuple[Tensor, KVCache | None]:
    """The logits (batch, vocab) of the next token and the new cache; only columns that are not in `past` are computed.

    The mask (batch, key) counts all columns, the ids may be the last of them only. `embeds` are the vectors of the
    columns that are not in `past`, in place of ids; `finite` says whether the logits must be numbers.

    Raises:
        GenerationError: the logits are not finite.
    """
    unread = mask.shape[1] - (past.length if past else 0)
    inputs: dict[str, Any] = {"past_key_values": past, "attention_mask": mask}
    inputs |= {"input_ids": ids[:, -unread:]} if embeds is None else {"inputs_embeds": embeds}
    output = without_gradients(model, **inputs, use_cache=use_cache, logits_to_keep=1, hooks=hooks)
    logits = output.logits[:, -1]
    # -inf for some tokens is a choice; NaN, or -inf everywhere, is not
    if finite and not logits.amax(-1).isfinite().all():
        raise _not_finite(model, inputs, hooks, ids)
    return logits, output.past_key_values


def adjust(scores: Tensor, ids: Tensor, mask: Tensor, n_new: int, stop_ids: Tensor, settings: Settings) -> Tensor:
    """The scores (batch, vocab) after the rules that hold for every way of choosing, in float32.

    `ids` (batch, pos) are the last columns of `mask`, and `n_new` of them are new.
    """
    scores = scores.float()
    tokens = torch.where(mask[:, mask.shape[1] - ids.shape[1] :].bool(), ids, rules.NO_TOKEN)
    if settings.sequence_bias is not None:
        scores = rules.bias_sequences(scores, tokens, as_biases(settings.sequence_bias))
    if settings.repetition_penalty != 1:
        scores = rules.penalise_repetition(scores, tokens, settings.repetition_penalty)
    if settings.no_repeat_ngram_size:
        scores = rules.forbid_repeated_ngrams(scores, tokens, settings.no_repeat_ngram_size)
    if settings.bad_words_ids is not None:
        ends = [(token_id,) for token_id in stop_ids.tolist()]  # to forbid an end is not meant
        words = {tuple(word): -math.inf for word in settings.bad_words_ids if tuple(word) not in ends}
        scores = rules.bias_sequences(scores, tokens, words)
    if n_new < settings.min_new_tokens:
        scores = rules.forbid(scores, stop_ids)
    if settings.forced_eos_token_id is not None and n_new == settings.max_new_tokens - 1:
        scores = rules.force(scores, flat(settings.forced_eos_token_id))
    if settings.remove_invalid_values:
        scores = rules.remove_invalid(scores)
    if settings.exponential_decay_length_penalty is not None:
        start, factor = settings.exponential_decay_length_penalty
        scores = rules.raise_ends(scores, stop_ids, factor, n_new - start)
    if settings.suppress_tokens is not None:
        scores = rules.forbid(scores, settings.suppress_tokens)
    if settings.begin_suppress_tokens is not None and n_new == 0:
        scores = rules.forbid(scores, settings.begin_suppress_tokens)
    return rules.process(scores, ids, settings.logits_processor or ())


def narrow(scores: Tensor, settings: Settings, at_least: int = 1) -> Tensor:
    """The scores (batch, vocab) that a token is drawn from; greedy choice leaves them as they are.

    `at_least` tokens stay, whatever the settings say.
    """
    scores = scores.float()
    if not settings.greedy:
        scores = sampling.scale_temperature(scores, settings.temperature)
        if settings.top_k:
            scores = sampling.keep_top_k(scores, settings.top_k, at_least)
        if settings.top_p is not None and settings.top_p < 1:
            scores = sampling.keep_top_p(scores, settings.top_p, at_least)
        if settings.min_p is not None:
            scores = sampling.keep_min_p(scores, settings.min_p, at_least)
        if settings.typical_p is not None and settings.typical_p < 1:
            scores = sampling.keep_typical(scores, settings.typical_p, at_least)
        if settings.epsilon_cutoff:
            scores = sampling.keep_above_epsilon(scores, settings.epsilon_cutoff, at_least)
        if settings.eta_cutoff:
            scores = sampling.keep_above_eta(scores, settings.eta_cutoff, at_least)
    return scores.log_softmax(-1) if settings.renormalize_logits else scores


def choose(scores: Tensor, settings: Settings, generator: torch.Generator) -> Tensor:
    """The next token of each row: the one of the largest narrowed score, or a drawn one. (batch, vocab) -> (batch).

    Raises:
        GenerationError: the rules leave a row no token.
    """
    if not scores.amax(-1).isfinite().all():
        raise nothing_left()
    return scores.argmax(-1) if settings.greedy else sampling.draw(scores, generator)


def nothing_left() -> GenerationError:
    """The error about a step at which no token is left to choose."""
    return GenerationError(
        "the settings leave no token to choose: after them every score is -inf, or one is no number; forbid less, and "
        "check the functions of logits_processor"
    )


def _not_finite(model: BloomPreTrainedModel, inputs: dict[str, Any], hooks: Hooks, ids: Tensor) -> GenerationError:
    """The error that says where the numbers stopped being finite: the pass is repeated, reading every spot."""
    spots = [name for name in model.hook_names() if "attn." not in name or name.endswith(("q", "k", "v", "out"))]
    look = Hooks(read=spots)
    without_gradients(model, **inputs, hooks=chain(Hooks(edit=hooks.edit), look))
    first = next((name for name in spots if not look[name].isfinite().all()), "logits")
    n_column = inputs["attention_mask"].shape[1]
    return GenerationError(
        f"the logits are not finite after {n_column} columns: {first!r} is the first spot with an infinite or "
        "missing number; check the weights and the edits (the ids so far are in this error's .ids)",
        ids,
    )
