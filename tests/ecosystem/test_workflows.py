"""bloomlab's model and tokenizer in the hands of transformers, 4 and 5, and PEFT: workflows.py says what is done."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch

from tests.ecosystem.workflows import WORKFLOWS

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-v4" / "bin" / "python"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_it_works_with_transformers_5(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    WORKFLOWS[name](tmp_path)


def test_all_of_it_works_with_transformers_4() -> None:
    if not PYTHON.exists():
        reason = "there is no .venv-v4, the environment with transformers 4; `make test` makes it"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    command = [PYTHON, "-m", "tests.ecosystem.workflows"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    said = json.loads(run.stdout.splitlines()[-1])
    assert said["transformers"].startswith("4.") and said["tried"] == sorted(WORKFLOWS)
    assert not said["failed"]
