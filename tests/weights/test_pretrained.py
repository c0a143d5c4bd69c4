"""What all models share: made, opened, saved, resized."""

import copy
import gc
import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import bloomlab
from bloomlab.config import BloomConfig
from bloomlab.errors import BloomlabError, CheckpointError, ConfigError, InputError, MemoryLimitError, TokenizerError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.model.bloom import BloomModel
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.weights.pretrained import shapes_only

SIZES: dict[str, Any] = {"vocab_size": 40, "hidden_size": 16, "n_layer": 2, "n_head": 4}
IDS = torch.tensor([[5, 6, 7, 8]])


def randomised(model: Any) -> Any:
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weights in model.parameters():
            weights.copy_(torch.randn(weights.shape, generator=generator) * 0.3)
    return model.eval()


@pytest.fixture
def model() -> Any:
    return randomised(BloomForCausalLM(BloomConfig(**SIZES)))


@pytest.fixture
def folder(tmp_path: Path, model: Any) -> Path:
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_saved_model_comes_back_bit_for_bit(folder: Path, model: Any) -> None:
    again = BloomForCausalLM.from_pretrained(folder)
    assert again(IDS).logits.equal(model(IDS).logits)
    assert again.config.n_head == 4 and again.config.architectures == ["BloomForCausalLM"]
    assert not again.training
    assert all(weights.requires_grad for weights in again.parameters())
    assert again.lm_head.weight is again.transformer.word_embeddings.weight
    assert not any(weights.is_meta for weights in again.parameters())


def test_saving_does_not_change_the_models_own_config(tmp_path: Path) -> None:
    config = BloomConfig(vocab_size=40, hidden_size=16, n_layer=1, n_head=4, torch_dtype="bfloat16", seq_length=9)
    before = copy.deepcopy(config.to_dict())
    BloomModel(config).save_pretrained(tmp_path)
    assert config.to_dict() == before
    written = json.loads((tmp_path / "config.json").read_text())
    assert (written["dtype"], written["seq_length"]) == ("float32", 9)
    assert "torch_dtype" not in written


def test_a_model_can_be_saved_over_the_files_it_reads_from(folder: Path, model: Any) -> None:
    """Its weights are still in the file, mapped; the file is replaced, not written into."""
    again = BloomForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        again.transformer.ln_f.bias.add_(1)
    again.save_pretrained(folder)
    third = BloomForCausalLM.from_pretrained(folder)
    assert third(IDS).logits.equal(again(IDS).logits)
    assert not third(IDS).logits.equal(model(IDS).logits)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16", "float64"])
def test_dtype_is_float32_unless_asked_otherwise(folder: Path, model: Any, name: str) -> None:
    dtype = getattr(torch, name)
    copy.deepcopy(model).to(dtype).save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["dtype"] == name
    assert BloomForCausalLM.from_pretrained(folder).dtype == torch.float32
    for asked in ({"dtype": "auto"}, {"dtype": dtype}, {"dtype": name}, {"torch_dtype": f"torch.{name}"}):
        again = BloomForCausalLM.from_pretrained(folder, **asked)
        assert {weights.dtype for weights in again.parameters()} == {dtype}
        assert again.transformer.ln_f.weight.equal(model.transformer.ln_f.weight.to(dtype))


@pytest.mark.parametrize("asked", ["flaot32", "int4", torch.int64, 32, {}, "torch"])
def test_a_dtype_that_is_none_is_refused(folder: Path, asked: Any) -> None:
    with pytest.raises(InputError, match="dtype must be 'auto' or one of float32"):
        BloomForCausalLM.from_pretrained(folder, dtype=asked)
    with pytest.raises(InputError, match="are one argument"):
        BloomForCausalLM.from_pretrained(folder, dtype="float32", torch_dtype="float16")


def test_loading_leaves_the_random_state_the_dtype_and_grad_mode_alone(folder: Path) -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    with torch.no_grad():
        BloomForCausalLM.from_pretrained(folder, dtype="bfloat16")
        with pytest.warns(UserWarning, match="made new"):
            BloomForCausalLM.from_pretrained(folder, tie_word_embeddings=False)
        assert not torch.is_grad_enabled()
    assert torch.rand(3).equal(expected)
    assert torch.get_default_dtype() == torch.float32
    assert torch.get_default_device().type == "cpu"


def test_a_default_device_and_dtype_of_the_caller_do_not_leak_in(folder: Path, model: Any) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            again = BloomForCausalLM.from_pretrained(folder)
            cast = BloomForCausalLM.from_pretrained(folder, dtype="bfloat16")
    finally:
        torch.set_default_dtype(torch.float32)
    assert {weights.device.type for weights in [*again.parameters(), *cast.parameters()]} == {"cpu"}
    assert again(IDS).logits.equal(model(IDS).logits)


def test_a_missing_head_is_made_new_with_one_warning(folder: Path) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        model = BloomForCausalLM.from_pretrained(folder, tie_word_embeddings=False, dtype="float64")
    (warning,) = seen
    assert str(warning.message).startswith("lm_head.weight: not in the files")
    assert warning.filename == __file__
    assert model.lm_head.weight is not model.transformer.word_embeddings.weight
    assert model.lm_head.weight.dtype == torch.float64
    assert 0.01 < model.lm_head.weight.std().item() < 0.03
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        BloomForCausalLM.from_pretrained(folder)


def test_a_config_can_be_overridden_or_given(folder: Path) -> None:
    assert BloomForCausalLM.from_pretrained(folder, hidden_dropout=0.5).config.hidden_dropout == 0.5
    assert BloomForCausalLM.from_pretrained(folder, num_labels=3).config.num_labels == 3
    given = BloomConfig(vocab_size=40, hidden_size=16, n_layer=2, n_head=2)
    assert BloomForCausalLM.from_pretrained(folder, config=given).config.n_head == 2
    again = BloomForCausalLM.from_pretrained(folder, config=given, n_head=8)
    assert (again.config.n_head, given.n_head) == (8, 2)
    with pytest.raises(InputError, match="'num_lables'; did you mean 'num_labels'"):
        BloomForCausalLM.from_pretrained(folder, num_lables=3)
    with pytest.raises(InputError, match="must be a BloomConfig, but got dict"):
        BloomForCausalLM.from_pretrained(folder, config={})
    with pytest.raises(CheckpointError, match=r"lacks 'transformer\.h\.2"):
        BloomForCausalLM.from_pretrained(folder, n_layer=3)


def test_a_device_can_be_named(folder: Path) -> None:
    assert BloomForCausalLM.from_pretrained(folder, device="cpu").device == torch.device("cpu")
    assert BloomForCausalLM.from_pretrained(folder, device="meta").device.type == "meta"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("token", "put the token into the environment, as HF_TOKEN"),
        ("local_files_only", "set HF_HUB_OFFLINE=1"),
        ("trust_remote_code", "no code of a model is ever run here"),
        ("low_cpu_mem_usage", "opening a model never takes more"),
    ],
)
def test_what_other_libraries_take_is_refused_with_what_to_do_here(folder: Path, name: str, hint: str) -> None:
    with pytest.raises(InputError, match=f"'{name}'; {hint}"):
        BloomForCausalLM.from_pretrained(folder, **{name: True})


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "", {}, "cpu:x"])
def test_a_device_that_is_not_here_is_refused_before_anything_is_read(folder: Path, device: Any) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="device must be one that works here, such as 'cpu', but got"):
        BloomForCausalLM.from_pretrained(folder, device=device)


# -- loads that fail ----


def cut(folder: Path, path: str, length: float) -> None:
    data = (folder / path).read_bytes()
    (folder / path).write_bytes(data[: int(length * len(data))])


def wrong_second_shape(folder: Path) -> None:
    state = dict(BloomForCausalLM.from_pretrained(folder).named_parameters())
    second = list(state)[1]
    state[second] = nn.Parameter(torch.ones(17))
    from bloomlab.weights.checkpoint import write_state

    write_state(folder, state)


BROKEN: dict[str, Any] = {
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "half the weights": lambda folder: cut(folder, "model.safetensors", 0.5),
    "empty weights": lambda folder: cut(folder, "model.safetensors", 0),
    "a wrong shape in the second tensor": wrong_second_shape,
    "no config": lambda folder: (folder / "config.json").unlink(),
    "half the config": lambda folder: cut(folder, "config.json", 0.5),
    "another config": lambda folder: (folder / "config.json").write_text('{"model_type": "gpt2"}'),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_load_that_fails_says_why_and_changes_nothing(folder: Path, model: Any, how: str) -> None:
    used = BloomForCausalLM.from_pretrained(folder)
    before, state = used(IDS).logits, torch.get_rng_state()
    BROKEN[how](folder)
    expected = ConfigError if "config" in how else CheckpointError
    with pytest.raises(expected) as caught:
        BloomForCausalLM.from_pretrained(folder)
    message = str(caught.value)
    assert isinstance(caught.value, BloomlabError)
    assert ("gpt2" if how == "another config" else str(folder)) in message
    if "shape" in how:
        assert "(16,)" in message and "(17,)" in message and "word_embeddings_layernorm.weight" in message
    assert torch.get_rng_state().equal(state)
    if how.startswith(("no ", "a ")):  # what is mapped from a file that others cut is beyond saving
        assert used(IDS).logits.equal(before)


def test_a_missing_folder_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in (tmp_path / "missing", "bigscience bloom-560m", "a\0b", tmp_path / "file"):
        with pytest.raises(CheckpointError, match="expected a folder with the files of a model"):
            BloomForCausalLM.from_pretrained(name)
    for name in (None, 7, ""):
        with pytest.raises(InputError, match="expected the name of a model or a folder"):
            BloomForCausalLM.from_pretrained(name)


def test_saving_where_no_folder_can_be_is_one_clear_error(tmp_path: Path, model: Any) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(CheckpointError, match=r"cannot write .*: file exists; name a folder"):
        model.save_pretrained(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "precious"
    with pytest.raises(InputError, match="max_shard_size"):
        model.save_pretrained(tmp_path / "new", max_shard_size="big")
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_model_too_large_for_the_machine_is_refused_before_it_is_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MemoryLimitError, match=r"176,247,271,424 parameters needs 705\.0 GB"):
        BloomForCausalLM(BloomConfig.named("176b"))
    with shapes_only():
        assert BloomForCausalLM(BloomConfig.named("176b")).num_parameters() == 176_247_271_424
    monkeypatch.setenv("MEM_LIMIT", "1000")
    with pytest.raises(MemoryLimitError, match=r"parameters in float32 needs .* but 0 bytes are free"):
        BloomForCausalLM.from_pretrained(folder)


# -- what the documentation promises of every model ----


def test_new_weights_follow_the_recipe() -> None:
    torch.manual_seed(0)
    model = BloomForCausalLM(BloomConfig(vocab_size=3000, hidden_size=64, n_layer=1, n_head=4, initializer_range=0.05))
    for name, weights in model.named_parameters():
        if name.endswith("bias"):
            assert not weights.any(), name
        elif "layernorm" in name or "ln_f" in name:
            assert weights.eq(1).all(), name
        else:
            assert abs(weights.std().item() - 0.05) < 0.003 and abs(weights.mean().item()) < 0.003, name
    assert model.transformer.word_embeddings.weight.abs().max() > 0.15  # a plain normal, not a truncated one


def test_a_model_is_made_from_a_config_only() -> None:
    with pytest.raises(InputError, match="made from a BloomConfig, but got dict"):
        BloomForCausalLM({"n_layer": 2})  # type: ignore[arg-type]  # that is the point


def test_the_table_can_grow_and_shrink(model: Any) -> None:
    old = model.transformer.word_embeddings.weight.detach().clone()
    expected = model(IDS).logits
    table = model.resize_token_embeddings(50)
    assert table is model.get_input_embeddings()
    assert (model.config.vocab_size, table.num_embeddings, model.lm_head.out_features) == (50, 50, 50)
    assert table.weight[:40].equal(old)
    assert 0.01 < table.weight[40:].std().item() < 0.03
    assert model.lm_head.weight is table.weight
    torch.testing.assert_close(model(IDS).logits[..., :40], expected)
    model.resize_token_embeddings(9)
    assert model(IDS).logits.shape == (1, 4, 9)
    assert table is not model.get_input_embeddings()
    assert model.resize_token_embeddings() is model.get_input_embeddings()
    for bad in (0, -1, 1.5, True, "9"):
        with pytest.raises(InputError, match="number of tokens"):
            model.resize_token_embeddings(bad)


def test_a_head_of_its_own_grows_with_the_table() -> None:
    model = randomised(BloomForCausalLM(BloomConfig(**SIZES, tie_word_embeddings=False)))
    expected = model(IDS).logits
    model.resize_token_embeddings(44)
    assert model.lm_head.weight is not model.transformer.word_embeddings.weight
    torch.testing.assert_close(model(IDS).logits[..., :40], expected)
    assert model(IDS).logits.shape[-1] == 44


def test_a_resized_model_is_saved_and_opened(tmp_path: Path, model: Any) -> None:
    model.resize_token_embeddings(41)
    model.save_pretrained(tmp_path)
    assert BloomForCausalLM.from_pretrained(tmp_path)(IDS).logits.equal(model(IDS).logits)


def test_another_table_can_be_put_in(model: Any) -> None:
    table = nn.Embedding(30, 16)
    model.set_input_embeddings(table)
    assert model.get_input_embeddings() is table and model.lm_head.weight is table.weight
    assert model.config.vocab_size == 30
    for bad, got in ((nn.Embedding(30, 15), "width 15"), (nn.Linear(16, 30), "Linear")):
        with pytest.raises(InputError, match=f"width 16, but got {got}"):
            model.set_input_embeddings(bad)


def test_parameters_are_counted_once(model: Any) -> None:
    total = BloomConfig(**SIZES).parameter_count()
    assert model.num_parameters() == model.transformer.num_parameters() == total
    assert model.num_parameters(exclude_embeddings=True) == total - 40 * 16
    model.transformer.ln_f.requires_grad_(False)
    assert model.num_parameters(only_trainable=True) == total - 32


def test_the_base_model_its_device_and_its_dtype(model: Any) -> None:
    assert model.base_model is model.transformer
    assert model.transformer.base_model is model.transformer
    assert model.device == torch.device("cpu")
    assert model.half().dtype == torch.float16
    assert BloomForCausalLM.config_class is BloomConfig
    assert BloomForCausalLM.base_model_prefix == "transformer"


def test_gradient_checkpointing_is_switched_on_and_off_without_changing_gradients(model: Any) -> None:
    def gradients() -> list[torch.Tensor]:
        model.zero_grad()
        model.train()(IDS, labels=IDS, use_cache=False).loss.backward()
        return [weights.grad.clone() for weights in model.parameters()]

    plain = gradients()
    model.gradient_checkpointing_enable()
    assert model.transformer.gradient_checkpointing
    for got, expected in zip(gradients(), plain, strict=True):
        torch.testing.assert_close(got, expected)
    model.gradient_checkpointing_disable()
    assert not model.transformer.gradient_checkpointing


PEAK = """
import sys, torch
from bloomlab.heads.causal_lm import BloomForCausalLM
def resident(key):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))
open("/proc/self/clear_refs", "w").write("5")  # forget the peak so far
before = resident("VmRSS")
model = BloomForCausalLM.from_pretrained(sys.argv[1], dtype=sys.argv[2])
touched = sum(weights.view(-1)[::1000].float().sum().item() for weights in model.parameters())  # every page
print((resident("VmHWM") - before) / sum(weights.nbytes for weights in model.parameters()))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is read from Linux' /proc")
@pytest.mark.parametrize("dtype", ["float16", "float32", "bfloat16"])
def test_opening_takes_no_more_than_the_weights_and_fifteen_percent(tmp_path: Path, dtype: str) -> None:
    """About 200 MB of float16 weights, in a process of its own."""
    config = BloomConfig(vocab_size=60_000, hidden_size=768, n_layer=8, n_head=12)
    model = BloomForCausalLM(config).half()
    assert 190e6 < sum(weights.nbytes for weights in model.parameters()) < 240e6
    model.save_pretrained(tmp_path)
    del model
    gc.collect()
    command = [sys.executable, "-c", PEAK, str(tmp_path), dtype]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 0.8 < float(run.stdout) < 1.15


@pytest.mark.slow
def test_opening_a_model_and_listing_its_spots_does_not_load_torchs_compiler(folder: Path) -> None:
    """Work on tensors without numbers would: 800 modules, more than a second, 70 MB."""
    code = (
        "import sys; from bloomlab.heads.causal_lm import BloomForCausalLM; before = set(sys.modules)\n"
        f"BloomForCausalLM.from_pretrained({str(folder)!r}).hook_names(); print(*set(sys.modules) - before)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not any(name.startswith(("torch._refs", "torch._inductor", "sympy")) for name in run.stdout.split())
    assert len(run.stdout.split()) < 40


def test_a_folder_that_may_not_be_entered_is_said_by_everything_that_opens_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != tmp_path)
    openers: list[tuple[Any, type[BloomlabError]]] = [
        *((bloomlab.load, CheckpointError), (BloomForCausalLM.from_pretrained, CheckpointError)),
        *((BloomConfig.from_pretrained, ConfigError), (BloomTokenizerFast.from_pretrained, TokenizerError)),
    ]
    for opens, kind in openers:
        with pytest.raises(kind, match="may not be entered and listed; change who may read it"):
            opens(tmp_path)
