"""Making, calling, opening and saving: what the documentation promises, and the same errors as in torch."""

import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from huggingface_hub import constants

from bloomlab import BloomConfig, BloomForCausalLM, BloomModel, FlaxBloomForCausalLM, FlaxBloomModel
from bloomlab.errors import BloomlabError, CheckpointError, DownloadError, InputError, MemoryLimitError
from bloomlab.jax.cache import init_cache
from bloomlab.jax.checkpoint import to_state
from bloomlab.weights.layouts import MSGPACK
from tests.hostile.mutations import changed
from tests.jax.twins import assert_close, make_twins
from tests.tiny_random import SIZES, padded_mask, random_ids, random_model
from tests.weights.fake_hub import REPO, fake_hub

CONFIG = BloomConfig(**SIZES)
IDS, MASK = random_ids(), padded_mask()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("checkpoint")
    random_model().save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def model(folder: Path) -> FlaxBloomForCausalLM:
    opened: FlaxBloomForCausalLM = FlaxBloomForCausalLM.from_pretrained(folder)
    return opened


# -- making ----


@pytest.mark.slow
def test_a_new_model_is_drawn_from_its_seed_with_the_checkpoint_s_names() -> None:
    model = FlaxBloomForCausalLM(CONFIG, input_shape=(2, 3), seed=1)
    assert {name: tuple(value.shape) for name, value in to_state(model.params).items()} == {
        name: tuple(value.shape) for name, value in BloomForCausalLM(CONFIG).named_parameters()
    }
    assert (
        model.params["transformer"]["ln_f"]["scale"].min() == 1
        and model.params["transformer"]["ln_f"]["bias"].max() == 0
    )
    table = model.params["transformer"]["word_embeddings"]["embedding"]
    assert abs(float(table.std()) - CONFIG.initializer_range) < 0.002
    same, other = (FlaxBloomForCausalLM(CONFIG, seed=seed).params for seed in (1, 2))
    assert jax.tree.all(jax.tree.map(jnp.array_equal, model.params, same))
    assert not jnp.array_equal(table, other["transformer"]["word_embeddings"]["embedding"])
    assert model.num_parameters() == CONFIG.parameter_count()


@pytest.mark.slow
def test_without_init_there_are_no_params_until_they_are_given() -> None:
    model = FlaxBloomModel(CONFIG, _do_init=False)
    with pytest.raises(InputError, match=r"holds no params \(_do_init=False\); pass params="):
        model.params  # noqa: B018
    with pytest.raises(InputError, match=r"expected shape \(24,\) for 'h.0.input_layernorm.bias', but got None"):
        model.params = {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"seed": "a"}, "seed must be a whole number, but got 'a'"),
        ({"input_shape": 3}, r"input_shape must be \(batch, pos\), such as \(1, 1\), but got 3"),
        ({"input_shape": (1, 0)}, "pos of input_shape must be a whole number of at least 1, but got 0"),
    ],
)
def test_a_seed_or_a_shape_that_is_none_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        FlaxBloomModel(BloomConfig(**SIZES), **wrong)


@pytest.mark.slow
def test_params_of_another_model_or_none_at_all_are_refused_in_a_call(model: FlaxBloomForCausalLM) -> None:
    with pytest.raises(InputError, match=r"expected shape \(24,\) for .*, but got None; params must be of this model"):
        model(IDS, params={})
    with pytest.raises(InputError, match=r"params must be a tree like model\.params, but got int"):
        model.generate(IDS, params=3)


@pytest.mark.slow
def test_params_are_cast_and_the_model_s_own_stay(model: FlaxBloomForCausalLM) -> None:
    for cast, name in ((model.to_bf16, "bfloat16"), (model.to_fp16, "float16"), (model.to_fp32, "float32")):
        assert {leaf.dtype.name for leaf in jax.tree.leaves(cast(model.params))} == {name}
    assert {leaf.dtype.name for leaf in jax.tree.leaves(model.params)} == {"float32"}


# -- calling ----


@pytest.mark.slow
def test_outputs_answer_by_name_key_place_and_as_a_tuple(model: FlaxBloomForCausalLM) -> None:
    output = model(IDS, MASK, output_hidden_states=True)
    assert output.logits is output["logits"] is output[0] is output.to_tuple()[0]
    assert output.attentions is None and len(output) == 2
    plain = model(IDS, MASK, output_hidden_states=True, return_dict=False)
    assert isinstance(plain, tuple) and len(plain) == 2
    assert jnp.array_equal(plain[0], output.logits)


@pytest.mark.slow
def test_params_can_be_passed_in_place_of_the_model_s(model: FlaxBloomForCausalLM) -> None:
    doubled = jax.tree.map(lambda leaf: 2 * leaf, model.params)
    held = FlaxBloomForCausalLM(CONFIG, _do_init=False)
    assert jnp.array_equal(held(IDS, params=model.params).logits, model(IDS).logits)
    assert not jnp.allclose(held(IDS, params=doubled).logits, model(IDS).logits)


@pytest.mark.slow
def test_ids_may_be_a_list_an_array_or_a_tensor(model: FlaxBloomForCausalLM) -> None:
    expected = model(jnp.asarray(IDS.numpy())).logits
    for ids in (IDS, IDS.numpy(), IDS.tolist()):
        assert jnp.array_equal(model(ids).logits, expected)


@pytest.mark.slow
def test_training_drops_out_by_its_key_and_nothing_else_does() -> None:
    model = FlaxBloomModel(BloomConfig(**{**SIZES, "n_layer": 1}, hidden_dropout=0.5, attention_dropout=0.5))
    one, two = jax.random.PRNGKey(1), jax.random.PRNGKey(2)

    def final(**how: Any) -> jax.Array:
        array: jax.Array = model(IDS, **how).last_hidden_state
        return array

    assert jnp.array_equal(final(train=True, dropout_rng=one), final(train=True, dropout_rng=one))
    assert not jnp.array_equal(final(train=True, dropout_rng=one), final(train=True, dropout_rng=two))
    assert jnp.array_equal(final(dropout_rng=one), final())
    with pytest.raises(InputError, match="pass dropout_rng"):
        final(train=True)
    assert jnp.array_equal(final(train=True, dropout_rng=jax.random.key(1)), final(train=True, dropout_rng=one))
    for key in (1, "one", jnp.zeros(2), jnp.stack([one, two])):
        with pytest.raises(InputError, match=r"dropout_rng must be one key, such as jax\.random\.key\(0\), but got"):
            final(train=True, dropout_rng=key)


@pytest.mark.slow
def test_a_mask_as_wide_as_the_cache_means_the_same(model: FlaxBloomForCausalLM) -> None:
    wide = np.ones((2, 8), int)
    wide[0, :2] = 0
    ours = model(IDS, wide, past_key_values=model.init_cache(2, 8))
    assert jnp.array_equal(ours.logits, model(IDS, MASK, past_key_values=model.init_cache(2, 8)).logits)
    once, again = (model(IDS[:, :1], past_key_values=ours.past_key_values).logits for _ in range(2))
    assert jnp.array_equal(once, again)  # the cache it began from was left as it was


@pytest.mark.slow
def test_a_loop_that_compiles_at_every_token_is_told_once() -> None:
    model = FlaxBloomModel(BloomConfig(vocab_size=10, hidden_size=4, n_layer=1, n_head=1))
    ids = np.ones((1, 9), int)
    with pytest.warns(UserWarning, match="every new shape is compiled anew; use generate, a cache") as caught:
        for width in range(1, 6):
            model(ids[:, :width])
    assert len(caught) == 1
    other = FlaxBloomModel(model.config)
    past = other.init_cache(1, 9)
    for width in (2, 2, 1, 2):  # no warning: a warning would be an error here
        other(ids[:, :width])
    for _ in range(4):
        past = other(ids[:, :1], past_key_values=past).past_key_values


# -- bad input: what torch says ----

CALLS: list[tuple[str, dict[str, Any]]] = [
    ("no ids", {"input_ids": None}),
    ("ids of fractions", {"input_ids": np.ones((1, 2))}),
    ("one row without its axis", {"input_ids": np.ones(3, int)}),
    ("no columns", {"input_ids": np.ones((1, 0), int)}),
    ("an id beyond the table", {"input_ids": np.array([[1, 300]])}),
    ("a negative id", {"input_ids": np.array([[-1, 3]])}),
    ("a mask of another width", {"input_ids": np.ones((1, 3), int), "attention_mask": np.ones((1, 4), int)}),
    ("a mask of twos", {"input_ids": np.ones((1, 3), int), "attention_mask": 2 * np.ones((1, 3), int)}),
    ("another keyword", {"input_ids": np.ones((1, 3), int), "token_type_ids": 1}),
    ("hooks that are none", {"input_ids": np.ones((1, 3), int), "hooks": ["embed"]}),
]


@pytest.mark.parametrize(("what", "arguments"), CALLS, ids=[what for what, _ in CALLS])
def test_bad_input_is_refused_in_the_words_of_torch(what: str, arguments: dict[str, Any]) -> None:
    tensors = {
        name: torch.tensor(value) if isinstance(value, np.ndarray) else value for name, value in arguments.items()
    }
    with pytest.raises(BloomlabError) as theirs:
        random_model()(**tensors)
    with pytest.raises(type(theirs.value)) as ours:
        FlaxBloomForCausalLM(CONFIG, _do_init=False)(**arguments, params={})
    assert str(ours.value) == str(theirs.value)


def test_what_is_no_array_is_refused() -> None:
    model = FlaxBloomForCausalLM(CONFIG, _do_init=False)
    for ids in ([[1, 2], [3]], "hello", [["a"]]):
        with pytest.raises(InputError, match="the input must be a tensor"):
            model(ids, params={})


@pytest.mark.slow
def test_a_cache_that_does_not_fit_is_refused() -> None:
    model = FlaxBloomForCausalLM(CONFIG, _do_init=False)
    full = {**init_cache(CONFIG, 2, 6), "column": jnp.array(4)}
    cases: list[tuple[Any, str]] = [
        (full, "room for 6 columns, but 4 past and 5 new ones make 9"),
        ([], "must be what init_cache or an earlier call returned, but got list"),
        ({**full, "pairs": full["pairs"][:1]}, "has 1 layers but the model has 3"),
        ({**full, "pairs": [(1, 2)] * 3}, r"each key and value must have shape \(batch, 6, key, 4\)"),
        ({**full, "column": None}, "must be what init_cache"),
        (init_cache(CONFIG, 1, 9), "has 1 rows but the inputs have 2"),
    ]
    for past, words in cases:
        with pytest.raises(InputError, match=words):
            model(IDS, past_key_values=past, params={})
    for size in ((0, 5), (1, 0), (1, 2.5)):
        with pytest.raises(InputError, match="must be a whole number of at least 1"):
            model.init_cache(*size)


def test_a_dtype_is_checked_and_may_be_said_in_any_library() -> None:
    for dtype in ("bfloat16", jnp.bfloat16, torch.bfloat16):
        assert FlaxBloomModel(CONFIG, dtype=dtype, _do_init=False).dtype is jnp.bfloat16
    for dtype in ("bfloat61", int, 3):
        with pytest.raises(InputError, match="dtype must be 'auto' or one of float32, float16, bfloat16, float64, but"):
            FlaxBloomModel(CONFIG, dtype=dtype, _do_init=False)
    with pytest.raises(InputError, match="computes in float64 only after"):
        FlaxBloomModel(CONFIG, dtype="float64", _do_init=False)


def test_a_config_is_needed() -> None:
    with pytest.raises(InputError, match="a model is made from a BloomConfig, but got dict"):
        FlaxBloomModel({})  # type: ignore[arg-type]


# -- opening and saving ----


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["safetensors", "shards", "msgpack"])
def test_what_either_language_saved_opens_in_both(layout: str, model: Any, tmp_path: Path) -> None:
    how: dict[str, Any] = {"shards": {"max_shard_size": "20KB"}, "msgpack": {"safe_serialization": False}}.get(
        layout, {}
    )
    model.save_pretrained(tmp_path, **how)
    again = FlaxBloomForCausalLM.from_pretrained(tmp_path)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, again.params, model.params))
    assert again.config.n_head == CONFIG.n_head
    if layout == "msgpack":
        assert [path.name for path in sorted(tmp_path.iterdir())] == ["config.json", MSGPACK]
    else:
        ours = BloomForCausalLM.from_pretrained(tmp_path).state_dict()
        assert all(torch.equal(ours[name], value) for name, value in random_model().state_dict().items())


@pytest.mark.slow
def test_a_name_on_the_hub_opens_even_where_there_is_flax_s_own_file_only(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.save_pretrained(tmp_path / "published", safe_serialization=False)
    with fake_hub(tmp_path / "published") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        with pytest.raises(
            DownloadError, match=r"but flax_model\.msgpack, which FlaxBloomForCausalLM opens; what that"
        ):
            BloomForCausalLM.from_pretrained(REPO)
        assert f"GET {MSGPACK}" not in hub.asked
        with monkeypatch.context() as little:
            little.setattr("bloomlab.guards.memory.free_bytes", lambda: 1000)
            with pytest.raises(MemoryLimitError, match=r"which JAX holds in float32, needs .* but 1\.0 kB are free"):
                FlaxBloomForCausalLM.from_pretrained(REPO)
        assert f"GET {MSGPACK}" not in hub.asked
        again = FlaxBloomForCausalLM.from_pretrained(REPO)
        assert hub.asked[f"GET {MSGPACK}"] == 1
        assert jax.tree.all(jax.tree.map(jnp.array_equal, again.params, model.params)) and again.name == "small-bloom"

        model.save_pretrained(tmp_path / "plain")
        hub.files = {path.name: path.read_bytes() for path in (tmp_path / "plain").iterdir()}
        hub.files[MSGPACK] = b"not asked for where the torch classes' files are"
        FlaxBloomForCausalLM.from_pretrained(REPO)
        assert hub.asked[f"GET {MSGPACK}"] == 1 and hub.asked["GET model.safetensors"] == 1


@pytest.mark.slow
def test_writing_that_memory_cannot_hold_ends_in_words(model: Any) -> None:
    """3,000,000 positions that look at each other: no machine has an address for each number."""
    with pytest.raises(MemoryLimitError, match=r"^writing 1 tokens needs more memory than is left; .*shorter text"):
        model.generate(jnp.zeros((1, 3_000_000), jnp.int32), max_new_tokens=1)
    assert model.generate(IDS[:1], max_new_tokens=1).sequences.shape == (1, IDS.shape[1] + 1)


@pytest.mark.slow
def test_a_folder_that_only_jax_can_open_says_so(model: Any, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(CheckpointError, match=r"but there is flax_model\.msgpack, which FlaxBloomForCausalLM opens"):
        BloomForCausalLM.from_pretrained(tmp_path)
    FlaxBloomForCausalLM.from_pretrained(tmp_path).save_pretrained(tmp_path)  # the way it says
    assert BloomForCausalLM.from_pretrained(tmp_path).config.n_layer == CONFIG.n_layer


@pytest.mark.slow
def test_one_save_takes_the_place_of_another(model: Any, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    model.save_pretrained(tmp_path, safe_serialization=False)
    assert not list(tmp_path.glob("*.safetensors*"))
    model.save_pretrained(tmp_path)
    assert not (tmp_path / MSGPACK).exists()
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(CheckpointError, match=r"holds pytorch_model.bin, which would be read first"):
        model.save_pretrained(tmp_path, safe_serialization=False)


@pytest.mark.slow
def test_the_base_model_opens_the_same_folder(folder: Path) -> None:
    ours, theirs = FlaxBloomModel.from_pretrained(folder), BloomModel.from_pretrained(folder)
    assert_close(ours(IDS, MASK).last_hidden_state, theirs(IDS, attention_mask=MASK).last_hidden_state, MASK, 2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files_open_with_float32_params(dtype: torch.dtype, tmp_path: Path) -> None:
    half = random_model().to(dtype)
    half.save_pretrained(tmp_path)
    model = FlaxBloomForCausalLM.from_pretrained(tmp_path, dtype="auto", from_pt=True)
    assert str(jnp.dtype(model.dtype)) == str(dtype).removeprefix("torch.")
    stored = half.state_dict()
    for name, value in to_state(model.params).items():
        assert torch.equal(value, stored[name].float())
    model.save_pretrained(tmp_path / "bf16", params=model.to_bf16(model.params))
    saved = BloomForCausalLM.from_pretrained(tmp_path / "bf16", dtype="auto").state_dict()
    assert all(torch.equal(saved[name], value.to(torch.bfloat16)) for name, value in stored.items())


@pytest.mark.slow
def test_without_init_opening_gives_the_model_and_the_params(folder: Path, model: FlaxBloomForCausalLM) -> None:
    bare, params = FlaxBloomForCausalLM.from_pretrained(folder, _do_init=False)
    with pytest.raises(InputError, match="holds no params"):
        bare(IDS)
    assert jnp.array_equal(bare(IDS, params=params).logits, model(IDS).logits)


@pytest.mark.slow
def test_a_head_that_the_files_lack_is_made_new_and_said(tmp_path: Path) -> None:
    BloomModel(BloomConfig(**SIZES, tie_word_embeddings=False)).save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match=r"lm_head.weight: not in the files, so made new at random"):
        model = FlaxBloomForCausalLM.from_pretrained(tmp_path)
    assert model.params["lm_head"]["kernel"].shape == (24, 300)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
        (b"\x81\xa1a\x01", "expected weights in"),
        (b"\x81\xa1a\xc7\x02\x01zz", "is broken"),
        (b"\xc1nonsense", "is broken"),
        (b"\x81\x01\x02", "expected weights in"),
        pytest.param(b"\x80", "expected 41 tensors in .*, but it lacks", marks=pytest.mark.slow),
    ],
)
def test_a_broken_msgpack_file_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    CONFIG.save_pretrained(tmp_path)
    (tmp_path / MSGPACK).write_bytes(content)
    with pytest.raises(CheckpointError, match=words):
        FlaxBloomModel.from_pretrained(tmp_path)


@pytest.mark.slow
def test_a_changed_msgpack_file_is_a_model_or_our_error(model: Any, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path, safe_serialization=False)
    honest, outcomes = (tmp_path / MSGPACK).read_bytes(), Counter[str]()
    for number in range(100):
        (tmp_path / MSGPACK).write_bytes(changed(MSGPACK, honest, random.Random(number)))
        try:
            FlaxBloomForCausalLM.from_pretrained(tmp_path)
            outcomes["a model"] += 1
        except CheckpointError:
            outcomes["our error"] += 1
    assert outcomes["a model"] > 5 and outcomes["our error"] > 5


def test_a_folder_is_refused_in_the_words_of_torch(tmp_path: Path) -> None:
    CONFIG.save_pretrained(tmp_path)
    for arguments in ({}, {"dtype": "float61"}, {"n_heads": 2}, {"config": 1}):
        with pytest.raises(BloomlabError) as theirs:
            BloomForCausalLM.from_pretrained(tmp_path, **arguments)
        with pytest.raises(type(theirs.value)) as ours:
            FlaxBloomForCausalLM.from_pretrained(tmp_path, **arguments)
        assert str(ours.value) == str(theirs.value).replace("float64, int8,", "float64,")  # whose product is torch's


@pytest.mark.slow
def test_without_jax_there_is_a_sentence(tmp_path: Path) -> None:
    """In a Python that finds no jax: a finder that hides it stands first."""
    hide = (
        "import sys, importlib.machinery as m\n"
        "real = m.PathFinder.find_spec\n"
        "m.PathFinder.find_spec = lambda name, *a: None if name.split('.')[0] in ('jax', 'flax') else real(name, *a)\n"
        "import bloomlab\n"
    )
    for use in ("bloomlab.FlaxBloomModel", "bloomlab.jax", "import bloomlab.jax"):
        code = hide + (use if use.startswith("import") else f"{use}" if "Flax" in use else "from bloomlab import jax")
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ})
        words = "MissingPackageError: bloomlab.jax needs jax and flax, but there is no jax and no flax; pip install"
        assert words in run.stderr


@pytest.mark.slow
def test_twins_are_what_they_say() -> None:
    """The helper of the other tests gives both sides the same weights."""
    torch_model, jax_model = make_twins()
    state = torch_model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in to_state(jax_model.params).items())


# -- a save that would lose something ----

CHANGES: dict[str, Any] = {
    "n_head": 3,
    "layer_norm_epsilon": 0.1,
    "apply_residual_connection_post_layernorm": True,
    "n_layer": 2,
    "vocab_size": 301,
    "tie_word_embeddings": False,
    "pretraining_tp": 2,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [FlaxBloomModel, FlaxBloomForCausalLM])
@pytest.mark.parametrize("safe", [True, False])
def test_what_would_open_as_another_model_is_not_written(kind: Any, safe: bool, tmp_path: Path) -> None:
    config = BloomConfig(**SIZES)
    model = kind(config, _do_init=False)
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), model.params_shape_tree)
    for name, value in CHANGES.items():
        before = getattr(config, name)
        setattr(config, name, value)
        with pytest.raises(CheckpointError, match=f"config.{name} was changed from .* after the model was made"):
            model.save_pretrained(tmp_path / "new", params, safe_serialization=safe)
        setattr(config, name, before)
    mixed = {**params, **({} if kind is FlaxBloomModel else {"transformer": {**params["transformer"]}})}
    trunk = mixed if kind is FlaxBloomModel else mixed["transformer"]
    trunk["ln_f"] = jax.tree.map(lambda leaf: leaf.astype(np.float16), trunk["ln_f"])
    with pytest.raises(CheckpointError, match="the params are float16 and float32, but a model opens in one dtype"):
        model.save_pretrained(tmp_path / "new", mixed, safe_serialization=safe)
    for wrong in ({**params, "lm_head": {"kernel": np.zeros((24, 300), np.float32)}}, {}):
        with pytest.raises(InputError, match="params must be of this model"):
            model.save_pretrained(tmp_path / "new", wrong, safe_serialization=safe)
    assert not (tmp_path / "new").exists()
    model.save_pretrained(tmp_path / "new", params, safe_serialization=safe)
    again = kind.from_pretrained(tmp_path / "new")
    assert jax.tree.all(jax.tree.map(lambda one, other: (one == other).all(), again.params, params))
