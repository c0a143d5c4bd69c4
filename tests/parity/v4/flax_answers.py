"""What the Flax classes of transformers 4.57.6 answer. `python flax_answers.py FOLDER` runs in .venv-v4.

The folder holds a checkpoint a subfolder, and inputs.npz; the answers are written beside them, as answers.npz.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np


def answers(model: Any, ids: Any, masks: dict[str, Any]) -> dict[str, Any]:
    """Everything both sides are asked, by name."""
    found: dict[str, Any] = {}
    for padding, mask in masks.items():
        output = model(ids, attention_mask=mask, output_attentions=True, output_hidden_states=True)
        found[f"{padding}.logits"] = output.logits
        found |= {f"{padding}.state.{i}": state for i, state in enumerate(output.hidden_states)}
        found |= {f"{padding}.probs.{i}": probs for i, probs in enumerate(output.attentions)}
    if model.config.apply_residual_connection_post_layernorm:  # for the second model a pass is enough
        return {name: np.asarray(value) for name, value in found.items()}
    width = ids.shape[1] + 3
    mask = np.ones((len(ids), width), np.int32)
    mask[:, : ids.shape[1]] = masks["left"]
    past = model.init_cache(len(ids), width)
    for start, stop in ((0, 6), (6, 7), (7, ids.shape[1])):
        output = model(ids[:, start:stop], attention_mask=mask, past_key_values=past)
        past = output.past_key_values
        found[f"cached.{start}"] = output.logits
    written = model.generate(ids, attention_mask=masks["left"], max_new_tokens=6, do_sample=False, pad_token_id=3)
    found["greedy"] = written.sequences
    return {name: np.asarray(value) for name, value in found.items()}


def main(folder: Path) -> None:
    import jax.numpy as jnp
    from flax.traverse_util import flatten_dict
    from transformers import BloomConfig, FlaxBloomForCausalLM

    inputs = dict(np.load(folder / "inputs.npz"))
    ids, masks = inputs.pop("ids"), inputs
    found: dict[str, Any] = {}
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        from_pt = not (place / "flax_model.msgpack").exists()
        model = FlaxBloomForCausalLM.from_pretrained(place, from_pt=from_pt)
        found |= {f"{place.name}/{name}": value for name, value in answers(model, ids, masks).items()}
        shapes = {".".join(path): leaf.shape for path, leaf in flatten_dict(model.params).items()}
        found[f"{place.name}/names"] = np.array(sorted(f"{name} {shape}" for name, shape in shapes.items()))
        model.save_pretrained(place / "saved by transformers")
    try:
        FlaxBloomForCausalLM(BloomConfig(vocab_size=10, hidden_size=24, n_layer=1, n_head=6), dtype=jnp.float32)
        found["six heads"] = np.array("work")
    except AttributeError as error:
        found["six heads"] = np.array(str(error))
    np.savez(folder / "answers.npz", **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
