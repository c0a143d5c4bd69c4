"""A config says what a BLOOM is made of; one that makes no sense is refused, whatever file it came from."""

import copy
import json
import pickle
import re
import time
from pathlib import Path
from typing import Any

import pytest

from bloomlab.config import DEFAULTS, BloomConfig
from bloomlab.errors import BloomlabError, ConfigError

# -- the documented fields ----

DOCUMENTED = {
    "vocab_size": 250880,
    "hidden_size": 64,
    "n_layer": 2,
    "n_head": 8,
    "layer_norm_epsilon": 1e-5,
    "initializer_range": 0.02,
    "use_cache": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "apply_residual_connection_post_layernorm": False,
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "pretraining_tp": 1,
    "slow_but_exact": False,
    "pad_token_id": None,
    "num_labels": 2,
    "problem_type": None,
    "classifier_dropout": None,
    "return_dict": True,
    "output_attentions": False,
    "output_hidden_states": False,
    "tie_word_embeddings": True,
}


def test_the_defaults_are_the_documented_ones() -> None:
    config = BloomConfig()
    assert {name: getattr(config, name) for name in DOCUMENTED} == DOCUMENTED


def test_the_documented_order_of_positional_arguments_holds() -> None:
    config = BloomConfig(100, 32, 3, 4, 1e-6, 0.01, False, 7, 8, True, 0.1, 0.2, 2, True)
    names = list(DOCUMENTED)[:14]
    assert [getattr(config, name) for name in names] == [
        100, 32, 3, 4, 1e-6, 0.01, False, 7, 8, True, 0.1, 0.2, 2, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("size", "parameters", "embedding"),
    [
        ("560m", 559_214_592, 256_901_120),
        ("1b1", 1_065_314_304, 385_351_680),
        ("1b7", 1_722_408_960, 513_802_240),
        ("3b", 3_002_557_440, 642_252_800),
        ("7b1", 7_069_016_064, 1_027_604_480),
        ("176b", 176_247_271_424, 3_596_615_680),
    ],
)
def test_the_published_sizes_have_their_published_number_of_parameters(
    size: str, parameters: int, embedding: int
) -> None:
    config = BloomConfig.named(size)
    assert config.parameter_count() == parameters
    assert config.vocab_size * config.hidden_size == embedding
    assert config.head_dim * config.n_head == config.hidden_size


def test_an_unknown_size_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"560m.*did you mean '7b1'"):
        BloomConfig.named("7b")


# -- other names ----


def test_older_names_work_as_keywords_and_as_attributes() -> None:
    config = BloomConfig(num_hidden_layers=3, num_attention_heads=2, n_embed=10)
    assert (config.n_layer, config.n_head, config.hidden_size) == (3, 2, 10)
    assert (config.num_hidden_layers, config.num_attention_heads, config.n_embed) == (3, 2, 10)
    config.num_hidden_layers = 5
    assert config.n_layer == 5
    assert not {"num_hidden_layers", "num_attention_heads", "n_embed"} & config.to_dict().keys()


def test_n_embed_wins_over_hidden_size() -> None:
    assert BloomConfig(hidden_size=64, n_embed=32).hidden_size == 32
    assert BloomConfig.from_dict({"n_embed": 32, "hidden_size": 64}).hidden_size == 32
    assert BloomConfig.from_dict({"n_embed": 32}, hidden_size=16).hidden_size == 16  # a keyword wins over the file
    assert BloomConfig.from_dict({"hidden_size": 32}, n_embed=16).hidden_size == 16


def test_the_hubs_legacy_fields_are_kept_and_change_nothing(tmp_path: Path) -> None:
    legacy = {
        "n_embed": 24, "num_attention_heads": 6, "n_inner": None, "seq_length": 2048, "attention_softmax_in_fp32": True,
        "bias_dropout_fusion": True, "masked_softmax_fusion": True, "offset_alibi": 100, "skip_bias_add": True,
        "skip_bias_add_qkv": False, "unk_token_id": 0, "pad_token_id": 3, "pretraining_tp": 4, "model_type": "bloom",
        "architectures": ["BloomForCausalLM"],
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(legacy))
    config = BloomConfig.from_pretrained(tmp_path)
    assert (config.hidden_size, config.n_head, config.pad_token_id, config.offset_alibi) == (24, 6, 3, 100)
    assert config.architectures == ["BloomForCausalLM"]
    assert config.n_inner is None


def test_unknown_keys_are_inert_readable_and_written(tmp_path: Path) -> None:
    config = BloomConfig(auto_map={"AutoModel": "evil.py"}, trust_remote_code=True, favourite="blue", **{"a b": 1})
    config.save_pretrained(tmp_path)
    again = BloomConfig.from_pretrained(tmp_path)
    assert again == config
    assert (again.favourite, again.trust_remote_code, again.auto_map) == ("blue", True, {"AutoModel": "evil.py"})
    assert again.to_dict()["a b"] == 1
    with pytest.raises(AttributeError, match="no 'favorite'"):
        again.favorite  # noqa: B018


@pytest.mark.parametrize("name", ["to_dict", "head_dim", "__class__", "__dict__", "from_pretrained", "_validate"])
def test_a_key_that_would_hide_a_method_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' is a name BloomConfig needs"):
        BloomConfig.from_dict({name: 1})


def test_a_method_cannot_be_assigned_either() -> None:
    config = BloomConfig()
    with pytest.raises(ConfigError, match="'to_dict' is a name BloomConfig needs"):
        config.to_dict = 1  # type: ignore[method-assign,assignment]
    assert config.to_dict()["n_layer"] == 2


def test_even_a_key_called_self_is_only_a_key() -> None:
    assert BloomConfig.from_dict({"self": 1}).to_dict()["self"] == 1


# -- assigning ----


def test_num_labels_can_be_assigned_and_renames_the_labels() -> None:
    config = BloomConfig(id2label={0: "bad", 1: "good"})
    assert config.num_labels == 2 and config.label2id == {"bad": 0, "good": 1}
    config.num_labels = 3
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert config.label2id == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}
    assert BloomConfig.from_dict(config.to_dict(), num_labels=1).id2label == {0: "LABEL_0"}


def test_problem_type_can_be_assigned() -> None:
    config = BloomConfig()
    config.problem_type = "regression"
    assert config.problem_type == "regression"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_head", 7),
        ("hidden_size", 65),
        ("n_layer", 0),
        ("num_hidden_layers", "3"),
        ("num_labels", -1),
        ("num_labels", "3"),
        ("id2label", 5),
        ("problem_type", "guess"),
        ("use_cache", 1),
        ("hidden_dropout", 1.5),
    ],
)
def test_an_assignment_that_does_not_fit_leaves_the_config_unchanged(name: str, value: Any) -> None:
    config = BloomConfig(favourite="blue")
    before = copy.deepcopy(config.to_dict())
    with pytest.raises(ConfigError, match=re.escape(str(value))):
        setattr(config, name, value)
    assert config.to_dict() == before


def test_a_dictionary_that_was_handed_out_is_a_copy() -> None:
    config = BloomConfig(nested={"list": [1]})
    handed_out = config.to_dict()
    handed_out["id2label"][0] = handed_out["nested"]["list"] = "changed"
    assert config == BloomConfig(nested={"list": [1]})


def test_configs_compare_copy_and_pickle_by_value() -> None:
    config = BloomConfig(hidden_size=32, favourite="blue")
    assert config == copy.deepcopy(config) == pickle.loads(pickle.dumps(config)) == BloomConfig(**config.to_dict())
    assert config != BloomConfig(hidden_size=32)
    assert repr(config) == "BloomConfig(hidden_size=32)"


# -- values that make no sense ----

NOT_COUNTS: list[Any] = [0, -1, 1.5, "24", True, None, 10**9, float("nan"), [2], 10**400]


@pytest.mark.parametrize("value", NOT_COUNTS, ids=lambda value: str(value)[:8])
@pytest.mark.parametrize("name", ["n_layer", "n_head", "hidden_size", "vocab_size", "pretraining_tp"])
def test_a_size_that_is_no_size_is_named_with_what_came(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be a whole number") as caught:
        BloomConfig(**{name: value})
    assert str(value)[:8] in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"vocab_size": 10**12}, "vocab_size must be a whole number from 1 to 100000000, but got 1000000000000"),
        ({"hidden_size": 64, "n_head": 7}, "64 / 7 leaves 1"),
        ({"n_embed": 30, "num_attention_heads": 4}, "30 / 4 leaves 2"),
        ({"hidden_dropout": -0.1}, "hidden_dropout must be a number from 0 to 1, but got -0.1"),
        ({"attention_dropout": "0.1"}, "attention_dropout must be a number"),
        ({"classifier_dropout": float("nan")}, "classifier_dropout must be a number"),
        ({"layer_norm_epsilon": float("inf")}, "layer_norm_epsilon must be a number"),
        ({"layer_norm_epsilon": 10**400}, "layer_norm_epsilon must be a number"),
        ({"initializer_range": -1}, "initializer_range must be a number"),
        ({"initializer_range": True}, "initializer_range must be a number"),
        ({"eos_token_id": "2"}, "eos_token_id must be a token id"),
        ({"eos_token_id": [2, 1.5]}, "eos_token_id must be a token id"),
        ({"pad_token_id": True}, "pad_token_id must be a token id"),
        ({"use_cache": "no"}, "use_cache must be true or false, but got 'no'"),
        ({"slow_but_exact": 1}, "slow_but_exact must be true or false"),
        ({"problem_type": "guess"}, "problem_type must be one of regression"),
        ({"id2label": ["a", "b"]}, r"id2label must map ids to names, but got \['a', 'b'\]"),
        ({"id2label": {"one": "a"}}, r"ids in id2label must be whole numbers, but got \['one'\]"),
        ({"label2id": 5}, "label2id must map names to ids, but got 5"),
        ({"label2id": "abc"}, "label2id must map names to ids, but got 'abc'"),
        ({"num_labels": 1.5}, "num_labels must be a whole number"),
        ({"num_labels": 10**9}, "num_labels must be a whole number"),
        ({"model_type": "gpt2"}, "type 'gpt2', but only 'bloom'"),
        ({"model_type": ["bloom"]}, "only 'bloom'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_value_that_makes_no_sense_is_an_error_with_its_name(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        BloomConfig.from_dict(values)


@pytest.mark.parametrize("value", [[], "bloom", None, 3])
def test_a_config_that_is_no_dictionary_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="dictionary of names and values"):
        BloomConfig.from_dict(value)


def test_null_means_not_said_where_a_value_is_needed() -> None:
    config = BloomConfig.from_dict({"n_layer": None, "hidden_dropout": None, "pad_token_id": None})
    assert (config.n_layer, config.hidden_dropout, config.pad_token_id) == (2, 0.0, None)


# -- files ----

BAD_FILES: list[tuple[str, bytes, str]] = [
    ("empty", b"", "the file is empty"),
    ("a list", b"[]", "holds a list"),
    ("null", b"null", "holds a NoneType"),
    ("UTF-16", '{"n_layer": 2}'.encode("utf-16"), "UTF-8"),
    ("latin-1", '{"é": 2}'.encode("latin-1"), "byte 2 is not"),
    ("truncated", b'{"n_layer": 2', "JSON"),
    ("nested lists", b"[" * 100_000 + b"]" * 100_000, "nested too deep"),
    ("nested objects", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deep"),
    ("5000 digits", b'{"n_layer": ' + b"9" * 5000 + b"}", "JSON"),
    ("4000 digits", b'{"n_layer": ' + b"9" * 4000 + b"}", "n_layer must be"),
    ("400 digits", b'{"layer_norm_epsilon": 1' + b"0" * 400 + b"}", "layer_norm_epsilon must be"),
    ("NaN", b'{"layer_norm_epsilon": NaN}', "layer_norm_epsilon must be"),
    ("Infinity", b'{"initializer_range": Infinity}', "initializer_range must be"),
    ("minus Infinity", b'{"hidden_dropout": -Infinity}', "hidden_dropout must be"),
    ("1e999", b'{"n_layer": 1e999}', "n_layer must be"),
    ("duplicate keys", b'{"n_layer": 2, "n_head": 1, "n_layer": 3}', "'n_layer' twice"),
    ("a web page", b"<!DOCTYPE html><html>404</html>", "it is a web page"),
    ("a Git LFS pointer", b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
    ("another model", b'{"model_type": "llama"}', "only 'bloom'"),
    ("text for a number", b'{"n_layer": "24"}', "n_layer must be a whole number from 1 to 1000, but got '24'"),
    ("true for a number", b'{"n_layer": true}', "n_layer must be"),
    ("huge", b'{"n_layer": 1000000000}', "n_layer must be"),
    ("NUL", b'{"n_layer": 2}\x00', "JSON"),
]


@pytest.mark.parametrize(("data", "words"), [case[1:] for case in BAD_FILES], ids=[case[0] for case in BAD_FILES])
def test_a_bad_config_file_is_a_config_error_that_says_why(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "config.json").write_bytes(data)
    started = time.perf_counter()
    with pytest.raises(ConfigError, match=words) as caught:
        BloomConfig.from_pretrained(tmp_path)
    assert len(str(caught.value)) < 500
    assert time.perf_counter() - started < 2


def test_a_file_of_64_megabytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with open(tmp_path / "config.json", "wb") as file:
        file.truncate(64 << 20)
    with pytest.raises(ConfigError, match="67108864"):
        BloomConfig.from_pretrained(tmp_path)


@pytest.mark.parametrize("make", ["nothing", "a folder", "a broken link"])
def test_a_missing_config_file_is_named(tmp_path: Path, make: str) -> None:
    if make == "a folder":
        (tmp_path / "config.json").mkdir()
    if make == "a broken link":
        (tmp_path / "config.json").symlink_to(tmp_path / "nowhere")
    with pytest.raises(BloomlabError, match=re.escape(str(tmp_path))):
        BloomConfig.from_pretrained(tmp_path)


def test_a_byte_order_mark_is_no_reason_to_refuse(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b'\xef\xbb\xbf{"n_layer": 3}')
    assert BloomConfig.from_pretrained(tmp_path).n_layer == 3


def test_every_value_comes_back_from_its_file_and_keywords_win(tmp_path: Path) -> None:
    changed: dict[str, Any] = {
        name: not value if isinstance(value, bool) else value for name, value in DEFAULTS.items()
    }
    config = BloomConfig(**{**changed, "n_layer": 3, "num_labels": 3, "pad_token_id": 3, "日本": "語\u202e\n"})
    config.save_pretrained(tmp_path / "new" / "folder")
    assert BloomConfig.from_pretrained(tmp_path / "new" / "folder") == config
    assert BloomConfig.from_pretrained(tmp_path / "new" / "folder", n_layer=4).n_layer == 4
    assert json.loads((tmp_path / "new" / "folder" / "config.json").read_text())["model_type"] == "bloom"
