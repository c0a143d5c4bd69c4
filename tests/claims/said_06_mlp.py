"""What lesson 06 says: most neurons are silent, and the first MLP is missed most."""

from functools import cache

import torch
from torch import Tensor
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


LAYER = 2  # the lesson asks the last layer but one
SPOT = f"h.{LAYER}.mlp.post"


@cache
def loud_places(lab: Lab) -> tuple[Tensor, Tensor, Tensor]:
    """The lesson's texts (row, pos), what each neuron does there, and the probability of each token next."""
    ids = validation_rows(lab.tokenizer, length=128, rows=16)
    trace = lab.trace(ids, read=[SPOT, "logits"])
    return ids, trace[SPOT], trace["logits"].softmax(-1)


def the_six(lab: Lab) -> list[int]:
    """The neurons that are loudest, of those that are rarely loud."""
    post = loud_places(lab)[1].flatten(0, 1)
    loud = post.max(0).values
    rare = (post > loud / 10).float().mean(0) < 0.05
    return [int(neuron) for neuron in (loud * rare).topk(6).indices]


@cache
def falls(lab: Lab) -> tuple[Tensor, Tensor]:
    """By how much a token's probability falls without a neuron at its loudest place: its favourite's, and the next's.

    The next one's favourite is the control.
    """
    ids, post, probs = loud_places(lab)
    down = lab.model.get_parameter(f"transformer.h.{LAYER}.mlp.dense_4h_to_h.weight").detach()
    favourites = (lab.model.lm_head.weight.detach() @ down).argmax(0)
    fallen = []
    for neuron in range(len(favourites)):
        row, pos = divmod(int(post[..., neuron].argmax()), ids.shape[1])
        off = {SPOT: zero(pos=pos, neuron=neuron)}
        without = lab.trace(ids[row : row + 1, : pos + 1], read=["logits"], edit=off)["logits"][0, -1].softmax(-1)
        pair = favourites[[neuron, (neuron + 1) % len(favourites)]]
        fallen.append((probs[row, pos] - without)[pair])
    own, another = torch.stack(fallen).T
    return own, another


@claim(
    "Several of them fire in the same kind of place, after a number and a +.",
    said_in=LESSON,
    value="how many of the six have all their six loudest places at ' +'",
    control="how many of six would, if they fired anywhere",
    holds=lambda value, control: value[0] >= 2 and control[0] < 0.5,
)
def several_fire_after_a_plus(lab: Lab) -> tuple[float, float]:
    ids, post, _ = loud_places(lab)
    plus, flat, places = lab.tokens(" +")[0].id, ids.flatten(), post.flatten(0, 1)
    at_plus = [(flat[places[:, neuron].topk(6).indices] == plus).all() for neuron in the_six(lab)]
    return float(sum(at_plus)), 6 * float((flat == plus).float().mean())


@claim(
    "Most of those that fire after a plus do, and none of the others.",
    said_in=LESSON,
    value="share of those among the six that fire at ' +' which favour a number most",
    control="share among the others of the six",
    holds=lambda value, control: value[0] > 0.5 and control[0] == 0,
)
def most_that_fire_after_a_plus_favour_a_number(lab: Lab) -> tuple[float, float]:
    ids, post, _ = loud_places(lab)
    plus, flat, places = lab.tokens(" +")[0].id, ids.flatten(), post.flatten(0, 1)
    down = lab.model.get_parameter(f"transformer.h.{LAYER}.mlp.dense_4h_to_h.weight").detach()
    favourites = (lab.model.lm_head.weight.detach() @ down).argmax(0).tolist()
    numbers: dict[bool, list[bool]] = {True: [], False: []}
    for neuron in the_six(lab):
        at_plus = bool((flat[places[:, neuron].topk(6).indices] == plus).all())
        numbers[at_plus].append(lab.tokenizer.decode([favourites[neuron]]).strip().isdigit())
    after, others = (sum(found) / max(len(found), 1) for found in (numbers[True], numbers[False]))
    return after, others


@claim(
    "Of these six loud neurons hardly any is missed.",
    said_in=LESSON,
    value="how many of the six favourites fall by more than a point without their neuron",
    control="of the six neurons that are chosen by effect",
    holds=lambda value, control: value[0] <= 2 and control[0] == 6,
)
def hardly_any_loud_neuron_is_missed(lab: Lab) -> tuple[float, float]:
    own = falls(lab)[0]
    return float((own[the_six(lab)] > 0.01).sum()), float((own.topk(6).values > 0.01).sum())


@claim(
    "Only a handful of the 512 move their favourite by more than a point; but where a neuron is loud its favourite "
    "falls without it, nine times in ten.",
    said_in=LESSON,
    value="share of the 512 whose favourite falls",
    control="share that falls of another neuron's favourite; share of the 512 whose favourite falls by over a point",
    holds=lambda value, control: value[0] > 0.85 and control[0] < 0.6 and control[-1] < 0.03,
    untrained="a neuron's favourite is the token that it raises most, in any model",
)
def a_favourite_falls_without_its_neuron(lab: Lab) -> tuple[float, list[float]]:
    own, another = falls(lab)
    return float((own > 0).float().mean()), [float((another > 0).float().mean()), float((own > 0.01).float().mean())]
