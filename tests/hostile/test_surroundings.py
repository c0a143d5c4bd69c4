"""No home, a home or a temporary place that takes nothing, LC_ALL=C, and names of folders that few programs expect."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOWHERE = "/dev/null/none"  # no user, not even root, can make this folder
PLACES = {
    "spaces": b" a  b ",
    "bytes that are no text": b"caf\xe9 \xff",
    "4,000 characters": b"/".join([b"long" * 50] * 18),
    "a line break and a quote": b"a\n'b\"",
}
SAYS = "import sys; from tests.hostile.test_surroundings import everything; everything(*sys.argv[1:])"
HOMES: dict[str, tuple[dict[str, str], int]] = {
    "no home": ({}, len(PLACES)),
    "a home that takes nothing": ({"HOME": NOWHERE}, 1),
}
"""What the environment says of it, and in how many of the places it is tried."""


def calls() -> dict[str, Callable[[Path], Any]]:
    """What is done in a folder that holds a model, or where something is written."""
    import bloomlab
    from bloomlab import lessons
    from bloomlab.notebook import doctor
    from bloomlab.tracing.trace import Trace
    from bloomlab.weights.checkpoint import convert

    lab = bloomlab.load()
    view, trace = lab.attention("Leo"), lab.trace("Leo")
    return {
        "load": lambda folder: bloomlab.load(folder / "new").explore("Leo")._repr_mimebundle_(),
        "load a .bin": lambda folder: bloomlab.load(folder / "old").generate("Leo", max_new_tokens=1),
        "convert": lambda folder: convert(folder / "old"),
        "save a model": lambda folder: lab.model.save_pretrained(folder / "own"),
        "save a tokenizer": lambda folder: lab.tokenizer.save_pretrained(folder / "own"),
        "save a trace": lambda folder: Trace.load(trace.save(folder / "trace.safetensors")),
        "save a page": lambda folder: view.save(folder / "page.html"),
        "save a picture": lambda folder: view.save(folder / "page.png"),
        "lessons": lambda folder: lessons.copy_to(folder / "lessons"),
        "a home in a name": lambda folder: lessons.copy_to("~nobody-has-this-name/lessons"),
        "the doctor": lambda folder: repr(doctor.examine()),
        "a name of the hub": lambda folder: bloomlab.load("560m"),
        "a cache in a home": lambda folder: bloomlab.load("560m", cache_dir="~nobody-has-this-name/x"),
    }


def what_comes(use: Callable[[Path], Any], folder: Path) -> str:
    from bloomlab.errors import BloomlabError

    try:
        use(folder)
    except BloomlabError as error:
        return f"ours: {error}"
    except BaseException as error:
        return repr(error)
    return "done"


def everything(top: str, places: str) -> None:
    """Print what comes of each call in each place, as somebody whom the system does not know."""
    import pwd

    def unknown(user: int) -> Any:
        raise KeyError(user)

    pwd.getpwuid = unknown
    warnings.simplefilter("ignore")
    from tests.hostile.attacks import older_folder
    from tests.hostile.folders import honest_folder

    new, old = honest_folder(Path(top) / "new"), older_folder(Path(top) / "old")
    found = {}
    for name, part in list(PLACES.items())[: int(places)]:
        place = Path(os.fsdecode(os.path.join(os.fsencode(top), part)))
        for each in (new, old):
            shutil.copytree(each, place / each.name)
        found |= {f"{name}, {what}": what_comes(use, place) for what, use in calls().items()}
    place = Path(top) / "no room"
    for each in (new, old):
        shutil.copytree(each, place / each.name)
    tempfile.tempdir = NOWHERE
    found |= {f"no room, {what}": what_comes(use, place) for what, use in calls().items()}
    print(json.dumps(found))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there, a name is a text")
@pytest.mark.parametrize("home", HOMES)
def test_in_strange_surroundings_a_call_is_done_or_says_one_sentence_of_ours(tmp_path: Path, home: str) -> None:
    said, places = HOMES[home]
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "TMPDIR", "LD_LIBRARY_PATH")}
    own = {"PYTHONPATH": str(ROOT), "LC_ALL": "C", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **said}
    command = [sys.executable, "-W", "ignore", "-c", SAYS, str(tmp_path), str(places)]
    done = subprocess.run(command, env=kept | own, cwd=ROOT, capture_output=True, text=True)
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {"all": done.stderr[-2000:]}
    others = {what: words for what, words in found.items() if words != "done" and not words.startswith("ours: ")}
    assert others == {} and max(map(len, found.values())) <= 406
    refused = {what for what, words in found.items() if words != "done"}
    asked = {f"{place}, {what}" for place in (*PLACES, "no room") for what in list(calls())[-4:]}
    assert len(found) == 13 * (places + 1) and refused <= asked | {
        f"bytes that are no text, {what}" for what in calls()
    }, found


@pytest.mark.slow
def test_no_room_for_a_moments_files_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    from bloomlab.errors import InputError
    from bloomlab.lab import Lab
    from tests.tiny_random import byte_tokenizer, random_model

    view = Lab(random_model(n_layer=1), byte_tokenizer(), name="small").attention("Leo")
    view.png = True
    monkeypatch.setattr(tempfile, "tempdir", NOWHERE)
    with pytest.raises(InputError, match=r"^cannot make a temporary folder: .*; make room for one, or name another"):
        view._repr_mimebundle_()
    assert view._file("png")["trouble"].startswith("cannot make a temporary folder")
