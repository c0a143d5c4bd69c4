"""Which sentences of the course hold with zeros in a part's place, and not with what another text has there?

    python -m tests.claims.drawn             every claim that takes a part out, measured both ways

Zeros are like nothing that a model has ever seen. What is drawn: of stories, another story of the same kind at the same
token; of random tokens said twice and of documents, another row of the batch. A sentence that holds only with zeros has
to say so: what stood in the place is part of what is said.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from bloomlab import Lab, drawn, load, zero
from bloomlab.errors import HookError
from bloomlab.hooks import At, Edit
from tests.claims import said_00_welcome, said_06_mlp, said_09_interventions, said_readme
from tests.claims.claim import CLAIMS
from tests.claims.page import summary
from tests.claims.stories import recaps

MODULES = (said_00_welcome, said_readme, said_06_mlp, said_09_interventions)
STORIES = 64


def another_row(tensor: Tensor, zeroed: Tensor) -> Tensor:
    """What zeros would stand in the place of, from the row before.

    >>> another_row(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 0.0], [3.0, 0.0]]))
    tensor([[1., 4.],
            [3., 2.]])
    """
    return torch.where(zeroed != tensor, tensor.roll(1, 0), tensor)


def instead_of_zeros(texts: list[str], **where: Any) -> Edit:
    """`zero`, with another text's values."""
    silent = zero(**where)

    def change(tensor: Tensor, at: At) -> Tensor:
        if len(tensor) == 1:
            raise HookError("a lone row has no other row to draw from")
        return another_row(tensor, silent(tensor, at))

    return drawn(texts, **where) if texts else change


def texts_of(lab: Lab, module: ModuleType) -> list[str]:
    """The other texts of a lesson's stories; none where it reads batches."""
    if module not in (said_00_welcome, said_readme):
        return []
    told = [story.text for story in recaps(lab, STORIES, seed=5)]
    return [*told, *(text.replace(". Let us", ".\nLet us") for text in told)]


def forget(module: ModuleType) -> None:
    """What was measured with another edit."""
    for one in vars(module).values():
        if hasattr(one, "cache_clear"):
            one.cache_clear()


def main() -> int:
    lab = load()
    fallen = []
    for module in MODULES:
        texts = texts_of(lab, module)
        for claim in CLAIMS.values():
            if claim.measure.__module__ != module.__name__:
                continue
            asked: list[Any] = []  # whether it takes anything out at all

            def counted(asked: list[Any] = asked, **where: Any) -> Edit:
                asked.append(where)
                return zero(**where)

            def other(texts: list[str] = texts, **where: Any) -> Edit:
                return instead_of_zeros(texts, **where)

            forget(module)
            with patch.object(module, "zero", counted):
                zeros = claim.measured(lab)
            if not asked:
                continue
            forget(module)
            try:
                with patch.object(module, "zero", other), patch.object(said_00_welcome, "zero", other):
                    others = claim.measured(lab)
            except HookError as error:
                print("not measured", claim.name, error)
                continue
            holds = claim.holds(*others)
            fallen += [] if holds else [claim.name]
            print("holds" if holds else "FALLS", claim.name, claim.sentence)
            for word, numbers in (("zero", zeros), ("drawn", others)):
                print(f"      {word:6}{summary(numbers[0])} | {summary(numbers[1])}", flush=True)
        forget(module)
    print(f"\n{len(fallen)} hold only with zeros:", *fallen, sep="\n  ")
    return 0


if __name__ == "__main__":
    import_module("tests.claims.every")
    sys.exit(main())
