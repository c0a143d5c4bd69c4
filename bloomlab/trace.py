"""A Trace: everything one run was asked to show, with the names of its parts and where they came from.

    trace = record(model, tokenizer, "Leo lives in Oslo.", read=["attn.probs", "resid_post"])
    trace["h.3.attn.probs"]                        (batch, head, query, key)
    trace.stack("attn.probs")                      (layer, batch, head, query, key)

A trace may cover a whole generation: the columns of its steps stand side by side as if they had been read in one
pass. Where an earlier query never met a later key, `probs` is 0 and `scores`, `alibi`, `biased` are NaN.
"""

import fnmatch
import hashlib
import json
import os
import platform
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bloomlab.chips import Token
from bloomlab.config import BloomConfig
from bloomlab.errors import HookError, InputError, did_you_mean
from bloomlab.files import replacing
from bloomlab.generation.decode import generate, stream
from bloomlab.generation.predict import without_gradients
from bloomlab.generation.settings import Settings
from bloomlab.hooks import Edit, Hooks, Reading
from bloomlab.pretrained import BloomPreTrainedModel
from bloomlab.tokenizer import BloomTokenizerFast


class Trace:
    """What was read in one run.

    Attributes:
        text: what was read, a text or several.
        ids: (batch, pos) the token ids of every column.
        attention_mask: (batch, pos) 1 for a token, 0 for padding.
        config: the model's.
        provenance: model, hash of the weights, dtype, seed, edits, versions: what this run can be repeated from.
    """

    def __init__(
        self,
        readings: Mapping[str, Reading],
        text: str | list[str],
        tokens: Sequence[Sequence[Token]],
        ids: Tensor,
        attention_mask: Tensor,
        config: BloomConfig,
        provenance: dict[str, Any],
    ) -> None:
        self._readings: dict[str, Reading] | None = dict(readings)
        self.text, self.ids, self.attention_mask = text, ids, attention_mask
        self._tokens = [list(row) for row in tokens]
        self.config, self.provenance = config, provenance

    @property
    def readings(self) -> dict[str, Reading]:
        """The recorded tensors with their axes, by name."""
        if self._readings is None:
            raise InputError("this trace was closed, so its tensors are gone; trace the text again")
        return self._readings

    @property
    def names(self) -> list[str]:
        """The spots that were read, in the order of the model."""
        return list(self.readings)

    @property
    def tokens(self) -> list[Token]:
        """The tokens of the text, one a column. For a trace of several texts ask `trace.row(i).tokens`."""
        if len(self._tokens) != 1:
            raise InputError(f"this trace has {len(self._tokens)} rows; choose one: trace.row(0).tokens")
        return self._tokens[0]

    def axes(self, name: str) -> str:
        """The names of a reading's axes."""
        self[name]
        return self.readings[name].axes

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.readings:
            raise HookError(f"{name!r} was not read{did_you_mean(name, self.readings)}; name it in read=[…]")
        return self.readings[name].tensor

    def __contains__(self, name: object) -> bool:
        return name in self.readings

    def stack(self, name: str) -> Tensor:
        """One spot of every layer in one tensor: `stack("attn.probs")` is (layer, batch, head, query, key)."""
        layers = [f"h.{i}.{name}" for i in range(self.config.n_layer)]
        missing = [layer for layer in layers if layer not in self.readings]
        if missing:
            suffixes = {read.split(".", 2)[2] for read in self.readings if read.startswith("h.")}
            raise HookError(
                f"stack({name!r}) needs it from all {len(layers)} layers, but {missing[0]!r} was not read"
                f"{did_you_mean(name, suffixes)}; trace with read=[{name!r}]"
            )
        return torch.stack([self[layer] for layer in layers])

    def row(self, index: int) -> "Trace":
        """The trace of one text of several, without its padding. Its tensors are views of these."""
        if not 0 <= index < len(self._tokens):
            raise InputError(f"this trace has rows 0 to {len(self._tokens) - 1}, but row {index} was asked for")
        columns = self.attention_mask[index].nonzero()[:, 0]
        first, last = int(columns[0]), int(columns[-1]) + 1

        def cut(reading: Reading) -> Reading:
            tensor = reading.tensor[index : index + 1]
            for i, axis in enumerate(reading.axes.split()):
                if axis in ("pos", "query", "key"):
                    tensor = tensor.narrow(i, first, last - first)
            return Reading(tensor, reading.axes)

        return Trace(
            {name: cut(reading) for name, reading in self.readings.items()},
            self.text if isinstance(self.text, str) else self.text[index],
            [self._tokens[index]],
            self.ids[index : index + 1, first:last],
            self.attention_mask[index : index + 1, first:last],
            self.config,
            self.provenance,
        )

    # -- size and end ----------------------------------------------------------------------------------

    @property
    def nbytes(self) -> int:
        """Bytes this trace keeps in memory. Readings that share storage (q, k and v do) count once."""
        storages = (reading.tensor.untyped_storage() for reading in self.readings.values())
        return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())

    def close(self) -> None:
        """Let go of all tensors. A notebook keeps every result it has shown, so large traces are worth closing."""
        self._readings = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- out and in ------------------------------------------------------------------------------------

    def numpy(self) -> dict[str, np.ndarray[Any, Any]]:
        """All readings as numpy arrays, by name. bfloat16, which numpy does not have, becomes float32."""
        tensors = ((name, reading.tensor.detach().cpu()) for name, reading in self.readings.items())
        return {name: (t.float() if t.dtype == torch.bfloat16 else t).numpy() for name, t in tensors}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the trace to one .safetensors file; the tensors are readable without bloomlab."""
        path = Path(path)
        tensors = {name: reading.tensor for name, reading in self.readings.items()}
        tensors |= {"ids": self.ids, "attention_mask": self.attention_mask}
        tensors = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
        }
        about = {
            "axes": {name: reading.axes for name, reading in self.readings.items()},
            "text": self.text,
            "tokens": [[{**asdict(token), "bytes": token.bytes.hex()} for token in row] for row in self._tokens],
            "config": self.config.to_dict(),
            "provenance": self.provenance,
        }
        if not path.parent.is_dir():
            raise InputError(f"expected a folder {path.parent} for the trace, but there is none; make it first")
        with replacing(path) as draft:
            save_file(tensors, draft, {"bloomlab_trace": json.dumps(about)})
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote.

        Raises:
            InputError: the file is missing or is not a saved trace.
        """
        try:
            with safe_open(path, "pt") as file:
                about = json.loads((file.metadata() or {})["bloomlab_trace"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}
            tokens = [
                [Token(t["id"], bytes.fromhex(t["bytes"]), t["text"], tuple(t["span"])) for t in row]
                for row in about["tokens"]
            ]
            readings = {name: Reading(tensors[name], axes) for name, axes in about["axes"].items()}
            for name, reading in readings.items():
                if len(reading.axes.split()) != reading.tensor.dim():
                    raise ValueError(f"{name!r} has {reading.tensor.dim()} axes but names for {reading.axes!r}")
            if not isinstance(about["text"], str | list) or not isinstance(about["provenance"], dict):
                raise ValueError("its text or its provenance is of another kind")
            return cls(
                readings,
                about["text"],
                tokens,
                tensors["ids"],
                tensors["attention_mask"],
                BloomConfig.from_dict(about["config"]),
                about["provenance"],
            )
        except (OSError, SafetensorError, RecursionError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path} is not a trace that trace.save() wrote: {str(error)[:200]}") from None

    def __repr__(self) -> str:
        if self._readings is None:
            return f"Trace of {self.text!r}: closed"
        spots: dict[str, int] = {}
        for name in self._readings:
            short = name.split(".", 2)[2] if name.startswith("h.") else name
            spots[short] = spots.get(short, 0) + 1
        read = [name if n == 1 else f"{name} in {n} layers" for name, n in spots.items()]
        text = self.text if len(str(self.text)) <= 60 else f"{str(self.text)[:57]}..."
        edits = self.provenance.get("edits") or {}
        return (
            f"Trace of {text!r}: {self.ids.shape[1]} columns; read {', '.join(read) or 'nothing'}; {_size(self.nbytes)}"
            + (f"; edited {', '.join(edits)}" if edits else "")
        )


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
    """Run the model over a text, or several, and keep what is named.

    Args:
        text: a text, several texts (padded on the left), or ids (batch, pos).
        read: spots to keep: exact names ("h.3.attn.probs"), ends of names ("attn.probs": in every layer), or
            patterns ("h.[01].*").
        edit: for a spot, named in the same ways, the edit to make there.
        detach: False keeps the readings in the graph of gradients.
        max_new_tokens: continue the text by so many tokens (see `Settings` for more) and trace those too.

    Raises:
        HookError: a name fits no spot; nothing has run then.
        InputError: the text is empty or is no text.
    """
    spots = list(model.hook_names())
    names = dict.fromkeys(name for pattern in _patterns(read) for name in resolve(pattern, spots))
    edits = {name: function for pattern, function in (edit or {}).items() for name in resolve(pattern, spots)}
    hooks = Hooks(read=names, edit=edits, detach=detach)
    ids, mask = _inputs(tokenizer, text, next(model.parameters()).device)

    past = None
    if settings.get("num_beams", 1) > 1:  # beams trade places: one full pass over the chosen ones
        chosen = Settings.of({"max_new_tokens": max_new_tokens, **settings})
        ids = generate(model, ids, mask, hooks=Hooks(edit=edits), max_new_tokens=max_new_tokens, **settings)
        mask = _longer_mask(mask, ids, chosen.stop_ids(model.config))
    elif max_new_tokens:
        for step in stream(model, ids, mask, hooks=hooks, max_new_tokens=max_new_tokens, **settings):
            ids, mask, past = step.ids, step.attention_mask, step.past
    # the whole text; or, after a generation, its last token, which no step has read
    run = partial(without_gradients, model) if detach else model
    new = ids[:, past.length :] if past else ids
    run(input_ids=new, past_key_values=past, attention_mask=mask, use_cache=False, hooks=hooks)

    order = {name: i for i, name in enumerate(spots)}
    readings = dict(sorted(hooks.readings.items(), key=lambda item: order[item[0]]))
    rows = [row[kept.bool()] for row, kept in zip(ids, mask, strict=True)]
    if isinstance(text, Tensor) or max_new_tokens:
        shown = tokenizer.batch_decode([row.tolist() for row in rows])
        text = shown[0] if len(shown) == 1 else shown
    provenance = {
        "model": str(getattr(model.config, "_name_or_path", "") or "unnamed"),
        "weights": weights_hash(model),
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
        "seed": settings.get("seed"),
        "edits": {name: repr(function) for name, function in edits.items()},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("bloomlab", "torch")}},
    }
    tokens = [tokenizer.tokens_of_ids(row) for row in rows]
    text = text if isinstance(text, str) else list(text)
    return Trace(readings, text, tokens, ids, mask, model.config, provenance)


def resolve(pattern: str, spots: Sequence[str]) -> list[str]:
    """The spots that a name means: itself, all that end in it, or all that fit a pattern.

    >>> resolve("attn.probs", ["embed", "h.0.attn.probs", "h.1.attn.probs"])
    ['h.0.attn.probs', 'h.1.attn.probs']
    >>> resolve("h.1.*", ["embed", "h.0.attn.probs", "h.1.attn.probs"])
    ['h.1.attn.probs']
    """
    if pattern in spots:
        return [pattern]
    found = [name for name in spots if name.endswith(f".{pattern}") or fnmatch.fnmatchcase(name, pattern)]
    if not found:
        ends = {name.split(".", 2)[2] for name in spots if name.startswith("h.")}
        raise HookError(
            f"no spot is or ends in {pattern!r}{did_you_mean(pattern, [*spots, *ends])}; model.hook_names() lists all"
        )
    return found


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
    for one in texts:
        if one == "":
            raise InputError("the text is empty; write at least one character")
    encoding = tokenizer(texts, padding=True, padding_side="left", return_tensors="pt")
    return encoding["input_ids"].to(device), encoding["attention_mask"].to(device)


def _longer_mask(mask: Tensor, ids: Tensor, stop_ids: list[int]) -> Tensor:
    """The mask of continued rows: the prompt's, then 1 up to the first stop token and 0 after it.

    >>> _longer_mask(torch.tensor([[0, 1]]), torch.tensor([[3, 7, 8, 2, 3]]), [2])
    tensor([[0, 1, 1, 1, 0]])
    """
    stops = torch.isin(ids[:, mask.shape[1] :], torch.tensor(stop_ids, device=ids.device)).to(mask)
    kept = (stops.cumsum(1) - stops == 0).to(mask)
    return torch.cat([mask.repeat_interleave(len(ids) // len(mask), 0), kept], 1)


_hashes: "weakref.WeakKeyDictionary[BloomPreTrainedModel, tuple[Any, str]]" = weakref.WeakKeyDictionary()


def weights_hash(model: BloomPreTrainedModel) -> str:
    """Twelve hex digits that tell these weights from any others: SHA-256 over names, dtypes, shapes and bytes.

    Remembered for each model until a parameter is replaced or changed in place.
    """
    parameters = dict(model.named_parameters())
    # (under inference_mode torch counts no versions, and lets nobody change the tensors later)
    state = [(name, p.data_ptr(), 0 if p.is_inference() else p._version) for name, p in parameters.items()]
    if model not in _hashes or _hashes[model][0] != state:
        digest = hashlib.sha256()
        for name, parameter in sorted(parameters.items()):
            digest.update(f"{name} {parameter.dtype} {tuple(parameter.shape)}".encode())
            digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().data)
        _hashes[model] = (state, digest.hexdigest()[:12])
    return _hashes[model][1]


def _size(nbytes: int) -> str:
    for unit in ("bytes", "kB", "MB"):
        if nbytes < 1000:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1000  # type: ignore[assignment]  # becomes a fraction of the next unit
    return f"{nbytes:.3g} GB"
