"""What lesson 14 says of the twins: who reads on, what is remembered, who copies, what helps, and what is chance."""

from functools import cache

import torch
from torch import Tensor

import bloomlab
from bloomlab import Lab
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import Edits
from bloomlab.lens.lengths import length_lab, token_losses
from bloomlab.model.positions import window
from bloomlab.tiny import starts
from bloomlab.tiny.measure import validation_rows
from bloomlab.tiny.measure_positions import answered, asked, loss_of_pieces, plain_bloom, remedies, repeated
from bloomlab.tiny.positions import READS, new_twin
from tests.claims.claim import claim

LESSON = "notebooks/14_train_short_test_long.ipynb"
CASES, ROWS = 30, 4


@cache
def twin(lab: Lab, kind: str) -> BloomForCausalLM:
    """A twin of the embedded model; of a lab that learned nothing, one that learned nothing."""
    model: BloomForCausalLM = bloomlab.load("tiny", positions=kind).model if lab.embedded else new_twin(kind, 0)
    return model.eval()


@cache
def documents(lab: Lab, rows: int = 8) -> Tensor:
    """The rows of 512 tokens that the lesson reads."""
    return validation_rows(lab.tokenizer, 512, rows, **READS)


@cache
def loss(lab: Lab, kind: str, length: int) -> float:
    """The loss in pieces of so many tokens, as `lab.lengths` measures it."""
    *_, last = length_lab(twin(lab, kind), documents(lab), [length])
    return last.results[0].mean


def rise(lab: Lab, kind: str, short: int, long: int) -> float:
    return loss(lab, kind, long) - loss(lab, kind, short)


@cache
def by_position(lab: Lab, kind: str) -> list[float]:
    """The loss in each stretch of 32 positions of whole rows."""
    losses = torch.cat([token_losses(twin(lab, kind), row[None]) for row in documents(lab)])
    return [float(part.mean()) for part in losses.split(32, 1)]


@cache
def questions(lab: Lab, length: int, place: str) -> float:
    """The loss of the ALiBi twin's answers about a fact in this place."""
    return answered(twin(lab, "alibi"), lab.tokenizer, asked(lab.tokenizer, length, CASES), place)["loss"][0]


@cache
def copied(lab: Lab, kind: str, lag: int) -> float:
    return repeated(twin(lab, kind), lag)["right"][0]


def loss_with(lab: Lab, kind: str, edit: Edits) -> float:
    """The loss at 512 tokens with an edit on BLOOM that has a twin's weights."""
    return loss_of_pieces(plain_bloom(twin(lab, kind)), documents(lab)[:ROWS], 512, edit)[0]


@cache
def helped(lab: Lab, kind: str, remedy: str) -> float:
    """Nats by which a remedy lowers the loss at 512 tokens."""
    as_it_is = loss_of_pieces(twin(lab, kind), documents(lab)[:ROWS], 512)[0]
    return as_it_is - loss_with(lab, kind, remedies(twin(lab, kind))[remedy])


@claim(
    "Up to 64 tokens the five curves fall side by side: in longer pieces fewer tokens stand at a torn edge.",
    said_in=LESSON,
    value="nats by which the loss falls from pieces of 16 tokens to pieces of 64, five twins",
    control="from pieces of 64 to pieces of 512, the four that can read them",
    holds=lambda value, control: min(value) > 0.5 > max(control) and max(value) - min(value) < 0.25,
)
def all_fall_up_to_their_length(lab: Lab) -> tuple[list[float], list[float]]:
    up_to = [-rise(lab, kind, 16, 64) for kind in ("alibi", "none", "sinusoidal", "learned", "rotary")]
    return up_to, [-rise(lab, kind, 64, 512) for kind in ("alibi", "none", "sinusoidal", "rotary")]


@claim(
    "The others are harder pressed by a text that is longer than any they have read",
    said_in=LESSON,
    value="nats by which the loss rises from 64 tokens to 512: none, sinusoidal, rotary",
    control="with ALiBi",
    holds=lambda value, control: min(value) > 0.3 and max(control) < -0.1,
)
def only_alibi_reads_on(lab: Lab) -> tuple[list[float], float]:
    return [rise(lab, kind, 64, 512) for kind in ("none", "sinusoidal", "rotary")], rise(lab, "alibi", 64, 512)


@claim(
    "The sinusoidal twin's loss leaps at once.",
    said_in=LESSON,
    value="its loss at positions 64 to 95",
    control="at positions 32 to 63",
    holds=lambda value, control: value[0] > 2 > 1.5 > control[0],
)
def sinusoidal_leaps_at_once(lab: Lab) -> tuple[float, float]:
    return by_position(lab, "sinusoidal")[2], by_position(lab, "sinusoidal")[1]


@claim(
    "Rotary bends later",
    said_in=LESSON,
    value="loss of the sinusoidal twin at positions 64 to 95",
    control="of the rotary twin at positions 64 to 95",
    holds=lambda value, control: value[0] > control[0] + 1,
)
def rotary_bends_later(lab: Lab) -> tuple[float, float]:
    return by_position(lab, "sinusoidal")[2], by_position(lab, "rotary")[2]


@claim(
    "The rotary twin still gains at twice its length, and then loses more than it gained.",
    said_in=LESSON,
    value="rotary: nats gained from 64 tokens to 128, nats lost from 128 to 512",
    control="sinusoidal: the same",
    holds=lambda value, control: 0.05 < value[0] < value[1] and control[0] < 0,
)
def rotary_gains_then_loses(lab: Lab) -> tuple[list[float], list[float]]:
    return tuple(  # type: ignore[return-value]  # a pair
        [-rise(lab, kind, 64, 128), rise(lab, kind, 128, 512)] for kind in ("rotary", "sinusoidal")
    )


@claim(
    "Without any positions the loss rises slowly.",
    said_in=LESSON,
    value="none: nats by which the loss rises from 64 tokens to 128, and to 512",
    control="sinusoidal: the same",
    holds=lambda value, control: value[0] < 0.2 < value[1] and control[0] > value[1] > 0.3,
)
def without_positions_it_rises_slowly(lab: Lab) -> tuple[list[float], list[float]]:
    return tuple(  # type: ignore[return-value]  # a pair
        [rise(lab, kind, 64, length) for length in (128, 512)] for kind in ("none", "sinusoidal")
    )


@claim(
    "it is ALiBi that makes the difference: nothing else differs.",
    said_in=LESSON,
    value="largest difference of a weight at the start between the ALiBi twin and the four others",
    control="between it and a twin from another start",
    holds=lambda value, control: max(value) == 0 < min(control),
    untrained="about the training, not about the weights",
)
def all_begin_with_the_same_weights(lab: Lab) -> tuple[list[float], float]:
    first = new_twin("alibi", 0).state_dict()

    def apart(kind: str, seed: int) -> float:
        other = new_twin(kind, seed).state_dict()
        return max(float((weight - other[name]).abs().max()) for name, weight in first.items())

    return [apart(kind, 0) for kind in ("none", "sinusoidal", "learned", "rotary")], apart("alibi", 1)


@claim(
    "Most of what these documents need is near.",
    said_in=LESSON,
    value="nats that the ALiBi twin's loss at 512 tokens rises if a token sees the last 64 only",
    control="the last 4 only",
    holds=lambda value, control: value[0] < 0.02 and control[0] > 0.2,
)
def most_is_near(lab: Lab) -> tuple[float, float]:
    layers = range(lab.model.config.n_layer)
    narrow = {f"h.{i}.attn.biased": window(4) for i in layers}
    as_it_is = loss_of_pieces(twin(lab, "alibi"), documents(lab)[:ROWS], 512)[0]
    return -helped(lab, "alibi", "window of 64"), loss_with(lab, "alibi", narrow) - as_it_is


@claim(
    "At 64 tokens it was the other way round. At 512 most of what the fact was worth is lost",
    said_in=LESSON,
    value="share of a near fact's worth that a far one keeps in 64 tokens, against one never told, 30 questions",
    control="in 512 tokens",
    holds=lambda value, control: value[0] > 0.6 and control[0] < 0.5,
)
def far_facts_are_mostly_lost(lab: Lab) -> tuple[float, float]:
    def kept(length: int) -> float:
        near, far, untold = (questions(lab, length, place) for place in ("near", "far", "untold"))
        return (untold - far) / (untold - near)

    return kept(64), kept(512)


@claim(
    "The sinusoidal twin copies as well as this one at the lags of training, in the first column, and is lost at 256.",
    said_in=LESSON,
    value="share of random tokens foreseen: ALiBi at lags 16 and 256, sinusoidal at 16",
    control="sinusoidal at 256",
    holds=lambda value, control: min(value) > 0.8 and max(control) < 0.3 and value[2] > value[0] - 0.05,
)
def alibi_copies_far(lab: Lab) -> tuple[list[float], float]:
    near = [copied(lab, "alibi", 16), copied(lab, "alibi", 256), copied(lab, "sinusoidal", 16)]
    return near, copied(lab, "sinusoidal", 256)


@claim(
    "Two twins do not copy at any lag: they had not learned it when the training ended.",
    said_in=LESSON,
    value="share of random tokens foreseen at a lag of 16: ALiBi, sinusoidal, rotary",
    control="none, learned",
    holds=lambda value, control: min(value) > 0.6 and max(control) < 0.1,
)
def two_never_learned_to_copy(lab: Lab) -> tuple[list[float], list[float]]:
    return tuple(  # type: ignore[return-value]  # a pair
        [copied(lab, kind, 16) for kind in kinds] for kinds in (("alibi", "sinusoidal", "rotary"), ("none", "learned"))
    )


@claim(
    "A stretched base helps some of the way here; squeezed positions do harm.",
    said_in=LESSON,
    value="nats by which rotary's loss at 512 tokens falls: window of 64, base stretched for 8×",
    control="positions squeezed by 8",
    holds=lambda value, control: value[0] > 0.2 and value[0] >= value[-1] > 0.2 and max(control) < -0.2,
)
def what_helps_rotary(lab: Lab) -> tuple[list[float], float]:
    of = [helped(lab, "rotary", name) for name in ("window of 64", "base stretched for 8×", "positions squeezed by 8")]
    return of[:2], of[2]


@claim(
    "The loss of the whole text falls, and the far answer gets worse, to what guessing costs or beyond.",
    said_in=LESSON,
    value="ALiBi in a window of 64, at 512 tokens: nats by which the loss falls, by which a far answer's is above one "
    "never told",
    control="as it is: nats by which the loss falls (none), by which a far answer's is above one never told",
    holds=lambda value, control: min(value) > 0.02 and max(control) < 0.01,
)
def a_window_hides_the_far_fact(lab: Lab) -> tuple[list[float], list[float]]:
    edit = remedies(twin(lab, "alibi"))["window of 64"]
    cases = asked(lab.tokenizer, 512, CASES)
    far = answered(plain_bloom(twin(lab, "alibi")), lab.tokenizer, cases, "far", edit)["loss"][0]
    untold = questions(lab, 512, "untold")
    return [helped(lab, "alibi", "window of 64"), far - untold], [0.0, questions(lab, 512, "far") - untold]


@claim(
    "Gentler slopes make the loss of the whole text worse: the weights were learned with these.",
    said_in=LESSON,
    value="nats that the ALiBi twin's loss at 512 tokens rises with slopes 2×, 4× and 8× gentler",
    control="with a window of 64",
    holds=lambda value, control: min(value) > 0.05 and max(control) < 0,
)
def gentler_slopes_do_harm(lab: Lab) -> tuple[list[float], float]:
    rises = [-helped(lab, "alibi", f"slopes {longer}× gentler") for longer in (2, 4, 8)]
    return rises, -helped(lab, "alibi", "window of 64")


# ------------------------------------------------------------------------ of three starts, which do not ship

TRAINED = "about twins that do not ship, as they were measured after their training"


def of_starts(kind: str, length: str) -> list[float]:
    """The loss of each start of a kind, in the short setting."""
    return [of["by_length"][length][0] for of in starts.of_kind(starts.kept(), kind)]


@claim(
    "At 512 tokens no start of another kind comes near the worst start of ALiBi.",
    said_in=LESSON,
    value="loss at 512 tokens of the best of three starts: none, sinusoidal, rotary",
    control="of the worst of three starts: ALiBi",
    holds=lambda value, control: min(value) > max(control) + 0.2,
    untrained=TRAINED,
)
def alibi_reads_on_from_every_start(lab: Lab) -> tuple[list[float], float]:
    return [min(of_starts(kind, "512")) for kind in ("none", "sinusoidal", "rotary")], max(of_starts("alibi", "512"))


@claim(
    "At 64 tokens the kinds lie close together, and some dots of different kinds overlap",
    said_in=LESSON,
    value="loss at 64 tokens: the best start of none, of sinusoidal",
    control="the worst start of learned, and that of rotary",
    holds=lambda value, control: value[0] < control[0] and value[1] > control[1],
    untrained=TRAINED,
)
def some_kinds_overlap(lab: Lab) -> tuple[list[float], list[float]]:
    best = [min(of_starts(kind, "64")) for kind in ("none", "sinusoidal")]
    return best, [max(of_starts(kind, "64")) for kind in ("learned", "rotary")]


@claim(
    "One start of ALiBi out of three had begun to copy when this training ended, and none of the others.",
    said_in=LESSON,
    value="share of random tokens foreseen at a lag of 16: the best start of ALiBi",
    control="the 14 other trainings, the most of any",
    holds=lambda value, control: value[0] > 0.25 and max(control) < 0.1,
    untrained=TRAINED,
)
def one_start_copies(lab: Lab) -> tuple[float, float]:
    shares = sorted(of["by_lag"]["16"]["right"][0] for of in starts.kept().values())
    alibi = max(of["by_lag"]["16"]["right"][0] for of in starts.of_kind(starts.kept(), "alibi"))
    return alibi, shares[-2]
