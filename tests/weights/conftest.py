"""A hub on this machine with a small model, for the tests of downloads."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants, file_download
from huggingface_hub.utils import _http

from tests.text.small_tokenizer import hub_folder
from tests.tiny_random import random_model
from tests.weights.fake_hub import (
    FakeHub,
    fake_hub,
)
from tests.weights.fetching import SHARD


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random BLOOM as the hub has them: four shards, their index, a config and a tokenizer."""
    folder = tmp_path_factory.mktemp("published")
    random_model(vocab_size=420).save_pretrained(folder, max_shard_size="45KB")
    hub_folder(folder)
    (folder / "README.md").write_text("a card, which nobody needs to fetch")
    (folder / "flax_model.msgpack").write_bytes(bytes(1000))
    assert SHARD in [path.name for path in folder.iterdir()]
    return folder


class NoWaiting:
    """The time module for a library that waits between two tries."""

    time, monotonic, perf_counter = time.time, time.monotonic, time.perf_counter
    sleep = staticmethod(lambda seconds: None)


@pytest.fixture
def hub(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub that answers honestly until a test says otherwise, and an empty cache."""
    with fake_hub(published) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.delenv("HF_HUB_OFFLINE")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        for module in (_http, file_download):
            monkeypatch.setattr(module, "time", NoWaiting)
        yield hub
        _http.close_session()
