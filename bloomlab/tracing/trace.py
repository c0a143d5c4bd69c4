"""A Trace: the tensors that were read in one run, with the names of their axes and where they came from.

    trace = lab.trace("Leo lives in Oslo.", read=["attn.probs", "resid_post"])
    trace["h.3.attn.probs"]                        (batch, head, query, key)
    trace.stack("attn.probs")                      (layer, batch, head, query, key)

A trace may cover a whole generation: the columns of its steps stand side by side as if they had been read in one
pass. Where an earlier query never met a later key, `probs` is 0 and `scores`, `alibi`, `biased` are NaN.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from bloomlab.config import BloomConfig
from bloomlab.elsewhere import TRACE, spot_elsewhere
from bloomlab.errors import HookError, InputError, NearNames, did_you_mean, shorten_path
from bloomlab.guards.files import replacing
from bloomlab.guards.memory import gigabytes, saying_that_memory_is_full
from bloomlab.hooks import Edits, Reading
from bloomlab.text.tokens import Token, TokenList, find
from bloomlab.tracing.by_need import ByNeed, behind
from bloomlab.tracing.trace_file import KEY, Contents, description, read_trace


@saying_that_memory_is_full
class Trace(NearNames):
    """The tensors that were read in one run.

    Attributes:
        text: the text, or several.
        ids: (batch, pos) the token ids of every column.
        attention_mask: (batch, pos) 1 for a token, 0 for padding.
        config: the model's.
        provenance: model, hash of the weights, dtype, seed, edits, versions: everything needed to repeat the run.
        edit: the edits that were made, by their spots; a file keeps only their words, in `provenance`.
        made: the same, once those that take their values from other runs have them.
        lab: the Lab that read the text, if one did, to ask its model more; a file does not keep it.
        base: the run without edits that it was made beside, if there is one; a file does not keep it.
        by_need: the patterns of a long text that are not kept but made when they are asked for, if there are any.
    """

    _elsewhere = TRACE

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
        self._tokens = [TokenList(row) for row in tokens]
        self.config, self.provenance = config, provenance
        self.edit: Edits = {}
        self.made: Edits = {}
        self.lab: Any = None  # of a floor above, whose type is not known here
        self.base: Trace | None = None
        self.by_need: ByNeed | None = None

    @property
    def readings(self) -> dict[str, Reading]:
        """The tensors that are kept, with their axes, by name."""
        if self._readings is None:
            raise InputError("this trace was closed, so its tensors are gone; trace the text again")
        return self._readings

    @property
    def names(self) -> list[str]:
        """The spots that were read, in the order of the model."""
        kept, more = self.readings, self.by_need
        return list(kept) if more is None else [name for name in more.spots if name in kept or name in more.names]

    @property
    def tokens(self) -> TokenList:
        """The tokens of the text, one per column. For a trace of several texts, use `trace.row(i).tokens`."""
        if len(self._tokens) != 1:
            raise InputError(f"this trace has {len(self._tokens)} rows; choose one: trace.row(0).tokens")
        return self._tokens[0]

    def axes(self, name: str) -> str:
        """The names of a reading's axes."""
        return self._reading(name).axes

    def __getitem__(self, name: str) -> Tensor:
        return self._reading(name).tensor

    def _reading(self, name: str) -> Reading:
        """What was read at a spot; "attn.probs" will do where it was read in one layer only."""
        if not isinstance(name, str):
            raise HookError(f"a trace is asked for a spot by its name, as in trace['h.3.attn.probs'], not {name!r}")
        if name not in self:
            name = self._only(name)
        if name in self.readings:
            return self.readings[name]
        q, k = (self[spot] for spot in behind([name]))
        return self.by_need.read(name, q, k)  # type: ignore[union-attr]  # what is not kept, it makes

    def _only(self, name: str) -> str:
        """The one spot that was read whose name ends so."""
        layers = [read for read in self.names if read.startswith("h.") and read.split(".", 2)[2] == name]
        if len(layers) > 1:
            raise HookError(
                f"{name!r} was read in {len(layers)} layers; name one, such as {layers[-1]!r}, or take all with "
                f"trace.stack({name!r})"
            )
        if not layers:
            hint = spot_elsewhere(name, self.names, self.config.n_layer)
            raise HookError(f"{name!r} was not read{hint}; name it in read=[…]")
        return layers[0]

    def head(self, name: str, head: int) -> Tensor:
        """One head's pattern, (query, key): `trace["h.3.attn.probs"][0, 5]`; where none is kept, no other is made.

        Raises:
            HookError: the spot was not read.
            InputError: the trace is of several texts, or the model has no such head.
        """
        if len(self._tokens) != 1 or not 0 <= head < self.config.n_head:
            raise InputError(f"one text has heads 0 to {self.config.n_head - 1}; asked for {head} of {len(self.ids)}")
        if self.by_need is None or name in self.readings or name not in self.by_need.names:
            return self[name][0, head]
        if not self.by_need.apart(name):
            return self[name][0, head]
        q, k = (self[spot] for spot in behind([name]))
        return self.by_need.read(name, q, k, slice(head, head + 1)).tensor[0, 0]

    def heads(self, name: str) -> Iterator[Tensor]:
        """The pattern of one head after the other, (query, key) each; see `head`."""
        made = self.by_need is not None and name not in self.readings and name in self.by_need.names
        if made and self.by_need is not None and self.by_need.apart(name):
            yield from (self.head(name, head) for head in range(self.config.n_head))
        else:
            # (copies: whoever still holds the last head would hold the whole layer while the next one is made)
            yield from (pattern.clone() if made else pattern for pattern in self[name][0])

    def find(self, text: str) -> list[int]:
        """The columns of all tokens that have part of this text, wherever it stands: `zero(pos=trace.find("Oslo"))`.

        Raises:
            InputError: it stands nowhere; or the trace has several rows: `trace.row(i).find(text)`.
        """
        return find(self.tokens, text)

    def __contains__(self, name: object) -> bool:
        return name in self.readings or (self.by_need is not None and name in self.by_need.names)

    def stack(self, name: str) -> Tensor:
        """One spot of every layer in one tensor: `stack("attn.probs")` is (layer, batch, head, query, key)."""
        layers = [f"h.{i}.{name}" for i in range(self.config.n_layer)]
        missing = [layer for layer in layers if layer not in self]
        if missing:
            suffixes = {read.split(".", 2)[2] for read in self.names if read.startswith("h.")}
            raise HookError(
                f"stack({name!r}) needs it from all {len(layers)} layers, but {missing[0]!r} was not read"
                f"{did_you_mean(name, suffixes)}; trace with read=[{name!r}]"
            )
        return torch.stack([self[layer] for layer in layers])

    def row(self, index: int) -> "Trace":
        """The trace of one text of several, without its padding. Its tensors are views of this trace's."""
        if not 0 <= index < len(self._tokens):
            raise InputError(f"this trace has rows 0 to {len(self._tokens) - 1}, but you asked for row {index}")
        columns = self.attention_mask[index].nonzero()[:, 0]
        first, last = int(columns[0]), int(columns[-1]) + 1

        def cut(reading: Reading) -> Reading:
            tensor = reading.tensor[index : index + 1]
            for i, axis in enumerate(reading.axes.split()):
                if axis in ("pos", "query", "key"):
                    tensor = tensor.narrow(i, first, last - first)
            return Reading(tensor, reading.axes)

        row = Trace(
            {name: cut(reading) for name, reading in self.readings.items()},
            self.text if isinstance(self.text, str) else self.text[index],
            [self._tokens[index]],
            self.ids[index : index + 1, first:last],
            self.attention_mask[index : index + 1, first:last],
            self.config,
            self.provenance,
        )
        row.lab = self.lab
        if first == 0:  # else the columns of an edit are others
            row.edit, row.made, row.by_need = self.edit, self.made, self.by_need
        return row

    # -- size and closing ----------------------------------------------------------------------------------

    @property
    def nbytes(self) -> int:
        """Bytes this trace keeps in memory. Readings that share storage (q, k and v do) count once."""
        storages = (reading.tensor.untyped_storage() for reading in self.readings.values())
        return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())

    @property
    def closed(self) -> bool:
        """Whether its tensors have been released."""
        return self._readings is None

    def close(self) -> None:
        """Release all tensors. A notebook keeps every result it has shown, so close large traces."""
        self._readings = self.base = self.by_need = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- reading and writing ------------------------------------------------------------------------------------

    def numpy(self) -> dict[str, np.ndarray[Any, Any]]:
        """All readings as numpy arrays, by name. bfloat16, which numpy does not have, becomes float32."""
        tensors = ((name, self[name].detach().cpu()) for name in self.names)
        return {name: (t.float() if t.dtype == torch.bfloat16 else t).numpy() for name, t in tensors}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the trace to one .safetensors file, whose tensors can be read without bloomlab."""
        path = Path(path)
        readings = {name: self._reading(name) for name in self.names}
        contents = Contents(
            readings, self.text, self._tokens, self.ids, self.attention_mask, self.config, self.provenance
        )
        tensors = {name: reading.tensor for name, reading in readings.items()}
        tensors |= {"ids": self.ids, "attention_mask": self.attention_mask}
        tensors = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
        }
        if not path.parent.is_dir():
            raise InputError(
                f"expected a folder {shorten_path(path.parent)} for the trace, but there is none; make it first"
            )
        with replacing(path) as draft:
            save_file(tensors, draft, {KEY: json.dumps(description(contents))})
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote.

        Raises:
            InputError: the file is missing, is not a saved trace, or says what cannot be.
        """
        return cls(*read_trace(path))

    def __repr__(self) -> str:
        if self._readings is None:
            return f"Trace of {self.text!r}: closed"
        spots: dict[str, int] = {}
        for name in self.names:
            short = name.split(".", 2)[2] if name.startswith("h.") else name
            spots[short] = spots.get(short, 0) + 1
        read = [name if n == 1 else f"{name} in {n} layers" for name, n in spots.items()]
        text = self.text if len(str(self.text)) <= 60 else f"{str(self.text)[:57]}..."
        edits = self.provenance.get("edits") or {}
        size = f"{self.ids.shape[1]} columns; read {', '.join(read) or 'nothing'}; {gigabytes(self.nbytes)}"
        return f"Trace of {text!r}: {size}" + (f"; edited {', '.join(edits)}" if edits else "")
