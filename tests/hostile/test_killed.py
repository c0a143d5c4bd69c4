"""A save of several files is killed at every moment: the old is there or the new, whole. And two programs at once."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch

from bloomlab.errors import CheckpointError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.text.tokenizer import BloomTokenizerFast
from tests.hostile.in_copies import in_a_new_python
from tests.text.small_tokenizer import hub_folder
from tests.tiny_random import byte_tokenizer, random_model

ROOT = Path(__file__).parents[2]
MOMENTS = ("open", "os.rename", "os.remove", "os.chmod", "shutil.move", "os.truncate")
OLD, NEW = random_model(seed=0), random_model(seed=1)
SIZES = {"one": "50GB", "several": "60KB", "more": "40KB"}
PAIRS = [("one", "one"), ("one", "several"), ("several", "one"), ("several", "several"), ("several", "more")]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="each kill is that of a copy of this process"),
]


def killed_at(moment: int, save: Callable[[], object]) -> bool:
    """Save in a copy of this process, which ends before it touches the files for this time; whether it came to that."""
    child = os.fork()
    if child == 0:
        left = [moment]

        def watch(event: str, _: object) -> None:
            if event in MOMENTS:
                left[0] -= 1
                if left[0] < 0:
                    os._exit(9)

        try:
            torch.set_num_threads(1)
            sys.addaudithook(watch)
            save()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def which(folder: Path) -> str:
    """Whose weights are in the folder; it must be one model's, whole."""
    opened = dict(BloomForCausalLM.from_pretrained(folder).named_parameters())
    for name, model in (("old", OLD), ("new", NEW)):
        if all(opened[key].equal(value) for key, value in model.named_parameters()):
            return name
    return "neither"


def models_after_kills(folder: str, before: str, after: str) -> list[str]:
    """Whose weights are there after a kill at each moment of a save over another."""
    found: list[str] = []
    while True:
        place = Path(folder) / str(len(found))
        OLD.save_pretrained(place, SIZES[before])
        if not killed_at(len(found), lambda place=place: NEW.save_pretrained(place, SIZES[after])):  # type: ignore[misc]
            return [*found, which(place)]
        found.append(which(place))
        NEW.save_pretrained(place, SIZES[after])  # what is left there is in nobody's way
        found[-1] += "" if which(place) == "new" else ", and then not the new"


def tokenizers_after_kills(folder: str) -> list[str]:
    """Whose tokens are there after a kill at each moment."""
    first = Path(folder) / "first"
    first.mkdir()
    old, new = BloomTokenizerFast.from_pretrained(hub_folder(first)), byte_tokenizer()
    names, found = {len(old): "old", len(new): "new"}, []
    while True:
        place = Path(folder) / str(len(found))
        old.save_pretrained(place)
        killed = killed_at(len(found), lambda place=place: new.save_pretrained(place))  # type: ignore[misc]
        found.append(names.get(len(BloomTokenizerFast.from_pretrained(place)), "neither"))
        if not killed:
            return found


def everything() -> dict[str, list[str]]:
    """Of each kind of save, what is there after a kill at each moment; the last was not killed."""
    with TemporaryDirectory() as folder:
        found = {f"{a} to {b}": models_after_kills(f"{folder}/{a}-{b}", a, b) for a, b in PAIRS}
        return found | {"a tokenizer": tokenizers_after_kills(folder)}


def test_a_save_that_is_killed_leaves_the_old_or_the_new() -> None:
    kinds = in_a_new_python(__name__, "everything")
    assert len(kinds) == 6
    for kind, found in kinds.items():
        assert len(found) > 4 and found[-1] == "new", kind
        assert found == sorted(found, reverse=True) and set(found) == {"old", "new"}, (kind, found)


SAVES = """
import sys
from tests.tiny_random import random_model
model = random_model(seed=int(sys.argv[1]))
for turn in range(12):
    model.save_pretrained(sys.argv[2], ("60KB", "50GB", "40KB")[turn % 3])
"""


def test_two_programs_that_save_into_one_folder_leave_one_model_whole(tmp_path: Path) -> None:
    """And a third that opens it meanwhile gets one of the two, or is told to load again."""
    OLD.save_pretrained(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    programs = [
        subprocess.Popen([sys.executable, "-c", SAVES, str(seed), str(tmp_path)], env=environment) for seed in (0, 1)
    ]
    found = []
    try:
        while any(program.poll() is None for program in programs):
            try:
                found.append(which(tmp_path))
            except CheckpointError as error:
                found.append(str(error))
    finally:
        for program in programs:
            program.kill()
            program.wait()
    assert [program.returncode for program in programs] == [0, 0]
    assert which(tmp_path) in ("old", "new")
    assert {"old", "new"} <= set(found) and "neither" not in found
    left = [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert left == [] and (tmp_path / "config.json").exists()
    index = tmp_path / "model.safetensors.index.json"
    if index.exists():
        shards = {path.name for path in tmp_path.glob("*.safetensors")}
        assert set(json.loads(index.read_text())["weight_map"].values()) == shards
