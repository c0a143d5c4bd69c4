"""Folders that may not be entered or listed, files that may not be read or are something else: one sentence of ours."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

import bloomlab
from bloomlab import checks, lessons
from bloomlab.errors import BloomlabError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lab import Lab
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tracing.edits import scale
from bloomlab.tracing.trace import Trace
from bloomlab.views.cover import Cover
from bloomlab.weights.checkpoint import convert
from tests.hostile.attacks import older_folder
from tests.hostile.folders import honest_folder, sharded_folder
from tests.hostile.guards import in_a_copy
from tests.hostile.in_copies import in_a_new_python
from tests.tiny_random import byte_tokenizer, random_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the calls are made by another user, in a copy of this process"),
]

LAB = Lab(random_model(), byte_tokenizer())
TRACE, VIEW = LAB.trace("Leo"), LAB.attention("Leo")
NOBODY = 65534
READ: dict[str, Callable[[Path], Any]] = {
    "load": bloomlab.load,
    "a model": BloomForCausalLM.from_pretrained,
    "a tokenizer": BloomTokenizerFast.from_pretrained,
    "a config": bloomlab.BloomConfig.from_pretrained,
    "fits": bloomlab.fits,
    "info": LAB.info,
    "a trace": lambda folder: Trace.load(folder / "trace.safetensors"),
    "a finding": lambda folder: bloomlab.finding(folder / "finding.json", LAB),
    "guesses": lambda folder: checks.report(folder / "lesson.ipynb"),
}
WRITE: dict[str, Callable[[Path], Any]] = {
    "convert": convert,
    "lessons": lessons.copy_to,
    "save a model": LAB.model.save_pretrained,
    "save a tokenizer": LAB.tokenizer.save_pretrained,
    "save a vocabulary": LAB.tokenizer.save_vocabulary,
    "save a config": LAB.model.config.save_pretrained,
    "save a trace": lambda folder: TRACE.save(folder / "trace.safetensors"),
    "save a page": lambda folder: VIEW.save(folder / "page.html"),
    "save a picture": lambda folder: VIEW.save(folder / "page.png"),
    "save a cover": lambda folder: Cover("How many?", 3).save(folder / "cover.html"),
}
KINDS = ("unreadable", "a folder", "a link to nothing", "a link to itself")
MODES = (0o000, 0o444, 0o111, 0o555)
LAYOUTS = [honest_folder, sharded_folder, older_folder]


def make_whole(top: Path) -> None:
    """A folder for each layout, with one file of everything that can be opened; as far as there everybody may come."""
    finding = LAB.finding("so", "Leo", {"embed": scale(0.5)}, n=1)
    top.chmod(0o711)
    for make in LAYOUTS:
        folder = make(top / make.__name__)
        TRACE.save(folder / "trace.safetensors")
        finding.save(folder / "finding.json")
        (folder / "lesson.ipynb").write_text('{"cells": []}')
        for use in READ.values():  # what only the first use loads, which nobody else may read
            use(folder)
    shutil.copytree(top / "older_folder", top / "once")
    for use in WRITE.values():
        use(top / "once")


def said(calls: dict[str, Callable[[Path], Any]], folder: Path) -> dict[str, str]:
    """What each call says, as somebody who may do nothing here."""

    def ask() -> dict[str, str]:
        if os.getuid() == 0:
            os.setuid(NOBODY)
        found = {}
        for name, call in calls.items():
            try:
                call(folder)
                found[name] = "done"
            except BloomlabError as error:
                found[name] = f"ours: {error}"
            except BaseException as error:
                found[name] = repr(error)
        return found

    found: dict[str, str] = in_a_copy(ask, 120)
    return found


def everything() -> dict[str, dict[str, str]]:
    """What each call says of each folder and file."""
    found = {}
    with TemporaryDirectory() as name:
        top = Path(name)
        make_whole(top)
        for layout in (make.__name__ for make in LAYOUTS):
            for mode in MODES:
                (top / layout).chmod(mode)
                found[f"{layout} {mode:o}"] = said({**READ, **WRITE}, top / layout)
                (top / layout).chmod(0o755)
            for file in sorted(path.name for path in (top / layout).iterdir()):
                for kind in KINDS:
                    shutil.rmtree(top / "changed", ignore_errors=True)
                    shutil.copytree(top / layout, top / "changed")
                    change(top / "changed" / file, kind)
                    found[f"{layout} {file} {kind}"] = said(READ, top / "changed")
    return found


def change(path: Path, kind: str) -> None:
    """Make something else of a file."""
    if kind == "unreadable":
        path.chmod(0)
        return
    path.unlink()
    path.mkdir() if kind == "a folder" else path.symlink_to(path.name if kind == "a link to itself" else "nowhere")


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, str]]:
    answer: dict[str, dict[str, str]] = in_a_new_python(__name__, "everything")
    return answer


def test_every_call_is_done_or_says_one_sentence_of_ours(found: dict[str, dict[str, str]]) -> None:
    others = [
        f"{where}, {call}: {words}"
        for where, calls in found.items()
        for call, words in calls.items()
        if words != "done" and (not words.startswith("ours") or len(words) > 406)
    ]
    assert others == [] and sum(map(len, found.values())) > 500


def test_what_may_not_be_opened_is_not_opened(found: dict[str, dict[str, str]]) -> None:
    for layout in (make.__name__ for make in LAYOUTS):
        for mode in MODES:
            refused = {call for call, words in found[f"{layout} {mode:o}"].items() if words != "done"}
            assert refused >= set(WRITE) and (mode & 0o555 == 0o555 or refused >= {"load", "a model", "a tokenizer"})
        for file in ("config.json", "trace.safetensors", "finding.json", "lesson.ipynb"):
            for kind in KINDS:
                assert any(words != "done" for words in found[f"{layout} {file} {kind}"].values()), (file, kind)
