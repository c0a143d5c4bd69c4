"""bloomlab against transformers 4.57.6, which still has what only the older documentation pages describe.

It lives in an environment of its own, so it answers from another process, through files: v4/scenarios.py says what
both are asked. What departs from it on purpose is tested by name, below.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import bloomlab
from bloomlab.config import BloomConfig
from bloomlab.errors import InputError
from bloomlab.model.alibi import alibi_bias, key_positions, slopes
from bloomlab.text.tokenizer import BloomTokenizerFast
from tests.parity.pairs import randomise
from tests.parity.v4 import scenarios
from tests.text.small_tokenizer import TEXTS, hub_folder

PYTHON = Path(__file__).parents[2] / ".venv-v4" / "bin" / "python"
SIZES: dict[str, Any] = {"vocab_size": 101, "hidden_size": 48, "n_layer": 3, "n_head": 6, "pad_token_id": 3}
LABELS = {"BloomForSequenceClassification": 3, "BloomForTokenClassification": 5}
DEPARTURES = {  # and what needs more than the same question
    "a_prompt_s_cache",
    "a_wrong_cache_position",
    "alibi",
    "an_older_pair_of_files",
    "position_ids",
    "signatures",
    "slow_but_exact",
    "surprises",
    "what_was_saved",
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints and a tokenizer, written by bloomlab, and then the answers of transformers 4."""
    if not PYTHON.exists():
        reason = "there is no .venv-v4, the environment with transformers 4; `make test` makes it"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    place = tmp_path_factory.mktemp("v4")
    for seed, name in enumerate(scenarios.CLASSES):
        model = getattr(bloomlab, name)(BloomConfig(**SIZES, num_labels=LABELS.get(name, 2)))
        randomise(model, seed)
        model.save_pretrained(place / name)
    for n_head, width in scenarios.WIDTHS.items():
        model = bloomlab.BloomForCausalLM(BloomConfig(**SIZES | {"n_head": n_head, "hidden_size": width}))
        randomise(model, n_head)
        model.save_pretrained(place / f"{n_head} heads")
    wide = bloomlab.BloomForCausalLM(BloomConfig(vocab_size=101, hidden_size=224, n_layer=2, n_head=112))
    randomise(wide)
    wide.save_pretrained(place / "112 heads")
    (place / "tokenizer").mkdir()
    BloomTokenizerFast.from_pretrained(hub_folder(place / "tokenizer")).save_vocabulary(place)
    (place / "texts.json").write_text(json.dumps(TEXTS), encoding="utf-8")

    done = subprocess.run([PYTHON, scenarios.__file__, place], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture(scope="module")
def reference(folder: Path) -> dict[str, dict[str, Any]]:
    """What transformers 4 answered, by scenario."""
    everything = {**json.loads((folder / "answers.json").read_text()), **load_file(folder / "answers.safetensors")}
    answers: dict[str, dict[str, Any]] = {name: {} for name in scenarios.SCENARIOS}
    for key, value in everything.items():
        name, _, answer = key.partition("/")
        answers[name][answer] = value
    return answers


def assert_equal(ours: dict[str, Any], theirs: dict[str, Any], rtol: float = 0) -> None:
    assert ours.keys() == theirs.keys()
    for key, expected in theirs.items():
        if isinstance(expected, torch.Tensor):
            torch.testing.assert_close(
                ours[key], expected, atol=2e-5, rtol=rtol, msg=lambda text, key=key: f"{key}: {text}"
            )
        else:
            assert scenarios.plain(ours[key]) == expected, key


@pytest.mark.parametrize("name", [name for name in scenarios.SCENARIOS if name not in DEPARTURES])
def test_both_answer_the_same(name: str, folder: Path, reference: dict[str, Any]) -> None:
    ours = scenarios.SCENARIOS[name](bloomlab, folder)
    assert_equal(ours, reference[name], rtol=1e-4 if name.startswith("gradients") else 0)


def test_the_forward_passes_begin_with_the_documented_names_in_their_order(folder: Path, reference: Any) -> None:
    ours = scenarios.signatures(bloomlab, folder)
    for name, expected in reference["signatures"].items():
        assert scenarios.plain(ours[name])[: len(expected)] == expected, name


def test_each_library_opens_what_the_other_saved(folder: Path, reference: Any) -> None:
    ours = scenarios.what_was_saved(bloomlab, folder)
    assert_equal(ours, reference["what_was_saved"])  # theirs were opened from what we saved
    assert_equal(scenarios.what_was_saved(bloomlab, folder / "saved by transformers"), reference["what_was_saved"])


@pytest.mark.parametrize("n_head", scenarios.HEAD_COUNTS)
def test_alibi_equals_the_reference(n_head: int, reference: Any) -> None:
    mask = scenarios.padded("left")[1]
    ours = alibi_bias(torch.tensor(slopes(n_head)), key_positions(mask))
    torch.testing.assert_close(ours, reference["alibi"][str(n_head)], atol=0, rtol=1e-6)


@pytest.mark.parametrize("layout", ["ours", "4-D tuples", "older 3-D tuples"])
def test_a_cache_in_any_documented_layout_goes_on_as_the_reference_does(
    layout: str, folder: Path, reference: Any
) -> None:
    theirs = reference["a_prompt_s_cache"]
    if layout == "ours":
        assert_equal(scenarios.a_prompt_s_cache(bloomlab, folder), theirs)
        return
    past = tuple((theirs[f"keys.{i}"], theirs[f"values.{i}"]) for i in range(3))
    if layout == "older 3-D tuples":  # (batch · head, head_dim, key) and (batch · head, key, head_dim)
        past = tuple((keys.flatten(0, 1).mT, values.flatten(0, 1)) for keys, values in past)
    model = scenarios.opened(bloomlab, folder, "BloomForCausalLM")
    logits = model(scenarios.ids()[:, 5:], past_key_values=past).logits
    torch.testing.assert_close(logits, theirs["logits"], atol=2e-5, rtol=0)


# Where we depart from it on purpose


def test_only_a_call_that_passes_position_ids_is_warned(folder: Path, reference: Any) -> None:
    """The reference also warns whoever asks a question without them."""
    ours, theirs = scenarios.position_ids(bloomlab, folder), reference["position_ids"]
    unasked = "BloomForQuestionAnswering.without.warnings"
    assert theirs.pop(unasked) == ["FutureWarning"]
    assert ours.pop(unasked) == []
    assert_equal(ours, theirs)


def test_sums_over_slices_keep_the_biases_that_the_reference_forgets(folder: Path, reference: Any) -> None:
    ours, theirs = scenarios.slow_but_exact(bloomlab, folder), reference["slow_but_exact"]
    for slices in ("2", "4"):
        forgotten = theirs.pop(f"with biases.{slices}")
        assert (forgotten - theirs["with biases.1"]).abs().max() > 0.1
        torch.testing.assert_close(ours.pop(f"with biases.{slices}"), ours["with biases.1"], atol=2e-5, rtol=0)
    assert_equal(ours, theirs)  # the fast way, and everything without biases


def test_cache_positions_that_do_not_follow_the_past_are_refused(folder: Path, reference: Any) -> None:
    """The reference lets every column see the next one then, without a word."""
    theirs = reference["a_wrong_cache_position"]
    assert (theirs["right"] - theirs["wrong"]).abs().max() > 0.1
    with pytest.raises(InputError, match="cache_position must be 0 to 8"):
        scenarios.a_wrong_cache_position(bloomlab, folder)


def test_the_older_pair_of_files_opens_here_and_not_there(folder: Path, reference: Any) -> None:
    assert reference["an_older_pair_of_files"] == {"opens": False}
    assert scenarios.an_older_pair_of_files(bloomlab, folder) == {"opens": True}
    files = {"vocab_file": folder / "vocab.json", "merges_file": folder / "merges.txt"}
    tokenizer = BloomTokenizerFast(**files)
    assert [tokenizer.encode(text) for text in TEXTS] == reference["tokens_of_hard_texts"]["from a folder"]


def test_what_surprises_there_does_not_surprise_here(folder: Path, reference: Any) -> None:
    theirs, ours = reference["surprises"], scenarios.surprises(bloomlab, folder)
    assert theirs == dict.fromkeys(theirs, True)
    assert ours == dict.fromkeys(theirs, False)
