"""A map of effects, as it is shown: the numbers of each cell, and how far the estimate can be trusted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bloomlab.errors import NearMatches
from bloomlab.text.tokens import Token

TOP = 10
TURNED = 0.25  # of the texts: where the effect has another sign than its mean in more, a cell is unstable


@dataclass(frozen=True)
class Agreement(NearMatches):
    """How well an estimate knows the cells that were measured.

    Attributes:
        pearson: correlation of estimate and measurement; NaN where one of them never varies.
        miss: the largest difference of the two, and
        cell: the cell where it is.
        found, top: of so many cells with the largest effect, how many are among as many with the largest estimate.
        cells: how many cells were measured by a run.
        random_miss: the largest difference among the cells that were picked at random; None without such.
    """

    pearson: float
    miss: float
    cell: tuple[int, int]
    found: int
    top: int
    cells: int
    random_miss: float | None = None


@dataclass(frozen=True)
class Effects(NearMatches):
    """A map of effects, as shares of the logit difference.

    Attributes:
        what, mode: which map, and which question.
        instead: what stands in a cell's place, in words.
        axes: of the map: two of "pos", "state", "layer", "head", "query", "key".
        columns: what each column is: a state ("embed", "0", …), a layer, a head ("3.4"), or a key's position.
        tokens: of the text.
        answer, rival: the tokens that are compared, as their texts.
        here, there: D of the text, and of the other; 0 where there is no other text.
        exact: (row, column) measured; NaN where there is no cell, or none was measured.
        estimate: (row, column) by gradients; None if there is none.
        is_cell: (row, column) whether there is a cell: a query has none for later keys.
        ran: (row, column) whether it was measured by a run; what is exact without one has the same value in both.
        picked: (row, column) whether it was picked at random.
        floor: what another text with the same answer changes, as a share: the noise; None if none is known.
        spread: (row, column) over several texts, the standard deviation; None of one text.
        turned: (row, column) of several texts, the share in which the effect has another sign than its mean, or none;
            None of one text.
        texts: how many texts the numbers are means of.
        left_out: how many others had no difference to share.
        mean_nats: (row, column) of several texts, the mean of the effects in nats, which is not a multiple of the mean
            share; None of one text.
        estimated: "integrated", "plain" or "none".
        of: of which head a map of looks is, as "3.4"; "" of another map.
    """

    what: str
    mode: str
    instead: str
    axes: tuple[str, str]
    columns: tuple[str, ...]
    tokens: tuple[Token, ...]
    answer: str
    rival: str
    here: float
    there: float
    exact: Tensor
    estimate: Tensor | None
    is_cell: Tensor
    ran: Tensor
    picked: Tensor
    floor: float | None = None
    spread: Tensor | None = None
    turned: Tensor | None = None
    texts: int = 1
    left_out: int = 0
    mean_nats: Tensor | None = None
    estimated: str = "none"
    of: str = ""

    @property
    def unit(self) -> float:
        """How many nats are a share of 1."""
        return self.here - self.there

    @property
    def values(self) -> Tensor:
        """(row, column) what was measured, and elsewhere the estimate."""
        return self.exact if self.estimate is None else torch.where(self.exact.isnan(), self.estimate, self.exact)

    @property
    def nats(self) -> Tensor:
        """(row, column) the same in nats."""
        return self.values * self.unit if self.mean_nats is None else self.mean_nats

    @property
    def unstable(self) -> Tensor:
        """(row, column) whether the effect's sign turns in more than TURNED of the texts."""
        return torch.zeros_like(self.is_cell) if self.turned is None else self.turned > TURNED

    @property
    def agreement(self) -> Agreement | None:
        """How far the estimate can be trusted; None where nothing was both estimated and measured."""
        if self.estimate is None or not self.ran.any():
            return None
        exact, guess = self.exact[self.ran].double(), self.estimate[self.ran].double()
        missed = (exact - guess).abs()
        place = self.ran.nonzero()[int(missed.argmax())].tolist()
        top = min(TOP, len(exact))
        largest, guessed = (set(some.abs().topk(top).indices.tolist()) for some in (exact, guess))
        both = torch.stack([exact, guess])
        varies = bool((both.std(1) > 0).all()) if len(exact) > 1 else False
        pearson = torch.corrcoef(both)[0, 1].item() if varies else float("nan")
        picked = self.picked[self.ran]
        return Agreement(
            pearson,
            missed.max().item(),
            (place[0], place[1]),
            len(largest & guessed),
            top,
            len(exact),
            missed[picked].max().item() if picked.any() else None,
        )


def mean_of(found: Sequence[Effects]) -> Effects:
    """Several maps as one, of means."""
    first = found[0]
    exact, values = (torch.stack(some) for some in ([one.exact for one in found], [one.values for one in found]))
    guesses = [one.estimate for one in found if one.estimate is not None]
    floors = [one.floor for one in found if one.floor is not None]
    ran, picked = (torch.stack(some).all(0) for some in ([one.ran for one in found], [one.picked for one in found]))
    alike = {(one.answer, one.rival) for one in found}
    its_other = "what its other text has" if first.mode == "needed" else "its other text"
    answer, rival = (first.answer, first.rival) if len(alike) == 1 else ("", "")
    return replace(
        first,
        instead=first.instead if len({one.instead for one in found}) == 1 else its_other,
        answer=answer,
        rival=rival,
        here=sum(one.here for one in found) / len(found),
        there=sum(one.there for one in found) / len(found),
        exact=exact.mean(0),
        estimate=torch.stack(guesses).mean(0) if len(guesses) == len(found) else None,
        ran=ran,
        picked=picked,
        floor=sum(floors) / len(floors) if floors else None,
        spread=values.std(0, unbiased=False) if len(found) > 1 else None,
        turned=(values.sign() != values.mean(0).sign()).double().mean(0) if len(found) > 1 else None,
        texts=len(found),
        mean_nats=torch.stack([one.nats for one in found]).mean(0) if len(found) > 1 else None,
    )
