"""Would a saved model come back as it is? A file holds weights under names, and a config that says the rest.

So a model that was changed by hand, whose config does not say so, would come back as another, without a word. Here it
is held beside the model that its config makes, part by part, before anything is written.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from bloomlab.errors import CheckpointError, shorten
from bloomlab.weights.devices import is_placed

ANY = {
    *("training", "gradient_checkpointing", "p", "inplace", "readable"),  # for training, or of how it is run
    *("padding_idx", "sparse", "scale_grad_by_freq"),  # of gradients only
    *("in_features", "out_features", "num_embeddings", "embedding_dim"),  # which the weights' shapes say
}
"""What may differ in a part: it is not saved, and changes no result."""


def state_to_save(model: nn.Module, fresh: nn.Module) -> dict[str, Tensor]:
    """The tensors of a model under the names of `fresh`, the one (without numbers) that its config makes.

    A weight that stands at two places is there twice, unless the config ties them.

    Raises:
        CheckpointError: what would be opened again is not this model.
    """
    _check_parts(dict(model.named_modules(remove_duplicate=False)), dict(fresh.named_modules(remove_duplicate=False)))
    there, expected = (_tensors(each) for each in (model, fresh))
    for name, tensor in there.items():
        if name not in expected:
            raise CheckpointError(
                f"{shorten(name)} is in the model, but no model of its config has it; take it out, or merge it into "
                "the weights, and save again"
            )
        if tensor.shape != expected[name].shape:
            raise CheckpointError(
                f"{name} has shape {tuple(tensor.shape)}, but the config makes {tuple(expected[name].shape)}; "
                f"{_advice(name)}"
            )
        if tensor.is_meta:
            raise CheckpointError(f"{name} has no numbers (it is on the meta device); fill it, and save again")
    for name in expected:
        if name not in there:
            raise CheckpointError(f"{name} is gone from the model, but its config makes it; {_advice(name)}")
    dtypes = {tensor.dtype: name for name, tensor in there.items()}
    if len(dtypes) > 1:
        shown = " and ".join(f"{str(dtype)[6:]} ({name})" for dtype, name in dtypes.items())
        raise CheckpointError(f"the weights are {shown}, but a model opens in one dtype; make it one: model.float()")
    return {name: there[name] for name, _ in fresh.named_parameters()}


def _check_parts(parts: Mapping[str, nn.Module], fresh: Mapping[str, nn.Module]) -> None:
    """Refuse parts that the config would make otherwise: of another kind, or with another number in them."""
    for name, made in fresh.items():
        part = parts.get(name)
        if part is None:
            raise CheckpointError(f"{name} is gone from the model, but its config makes it; {_advice(name)}")
        if type(part) is not type(made) or ("forward" in vars(part) and not is_placed(part)):
            what = f"a {type(part).__name__}" if type(part) is not type(made) else "one with a forward of its own"
            raise CheckpointError(
                f"{name} is {what}, but the config makes a plain {type(made).__name__}; put one there, with what it "
                "computes merged into its weights, and save again"
            )
        for key, value in vars(made).items():
            plain = isinstance(value, bool | int | float | str | tuple | None)
            if plain and not key.startswith("_") and key not in ANY and vars(part).get(key) != value:
                raise CheckpointError(
                    f"{name or 'the model'} has {key} {shorten(vars(part).get(key))}, but its config makes {value!r}; "
                    "a config that is changed later changes no part: make the model anew, or set the config back"
                )


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer by its name; one that stands at two places is there under both."""
    return {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }


def _advice(name: str) -> str:
    """What to do about a weight of another shape, or that is gone."""
    if "word_embeddings" in name or "lm_head" in name:
        return "model.resize_token_embeddings(…) changes table, head and config together"
    if ".h." in f".{name}":
        return "set config.n_layer to the number of layers, and save again"
    if name.startswith(("score", "classifier")):
        return "set config.num_labels to the number of labels, and save again"
    return "make the config say what the model has, and save again"
