"""What lesson 05 says: the last state is a sum, the embedding is little of it, the lens misses what is there."""

from bloomlab import Lab
from bloomlab.lens.hidden import READ_PARTS, shares
from bloomlab.lens.logit_lens import READ, logit_lens
from tests.claims.claim import claim
from tests.claims.stories import recaps

LESSON = "notebooks/05_residual_stream.ipynb"
CITY = 3


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
