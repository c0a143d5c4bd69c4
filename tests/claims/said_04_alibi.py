"""What lesson 04 says: ALiBi is not the only hint of order, forbids nothing, and may be bent a little."""

from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from bloomlab import Lab, scale
from bloomlab.lens.alibi import reach
from bloomlab.lens.attention import position_only
from bloomlab.model.alibi import slopes
from bloomlab.tiny.measure import loss_by_length, validation_rows
from bloomlab.tiny.rows import batch
from tests.claims.claim import claim
from tests.claims.stories import recaps

LESSON = "notebooks/04_alibi.ipynb"
PAIRS = [("Leo knows Ana", "Ana knows Leo"), ("Mei knows Ivan", "Ivan knows Mei"), ("Omar knows Eva", "Eva knows Omar")]


def difference(lab: Lab, first: str, second: str) -> float:
    """How far the next token's probabilities are apart after two orders of the same words, without any line."""
    probs = [
        lab.trace(f" {text}.", read=["logits"], edit={"attn.alibi": scale(0)})["logits"][0, -1].softmax(-1)
        for text in (first, second)
    ]
    return float((probs[0] - probs[1]).abs().max())


@claim(
    "The mask gives a hint, since a token only sees what stands before it.",
    said_in=LESSON,
    value="largest change of a probability when two names trade places, without ALiBi, 3 pairs",
    control="when nothing trades places",
    holds=lambda value, control: min(value) > 0.01 > max(control),
    untrained="true of any causal model, only by how much differs",
)
def the_mask_tells_orders_apart(lab: Lab) -> tuple[list[float], list[float]]:
    return [difference(lab, *pair) for pair in PAIRS], [difference(lab, first, first) for first, _ in PAIRS]


@claim(
    "A slope makes a far key expensive, but forbids nothing: a score that is high enough still wins, as some heads of "
    "this model show.",
    said_in=LESSON,
    value="most attention that head 1 of layer 1 gives to keys beyond its reach, from any token, 8 recaps",
    control="what its slope alone would give them there",
    holds=lambda value, control: min(value) > 0.5 > max(control),
)
def a_head_looks_beyond_its_reach(lab: Lab) -> tuple[list[float], list[float]]:
    slope, beyond, alone = slopes(lab.model.config.n_head)[1], [], []
    for story in recaps(lab, 8):
        probs = lab.trace(story.text, read=["h.1.attn.probs"])["h.1.attn.probs"][0, 1]
        weights = position_only([slope], len(probs))[0]
        far = torch.ones_like(probs).tril(-int(reach(slope)) - 1)
        beyond.append(float((probs * far).sum(-1).max()))
        alone.append(float((weights * far).sum(-1).max()))
    return beyond, alone


@cache
def loss_with(lab: Lab, factor: float) -> float:
    """The loss with every line so many times as steep, as the lesson measures it."""
    ids = validation_rows(lab.tokenizer, length=1024, rows=4)[:, :128]
    logits = lab.trace(ids, read=["logits"], edit={"attn.alibi": scale(factor)})["logits"]
    return cross_entropy(logits[:, :-1].mT, ids[:, 1:]).item()


@claim(
    "The weights were learned together with these lines, so a line that is far from them hurts.",
    said_in=LESSON,
    value="nats that the loss rises with no line, half, twice and four times the line",
    control="with 1.1 times the line",
    holds=lambda value, control: min(value) > 0.02 and abs(control[0]) < 0.02,
)
def a_line_far_from_the_learned_one_hurts(lab: Lab) -> tuple[list[float], float]:
    rises = [loss_with(lab, factor) - loss_with(lab, 1) for factor in (0, 0.5, 2, 4)]
    return rises, loss_with(lab, 1.1) - loss_with(lab, 1)


@claim(
    "The tiny model was trained on rows of 256 tokens.",
    said_in=LESSON,
    value="tokens in a row of the training, first step",
    control="tokens in the longest piece that the lesson reads",
    holds=lambda value, control: value[0] == 256 and control[0] == 1024,
    untrained="about the training, not about the weights",
)
def rows_of_256_tokens(lab: Lab) -> tuple[float, float]:
    ids, _ = batch(0, 0, lab.tokenizer, lab.model.config.vocab_size)
    return ids.shape[1], validation_rows(lab.tokenizer, length=1024, rows=1).shape[1]


@claim(
    "That the model does not break is shown; that it uses a thousand tokens is not.",
    said_in=LESSON,
    value="loss in pieces of 1024 tokens",
    control="in pieces of 128 tokens",
    holds=lambda value, control: value[0] < control[0] + 0.02 and not control[0] < value[0] + 0.02,
)
def longer_pieces_do_not_break_it(lab: Lab) -> tuple[float, float]:
    rows = validation_rows(lab.tokenizer, length=1024, rows=2)
    losses = loss_by_length(lab.model, rows, (128, 1024))
    return losses[1024], losses[128]


@claim(
    "Longer pieces are even easier, because fewer tokens stand at a torn edge where what came before is missing.",
    said_in=LESSON,
    value="nats that a token in the first 32 of a piece of 128 costs more than in a piece of 1024, mean of 8 rows",
    control="a token behind the first 64",
    holds=lambda value, control: value[0] > 0.5 and abs(control[0]) < 0.05,
)
def the_torn_edge_costs(lab: Lab) -> tuple[float, float]:
    rows = validation_rows(lab.tokenizer, length=1024, rows=8)

    def losses(ids: Tensor) -> Tensor:
        logits = torch.cat([lab.trace(row[None], read=["logits"])["logits"] for row in ids])
        return cross_entropy(logits[:, :-1].mT, ids[:, 1:], reduction="none")

    long, short = losses(rows), losses(rows.view(-1, 128)).view(8, 8, 127)
    same = torch.stack([long[:, start : start + 127] for start in range(0, 1024, 128)], 1)
    more = (short - same)[:, 1:]  # the first piece has the same edge in both
    return float(more[..., :32].mean()), float(more[..., 64:].mean())
