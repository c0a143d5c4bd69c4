"""One BLOOM in numbers: its sizes and the few choices it was trained with.

A `BloomConfig` is a plain bag of values. It is validated once, when it is created, written as `config.json`,
and read by every component. Its names are the documented ones; `num_hidden_layers`, `num_attention_heads`
and `n_embed` are older spellings of `n_layer`, `n_head` and `hidden_size` and keep working.
"""

import copy
import os
from pathlib import Path
from typing import Any, Self

from bloomlab.elsewhere import CONFIG, hint
from bloomlab.errors import ConfigError, did_you_mean, shorten
from bloomlab.guards.files import make_folder, read_json, write_json

ALIASES = {"num_hidden_layers": "n_layer", "num_attention_heads": "n_head", "n_embed": "hidden_size"}
"""Older spelling -> the name used here."""

FOR_OTHERS: dict[str, Any] = {
    **dict.fromkeys(("_commit_hash", "task_specific_params", "prefix")),
    "keys_to_ignore_at_inference": ["past_key_values"],
}
"""What Trainer and the pipelines of transformers 4 ask of every config."""

PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")

DEFAULTS: dict[str, Any] = {
    # the sizes
    "vocab_size": 250880,
    "hidden_size": 64,
    "n_layer": 2,
    "n_head": 8,
    # how it was trained
    "layer_norm_epsilon": 1e-5,
    "initializer_range": 0.02,
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "apply_residual_connection_post_layernorm": False,
    "pretraining_tp": 1,
    "slow_but_exact": False,
    # what a call does unless it says otherwise
    "use_cache": True,
    "return_dict": True,
    "output_attentions": False,
    "output_hidden_states": False,
    # tokens with a meaning
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
    # the heads
    "tie_word_embeddings": True,
    "classifier_dropout": None,
    "problem_type": None,
}

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"vocab_size": 3072, "hidden_size": 128, "n_layer": 4, "n_head": 8},
    "560m": {"hidden_size": 1024, "n_layer": 24, "n_head": 16},
    "1b1": {"hidden_size": 1536, "n_layer": 24, "n_head": 16},
    "1b7": {"hidden_size": 2048, "n_layer": 24, "n_head": 16},
    "3b": {"hidden_size": 2560, "n_layer": 30, "n_head": 32},
    "7b1": {"hidden_size": 4096, "n_layer": 30, "n_head": 32},
    "176b": {"hidden_size": 14336, "n_layer": 70, "n_head": 112},
}
"""The sizes by name: the published family, and the model that ships in this package."""

MAX_CONFIG_BYTES = 1 << 20  # a real config.json is about 1 kB
MAX_LAYERS, MAX_WIDTH, MAX_VOCAB, MAX_LABELS = 1_000, 1_000_000, 100_000_000, 100_000


class BloomConfig:
    """Everything that tells one BLOOM from another, except its weights.

    Args:
        vocab_size: rows of the embedding table (tokens the model can tell apart).
        hidden_size: width of the residual stream. `n_embed`, the older name, wins when both are given.
        n_layer, n_head: blocks, and attention heads in each; `n_head` must divide `hidden_size`.
        layer_norm_epsilon: added to the variance in every layer norm.
        initializer_range: standard deviation of a new model's weights, drawn from a plain normal
            distribution (the documentation's "truncated" is a slip).
        use_cache: whether a call returns keys and values for the next one.
        bos_token_id, eos_token_id, pad_token_id: ids with a meaning.
        apply_residual_connection_post_layernorm: the residual branches off after each layer norm.
        hidden_dropout, attention_dropout: 0.0 (the documentation's prose says 0.1).
        pretraining_tp, slow_but_exact: sum two projections over this many column slices, as the
            training run did on several devices.
        **kwargs: `num_labels`, `id2label`, `label2id`, `problem_type`, `classifier_dropout`, … Unknown names
            are kept, readable as attributes, written to config.json, and never interpreted.

    Raises:
        ConfigError: a value has the wrong type or does not fit the others.

    >>> config = BloomConfig(hidden_size=1024, n_layer=24, n_head=16)
    >>> config.head_dim, config.parameter_count()
    (64, 559214592)
    """

    model_type = "bloom"

    def __init__(
        self,
        /,  # a file may contain any key, even "self"
        vocab_size: int = 250880,
        hidden_size: int = 64,
        n_layer: int = 2,
        n_head: int = 8,
        layer_norm_epsilon: float = 1e-5,
        initializer_range: float = 0.02,
        use_cache: bool = True,
        bos_token_id: int = 1,
        eos_token_id: int = 2,
        apply_residual_connection_post_layernorm: bool = False,
        hidden_dropout: float = 0.0,
        attention_dropout: float = 0.0,
        pretraining_tp: int = 1,
        slow_but_exact: bool = False,
        **kwargs: Any,
    ) -> None:
        named = {name: value for name, value in locals().items() if name in DEFAULTS}
        legacy = {ALIASES[name]: kwargs.pop(name) for name in list(kwargs) if name in ALIASES}
        kwargs.pop("model_type", None)  # a BloomConfig is one
        labels = {name: kwargs.pop(name, None) for name in ("num_labels", "id2label", "label2id")}
        for name, value in {**DEFAULTS, **kwargs, **named, **legacy}.items():
            self._refuse_own_names(name)
            object.__setattr__(self, name, value)
        self._set_labels(**labels)
        self._validate()

    # -- names for classes ---------------------------------------------------------------------------

    @property
    def num_labels(self) -> int:
        """How many classes a task head tells apart; assigning it renames them LABEL_0, LABEL_1, …"""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, n: int) -> None:
        if not _is_int(n) or not 0 <= n <= MAX_LABELS:
            raise ConfigError(f"num_labels must be a whole number from 0 to {MAX_LABELS}, but got {shorten(n)}")
        self.__dict__["id2label"] = {i: f"LABEL_{i}" for i in range(n)}
        self.__dict__["label2id"] = {label: i for i, label in self.id2label.items()}

    def _set_labels(self, num_labels: Any, id2label: Any, label2id: Any) -> None:
        if id2label is None:
            self.num_labels = 2 if num_labels is None else num_labels
        else:
            if not isinstance(id2label, dict):
                raise ConfigError(f"id2label must map ids to names, but got {shorten(id2label)}")
            try:  # JSON turned the ids into strings
                self.__dict__["id2label"] = {int(i): str(label) for i, label in id2label.items()}
            except (TypeError, ValueError):
                raise ConfigError(f"the ids in id2label must be whole numbers, but got {list(id2label)[:3]}") from None
            self.__dict__["label2id"] = {label: i for i, label in self.id2label.items()}
            if num_labels is not None and num_labels != len(self.id2label):
                self.num_labels = num_labels
        if label2id is not None:
            if not isinstance(label2id, dict):
                raise ConfigError(f"label2id must map names to ids, but got {shorten(label2id)}")
            self.__dict__["label2id"] = dict(label2id)

    # -- attributes ----------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        # only called when the ordinary look-up has failed
        if name in ALIASES:
            return getattr(self, ALIASES[name])
        if name in FOR_OTHERS:
            return copy.copy(FOR_OTHERS[name])
        raise AttributeError(f"this BloomConfig has no {shorten(name)}{hint(name, CONFIG, self.__dict__)}")

    def __setattr__(self, name: str, value: Any) -> None:
        """Assign and validate; if the value does not fit, the old one stays."""
        name = ALIASES.get(name, name)
        if name == "id2label":
            self._set_labels(None, value, None)
            return
        if isinstance(getattr(type(self), name, None), property):
            object.__setattr__(self, name, value)
            return
        self._refuse_own_names(name)
        before = dict(self.__dict__)
        self.__dict__[name] = value
        try:
            self._validate()
        except ConfigError:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _refuse_own_names(self, name: str) -> None:
        if hasattr(type(self), name):  # it would hide a method
            raise ConfigError(f"{name!r} is a name BloomConfig needs for itself; remove it from the config")

    def _validate(self) -> None:
        for name, limit in (
            ("vocab_size", MAX_VOCAB),
            ("hidden_size", MAX_WIDTH),
            ("n_layer", MAX_LAYERS),
            ("n_head", MAX_WIDTH),
            ("pretraining_tp", MAX_WIDTH),
        ):
            value = getattr(self, name)
            if not _is_int(value) or not 1 <= value <= limit:
                raise ConfigError(f"{name} must be a whole number from 1 to {limit}, but got {shorten(value)}")
        if self.hidden_size % self.n_head:
            raise ConfigError(
                f"n_head must divide hidden_size, but {self.hidden_size} / {self.n_head} leaves "
                f"{self.hidden_size % self.n_head}; change one of them"
            )
        for name in ("hidden_dropout", "attention_dropout", "classifier_dropout"):
            value = getattr(self, name)
            if not (value is None and name == "classifier_dropout") and not _is_number(value, 0, 1):
                raise ConfigError(f"{name} must be a number from 0 to 1, but got {shorten(value)}")
        for name in ("layer_norm_epsilon", "initializer_range"):
            if not _is_number(getattr(self, name), 0, MAX_WIDTH):
                raise ConfigError(
                    f"{name} must be a number from 0 to {MAX_WIDTH}, but got {shorten(getattr(self, name))}"
                )
        for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
            ids = getattr(self, name)
            for token_id in ids if isinstance(ids, list) else [ids]:
                if token_id is not None and not _is_int(token_id):
                    raise ConfigError(f"{name} must be a token id (a whole number) or None, but got {shorten(ids)}")
        for name, value in DEFAULTS.items():
            if isinstance(value, bool) and not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} must be true or false, but got {shorten(getattr(self, name))}")
        if self.problem_type not in (None, *PROBLEM_TYPES):
            raise ConfigError(
                f"problem_type must be one of {', '.join(PROBLEM_TYPES)} or None, but got {shorten(self.problem_type)}"
            )

    # -- arithmetic ----------------------------------------------------------------------------------

    @property
    def head_dim(self) -> int:
        """Width of one attention head: hidden_size / n_head."""
        return int(self.hidden_size // self.n_head)

    def parameter_count(self) -> int:
        """Numbers in the base model and its tied causal head: V·H + 4H + L(12H² + 13H).

        >>> BloomConfig.named("176b").parameter_count()
        176247271424
        """
        v, h, n = self.vocab_size, self.hidden_size, self.n_layer
        return int(v * h + 4 * h + n * (12 * h * h + 13 * h))

    @classmethod
    def named(cls, size: str) -> Self:
        """The config of a published size, or of the embedded model ("tiny").

        >>> BloomConfig.named("560m").n_layer
        24
        """
        if size not in SIZES:
            raise ConfigError(f"the sizes are {', '.join(SIZES)}, but got {size!r}{did_you_mean(size, SIZES)}")
        return cls(**SIZES[size])

    # -- reading and writing ----------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """All values, ready for JSON; `BloomConfig.from_dict` reads them back."""
        return {"model_type": self.model_type, **copy.deepcopy(self.__dict__)}

    @classmethod
    def from_dict(cls, values: dict[str, Any], **overrides: Any) -> Self:
        """A config from a dictionary such as config.json holds; keyword arguments win over it."""
        if not isinstance(values, dict):
            raise ConfigError(f"a config is a dictionary of names and values, but got a {type(values).__name__}")
        kind = values.get("model_type", "bloom")
        if kind != "bloom":
            raise ConfigError(
                f"this config describes a model of type {shorten(kind)}, but only 'bloom' can be opened here"
            )
        # null means "not given" where a value is needed
        kept = {name: value for name, value in values.items() if value is not None or DEFAULTS.get(name) is None}
        overrides = {ALIASES.get(name, name): value for name, value in overrides.items()}
        kept = {name: value for name, value in kept.items() if ALIASES.get(name) not in overrides}
        if "num_labels" in overrides:  # a new number of classes means new names for them
            kept = {name: value for name, value in kept.items() if name not in ("id2label", "label2id")}
        return cls(**{**kept, **overrides})

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write `folder/config.json`."""
        make_folder(Path(folder))
        write_json(Path(folder) / "config.json", self.to_dict())

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str],
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        **overrides: Any,
    ) -> Self:
        """Read the config.json of a folder, or of a model on the hub; keyword arguments win over the file.

        Args:
            folder: a folder, or a name such as "560m" or "owner/name".
            revision, cache_dir: of a name: which branch, tag or commit, and where to keep what is downloaded.

        Raises:
            ConfigError: the file is missing, is not JSON, or does not describe a BLOOM.
            DownloadError: it cannot be fetched.
        """
        from bloomlab.weights.hub import local_folder

        path = local_folder(folder, ConfigError, "config", revision=revision, cache_dir=cache_dir)
        return cls.from_dict(read_json(path / "config.json", MAX_CONFIG_BYTES, ConfigError), **overrides)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BloomConfig) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # it can change, so it has no hash

    def __repr__(self) -> str:
        changed = {k: v for k, v in self.__dict__.items() if k in DEFAULTS and v != DEFAULTS[k]}
        return f"BloomConfig({', '.join(f'{name}={value!r}' for name, value in changed.items())})"


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high  # a NaN is not
