"""bloomlab opens BLOOM up in a notebook: every number between the text and the prediction can be seen,
explained and changed.

    import bloomlab
    lab = bloomlab.load()                # the small trained BLOOM that comes with the package
    lab.explore("Leo lives in Oslo.")    # look inside

Each name below is imported when it is first used, so that `import bloomlab` is quick: it loads neither torch
nor anything of Jupyter.
"""

import sys
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {  # public name -> the module it lives in
    "load": "bloomlab.lab",
    "Lab": "bloomlab.lab",
    "finding": "bloomlab.lab",
    "fits": "bloomlab.weights.fits",
    "models": "bloomlab.weights.fits",
    "BloomConfig": "bloomlab.config",
    "BloomModel": "bloomlab.model.bloom",
    "BloomForCausalLM": "bloomlab.heads.causal_lm",
    "BloomForSequenceClassification": "bloomlab.heads.sequence_classification",
    "BloomForTokenClassification": "bloomlab.heads.token_classification",
    "BloomForQuestionAnswering": "bloomlab.heads.question_answering",
    "FlaxBloomModel": "bloomlab.jax.bloom",  # with the extra `bloomlab[jax]`
    "FlaxBloomForCausalLM": "bloomlab.jax.causal_lm",
    "BloomTokenizerFast": "bloomlab.text.tokenizer",
    "AutoTokenizer": "bloomlab.text.tokenizer",
    "to_transformers": "bloomlab.heads.bridge",
    "from_transformers": "bloomlab.heads.bridge",
    "Hooks": "bloomlab.hooks",
    "Trace": "bloomlab.tracing.trace",
    "zero": "bloomlab.tracing.edits",
    "scale": "bloomlab.tracing.edits",
    "add": "bloomlab.tracing.edits",
    "patch": "bloomlab.tracing.edits",
    "mean": "bloomlab.tracing.edits",
    "cut": "bloomlab.tracing.edits",
    "usual": "bloomlab.tracing.donors",
    "drawn": "bloomlab.tracing.donors",
    "copied": "bloomlab.tracing.donors",
    "hold": "bloomlab.tracing.donors",
    "steer": "bloomlab.tracing.donors",
    "fit": "bloomlab.tasks.finetune",
    "BloomlabError": "bloomlab.errors",
}
_REAL_NAME = {"AutoTokenizer": "BloomTokenizerFast"}  # BLOOM's pages import its tokenizer under this name

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOME:
        from bloomlab.elsewhere import PACKAGE, VERBS, hint
        from bloomlab.errors import shorten

        verbs = {verb: f"bloomlab.load().{verb}(…)" for verb in VERBS}
        raise AttributeError(f"bloomlab has no {shorten(name)}{hint(name, {**verbs, **PACKAGE}, __all__)}")
    try:
        home = import_module(_HOME[name])
    except ModuleNotFoundError as error:
        if error.name == "torch":
            raise _without_torch() from None
        raise
    value = getattr(home, _REAL_NAME.get(name, name))
    globals()[name] = value  # the next use finds it without coming here
    return value


def _without_torch() -> ImportError:
    from bloomlab.errors import MissingPackageError

    return MissingPackageError(
        "bloomlab needs torch, which is not installed here; in a browser alone (JupyterLite, Pyodide) there is none: "
        "open the notebook where Python runs on a computer, with `pip install bloomlab` and `bloomlab lab`"
    )


if sys.platform == "emscripten":  # Python in a browser: say so now, and not after a page of code has run
    raise _without_torch()


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(ipython: Any) -> None:
    """Make `%bloom` available: what `%load_ext bloomlab` calls."""
    from bloomlab.notebook import magics

    magics.load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """Take `%bloom` away again: what `%unload_ext bloomlab` calls."""
    from bloomlab.notebook import magics

    magics.unload(ipython)
