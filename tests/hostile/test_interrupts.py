"""Ctrl-C while a model is opened: what was open, the random state and torch's settings stay as they were."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bloomlab.heads.causal_lm import BloomForCausalLM
from tests.hostile.folders import sharded_folder
from tests.tiny_random import random_model

ROOT = Path(__file__).parents[2]
INTERRUPTS = 300

LOADS = """
import json, random, signal, sys, threading, time
import torch
import bloomlab
from bloomlab.heads.causal_lm import BloomForCausalLM

folders, count = sys.argv[1:3], int(sys.argv[3])
IDS = torch.arange(4, 12)[None]

def world():
    return [torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads(),
            torch.get_rng_state().sum().item(), torch.overrides._get_current_function_mode_stack()]

def load(i):
    dtype = ("float32", "auto", "bfloat16")[i % 3]
    return BloomForCausalLM.from_pretrained(folders[i % 2], dtype=dtype)

honest = load(0)
with torch.no_grad():
    expected, fresh = honest(IDS).logits, [load(i)(IDS).logits for i in range(6)]
started = time.perf_counter()
for i in range(6):
    load(i)
usual = (time.perf_counter() - started) / 6

def stop(signum, frame):  # as Python's own, but silent once the load is over
    if loading:
        raise KeyboardInterrupt
signal.signal(signal.SIGALRM, stop)
chance, interrupted, wrong = random.Random(0), 0, []
for i in range(count):
    before, loading = world(), True
    try:
        signal.setitimer(signal.ITIMER_REAL, max(1e-5, chance.random() * usual * 1.1))
        load(i)
        loading = False
    except KeyboardInterrupt:
        interrupted += 1
    loading = False
    signal.setitimer(signal.ITIMER_REAL, 0)
    if world() != before:
        wrong.append(f"{i}: {before} became {world()}")
with torch.no_grad():
    same = honest(IDS).logits.equal(expected)
    again = all(load(i)(IDS).logits.equal(fresh[i]) for i in range(6))
print(json.dumps({"interrupted": interrupted, "wrong": wrong[:3], "same": same, "again": again}))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the timer is that of Unix")
def test_an_interrupt_anywhere_in_a_load_changes_nothing(tmp_path: Path) -> None:
    """At 300 random moments, of two layouts and three dtypes."""
    random_model().save_pretrained(tmp_path / "one")
    (tmp_path / "several").mkdir()
    sharded_folder(tmp_path / "several")
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    command = [sys.executable, "-c", LOADS, str(tmp_path / "one"), str(tmp_path / "several"), str(INTERRUPTS)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert run.returncode == 0, run.stderr[-2000:]
    result = json.loads(run.stdout)
    assert result["wrong"] == [] and result["same"] and result["again"]
    assert result["interrupted"] > INTERRUPTS / 6
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files
    assert BloomForCausalLM.from_pretrained(tmp_path / "one")
