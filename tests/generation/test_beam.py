"""Beam search by itself: which continuations stay alive."""

import torch

from bloomlab.generation.beam import Beams
from bloomlab.generation.settings import Settings


def test_where_all_have_ended_the_likeliest_stay_and_not_any_of_those_that_are_equal() -> None:
    search = Beams(torch.tensor([1, 2]), Settings(num_beams=4))
    candidates = torch.tensor([[1, 2, i] for i in range(8)])
    rows = search.extend(-torch.arange(1.0, 9.0), candidates, torch.arange(8), torch.ones(8, dtype=torch.bool))
    assert rows.tolist() == [0, 1, 2, 3] and search.live[:, 2].tolist() == [0, 1, 2, 3]
    assert [ids[2].item() for _, ids in search.finished] == [0, 1, 2, 3]
