"""Writing with the model: predict, choose one token, append it, again; all of it in one compiled loop.

The loop is compiled once for each shape (rows, prompt, new tokens) and each kind of choice. Temperature, top_p,
repetition penalty and seed are its inputs, so changing them compiles nothing. A compiled loop cannot show a step on
its way or be stopped halfway: for that there is `stream` in torch. Inside somebody else's `jax.jit`
or `jax.vmap` nobody knows how long the rows become, so there they come out at full width, filled with padding.
"""

import secrets
from dataclasses import fields
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import linen as nn
from jax import Array, lax

from bloomlab.config import BloomConfig
from bloomlab.errors import GenerationError
from bloomlab.generation.prompt import checked_mask
from bloomlab.generation.settings import Settings
from bloomlab.guards.memory import check_memory, within_memory
from bloomlab.hooks import Hooks
from bloomlab.jax.arguments import checked_inputs, checked_key
from bloomlab.jax.cache import KVCache, init_cache
from bloomlab.jax.checkpoint import checked_params
from bloomlab.jax.outputs import FlaxGenerateOutput
from bloomlab.jax.sampling import draw, keep_top_k, keep_top_p, penalise_repetition, scale_temperature

COMPILED = (
    "max_new_tokens min_new_tokens do_sample temperature top_k top_p repetition_penalty num_return_sequences "
    "eos_token_id pad_token_id seed progress"
).split()
"""The settings that the compiled loop knows; a value of any other is refused by name."""


class Plan(NamedTuple):
    """What the loop is compiled for."""

    max_new_tokens: int
    min_new_tokens: int
    sample: bool
    top_k: int | None
    narrow: bool  # whether there is a top_p
    penalise: bool
    stop_ids: tuple[int, ...]
    pad_id: int


class State(NamedTuple):
    """What one step of the loop hands to the next."""

    n_new: Array
    ids: Array  # (batch, prompt + max_new_tokens)
    ended: Array  # (batch,)
    cache: KVCache
    finite: Array  # whether all logits so far were finite
    key: Array


def generate(
    model: Any, input_ids: Any, attention_mask: Any = None, params: Any = None, prng_key: Any = None, **settings: Any
) -> FlaxGenerateOutput:
    """Continue each row to its end, (batch, pos) ids -> `.sequences` (batch · returns, longer). See `Settings`.

    Args:
        input_ids: (batch, pos), padded on the left if the rows differ in length.
        attention_mask: (batch, pos) 1 for a token, 0 for padding.
        params: the weights, in place of the model's own.
        prng_key: the source of random numbers, in place of a seed.

    Raises:
        GenerationError: a setting makes no sense; or the logits are not finite: `.ids` is what was written so far
            (inside `jax.jit`, where no value is known, the row ends there instead, and padding follows).
        InputError: the ids or the mask do not fit.
        MemoryLimitError: so many new tokens need more memory than there is.
    """
    config = model.config
    ids, mask, _ = checked_inputs(input_ids, attention_mask, None, config)
    chosen = Settings.of(settings, ids.shape[1])
    chosen.check(config)
    if chosen.num_beams > 1:
        raise GenerationError("beams are searched by the torch classes; pass num_beams=1, or use BloomForCausalLM")
    if chosen.stop_texts:
        raise GenerationError("the compiled loop sees ids, not texts; leave stop_strings out, or use BloomForCausalLM")
    if not chosen.use_cache:
        raise GenerationError("the compiled loop always keeps a cache; leave use_cache=True")
    usual = Settings()
    for name in (field.name for field in fields(usual)):
        if name not in COMPILED and getattr(chosen, name) != getattr(usual, name):
            raise GenerationError(f"the compiled loop has no {name}; leave it out, or use BloomForCausalLM")
    if prng_key is not None and chosen.seed is not None:
        raise GenerationError("pass a seed or a prng_key, not both")
    if prng_key is not None:
        checked_key("prng_key", prng_key)
    if not _has_no_values(ids, mask):
        checked_mask(torch.tensor(np.asarray(mask)), ids.shape, "input_ids", torch.device("cpu"))
    if _has_no_values(ids) and not chosen.greedy and chosen.seed is None and prng_key is None:
        raise GenerationError(
            "inside jax.jit or jax.vmap a seed drawn at random would stay the same for ever; pass prng_key=…"
        )
    copies, n_new = chosen.num_return_sequences, chosen.max_new_tokens
    ids, mask = ids.repeat(copies, 0), mask.repeat(copies, 0)
    if n_new == 0:
        return FlaxGenerateOutput(sequences=ids)
    numbers = 2 * config.n_layer * ids.shape[0] * (ids.shape[1] + n_new) * config.hidden_size
    check_memory(numbers * jnp.dtype(model.dtype).itemsize, f"a cache of {n_new} new tokens", "lower max_new_tokens")

    key = jax.random.PRNGKey(secrets.randbits(31) if chosen.seed is None else chosen.seed % 2**32)
    dials = (chosen.temperature or 1.0, chosen.top_p or 1.0, chosen.repetition_penalty)
    params = model.params if params is None else checked_params(params, model.params_shape_tree)
    key = key if prng_key is None else prng_key
    run = partial(_written, model, params, ids, mask, key, dials, _plan(chosen, config))
    end = within_memory(run, f"writing {n_new} tokens", "give it a shorter text, or end other programs")
    if _has_no_values(end.n_new):
        return FlaxGenerateOutput(sequences=end.ids)
    written = end.ids[:, : ids.shape[1] + int(end.n_new)]
    if not end.finite:
        raise _not_finite(model, params, written[:, :-1], mask)
    return FlaxGenerateOutput(sequences=written)


def _written(model: Any, params: Any, ids: Array, mask: Array, key: Any, dials: Any, plan: Plan) -> State:
    """The end of the compiled loop, waited for: JAX returns before it computes, and memory may end then."""
    end: State = model._write(params, ids, mask, key, dials, plan=plan)
    return end if _has_no_values(end.n_new) else jax.block_until_ready(end)


def _has_no_values(*arrays: Array) -> bool:
    """Whether JAX is tracing the function around these arrays: they have a shape but no values yet."""
    return any(isinstance(array, jax.core.Tracer) for array in arrays)


def _plan(chosen: Settings, config: BloomConfig) -> Plan:
    return Plan(
        max_new_tokens=chosen.max_new_tokens,
        min_new_tokens=chosen.min_new_tokens,
        sample=not chosen.greedy,
        top_k=None if chosen.greedy else chosen.top_k or None,
        narrow=not chosen.greedy and chosen.top_p is not None,
        penalise=chosen.repetition_penalty != 1,
        stop_ids=tuple(chosen.stop_ids(config)),
        pad_id=chosen.pad_id(config),
    )


def write(
    module: nn.Module,
    config: BloomConfig,
    dtype: Any,
    params: Any,
    prompt: Array,
    prompt_mask: Array,
    key: Array,
    dials: tuple[Any, Any, Any],
    plan: Plan,
) -> State:
    """The whole generation as one function of arrays."""
    batch, n_prompt = prompt.shape
    width = n_prompt + plan.max_new_tokens
    ids = jnp.full((batch, width), plan.pad_id, prompt.dtype).at[:, :n_prompt].set(prompt)
    mask = jnp.ones((batch, width), prompt_mask.dtype).at[:, :n_prompt].set(prompt_mask)
    stop_ids = jnp.array(plan.stop_ids, prompt.dtype)

    def step(state: State, new: Array) -> State:
        """Read the new columns, choose a token, append it."""
        output: Any = module.apply({"params": params}, new, mask, state.cache, logits_to_keep=1)
        logits = output.logits[:, -1]
        end = n_prompt + state.n_new  # the column to fill
        key, own = jax.random.split(state.key)
        scores = _adjusted(logits, state, mask, end)
        token_ids = draw(_narrowed(scores, dials, plan), own) if plan.sample else scores.argmax(-1)
        token_ids = jnp.where(state.ended, plan.pad_id, token_ids).astype(ids.dtype)
        return State(
            n_new=state.n_new + 1,
            ids=lax.dynamic_update_slice(state.ids, token_ids[:, None], (0, end)),
            ended=state.ended | jnp.isin(token_ids, stop_ids),
            cache=output.past_key_values,
            finite=jnp.isfinite(logits.max(-1)).all(),
            key=key,
        )

    def _adjusted(logits: Array, state: State, mask: Array, end: Array) -> Array:
        """The rules that hold for every way of choosing: repetition penalty and shortest length."""
        if plan.penalise:
            written = mask.astype(bool) & (
                jnp.arange(width) < end
            )  # padding and unused room do not count as repetition
            last = lax.dynamic_slice_in_dim(state.ids, end - 1, 1, 1)
            logits = penalise_repetition(logits, jnp.where(written, state.ids, last), dials[2])
        if plan.min_new_tokens and plan.stop_ids:
            early = logits.at[:, stop_ids].set(-jnp.inf)
            logits = jnp.where(state.n_new < plan.min_new_tokens, early, logits)
        return logits

    def goes_on(state: State) -> Array:
        return (state.n_new < plan.max_new_tokens) & ~state.ended.all() & state.finite

    def next_step(state: State) -> State:
        return step(state, lax.dynamic_slice_in_dim(state.ids, n_prompt + state.n_new - 1, 1, 1))

    cache = init_cache(config, batch, width, dtype)
    start = State(jnp.zeros((), jnp.int32), ids, jnp.zeros(batch, bool), cache, jnp.array(True), key)
    return lax.while_loop(goes_on, next_step, step(start, prompt))


def _narrowed(logits: Array, dials: tuple[Any, Any, Any], plan: Plan) -> Array:
    """The logits to draw from."""
    temperature, top_p, _ = dials
    logits = scale_temperature(logits.astype(jnp.float32), temperature)
    if plan.top_k is not None:
        logits = keep_top_k(logits, plan.top_k)
    return keep_top_p(logits, top_p) if plan.narrow else logits


def _not_finite(model: Any, params: Any, ids: Array, prompt_mask: Array) -> GenerationError:
    """The error that says where the numbers stopped being finite: one pass over everything, reading every spot."""
    spots = [name for name in model.hook_names() if "attn." not in name or name.endswith(("q", "k", "v", "out"))]
    look = Hooks(read=spots)
    mask = jnp.pad(prompt_mask, ((0, 0), (0, ids.shape[1] - prompt_mask.shape[1])), constant_values=1)
    model(ids, mask, params=params, hooks=look)
    first = next((name for name in spots if not jnp.isfinite(look[name]).all()), "logits")  # type: ignore[arg-type]
    return GenerationError(
        f"the logits are not finite after {ids.shape[1]} columns: {first!r} is the first spot with an infinite or "
        "missing number; check the weights and the edits (the ids so far are in this error's .ids)",
        ids,
    )
