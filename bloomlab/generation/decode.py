"""Writing with the model: predict, choose one token, append it, again.

`stream` yields a step at a time, so that a notebook can show each choice; `generate` runs it to the end. Both are
functions that take a model and leave nothing behind in it: the cache and the random numbers belong to the call.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from bloomlab.config import BloomConfig
from bloomlab.errors import GenerationError, InputError, did_you_mean
from bloomlab.generation.sampling import draw, keep_top_k, keep_top_p, penalise_repetition, scale_temperature
from bloomlab.hooks import Hooks, chain
from bloomlab.model.cache import KVCache
from bloomlab.pretrained import BloomPreTrainedModel


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to continue a text.

    max_new_tokens       at most so many tokens are added to each row
    min_new_tokens       no row ends before it has so many
    do_sample            draw by probability; otherwise take the likeliest (greedy)
    temperature          divides the logits when sampling; 0 is greedy
    top_k, top_p         draw among the k likeliest, among the likeliest that together reach p; None: among all
    repetition_penalty   above 1: tokens already in the row become less likely
    num_return_sequences continuations of each row, for sampling
    eos_token_id         the id, or ids, that end a row; "config" is the model's own, None never stops
    pad_token_id         what follows the end of a row; None is the config's, or else the end token itself
    use_cache            keep keys and values, so that a step computes one column only
    seed                 of the random numbers; None draws other ones each time

    Raises:
        GenerationError: a value makes no sense.
    """

    max_new_tokens: int = 20
    min_new_tokens: int = 0
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float = 1.0
    num_return_sequences: int = 1
    eos_token_id: int | list[int] | Literal["config"] | None = "config"
    pad_token_id: int | None = None
    use_cache: bool = True
    seed: int | None = None

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Settings":
        """The settings in a dictionary; a name that is none of them is an error."""
        names = [field.name for field in fields(cls)]
        for name in values:
            if name not in names:
                raise GenerationError(f"there is no generation setting {name!r}{did_you_mean(name, names)}")
        return cls(**values)

    def __post_init__(self) -> None:
        _whole("max_new_tokens", self.max_new_tokens, 0)
        _whole("min_new_tokens", self.min_new_tokens, 0)
        _whole("num_return_sequences", self.num_return_sequences, 1)
        _number("temperature", self.temperature, "at least 0 (0 is greedy)", lambda t: t >= 0)
        _number("repetition_penalty", self.repetition_penalty, "above 0 (1 changes nothing)", lambda r: r > 0)
        if self.top_k is not None:
            _whole("top_k", self.top_k, 1)
        if self.top_p is not None:
            _number("top_p", self.top_p, "above 0 and at most 1", lambda p: 0 < p <= 1)
        if self.seed is not None:
            _whole("seed", self.seed, 0, 2**63 - 1)
        if self.min_new_tokens > self.max_new_tokens:
            raise GenerationError(
                f"min_new_tokens is {self.min_new_tokens} but max_new_tokens is {self.max_new_tokens}; raise the latter"
            )
        if self.num_return_sequences > 1 and self.greedy:
            raise GenerationError("greedy continuations are all the same; pass do_sample=True for several")

    @property
    def greedy(self) -> bool:
        return not self.do_sample or self.temperature == 0

    def stop_ids(self, config: BloomConfig) -> list[int]:
        """The ids that end a row."""
        ids = config.eos_token_id if self.eos_token_id == "config" else self.eos_token_id
        ids = [] if ids is None else ids if isinstance(ids, list) else [ids]
        for token_id in ids:
            _whole("eos_token_id", token_id, 0, config.vocab_size - 1)
        return ids

    def pad_id(self, config: BloomConfig) -> int:
        """What follows the end of a row."""
        stop = self.stop_ids(config)
        choices = [self.pad_token_id, config.pad_token_id, stop[0] if stop else None, 0]
        return int(next(token_id for token_id in choices if token_id is not None))


class Step(NamedTuple):
    """One step of a generation."""

    token_ids: Tensor  # (batch,) the tokens chosen; the padding id in rows that had ended
    logits: Tensor  # (batch, vocab) the model's scores they were chosen by, before any setting
    ended: Tensor  # (batch,) whether each row has ended
    ids: Tensor  # (batch, pos) everything so far, prompt included
    attention_mask: Tensor  # (batch, pos) 1 for a token, 0 for padding
    past: KVCache | None  # keys and values of every column but the newest: a generation can branch here


def stream(
    model: BloomPreTrainedModel,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    generator: torch.Generator | None = None,
    hooks: Hooks | None = None,
    **settings: Any,
) -> Iterator[Step]:
    """Continue each row, a step at a time. See `Settings` for the settings.

    Args:
        input_ids: (batch, pos), padded on the left if the rows differ in length.
        attention_mask: (batch, pos) 1 for a token, 0 for padding.
        generator: the source of random numbers, in place of a seed. The global one is never used.
        hooks: what to read and what to change, in every step.

    Raises:
        GenerationError: a setting makes no sense; or, later, the logits are not finite: the error names the spot
            where that began and carries the ids so far as `.ids`.
        InputError: the ids or the mask do not fit.
    """
    chosen = Settings.of(settings)
    stop, pad = chosen.stop_ids(model.config), chosen.pad_id(model.config)
    if generator is not None and chosen.seed is not None:
        raise GenerationError("pass a seed or a generator, not both")
    if hooks is not None and not chosen.use_cache:
        raise GenerationError("hooks see each column once, which needs the cache; leave use_cache=True")
    mask = _checked_prompt(input_ids, attention_mask)
    hooks = model.checked(hooks)
    if generator is None:
        generator = torch.Generator(input_ids.device)
        _ = generator.seed() if chosen.seed is None else generator.manual_seed(chosen.seed)
    copies = chosen.num_return_sequences
    ids, mask = input_ids.repeat_interleave(copies, 0), mask.repeat_interleave(copies, 0)
    return _steps(model, ids, mask, generator, hooks, chosen, stop, pad)


def generate(
    model: BloomPreTrainedModel, input_ids: Tensor, attention_mask: Tensor | None = None, **settings: Any
) -> Tensor:
    """Continue each row to its end: (batch, pos) ids -> (batch, longer) ids, prompt included. See `stream`."""
    steps = stream(model, input_ids, attention_mask, **settings)
    ids = input_ids.repeat_interleave(settings.get("num_return_sequences", 1), 0)
    for step in steps:
        ids = step.ids
    return ids


def _steps(
    model: BloomPreTrainedModel,
    ids: Tensor,
    mask: Tensor,
    generator: torch.Generator,
    hooks: Hooks,
    settings: Settings,
    stop: list[int],
    pad: int,
) -> Iterator[Step]:
    ended = torch.zeros(ids.shape[0], dtype=torch.bool, device=ids.device)
    stop_ids = torch.tensor(stop, dtype=torch.long, device=ids.device)
    past: KVCache | None = None

    for n in range(settings.max_new_tokens):
        new = ids[:, past.length :] if past else ids
        with torch.no_grad():  # around the work only: a step that is yielded leaves the caller's grad mode alone
            output = model(
                new,
                past_key_values=past,
                attention_mask=mask,
                use_cache=settings.use_cache,
                logits_to_keep=1,
                hooks=hooks,
            )
            logits = output.logits[:, -1]
            if not logits.amax(-1).isfinite().all():
                raise _not_finite(model, new, past, mask, hooks, ids)
            scores = logits
            if settings.repetition_penalty != 1:
                tokens = torch.where(mask.bool(), ids, ids[:, -1:])  # padding is no repetition
                scores = penalise_repetition(scores, tokens, settings.repetition_penalty)
            if n < settings.min_new_tokens:
                scores = scores.index_fill(1, stop_ids, -math.inf)
            token_ids = scores.argmax(-1) if settings.greedy else draw(_warped(scores, settings), generator)

        token_ids = token_ids.masked_fill(ended, pad)
        ids = torch.cat([ids, token_ids[:, None]], 1)
        mask = torch.cat([mask, (~ended[:, None]).to(mask)], 1)
        ended = ended | torch.isin(token_ids, stop_ids)
        past = output.past_key_values
        yield Step(token_ids, logits, ended, ids, mask, past)
        if ended.all():
            return


def _warped(logits: Tensor, settings: Settings) -> Tensor:
    logits = scale_temperature(logits.float(), settings.temperature)
    if settings.top_k is not None:
        logits = keep_top_k(logits, settings.top_k)
    if settings.top_p is not None:
        logits = keep_top_p(logits, settings.top_p)
    return logits


def _not_finite(
    model: BloomPreTrainedModel, new: Tensor, past: KVCache | None, mask: Tensor, hooks: Hooks, ids: Tensor
) -> GenerationError:
    """The error that says where the numbers stopped being finite: the pass once more, looking everywhere."""
    spots = [name for name in model.hook_names() if "attn." not in name or name.endswith(("q", "k", "v", "out"))]
    look = Hooks(read=spots)
    with torch.no_grad():
        model(new, past_key_values=past, attention_mask=mask, hooks=chain(Hooks(edit=hooks.edit), look))
    first = next((name for name in spots if not look[name].isfinite().all()), "logits")
    return GenerationError(
        f"the logits are not finite after {ids.shape[1]} columns: {first!r} is the first spot with an infinite or "
        "missing number; check the weights and the edits (the ids so far are in this error's .ids)",
        ids,
    )


def _checked_prompt(input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
    if not isinstance(input_ids, Tensor) or input_ids.dim() != 2 or input_ids.shape[1] == 0:
        came = tuple(input_ids.shape) if isinstance(input_ids, Tensor) else type(input_ids).__name__
        raise InputError(f"input_ids must be a tensor (batch, pos) with at least one position, but got {came}")
    if attention_mask is None:
        return torch.ones_like(input_ids)
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


def _whole(name: str, value: object, low: int, high: int | None = None) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < low or (high is not None and value > high):
        limits = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise GenerationError(f"{name} must be a whole number {limits}, but got {value!r}")


def _number(name: str, value: object, limits: str, fits: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not fits(value):
        raise GenerationError(f"{name} must be a number {limits}, but got {value!r}")
