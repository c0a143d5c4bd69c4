"""A model in parts as it stands in the notebook: a BloomForCausalLM to everybody, that asks the engines for each pass.

It holds the layer norms, the names of everything, and no large matrix. A call is one question: ids, mask, what to read
and what to change go out; the scores and what was read come back. Caches stay on the engines, and here is a note of
which. A matrix that is asked for by a lens multiplies there; its numbers come here only if they are asked for.
"""

import inspect
import os
import uuid
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Self

import torch
from torch import Tensor, nn

from bloomlab.config import BloomConfig
from bloomlab.errors import CheckpointError, InputError, PartsError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import Chain, Hooks, Spot
from bloomlab.model.arguments import past_pairs
from bloomlab.model.attention import KeyValue
from bloomlab.model.bloom import BloomModel
from bloomlab.model.cache import KVCache
from bloomlab.outputs import BaseModelOutputWithPastAndCrossAttentions, CausalLMOutputWithCrossAttentions
from bloomlab.spread import part as parts
from bloomlab.spread.engines import Engines
from bloomlab.weights.hub import find
from bloomlab.weights.pretrained import shapes_only

CALLS = {kind: inspect.signature(kind.forward) for kind in (BloomForCausalLM, BloomModel)}


class FarCache(KVCache):
    """A cache that the engines keep: here is which, and what is to be done to it before it is used."""

    def __init__(
        self,
        engines: Engines,
        key: str,
        config: BloomConfig,
        size: tuple[int, int],  # rows of the batch, and columns
        dtype: torch.dtype,
        steps: tuple[tuple[str, Any], ...] = (),
        keeper: Any = None,
    ) -> None:
        self._engines, self._key, self._config, self._steps = engines, key, config, steps
        self._n_rows: int = size[0]
        self._length: int = size[1]
        self._dtype = dtype
        self._keeper = keeper or _Kept(engines, key)  # with the last note of it, the engines let it go

    @property
    def length(self) -> int:
        """How many columns it holds."""
        return self._length

    @property
    def nbytes(self) -> int:
        """Bytes that its tensors take up on the engines."""
        config = self._config
        return int(2 * config.n_layer * self._n_rows * self._length * config.hidden_size * self._dtype.itemsize)

    @property
    def note(self) -> parts.Past:
        """What is sent in its place."""
        return parts.Past(self._key, self._steps)

    def kept_by(self, engines: Engines) -> bool:
        """Whether these engines have it."""
        return self._engines is engines

    def rows(self, index: Tensor) -> Self:
        """The cache of these rows of the batch, in this order (a row may come more than once)."""
        return self._after("rows", index.cpu(), len(index), self._length)

    def columns(self, index: slice | Tensor) -> Self:
        """The cache of these columns only."""
        count = len(torch.arange(self._length)[index.cpu() if isinstance(index, Tensor) else index])
        return self._after("columns", index, self._n_rows, count)

    def copied(self) -> Self:
        """The same: a cache on the engines never changes."""
        return self

    def _after(self, step: str, index: Any, rows: int, length: int) -> Self:
        steps = (*self._steps, (step, index))
        return type(self)(self._engines, self._key, self._config, (rows, length), self._dtype, steps, self._keeper)

    def __len__(self) -> int:
        return int(self._config.n_layer)

    def __iter__(self) -> Iterator[KeyValue]:
        return (self[layer] for layer in range(len(self)))

    def __getitem__(self, layer):  # type: ignore[no-untyped-def]  # an int gives a pair, a slice several
        if isinstance(layer, slice):
            return [self[one] for one in range(len(self))[layer]]
        return self._engines.ask(parts.cached_layer, self.note, range(len(self))[layer])


class _Kept:
    """What all notes of one cache hold on to."""

    def __init__(self, engines: Engines, key: str) -> None:
        weakref.finalize(self, engines.drop, key).atexit = False


class FarMatrix(nn.Linear):
    """A matrix that is on the engines: it multiplies there, and its numbers come when they are asked for."""

    far = True

    def __init__(self, engines: Engines, name: str, like: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features, self.has_bias = like.in_features, like.out_features, like.bias is not None
        self.engines, self.name = engines, name

    @property
    def weight(self) -> Tensor:  # type: ignore[override]  # a property in a parameter's place
        """All its numbers (out, in), fetched now."""
        found: Tensor = self.engines.ask(parts.parameter, f"{self.name}.weight")
        return found

    @property
    def bias(self) -> Tensor | None:  # type: ignore[override]  # as above
        """Its bias (out), fetched now."""
        return self.engines.ask(parts.parameter, f"{self.name}.bias") if self.has_bias else None

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.engines.ask(parts.product, self.name, x)
        return found


class FarTable(nn.Embedding):
    """The table of the vocabulary, on the engines."""

    far = True

    def __init__(self, engines: Engines, name: str, like: nn.Embedding) -> None:
        nn.Module.__init__(self)
        self.num_embeddings, self.embedding_dim, self.padding_idx = like.num_embeddings, like.embedding_dim, None
        self.engines, self.name = engines, name

    @property
    def weight(self) -> Tensor:  # type: ignore[override]  # a property in a parameter's place
        """All its rows (vocab, hidden), fetched now."""
        found: Tensor = self.engines.ask(parts.parameter, f"{self.name}.weight")
        return found

    def forward(self, ids: Tensor) -> Tensor:
        found: Tensor = self.engines.ask(parts.product, self.name, ids)
        return found


def _pass(model: Any, plain: type[Any], call: dict[str, Any], hooks: Hooks) -> tuple[dict[str, Any], bool | None]:
    """Ask for one call; what the hooks asked for is put into them. The output by name, and `return_dict`."""
    engines: Engines = model.engines
    links = list(hooks.links) if isinstance(hooks, Chain) else [hooks] if hooks._names or hooks.known else []
    if any(link.read and not link.detach for link in links):
        raise PartsError(
            "no gradients come back from a model in parts, so detach=False reads nothing there; lab.attribution and "
            "lab.effects have the parts compute theirs"
        )
    past, return_dict = call.pop("past_key_values", None), call.pop("return_dict", None)
    if isinstance(past, FarCache) and past.kept_by(engines):
        column, call["past_key_values"] = past.length, past.note
    elif past is not None:
        pairs = past_pairs(past, model.config)
        column, call["past_key_values"] = pairs[0][0].shape[2] if pairs else 0, pairs
    else:
        column = 0
    key = uuid.uuid4().hex
    keeper = _Kept(engines, key)  # also of a call that is interrupted
    asked = [parts.Asked(tuple(each.read), tuple(each._names), each.edit, each.known) for each in links]
    found, readings, kept = engines.ask(parts.run_pass, plain is BloomModel, call, asked, key)
    for link, read in zip(links, readings, strict=True):
        link.take(column, read)
    if kept is not None:
        found["past_key_values"] = FarCache(engines, key, model.config, kept, model.dtype, keeper=keeper)
    return found, return_dict


def _bound(plain: type[Any], model: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name, without the model and the hooks."""
    call = dict(CALLS[plain].bind(model, *arguments, **named).arguments)
    del call["self"]
    call |= call.pop("deprecated", {})
    call.pop("hooks", None)
    return call


class BodyInParts(BloomModel):
    """The body of a model in parts."""

    engines: Engines

    def forward(self, *arguments: Any, hooks: Hooks | None = None, **named: Any) -> Any:
        """BloomModel's, computed by the engines."""
        call = _bound(BloomModel, self, arguments, named)
        found, return_dict = _pass(self, BloomModel, call, self.checked(hooks))
        return BaseModelOutputWithPastAndCrossAttentions(**found).returned(return_dict, self.config)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return self.ln_f.weight.dtype

    def hook_names(self) -> dict[str, Spot]:
        """All spots, as of a model in one process."""
        spots: dict[str, Spot] = _twin(BloomModel, self.config).hook_names()
        return spots

    def named_parameters(self, prefix: str = "", *_: Any, **__: Any) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters one after the other, each fetched when it is its turn."""
        start = f"{prefix}." if prefix else ""
        for name, _like in _twin(BloomModel, self.config).named_parameters():
            yield start + name, _fetched(self.engines, f"transformer.{name}")


class BloomInParts(BloomForCausalLM):
    """A BloomForCausalLM in several processes; `bloomlab.load(…, engines=…)` opens one.

    Attributes:
        engines: the processes; `model.engines.patience` is how many seconds one waits for another, and
            `model.engines.close()` ends those that were started here.
    """

    engines: Engines

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str],
        engines: Any,
        dtype: str | torch.dtype = "float32",
        device: str | None = None,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Open a model whose parts are on these engines; each reads its share of the files.

        Args:
            folder: of a model, the same on all machines; or its name on the hub.
            engines: how many to start on this machine; or those of an ipyparallel client, as `rc[:]`.
            dtype, device, revision, cache_dir: as in `from_pretrained`. On "cuda" the parts take a card each.

        Raises:
            CheckpointError, ConfigError, DownloadError, InputError: as `from_pretrained` does.
            MissingPackageError: ipyparallel is not installed.
            PartsError: an engine does not start or does not answer.
        """
        if dtype in ("int8", torch.int8):
            raise InputError("a model in parts computes in the numbers of its files, not in int8; choose 'bfloat16'")
        source = find(folder, CheckpointError, revision, cache_dir)
        config = BloomConfig.from_pretrained(source.fetch("config"))
        with shapes_only():  # no numbers: those come from the engines
            model = cls(config)
        model._reach(Engines(engines), source, cache_dir, str(dtype).removeprefix("torch."), device)
        return model.eval()

    def _reach(self, engines: Engines, source: Any, cache_dir: Any, dtype: str, device: str | None) -> None:
        """Open the parts, and put what reaches them in the place of every large matrix."""
        where = (source.name, source.commit, cache_dir) if source.commit else (str(source.folder.resolve()), None, None)
        try:
            opened = engines.ask(parts.open_part, engines.key, where, self.config, dtype, device)
        except BaseException:
            engines.end()
            raise
        self.engines = engines
        self.transformer.__dict__["engines"] = engines
        self.transformer.__class__ = BodyInParts
        for name, layer in list(self.named_modules()):
            owner, _, leaf = name.rpartition(".")
            far = {nn.Linear: FarMatrix, nn.Embedding: FarTable}.get(type(layer))
            if far is not None and leaf != "position_embeddings":
                setattr(self.get_submodule(owner), leaf, far(engines, name, layer))
        for name, tensor in opened["norms"].items():
            owner, _, leaf = name.rpartition(".")
            setattr(self.get_submodule(owner), leaf, nn.Parameter(tensor, requires_grad=False))
        if self.transformer.position_embeddings is not None:
            self.transformer.position_embeddings.weight = nn.Parameter(opened["positions"], requires_grad=False)

    def forward(self, *arguments: Any, hooks: Hooks | None = None, **named: Any) -> Any:
        """BloomForCausalLM's, computed by the engines.

        Raises:
            PartsError: an engine fails, is gone or does not answer; or gradients are asked for.
        """
        call = _bound(BloomForCausalLM, self, arguments, named)
        found, return_dict = _pass(self, BloomForCausalLM, call, self.checked(hooks))
        return CausalLMOutputWithCrossAttentions(**found).returned(return_dict, self.config)

    @property
    def device(self) -> torch.device:
        """Where results come to: here."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return self.transformer.ln_f.weight.dtype

    def hook_names(self) -> dict[str, Spot]:
        """All spots, as of a model in one process."""
        spots: dict[str, Spot] = _twin(BloomForCausalLM, self.config).hook_names()
        return spots

    def named_parameters(self, prefix: str = "", *_: Any, **__: Any) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters one after the other, each fetched when it is its turn."""
        start = f"{prefix}." if prefix else ""
        for name, _like in _twin(BloomForCausalLM, self.config).named_parameters():
            yield start + name, _fetched(self.engines, name)

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """How many numbers the model has; weights that are tied count once. None of them can be trained."""
        twin = _twin(BloomForCausalLM, self.config)
        count: int = twin.num_parameters(False, exclude_embeddings)
        return 0 if only_trainable else count

    def hash_of_weights(self) -> str:
        """Twelve hex digits that identify the weights, the same as those of the model in one process."""
        if "_digest" not in self.__dict__:
            self.__dict__["_digest"] = self.engines.ask(parts.digest)
        found: str = self.__dict__["_digest"]
        return found

    def beside_weights(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """`function(model, *arguments)` with each engine's part in the model's place; what the first returns."""
        return self.engines.ask(parts.beside, function, *arguments)

    def train(self, mode: bool = True) -> Self:
        """A model in parts is looked at, not trained.

        Raises:
            InputError: mode is True.
        """
        if mode:
            raise InputError("a model in parts cannot be trained; open it in one process: bloomlab.load(…)")
        return super().train(mode)

    def __reduce__(self) -> Any:
        return parts.part_of, (self.engines.key,)


def _fetched(engines: Engines, name: str) -> nn.Parameter:
    return nn.Parameter(engines.ask(parts.parameter, name), requires_grad=False)


def _twin(kind: type[Any], config: BloomConfig) -> Any:
    """The same model in one process, without numbers."""
    with shapes_only():
        return kind(config)
