"""Record a Trace: find the spots that are named, run once with hooks, note where the numbers come from."""

import fnmatch
import hashlib
import math
import platform
import weakref
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from bloomlab.errors import HookError, InputError, did_you_mean
from bloomlab.generation.decode import generate, stream
from bloomlab.generation.settings import Settings
from bloomlab.guards.memory import check_memory
from bloomlab.hooks import Edit, Hooks, Reading, Spot
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tracing.trace import Trace
from bloomlab.weights.pretrained import BloomPreTrainedModel, without_gradients


def record(
    model: BloomPreTrainedModel,
    tokenizer: BloomTokenizerFast,
    text: str | Sequence[str] | Tensor,
    read: Iterable[str] = (),
    edit: Mapping[str, Edit] | None = None,
    detach: bool = True,
    max_new_tokens: int = 0,
    **settings: Any,
) -> Trace:
    """Run the model over a text, or several, and keep the tensors at the spots you name.

    Args:
        text: a text, several texts (padded on the left), or ids (batch, pos).
        read: spots to keep: exact names ("h.3.attn.probs"), ends of names ("attn.probs": in every layer), or
            patterns ("h.[01].*").
        edit: the edit to make at each spot, by a name of any of these kinds.
        detach: False keeps the readings in the graph of gradients.
        max_new_tokens: continue the text by this many tokens (see `Settings` for more) and trace those too.

    Raises:
        HookError: a name fits no spot; nothing has run in that case.
        InputError: the text is empty or is not a text.
        MemoryLimitError: the readings would not fit into this machine's memory.
    """
    spots = model.hook_names()
    names = dict.fromkeys(name for pattern in _patterns(read) for name in resolve(pattern, list(spots)))
    edits: dict[str, Edit] = {}
    for pattern, function in (edit or {}).items():
        for name in resolve(pattern, list(spots)):
            if name in edits:
                raise HookError(f"two edits meet at {name!r}, and {pattern!r} is the second; make them one function")
            edits[name] = function
    ids, mask = _inputs(tokenizer, text, model.device)
    _check_size([spots[name] for name in names], ids.shape[0], ids.shape[1] + max_new_tokens, model.dtype)

    settings = {"max_new_tokens": max_new_tokens, **settings}
    readings, ids, mask = _run(model, ids, mask, Hooks(names, edits, detach), settings)
    rows = [row[is_token.bool()] for row, is_token in zip(ids, mask, strict=True)]
    if isinstance(text, Tensor) or max_new_tokens:
        texts = tokenizer.batch_decode([row.tolist() for row in rows])
        text = texts[0] if len(texts) == 1 else texts
    provenance = {
        "model": str(getattr(model.config, "_name_or_path", "") or "unnamed"),
        "weights": weights_hash(model),
        "dtype": str(model.dtype).removeprefix("torch."),
        "seed": settings.get("seed"),
        "edits": {name: repr(function) for name, function in edits.items()},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("bloomlab", "torch")}},
    }
    return Trace(
        {name: readings[name] for name in spots if name in readings},
        text if isinstance(text, str) else list(text),
        [tokenizer.tokens_of_ids(row) for row in rows],
        ids,
        mask,
        model.config,
        provenance,
    )


def _run(
    model: BloomPreTrainedModel, ids: Tensor, mask: Tensor, hooks: Hooks, settings: dict[str, Any]
) -> tuple[dict[str, Reading], Tensor, Tensor]:
    """Run over the ids, and generate if new tokens are asked for: the readings, all ids and their mask."""
    past = None
    if settings.get("num_beams", 1) > 1:  # beams swap rows, so the best ones are read in one full pass at the end
        ids = generate(model, ids, mask, hooks=Hooks(edit=hooks.edit), **settings)
        mask = _longer_mask(mask, ids, Settings.of(settings).stop_ids(model.config))
    elif settings["max_new_tokens"]:
        for step in stream(model, ids, mask, hooks=hooks, **settings):
            ids, mask, past = step.ids, step.attention_mask, step.past
    # the whole text; or, after a generation, its last token, which no step has read
    run = partial(without_gradients, model) if hooks.detach else model
    unread = ids[:, past.length :] if past else ids
    run(input_ids=unread, past_key_values=past, attention_mask=mask, use_cache=False, hooks=hooks)
    return hooks.readings, ids, mask


def _check_size(read: Sequence[Spot], batch: int, columns: int, dtype: torch.dtype) -> None:
    """Before anything runs, refuse readings that do not fit into this machine's memory."""
    sizes: dict[int | str, Any] = {"batch": batch, "pos": columns, "query": columns, "key": columns}
    numbers = sum(math.prod(sizes.get(size, size) for size in spot.shape) for spot in read)
    check_memory(
        numbers * dtype.itemsize, f"reading {len(read)} spots of {columns} columns", "read fewer, or shorten the text"
    )


def resolve(pattern: str, spots: Sequence[str]) -> list[str]:
    """The spots that a name stands for: the one of that name, all that end in it, or all that fit it as a pattern.

    >>> resolve("attn.probs", ["embed", "h.0.attn.probs", "h.1.attn.probs"])
    ['h.0.attn.probs', 'h.1.attn.probs']
    >>> resolve("h.1.*", ["embed", "h.0.attn.probs", "h.1.attn.probs"])
    ['h.1.attn.probs']
    """
    if pattern in spots:
        return [pattern]
    matches = [name for name in spots if name.endswith(f".{pattern}") or fnmatch.fnmatchcase(name, pattern)]
    if not matches:
        ends = {name.split(".", 2)[2] for name in spots if name.startswith("h.")}
        raise HookError(
            f"no spot is or ends in {pattern!r}{did_you_mean(pattern, [*spots, *ends])}; model.hook_names() lists all"
        )
    return matches


def _patterns(read: Iterable[str]) -> Iterable[str]:
    patterns = [read] if isinstance(read, str) or not isinstance(read, Iterable) else list(read)
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise HookError(f"read must be names of spots, but got {pattern!r}")
    return patterns


def _inputs(tokenizer: BloomTokenizerFast, text: object, device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids and mask, both (batch, pos), padded on the left."""
    if isinstance(text, Tensor):
        ids = text if text.dim() == 2 else text[None]
        return ids.to(device), torch.ones_like(ids).to(device)
    if not isinstance(text, str) and not (isinstance(text, Sequence) and text and not isinstance(text, bytes)):
        raise InputError(f"expected a text, but got {type(text).__name__}; write it in quotes")
    texts = [text] if isinstance(text, str) else list(text)
    if "" in texts:
        raise InputError("the text is empty; write at least one character")
    encoding = tokenizer(texts, padding=True, padding_side="left", return_tensors="pt")
    return encoding["input_ids"].to(device), encoding["attention_mask"].to(device)


def _longer_mask(mask: Tensor, ids: Tensor, stop_ids: list[int]) -> Tensor:
    """The mask of continued rows: the prompt's own, then 1 up to and with the first stop token, and 0 after it.

    >>> _longer_mask(torch.tensor([[0, 1]]), torch.tensor([[3, 7, 8, 2, 3]]), [2])
    tensor([[0, 1, 1, 1, 0]])
    """
    stops = torch.isin(ids[:, mask.shape[1] :], torch.tensor(stop_ids, device=ids.device)).to(mask)
    new = (stops.cumsum(1) - stops == 0).to(mask)
    return torch.cat([mask.repeat_interleave(len(ids) // len(mask), 0), new], 1)


_hashes: "weakref.WeakKeyDictionary[BloomPreTrainedModel, tuple[Any, str]]" = weakref.WeakKeyDictionary()


def weights_hash(model: BloomPreTrainedModel) -> str:
    """Twelve hex digits that identify these weights: SHA-256 over names, dtypes, shapes and bytes.

    Remembered for each model until a parameter is replaced or changed in place.
    """
    parameters = dict(model.named_parameters())
    # (in inference_mode torch does not count versions, but the tensors cannot change either)
    state = [(name, p.data_ptr(), 0 if p.is_inference() else p._version) for name, p in parameters.items()]
    if model not in _hashes or _hashes[model][0] != state:
        digest = hashlib.sha256()
        for name, parameter in sorted(parameters.items()):
            digest.update(f"{name} {parameter.dtype} {tuple(parameter.shape)}".encode())
            digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().data)
        _hashes[model] = (state, digest.hexdigest()[:12])
    return _hashes[model][1]
