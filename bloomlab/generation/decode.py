"""Writing with the model: predict, choose one token, append it, again.

`stream` yields a step at a time, so that a notebook can show each choice; `generate` runs it to the end. Both are
functions that take a model and leave nothing behind in it: the cache and the random numbers belong to the call.
"""

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm  # type: ignore[import-untyped]  # it ships no types

from bloomlab.errors import GenerationError
from bloomlab.generation.beam import BeamSearch
from bloomlab.generation.predict import adjust, choose, narrow, predict
from bloomlab.generation.prompt import Prompt, begin
from bloomlab.generation.settings import Settings, unfolded
from bloomlab.generation.stopping import Ends, endings
from bloomlab.generation.values import yes_or_no
from bloomlab.guards.progress import without_monitor
from bloomlab.hooks import Hooks
from bloomlab.model.cache import KVCache
from bloomlab.outputs import GenerateDecoderOnlyOutput
from bloomlab.weights.pretrained import BloomPreTrainedModel


class Step(NamedTuple):
    """One step of a generation."""

    token_ids: Tensor  # (batch,) the tokens chosen; the padding id in rows that had ended
    logits: Tensor  # (batch, vocab) the model's scores, before any setting
    ended: Tensor  # (batch,) whether each row has ended
    ids: Tensor  # (batch, pos) everything so far, prompt included
    attention_mask: Tensor  # (batch, pos) 1 for a token, 0 for padding
    past: KVCache | None  # keys and values of every column but the newest: a generation can branch here
    scores: Tensor  # (batch, vocab) what was chosen from: the logits after all settings; in rows that had ended, 0


def stream(
    model: BloomPreTrainedModel,
    input_ids: Tensor | None = None,
    attention_mask: Tensor | None = None,
    generator: torch.Generator | None = None,
    hooks: Hooks | None = None,
    tokenizer: Any = None,
    past_key_values: Any = None,
    inputs_embeds: Tensor | None = None,
    **settings: Any,
) -> Iterator[Step]:
    """Continue each row, a step at a time. See `Settings` for the settings.

    Args:
        input_ids: (batch, pos), padded on the left if the rows differ in length.
        attention_mask: (batch, pos) 1 for a token, 0 for padding.
        generator: the source of random numbers, in place of a seed. The global one is never used.
        hooks: what to read and what to change, in every step.
        tokenizer: what `stop_strings` are looked for with.
        past_key_values: the cache of an earlier pass over the first columns, which are not read again; see `begin`.
        inputs_embeds: (batch, pos, hidden) vectors in place of ids; the ids are then those of what is new only.

    Raises:
        GenerationError: a setting makes no sense; or, later, the logits are not finite: the error names the spot
            where that began and carries the ids so far as `.ids`.
        InputError: the ids, the mask or the cache do not fit.
    """
    prompt = begin(model, input_ids, attention_mask, past_key_values, inputs_embeds)
    chosen = Settings.of(settings, prompt.width)
    if chosen.num_beams > 1:
        raise GenerationError("beams have no single next step to show; call generate, or pass num_beams=1")
    return _stream(model, prompt, generator, hooks, tokenizer, chosen)


def generate(
    model: BloomPreTrainedModel,
    input_ids: Tensor | None = None,
    attention_mask: Tensor | None = None,
    generator: torch.Generator | None = None,
    hooks: Hooks | None = None,
    tokenizer: Any = None,
    past_key_values: Any = None,
    inputs_embeds: Tensor | None = None,
    streamer: Any = None,
    **settings: Any,
) -> Any:
    """Continue each row to its end: (batch, pos) ids -> (batch · returns, longer) ids, prompt included.

    With `return_dict_in_generate=True`, a GenerateDecoderOnlyOutput, with `output_scores` and `output_logits` if these
    are True. A `streamer` is told each step's ids by `put(ids)`, first the prompt's, and the end by `end()`.

    Takes what `stream` takes, and `num_beams`. With beams an edit's rows are the beams of the first text, then those
    of the second, and so on; nothing can be read, since beams trade places: read a full pass over the result.

    An interrupt (Ctrl-C, or a notebook's stop button) ends the writing, not the program: the text so far is returned,
    with a warning.
    """
    settings = unfolded(settings)
    wanted = {name: settings.pop(name, None) or False for name in WANTED}
    for name, value in wanted.items():
        yes_or_no(name, value)
    prompt = begin(model, input_ids, attention_mask, past_key_values, inputs_embeds)
    chosen = Settings.of(settings, prompt.width)
    if streamer is not None and (chosen.num_beams > 1 or len(prompt.ids) * chosen.num_return_sequences > 1):
        raise GenerationError("a streamer is told one continuation; pass one row, without beams, or no streamer")
    if chosen.num_beams > 1:
        search = _beam_search(model, prompt, generator, hooks, tokenizer, chosen, wanted)
        found = GenerateDecoderOnlyOutput(search.result(), search.result_scores(), tuple(search.scores))
        found.logits = tuple(search.logits)
        return _returned(found, wanted)
    steps = _stream(model, prompt, generator, hooks, tokenizer, chosen)
    ids = prompt.ids.repeat_interleave(chosen.num_return_sequences, 0)
    scores, logits = [], []
    if streamer is not None:
        streamer.put(ids.cpu())
    try:
        for step in _shown(steps, chosen):
            ids = step.ids
            scores += [step.scores] * wanted["output_scores"]
            logits += [step.logits] * wanted["output_logits"]
            if streamer is not None:
                streamer.put(step.token_ids.cpu())
    except KeyboardInterrupt:
        _warn_interrupted(ids.shape[1] - prompt.ids.shape[1])
    if streamer is not None:
        streamer.end()
    return _returned(GenerateDecoderOnlyOutput(ids, None, tuple(scores), tuple(logits)), wanted)


WANTED = ("return_dict_in_generate", "output_scores", "output_logits")
"""What `generate` may be asked to return beside the ids, under the names of transformers."""


def _returned(found: GenerateDecoderOnlyOutput, wanted: dict[str, bool]) -> Any:
    """The ids, or all that was asked for."""
    if not wanted["return_dict_in_generate"]:
        return found.sequences
    found.scores = found.scores if wanted["output_scores"] else None
    found.logits = found.logits if wanted["output_logits"] else None
    return found


def _beam_search(
    model: BloomPreTrainedModel,
    prompt: Prompt,
    generator: torch.Generator | None,
    hooks: Hooks | None,
    tokenizer: Any,
    settings: Settings,
    wanted: dict[str, bool],
) -> BeamSearch:
    if hooks is not None and hooks.read:
        raise GenerationError("beams trade places, so nothing can be read along the way; trace the result instead")
    ends, generator = _checked(model, prompt, generator, tokenizer, settings)
    search = BeamSearch(model, prompt, model.checked(hooks), settings, ends, generator)
    search.keeps_scores, search.keeps_logits = wanted["output_scores"], wanted["output_logits"]
    try:
        for _ in _shown(range(settings.max_new_tokens), settings):
            search.step()
            if search.done:
                break
    except KeyboardInterrupt:
        _warn_interrupted(search.n_new)
    return search


def _shown(steps: Any, settings: Settings) -> Any:
    """The same steps, with a progress bar if they take long."""
    bar = without_monitor(tqdm)
    return bar(steps, total=settings.max_new_tokens, unit="token", delay=2, leave=False, disable=not settings.progress)


def _warn_interrupted(n_new: int) -> None:
    warnings.warn(f"interrupted after {n_new} new tokens; here is what was written so far", stacklevel=4)


def _checked(
    model: BloomPreTrainedModel, prompt: Prompt, generator: Any, tokenizer: Any, settings: Settings
) -> tuple[Ends, torch.Generator]:
    """What says which rows end, and the random numbers, once the settings are found to fit."""
    settings.check(model.config)
    if not isinstance(generator, torch.Generator | None):
        raise GenerationError(f"generator must be a torch.Generator, but got {generator!r}; a number is a seed=…")
    if generator is not None and settings.seed is not None:
        raise GenerationError("pass a seed or a generator, not both")
    if not settings.use_cache and (prompt.past is not None or prompt.embeds is not None):
        raise GenerationError("a cache or vectors to go on from need the cache; leave use_cache=True")
    device = prompt.ids.device
    if generator is None:
        generator = torch.Generator(device)
        _ = generator.seed() if settings.seed is None else generator.manual_seed(settings.seed)
    return endings(settings, model.config, tokenizer, device), generator


def _stream(
    model: BloomPreTrainedModel,
    prompt: Prompt,
    generator: torch.Generator | None,
    hooks: Hooks | None,
    tokenizer: Any,
    settings: Settings,
) -> Iterator[Step]:
    if hooks is not None and not settings.use_cache:
        raise GenerationError("hooks see each column once, which needs the cache; leave use_cache=True")
    ends, generator = _checked(model, prompt, generator, tokenizer, settings)
    prompt = prompt.repeated(settings.num_return_sequences)
    return _steps(model, prompt, generator, model.checked(hooks), settings, ends)


def _steps(
    model: BloomPreTrainedModel,
    prompt: Prompt,
    generator: torch.Generator,
    hooks: Hooks,
    settings: Settings,
    ends: Ends,
) -> Iterator[Step]:
    ids, mask, past, embeds = prompt
    stop_ids = torch.tensor(settings.stop_ids(model.config), dtype=torch.long, device=ids.device)
    ended = torch.zeros(ids.shape[0], dtype=torch.bool, device=ids.device)
    finite = not settings.remove_invalid_values

    for n_new in range(settings.max_new_tokens):
        logits, past = predict(model, ids, mask, past, settings.use_cache, hooks, embeds, finite)
        scores = adjust(logits, ids, mask, n_new, stop_ids, settings)
        scores, embeds = scores.masked_fill(ended[:, None], 0.0), None  # a row that has ended is asked no more
        narrowed = narrow(scores, settings)
        token_ids = choose(narrowed, settings, generator)

        token_ids = token_ids.masked_fill(ended, settings.pad_id(model.config))
        ids = torch.cat([ids, token_ids[:, None]], 1)
        mask = torch.cat([mask, (~ended[:, None]).to(mask)], 1)
        ended = ended | ends(ids, scores)
        yield Step(token_ids, logits, ended, ids, mask, past, narrowed)
        if ended.all():
            return
