"""docs/claims.md, the page of all claims, from what was measured: `python -m tests.claims.page`."""

import re

import torch

from bloomlab import Lab, load
from tests.claims.claim import ROOT, Claim
from tests.claims.every import CLAIMS
from tests.claims.kept import write

PAGE = ROOT / "docs" / "claims.md"
HEAD = """\
# What bloomlab says of its model, measured

Each sentence below stands in a lesson or on a page. Beside it: what was measured on the weights inside the package, and
the control, which is the same measurement where the sentence expects nothing. A test measures every line anew and fails
if the sentence is false, if value and control could be exchanged, or if nobody says it any more. Several numbers are
given as the lowest, the middle one and the highest. Made by `make claims-page`.

Where a *finding* is named, the numbers are in a file that you can check: `bloomlab.finding("sixteen.json").check()`
runs the edit and its controls again and says what moved.
"""
TABLE = "| what is said | measured | control | also in |\n| --- | --- | --- | --- |\n"
NUMBER = re.compile(r"[-−]?\d+\.\d+")

_measured: dict[str, tuple[list[float], list[float]]] = {}


def remember(name: str, value: list[float], control: list[float]) -> None:
    """Keep what a test has measured already."""
    _measured[name] = value, control


def page(lab: Lab) -> str:
    """The whole page."""
    parts, file = [HEAD], ""
    for name, claim in CLAIMS.items():
        if name not in _measured:
            remember(name, *claim.measured(lab))
        if claim.said_in[0] != file:
            file = claim.said_in[0]
            parts.append(f"\n## [{file}](../{file})\n\n{TABLE}")
        parts.append(row(claim, *_measured[name]))
    return "".join(parts)


def row(claim: Claim, value: list[float], control: list[float]) -> str:
    """One line of the page's tables."""
    others = ", ".join(f"[{file}](../{file})" for file in claim.said_in[1:])
    files = "".join(f" ([finding](findings/{name}.json))" for name in claim.findings)
    cells = (claim.sentence, f"{summary(value)}: {claim.value}{files}", f"{summary(control)}: {claim.control}", others)
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |\n"


def summary(values: list[float]) -> str:
    """A few numbers, or of many the lowest, the middle and the highest, always with a decimal point.

    >>> summary([0.5]), summary([3, 1, 2, 5, 4])
    ('0.50', '1.0 · 3.0 · 5.0')
    """
    if len(values) > 3:
        ordered = sorted(values)
        values = [ordered[0], ordered[len(ordered) // 2], ordered[-1]]
    return " · ".join(f"{value:.2f}" if abs(value) < 1 else f"{value:.1f}" for value in values)


def words(text: str) -> str:
    """A page without its measured numbers."""
    return NUMBER.sub("#", text)


def digits(text: str) -> list[float]:
    """The measured numbers of a page."""
    return [float(number.replace("−", "-")) for number in NUMBER.findall(text)]


if __name__ == "__main__":
    torch.set_num_threads(1)  # as in the tests: a training that jumps about ends elsewhere with more
    embedded = load()
    write(embedded)
    PAGE.write_text(page(embedded), encoding="utf-8")
