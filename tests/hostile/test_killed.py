"""A save of several files is killed at every moment: the old is there or the new, whole. And two programs at once."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch

from bloomlab import lessons
from bloomlab.errors import CheckpointError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lab import Lab
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tiny.train import Run
from bloomlab.tracing.edits import scale
from bloomlab.views.cover import Cover
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


def killed_at(moment: int, save: Callable[[], object], inside: str = "") -> bool:
    """Save in a copy of this process, which ends before it touches the files for this time; whether it came to that.

    With `inside`, only files of this folder count.
    """
    child = os.fork()
    if child == 0:
        left = [moment]

        def watch(event: str, what: object) -> None:
            if event in MOMENTS and inside in str(what):
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


def killed_after(size: int, save: Callable[[], object]) -> bool:
    """Save in a copy of this process, killed when a file gets more bytes than this; whether it came to that."""
    child = os.fork()
    if child == 0:
        try:
            torch.set_num_threads(1)
            import resource  # a system without copies of a process has none

            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            save()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGXFSZ


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
    names = {len(old): "old", len(new): "new"}
    found: list[str] = []
    while True:
        place = Path(folder) / str(len(found))
        old.save_pretrained(place)
        killed = killed_at(len(found), lambda place=place: new.save_pretrained(place))  # type: ignore[misc]
        found.append(names.get(len(BloomTokenizerFast.from_pretrained(place)), "neither"))
        if not killed:
            return found


def savers() -> dict[str, tuple[str, Callable[[Path, int], object]]]:
    """What is saved to one file: its name, and how to write one of two contents."""
    labs = [Lab(model, byte_tokenizer(), name="small") for model in (OLD, NEW)]
    texts = ("Leo", "Bo")
    views = [lab.attention(text) for lab, text in zip(labs, texts, strict=True)]
    claims = [lab.finding(text, text, {"embed": scale(0.5)}, n=1) for lab, text in zip(labs, texts, strict=True)]
    states = [Run({"steps": 1}, model, [], []) for model in (OLD, NEW)]
    return {
        "a trace": ("trace.safetensors", lambda path, which: labs[which].trace(texts[which]).save(path)),
        "a page": ("page.html", lambda path, which: views[which].save(path)),
        "a live page": ("live.html", lambda path, which: views[which].save(path, live=True)),
        "a picture": ("view.svg", lambda path, which: views[which].save(path)),
        "a finding": ("finding.json", lambda path, which: claims[which].save(path)),
        "a cover": ("cover.html", lambda path, which: Cover(f"Where is {texts[which]}?", 3).save(path)),
        "a writing": ("writing.html", lambda path, which: labs[which].write(texts[which]).save(path)),
        "a training state": ("state.pt", lambda path, which: states[which].keep(path, which)),
    }


def content(path: Path) -> object:
    """What is in a file, to be told from another.

    A page and a picture may differ in the names that are made up for them, an archive in the name it has inside.
    """
    data = path.read_bytes()
    if path.suffix == ".pt":
        return torch.load(path, weights_only=True)["done"]
    made_up = path.suffix in (".html", ".svg")
    return (len(data), data.count(b"Bo"), data.count(b"Leo")) if made_up else data


def files_after_kills(folder: str) -> dict[str, list[str]]:
    """Of each saver, which content is there after a kill in the midst of writing, and at each moment."""
    found: dict[str, list[str]] = {}
    for kind, (name, save) in savers().items():
        path = Path(folder) / kind / name
        path.parent.mkdir()
        save(path, 1)
        new = content(path)
        save(path, 0)
        old, half = content(path), path.stat().st_size // 2
        again = partial(save, path, 1)
        kills = [*(partial(killed_after, size) for size in (0, half))]
        kills += [partial(killed_at, moment, inside=str(path.parent)) for moment in range(99)]
        found[kind] = []
        for kill in kills:
            killed, now = kill(save=again), content(path)
            found[kind].append("old" if now == old else "new" if now == new else "neither")
            if not killed:
                break
            save(path, 0)
    return found


def lessons_after_kills(folder: str) -> list[str]:
    """Whether each lesson is whole or not there at all after a kill at each moment, and all are there in the end."""
    files = [path for ending in ("*.ipynb", "*.md") for path in lessons.folder().glob(ending)]
    whole = {path.name: path.read_bytes() for path in files}
    found = []
    for moment in range(0, 999, 7):
        place = Path(folder) / str(moment)
        killed = killed_at(moment, lambda place=place: lessons.copy_to(place), str(place))  # type: ignore[misc]
        there = [path for path in place.glob("[!.]*") if path.name != lessons.NOTE] if place.exists() else []
        good = all(whole[path.name] == path.read_bytes() for path in there)
        again = lessons.copy_to(place)
        good = good and not again.kept and len(again.new) + len(again.same) == len(whole)
        found.append("whole" if good else f"killed at {moment}: {again}")
        if not killed:
            return found
    return [*found, "no end"]


def everything() -> dict[str, list[str]]:
    """Of each kind of save, what is there after a kill at each moment; the last was not killed."""
    with TemporaryDirectory() as folder:
        found = {f"{a} to {b}": models_after_kills(f"{folder}/{a}-{b}", a, b) for a, b in PAIRS}
        return found | {"a tokenizer": tokenizers_after_kills(folder)}


def all_else() -> dict[str, list[str]]:
    """The same of what is saved to one file, and of the lessons."""
    with TemporaryDirectory() as folder:
        return {**files_after_kills(folder), "lessons": lessons_after_kills(f"{folder}/lessons")}


def test_a_save_that_is_killed_leaves_the_old_or_the_new() -> None:
    kinds = in_a_new_python(__name__, "everything")
    assert len(kinds) == 6
    for kind, found in kinds.items():
        assert len(found) > 4 and found[-1] == "new", kind
        assert found == sorted(found, reverse=True) and set(found) == {"old", "new"}, (kind, found)


def test_a_file_that_is_saved_while_the_program_is_killed_is_the_old_or_the_new() -> None:
    kinds = in_a_new_python(__name__, "all_else")
    assert set(kinds.pop("lessons")) == {"whole"}
    for kind, found in kinds.items():
        assert found[-1] == "new" and set(found) == {"old", "new"} and found == sorted(found, reverse=True), (
            kind,
            found,
        )


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
