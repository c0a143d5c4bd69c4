"""What transformers saves, bloomlab opens, and the reverse: equal numbers, equal ids."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from bloomlab.config import BloomConfig
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.model.bloom import BloomModel

transformers.utils.logging.disable_progress_bar()

SIZES: list[dict[str, Any]] = [
    {"vocab_size": 97, "hidden_size": 24, "n_layer": 3, "n_head": 6},
    {"vocab_size": 64, "hidden_size": 16, "n_layer": 1, "n_head": 1, "apply_residual_connection_post_layernorm": True},
    {"vocab_size": 50, "hidden_size": 32, "n_layer": 2, "n_head": 8, "tie_word_embeddings": False},
]


def randomised(model: torch.nn.Module, seed: int = 0) -> Any:
    """Every parameter random, biases and layer norms too, so that none can be forgotten unseen."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in model.parameters():
            weights.copy_(torch.randn(weights.shape, generator=generator) * 0.2)
    return model.eval()


def reference(size: dict[str, Any]) -> Any:
    return randomised(transformers.BloomForCausalLM(transformers.BloomConfig(**size)))


def ids_for(size: dict[str, Any]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(4, size["vocab_size"], (2, 11), generator=generator)


def assert_equal_models(ours: Any, theirs: Any, size: dict[str, Any]) -> None:
    ids = ids_for(size)
    with torch.no_grad():
        torch.testing.assert_close(ours(ids).logits, theirs(ids).logits, atol=2e-5, rtol=0)
        greedy = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None, "pad_token_id": 3}
        assert ours.generate(ids, **greedy).equal(theirs.generate(ids, **greedy))


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("shard", ["5GB", 4000])
def test_we_open_what_the_reference_saves(tmp_path: Path, size: Any, shard: Any) -> None:
    theirs = reference(size)
    theirs.save_pretrained(tmp_path, max_shard_size=shard)
    assert (tmp_path / "model.safetensors.index.json").exists() == (shard == 4000)
    assert_equal_models(BloomForCausalLM.from_pretrained(tmp_path), theirs, size)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("shard", ["5GB", 4000])
def test_the_reference_opens_what_we_save(tmp_path: Path, size: Any, shard: Any) -> None:
    ours = randomised(BloomForCausalLM(BloomConfig(**size)))
    ours.save_pretrained(tmp_path, max_shard_size=shard)
    theirs, about = transformers.BloomForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(about[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert_equal_models(ours, theirs.eval(), size)


@pytest.mark.slow
def test_we_write_the_very_names_and_metadata_that_the_reference_writes(tmp_path: Path) -> None:
    def header(folder: Path) -> Any:
        data = (folder / "model.safetensors").read_bytes()
        return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])

    for size in SIZES:
        reference(size).save_pretrained(tmp_path / "theirs")
        BloomForCausalLM.from_pretrained(tmp_path / "theirs").save_pretrained(tmp_path / "ours")
        got, expected = header(tmp_path / "ours"), header(tmp_path / "theirs")
        assert got.pop("__metadata__") == expected.pop("__metadata__") == {"format": "pt"}
        assert {name: about["shape"] for name, about in got.items()} == {
            name: about["shape"] for name, about in expected.items()
        }


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_goes_both_ways_bit_for_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    theirs = reference(SIZES[0]).to(dtype)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = BloomForCausalLM.from_pretrained(tmp_path / "theirs", dtype="auto")
    assert ours.dtype == dtype
    ours.save_pretrained(tmp_path / "ours")
    again = transformers.BloomForCausalLM.from_pretrained(tmp_path / "ours", dtype="auto")
    assert again.dtype == dtype
    for (name, got), expected in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert got.equal(expected), name
    assert all(map(torch.equal, again.parameters(), theirs.parameters()))


@pytest.mark.slow
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("prefix", ["transformer.", ""], ids=["prefix", "no prefix"])
@pytest.mark.parametrize("shards", [1, 3])
def test_we_open_bin_files_with_and_without_the_prefix(tmp_path: Path, shards: int, prefix: str, legacy: bool) -> None:
    """As the hub has them: no prefix, no lm_head, and shards named in any way the index says."""
    theirs = reference(SIZES[0])
    state = {
        name.replace("transformer.", prefix): tensor
        for name, tensor in theirs.state_dict().items()
        if prefix or name != "lm_head.weight"
    }
    names = [f"model_{i:05d}-of-00072.bin" for i in range(shards)] if shards > 1 else ["pytorch_model.bin"]
    weight_map = {name: names[i % shards] for i, name in enumerate(state)}
    for file in names:
        part = {name: tensor for name, tensor in state.items() if weight_map[name] == file}
        torch.save(part, tmp_path / file, _use_new_zipfile_serialization=not legacy)
    if shards > 1:
        index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
        (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    theirs.config.save_pretrained(tmp_path)
    assert_equal_models(BloomForCausalLM.from_pretrained(tmp_path), theirs, SIZES[0])


@pytest.mark.slow
def test_a_base_model_opens_under_the_head_and_the_reverse(tmp_path: Path) -> None:
    theirs = reference(SIZES[0])
    theirs.transformer.save_pretrained(tmp_path / "base")
    assert_equal_models(BloomForCausalLM.from_pretrained(tmp_path / "base"), theirs, SIZES[0])
    theirs.save_pretrained(tmp_path / "causal")
    ids = ids_for(SIZES[0])
    base = BloomModel.from_pretrained(tmp_path / "causal")
    with torch.no_grad():
        got, expected = base(ids).last_hidden_state, theirs.transformer(ids).last_hidden_state
    torch.testing.assert_close(got, expected, atol=2e-5, rtol=0)
    base.save_pretrained(tmp_path / "ours")
    again = transformers.BloomForCausalLM.from_pretrained(tmp_path / "ours").eval()
    with torch.no_grad():
        torch.testing.assert_close(again(ids).logits, theirs(ids).logits, atol=2e-5, rtol=0)


@pytest.mark.parametrize("kind", ["Sequence", "Token"])
def test_a_checkpoint_with_another_head_opens_as_base_and_as_causal_model(tmp_path: Path, kind: str) -> None:
    model_class = getattr(transformers, f"BloomFor{kind}Classification")
    theirs = randomised(model_class(transformers.BloomConfig(**SIZES[0], num_labels=3)))
    theirs.save_pretrained(tmp_path)
    ids = ids_for(SIZES[0])
    with torch.no_grad():
        expected = theirs.transformer(ids).last_hidden_state
        for model in (BloomModel, BloomForCausalLM):
            base = model.from_pretrained(tmp_path).base_model
            torch.testing.assert_close(base(ids).last_hidden_state, expected, atol=2e-5, rtol=0)


def test_num_parameters_and_parameter_names_equal_the_reference() -> None:
    for size in SIZES:
        theirs, ours = reference(size), BloomForCausalLM(BloomConfig(**size))
        assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
        assert ours.num_parameters() == theirs.num_parameters()
        assert ours.transformer.num_parameters(exclude_embeddings=True) == theirs.transformer.num_parameters(
            exclude_embeddings=True
        )
