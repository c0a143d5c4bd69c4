"""The bridge to transformers' classes: what it refuses. tests/ecosystem holds that both share one memory."""

import importlib.util
from types import SimpleNamespace

import pytest
import torch

import bloomlab
from bloomlab.errors import InputError, MissingPackageError
from bloomlab.heads import bridge
from tests.tiny_random import random_model


def test_the_bridge_s_names_are_public() -> None:
    assert bloomlab.to_transformers is bridge.to_transformers and bloomlab.from_transformers is bridge.from_transformers


def test_what_is_no_bloom_is_refused() -> None:
    for wrong in (torch.nn.Linear(2, 2), 5, SimpleNamespace(config=None)):
        with pytest.raises(InputError, match="expected one of BloomModel, "):
            bridge.to_transformers(wrong)
        with pytest.raises(InputError, match="expected a BLOOM of transformers'"):
            bridge.from_transformers(wrong)


def test_a_model_with_more_parts_is_refused() -> None:
    model = random_model()
    model.transformer.more = torch.nn.Linear(2, 2)
    with pytest.raises(InputError, match=r"the two models differ in 'transformer.more.bias'; merge adapters"):
        bridge.from_transformers(model)  # ours will do as theirs: it has the names


def test_without_transformers_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="pip install transformers"):
        bridge.to_transformers(random_model())
    assert importlib.util.find_spec("transformers")
