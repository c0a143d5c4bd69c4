"""What the tests of downloads share: a model to fetch, and a look at what is then in the cache."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from bloomlab.errors import CheckpointError
from bloomlab.weights.hub import digest, find
from tests.weights.fake_hub import (
    REPO,
)

SHARD = "model-00002-of-00004.safetensors"
IDS = torch.arange(4, 12)[None]

# The five messages that every fault of a download ends in.
OFFLINE = (
    r"^(cannot reach localhost|localhost (is asked too often|has a problem)|something else answered).*(run this|bloo)"
)
NOT_FOUND = (
    r"^localhost has (no model|.* but no revision)|^localhost lists a file .* that it does not have; run this again"
    r"|^the hub's .* has (no|too many) .*not a BLOOM that can be opened here"
    r"|of the hub's .* has .* and a BLOOM's has less than .*not a BLOOM that can be opened here"
)
NOT_ALLOWED = r"^localhost does not allow owner/small-bloom; log in there, accept .* HF_TOKEN"
BROKEN = r"(is broken: its hash is|arrived broken).* run this again \(finished files are kept\)"
NO_SPACE = r"(needs .* on the disk|cannot store).* cache_dir=…$"


def wait_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a hub that says nothing up soon. (Not by default: a busy machine takes a while to answer.)"""
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
    monkeypatch.setattr("bloomlab.weights.download.WAIT", 0.5)
    monkeypatch.setattr("bloomlab.weights.download.LONGEST", 0.4)


def fetch_all() -> Path:
    return find(REPO, CheckpointError).fetch("config", "tokenizer", "weights")


def contents(cache: Path) -> dict[str, bytes]:
    """Every file of a cache that counts, by its path: not the locks, which may be lost without harm."""
    return {
        str(path.relative_to(cache)): path.read_bytes()
        for path in sorted(cache.rglob("*"))
        if path.is_file() and ".locks" not in path.parts
    }


def all_whole(cache: Path) -> bool:
    """Whether every file in the cache has the hash that is its name."""
    blobs = [path for path in cache.rglob("*") if path.parent.name == "blobs" and path.is_file()]
    return all(digest(path, len(path.name)) == path.name for path in blobs)


def in_another_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
