"""A checkpoint whose config says that it is quantised is refused, unless its tensors are plain numbers."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from bloomlab.errors import CheckpointError
from bloomlab.heads.causal_lm import BloomForCausalLM
from tests.tiny_random import random_ids, random_model

KINDS: dict[str, dict[str, Any]] = {
    "gptq": {"quant_method": "gptq", "bits": 4},
    "awq": {"quant_method": "awq", "bits": 4},
    "bitsandbytes": {"quant_method": "bitsandbytes", "load_in_8bit": True},
}


def saved(folder: Path, about: Any) -> Path:
    random_model().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": about}))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_quantised_weights_are_refused_in_words_before_they_are_read(kind: str, tmp_path: Path) -> None:
    folder = saved(tmp_path, KINDS[kind])
    state = load_file(folder / "model.safetensors")
    name = "transformer.h.0.mlp.dense_h_to_4h.weight"
    matrix = state.pop(name)
    if kind == "bitsandbytes":
        more = {name: matrix.to(torch.int8), name.replace("weight", "SCB"): matrix[:, 0].contiguous()}
    else:
        base = name.removesuffix(".weight")
        more = {f"{base}.qweight": torch.zeros(3, 96, dtype=torch.int32), f"{base}.scales": matrix[:1].half()}
    save_file({**state, **more}, folder / "model.safetensors")
    classes = [BloomForCausalLM, pytest.importorskip("bloomlab.jax.causal_lm").FlaxBloomForCausalLM]
    for model_class in classes:
        with pytest.raises(CheckpointError, match=rf"weights are quantised \('{kind}'\), .*open the original model"):
            model_class.from_pretrained(folder)


@pytest.mark.slow
def test_plain_tensors_are_opened_whatever_the_config_says(tmp_path: Path) -> None:
    again = BloomForCausalLM.from_pretrained(saved(tmp_path, KINDS["gptq"]))
    assert again(random_ids()).logits.equal(random_model()(random_ids()).logits)
    flax = pytest.importorskip("bloomlab.jax.causal_lm").FlaxBloomForCausalLM.from_pretrained(tmp_path)
    assert flax.config.quantization_config == KINDS["gptq"]


def test_what_is_no_table_is_refused_too(tmp_path: Path) -> None:
    folder = saved(tmp_path, "4 bits")
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match=r"quantised \('4 bits'\)"):
        BloomForCausalLM.from_pretrained(folder)
