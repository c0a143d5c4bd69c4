"""A folder that changes while it is loaded: what was there before comes, or what is there now, or an error of ours."""

import json
import os
import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Self

import pytest
import torch
from safetensors.torch import save_file

import bloomlab
from bloomlab.errors import BloomlabError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.weights.tensor_file import open_file
from tests.hostile.attacks import older_folder
from tests.hostile.folders import honest_folder, sharded_folder

pytestmark = pytest.mark.slow

TEXT = "h e"
LAYOUTS = {
    "a model": (honest_folder, 20, False),
    "a lab": (honest_folder, 20, True),
    "several files": (sharded_folder, 10, False),
    "a .bin": (older_folder, 5, True),
}
"""How a folder is made, how many changes of any kind are tried, and whether its words are loaded, too."""
STEPS = {"fetch", "read_bytes", "open_files", "places", "match", "read_state"}
"""Functions between which a load has read one file and not yet the next."""


class Watch:
    """Does something once, when a load comes to its n-th step."""

    def __init__(self, moment: int, act: Callable[[], object]) -> None:
        self.left, self.act = moment, act

    def __enter__(self) -> Self:
        sys.setprofile(self.heard)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def heard(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_name in STEPS:
            self.left -= 1
            if self.left == -1:
                sys.setprofile(None)
                self.act()


def another(folder: Path) -> Path:
    """The same files of another model: other weights, another config of the same shapes, other ids of its words."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "layer_norm_epsilon": 1e-3}))
    for path in [*folder.glob("*.safetensors"), *folder.glob("*.bin")]:
        stored = {name: each.load(each.dtype).flip(0).contiguous() for name, each in open_file(path).items()}
        save_file(stored, path) if path.suffix == ".safetensors" else torch.save(stored, path)
    for name in ("tokenizer.json", "vocab.json"):
        if (folder / name).exists():
            said = json.loads((folder / name).read_text())
            words = said if name == "vocab.json" else said["model"]["vocab"]
            words["h"], words["e"] = words["e"], words["h"]
            (folder / name).write_text(json.dumps(said))
    return folder


def opened(folder: Path, whole: bool) -> str:
    """What a load gives, of the model alone or with its words, in a few numbers; or its error."""
    try:
        lab = bloomlab.load(folder, dtype="auto") if whole else None
        model = lab.model if lab else BloomForCausalLM.from_pretrained(folder, dtype="auto")
        ids = lab.tokenizer.encode(TEXT) if lab else []
        numbers = [tensor.flatten()[[0, -1]].tolist() for tensor in model.parameters()]
        return f"{model.config.layer_norm_epsilon} {ids} {numbers}"
    except BloomlabError as error:
        return f"ours: {error}"


def put(source: Path, place: Path) -> None:
    """Move a copy over a file, as a careful program does."""
    draft = place.with_name(".draft")
    shutil.copy(source, draft)
    os.replace(draft, place)


def cut(place: Path) -> None:
    """A file with half the bytes, in its place."""
    draft = place.with_name(".draft")
    draft.write_bytes(place.read_bytes()[: place.stat().st_size // 2])
    os.replace(draft, place)


def changes(folder: Path, new: Path, chance: random.Random) -> list[Callable[[], object]]:
    """What can happen to the folder: all files are replaced, in one order or the other, or something befalls one."""
    files, name = sorted(new.iterdir()), chance.choice(sorted(path.name for path in new.iterdir()))
    return [
        lambda: [put(path, folder / path.name) for path in files],
        lambda: [put(path, folder / path.name) for path in reversed(files)],
        lambda: put(new / name, folder / name),
        lambda: cut(folder / name),
        lambda: (folder / name).unlink(),
        lambda: shutil.rmtree(folder),
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_that_changes_while_it_is_loaded_is_the_old_or_the_new(tmp_path: Path, layout: str) -> None:
    make, count, whole = LAYOUTS[layout]
    old = make(tmp_path / "old")
    new = another(shutil.copytree(old, tmp_path / "new"))
    before, chance, came = opened(old, whole), random.Random(f"changing {layout}"), Counter[str]()
    assert not before.startswith("ours") and not opened(new, whole).startswith("ours") and before != opened(new, whole)
    with Watch(10**6, lambda: None) as watch:
        opened(old, whole)
    moments = 10**6 - watch.left
    assert moments > 5
    for number in range(moments + count):  # all files are replaced at every moment; and then, whatever comes
        folder = shutil.copytree(old, tmp_path / f"{number}")
        kinds = changes(folder, new, chance)
        with Watch(*((number, kinds[0]) if number < moments else (chance.randrange(moments), chance.choice(kinds)))):
            found = opened(folder, whole)
        after = opened(folder, whole) if folder.exists() else "ours: gone"
        kind = "old" if found == before else "new" if found == after else "ours" if found.startswith("ours") else ""
        assert kind, (number, found, before, after)
        came[kind] += 1
        shutil.rmtree(folder, ignore_errors=True)
    assert came["ours"] > 2 and came["old"] + came["new"], came
