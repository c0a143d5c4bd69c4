"""The shipped model holds its floors, a model that does not is noticed, and the card says what was measured."""

import copy
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bloomlab.tiny import evaluate, folder
from bloomlab.tiny.card import CARD, filled
from bloomlab.tiny.floors import FIGURES, Floor, floors

KEPT: dict[str, Any] = json.loads((folder() / FIGURES).read_text(encoding="utf-8"))


def test_a_floor_holds_at_its_limit_and_on_the_right_side() -> None:
    assert Floor("loss", 1.32, "≤", 1.32).holds and not Floor("loss", 1.33, "≤", 1.32).holds
    assert Floor("share", 0.97, "≥", 0.97).holds and not Floor("share", 0.96, "≥", 0.97).holds
    assert not Floor("loss", float("nan"), "≤", 1.32).holds
    assert str(Floor("share", 0.5, "≥", 0.97)).endswith("FAIL")


def test_the_kept_figures_hold_every_floor() -> None:
    for floor in floors(KEPT):
        assert floor.holds, str(floor)


def test_the_card_shows_the_kept_figures_and_the_files_that_ship() -> None:
    """`python -m bloomlab.tiny.evaluate --write` puts them there."""
    assert filled(CARD.read_text(encoding="utf-8"), folder()) == CARD.read_text(encoding="utf-8")


def numbers(figures: Any, name: str = "") -> dict[str, float]:
    """Every number, by the path to it."""
    if isinstance(figures, dict | list):
        pairs = figures.items() if isinstance(figures, dict) else enumerate(figures)
        return {path: value for key, part in pairs for path, value in numbers(part, f"{name}.{key}").items()}
    return {name: figures} if isinstance(figures, int | float) else {}


@pytest.mark.slow
@pytest.mark.long
def test_the_shipped_model_reaches_what_is_kept() -> None:
    """Another processor may round one sentence in a hundred into another one, no more."""
    found = evaluate.evaluate()
    for floor in floors(found):
        assert floor.holds, str(floor)
    now, kept = numbers(found), numbers({k: v for k, v in KEPT.items() if k not in ("head_logits", "seconds")})
    assert {path for path in kept if not path.startswith(".golden")} <= set(now)
    for path, value in kept.items():
        if not path.startswith(".golden"):
            assert now[path] == pytest.approx(value, rel=0.02, abs=0.03), path


@pytest.mark.parametrize(("path", "value"), [("loss", 9.0), ("repeats", 0.1), ("absent", 0.0), ("golden_heads", 1.0)])
def test_a_figure_that_is_too_low_misses_its_floor(path: str, value: float) -> None:
    figures = copy.deepcopy(KEPT)
    figures[path] = value
    assert sum(not floor.holds for floor in floors(figures)) == 1


@pytest.mark.slow
def test_a_damaged_head_is_noticed(tmp_path: Path) -> None:
    from bloomlab.text.tokenizer import BloomTokenizerFast
    from bloomlab.tiny.heads import HEADS, open_head

    heads = {task: open_head(folder() / "heads", task) for task in HEADS}
    tokenizer = BloomTokenizerFast.from_pretrained(folder())
    assert evaluate._heads_distance(folder() / FIGURES, evaluate.head_logits(heads, tokenizer)) < 1e-3
    list(heads["tags"].parameters())[-1].data.add_(0.01)
    assert evaluate._heads_distance(folder() / FIGURES, evaluate.head_logits(heads, tokenizer)) > 1e-3


@pytest.mark.slow
def test_a_folder_without_a_model_is_one_clear_sentence(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "bloomlab.tiny.evaluate", str(tmp_path)], capture_output=True, text=True
    )
    assert run.returncode == 1 and len(run.stderr.strip().splitlines()) == 1 and "config.json" in run.stderr


@pytest.mark.slow
def test_samples_are_written_in_every_language() -> None:
    written = evaluate.samples(folder(), 1)
    assert [line[1:3] for line in written.split("\n") if line.startswith("[")] == [
        "en", "fr", "es", "pt", "id", "vi", "sw", "zh", "ar", "hi"
    ]  # fmt: skip


def test_the_shipped_model_is_small_enough_for_a_wheel() -> None:
    paths = [path for path in folder().rglob("*") if path.is_file()]
    models = sum(path.stat().st_size for path in paths if "snapshots" not in path.parts)
    assert models < 10_000_000


def test_the_folder_is_known_without_torch() -> None:
    code = "import bloomlab.tiny, sys; bloomlab.tiny.folder(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_a_card_without_its_figures_is_told(tmp_path: Path) -> None:
    from bloomlab.errors import CheckpointError

    shutil.copy(folder() / "history.json", tmp_path)
    with pytest.raises(CheckpointError, match=FIGURES):
        filled(CARD.read_text(encoding="utf-8"), tmp_path)
