"""Record a Trace: find the spots that are named, run once with hooks, note where the numbers come from."""

import fnmatch
import hashlib
import math
import platform
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from bloomlab.elsewhere import spot_elsewhere
from bloomlab.errors import HookError, InputError, shorten
from bloomlab.generation.decode import generate, stream
from bloomlab.generation.names import check_names
from bloomlab.generation.settings import NAMES, Settings
from bloomlab.guards.memory import check_memory
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import Edit, Edits, Hooks, Known, Reading, Spot, in_order
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tracing.by_need import AT_EDIT, AT_WORK, KEPT, READABLE, ByNeed, behind
from bloomlab.tracing.donors import Donors, is_pending, made
from bloomlab.tracing.edits import from_the_left
from bloomlab.tracing.trace import Trace
from bloomlab.weights.for_others import adapters
from bloomlab.weights.int8 import dtype_name
from bloomlab.weights.pretrained import BloomPreTrainedModel, without_gradients


def record(
    model: BloomPreTrainedModel,
    tokenizer: BloomTokenizerFast,
    text: str | Sequence[str] | Tensor,
    read: Iterable[str] = (),
    edit: Edits | None = None,
    detach: bool = True,
    max_new_tokens: int = 0,
    base: Trace | None = None,
    by_need: bool = False,
    **settings: Any,
) -> Trace:
    """Run the model over a text, or several, and keep the tensors at the spots you name.

    Args:
        text: a text, several texts (padded on the left), or ids (batch, pos).
        read: spots to keep: exact names ("h.3.attn.probs"), ends of names ("attn.probs": in every layer), or
            patterns ("h.[01].*").
        edit: the edit to make at each spot, by a name of any of these kinds; or a list of several, made in their
            order. Where two names stand for one spot, the edits of the first are made first.
        detach: False keeps the readings in the graph of gradients.
        max_new_tokens: continue the text by this many tokens (see `Settings` for more) and trace those too.
        base: a trace of the same text without edits. What it has read below the lowest edited layer is taken over
            instead of computed, if it has read the same there and the state to begin from; the numbers are the same.
        by_need: of a long text, make the attention patterns when the trace is asked for them, instead of keeping them.

    Raises:
        HookError: a name fits no spot; nothing has run in that case.
        InputError: the text is empty or is not a text; or the base is of another text or model, or was edited.
        MemoryLimitError: the readings would not fit into this machine's memory.
    """
    spots = model.hook_names()
    names = dict.fromkeys(name for pattern in _patterns(read, list(spots)) for name in resolve(pattern, list(spots)))
    edits = _edits_by_spot(edit, list(spots))
    check_names(settings, NAMES)
    ids, mask = _inputs(tokenizer, text, model.device)
    edits = {name: tuple(from_the_left(one, ids.shape[1]) for one in several) for name, several in edits.items()}
    late: list[str] = []
    if by_need and detach and not max_new_tokens and len(ids) == 1:
        late = _too_large([name for name in names if name.endswith(READABLE)], spots, ids.shape[1], model.dtype)
        names = dict.fromkeys(name for name in spots if name in {*names, *behind(late)} - set(late))
    _check_size(names, late, edits, spots, ids.shape[0], ids.shape[1] + max_new_tokens, model.dtype)

    reader = {} if settings.get("stop_strings") is None else {"tokenizer": tokenizer}
    settings = {"max_new_tokens": max_new_tokens, **reader, **settings}
    known, taken, asked = None, dict[str, Reading](), edits
    if base is not None:
        _check_base(base, model, ids)
    if any(is_pending(several) for several in edits.values()):
        edits = _with_donors(model, tokenizer, ids, mask, [*names, *late], edits, base)
    if base is not None:
        if not max_new_tokens and detach:
            known, taken = _known(base, names, late, edits, model.config.n_layer)
    hooks = Hooks([name for name in names if name not in taken], edits, detach, known, late)
    readings, ids, mask = _run(model, ids, mask, hooks, settings)
    readings |= taken
    rows = [row[is_token.bool()] for row, is_token in zip(ids, mask, strict=True)]
    if isinstance(text, Tensor) or max_new_tokens:
        texts = tokenizer.batch_decode([row.tolist() for row in rows])
        text = texts[0] if len(texts) == 1 else texts
    provenance = {
        "model": str(getattr(model.config, "_name_or_path", "") or "unnamed"),
        "weights": weights_hash(model),
        "dtype": dtype_name(model),
        "seed": settings.get("seed"),
        "edits": {name: repr(list(several) if len(several) > 1 else several[0]) for name, several in asked.items()},
        "versions": dict(_versions()),
        **({"adapters": on} if (on := adapters(model)) else {}),
    }
    trace = Trace(
        {name: readings[name] for name in spots if name in readings},
        text if isinstance(text, str) else list(text),
        [tokenizer.tokens_of_ids(row) for row in rows],
        ids,
        mask,
        model.config,
        provenance,
    )
    trace.edit, trace.made = asked, edits
    if late:
        trace.by_need = ByNeed(late, edits, spots, mask)
    return trace


def _with_donors(
    model: BloomPreTrainedModel,
    tokenizer: BloomTokenizerFast,
    ids: Tensor,
    mask: Tensor,
    read: Iterable[str],
    edits: Mapping[str, tuple[Edit, ...]],
    base: Trace | None,
) -> dict[str, tuple[Edit, ...]]:
    """The edits, once other runs have given the values that some of them wait for."""
    spots = list(dict.fromkeys([*read, *edits]))
    waiting = [name for name, several in edits.items() if is_pending(several)]

    @cache
    def run_without() -> Callable[[str], Tensor]:
        if base is not None and all(name in base for name in spots):
            return base.__getitem__
        hooks = Hooks(waiting, passing=beside)
        readings = _run(model, ids, mask, hooks, {"max_new_tokens": 0})[0]
        return lambda spot: readings[spot].tensor

    beside = [name for name in spots if name.endswith(READABLE)]
    donors = Donors(model, tokenizer, weights_hash(model), ids, lambda spot: run_without()(spot), beside)
    return {name: made(several, donors, name) for name, several in edits.items()}


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
    # logits that nobody asked for are the dearest part of a pass with a large vocabulary
    few = {"logits_to_keep": 1} if isinstance(model, BloomForCausalLM) and not hooks.wants("logits") else {}
    run(input_ids=unread, past_key_values=past, attention_mask=mask, use_cache=False, hooks=hooks, **few)
    # (each was made where its part computes; a trace has all in one place)
    readings = {name: each._replace(tensor=each.tensor.to(model.device)) for name, each in hooks.readings.items()}
    return readings, ids, mask


def _too_large(patterns: list[str], spots: Mapping[str, Spot], columns: int, dtype: torch.dtype) -> list[str]:
    """Those patterns of one text, if they are more than a trace should keep; else none."""
    return patterns if sum(_numbers(spots[name], 1, columns) for name in patterns) * dtype.itemsize > KEPT else []


def _numbers(spot: Spot, batch: int, columns: int) -> int:
    """How many numbers stand at a spot."""
    sizes: dict[int | str, Any] = {"batch": batch, "pos": columns, "query": columns, "key": columns}
    return math.prod(sizes.get(size, size) for size in spot.shape)


def _check_size(
    read: Iterable[str],
    late: Iterable[str],
    edits: Iterable[str],
    spots: Mapping[str, Spot],
    batch: int,
    columns: int,
    dtype: torch.dtype,
) -> None:
    """Before anything runs, refuse what does not fit into this machine's memory: what is kept, and a layer at work."""
    read, edited = list(read), [name for name in edits if name.endswith(READABLE)]
    numbers = sum(_numbers(spots[name], batch, columns) for name in read)
    for name in [name for name in [*read, *late, *edited] if name.endswith(READABLE)][:1]:
        numbers += (AT_WORK + (AT_EDIT if edited else 0)) * _numbers(spots[name], batch, columns)
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
        raise HookError(
            f"no spot is or ends in {pattern!r}{spot_elsewhere(pattern, spots)}; model.hook_names() lists all"
        )
    return matches


def _check_base(base: Trace, model: BloomPreTrainedModel, ids: Tensor) -> None:
    """Refuse a trace that says nothing of this run's lower layers."""
    if base.provenance.get("edits"):
        raise InputError("the base of an edited run must be a run without edits, but this one was edited")
    if base.provenance.get("weights") != weights_hash(model) or base.provenance.get("dtype") != dtype_name(model):
        raise InputError("the base is a trace of another model, or in another dtype; trace the text with this one")
    if not base.ids.equal(ids.to(base.ids.device)):
        raise InputError("the base is a trace of another text; trace this one first")


def _known(
    base: Trace, read: Iterable[str], late: Iterable[str], edits: Mapping[str, object], n_layer: int
) -> tuple[Known | None, dict[str, Reading]]:
    """The state that an edited run can begin from, and what need not be read again; nothing where the base lacks some.

    A layer of which the base has read other spots may have come by the other path through attention, which rounds
    otherwise; so the two must have read the same there.
    """
    lowest = min((layer_of(name, n_layer) for name in edits), default=n_layer)
    below = {name for name in read if layer_of(name, n_layer) < lowest}
    state = f"h.{lowest - 1}.resid_post" if lowest else "embed"
    if lowest < 0 or state not in base or not below <= base.readings.keys():
        return None, {}
    passed = {name for name in late if layer_of(name, n_layer) < lowest}
    before = {layer for layer in readable_layers(base.names, n_layer) if layer < lowest}
    if readable_layers(below | passed, n_layer) != before:
        return None, {}
    return Known(lowest, base[state]), {name: base.readings[name] for name in below}


def readable_layers(names: Iterable[str], n_layer: int) -> set[int]:
    """The layers that a run which reads or edits these spots sends through the readable lines of attention.

    >>> readable_layers(["h.0.attn.probs", "h.0.mlp.out", "h.1.attn.mixed"], 2)
    {0}
    """
    return {layer_of(name, n_layer) for name in names if name.endswith(READABLE)}


def layer_of(spot: str, n_layer: int) -> int:
    """The layer of a spot: -1 for what comes before the first, n_layer for what comes after the last.

    >>> layer_of("embed", 24), layer_of("h.3.attn.probs", 24), layer_of("logits", 24)
    (-1, 3, 24)
    """
    if spot.startswith("h."):
        return int(spot.split(".")[1])
    return -1 if spot == "embed" else n_layer


def _edits_by_spot(edit: object, spots: Sequence[str]) -> dict[str, tuple[Edit, ...]]:
    """The edits at each spot, in the order in which they are made."""
    if not isinstance(edit, Mapping | None):
        raise HookError(
            f"edit must be a dictionary of names and functions, such as {{'h.3.attn.mixed': zero(head=5)}}, but got "
            f"{shorten(edit)}"
        )
    found: dict[str, tuple[Edit, ...]] = {}
    for pattern, edits in (edit or {}).items():
        for name in (name for one in _patterns([pattern], spots) for name in resolve(one, spots)):
            found[name] = (*found.get(name, ()), *in_order(name, edits))
    return found


def _patterns(read: object, spots: Sequence[str]) -> list[str]:
    patterns: list[Any] = list(read) if isinstance(read, Iterable) and not isinstance(read, str) else [read]
    for pattern in patterns:
        if not isinstance(pattern, str):
            pair: Any = pattern
            head = isinstance(pair, list | tuple) and [*map(type, pair)] == [int, int]
            more = spot_elsewhere("L{}H{}".format(*pair), spots) if head else '; such as read=["attn.probs"]'
            raise HookError(f"read must be names of spots, but got {shorten(pattern)}{more}")
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


@cache
def _versions() -> dict[str, str]:
    """Of what a run depends on. Asked once: to look a version up takes longer than a small model's pass."""
    return {"python": platform.python_version(), **{name: version(name) for name in ("bloomlab", "torch")}}


_hashes: "weakref.WeakKeyDictionary[BloomPreTrainedModel, tuple[Any, str]]" = weakref.WeakKeyDictionary()


def weights_hash(model: BloomPreTrainedModel) -> str:
    """Twelve hex digits that identify these weights: SHA-256 over names, dtypes, shapes and bytes, and adapters.

    Remembered for each model until a parameter is replaced or changed in place.
    """
    if asked := getattr(model, "hash_of_weights", None):  # the weights are in other processes
        found: str = asked()
        return found
    parameters = dict(model.named_parameters())
    # (in inference_mode torch does not count versions, but the tensors cannot change either)
    on = adapters(model)  # which can be switched, though the parameters stay
    state = [on, *((name, p.data_ptr(), 0 if p.is_inference() else p._version) for name, p in parameters.items())]
    if model not in _hashes or _hashes[model][0] != state:
        digest = hashlib.sha256(" ".join(on).encode())
        for name, parameter in sorted(parameters.items()):
            digest.update(f"{name} {parameter.dtype} {tuple(parameter.shape)}".encode())
            digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().data)
        _hashes[model] = (state, digest.hexdigest()[:12])
    return _hashes[model][1]
