"""The same BLOOM in JAX: FlaxBloomModel and FlaxBloomForCausalLM, of the very files the torch classes open.

Each file stands beside the one of its name in `model/` (causal_lm beside `heads/`, sampling and decode beside
`generation/`): the same steps in the same order and words, so that two files can be read side by side. Read in this
order: embedding, alibi, attention, mlp, block, cache, bloom, causal_lm.

    model = bloomlab.FlaxBloomForCausalLM.from_pretrained(bloomlab.tiny.folder())
    model(ids).logits                                              ids from tokenizer(text, return_tensors="jax")

It needs jax and flax, which come with `pip install "bloomlab[jax]"`. `import bloomlab` loads neither.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from bloomlab.errors import MissingPackageError, did_you_mean, shorten

MISSING = [name for name in ("jax", "flax") if find_spec(name) is None]
if MISSING:
    raise MissingPackageError(
        f'bloomlab.jax needs jax and flax, but there is no {" and no ".join(MISSING)}; pip install "bloomlab[jax]"'
    )

_HOME = {  # public name -> the module it lives in
    "FlaxBloomModel": "bloomlab.jax.bloom",
    "FlaxBloomForCausalLM": "bloomlab.jax.causal_lm",
    "next_token_loss": "bloomlab.jax.causal_lm",
    "record": "bloomlab.jax.bridge",
}
__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"bloomlab.jax has no {shorten(name)}{did_you_mean(name, __all__)}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
