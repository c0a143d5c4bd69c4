"""Why does this token look at that one, this much? The score ledger of one cell of an attention matrix.

    content       q·k/√d                       how well the key fits what the query asks for
  + position      slope × (key − query)        ALiBi: the farther back, the lower (never above 0)
  = total
  − normaliser    log Σ exp(total)             over every key this query can see
  = log of the probability

BLOOM was trained with slope × key as its bias. Along one row (one query) that differs from
slope × (key − query) by the same number, slope × query, for every key, and softmax cannot tell apart two
rows that differ by one number. The ledger shows the second form, the paper's, because it says what matters:
how far.

ALiBi: Press, Smith, Lewis, "Train Short, Test Long" (2022), section 3. Scores are in nats.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bloomlab.errors import InputError, NearMatches


@dataclass(frozen=True)
class ScoreLedger(NearMatches):
    """The parts of one attention probability, in nats."""

    query: int
    key: int
    slope: float
    content: float
    position: float
    normaliser: float

    @property
    def distance(self) -> int:
        """How many tokens back the query looks."""
        return self.query - self.key

    @property
    def total(self) -> float:
        """Content and position together."""
        return self.content + self.position

    @property
    def probability(self) -> float:
        """The share of the query's attention that this key gets."""
        return math.exp(self.total - self.normaliser)

    def __str__(self) -> str:
        lines = [
            ("content", "q·k/√d", f"{self.content:+.4f}"),
            ("position", f"slope {self.slope:g} × distance {self.distance}", f"{self.position:+.4f}"),
            ("total", "content + position", f"{self.total:+.4f}"),
            ("normaliser", f"log Σ exp(total), {self.query + 1} keys", f"{self.normaliser:+.4f}"),
            ("probability", "exp(total − normaliser)", f"{self.probability:.4f}"),
        ]
        return "\n".join(f"{name:12}{how:32}{value:>10}" for name, how, value in lines)


def score_ledger(scores: Tensor, slope: float, query: int, key: int) -> ScoreLedger:
    """Take one cell of one head's attention apart.

    `scores` (query, key) are that head's `attn.scores`: q·k/√d, before ALiBi, of a text without padding.
    `slope` is the head's ALiBi slope. The sums are done in float64. Raises InputError where there is no such
    cell, or where the query cannot see the key.

    With no content at all, position alone decides; a slope of log 2 halves the weight with every step back:

    >>> from torch import zeros
    >>> cell = score_ledger(zeros(3, 3), slope=math.log(2), query=2, key=1)
    >>> round(cell.position, 4), round(cell.probability, 4)   # 2/7 of 1 : 2 : 4
    (-0.6931, 0.2857)
    """
    if scores.ndim != 2:
        raise InputError(
            f"the ledger needs one head's scores, (query, key); got the shape {tuple(scores.shape)}; "
            'pick a row and a head, as in trace["h.3.attn.scores"][0, 5]'
        )
    queries, keys = scores.shape
    if not (0 <= query < queries and 0 <= key < keys):
        raise InputError(
            f"there is no cell with query {query} and key {key}; the scores have {queries} queries and {keys} keys"
        )
    if key > query:
        raise InputError(f"query {query} cannot see key {key}, which comes later; choose a key from 0 to {query}")
    content = scores[query, : query + 1].detach().double().cpu()  # (key): those this query can see
    position = float(slope) * (torch.arange(query + 1) - query)
    normaliser = (content + position).logsumexp(dim=0)
    return ScoreLedger(query, key, float(slope), content[key].item(), position[key].item(), normaliser.item())
