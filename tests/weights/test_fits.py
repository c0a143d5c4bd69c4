"""What fits is arithmetic: checked against the published sizes, and against what opening a model really allows."""

from pathlib import Path

import pytest

import bloomlab
from bloomlab.errors import ConfigError, MemoryLimitError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.weights.fits import Fit, fits
from tests.tiny_random import random_model

GB = 10**9


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine of which a test says how much memory it has."""
    monkeypatch.setattr("bloomlab.weights.fits.free_bytes", lambda: 16 * GB)
    return monkeypatch


def test_the_answer_is_in_words(free: pytest.MonkeyPatch) -> None:
    assert repr(fits("7b1")).splitlines() == [
        "7b1: 7,069,016,064 parameters",
        "  float32     28.3 GB  does not fit",
        "  bfloat16    14.1 GB  fits",
        "  float16     14.1 GB  fits",
        "  int8         7.1 GB  fits",
        "  free here   16.0 GB",
        "  bloomlab.load('7b1', dtype='bfloat16')",
    ]


@pytest.mark.parametrize(
    ("name", "count"),
    [("tiny", 1_186_816), ("560m", 559_214_592), ("bloomz-1b1", 1_065_314_304), ("bigscience/bloomz", 176_247_271_424)],
)
def test_the_published_sizes_need_no_network(name: str, count: int) -> None:
    assert fits(name).parameters == count
    assert fits(name).bytes == {"float32": 4 * count, "bfloat16": 2 * count, "float16": 2 * count, "int8": count}


def test_what_does_not_fit_names_the_largest_that_does(free: pytest.MonkeyPatch) -> None:
    assert fits("176b").advice == "instead: bloomlab.load('7b1', dtype='bfloat16')"
    assert fits("3b").advice == "bloomlab.load('3b')"
    free.setattr("bloomlab.weights.fits.free_bytes", lambda: 1.2 * GB)
    assert fits("7b1").advice == "instead: bloomlab.load('1b1', dtype='int8')"
    assert fits("7b1").dtypes == []
    free.setattr("bloomlab.weights.fits.free_bytes", lambda: 10)
    assert fits("7b1").advice == "nothing fits; end other programs first"
    free.setattr("bloomlab.weights.fits.free_bytes", lambda: None)
    assert fits("176b").dtypes[0] == "float32"
    assert "the system does not say" in repr(fits("176b"))


def test_a_folder_is_asked_for_its_config(tmp_path: Path) -> None:
    model = random_model()
    model.save_pretrained(tmp_path)
    assert fits(tmp_path).parameters == model.num_parameters()
    assert repr(str(tmp_path)) in fits(tmp_path).advice
    with pytest.raises(ConfigError, match="expected a folder"):
        fits("561m")


@pytest.mark.parametrize("spare", [-1, 0])
def test_it_says_what_opening_the_model_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spare: int) -> None:
    random_model().save_pretrained(tmp_path)
    needed = fits(tmp_path).bytes["float32"]
    for place in ("guards.memory", "weights.fits"):
        monkeypatch.setattr(f"bloomlab.{place}.free_bytes", lambda: needed + spare)
    if spare < 0:
        assert fits(tmp_path).dtypes == ["bfloat16", "float16", "int8"]
        with pytest.raises(MemoryLimitError):
            BloomForCausalLM.from_pretrained(tmp_path)
    else:
        assert fits(tmp_path).dtypes == ["float32", "bfloat16", "float16", "int8"]
        BloomForCausalLM.from_pretrained(tmp_path)


def test_a_lab_can_be_asked_too(free: pytest.MonkeyPatch) -> None:
    assert isinstance(bloomlab.fits("560m"), Fit)
    assert bloomlab.Lab.fits("560m") == bloomlab.fits("560m")
