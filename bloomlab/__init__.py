"""bloomlab opens BLOOM up in a notebook: every number between the text and the prediction can be seen,
explained and changed.

    import bloomlab
    lab = bloomlab.load()                # the small trained BLOOM that comes with the package
    lab.explore("Leo lives in Oslo.")    # look inside

Each name below is imported when it is first used, so that `import bloomlab` is quick: it loads neither torch
nor anything of Jupyter.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {  # public name -> the module it lives in
    "load": "bloomlab.lab",
    "Lab": "bloomlab.lab",
    "fits": "bloomlab.room",
    "BloomConfig": "bloomlab.config",
    "BloomModel": "bloomlab.model.bloom",
    "BloomForCausalLM": "bloomlab.heads.causal_lm",
    "BloomForSequenceClassification": "bloomlab.heads.sequence_classification",
    "BloomForTokenClassification": "bloomlab.heads.token_classification",
    "BloomForQuestionAnswering": "bloomlab.heads.question_answering",
    "FlaxBloomModel": "bloomlab.jax.bloom",  # with the extra `bloomlab[jax]`
    "FlaxBloomForCausalLM": "bloomlab.jax.causal_lm",
    "BloomTokenizerFast": "bloomlab.tokenizer",
    "AutoTokenizer": "bloomlab.tokenizer",
    "Hooks": "bloomlab.hooks",
    "Trace": "bloomlab.trace",
    "zero": "bloomlab.edits",
    "scale": "bloomlab.edits",
    "add": "bloomlab.edits",
    "patch": "bloomlab.edits",
    "mean": "bloomlab.edits",
    "fit": "bloomlab.finetune",
    "BloomlabError": "bloomlab.errors",
}
_REAL_NAME = {"AutoTokenizer": "BloomTokenizerFast"}  # BLOOM's pages import its tokenizer under this name

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOME:
        from bloomlab.errors import did_you_mean

        raise AttributeError(f"bloomlab has no {name!r}{did_you_mean(name, __all__)}")
    value = getattr(import_module(_HOME[name]), _REAL_NAME.get(name, name))
    globals()[name] = value  # the next use finds it without coming here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(ipython: Any) -> None:
    """Make `%bloom` available: what `%load_ext bloomlab` calls."""
    from bloomlab import magics

    magics.load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """Take `%bloom` away again: what `%unload_ext bloomlab` calls."""
    from bloomlab import magics

    magics.unload(ipython)
