"""Where a model's parameters are, counted from its sizes and held against the model itself."""

import pytest

from bloomlab.config import SIZES, BloomConfig
from bloomlab.errors import ConfigError
from bloomlab.lens.sizes import info, parts
from tests.tiny_random import random_model


def test_the_parts_are_the_models_own_parameters() -> None:
    model = random_model()
    counted = {"embedding": 0, "attention": 0, "MLPs": 0, "layer norms": 0}
    for name, parameter in model.named_parameters():
        norm = "layernorm" in name or "ln_f" in name
        kind = "layer norms" if norm else "attention" if "attention" in name else "MLPs" if "mlp" in name else ""
        counted[kind or "embedding"] += parameter.numel()
    assert parts(model.config) == counted


@pytest.mark.parametrize("size", SIZES)
def test_the_parts_of_every_size_sum_to_its_parameters(size: str) -> None:
    assert sum(info(size).parts.values()) == info(size).fit.parameters == BloomConfig.named(size).parameter_count()


def test_the_page_says_sizes_shares_and_what_fits() -> None:
    page = repr(info("560m"))
    assert page.startswith("560m: BLOOM of 24 layers, 16 heads of 64, width 1024, 250,880 tokens\n")
    assert "embedding         256,901,120   45.9%" in page and "559,214,592" in page and "bfloat16" in page


def test_a_model_that_does_not_exist_is_one_clear_error() -> None:
    with pytest.raises(ConfigError, match="nowhere/at/all"):
        info("./nowhere/at/all")
