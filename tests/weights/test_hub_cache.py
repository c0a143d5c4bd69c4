"""The cache that programs share: without a network, broken, full, read-only, and wanted by several at once."""

import errno
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants, file_download

import bloomlab
from bloomlab.config import BloomConfig
from bloomlab.errors import CheckpointError, DownloadError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.weights.hub import find
from tests.weights.fake_hub import (
    COMMIT,
    REPO,
    FakeHub,
    flipped,
    portal,
    stalls,
    status,
)
from tests.weights.fetching import (
    BROKEN,
    IDS,
    NO_SPACE,
    NOT_ALLOWED,
    SHARD,
    all_whole,
    contents,
    fetch_all,
    in_another_python,
    wait_little,
)

# -- no network ----


@pytest.mark.slow
def test_what_was_fetched_opens_without_a_network(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    expected = bloomlab.load(REPO).model(IDS).logits
    asked = dict(hub.asked)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert bloomlab.load(REPO).model(IDS).logits.equal(expected)
    assert bloomlab.load(REPO, revision=COMMIT).model(IDS).logits.equal(expected)
    assert hub.asked == asked
    monkeypatch.delenv("HF_HUB_OFFLINE")
    wait_little(monkeypatch)
    for fault in (status(500), portal, stalls("info")):
        hub.fault = fault
        assert bloomlab.load(REPO).model(IDS).logits.equal(expected)
    assert f"using the copy kept here, commit {COMMIT}" in capfd.readouterr().err


def test_what_was_fetched_in_part_says_what_is_missing_without_a_network(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    BloomConfig.from_pretrained(REPO)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert BloomConfig.from_pretrained(REPO).n_layer == 3
    with pytest.raises(DownloadError, match=r"kept here has no 'model\.safetensors', and the hub cannot be asked"):
        BloomForCausalLM.from_pretrained(REPO)
    with pytest.raises(DownloadError, match=r"HF_HUB_OFFLINE forbids it.*bloomlab\.load\('tiny'\)"):
        BloomForCausalLM.from_pretrained("560m")
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE forbids it"):
        BloomConfig.from_pretrained(REPO, revision="other")


def test_a_model_that_was_withdrawn_is_not_taken_from_the_cache(hub: FakeHub) -> None:
    fetch_all()
    hub.fault = status(403)
    with pytest.raises(DownloadError, match=NOT_ALLOWED):
        fetch_all()


# -- the cache ----


@pytest.mark.slow
@pytest.mark.parametrize("broken", [False, True])
def test_a_cache_that_keeps_equal_files_of_all_models_once_is_understood(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    """Newer programs keep a file in a store beside all models, under another hash, and link to it."""
    folder = fetch_all()
    blob, store = (folder / SHARD).resolve(), tmp_path / "cache" / "blobs" / "ab" / ("ab" * 32)
    store.parent.mkdir(parents=True)
    blob.rename(store)
    blob.symlink_to(os.path.relpath(store, blob.parent))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    fetch_all()
    if broken:
        store.write_bytes(flipped(store.read_bytes()))
        monkeypatch.delenv("HF_HUB_OFFLINE")
        with pytest.raises(DownloadError, match=BROKEN):
            fetch_all()
        assert not blob.is_symlink() and not store.exists()
        fetch_all()
        assert all_whole(tmp_path / "cache")


@pytest.mark.slow
@pytest.mark.parametrize("offline", [False, True])
def test_a_file_that_another_program_left_broken_is_noticed(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    folder = fetch_all()
    shutil.rmtree(tmp_path / "cache" / ".locks")
    blob = (folder / SHARD).resolve()
    blob.write_bytes(flipped(blob.read_bytes()))
    if offline:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadError, match=rf"{SHARD} of {REPO} is broken: its hash is"):
        fetch_all()
    assert blob.exists() == offline
    if not offline:
        fetch_all()
        assert all_whole(tmp_path / "cache")


def test_a_checked_file_is_not_read_again_until_it_changes(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fetch_all()
    monkeypatch.setattr("bloomlab.weights.hub.digest", lambda *_: pytest.fail("a file was read again"))
    fetch_all()
    monkeypatch.undo()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    blob = (folder / SHARD).resolve()
    blob.write_bytes(flipped(blob.read_bytes()))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match="is broken"):
        fetch_all()


def test_a_disk_that_is_too_full_is_noticed_before_the_download(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find(REPO, CheckpointError).fetch("config")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(DownloadError, match=r"needs \d+\.\d kB on the disk, but .* has 1\.0 kB free.*cache_dir=…$"):
        fetch_all()
    assert f"GET {SHARD}" not in hub.asked


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG])
def test_a_disk_that_fills_up_on_the_way_is_said(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    find(REPO, CheckpointError).fetch("config")
    before = contents(tmp_path / "cache")
    monkeypatch.setattr(file_download, "http_get", full)
    with pytest.raises(DownloadError, match=rf"^cannot store .*: {os.strerror(number).lower()}; make room there"):
        fetch_all()
    assert contents(tmp_path / "cache") == before


def test_a_cache_that_cannot_be_written_to_is_said(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(DownloadError, match=NO_SPACE):
        BloomConfig.from_pretrained(REPO, cache_dir=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "precious"


WITHOUT_ROOTS_RIGHTS = """
import ctypes, sys
head, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()  # give up every capability
assert ctypes.CDLL(None).capset(head, none) == 0
from bloomlab.errors import CheckpointError
from bloomlab.weights.hub import find
print(find(sys.argv[1], CheckpointError, None, sys.argv[2]).fetch("config", "weights"))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="rights are given up in Linux' way")
def test_a_cache_that_is_read_only_still_opens(hub: FakeHub, tmp_path: Path) -> None:
    """A class shares one cache that only the teacher may write to."""
    (fetch_all().parents[1] / "refs" / "main").unlink()  # what "main" is cannot be written down then, either
    cache = tmp_path / "cache"
    paths = [path for path in (cache, *cache.rglob("*")) if not path.is_symlink()]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        run = in_another_python(WITHOUT_ROOTS_RIGHTS, REPO, str(cache))
        assert run.stdout.strip().endswith(COMMIT), run.stderr
        hub.files["config.json"] += b" "  # now something would have to be written
        run = in_another_python(WITHOUT_ROOTS_RIGHTS, "owner/small-bloom-2", str(cache))
    finally:
        for path in paths:
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert re.search("DownloadError: cannot store .*: permission denied; .*cache_dir=…", run.stderr)


RACE = """
import sys, time
from bloomlab.errors import CheckpointError
from bloomlab.weights.hub import find
import huggingface_hub
print("ready", flush=True); sys.stdin.readline()
print(find(sys.argv[1], CheckpointError, None, sys.argv[2]).fetch("config", "weights"))
"""


@pytest.mark.slow
def test_four_programs_that_want_one_model_fetch_it_once_and_whole(hub: FakeHub, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    command = [sys.executable, "-c", RACE, REPO, str(tmp_path / "shared")]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    hub.fault = lambda answer: time.sleep(0.05) is not None  # type: ignore[func-returns-value]  # each answer takes a while
    runs = [subprocess.Popen(command, env=environment, text=True, **pipes) for _ in range(4)]
    for run in runs:
        assert run.stdout is not None and run.stdout.readline() == "ready\n"
    outputs = []
    for run in runs:
        assert run.stdin is not None
        run.stdin.write("go\n")
        run.stdin.flush()
    for run in runs:
        out, err = run.communicate(timeout=60)
        assert run.returncode == 0, err
        outputs.append(out.strip())
    assert len(set(outputs)) == 1 and outputs[0].endswith(COMMIT)
    assert {hub.asked[name] for name in hub.asked if name.startswith("GET model-")} == {1}
    assert all_whole(tmp_path / "shared") and BloomForCausalLM.from_pretrained(outputs[0])


@pytest.mark.slow
def test_one_program_waits_while_another_fetches_and_checks(hub: FakeHub) -> None:
    source = find(REPO, CheckpointError)
    other = threading.Thread(target=source.fetch, args=("config",))
    with source._one_program_at_a_time():
        other.start()
        other.join(0.4)
        assert other.is_alive() and "GET config.json" not in hub.asked
    other.join()
    assert hub.asked["GET config.json"] == 1
