"""The whole model as a list of parts, from the text to the next token: what each does, its numbers, and where it is.

    text → tokens → embedding → L × (attention with ALiBi, MLP), each added to the stream → layer norm → scores → next

A part's parameters are those of its own module and of the layer norm before it; they add up to the model's.
"""

from dataclasses import dataclass

from bloomlab.config import BloomConfig
from bloomlab.errors import NearMatches
from bloomlab.hooks import Spot
from bloomlab.lens.sizes import parts
from bloomlab.model.positions import kind_of


@dataclass(frozen=True)
class Part(NearMatches):
    """One part of the model.

    Attributes:
        name: a short one, such as "attn".
        title: what people call it.
        does: in one sentence.
        spot: where to read what it makes; of a layer, with {layer} in it; "" where no tensor is.
        axes: of what is there, such as ("head", "query", "key"), without the batch.
        parameters: how many numbers it has learned; of one layer, where each layer has it.
        layered: whether each layer has it.
        file: of the package, in which it is computed.
        lesson: the number of the lesson about it.
        tab: of the explorer, that shows it.
    """

    name: str
    title: str
    does: str
    spot: str
    axes: tuple[str, ...]
    parameters: int
    layered: bool
    file: str
    lesson: str
    tab: str


def whole(config: BloomConfig, spots: dict[str, Spot]) -> list[Part]:
    """The parts of a model with these sizes, in the order in which a text passes them; `spots`: its `hook_names()`.

    >>> import bloomlab
    >>> model = bloomlab.load().model
    >>> parts = whole(model.config, model.hook_names())
    >>> [part.name for part in parts]
    ['text', 'tokens', 'embed', 'attn', 'alibi', 'mlp', 'stream', 'norm', 'scores', 'next']
    >>> learned = sum(part.parameters * (model.config.n_layer if part.layered else 1) for part in parts)
    >>> learned == sum(parameter.numel() for parameter in model.parameters())
    True
    """
    v, h = config.vocab_size, config.hidden_size
    counted, norm, n = parts(config), 2 * h, config.n_layer
    tied = config.tie_word_embeddings
    after_norm = config.apply_residual_connection_post_layernorm
    alibi = ("ALiBi", "Each score is lowered by the head's slope times the distance. Nothing here is learned.")
    kind, rows = kind_of(config), 0
    if kind != "alibi":
        alibi = (f"positions: {kind}", "ALiBi is off: this model was trained to know places another way.")
        rows = int(getattr(config, "n_positions", 0)) if kind == "learned" else 0
    given = [
        ("text", "the text", "A transformer is a program that reads tokens and predicts the next. It begins with text.",
         "", 0, False, "text/tokenizer.py", "00", "tokens"),
        ("tokens", "tokens", "The text is cut into pieces that were learned beforehand; each has a number, its id.",
         "", 0, False, "text/tokenizer.py", "01", "tokens"),
        ("embed", "embedding", f"Each id picks its row of a table: {h:,} numbers, the first state of its position. "
         "A layer norm follows.", "embed", counted["embedding"] + rows * h + norm, False,
         "model/embedding.py", "02", "hidden"),
        ("attn", "attention", f"Each position gathers from those before it: {config.n_head} heads, each with weights "
         "of its own. What they found is added to the state.", "h.{layer}.attn.probs",
         counted["attention"] // n + norm, True, "model/attention.py", "03", "attention"),
        ("alibi", *alibi, "h.{layer}.attn.alibi", 0, True, "model/alibi.py", "04", "alibi"),
        ("mlp", "MLP", f"Each position by itself: {4 * h:,} neurons look for something in the state, and each that "
         "finds it adds its own vector.", "h.{layer}.mlp.post", counted["MLPs"] // n + norm, True,
         "model/mlp.py", "06", "hidden"),
        ("stream", "residual stream", "The state after the layer: what came in"
         f"{', after a layer norm,' if after_norm else ''} plus what attention and the MLP have added. "
         "A layer is these two steps; the next begins with its state.", "h.{layer}.resid_post", 0, True,
         "model/block.py", "05", "hidden"),
        ("norm", "final layer norm", "The last state of each position is brought to one size.", "final", norm, False,
         "model/bloom.py", "05", "hidden"),
        ("scores", "scores", f"The state is compared with {v:,} rows, one for each token of the vocabulary"
         f"{': the very table it began with' if tied else ''}. A score each, the logits.", "logits",
         0 if tied else v * h, False, "heads/causal_lm.py", "05", "predictions"),
        ("next", "the next token", "Scores become probabilities by softmax; one token is chosen, appended, and all of "
         "it begins anew.", "", 0, False, "generation/sampling.py", "07", "writing"),
    ]  # fmt: skip
    axes = {"tokens": ("pos",), "next": ("vocab",)}
    return [
        Part(name, title, does, spot, axes.get(name, _axes(spots, spot)), parameters, layered, file, lesson, tab)
        for name, title, does, spot, parameters, layered, file, lesson, tab in given
    ]


def _axes(spots: dict[str, Spot], spot: str) -> tuple[str, ...]:
    return tuple(spots[spot.format(layer=0)].axes.split()[1:]) if spot else ()
