"""A model of bloomlab's as one of transformers', and back: another class around the very same weights.

Nothing is copied. What trains one trains the other, and a hook of one is unknown to the other. It is for what insists
on a class of theirs; most of what works with their models takes ours as they are.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from bloomlab.config import BloomConfig
from bloomlab.errors import InputError, MissingPackageError, shorten
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.heads.question_answering import BloomForQuestionAnswering
from bloomlab.heads.sequence_classification import BloomForSequenceClassification
from bloomlab.heads.token_classification import BloomForTokenClassification
from bloomlab.model.bloom import BloomModel
from bloomlab.weights.pretrained import BloomPreTrainedModel, shapes_only

CLASSES: dict[str, type[BloomPreTrainedModel]] = {
    each.__name__: each
    for each in (
        BloomModel,
        BloomForCausalLM,
        BloomForSequenceClassification,
        BloomForTokenClassification,
        BloomForQuestionAnswering,
    )
}


def to_transformers(model: BloomPreTrainedModel) -> Any:
    """transformers' model of the same class name, with this model's own weights: one memory, no copy.

    Raises:
        MissingPackageError: transformers is not installed.
        InputError: it is no such model, or has parts that theirs lacks.
    """
    if find_spec("transformers") is None:
        raise MissingPackageError(
            "to_transformers needs transformers, but it is not installed; pip install transformers"
        )
    if type(model).__name__ not in CLASSES or not isinstance(model, BloomPreTrainedModel):
        raise InputError(f"expected one of {', '.join(CLASSES)}, but got {shorten(type(model).__name__)}")
    transformers = import_module("transformers")
    values = {name: value for name, value in model.config.to_dict().items() if name not in ("model_type", "dtype")}
    with torch.device("meta"):
        theirs = getattr(transformers, type(model).__name__)(transformers.BloomConfig(**values))
    _share(model, theirs)
    return theirs.train(model.training)


def from_transformers(model: Any) -> Any:
    """bloomlab's model of the same class name, with the weights of one of transformers': one memory, no copy.

    Raises:
        InputError: it is no BLOOM of transformers', or has parts that ours lacks, such as adapters.
    """
    name, config = type(model).__name__, getattr(model, "config", None)
    if name not in CLASSES or not isinstance(model, nn.Module) or config is None:
        raise InputError(f"expected a BLOOM of transformers', one of {', '.join(CLASSES)}, but got {shorten(name)}")
    with shapes_only():
        ours: Any = CLASSES[name](BloomConfig.from_dict(config.to_dict()))
    _share(model, ours)
    return ours.train(model.training)


def _share(source: nn.Module, target: Any) -> None:
    """Put the parameters of one model into another, under their names."""
    there, wanted = dict(source.named_parameters()), dict(target.named_parameters())
    odd = sorted(there.keys() ^ wanted.keys() - {"lm_head.weight"})
    if odd:
        raise InputError(f"the two models differ in {shorten(odd[0])}; merge adapters into the weights first")
    for name, parameter in there.items():
        owner, _, leaf = name.rpartition(".")
        setattr(target.get_submodule(owner), leaf, parameter)
    if "lm_head.weight" not in there and hasattr(target, "lm_head"):
        target.lm_head.weight = target.get_input_embeddings().weight
