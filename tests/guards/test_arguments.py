import pytest

from bloomlab.errors import InputError
from bloomlab.guards.arguments import SEEDS, a_seed


@pytest.mark.parametrize("value", [1.5, True, "1", None, SEEDS + 1, -SEEDS - 1])
def test_what_is_no_seed_is_refused(value: object) -> None:
    assert a_seed(SEEDS) == SEEDS and a_seed(-SEEDS) == -SEEDS
    with pytest.raises(InputError, match="seed must be a whole number from"):
        a_seed(value)
