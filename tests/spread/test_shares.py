import pytest

from bloomlab.config import BloomConfig
from bloomlab.spread.shares import ranges, share, share_bytes
from tests.tiny_random import random_model


@pytest.mark.parametrize("count", [1, 2, 6, 7, 112])
@pytest.mark.parametrize("parts", [1, 2, 3, 8])
def test_everything_is_dealt_once_and_evenly(count: int, parts: int) -> None:
    dealt = ranges(count, parts)
    assert [one for each in dealt for one in each] == list(range(count))
    sizes = [len(each) for each in dealt]
    assert max(sizes) - min(sizes) <= 1 and sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_every_parameter_is_whole_or_cut_into_shares_that_cover_it(parts: int) -> None:
    model = random_model(n_head=4)
    config: BloomConfig = model.config
    cut = 0
    for name, tensor in model.named_parameters():
        shares = [share(name, config, part, parts) for part in range(parts)]
        if shares[0] is None:
            assert shares == [None] * parts
            continue
        cut += 1
        ends = [0, *(each.stop for each in shares if each)]
        assert [each.start for each in shares if each] == ends[:-1] and ends[-1] == tensor.shape[shares[0].axis]
    assert cut == 1 + 6 * config.n_layer  # the table; four matrices a layer, and the biases of two


def test_two_parts_weigh_little_more_than_one() -> None:
    model = random_model(hidden_size=96)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.named_parameters()}
    sizes = [share_bytes(shapes, model.config, part, 2, 4) for part in range(2)]
    whole = sum(tensor.nbytes for tensor in model.parameters())
    assert whole < sum(sizes) < 1.02 * whole
    assert share_bytes(shapes, model.config, 0, 1, 4) == whole
