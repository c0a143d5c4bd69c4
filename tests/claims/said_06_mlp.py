"""What lesson 06 says: most neurons are silent, and the first MLP is missed most."""

from torch.nn.functional import cross_entropy

from bloomlab import Lab, zero
from bloomlab.tiny.measure import validation_rows
from tests.claims.claim import claim

LESSON = "notebooks/06_mlp.ipynb"


@claim(
    "A minority. Most neurons are silent at most tokens: each waits for something.",
    said_in=LESSON,
    value="share of neurons above 0.1, each layer, about 2,000 tokens",
    control="one half",
    holds=lambda value, control: max(value) < control[0],
    untrained="without training no neuron is loud at all",
)
def most_neurons_are_silent(lab: Lab) -> tuple[list[float], float]:
    ids = validation_rows(lab.tokenizer, length=128, rows=16)
    post = lab.trace(ids, read=["mlp.post"]).stack("mlp.post")
    return [float((layer > 0.1).float().mean()) for layer in post], 0.5


@claim(
    "Every layer after it reads what the first one wrote. But why just this one?",
    said_in=LESSON,
    value="nats that the loss rises without the first layer's MLP",
    control="without the MLP of each other layer",
    holds=lambda value, control: value[0] > max(control) + 0.5,
)
def the_first_mlp_is_missed_most(lab: Lab) -> tuple[float, list[float]]:
    ids = validation_rows(lab.tokenizer, length=128, rows=16)

    def loss(edit: dict) -> float:  # type: ignore[type-arg]
        logits = lab.trace(ids, read=["logits"], edit=edit)["logits"]
        return cross_entropy(logits[:, :-1].mT, ids[:, 1:]).item()

    whole = loss({})
    rises = [loss({f"h.{layer}.mlp.out": zero()}) - whole for layer in range(4)]
    return rises[0], rises[1:]
