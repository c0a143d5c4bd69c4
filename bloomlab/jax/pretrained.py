"""What both JAX models share: creating, calling, opening and saving them. It does not know the components."""

import os
import warnings
from collections.abc import Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array

from bloomlab.config import BloomConfig
from bloomlab.errors import CheckpointError, InputError, shorten
from bloomlab.guards.arguments import flag
from bloomlab.guards.files import make_folder, saying_why_not
from bloomlab.guards.memory import SMALLER_PASS, check_memory, within_memory
from bloomlab.hooks import Hooks as TorchHooks
from bloomlab.hooks import Spot, list_spots
from bloomlab.jax.arguments import asked, checked_cache_size, checked_dtype, checked_inputs, checked_key, checked_shape
from bloomlab.jax.cache import KVCache, init_cache
from bloomlab.jax.checkpoint import (
    DTYPES,
    checked_params,
    open_weights,
    to_params,
    to_state,
    torch_name,
    torch_shapes,
    write_msgpack,
)
from bloomlab.jax.hooks import NO_HOOKS, Hooks
from bloomlab.model.arguments import refuse_unknown
from bloomlab.model.positions import kind_of
from bloomlab.weights.checkpoint import match, read_state, refuse_quantized, shard_bytes, write_state
from bloomlab.weights.hub import find
from bloomlab.weights.layouts import MSGPACK
from bloomlab.weights.pretrained import overridden

SAYS = (
    "vocab_size hidden_size n_layer n_head layer_norm_epsilon apply_residual_connection_post_layernorm slow_but_exact "
    "pretraining_tp tie_word_embeddings"
).split()
"""What of a config the module computes by."""

SAME_STEP = 3  # after so many calls, each a column longer than the last, it must be a loop that compiles at every token


class FlaxBloomPreTrainedModel:
    """The base of FlaxBloomModel and FlaxBloomForCausalLM: a flax module and its params.

    Args:
        config: what the model is made of.
        input_shape: of the ids the params are made with; BLOOM's do not depend on it.
        seed: of the new params, drawn from normal(0, initializer_range).
        dtype: what to compute in. The params are float32 whatever it is; see `to_bf16` and `to_fp16`.
        _do_init: False makes no params; pass them to each call.

    Attributes:
        module: the flax module, for `module.apply({"params": params}, …)`.
        params: the weights, a tree of arrays.
        name: what it was opened as, for those who look at a Trace of it.
    """

    config_class = BloomConfig
    base_model_prefix = "transformer"
    module_class: ClassVar[Any]

    def __init__(
        self,
        config: BloomConfig,
        input_shape: tuple[int, int] = (1, 1),
        seed: int = 0,
        dtype: Any = jnp.float32,
        _do_init: bool = True,
    ) -> None:
        if not isinstance(config, BloomConfig):
            raise InputError(f"a model is made from a BloomConfig, but got {type(config).__name__}")
        if kind_of(config) != "alibi":
            raise InputError(f"the JAX classes know ALiBi's positions only, but the config says {config.positions!r}")
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise InputError(f"seed must be a whole number, but got {shorten(seed)}")
        self.config, self.input_shape, self.dtype = config, checked_shape(input_shape), checked_dtype(dtype)
        self.module: nn.Module = self.module_class(config, self.dtype)
        self._built = {name: getattr(config, name) for name in SAYS}
        self.key = jax.random.PRNGKey(seed)
        self._params: Any = None
        self.name = "unnamed"
        self._last_shape: tuple[int, ...] = (0, 0)
        self._growing = 0
        if _do_init:
            size = config.parameter_count() * 4
            check_memory(size, f"a new model of {config.parameter_count():,} parameters", "make it smaller")
            draw = partial(self.init_weights, self.key, self.input_shape)
            self._params = within_memory(draw, "a new model", "make it smaller")

    # -- a call ----

    def __call__(
        self,
        input_ids: Any,
        attention_mask: Any = None,
        past_key_values: KVCache | None = None,
        params: Any = None,
        dropout_rng: Any = None,
        train: bool = False,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        hooks: TorchHooks | None = None,
        **deprecated: Any,
    ) -> Any:
        """One pass over the new columns: compiled once for each shape of its inputs.

        Args:
            input_ids: (batch, pos) token ids.
            attention_mask: (batch, key) 1 for a token, 0 for padding, past and new columns together; or (batch,
                max_length) of the cache.
            past_key_values: a cache from `init_cache` or an earlier call; it does not change.
            params: the weights, in place of the model's own.
            dropout_rng: a key of random numbers, which `train` needs where the config has dropout.
            train: whether to drop out.
            output_attentions, output_hidden_states: return all of them; `hooks` reads single ones.
            return_dict: False for a plain tuple of the values that are there.
            hooks: what to read and what to change in this call. With edits it runs step by step, as it is written.

        Raises:
            InputError: the inputs do not fit each other or the model.
            HookError: a spot does not exist, or an edit does not give back what it should.
            MemoryLimitError: it needs more memory than there is.
        """
        refuse_unknown(deprecated)
        ids, mask, past = checked_inputs(input_ids, attention_mask, past_key_values, self.config)
        if dropout_rng is not None:
            checked_key("dropout_rng", dropout_rng)
        elif train and self.config.hidden_dropout + self.config.attention_dropout > 0:
            raise InputError("train=True drops out at random; pass dropout_rng=jax.random.key(0), a new one each call")
        attentions, states = asked(output_attentions, output_hidden_states, self.config)
        own = self.checked(hooks)
        params = self.params if params is None else checked_params(params, self.params_shape_tree)
        own.start(0 if past is None else past["column"])
        read = own.read.union(attentions, states)
        inputs = (params, ids, mask, past, dropout_rng, bool(train), read)
        if own.edit:  # an edit may be any Python, so this pass runs as it is written, a step at a time
            run = partial(self._pass, *inputs, own.edit)
        else:
            self._say_if_it_grows(ids, past)
            run = partial(self._compiled, *inputs)
        output, readings = within_memory(run, f"a pass of {type(self).__name__}", SMALLER_PASS)
        own.keep(readings, self.hook_names)
        output.hidden_states = tuple(readings[name] for name in states) or None
        output.attentions = tuple(readings[name] for name in attentions) or None
        return output.returned(return_dict, self.config)

    def _pass(
        self,
        params: Any,
        ids: Array,
        mask: Array,
        past: KVCache | None,
        dropout_rng: Any,
        train: bool,
        read: frozenset[str],
        edit: Mapping[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """One pass as a function of its arguments: the output, and what was read. It has no side effects."""
        hooks = Hooks(TorchHooks(read, edit, detach=False))
        rngs = None if dropout_rng is None else {"dropout": dropout_rng}
        output = self.module.apply({"params": params}, ids, mask, past, hooks, train, rngs=rngs)
        return output, {name: reading.tensor for name, reading in hooks.readings.items()}

    @cached_property
    def _compiled(self) -> Any:
        return jax.jit(self._pass, static_argnames=("train", "read"))

    def _say_if_it_grows(self, ids: Array, past: KVCache | None) -> None:
        """Warn once that a loop which passes one column more each time compiles at every token."""
        rows, width = self._last_shape
        self._growing = self._growing + 1 if past is None and ids.shape == (rows, width + 1) else 0
        self._last_shape = ids.shape
        if self._growing == SAME_STEP:
            warnings.warn(
                f"each of these {SAME_STEP + 1} calls was one column longer than the last, and every new shape is "
                "compiled anew; use generate, a cache (init_cache), or pad all inputs to one width",
                stacklevel=3,
            )
            self._growing = -(1 << 60)

    def init_cache(self, batch_size: int, max_length: int) -> KVCache:
        """An empty cache with room for `max_length` columns, to pass as past_key_values."""
        checked_cache_size(batch_size, max_length)
        return init_cache(self.config, batch_size, max_length, self.dtype)

    # -- params ----

    @property
    def params(self) -> Any:
        """The weights: a tree of arrays with the checkpoint's names."""
        if self._params is None:
            raise InputError("this model holds no params (_do_init=False); pass params=… to the call")
        return self._params

    @params.setter
    def params(self, params: Any) -> None:
        self._params = checked_params(params, self.params_shape_tree)

    @cached_property
    def params_shape_tree(self) -> Any:
        """The tree of the params, with shapes in place of numbers."""
        ids = jax.ShapeDtypeStruct(self.input_shape, jnp.int32)
        return jax.eval_shape(self.module.init, jax.random.PRNGKey(0), ids, ids)["params"]

    def init_weights(self, rng: Any, input_shape: tuple[int, int] = (1, 1), params: Any = None) -> Any:
        """New params: normal(0, initializer_range), biases 0, norms 1, 0. `params` that are given stay as they are."""
        flat = flatten_dict(self.params_shape_tree)
        keys = jax.random.split(rng, len(flat))
        drawn = {path: self._new(path[-1], leaf, key) for (path, leaf), key in zip(flat.items(), keys, strict=True)}
        return unflatten_dict(drawn | ({} if params is None else flatten_dict(params)))

    def _new(self, name: str, leaf: Any, key: Array) -> Array:
        if name in ("kernel", "embedding"):
            drawn: Array = self.config.initializer_range * jax.random.normal(key, leaf.shape)
            return drawn
        return jnp.ones(leaf.shape) if name == "scale" else jnp.zeros(leaf.shape)

    def to_bf16(self, params: Any) -> Any:
        """The params in bfloat16; the model's own stay as they are: `model.params = model.to_bf16(model.params)`."""
        return _cast(params, jnp.bfloat16)

    def to_fp16(self, params: Any) -> Any:
        """The params in float16."""
        return _cast(params, jnp.float16)

    def to_fp32(self, params: Any) -> Any:
        """The params in float32."""
        return _cast(params, jnp.float32)

    def num_parameters(self) -> int:
        """How many numbers the model has; weights that are tied count once."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.params_shape_tree))

    # -- opening and saving ----

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str],
        dtype: Any = jnp.float32,
        config: BloomConfig | None = None,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        _do_init: bool = True,
        ignore_mismatched_sizes: bool = False,
        **config_overrides: Any,
    ) -> Any:
        """The model in a folder or on the hub, from the very files the torch classes read, or flax_model.msgpack.

        Args:
            folder: as for the torch classes.
            dtype: what to compute in; "auto" for the dtype in the files. The params are float32 whatever it is.
            config: in place of the folder's config.json.
            revision, cache_dir: of a name: which branch, tag or commit, and where to keep what is downloaded.
            _do_init: False gives (model, params), and the model holds none.
            ignore_mismatched_sizes: make a head new, too, that has another shape in the files.
            **config_overrides: win over config.json.

        Raises:
            CheckpointError, ConfigError, MemoryLimitError, DownloadError, InputError: as the torch classes do.
        """
        config_overrides.pop("from_pt", None)  # old code says so; here every layout opens without
        number_type = None if isinstance(dtype, str) and dtype == "auto" else checked_dtype(dtype)
        source = find(folder, CheckpointError, revision, cache_dir)
        if config is not None and not isinstance(config, BloomConfig):
            raise InputError(f"config must be a BloomConfig, but got {type(config).__name__}")
        config = overridden(config or BloomConfig.from_pretrained(source.fetch("config")), config_overrides)
        if quantized := getattr(config, "quantization_config", None):
            refuse_quantized(quantized, None if source.commit else source.fetch("flax weights"))
        count = config.parameter_count()  # refuse what will not fit before it is downloaded
        what = f"a model of {count:,} parameters, which JAX holds in float32,"
        check_memory(4 * count, what, "use a smaller model, or the torch classes with dtype='bfloat16'")
        stored = open_weights(source.fetch("flax weights"))
        if number_type is None:
            number_type = checked_dtype(next(iter(stored.values())).dtype)
        model = cls(config, dtype=number_type, _do_init=False)
        place = Path(
            source.name
        ).absolute()  # a folder called weights is not named after its model, but the one around it is
        model.name = place.parent.name if place.name == "weights" else place.name
        tree = model.params_shape_tree
        head = [torch_name(path) for path in flatten_dict(tree) if path[0] == "lm_head"]
        plan = match(stored, torch_shapes(tree), head, flag("ignore_mismatched_sizes", ignore_mismatched_sizes))
        state = read_state(plan, DTYPES["float32"])
        if plan.new:
            drawn = to_state(model.init_weights(model.key))
            state |= {name: drawn[name] for name in plan.new}
            shown = ", ".join(plan.new)
            warnings.warn(f"{shown}: not in the files, so made new at random; train the model before use", stacklevel=2)
        params = to_params(state, tree)
        if not _do_init:
            return model, params
        model._params = params
        return model

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        params: Any = None,
        max_shard_size: int | str = "50GB",
        safe_serialization: bool = True,
    ) -> None:
        """Write config.json and model.safetensors, which the torch classes and transformers read too.

        `safe_serialization=False` writes flax_model.msgpack in its place. What was saved opens as the same model.

        Raises:
            CheckpointError: the folder cannot be written; or the config was changed after the model was made, or the
                params are in several dtypes, so that another model would be opened. Then nothing is written.
            InputError: max_shard_size is not a size; or the params are of another model.
        """
        shard_bytes(max_shard_size)
        params = checked_params(self.params if params is None else params, self.params_shape_tree)
        self._check_reopens(params)
        path = Path(folder)
        name = type(self).__name__.removeprefix("Flax")
        about = {"architectures": [name], "dtype": jax.tree.leaves(params)[0].dtype.name}
        values = {name: value for name, value in self.config.to_dict().items() if name != "torch_dtype"}
        config = {"config.json": BloomConfig.from_dict({**values, **about}).to_dict()}
        try:
            make_folder(path)
            if safe_serialization:
                write_state(path, to_state(params), max_shard_size, config)
                with saying_why_not(path):
                    (path / MSGPACK).unlink(missing_ok=True)
            else:
                write_msgpack(path, params, config)
        except InputError as error:
            raise CheckpointError(str(error)) from None

    def _check_reopens(self, params: Any) -> None:
        """Refuse params that would open as another model."""
        for name, built in self._built.items():
            now = getattr(self.config, name)
            if now != built:
                raise CheckpointError(
                    f"config.{name} was changed from {built!r} to {shorten(now)} after the model was made; "
                    "set it back, or make the model anew, and save again"
                )
        dtypes = sorted({leaf.dtype.name for leaf in jax.tree.leaves(params)})
        if len(dtypes) > 1:
            raise CheckpointError(
                f"the params are {' and '.join(dtypes)}, but a model opens in one dtype; "
                "make it one: model.to_fp32(params)"
            )

    # -- hooks ----

    def checked(self, hooks: TorchHooks | None) -> Hooks:
        """The hooks of a call, after checking that all their names exist; NO_HOOKS for None."""
        if hooks is None:
            return NO_HOOKS
        if not isinstance(hooks, TorchHooks):
            raise InputError(f"hooks must be Hooks(read=[…], edit={{…}}), but got {type(hooks).__name__}")
        hooks.check(self.hook_names)
        return Hooks(hooks)

    def hook_names(self) -> dict[str, Spot]:
        """All spots of this model, in the order a call passes them, with their axes and shapes."""
        return dict(self._spots)

    @cached_property
    def _spots(self) -> dict[str, Spot]:
        ids = jax.ShapeDtypeStruct((1, 1), jnp.int32)

        def run(hooks: TorchHooks) -> object:
            look = partial(self.module.apply, hooks=Hooks(hooks))
            return jax.eval_shape(look, {"params": self.params_shape_tree}, ids, ids)

        return list_spots(run)


def _cast(params: Any, dtype: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, params)
