"""A model whose parts are in several places is the same model: planned by accelerate, or named."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import bloomlab
from bloomlab import zero
from bloomlab.errors import InputError, MemoryLimitError, MissingPackageError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.heads.sequence_classification import BloomForSequenceClassification
from bloomlab.tracing.record import weights_hash
from bloomlab.weights import devices
from tests.tiny_random import random_ids, random_model

HERE = Path(__file__).parents[2]
DISK = {"transformer.h.0": "cpu", "transformer.h.1": "disk", "transformer.h.2": "disk", "": "cpu"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random_model().save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_parts_on_the_disk_compute_as_those_in_memory_do(folder: Path) -> None:
    plain, placed = (BloomForCausalLM.from_pretrained(folder, device_map=places) for places in (None, DISK))
    ids = random_ids()
    assert placed.device_map == DISK and plain.device_map is None
    assert placed(ids, labels=ids, output_attentions=True).loss.equal(plain(ids, labels=ids).loss)
    assert placed.generate(ids, max_new_tokens=4).equal(plain.generate(ids, max_new_tokens=4))
    past = placed(ids, use_cache=True).past_key_values
    assert placed.generate(torch.cat([ids, ids[:, :1]], 1), past_key_values=past, max_new_tokens=2).shape == (2, 8)
    assert weights_hash(placed) == weights_hash(plain)
    assert placed.lm_head.weight is placed.transformer.word_embeddings.weight


@pytest.mark.slow
def test_a_placed_model_is_copied_saved_and_trained_as_another(folder: Path, tmp_path: Path) -> None:
    placed, ids = BloomForCausalLM.from_pretrained(folder, device_map=DISK), random_ids()
    expected = placed(ids).logits
    placed.save_pretrained(tmp_path / "again")
    assert BloomForCausalLM.from_pretrained(tmp_path / "again")(ids).logits.equal(expected)
    twin = copy.deepcopy(placed)
    torch.nn.init.zeros_(twin.lm_head.weight)
    assert not twin(ids).logits.any() and placed(ids).logits.equal(expected)
    placed.train()(ids, labels=ids).loss.backward()
    assert all(weight.grad is not None for weight in placed.parameters())


def test_a_head_that_is_new_goes_to_its_place(folder: Path) -> None:
    with pytest.warns(UserWarning, match="made new"):
        model = BloomForSequenceClassification.from_pretrained(folder, device_map={"": "cpu"}, num_labels=3)
    assert model(random_ids(batch=1)).logits.shape == (1, 3)


def test_what_is_placed_on_the_disk_needs_no_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = BloomForCausalLM.from_pretrained(folder)(random_ids()).logits
    monkeypatch.setenv("MEM_LIMIT", "1000")
    with pytest.raises(MemoryLimitError):
        BloomForCausalLM.from_pretrained(folder, device_map={"": "cpu"})
    with pytest.warns(UserWarning, match=r"its weights stay in their file, .* s a pass"):
        placed = BloomForCausalLM.from_pretrained(folder, device_map={"": "disk"})
    with pytest.warns(UserWarning, match="stay in their file"):  # planned so, too
        planned = BloomForCausalLM.from_pretrained(folder, device_map="auto")
    monkeypatch.delenv("MEM_LIMIT")
    assert planned.device_map == {"": "disk"}
    assert placed(random_ids()).logits.equal(expected) and planned(random_ids()).logits.equal(expected)


def test_accelerate_plans_with_the_memory_it_is_told(folder: Path) -> None:
    plain = BloomForCausalLM.from_pretrained(folder)
    size = sum(tensor.nbytes for tensor in plain.parameters())
    placed = BloomForCausalLM.from_pretrained(folder, device_map="auto", max_memory={"cpu": size * 3 // 4})
    assert placed.device_map is not None and set(placed.device_map.values()) == {"cpu", "disk"}
    assert placed(random_ids()).logits.equal(plain(random_ids()).logits)
    assert BloomForCausalLM.from_pretrained(folder, device_map="auto", max_memory={"cpu": "1GB"}).device_map == {
        "": "cpu"
    }


@pytest.mark.slow
def test_views_and_edits_of_a_model_in_several_places_are_the_same() -> None:
    one, lab = bloomlab.load(), bloomlab.load(dtype="auto", device_map={"transformer.h.2": "disk", "": "cpu"})
    assert lab.code == "lab = bloomlab.load(dtype='auto', device_map={'transformer.h.2': 'disk', '': 'cpu'})"
    one = bloomlab.load(dtype="auto")
    text, edit = "Leo lives in Oslo.", {"h.2.attn.mixed": zero(head=3)}
    for changed in ({}, edit):
        ours, theirs = (each.trace(text, ["*"], changed) for each in (lab, one))
        assert ours.names == theirs.names and all(ours[name].equal(theirs[name]) for name in ours.names)
    assert repr(lab.explore(text, edit=edit)) == repr(one.explore(text, edit=edit))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"device_map": "balanced"}, "device_map must be 'auto' or"),
        ({"device_map": {}}, "device_map must be 'auto' or"),
        ({"device_map": {"transformer.g.0": "cpu", "": "cpu"}}, r"did you mean 'transformer\.h\.0'"),
        ({"device_map": {"transformer.h.0.mlp": "cpu", "": "cpu"}}, "a block stays on one device"),
        ({"device_map": {"transformer": "cpu", 3: "cpu"}}, "device_map names 3"),
        ({"device_map": {"transformer.h": "cpu"}}, r"no place for transformer\.word_embeddings"),
        ({"device_map": {"": "gpu"}}, "'cpu' or 'disk', but got 'gpu'"),
        ({"device_map": {"": True}}, "'cpu' or 'disk', but got True"),
        ({"device_map": {"": 0}}, "'cpu' or 'disk', but got 0"),
        ({"device_map": {"": "cpu"}, "max_memory": {"cpu": 1}}, "leave it out where places are named"),
        ({"device_map": "auto", "max_memory": {"cpu": "much"}}, "max_memory does not fit"),
        ({"device_map": "auto", "max_memory": {"cpu": -1}}, "max_memory must give bytes"),
        ({"device_map": "auto", "max_memory": {"gpu": 1}}, "'cpu' or 'disk', but got 'gpu'"),
        ({"device_map": "auto", "max_memory": "1GB"}, "max_memory must be"),
        ({"max_memory": {"cpu": 1}}, "device_map='auto' plans with; add it"),
        ({"device_map": "auto", "device": "cpu"}, "choose one of them"),
        ({"device_map": "auto", "allow": "slow"}, "leave allow out"),
        ({"device_map": "auto", "dtype": "int8"}, "int8 makes others"),
        ({"device_map": {"": "disk"}, "dtype": "bfloat16"}, r"the files hold float32; choose dtype='auto'"),
    ],
)
def test_what_cannot_be_placed_is_refused_in_words(folder: Path, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        BloomForCausalLM.from_pretrained(folder, **asked)
    assert len(str(caught.value)) < 400


def test_a_plan_needs_accelerate_and_named_places_do_not(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'bloomlab\[large\]'"):
        BloomForCausalLM.from_pretrained(folder, device_map="auto")
    assert BloomForCausalLM.from_pretrained(folder, device_map={"": "cpu"}).device.type == "cpu"
    for asked in ({"engines": 2}, {"positions": "none"}, {"revision": "step1200"}):
        with pytest.raises(InputError, match="device_map=… places one model of one process"):
            bloomlab.load(device_map="auto", **asked)


def test_what_is_lent_is_a_copy_and_gradients_find_the_way_back() -> None:
    part, x = torch.nn.Linear(3, 2), torch.ones(1, 3)
    own = part.weight
    borrower = devices._lent(part, torch.device("cpu"))
    borrower(x).sum().backward()
    assert part.weight is own and own.grad is not None and own.grad.equal(torch.ones(2, 3))
    assert devices._lent(part, torch.device("meta")).weight.is_meta and not part.weight.is_meta


@pytest.mark.slow  # it looks at all views of four models
def test_two_cards_and_weights_that_wait_beside_them_give_the_same() -> None:
    """On pretended cards, in a process of their own: torch would know them for good."""
    run = [sys.executable, "-W", "error", "-m", "tests.weights.on_two_cards"]
    done = subprocess.run(run, cwd=HERE, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines() == ["one card", "two cards", "lent from the CPU", "the head elsewhere"]
