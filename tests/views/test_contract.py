"""The contract of page and Python: what each panel says it has is what it gives, and all that its module asks for."""

import json
import re
from typing import Any

import pytest

from bloomlab import checks
from bloomlab.lab import Lab
from bloomlab.tracing.edits import zero
from bloomlab.views.shared.assets import folder
from bloomlab.views.shared.panel import SELECTION
from bloomlab.views.view import View
from tests.tasks.task_heads import random_lab
from tests.views.lone import TITLES

TEXT = "Leo 😀 lives."
WIDTHS = {"float32": 4, "int32": 4, "uint8": 1}
BEFORE = {"before", "ids_before", "language_before", "tags_before", "ends_before"}
DIFFERENCE = {"norms_before", "written_before", "moved", "loss", "loss_before", *BEFORE}  # what only a difference has
ONE_RUN = {"scores"}  # and what it does not need
SHARED = {"editable", "heard", *SELECTION, "live", "scale", "picture", "run", "runs", "state", "tab", "wished",
          "worth"}  # fmt: skip


@pytest.fixture(scope="module")
def lab() -> Lab:
    return random_lab()


def opened(lab: Lab, name: str, edit: Any = None) -> View:
    view = lab.explore(TEXT, edit=edit)
    view.tab = name
    if name == "attention":
        view.attention.pattern = "rollout"
    return view


def axis_sizes(view: View, name: str) -> dict[str, int]:
    picture, panel = getattr(view, f"{name}_picture"), getattr(view, name)
    tokens, layers, heads = len(picture["tokens"]), picture["layers"], picture["heads"]
    states = len(picture.get("states", [])) or 1 + 2 * layers
    window = panel.window if name in ("hidden", "predictions") else panel.exact if name == "attention" else {}
    block = -(-tokens // picture.get("block", 1))
    return {
        "layer": layers,
        "head": heads,
        "pos": tokens,
        "cell": tokens * (tokens + 1) // 2,
        "block_cell": block * (block + 1) // 2,
        "count": window.get("count", 0),
        "top": window.get("top", 0),
        "state": states,
        "half": states * (states + 1) // 2,
        "part": states + 1,  # what was added on the way to each state, and the rest
        "step": 2 * layers,
        "pattern": len(panel.averaged["patterns"]) if name == "attention" else 0,
        "what": 4,
    }


@pytest.mark.slow
@pytest.mark.parametrize("run", ["what if", "difference"])
@pytest.mark.parametrize("name", TITLES)
def test_every_piece_has_the_size_that_its_axes_say(lab: Lab, name: str, run: str) -> None:
    view = opened(lab, name, edit={"h.1.attn.mixed": zero(head=2)} if run == "difference" else None)
    if run == "difference":
        view.run = run
        if not view.panels[name].compares:
            assert "draws no difference" in view.troubles[name]
            return
    sizes = axis_sizes(view, name)
    for piece, of in view.panels[name].pieces.items():
        value = getattr(getattr(view, name), piece)
        if (piece in DIFFERENCE) == (run != "difference") and (piece in DIFFERENCE or piece in ONE_RUN):
            assert value == b""
            continue
        if not of.dtype:
            assert type(value) is type(of.empty)
            json.dumps(value)
            continue
        numbers = 1
        for axis in of.axes.split():
            if axis == "label":  # as many as that head has
                numbers *= len(getattr(view, f"{name}_picture")["labels"][piece.removesuffix("_before")])
            else:
                numbers *= int(axis) if axis.isdigit() else sizes[axis]
        assert len(value) == numbers * WIDTHS[of.dtype] > 0, piece


@pytest.mark.slow
@pytest.mark.parametrize("name", TITLES)
def test_a_panel_gives_its_pieces_and_settings_and_nothing_else(lab: Lab, name: str) -> None:
    view = opened(lab, name)
    panel, shown = view.panels[name], view._shown(view.panels[name])
    assert view.trace is not None
    known = {"picture", *panel.pieces, *panel.settings()}
    for given in (panel.numbers(view.trace, shown), panel.saved(view.trace, shown)):
        assert given.keys() <= known
    moved = {**shown, "layer": 0, "head": 1, "query": 2, "key": 1}
    assert panel.more(view.trace, moved, "layer").keys() <= panel.pieces.keys()
    assert not panel.more(view.trace, shown, "tab")  # the page has all it needs


@pytest.mark.parametrize("name", TITLES)
def test_the_module_asks_for_what_there_is_and_leaves_nothing_unused(lab: Lab, name: str) -> None:
    panel = opened(lab, name).panels[name]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted((folder() / name).glob("*.js")))
    text += (folder() / "lib" / "states.js").read_text(encoding="utf-8") if name == "hidden" else ""
    asked = set(re.findall(r'(?:stage\.)?\bget\("(\w+)"\)', text))
    known = {*panel.pieces, *panel.settings()}
    assert asked <= known | SHARED, asked - known - SHARED
    heard = set(re.findall(r"change:(\w+)", text))
    assert heard <= known | SHARED
    unused = known - asked - heard - {"language", "tags"}  # these two are asked for by the head's name
    assert not {piece for piece in unused if piece not in text}


def test_views_of_every_kind_bring_one_style_sheet(lab: Lab) -> None:
    """anywidget keeps one for each class, the last that came, and in a page a later one comes before an earlier one."""
    views = [lab.map(part="attn", small=True), lab.attention(TEXT), lab.explore(TEXT), checks.cover("How many?", 3)]
    (sheet,) = {view._css for view in views}
    for name in [*TITLES, "explorer", "cover"]:
        assert sheet.count(f':where([data-panel="{name}"])') == 1
