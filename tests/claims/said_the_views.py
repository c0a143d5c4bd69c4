"""What the views say beside their pictures, of the model that is looked at first."""

import torch

from bloomlab import Lab
from bloomlab.lens.logit_lens import READ, logit_lens
from tests.claims.claim import claim
from tests.claims.stories import recaps

VIEW = "widgets/hidden/hidden.js"
TEXTS = [
    "Leo lives in Oslo. He has a cat.",
    "Leo vit à Oslo. Il a un chat.",
    "Leo tinggal di Oslo. Dia punya kucing.",
    "利奥住在奥斯陆。他有一只猫。",
    "7 + 5 = 12",
]


@claim(
    "The first row mostly names the very token just read",
    said_in=(VIEW, "bloomlab/lens/logit_lens.py"),
    value="share of tokens that the lens names in the first row, 5 texts",
    control="in the last row",
    holds=lambda value, control: min(value) > 0.5 > max(control),
    untrained="in every model that reads out with the table it looks up in, if its rows differ enough",
)
def the_first_row_names_the_token(lab: Lab) -> tuple[list[float], list[float]]:
    def share(row: int, text: str) -> float:
        trace = lab.trace(text, read=READ)
        best = logit_lens(lab.model, trace, top=1)[row].ids[:, 0]
        return float((best == torch.tensor(lab.tokens(text).ids)).float().mean())

    return [share(0, text) for text in TEXTS], [share(-1, text) for text in TEXTS]


@claim(
    "The first token's is often the largest.",
    said_in=VIEW,
    value="of 8 recaps, the share of states in which the first token's vector is the longest",
    control="in which the second token's is",
    holds=lambda value, control: min(value) >= 0.5 > max(control),
)
def the_first_token_is_often_the_longest(lab: Lab) -> tuple[list[float], list[float]]:
    first, second = [], []
    for story in recaps(lab, 8):
        trace = lab.trace(story.text, read=["embed", "resid_mid", "resid_post"])
        states = [trace["embed"], *trace.stack("resid_mid"), *trace.stack("resid_post")]
        longest = [int(state[0].norm(dim=-1).argmax()) for state in states]
        first.append(longest.count(0) / len(longest))
        second.append(longest.count(1) / len(longest))
    return first, second
