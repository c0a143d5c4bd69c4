"""bloomlab.jax against the Flax classes of transformers 4.57.6, the last to have them: in .venv-v4, through files."""

import os
import subprocess
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from bloomlab import BloomConfig, BloomForCausalLM, FlaxBloomForCausalLM
from bloomlab.jax.checkpoint import MSGPACK
from tests.parity.pairs import VOCAB, make_batch, randomise
from tests.parity.test_v4_parity import PYTHON
from tests.parity.v4 import flax_answers

pytestmark = pytest.mark.slow

IDS, LEFT = make_batch()
MASKS = {"none": np.ones_like(LEFT.numpy()), "left": LEFT.numpy(), "right": LEFT.flip(1).numpy()}
MODELS: dict[str, dict[str, Any]] = {
    "8 heads": {"n_head": 8},
    "normed residual, msgpack": {"n_head": 4, "apply_residual_connection_post_layernorm": True},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints in both languages' layouts, and then the reference's answers."""
    if not PYTHON.exists():
        reason = "there is no .venv-v4, the environment with transformers 4; `make test` makes it"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    place = tmp_path_factory.mktemp("flax")
    for seed, (name, config) in enumerate(MODELS.items()):
        model = BloomForCausalLM(BloomConfig(vocab_size=VOCAB, hidden_size=32, n_layer=2, **config))
        randomise(model, seed)
        model.save_pretrained(place / name)
        if "msgpack" in name:
            FlaxBloomForCausalLM.from_pretrained(place / name).save_pretrained(place / name, safe_serialization=False)
    np.savez(place / "inputs.npz", ids=IDS.numpy(), **MASKS)  # type: ignore[arg-type]  # arrays by name
    done = subprocess.run([PYTHON, flax_answers.__file__, place], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture(scope="module")
def reference(folder: Path) -> dict[str, Any]:
    return dict(np.load(folder / "answers.npz"))


@pytest.mark.parametrize("name", MODELS)
def test_both_answer_the_same(name: str, folder: Path, reference: dict[str, Any]) -> None:
    model = FlaxBloomForCausalLM.from_pretrained(folder / name)
    ours = flax_answers.answers(model, IDS.numpy(), MASKS)
    theirs = {key.removeprefix(f"{name}/"): value for key, value in reference.items() if key.startswith(f"{name}/")}
    names = theirs.pop("names")
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        real = MASKS[key.split(".")[0]].astype(bool) if key.split(".")[0] in MASKS else LEFT.bool().numpy()
        if "probs" in key:  # (batch, head, query, key): compare the queries that are tokens
            value, expected = value.swapaxes(1, 2)[real], theirs[key].swapaxes(1, 2)[real]
        elif key == "greedy":
            expected = theirs[key][:, : value.shape[1]]  # the reference goes on with padding to the full width
            assert (theirs[key][:, value.shape[1] :] == 3).all()
        else:
            real = real[:, int(key.split(".")[1]) :][:, : value.shape[1]] if key.startswith("cached") else real
            value, expected = value[real], theirs[key][real]
        np.testing.assert_allclose(value, expected, atol=2e-5, rtol=0, err_msg=key)
    shapes = {".".join(path): leaf.shape for path, leaf in flatten_dict(model.params).items()}
    assert names.tolist() == sorted(f"{name} {shape}" for name, shape in shapes.items())


@pytest.mark.parametrize("name", MODELS)
def test_we_open_what_the_reference_saved(name: str, folder: Path, reference: dict[str, Any]) -> None:
    saved = folder / name / "saved by transformers"
    assert (saved / MSGPACK).exists()
    ours, theirs = (FlaxBloomForCausalLM.from_pretrained(place).params for place in (folder / name, saved))
    assert jax.tree.all(jax.tree.map(np.array_equal, ours, theirs))


def test_the_reference_cannot_have_six_heads(reference: dict[str, Any]) -> None:
    """Why the documentation's own example, bigscience/bloom with 112 heads, could not run there."""
    assert "no attribute 'cat'" in str(reference["six heads"])
