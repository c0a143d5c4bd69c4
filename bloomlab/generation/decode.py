"""Writing with the model: predict, choose one token, append it, again.

`stream` yields a step at a time, so that a notebook can show each choice; `generate` runs it to the end. Both are
functions that take a model and leave nothing behind in it: the cache and the random numbers belong to the call.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm  # type: ignore[import-untyped]  # it ships no types

from bloomlab.errors import GenerationError
from bloomlab.generation.beam import BeamSearch
from bloomlab.generation.predict import adjust, checked_prompt, choose, predict
from bloomlab.generation.settings import Settings
from bloomlab.hooks import Hooks
from bloomlab.model.cache import KVCache
from bloomlab.weights.pretrained import BloomPreTrainedModel


class Step(NamedTuple):
    """One step of a generation."""

    token_ids: Tensor  # (batch,) the tokens chosen; the padding id in rows that had ended
    logits: Tensor  # (batch, vocab) the model's scores, before any setting
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
    tokenizer: Any = None,
    **settings: Any,
) -> Iterator[Step]:
    """Continue each row, a step at a time. See `Settings` for the settings.

    Args:
        input_ids: (batch, pos), padded on the left if the rows differ in length.
        attention_mask: (batch, pos) 1 for a token, 0 for padding.
        generator: the source of random numbers, in place of a seed. The global one is never used.
        hooks: what to read and what to change, in every step.
        tokenizer: what `stop_strings` are looked for with.

    Raises:
        GenerationError: a setting makes no sense; or, later, the logits are not finite: the error names the spot
            where that began and carries the ids so far as `.ids`.
        InputError: the ids or the mask do not fit.
    """
    chosen = Settings.of(settings)
    chosen.check(model.config)
    if chosen.num_beams > 1:
        raise GenerationError("beams have no single next step to show; call generate, or pass num_beams=1")
    if not isinstance(generator, torch.Generator | None):
        raise GenerationError(f"generator must be a torch.Generator, but got {generator!r}; a number is a seed=…")
    if generator is not None and chosen.seed is not None:
        raise GenerationError("pass a seed or a generator, not both")
    if hooks is not None and not chosen.use_cache:
        raise GenerationError("hooks see each column once, which needs the cache; leave use_cache=True")
    stops = stop_finder(chosen, tokenizer)
    mask = checked_prompt(input_ids, attention_mask)
    hooks = model.checked(hooks)
    if generator is None:
        generator = torch.Generator(input_ids.device)
        _ = generator.seed() if chosen.seed is None else generator.manual_seed(chosen.seed)
    copies = chosen.num_return_sequences
    ids, mask = input_ids.repeat_interleave(copies, 0), mask.repeat_interleave(copies, 0)
    return _steps(model, ids, mask, generator, hooks, chosen, stops)


def generate(
    model: BloomPreTrainedModel,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    generator: torch.Generator | None = None,
    hooks: Hooks | None = None,
    tokenizer: Any = None,
    **settings: Any,
) -> Tensor:
    """Continue each row to its end: (batch, pos) ids -> (batch · returns, longer) ids, prompt included.

    Takes what `stream` takes, and `num_beams`. With beams an edit's rows are the beams of the first text, then those
    of the second, and so on; nothing can be read, since beams trade places: read a full pass over the result.

    An interrupt (Ctrl-C, or a notebook's stop button) ends the writing, not the program: the text so far is returned,
    with a warning.
    """
    chosen = Settings.of(settings)
    if chosen.num_beams > 1:
        return _beam_search(model, input_ids, attention_mask, hooks, chosen)
    steps = stream(model, input_ids, attention_mask, generator, hooks, tokenizer, **settings)
    ids = input_ids.repeat_interleave(chosen.num_return_sequences, 0)
    try:
        for step in _shown(steps, chosen):
            ids = step.ids
    except KeyboardInterrupt:
        _warn_interrupted(ids.shape[1] - input_ids.shape[1])
    return ids


def _beam_search(
    model: BloomPreTrainedModel, input_ids: Tensor, mask: Tensor | None, hooks: Hooks | None, settings: Settings
) -> Tensor:
    settings.check(model.config)
    if hooks is not None and hooks.read:
        raise GenerationError("beams trade places, so nothing can be read along the way; trace the result instead")
    search = BeamSearch(model, input_ids, checked_prompt(input_ids, mask), model.checked(hooks), settings)
    try:
        for _ in _shown(range(settings.max_new_tokens), settings):
            search.step()
            if search.done:
                break
    except KeyboardInterrupt:
        _warn_interrupted(search.n_new)
    return search.result()


def _shown(steps: Any, settings: Settings) -> Any:
    """The same steps, with a progress bar if they take long."""
    return tqdm(steps, total=settings.max_new_tokens, unit="token", delay=2, leave=False, disable=not settings.progress)


def _warn_interrupted(n_new: int) -> None:
    warnings.warn(f"interrupted after {n_new} new tokens; here is what was written so far", stacklevel=4)


def _steps(
    model: BloomPreTrainedModel,
    ids: Tensor,
    mask: Tensor,
    generator: torch.Generator,
    hooks: Hooks,
    settings: Settings,
    stops: Callable[[Sequence[int]], bool] | None,
) -> Iterator[Step]:
    stop_ids = torch.tensor(settings.stop_ids(model.config), dtype=torch.long, device=ids.device)
    ended = torch.zeros(ids.shape[0], dtype=torch.bool, device=ids.device)
    past: KVCache | None = None

    for n_new in range(settings.max_new_tokens):
        logits, past = predict(model, ids, mask, past, settings.use_cache, hooks)
        scores = adjust(logits, ids, mask, n_new, stop_ids, settings)
        token_ids = choose(scores, settings, generator)

        token_ids = token_ids.masked_fill(ended, settings.pad_id(model.config))
        ids = torch.cat([ids, token_ids[:, None]], 1)
        mask = torch.cat([mask, (~ended[:, None]).to(mask)], 1)
        ended = ended | torch.isin(token_ids, stop_ids)
        if stops:
            ended = ended | torch.tensor([stops(row) for row in ids.tolist()], device=ids.device)
        yield Step(token_ids, logits, ended, ids, mask, past)
        if ended.all():
            return


def stop_finder(settings: Settings, tokenizer: Any) -> Callable[[Sequence[int]], bool] | None:
    """A function that says of a row of ids whether its last token completes a stop string; None if there are none.

    As in transformers, the text may begin before the last token, even in the prompt, and end inside it. What stands
    after it in that token stays.

    Raises:
        GenerationError: there are stop strings, but no tokenizer to read them with.
    """
    texts = [text.encode() for text in settings.stop_texts]
    if not texts:
        return None
    if not hasattr(tokenizer, "tokens_of_ids"):
        raise GenerationError("stop_strings are texts, so pass the tokenizer, too: generate(…, tokenizer=tokenizer)")
    longest = max(map(len, texts))

    def stops(row: Sequence[int]) -> bool:
        last = read = tokenizer.tokens_of_ids([row[-1]])[0].bytes
        for token_id in reversed(row[:-1]):
            if len(read) >= longest + len(last) - 1:
                break
            read = tokenizer.tokens_of_ids([token_id])[0].bytes + read
        before = len(read) - len(last)
        return any(read.find(text, max(0, before - len(text) + 1)) >= 0 for text in texts)

    return stops
