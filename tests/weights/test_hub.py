"""From a name to the folder of its files: which names there are, and what is judged before anything is fetched."""

import json
import re
import shutil
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants

import bloomlab
from bloomlab.config import BloomConfig
from bloomlab.errors import CheckpointError, ConfigError, DownloadError, InputError, MemoryLimitError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.weights import download as hub_client
from bloomlab.weights.hub import NAMES, Source, digest, find
from tests.weights.fake_hub import (
    COMMIT,
    REPO,
    Answer,
    FakeHub,
    endless_list,
    git_hash,
    sha256,
    status,
)
from tests.weights.fetching import IDS, NOT_FOUND, OFFLINE, SHARD, all_whole, contents, fetch_all

# -- names ----


@pytest.mark.slow
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


@pytest.mark.slow
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
    with pytest.raises(DownloadError, match="it is not a BLOOM that can be opened here"):
        fetch_all()


@pytest.mark.parametrize("sha", ["main", "../../etc", "a" * 39, "A" * 40])
def test_what_is_no_commit_never_becomes_the_name_of_a_folder(sha: str) -> None:
    file = {"rfilename": "config.json", "size": 7, "blobId": "b" * 40}
    assert hub_client._read_listing({"sha": "a" * 40, "siblings": [file]})[0] == "a" * 40
    with pytest.raises(ValueError, match="no commit"):
        hub_client._read_listing({"sha": sha, "siblings": [file]})


@pytest.mark.parametrize("lie", [{"size": -1}, {"size": "7"}, {"blobId": 5}, {"rfilename": None}])
def test_a_list_of_files_that_lies_is_no_list(lie: dict[str, Any]) -> None:
    file = {"rfilename": "config.json", "size": 7, "blobId": "b" * 40}
    with pytest.raises(ValueError, match="no list of files"):
        hub_client._read_listing({"sha": "a" * 40, "siblings": [{**file, **lie}]})


def test_a_list_that_takes_too_long_is_not_waited_for(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_client, "LONGEST", -1.0)
    with pytest.raises(DownloadError, match=OFFLINE):
        fetch_all()


def test_a_download_that_nobody_waits_for_ends_with_its_next_bytes() -> None:
    stop = threading.Event()
    with hub_client.progress(REPO, [hub_client.File(10, "")], stop) as kind, kind(total=10) as bar:
        bar.update(5)
        stop.set()
        with pytest.raises(KeyboardInterrupt):
            bar.update(5)
        assert bar.n == 5


def test_a_file_larger_than_listed_is_given_up_as_it_comes() -> None:
    with hub_client.progress(REPO, [hub_client.File(10, "")], threading.Event()) as kind, kind(total=10) as bar:
        bar.update(10)
        with pytest.raises(DownloadError, match="larger than the hub's list says"):
            bar.update(1)


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_commit_and_a_cache_folder_can_be_named(hub: FakeHub, tmp_path: Path) -> None:
    lab = bloomlab.load(REPO, revision=COMMIT, cache_dir=tmp_path / "mine")
    assert all_whole(tmp_path / "mine") and contents(tmp_path / "mine")
    assert not (tmp_path / "cache").exists()
    assert f"cache_dir='{tmp_path / 'mine'}'" in lab.code


def test_a_cache_in_a_home_that_nobody_has_is_refused_without_asking(hub: FakeHub) -> None:
    with pytest.raises(DownloadError, match=r"^there is no folder to keep models in: .*; name one in cache_dir=… or"):
        bloomlab.load(REPO, cache_dir="~nobody-has-this-name/models")
    assert not hub.asked


@pytest.mark.slow
def test_the_older_layouts_are_fetched_too(hub: FakeHub, published: Path) -> None:
    state = dict(BloomForCausalLM.from_pretrained(published).named_parameters())
    torch.save({name: tensor.detach() for name, tensor in state.items()}, published.parent / "pytorch_model.bin")
    hub.files = {name: content for name, content in hub.files.items() if "model" not in name}
    hub.files["pytorch_model.bin"] = (published.parent / "pytorch_model.bin").read_bytes()
    expected = BloomForCausalLM.from_pretrained(published)(IDS).logits
    assert BloomForCausalLM.from_pretrained(REPO)(IDS).logits.equal(expected)


def test_a_source_can_be_passed_where_a_folder_can(hub: FakeHub) -> None:
    source = find(REPO, CheckpointError)
    assert isinstance(source, Source) and BloomConfig.from_pretrained(source).n_layer == 3
    assert hub.asked["GET info"] == 1
    assert json.loads((source.folder / "config.json").read_text())["n_layer"] == 3
    assert re.fullmatch("[0-9a-f]{40}", source.commit)


# -- what is checked before anything large is fetched ----


def test_a_model_too_large_for_the_memory_is_not_downloaded(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bloomlab.guards.memory.free_bytes", lambda: 1000)
    with pytest.raises(MemoryLimitError, match=r"1\.0 kB are free"):
        bloomlab.load(REPO)
    assert f"GET {SHARD}" not in hub.asked


def test_a_model_that_lacks_a_file_is_no_bloom(hub: FakeHub) -> None:
    del hub.files["config.json"]
    with pytest.raises(DownloadError, match=r"has no 'config\.json': it is not a BLOOM that can be opened here"):
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


@pytest.mark.slow
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
