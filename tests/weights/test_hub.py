"""From a name to files that are whole: against a hub on this machine that does everything wrong in turn."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants, file_download
from huggingface_hub.utils import _http
from huggingface_hub.utils._runtime import is_package_available

import bloomlab
from bloomlab import hub_client
from bloomlab.config import BloomConfig
from bloomlab.errors import BloomlabError, CheckpointError, ConfigError, DownloadError, InputError, MemoryLimitError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hub import NAMES, Source, digest, find
from bloomlab.hub_client import CHUNK
from bloomlab.tokenizer import BloomTokenizerFast
from tests.fake_hub import (
    COMMIT,
    REPO,
    Answer,
    FakeHub,
    breaks_off,
    breaks_off_once,
    changed,
    endless_list,
    fake_hub,
    flipped,
    git_hash,
    portal,
    sha256,
    stalls,
    status,
)
from tests.small_tokenizer import hub_folder
from tests.test_pretrained import PEAK
from tests.tiny_random import random_model

SHARD = "model-00002-of-00004.safetensors"
IDS = torch.arange(4, 12)[None]


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


def wait_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a hub that says nothing up soon. (Not by default: a busy machine takes a while to answer.)"""
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
    monkeypatch.setattr("bloomlab.hub_client.WAIT", 0.5)
    monkeypatch.setattr("bloomlab.hub_client.LONGEST", 0.4)


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


# -- names ----


def test_a_name_gives_the_model_itself(hub: FakeHub, published: Path, capfd: pytest.CaptureFixture[str]) -> None:
    expected = BloomForCausalLM.from_pretrained(published)(IDS).logits
    assert BloomForCausalLM.from_pretrained(REPO)(IDS).logits.equal(expected)
    assert BloomConfig.from_pretrained(REPO) == BloomConfig.from_pretrained(published)
    assert BloomTokenizerFast.from_pretrained(REPO).encode("hello world") == [
        *BloomTokenizerFast.from_pretrained(published).encode("hello world")
    ]
    lab = bloomlab.load(REPO)
    assert lab.model(IDS).logits.equal(expected)
    assert lab.code == f"lab = bloomlab.load('{REPO}', revision='{COMMIT}')"
    words = capfd.readouterr().err
    assert f"{REPO}: asking localhost …" in words and f"{REPO}: commit {COMMIT}" in words
    assert "in total" in words and SHARD[-20:] in words


def test_only_what_is_needed_is_fetched_and_once(hub: FakeHub) -> None:
    BloomConfig.from_pretrained(REPO)
    assert hub.asked == {"GET info": 1, "HEAD config.json": 1, "GET config.json": 1}
    BloomTokenizerFast.from_pretrained(REPO)
    bloomlab.load(REPO)
    bloomlab.load(REPO)
    assert hub.asked["GET info"] == 4
    assert {name: n for name, n in hub.asked.items() if name.startswith("GET") and n > 1} == {"GET info": 4}
    assert hub.asked.keys() & {"GET README.md", "GET flax_model.msgpack"} == set()


def test_a_model_that_is_there_for_jax_only_is_told_from_one_that_is_not_there(hub: FakeHub) -> None:
    for name in [name for name in hub.files if name.startswith("model")]:
        del hub.files[name]
    with pytest.raises(DownloadError, match=r"has no .*, but flax_model\.msgpack, which FlaxBloomForCausalLM opens"):
        fetch_all()
    del hub.files["flax_model.msgpack"]
    with pytest.raises(DownloadError, match="it is no BLOOM that can be opened here"):
        fetch_all()


@pytest.mark.parametrize("sha", ["main", "../../etc", "a" * 39, "A" * 40])
def test_what_is_no_commit_never_becomes_the_name_of_a_folder(sha: str) -> None:
    file = {"rfilename": "config.json", "size": 7, "blobId": "b" * 40}
    assert hub_client._read_listing({"sha": "a" * 40, "siblings": [file]})[0] == "a" * 40
    with pytest.raises(ValueError, match="no commit"):
        hub_client._read_listing({"sha": sha, "siblings": [file]})


def test_a_download_that_nobody_waits_for_ends_with_its_next_bytes() -> None:
    stop = threading.Event()
    with hub_client.progress(REPO, [hub_client.File(10, "")], stop) as kind, kind(total=10) as bar:
        bar.update(5)
        stop.set()
        with pytest.raises(KeyboardInterrupt):
            bar.update(5)
        assert bar.n == 5


def test_a_folder_wins_over_a_name(
    hub: FakeHub, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (REPO, "560m"):
        shutil.copytree(published, tmp_path / name)
        assert find(name, CheckpointError).fetch("weights") == Path(name)
        with pytest.raises(InputError, match="is a folder here, which has no revision"):
            find(name, CheckpointError, revision="main")
    assert not hub.asked


def test_short_names_stand_for_the_published_models(hub: FakeHub) -> None:
    hub.fault = status(404, X_Error_Code="RepoNotFound")
    wanted = {
        "560m": "bigscience/bloom-560m",
        "7b1": "bigscience/bloom-7b1",
        "176b": "bigscience/bloom",
        "bloomz-560m": "bigscience/bloomz-560m",
        "bloomz": "bigscience/bloomz",
    }
    assert wanted.items() <= NAMES.items()
    for short, full in wanted.items():
        with pytest.raises(DownloadError, match=f"no model '{full}'"):
            bloomlab.load(short)


@pytest.mark.parametrize(
    "name",
    [
        *("561m", "a/b/c", "../owner/name", "./owner", "/owner/name", "owner/", "/name", "owner/na me", "owner/.."),
        *("~x/y", "own--er/name", "owner/name.git", "owner/ñ", "https://example.org/a", "a" * 300, "a\0b"),
        "owner/" + "n" * 200,
        *("owner/name?x", "owner/name#x", "owner/%2e", "owner\\name", "owner/name\n", Path("owner/name")),
    ],
    ids=lambda name: ascii(str(name))[:30],
)  # fmt: skip
def test_what_can_be_no_name_is_refused_without_asking(hub: FakeHub, name: Any) -> None:
    with pytest.raises(ConfigError, match=r"expected a folder .*or a model's name.*the names are 560m") as caught:
        BloomConfig.from_pretrained(name)
    assert not hub.asked
    assert len(str(caught.value)) < 500


def test_a_name_with_a_slip_gets_a_suggestion(hub: FakeHub) -> None:
    with pytest.raises(CheckpointError, match=r"did you mean 'bloomz-560m'"):
        BloomForCausalLM.from_pretrained("blomz-560m")
    with pytest.raises(DownloadError, match=r"did you mean 'bigscience/bloom-560m'"):
        BloomForCausalLM.from_pretrained("bigscience/blom-560m")


@pytest.mark.parametrize("revision", ["", "../../etc", "main/../../x", "a b", "a\nb", "?x", 7, "x" * 300, "-x"])
def test_a_revision_that_can_be_none_is_refused_without_asking(hub: FakeHub, revision: Any) -> None:
    with pytest.raises(InputError, match="expected a branch, a tag or a commit"):
        BloomConfig.from_pretrained(REPO, revision=revision)
    assert not hub.asked


def test_a_commit_and_a_cache_folder_can_be_named(hub: FakeHub, tmp_path: Path) -> None:
    lab = bloomlab.load(REPO, revision=COMMIT, cache_dir=tmp_path / "mine")
    assert all_whole(tmp_path / "mine") and contents(tmp_path / "mine")
    assert not (tmp_path / "cache").exists()
    assert f"cache_dir='{tmp_path / 'mine'}'" in lab.code


def test_the_older_layouts_are_fetched_too(hub: FakeHub, published: Path) -> None:
    state = dict(BloomForCausalLM.from_pretrained(published).named_parameters())
    torch.save({name: tensor.detach() for name, tensor in state.items()}, published.parent / "pytorch_model.bin")
    hub.files = {name: content for name, content in hub.files.items() if "model" not in name}
    hub.files["pytorch_model.bin"] = (published.parent / "pytorch_model.bin").read_bytes()
    expected = BloomForCausalLM.from_pretrained(published)(IDS).logits
    assert BloomForCausalLM.from_pretrained(REPO)(IDS).logits.equal(expected)


# -- what is checked before anything large is fetched ----


def test_a_model_too_large_for_the_memory_is_not_downloaded(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bloomlab.memory.free_bytes", lambda: 1000)
    with pytest.raises(MemoryLimitError, match=r"1\.0 kB are free"):
        bloomlab.load(REPO)
    assert f"GET {SHARD}" not in hub.asked


def test_a_model_that_lacks_a_file_is_no_bloom(hub: FakeHub) -> None:
    del hub.files["config.json"]
    with pytest.raises(DownloadError, match=r"has no 'config\.json': it is no BLOOM that can be opened here"):
        fetch_all()


@pytest.mark.parametrize(("name", "size"), [("config.json", 10**9), ("tokenizer.json", 10**9), (SHARD, 10**11)])
def test_a_file_larger_than_any_of_blooms_is_not_downloaded(hub: FakeHub, name: str, size: int) -> None:
    def lists_it(answer: Answer) -> bool:
        if answer.name != "info":
            return False
        about = answer.hub.about()
        next(each for each in about["siblings"] if each["rfilename"] == name)["size"] = size
        answer.say(200, json.dumps(about).encode())
        return True

    hub.fault = lists_it
    with pytest.raises(DownloadError, match=rf"{name}' of the hub's .* has 1.* and a BLOOM's has less than") as caught:
        fetch_all()
    assert re.search(NOT_FOUND, str(caught.value))
    assert f"GET {name}" not in hub.asked


def test_a_list_without_end_is_not_read_to_its_end(hub: FakeHub) -> None:
    hub.fault = endless_list(b'{"rfilename": "model-00001-of-00001.safetensors", "size": 1},' * 1000)
    tracemalloc.start()
    try:
        with pytest.raises(DownloadError, match="too many files: their list is longer than 4 MB"):
            fetch_all()
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_a_hub_that_lists_no_sizes_still_works(hub: FakeHub) -> None:
    def lists_names(answer: Answer) -> bool:
        if answer.name != "info":
            return False
        about = answer.hub.about()
        about["siblings"] = [{"rfilename": each["rfilename"]} for each in about["siblings"]]
        answer.say(200, json.dumps(about).encode())
        return True

    hub.fault = lists_names
    assert bloomlab.load(REPO).model.config.n_layer == 3


# -- the way the files come ----


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


# -- faults: each ends in one of five messages ----

OFFLINE = (
    r"^(cannot reach localhost|localhost (is asked too often|has a problem)|something else answered).*(run this|bloo)"
)
NOT_FOUND = (
    r"^localhost has (no model|.* but no revision)|^localhost lists a file .* that it does not have; run this again"
    r"|^the hub's .* has (no|too many) .*no BLOOM that can be opened here"
    r"|of the hub's .* has .* and a BLOOM's has less than .*no BLOOM that can be opened here"
)
NOT_ALLOWED = r"^localhost does not allow owner/small-bloom; log in there, accept .* HF_TOKEN"
BROKEN = r"(is broken: its hash is|arrived broken).* run this again \(finished files are kept\)"
NO_SPACE = r"(needs .* on the disk|cannot store).* cache_dir=…$"

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


def slow_if_it_stalls(fault: str) -> Any:
    return pytest.param(fault, marks=[pytest.mark.slow] if "stall" in fault or "drops" in fault else [])


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
    monkeypatch.setattr("bloomlab.hub.digest", lambda *_: pytest.fail("a file was read again"))
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
from bloomlab.hub import find
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


def in_another_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


RACE = """
import sys, time
from bloomlab.errors import CheckpointError
from bloomlab.hub import find
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


# -- tokens and addresses ----


def test_a_token_comes_from_the_environment_only(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("hf_stored")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    assert huggingface_hub.get_token() == "hf_stored"
    BloomConfig.from_pretrained(REPO)
    assert hub.tokens == set()
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    BloomTokenizerFast.from_pretrained(REPO)
    assert hub.tokens == {"Bearer hf_secret"}


def test_without_a_token_a_hub_that_says_nothing_means_that_there_is_no_such_model(hub: FakeHub) -> None:
    hub.fault = status(401)
    with pytest.raises(DownloadError, match=NOT_FOUND):
        fetch_all()


@pytest.mark.parametrize("token", ["hf_a\r\nX-Evil: 1", "hf_é", "hf a"])
def test_a_token_that_can_be_none_is_refused_without_being_shown(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], token: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(DownloadError, match="HF_TOKEN holds characters that no token has") as caught:
        fetch_all()
    assert token not in str(caught.value) + "".join(capfd.readouterr())
    assert not hub.asked


@pytest.mark.parametrize(
    "address",
    ["http://example.org", "http://localhost.example.org", "ftp://localhost", "localhost:80", "http://", "//x", "http://[",
     "http://user:password@example.org", "http://127.0.0.1.example.org", "file:///etc"],
)  # fmt: skip
def test_an_address_that_others_could_read_along_is_refused(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(DownloadError, match=r"HF_ENDPOINT must be an https:// address") as caught:
        fetch_all()
    assert "password" not in str(caught.value)


def test_the_hashes_are_those_of_git_and_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"hello\n")
    assert digest(tmp_path / "file", 40) == "ce013625030ba8dba906f756967f9e9ca394464a" == git_hash(b"hello\n")
    expected = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    assert digest(tmp_path / "file") == expected == sha256(b"hello\n")


# -- interrupts ----

INTERRUPTED = """
import json, random, shutil, signal, sys, time
from pathlib import Path
from bloomlab.errors import CheckpointError
from bloomlab.hub import digest, find
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


def test_a_source_can_be_passed_where_a_folder_can(hub: FakeHub) -> None:
    source = find(REPO, CheckpointError)
    assert isinstance(source, Source) and BloomConfig.from_pretrained(source).n_layer == 3
    assert hub.asked["GET info"] == 1
    assert json.loads((source.folder / "config.json").read_text())["n_layer"] == 3
    assert re.fullmatch("[0-9a-f]{40}", source.commit)


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
        monkeypatch.setattr("bloomlab.hub_client.WAIT", 60)
        folder = find(REPO, CheckpointError, cache_dir=tmp_path / "cache").fetch("config", "tokenizer", "weights")
        assert len([name for name in large.asked if name.startswith("GET model-0")]) >= 4
        assert all(count == 1 for name, count in large.asked.items() if name.startswith("GET model-0"))
    assert all_whole(tmp_path / "cache")
    run = subprocess.run(
        [sys.executable, "-c", PEAK, str(folder), "float16"], capture_output=True, text=True, check=True
    )
    assert 0.8 < float(run.stdout) < 1.15
