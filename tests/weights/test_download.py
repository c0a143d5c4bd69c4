"""How files come: in pieces, one shard after the other, and each fault on the way is one of five messages."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.utils._runtime import is_package_available

import bloomlab
from bloomlab.config import BloomConfig
from bloomlab.errors import BloomlabError, CheckpointError, ConfigError, DownloadError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.weights.download import CHUNK
from bloomlab.weights.hub import find
from tests.text.small_tokenizer import hub_folder
from tests.weights.fake_hub import (
    COMMIT,
    REPO,
    Answer,
    FakeHub,
    Fault,
    breaks_off,
    breaks_off_once,
    changed,
    endless_list,
    fake_hub,
    flipped,
    git_hash,
    portal,
    stalls,
    status,
)
from tests.weights.fetching import (
    BROKEN,
    NOT_ALLOWED,
    NOT_FOUND,
    OFFLINE,
    SHARD,
    all_whole,
    fetch_all,
    wait_little,
)
from tests.weights.test_pretrained import PEAK


@pytest.mark.slow
def test_files_come_by_plain_http_even_if_the_hub_offers_its_own_transport(hub: FakeHub) -> None:
    """Xet is quick, but a second way, with faults and interrupts of its own, that nothing here would test."""
    assert is_package_available("hf_xet")  # else this would prove nothing
    hub.xet = True
    fetch_all()
    assert "GET xet-token" not in hub.asked and hub.asked[f"GET {SHARD}"] == 1
    assert constants.HF_HUB_DISABLE_XET is False and constants.DOWNLOAD_CHUNK_SIZE > CHUNK  # others go on as before


def test_without_this_the_other_transport_would_be_taken(hub: FakeHub, tmp_path: Path) -> None:
    hub.xet = True
    with pytest.raises(huggingface_hub.errors.HfHubHTTPError):
        huggingface_hub.hf_hub_download(REPO, SHARD, cache_dir=tmp_path, endpoint=hub.address, token=False)
    assert hub.asked["GET xet-token"] == 1


def test_a_connection_that_breaks_costs_what_was_not_written_yet(hub: FakeHub, tmp_path: Path) -> None:
    """On a poor network a download goes on from where it was, if only a little of it has come."""
    starts: list[str] = []
    hub.files["pytorch_model.bin"] = bytes(5 * CHUNK)
    hub.files = {name: content for name, content in hub.files.items() if not name.endswith("safetensors")}
    hub.files.pop("model.safetensors.index.json")
    breaking = breaks_off_once("pytorch_model.bin", after=3 * CHUNK + 1)

    def fault(answer: Answer) -> bool:
        if answer.name == "pytorch_model.bin" and answer.command == "GET":
            starts.append(answer.headers["range"] or "")
        return breaking(answer)

    hub.fault = fault
    find(REPO, CheckpointError).fetch("weights")
    assert starts == ["", f"bytes={3 * CHUNK}-"]


def test_a_model_of_another_kind_is_not_downloaded(hub: FakeHub) -> None:
    hub.files["config.json"] = b'{"model_type": "llama"}'
    with pytest.raises(ConfigError, match="'llama'"):
        BloomForCausalLM.from_pretrained(REPO)
    assert f"GET {SHARD}" not in hub.asked


def test_an_index_that_leads_astray_fetches_nothing(hub: FakeHub, tmp_path: Path) -> None:
    hub.files["model.safetensors.index.json"] = b'{"weight_map": {"a": "../../../evil.safetensors"}}'
    with pytest.raises(CheckpointError, match="expected the name of a file beside"):
        BloomForCausalLM.from_pretrained(REPO)
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is read from Linux' /proc")
def test_a_model_as_large_as_bloom_560m_is_fetched_in_shards_and_opened_in_little_more_than_its_weights(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = BloomForCausalLM(BloomConfig.named("560m")).half()
    model.save_pretrained(tmp_path / "large", max_shard_size="300MB")
    del model
    hub_folder(tmp_path / "large")
    with fake_hub(tmp_path / "large") as large:
        monkeypatch.setenv("HF_ENDPOINT", large.address)
        monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 60)  # it hashes a gigabyte before it answers
        monkeypatch.setattr("bloomlab.weights.download.WAIT", 60)
        folder = find(REPO, CheckpointError, cache_dir=tmp_path / "cache").fetch("config", "tokenizer", "weights")
        assert len([name for name in large.asked if name.startswith("GET model-0")]) >= 4
        assert all(count == 1 for name, count in large.asked.items() if name.startswith("GET model-0"))
    assert all_whole(tmp_path / "cache")
    run = subprocess.run(
        [sys.executable, "-c", PEAK, str(folder), "float16"], capture_output=True, text=True, check=True
    )
    assert 0.8 < float(run.stdout) < 1.15


# -- faults: each ends in one of five messages ----

NO_FILES = json.dumps({"sha": COMMIT, "siblings": [7]}).encode()
NO_SIZE = json.dumps({"sha": COMMIT, "siblings": [{"rfilename": "config.json", "size": "1"}]}).encode()


def more_than_listed(answer: Answer) -> bool:
    """A list that says a shard is small, and a shard that is not."""
    if answer.name != "info":
        return False
    about = answer.hub.about()
    for each in about["siblings"]:
        each["size"] = min(each["size"], 100) if each["rfilename"] == SHARD else each["size"]
    answer.say(200, json.dumps(about).encode())
    return True


FAULTS: dict[str, tuple[Any, str]] = {
    "401": (status(401, X_Error_Message="Invalid credentials in Authorization header"), NOT_ALLOWED),
    "401 as for a name that is not there": (status(401), NOT_ALLOWED),
    "404 for a revision": (status(404, X_Error_Code="RevisionNotFound"), NOT_FOUND),
    "401 gated": (status(401, X_Error_Code="GatedRepo"), NOT_ALLOWED),
    "403": (status(403), NOT_ALLOWED),
    "403 for one file": (status(403, SHARD), NOT_ALLOWED),
    "404": (status(404, X_Error_Code="RepoNotFound"), NOT_FOUND),
    "404 without a reason": (status(404), NOT_FOUND),
    "404 for one file": (status(404, SHARD, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT), NOT_FOUND),
    "429": (status(429), OFFLINE),
    "429 for one file": (status(429, SHARD), OFFLINE),
    "500": (status(500), OFFLINE),
    "503 for one file": (status(503, SHARD), OFFLINE),
    "a login page": (portal, OFFLINE),
    "a login page for one file": (changed(SHARD, lambda _: b"<html>log in</html>"), BROKEN),
    "same length, other content": (changed(SHARD, flipped), BROKEN),
    "a small file of another content": (changed("config.json", flipped), BROKEN),
    "an empty file": (changed(SHARD, lambda _: b""), BROKEN),
    "a short body": (breaks_off(SHARD), OFFLINE),
    "a longer body": (changed(SHARD, lambda content: content + b"x"), BROKEN),
    "a stall at the start": (stalls("info"), OFFLINE),
    "a stall in a file": (stalls(SHARD), OFFLINE),
    "JSON that is not the hub's": (lambda answer: answer.say(200, b"[]") or True, OFFLINE),
    "JSON too deep to be a list": (lambda answer: answer.say(200, b"[" * 100_000) or True, OFFLINE),
    "JSON that stops": (lambda answer: answer.say(200, b'{"sha": ') or True, OFFLINE),
    "files that are none": (lambda answer: answer.say(200, NO_FILES) or True, OFFLINE),
    "a size that is none": (lambda answer: answer.say(200, NO_SIZE) or True, OFFLINE),
    "a list without end": (endless_list(b'{"rfilename": "a"},' * 10_000), NOT_FOUND),
    "a list in drops": (endless_list(b" ", pause=0.05), OFFLINE),
    "more than the list says": (more_than_listed, BROKEN),
    "a commit that is none": (lambda answer: answer.say(200, b'{"id": "a/b", "sha": "../x"}') or True, OFFLINE),
}  # fmt: skip


def names(which: str, **headers: str) -> Fault:
    """A hub that says these things of a file."""

    def fault(answer: Answer) -> bool:
        if answer.name != which:
            return False
        content = answer.hub.files[which]
        usual = {"ETag": f'"{git_hash(content)}"', "X-Repo-Commit": COMMIT}
        answer.say(200, content, usual | {name.replace("_", "-"): value for name, value in headers.items()})
        return True

    return fault


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        names("config.json", ETag='"../../../elsewhere"'),
        names("config.json", X_Linked_ETag="../../../elsewhere"),
        names("config.json", X_Repo_Commit="../../.."),
        status(404, "config.json", X_Error_Code="EntryNotFound", X_Repo_Commit="../../.."),
    ],
)
def test_what_the_hub_says_of_a_file_leads_nowhere_else(hub: FakeHub, tmp_path: Path, fault: Fault) -> None:
    """huggingface_hub makes paths of a file's tag and of the commit, even where there is no such file."""
    hub.fault = names("config.json")  # said honestly, it is fetched
    fetch_all()
    before = sorted(tmp_path.iterdir())
    shutil.rmtree(tmp_path / "cache")
    hub.fault = fault
    with pytest.raises(DownloadError, match=OFFLINE):
        fetch_all()
    assert sorted(tmp_path.iterdir()) == before
    assert not list(tmp_path.rglob("elsewhere*"))


def slow_if_it_stalls(fault: str) -> Any:
    return pytest.param(fault, marks=[pytest.mark.slow] if "stall" in fault or "drops" in fault else [])


@pytest.mark.slow
@pytest.mark.parametrize("fault", [slow_if_it_stalls(fault) for fault in FAULTS])
def test_every_fault_is_one_of_five_messages_and_leaves_a_cache_that_is_whole(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], fault: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    if "a stall" in fault or "in drops" in fault:
        wait_little(monkeypatch)
    hub.fault, message = FAULTS[fault]
    started = time.perf_counter()
    with pytest.raises(DownloadError, match=message) as caught:
        fetch_all()
    assert time.perf_counter() - started < 20
    assert isinstance(caught.value, OSError) and isinstance(caught.value, BloomlabError)
    assert len(str(caught.value)) < 500
    assert caught.value.__suppress_context__ or caught.value.__context__ is None  # no library's words below ours
    assert "hf_secret" not in str(caught.value) + "".join(capfd.readouterr())
    assert all_whole(tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.incomplete"))

    kept = {name for name, times in hub.asked.items() if name.startswith("GET model-00001") and times}
    before = dict(hub.asked)
    hub.fault = lambda answer: False
    fetch_all()
    for name in kept:
        assert hub.asked[name] == before[name], "a finished shard was fetched twice"


def test_a_hub_that_is_not_there_is_said_within_two_seconds(
    monkeypatch: pytest.MonkeyPatch, hub: FakeHub, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://localhost:9")
    started = time.perf_counter()
    with pytest.raises(DownloadError, match=r"cannot reach localhost .*no connection.*bloomlab\.load\('tiny'\)"):
        bloomlab.load("560m")
    assert time.perf_counter() - started < 2
    assert "bigscience/bloom-560m: asking localhost …" in capfd.readouterr().err


@pytest.mark.slow
def test_a_word_is_on_the_screen_before_the_hub_is_heard() -> None:
    """In a new Python, with a server that takes the call and never answers."""
    code = "import socket, bloomlab\ns = socket.create_server(('127.0.0.1', 0))\nimport os\n"
    code += "os.environ['HF_ENDPOINT'] = f'http://localhost:{s.getsockname()[1]}'\n"
    code += "import bloomlab.lab; print('ready', flush=True); bloomlab.load('560m')"
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    command = [sys.executable, "-u", "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True) as run:
        assert run.stdout is not None and run.stderr is not None
        assert run.stdout.readline() == "ready\n"
        started = time.perf_counter()
        assert run.stderr.readline() == "bigscience/bloom-560m: asking localhost …\n"
        assert time.perf_counter() - started < 2
        run.kill()
