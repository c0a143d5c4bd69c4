"""The shipped model holds its floors, and a model that does not is noticed."""

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bloomlab.tiny
from bloomlab.tiny import evaluate, folder
from bloomlab.tiny.evaluate import Floor, heads_table
from bloomlab.tiny.labelled import LABELS
from bloomlab.tiny.world import TAGS

CARD = Path(bloomlab.tiny.__file__).with_name("README.md")


def test_a_floor_holds_at_its_limit_and_on_the_right_side() -> None:
    assert Floor("loss", 1.32, "≤", 1.32).holds and not Floor("loss", 1.33, "≤", 1.32).holds
    assert Floor("share", 0.97, "≥", 0.97).holds and not Floor("share", 0.96, "≥", 0.97).holds
    assert not Floor("loss", float("nan"), "≤", 1.32).holds
    assert str(Floor("share", 0.5, "≥", 0.97)).endswith("FAIL")


@pytest.mark.slow
def test_the_shipped_model_holds_every_floor() -> None:
    result = evaluate.evaluate()
    assert len(result["floors"]) == 15
    assert len(result["by position"]) == 8 and result["distance"].shape == (4, 8)
    assert set(result["language"]) == {"all", *LABELS["language"]} and set(result["tags"]) == {"all", *TAGS[1:]}
    for floor in result["floors"]:
        assert floor.holds, str(floor)
    table = heads_table(result).splitlines()
    assert len(table) == 1 + 8 and "1/2 " in table[1] and "0.393" in table[1] and "1/256" in table[-1]


@pytest.mark.slow
def test_a_damaged_model_fails_with_exit_code_1(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder(), tmp_path, dirs_exist_ok=True)
    weights = load_file(tmp_path / "model.safetensors")
    weights["transformer.h.1.mlp.dense_h_to_4h.weight"].zero_()
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    run = subprocess.run(
        [sys.executable, "-m", "bloomlab.tiny.evaluate", str(tmp_path)], capture_output=True, text=True
    )
    assert run.returncode == 1 and "FAIL" in run.stdout


def test_a_folder_without_a_model_is_one_clear_sentence(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "bloomlab.tiny.evaluate", str(tmp_path)], capture_output=True, text=True
    )
    assert run.returncode == 1 and len(run.stderr.strip().splitlines()) == 1 and "config.json" in run.stderr


def test_the_card_names_the_files_that_ship() -> None:
    rows = re.findall(r"`(\S+)` \| ([\d,]+) \| `([0-9a-f]{64})`", CARD.read_text(encoding="utf-8"))
    files = [path for path in folder().rglob("*") if path.is_file()]
    assert {name for name, _, _ in rows} == {path.relative_to(folder()).as_posix() for path in files}
    for name, size, digest in rows:
        content = (folder() / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (int(size.replace(",", "")), digest), name


def test_the_shipped_models_are_small_enough_for_a_wheel() -> None:
    sizes = {path: path.stat().st_size for path in folder().rglob("*") if path.is_file()}
    snapshots = sum(size for path, size in sizes.items() if path.parent.name == "snapshots")
    assert sum(sizes.values()) - snapshots < 10_000_000 and snapshots < 7_500_000


def test_the_folder_is_known_without_torch() -> None:
    code = "import bloomlab.tiny, sys; bloomlab.tiny.folder(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
