"""For each guard, a check that a test fails without it; and that this check itself can fail."""

import os
from pathlib import Path

import pytest

from tests.hostile import guards

GUARDED = """
def half(n):
    if n % 2:
        raise ValueError("odd")
    return n // 2
"""


def test_a_guard_that_is_left_out_lets_all_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "halves.py").write_text(GUARDED)
    tree, names = guards.asking(tmp_path / "halves.py")
    assert names == ["halves.py:4"]
    there: dict[str, object] = {}
    exec(compile(tree, "halves.py", "exec"), there)
    half = there["half"]
    assert callable(half) and half(4) == 2
    with pytest.raises(ValueError, match="odd"):
        half(3)
    monkeypatch.setattr(guards, "left_out", "halves.py:4")
    assert half(3) == 1


@pytest.mark.slow
def test_every_file_that_is_named_is_there_and_has_guards() -> None:
    for name in guards.FILES:
        assert guards.asking(guards.ROOT / "bloomlab" / f"{name}.py")[1], name


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="each guard is left out in a copy of the process")
@pytest.mark.parametrize(
    ("sample", "where"),
    [
        pytest.param(16, [], marks=pytest.mark.long),
        (2, ["text/tokenizer_file", "--only", "tests/text/test_tokenizer_file.py"]),
    ],
)
def test_no_guard_of_a_sample_can_be_left_out_unnoticed(sample: int, where: list[str]) -> None:
    """`make guards` tries all of them."""
    done = guards.in_another_process("--sample", str(sample), *where)
    all_held = f"{sample} of {sample} guards held" in done.stdout
    assert done.returncode == 0 and all_held, done.stdout[-3000:] + done.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="each guard is left out in a copy of the process")
def test_a_guard_that_no_test_holds_is_named(tmp_path: Path) -> None:
    """bloomlab/tasks/finetune.py's tests are none of those that run, so that nothing comes by its guards."""
    done = guards.in_another_process("guards/uninterrupted", "--sample", "1", "--only", "tests/guards/test_memory.py")
    assert done.returncode == 1 and "no test comes by" in done.stdout, done.stdout + done.stderr
