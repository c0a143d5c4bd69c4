"""Rare features share dimensions, and those that are always there do not."""

import pytest
import torch

from bloomlab.lens.superposition import kept, overlaps, squeezed


def test_the_same_seed_gives_the_same_directions_and_leaves_chance_as_it_was() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first = squeezed(0.3, features=4, room=2, steps=3)
    assert torch.rand(1).equal(expected)
    assert first.equal(squeezed(0.3, features=4, room=2, steps=3))
    assert not first.equal(squeezed(0.3, features=4, room=2, steps=3, seed=1))
    assert not first.requires_grad


@pytest.mark.slow
def test_rare_features_share_room_and_dense_ones_do_not() -> None:
    dense, rare = (squeezed(often, features=6, room=2, steps=300) for often in (1.0, 0.03))
    assert kept(dense) <= 3 < kept(rare)
    alone = overlaps(rare)
    assert alone.shape == (6, 6) and alone.allclose(alone.T)
    assert float((alone - alone.diag().diag()).abs().max()) > 0.3  # not at right angles
