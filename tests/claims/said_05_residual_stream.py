"""What lesson 05 says: the last state is a sum, the embedding is little of it, the lens misses what is there."""

import torch
from torch import Tensor

from bloomlab import Lab, zero
from bloomlab.hooks import Edit
from bloomlab.lens.hidden import READ_PARTS, shares
from bloomlab.lens.logit_lens import READ, logit_lens
from bloomlab.tiny.facts import CITIES
from tests.claims.claim import claim
from tests.claims.stories import Recap, ids_of, one_token, recaps

LESSON = "notebooks/05_residual_stream.ipynb"
CITY = 3
Edits = dict[str, Edit]


@claim(
    "The embedding of in is hardly a part of the result: almost everything was added on the way.",
    said_in=LESSON,
    value="share of the embedding in the last state, 8 recaps",
    control="share of the largest other part",
    holds=lambda value, control: max(map(abs, value)) < 0.1 and min(control) > 0.15,
    untrained="in a model that never learned, the embedding is small too",
)
def the_embedding_is_hardly_a_part(lab: Lab) -> tuple[list[float], list[float]]:
    parts = [shares(lab.trace(story.text, read=READ_PARTS)).shares[:, -1].tolist() for story in recaps(lab, 8)]
    return [each[0] for each in parts], [max(each[1:]) for each in parts]


@claim(
    "Later the stream at that place speaks about what comes after Oslo (a full stop), because that is its job.",
    said_in=LESSON,
    value="p(city) that the lens reads at the city's own place in the last state, 8 recaps",
    control="in the first state, the embedding",
    holds=lambda value, control: max(value) < 0.1 and min(control) > 0.5,
    untrained="",
)
def the_lens_no_longer_reads_the_city(lab: Lab) -> tuple[list[float], list[float]]:
    last, first = [], []
    for story in recaps(lab, 8):
        rows = logit_lens(lab.model, lab.trace(story.text, read=READ), top=3)
        city = lab.tokens(f" {story.city}")[0].id
        for row, out in ((rows[-1], last), (rows[0], first)):
            where = (row.ids[CITY] == city).nonzero()
            out.append(float(row.probs[CITY, where[0, 0]]) if len(where) else 0.0)
    return last, first


@claim(
    "The parts of the last layers are large.",
    said_in=LESSON,
    value="share of the last layer's two parts in the last state, 8 recaps",
    control="of all other parts together",
    holds=lambda value, control: min(value) > 0.5 > max(control),
    untrained="",
)
def the_last_parts_are_large(lab: Lab) -> tuple[list[float], list[float]]:
    labels_and_shares = [shares(lab.trace(story.text, read=READ_PARTS)) for story in recaps(lab, 8)]
    last = [
        sum(float(share) for label, share in zip(each.labels, each.shares[:, -1], strict=True) if label[0] == "3")
        for each in labels_and_shares
    ]
    return last, [1 - share for share in last]


@claim(
    "Then an attention has fetched Oslo from the start of the text.",
    said_in=LESSON,
    value="p(city) that the lens reads after the last attention, less before it, 8 recaps",
    control="the same, when that attention may not look at the city",
    holds=lambda value, control: min(value) > 0.3 and max(control) < 0.1,
)
def an_attention_fetches_the_city(lab: Lab) -> tuple[list[float], list[float]]:
    def rise(story: Recap, edit: Edits) -> float:
        rows = {row.label: row for row in logit_lens(lab.model, lab.trace(story.text, read=READ, edit=edit), top=50)}
        city = lab.tokens(f" {story.city}")[0].id
        before, after = (
            float(rows[label].probs[-1][rows[label].ids[-1] == city].sum()) for label in ("2 post", "3 mid")
        )
        return after - before

    blind: Edits = {"h.3.attn.probs": zero(key=CITY)}
    return [rise(story, {}) for story in recaps(lab, 8)], [rise(story, blind) for story in recaps(lab, 8)]


def written(lab: Lab, story: Recap) -> Tensor:
    """What each part of the last state writes, directly, to each score: (part, vocab)."""
    trace, norm = lab.trace(story.text, read=READ_PARTS), lab.model.transformer.ln_f
    names = ["embed", *(f"h.{layer}.{part}.out" for layer in range(4) for part in ("attn", "mlp"))]
    parts = torch.stack([trace[name][0, -1] for name in names])
    spread = (parts.sum(0).var(unbiased=False) + norm.eps).sqrt()
    normed = (parts - parts.mean(-1, keepdim=True)) / spread * norm.weight.detach()
    return normed @ lab.model.lm_head.weight.detach().T


ATTENTION_3, MLP_3 = -2, -1


@claim(
    "Attention 3 adds most here, and MLP 3 comes next.",
    said_in=LESSON,
    value="what attention 3 adds to Oslo over Sydney, then MLP 3, in the lesson's story",
    control="each other part",
    holds=lambda value, control: value[0] > value[1] > max(control),
)
def attention_3_adds_most_here(lab: Lab) -> tuple[list[float], list[float]]:
    oslo, sydney = ids_of(lab, ["Oslo", "Sydney"])
    writes = written(lab, Recap("Leo", "Oslo", "Sydney", "cat"))
    over = (writes[:, oslo] - writes[:, sydney]).tolist()
    return over[ATTENTION_3:], over[:ATTENTION_3]


@claim(
    "Against the rival ' a' MLP 3 comes first, here and in other stories: it makes every city likelier than a, and "
    "one city over another by much less.",
    said_in=LESSON,
    value="what MLP 3 adds to the city that it helps least, over ' a', less what attention 3 adds there; 10 recaps",
    control="what MLP 3 adds to the right city over another, on average, less attention 3",
    holds=lambda value, control: min(value) > 1 and max(control) < 1 and sum(control) < 1,
)
def mlp_3_writes_that_a_city_comes(lab: Lab) -> tuple[list[float], list[float]]:
    cities, a = ids_of(lab, one_token(lab, CITIES)), lab.tokens(" a")[0].id
    least, one_over_another = [], []
    for story in recaps(lab, 10):
        writes, city = written(lab, story), lab.tokens(f" {story.city}")[0].id
        over_a = writes[:, cities] - writes[:, [a]]
        place = int(over_a[MLP_3].argmin())
        least.append(float(over_a[MLP_3, place] - over_a[ATTENTION_3, place]))
        over = writes[:, city] - writes[:, cities[cities != city]].mean(-1)
        one_over_another.append(float(over[MLP_3] - over[ATTENTION_3]))
    return least, one_over_another


@claim(
    "In most stories it is the last layer that adds most.",
    said_in=LESSON,
    value="share of 16 recaps in which the last layer adds most, directly, to the lead of the city over another",
    control="share in which one of the others does",
    holds=lambda value, control: value[0] > 0.75 and control[0] < 0.25,
)
def the_last_layer_adds_most(lab: Lab) -> tuple[float, float]:
    found = []
    for story in recaps(lab, 16):
        city, other = (lab.tokens(f" {word}")[0].id for word in (story.city, story.other))
        embed, *parts = (written(lab, story)[:, city] - written(lab, story)[:, other]).tolist()
        layers = [sum(parts[place : place + 2]) for place in range(0, len(parts), 2)]
        found.append(layers[-1] > max(embed, *layers[:-1]))
    share = sum(found) / len(found)
    return share, 1 - share
