"""The embedded model, loaded once for all lenses, and a random one of any shape."""

from collections.abc import Callable

import pytest

import bloomlab
from bloomlab.lab import Lab
from tests.tiny_random import byte_tokenizer, random_model


@pytest.fixture(scope="session")
def lab() -> Lab:
    return bloomlab.load()


@pytest.fixture(scope="session")
def random_lab() -> Callable[..., Lab]:
    """A lab with a random model that reads bytes; the head counts are those of an even, an odd and a mixed ALiBi."""

    def make(n_head: int = 6, **changes: object) -> Lab:
        return Lab(random_model(n_head=n_head, hidden_size=4 * n_head, **changes), byte_tokenizer())

    return make
