"""Claims that are findings: an edit of the next token, with its controls, in a file that `bloomlab.finding` checks.

    @finding("Sixteen numbers switch copying on.")
    def sixteen(lab):
        return {"text": …, "edit": …, "texts": …}                  # as lab.finding takes them

    checked(lab, "sixteen").found                                   # docs/findings/sixteen.json, measured with this lab

`python -m tests.claims.page` writes the files. A claim is of this form if it says what an edit does to the chance of a
token or to the difference of two logits after the last token. What is said of attention, of states or probes, of ranks,
of several edits compared head by head, or of single texts' own controls is measured by hand.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import bloomlab
from bloomlab import Lab
from bloomlab.lens.findings import Check, Finding
from tests.claims.claim import ROOT

FOLDER = ROOT / "docs" / "findings"
Asked = dict[str, Any]
FINDINGS: dict[str, tuple[str, Callable[[Lab], Asked]]] = {}
"""What is claimed, and what `lab.finding` is asked, by the name of the file."""


def finding(claim: str) -> Callable[[Callable[[Lab], Asked]], Callable[[Lab], Asked]]:
    """Keep what the function below asks for as a file of its name."""

    def register(asked: Callable[[Lab], Asked]) -> Callable[[Lab], Asked]:
        FINDINGS[asked.__name__.replace("_", "-")] = claim, asked
        return asked

    return register


@cache
def checked(lab: Lab, name: str) -> Check:
    """The file's finding, measured again with this lab."""
    return bloomlab.finding(FOLDER / f"{name}.json", lab).check()


def made(lab: Lab, name: str) -> Finding:
    """The finding as it is measured now."""
    claim, asked = FINDINGS[name]
    return lab.finding(claim, **asked(lab))


def write(lab: Lab) -> None:
    """Write every file anew."""
    FOLDER.mkdir(exist_ok=True)
    for name in FINDINGS:
        made(lab, name).save(FOLDER / f"{name}.json")
