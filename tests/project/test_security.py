"""SECURITY.md promises nothing that no test holds."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
PROMISES = re.split(r"^- ", PAGE.split("## What is not promised")[0], flags=re.MULTILINE)[1:]


def functions_of(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.slow
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: " ".join(promise.split()[:6]))
def test_every_promise_names_tests_that_exist(promise: str) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", promise)
    assert named
    for path, name in named:
        assert name.startswith("test_") and name in functions_of(path), f"{path} has no {name}"


def test_there_are_promises_and_their_limits() -> None:
    assert len(PROMISES) > 8
    assert "This is no sandbox" in PAGE and "## How to report" in PAGE
