"""Ctrl-C during a download leaves whole files, or none."""

import json
import os
from pathlib import Path

import pytest

from bloomlab.heads.causal_lm import BloomForCausalLM
from tests.weights.fake_hub import (
    REPO,
    FakeHub,
)
from tests.weights.fetching import all_whole, in_another_python

INTERRUPTED = """
import json, random, shutil, signal, sys, time
from pathlib import Path
from bloomlab.errors import CheckpointError
from bloomlab.weights.hub import digest, find
import huggingface_hub

repo, cache, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
def fetch():
    return find(repo, CheckpointError, None, cache).fetch("config", "tokenizer", "weights")

fetch(); shutil.rmtree(cache)
started = time.perf_counter(); fetch(); usual = time.perf_counter() - started

def stop(signum, frame):  # as Python's own, but silent once the download is over
    if loading:
        raise KeyboardInterrupt
signal.signal(signal.SIGALRM, stop)
chance, interrupted, broken = random.Random(0), 0, []
for i in range(20 * count):  # on a busy machine many come too late: then the next comes sooner
    if interrupted == count:
        break
    if i % 3 == 0:  # else the next goes on from what this one left
        shutil.rmtree(cache, ignore_errors=True)
    loading = True
    try:
        signal.setitimer(signal.ITIMER_REAL, max(1e-3, chance.random() * usual * 1.1))
        fetch()
        loading, usual = False, usual * 0.97
    except KeyboardInterrupt:
        interrupted, usual = interrupted + 1, usual * 1.02
    loading = False
    signal.setitimer(signal.ITIMER_REAL, 0)
    blobs = [path for path in cache.rglob("*") if path.parent.name == "blobs"]
    broken += [f"{i}: {path.name}" for path in blobs if digest(path, len(path.name)) != path.name]
fetch()
print(json.dumps({"interrupted": interrupted, "broken": broken}))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the timer is that of Unix")
def test_an_interrupt_anywhere_in_a_download_leaves_only_whole_files(hub: FakeHub, tmp_path: Path) -> None:
    """At 300 random moments; what is left of one download is where the next goes on."""
    run = in_another_python(INTERRUPTED, REPO, str(tmp_path / "shared"), "300")
    assert run.returncode == 0, run.stderr[-2000:]
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["broken"] == [] and result["interrupted"] == 300
    assert all_whole(tmp_path / "shared")
    assert BloomForCausalLM.from_pretrained(REPO, cache_dir=tmp_path / "shared")
