"""Honest files with small random changes: whoever opens them gets a model, or our error, and nothing else.

BLOOMLAB_FUZZ_SECONDS=3600 BLOOMLAB_FUZZ_SEED=7 pytest tests/hostile/test_fuzz.py -s     an hour of other changes
"""

import json
import os
import random
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.hostile.folders import BIN, WEIGHTS, honest_bin, honest_folder, sharded_folder
from tests.hostile.mutations import changed
from tests.hostile.probe import BYTES, SECONDS, Probe
from tests.text.small_tokenizer import trained_json

DURATION = float(os.environ.get("BLOOMLAB_FUZZ_SECONDS", "60"))
SEED = os.environ.get("BLOOMLAB_FUZZ_SEED", "0")


def older_folder(folder: Path) -> Path:
    """The older files: weights in a .bin, a vocabulary and merges."""
    honest_folder(folder)
    (folder / WEIGHTS).unlink()
    (folder / BIN).write_bytes(honest_bin(folder))
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in model["merges"]))
    return folder


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is read from Linux' /proc")
def test_changed_files_give_a_model_or_our_error_and_nothing_else(tmp_path: Path) -> None:
    folders = [make(tmp_path / make.__name__) for make in (honest_folder, sharded_folder, older_folder)]
    files = [path for folder in folders for path in sorted(folder.iterdir())]
    shutil.copytree(folders[0], tmp_path / "unchanged")
    probe, outcomes = Probe(tmp_path / "unchanged"), Counter[str]()
    end, number = time.monotonic() + DURATION, 0
    try:
        while time.monotonic() < end:
            chance = random.Random(f"{SEED}-{number}")
            path = chance.choice(files)
            honest = path.read_bytes()
            path.write_bytes(changed(path.name, honest, chance))
            result = probe.open(path.parent)
            path.write_bytes(honest)

            here = f"change {number} of seed {SEED}, in {path.parent.name}/{path.name}: {result}"
            assert result, f"the process ended or hung: {here}"
            assert result["kind"] != "not ours", here
            assert result["unchanged"] and result["seconds"] < SECONDS and result["bytes"] < BYTES, here
            assert len(result["error"]) <= 400, here
            outcomes[result["kind"] or "a model"] += 1
            number += 1
        for folder in folders:
            assert probe.open(folder)["error"] == "", "the honest folders no longer open"
    finally:
        probe.close()
    print(f"\n{number} changed files: {dict(outcomes.most_common())}")
    assert (
        outcomes["a model"] and outcomes["CheckpointError"] and outcomes["TokenizerError"] and outcomes["ConfigError"]
    )


def test_the_changes_are_the_same_for_the_same_seed() -> None:
    content = trained_json().encode()
    for number in range(20):
        twice = [changed("tokenizer.json", content, random.Random(f"0-{number}")) for _ in range(2)]
        assert twice[0] == twice[1]
    assert len({changed("tokenizer.json", content, random.Random(f"0-{number}")) for number in range(20)}) > 15
