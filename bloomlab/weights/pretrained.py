"""What all BLOOM models share: creating, opening and saving them. It does not know the components."""

import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bloomlab.config import ALIASES, BloomConfig
from bloomlab.elsewhere import MODEL
from bloomlab.errors import CheckpointError, InputError, did_you_mean
from bloomlab.guards.arguments import flag
from bloomlab.guards.files import check_unchanged, make_folder, versions
from bloomlab.guards.memory import SMALLER_PASS, check_memory, within_memory
from bloomlab.guards.uninterrupted import uninterrupted
from bloomlab.hooks import NO_HOOKS, Hooks, Spot, list_spots
from bloomlab.weights import devices, slowly
from bloomlab.weights.checkpoint import (
    check_fits,
    match,
    open_folder,
    read_state,
    refuse_quantized,
    shard_bytes,
    write_state,
)
from bloomlab.weights.for_others import ForOthers
from bloomlab.weights.hub import find
from bloomlab.weights.int8 import refuse_saving, refuse_training, to_int8
from bloomlab.weights.reopens import state_to_save

Result = TypeVar("Result")

DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
    "int8": torch.int8,  # of the matrices; what is computed with is bfloat16
}


class BloomPreTrainedModel(ForOthers):
    """The base of BloomModel and of the models with a head.

    Attributes:
        device_map: of a model on several devices, where the weights of which part are; else None.
    """

    config_class = BloomConfig
    base_model_prefix = "transformer"
    device_map: dict[str, str] | None = None
    _first_device: torch.device | None = None

    def __init__(self, config: BloomConfig) -> None:
        super().__init__()
        if not isinstance(config, BloomConfig):
            raise InputError(f"a model is made from a BloomConfig, but got {type(config).__name__}")
        if torch.get_default_device().type == "cpu":
            size = config.parameter_count() * torch.get_default_dtype().itemsize
            check_memory(size, f"a new model of {config.parameter_count():,} parameters", "make it smaller")
        self.config = config

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """One pass, as `forward` describes it.

        Raises:
            MemoryLimitError: it needs more memory than there is.
        """
        what = f"a pass of {type(self).__name__}"
        return within_memory(partial(super().__call__, *arguments, **named), what, SMALLER_PASS)

    # -- opening and saving ----

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str],
        dtype: torch.dtype | str | None = None,
        torch_dtype: torch.dtype | str | None = None,
        device: torch.device | str | None = None,
        config: BloomConfig | None = None,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        ignore_mismatched_sizes: bool = False,
        allow: str | None = None,
        device_map: str | Mapping[str, Any] | None = None,
        max_memory: Mapping[Any, int | str] | None = None,
        **config_overrides: Any,
    ) -> Self:
        """The model in a folder or on the hub, ready to use (in eval mode).

        If the file has the right dtype, the weights stay there and are read when they are used; otherwise
        they are cast while they are read. Nothing outside the new model changes: neither the global random state
        nor the default dtype, and if the load fails, nothing at all.

        Args:
            folder: holds config.json and the weights, in any layout that BLOOM was published in; or the name of a
                model on the hub, such as "560m" or "owner/name".
            dtype: float32 unless said otherwise; "auto" for the dtype in the files; "int8" for matrices as whole
                numbers and all else in bfloat16 (see `bloomlab.weights.int8`). `torch_dtype` is the same.
            device: where to put it; the CPU unless said otherwise.
            config: in place of the folder's config.json.
            revision, cache_dir: of a name: which branch, tag or commit, and where to keep what is downloaded.
            ignore_mismatched_sizes: make a head new, too, that has another shape in the files.
            allow: "slow" opens a model that is larger than the memory: its weights stay in their files (so in their
                dtype) and are read from the disk in every pass. How long that takes is said in a warning.
            device_map, max_memory: for several devices; see `bloomlab.weights.devices.plan`. Each part's input is
                brought to where it computes, and logits come back to the first device, `model.device`.
            **config_overrides: win over config.json, e.g. num_labels=3.

        A head that the files do not have is made new, with one warning that says so.

        Raises:
            CheckpointError: the files are missing, broken, or of another model.
            ConfigError: config.json is broken, or not a BLOOM's.
            MemoryLimitError: the model does not fit into this machine's memory.
            DownloadError: a file cannot be fetched.
            InputError: an argument does not fit.
        """
        number_type, place, slow = _dtype(dtype, torch_dtype), _device(device), slowly.checked(allow)
        if slow and number_type == torch.int8:
            raise InputError(
                "allow='slow' leaves the weights in their files, and int8 makes others; choose one of them"
            )
        _check_places(device_map, max_memory, device, slow, number_type)
        source = find(folder, CheckpointError, revision, cache_dir)
        if config is not None and not isinstance(config, BloomConfig):
            raise InputError(f"config must be a BloomConfig, but got {type(config).__name__}")
        files = versions(() if config else [source.fetch("config") / "config.json"])
        config = overridden(config or BloomConfig.from_pretrained(source.fetch("config")), config_overrides)
        if quantized := getattr(config, "quantization_config", None):
            refuse_quantized(quantized, None if source.commit else source.fetch("weights"))
        made: Callable[[], Self] = cache(lambda: uninterrupted(partial(_without_numbers, cls, config))[0])
        if source.commit and not slow and device_map is None:  # refuse what will not fit before it is downloaded
            check_fits(config.parameter_count(), number_type or torch.bfloat16)
        if source.commit:
            made()
        path = source.fetch("weights")
        stored, model = open_folder(path, made), made()
        shapes = {name: tuple(tensor.shape) for name, tensor in model.named_parameters()}
        plan = match(stored, shapes, model._head_names(), flag("ignore_mismatched_sizes", ignore_mismatched_sizes))
        whole = number_type == torch.int8
        if number_type is None or whole:  # rounded from what the files hold
            number_type = next(tensor.dtype for tensor in plan.source.values())
        places = None if device_map is None else devices.plan(model, device_map, max_memory, number_type)
        state = read_state(plan, number_type, whole, slow, places)
        for file, seen in files.items():  # else these could be the weights of a model that was saved there meanwhile
            check_unchanged(file, seen, CheckpointError)
        without_gradients(model.load_state_dict, state_dict=state, strict=False, assign=True)
        model._make_new(plan.new, number_type, ignore_mismatched_sizes)
        model._tie()
        if whole:
            without_gradients(to_int8, model=model)
        if places is not None:
            model._place(places, plan.new)
        return model.eval() if place is None else without_gradients(model.to, device=place).eval()

    def save_pretrained(self, folder: str | os.PathLike[str], max_shard_size: int | str = "50GB") -> None:
        """Write config.json and model.safetensors (or shards of at most max_shard_size, e.g. "5GB").

        Names and layout are those that transformers reads and writes. Weights that are tied are written once, and the
        config says whether they are. What was saved opens as the same model, bit for bit, in the dtype that it has.

        Raises:
            CheckpointError: the folder cannot be written; or the model was changed in a way that the config does not
                say, so that another one would be opened. Then nothing is written.
            InputError: max_shard_size is not a size.
        """
        shard_bytes(max_shard_size)
        refuse_saving(self)
        path, head = Path(folder), self.get_output_embeddings()
        about: dict[str, Any] = {
            "architectures": [type(self).__name__],
            "dtype": str(self.dtype).removeprefix("torch."),
        }
        if head is not None:
            about["tie_word_embeddings"] = head.weight is self.get_input_embeddings().weight
        values = {name: value for name, value in self.config.to_dict().items() if name != "torch_dtype"}
        config = BloomConfig.from_dict({**values, **about})
        state = state_to_save(self, uninterrupted(partial(_without_numbers, type(self), config))[0])
        try:
            make_folder(path)
            write_state(path, state, max_shard_size, {"config.json": config.to_dict()})
        except InputError as error:
            raise CheckpointError(str(error)) from None

    def _place(self, places: Mapping[str, devices.Place], new: list[str]) -> None:
        """Have the parts of this model compute in these places. What was read is there; `new` weights are not yet."""
        for name in new:
            owner, _, leaf = name.rpartition(".")
            there = self.get_parameter(name).detach().to(devices.weights_place(places, name))
            setattr(self.get_submodule(owner), leaf, nn.Parameter(there))
        devices.attach(self, places)
        first = devices.computes_on(places, next(name for name, _ in self.named_parameters()))
        for model in {self, self.base_model}:
            model.device_map, model._first_device = {name: str(place) for name, place in places.items()}, first

    def _head_names(self) -> list[str]:
        """The parameters outside the base model, which a file may lack."""
        start = f"{self.base_model_prefix}."
        return [
            name for name, _ in self.named_parameters() if not name.startswith(start) and self.base_model is not self
        ]

    def _make_new(self, names: list[str], dtype: torch.dtype, resized: bool = False) -> None:
        """Initialise the parameters that the files lacked, and warn."""
        if not names:
            return
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers continue as if nothing had happened
            for name in names:
                owner, _, leaf = name.rpartition(".")
                new = torch.zeros(self.get_parameter(name).shape, dtype=dtype, device="cpu")
                if leaf == "weight":
                    new.normal_(0.0, self.config.initializer_range)
                setattr(self.get_submodule(owner), leaf, nn.Parameter(new))
        shown = ", ".join(names)
        why = "not in the files, or not in this shape" if resized else "not in the files"
        warnings.warn(f"{shown}: {why}, so made new at random; train the model before use", stacklevel=3)

    # -- initialisation ----

    def init_weights(self, *modules: nn.Module) -> None:
        """New weights for these modules (all by default): normal(0, initializer_range), biases 0, norms 1, 0."""
        for module in modules or (self,):
            for part in module.modules():
                if isinstance(part, nn.Linear | nn.Embedding):
                    nn.init.normal_(part.weight, 0.0, self.config.initializer_range)
                if isinstance(part, nn.Linear) and part.bias is not None:
                    nn.init.zeros_(part.bias)
                if isinstance(part, nn.LayerNorm):
                    nn.init.ones_(part.weight)
                    nn.init.zeros_(part.bias)

    # -- what the documentation promises of every model ----

    @property
    def base_model(self) -> "BloomPreTrainedModel":
        """The model without its head; the model itself if it has none."""
        base: BloomPreTrainedModel = getattr(self, self.base_model_prefix, self)
        return base

    @property
    def device(self) -> torch.device:
        """Where the weights are; of a model on several devices, where ids go and logits come from."""
        return self._first_device or next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights; where they are whole numbers, that of what is computed."""
        return next(weights.dtype for weights in self.parameters() if weights.is_floating_point())

    def train(self, mode: bool = True) -> Self:
        """For training, or with False for use.

        Raises:
            InputError: the weights are in int8, which cannot be trained.
        """
        if mode:
            refuse_training(self)
        return super().train(mode)

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """How many numbers the model has; weights that are tied count once."""
        table = self.get_input_embeddings().weight
        return sum(
            weights.numel()
            for weights in self.parameters()
            if (weights.requires_grad or not only_trainable) and not (exclude_embeddings and weights is table)
        )

    def get_input_embeddings(self) -> nn.Embedding:
        """The table that holds a vector for each token."""
        table: nn.Embedding = self.base_model.get_submodule("word_embeddings")  # type: ignore[assignment]  # it is one
        return table

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the table (a tied head follows)."""
        if not isinstance(value, nn.Embedding) or value.embedding_dim != self.config.hidden_size:
            got = f"width {value.embedding_dim}" if isinstance(value, nn.Embedding) else type(value).__name__
            raise InputError(f"expected an nn.Embedding of width {self.config.hidden_size}, but got {got}")
        head, table = self.get_output_embeddings(), self.get_input_embeddings()
        follows = head is not None and head.weight is table.weight
        self.base_model.word_embeddings = value
        self.config.vocab_size = value.num_embeddings
        if follows:  # a head with weights of its own keeps them
            self.tie_weights()

    def get_output_embeddings(self) -> nn.Linear | None:
        """The layer that scores every token, if the model has one."""
        head: nn.Linear | None = getattr(self, "lm_head", None)
        return head

    def resize_token_embeddings(self, new_num_tokens: int | None = None) -> nn.Embedding:
        """Give the table this many rows, and a head over the vocabulary too: the first rows stay as they are,
        new ones are initialised. Returns the table."""
        table, head = self.get_input_embeddings(), self.get_output_embeddings()
        if new_num_tokens is None or new_num_tokens == table.num_embeddings:
            return table
        if type(new_num_tokens) is not int or new_num_tokens < 1:
            raise InputError(f"expected a number of tokens of at least 1, but got {new_num_tokens!r}")
        if head is not None and head.weight is not table.weight:
            head.weight = self._resized(head.weight, new_num_tokens)
        if head is not None:
            head.out_features = new_num_tokens
        new = nn.Embedding(1, table.embedding_dim).train(table.training)
        new.weight, new.num_embeddings = self._resized(table.weight, new_num_tokens), new_num_tokens
        self.set_input_embeddings(new)
        return new

    def _resized(self, rows: Tensor, n: int) -> nn.Parameter:
        new = torch.empty(n, rows.shape[1], dtype=rows.dtype, device=rows.device)
        new.normal_(0.0, self.config.initializer_range)
        new[: len(rows)] = rows.detach()[:n]
        return nn.Parameter(new, requires_grad=rows.requires_grad)

    def tie_weights(self) -> None:
        """Make a head share the embedding table; without such a head there is nothing to tie."""

    def _tie(self) -> None:
        if self.config.tie_word_embeddings:
            self.tie_weights()

    def gradient_checkpointing_enable(self, *_: Any, **options: Any) -> None:
        """In training, keep less for the backward pass and recompute the rest: slower, but with less memory.

        Options are accepted, for Trainer: it is always done for every block, as with `use_reentrant` False.
        """
        setattr(self.base_model, "gradient_checkpointing", True)  # noqa: B010  # BloomModel has it, not every model

    def gradient_checkpointing_disable(self) -> None:
        """In training, keep everything for the backward pass."""
        setattr(self.base_model, "gradient_checkpointing", False)  # noqa: B010  # as above

    if not TYPE_CHECKING:  # for a type checker such a name is an error

        def __getattr__(self, name):
            try:
                return super().__getattr__(name)
            except AttributeError as error:
                if name not in MODEL:
                    raise
                raise AttributeError(f"{error}; here that is {MODEL[name]}") from None

    def beside_weights(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """`function(model, *arguments)`, where the weights are: here, or in each process that has a part of them."""
        return function(self, *arguments)

    # -- hooks ----

    def checked(self, hooks: Hooks | None) -> Hooks:
        """The hooks of a call, after checking that all their names exist; NO_HOOKS for None."""
        if hooks is None:
            return NO_HOOKS
        if not isinstance(hooks, Hooks):
            raise InputError(f"hooks must be Hooks(read=[…], edit={{…}}), but got {type(hooks).__name__}")
        hooks.check(self.hook_names)
        return hooks

    def hook_names(self) -> dict[str, Spot]:
        """All spots of this model, in the order a call passes them, with their axes and shapes.

        A shape holds a number where the config fixes the size, and the axis' name where the call does.
        """
        model_class: Any = type(self)
        return dict(_spots(model_class, json.dumps(self.config.to_dict(), sort_keys=True, default=str)))


@lru_cache(maxsize=64)
def _spots(model_class: Any, values: str) -> dict[str, Spot]:
    return uninterrupted(partial(_dry_run, model_class, values))[0]


def _dry_run(model_class: Any, values: str) -> dict[str, Spot]:
    """A dry run through a copy that is as deep but as narrow as possible; the true widths come from the config.

    (Not through tensors without numbers: for those torch loads 800 modules, which takes more than a second.)
    """
    config = BloomConfig.from_dict(json.loads(values))
    with _Unfilled():
        # (the spots are the same with any positions, and an edit would refuse numbers that are not filled in)
        narrow = BloomConfig.from_dict(config.to_dict(), hidden_size=config.n_head, vocab_size=2, positions="alibi")
        model = model_class(narrow).eval()
    widths = {
        "hidden": config.hidden_size,
        "head_dim": config.head_dim,
        "neuron": 4 * config.hidden_size,
        "vocab": config.vocab_size,
    }

    def run(hooks: Hooks) -> Any:
        with torch.no_grad():
            return model(input_ids=torch.zeros(1, 1, dtype=torch.long), hooks=hooks)

    return {
        name: Spot(
            spot.axes,
            tuple(widths.get(axis, size) for axis, size in zip(spot.axes.split(), spot.shape, strict=True)),
        )
        for name, spot in list_spots(run).items()
    }


def _without_numbers(model_class: Callable[[BloomConfig], Result], config: BloomConfig) -> Result:
    with shapes_only():
        return model_class(config)


def without_gradients(run: Callable[..., Any], **arguments: Any) -> Any:
    """The result of `run(**arguments)`, with nothing kept for gradients.

    `with torch.no_grad()` is itself a few lines of Python: an interrupt between them leaves gradients off for good.
    Here every line that changes the mode is covered by the `finally` that restores it, even those inside `run`:
    torch's own initialisers use that `with`.
    """
    before = torch.is_grad_enabled()
    try:
        torch._C._set_grad_enabled(False)
        return run(**arguments)
    finally:
        torch._C._set_grad_enabled(before)


def with_gradients(run: Callable[..., Any], **arguments: Any) -> Any:
    """The result of `run(**arguments)` with gradients on, also inside torch.no_grad() or torch.inference_mode().

    One object of torch's holds all the modes that were on, and gives them back even after an interrupt.
    """
    modes = torch._C._InferenceMode(False)
    try:
        modes.__enter__()
        return run(**arguments)
    finally:
        modes.__exit__(None, None, None)


class _Unfilled(TorchFunctionMode):
    """Leave new tensors as they are."""

    FILLING = (
        *(nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_, nn.init.constant_),
        *(Tensor.normal_, Tensor.uniform_, Tensor.fill_, Tensor.zero_),
    )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in self.FILLING:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@contextmanager
def shapes_only() -> Iterator[None]:
    """Models created here have shapes, but no memory and no numbers.

    Without this, torch would "fill" even tensors without memory, and load 800 modules for it: a second, and 70 MB.

    >>> with shapes_only():
    ...     layer = nn.Linear(1_000_000, 1_000_000)
    >>> layer.weight.is_meta
    True
    """
    with torch.device("meta"), _Unfilled():
        yield


def _dtype(dtype: Any, torch_dtype: Any) -> torch.dtype | None:
    """The dtype from the two spellings of one argument; None means "as in the files"."""
    if dtype is not None and torch_dtype is not None and dtype != torch_dtype:
        raise InputError(f"dtype and torch_dtype are one argument, but got {dtype!r} and {torch_dtype!r}; pass one")
    asked = torch_dtype if dtype is None else dtype
    if asked is None:
        return torch.float32
    name = str(asked).removeprefix("torch.") if isinstance(asked, str | torch.dtype) else ""
    if name == "auto":
        return None
    if name not in DTYPES:
        hint = did_you_mean(name, [*DTYPES, "auto"])
        raise InputError(f"dtype must be 'auto' or one of {', '.join(DTYPES)}, but got {asked!r}{hint}")
    return DTYPES[name]


def _check_places(device_map: Any, max_memory: Any, device: Any, slow: bool, dtype: torch.dtype | None) -> None:
    """Refuse what cannot be had beside a device_map."""
    if device_map is None:
        if max_memory is not None:
            raise InputError("max_memory is what device_map='auto' plans with; add it, or leave max_memory out")
        return
    if device is not None:
        raise InputError("device is one device, and device_map places parts on several; choose one of them")
    if slow:
        raise InputError("with a device_map, what is too large for the memory is placed on 'disk'; leave allow out")
    if dtype == torch.int8:
        raise InputError("device_map places the weights of the files, and int8 makes others; choose one of them")


def _device(asked: Any) -> torch.device | None:
    """The requested device, if this machine has it."""
    try:
        return None if asked is None else torch.empty(0, device=asked).device
    except (RuntimeError, AssertionError, TypeError) as error:
        why = str(error).partition("\n")[0][:80]
        raise InputError(f"device must be one that works here, such as 'cpu', but got {asked!r} ({why})") from None


ELSEWHERE = {
    **dict.fromkeys(("token", "use_auth_token"), "put the token into the environment, as HF_TOKEN"),
    "local_files_only": "set HF_HUB_OFFLINE=1 in the environment",
    "force_download": "every file is checked against its hash; leave it out",
    "trust_remote_code": "no code of a model is ever run here; leave it out",
    "low_cpu_mem_usage": "opening a model never takes more; leave it out",
}
"""What other libraries take in from_pretrained -> what to do here."""


def overridden(config: BloomConfig, overrides: dict[str, Any]) -> BloomConfig:
    """A copy of the config with these values replaced."""
    values = config.to_dict()
    for name in overrides:
        if name not in values and name not in ALIASES and name not in ("num_labels", "attn_implementation"):
            names = [*values, *ALIASES, "num_labels"]
            hint = f"; {ELSEWHERE[name]}" if name in ELSEWHERE else did_you_mean(name, names)
            raise InputError(f"expected a name of the config, but got {name!r}{hint}")
    return BloomConfig.from_dict(values, **overrides)
