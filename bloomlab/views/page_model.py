"""What a page needs to compute by itself: the model's numbers, its tokenizer, and what only Python knows of its tokens.

widgets/model/ reads it: BLOOM in JavaScript, with the names, the spots and the axes of `bloomlab.model`.
"""

import base64
import json
from typing import Any

import safetensors.torch

from bloomlab.errors import InputError
from bloomlab.generation.settings import Settings
from bloomlab.lens.tokens import script
from bloomlab.model.positions import kind_of
from bloomlab.text.tokens import names_of_the_unseen
from bloomlab.tiny.like import words_of_the_world
from bloomlab.tracing.record import weights_hash
from bloomlab.views.shared.edits import LANGUAGE_NAMES, stories_of

LARGEST = 4 << 20  # bytes of weights: a page is one file, which a phone opens
SIZES = ("vocab_size", "hidden_size", "n_layer", "n_head", "layer_norm_epsilon")


def page_model(lab: Any) -> dict[str, Any]:
    """A lab's model as plain data: `weights` is a safetensors file in base64, in float16 if that loses nothing.

    `scripts` has the script of each token's first letter, by its id; `names` Unicode's name of each character that has
    no face of its own; `ends` the ids that end a text; `world` the words of the tiny world, of which texts like one are
    made; `stories` the texts that stand for each language.

    Raises:
        InputError: the model is too large for a page, or knows positions otherwise than by ALiBi.
    """
    if kind_of(lab.model.config) != "alibi":
        raise InputError(
            f"a live page knows ALiBi's positions only, but this model's are {kind_of(lab.model.config)!r}; save "
            "without live=True"
        )
    parameters = dict(lab.model.named_parameters())  # the tied table once
    tensors = {name: parameter.detach().float().cpu().contiguous() for name, parameter in parameters.items()}
    halves = {name: tensor.half() for name, tensor in tensors.items()}
    exact = all(halves[name].float().equal(tensor) for name, tensor in tensors.items())
    kept = halves if exact else tensors
    size = sum(tensor.nbytes for tensor in kept.values())
    if size > LARGEST:
        raise InputError(
            f"a live page holds a model of at most {LARGEST / 1e6:.0f} MB, but this one has {size / 1e6:,.0f} MB; "
            "save without live=True, or use the embedded model: bloomlab.load()"
        )
    tokenizer, file = lab.tokenizer, json.loads(lab.tokenizer.tokenizer_json())
    config = {name: getattr(lab.model.config, name) for name in SIZES}
    config["apply_residual_connection_post_layernorm"] = bool(lab.model.config.apply_residual_connection_post_layernorm)
    return {
        "name": lab.name,
        "code": lab.code,
        "config": config,
        "dtype": str(lab.model.dtype).removeprefix("torch."),
        "hash": weights_hash(lab.model),
        "parameters": lab.model.num_parameters(),
        "weights": base64.b64encode(safetensors.torch.save(kept)).decode(),
        "tokenizer": {
            "added_tokens": [{"content": one["content"], "id": one["id"]} for one in file["added_tokens"]],
            "model": {"vocab": file["model"]["vocab"], "merges": file["model"]["merges"]},
        },
        "special": sorted(tokenizer.all_special_ids),
        "ends": Settings().stop_ids(lab.model.config),
        "max_tokens": lab.max_tokens,
        "names": names_of_the_unseen(),
        "world": words_of_the_world(),
        "stories": {name: list(stories_of(code)) for name, code in LANGUAGE_NAMES.items()},
        "scripts": [script(token.text) for token in tokenizer.tokens_of_ids(range(len(tokenizer)))],
    }
