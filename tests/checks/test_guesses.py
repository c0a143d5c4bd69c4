"""What was predicted is read from the file of a notebook, and from nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from bloomlab import checks
from bloomlab.errors import InputError


def written(path: Path, notebook: Any) -> Path:
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


def test_the_guesses_of_a_notebook_are_read_in_order(tmp_path: Path) -> None:
    about = [
        {"question": "How many?", "prediction": "7", "answer": "3"},
        {"question": "Is it?", "prediction": "", "answer": ""},
    ]
    outputs = [{"metadata": {"bloomlab": one}} for one in about]
    others = [{"metadata": {"bloomlab": {"text": "Leo"}}}, {"metadata": 3}, 4, {}]
    file = written(
        tmp_path / "a.ipynb", {"cells": [{"outputs": [*others, outputs[0]]}, {}, 5, {"outputs": outputs[1:]}]}
    )
    found = checks.report(file)
    assert [(guess.question, guess.prediction, guess.answer) for guess in found] == [
        tuple(one.values()) for one in about
    ]
    assert repr(found) == "How many?\n    said: 7    it is: 3\nIs it?\n    said: –    it is: –"


@pytest.mark.parametrize("notebook", [{}, {"cells": 3}, []])
def test_what_is_no_notebook_is_refused_in_words(tmp_path: Path, notebook: Any) -> None:
    with pytest.raises(InputError):
        checks.report(written(tmp_path / "a.ipynb", notebook))
    with pytest.raises(InputError):
        checks.report(tmp_path / "missing.ipynb")
