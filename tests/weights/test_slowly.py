"""A model that is larger than the memory opens if that is asked for, after a sentence that says what to expect."""

import os
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch

import bloomlab
from bloomlab.errors import InputError, MemoryLimitError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.weights.pretrained import shapes_only
from bloomlab.weights.slowly import disk_speed
from tests.tiny_random import random_ids, random_model

GROUPS = Path("/sys/fs/cgroup/memory")  # version 1; or version 2 below
LARGE = {"vocab_size": 8192, "hidden_size": 1024, "n_layer": 64, "n_head": 16}  # 814 million parameters, 1.6 GB


def test_slow_leaves_the_weights_as_they_are() -> None:
    with pytest.raises(InputError, match="int8 makes others; choose one"):
        bloomlab.load(dtype="int8", allow="slow")


def test_the_refusal_names_the_way_and_the_way_says_what_to_expect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model()
    model.save_pretrained(tmp_path)
    expected = model(random_ids()).logits
    monkeypatch.setenv("MEM_LIMIT", "1000")
    with pytest.raises(MemoryLimitError, match=r"allow='slow' opens it all the same"):
        BloomForCausalLM.from_pretrained(tmp_path)
    with pytest.warns(UserWarning, match=r"in 0 bytes of memory: .* about 0 s a pass") as said:
        slow = BloomForCausalLM.from_pretrained(tmp_path, allow="slow")
    assert len(said) == 1 and len(str(said[0].message)) < 400
    monkeypatch.delenv("MEM_LIMIT")
    assert slow(random_ids()).logits.equal(expected)


def test_what_is_cast_cannot_stay_in_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random_model().save_pretrained(tmp_path)
    monkeypatch.setenv("MEM_LIMIT", "1000")
    with pytest.raises(MemoryLimitError, match=r"dtype='auto' with allow='slow'"):
        BloomForCausalLM.from_pretrained(tmp_path, dtype="bfloat16")
    with pytest.raises(InputError, match=r"which hold float32; choose dtype='auto'"):
        BloomForCausalLM.from_pretrained(tmp_path, dtype="bfloat16", allow="slow")
    with pytest.raises(InputError, match="allow must be 'slow'"):
        BloomForCausalLM.from_pretrained(tmp_path, allow="fast")


def test_a_model_that_fits_says_nothing(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lab = bloomlab.load(allow="slow", dtype="auto")
    assert "allow='slow'" in lab.code and lab.generate("Leo lives in", max_new_tokens=1)


RUN = """
import os, sys, time
folder, group = sys.argv[1:]
with open(group, "w") as file:  # from here on, this process has less memory than the model
    file.write(str(os.getpid()))
import torch, warnings
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import Hooks
from bloomlab.errors import MemoryLimitError
try:
    BloomForCausalLM.from_pretrained(folder, dtype="auto")
except MemoryLimitError as error:
    print("refused:", error, flush=True)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    model = BloomForCausalLM.from_pretrained(folder, dtype="auto", allow="slow")
print("said:", said[0].message, flush=True)
for _ in range(2):
    start = time.perf_counter()
    hooks = Hooks(["h.63.attn.probs"])
    with torch.no_grad():
        model(torch.arange(8)[None], hooks=hooks)
    print("pass:", time.perf_counter() - start, float(hooks["h.63.attn.probs"].sum()), flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.access(GROUPS, os.W_OK), reason="no control group of one's own can be made here")
def test_in_a_group_with_less_memory_than_the_file_a_pass_takes_about_as_long_as_the_disk(tmp_path: Path) -> None:
    with shapes_only():
        model = BloomForCausalLM(bloomlab.BloomConfig(**LARGE)).to(torch.bfloat16)
    model.to_empty(device="cpu").tie_weights()
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.fill_(0.01)
    model.save_pretrained(tmp_path)
    size = sum(tensor.nbytes for tensor in model.parameters())
    del model
    os.sync()
    speed = disk_speed(tmp_path / "model.safetensors")
    group = GROUPS / f"bloomlab-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(1_100_000_000))
        command = [sys.executable, "-c", RUN, str(tmp_path), str(group / "cgroup.procs")]
        run = subprocess.run(command, capture_output=True, text=True, timeout=500)
        most = int((group / "memory.max_usage_in_bytes").read_text())
    finally:
        for _ in range(100):
            try:
                group.rmdir()
                break
            except OSError:
                time.sleep(0.1)
    assert run.returncode == 0, run.stderr[-2000:]
    print(run.stdout, f"{size / 1e9:.2f} GB, {speed / 1e9:.2f} GB/s, most {most / 1e9:.2f} GB")
    assert most <= 1_100_000_000 < size
    refused, said, *passes = run.stdout.splitlines()
    assert "allow='slow'" in refused and re.search(r"about \d+ s a pass", said)
    for one in passes:
        _, seconds, total = one.split()
        assert float(total) == pytest.approx(16 * 8, rel=1e-2)
        assert float(seconds) < 4 * size / speed + 20
