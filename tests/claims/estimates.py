"""How far can an estimated map of effects be trusted? Each estimate beside the exact map, on pairs of two kinds.

    python -m tests.claims.estimates          20 pairs of each kind
    python -m tests.claims.estimates 5        as many as you say

The kinds: another city (the answer itself differs), and a story that is told again beside one that is not ("again"
against "cat": whether it is copied at all differs).
"""

import statistics
import sys
from collections.abc import Iterator
from itertools import product

from bloomlab import Lab, load
from bloomlab.lens.effect_map import Agreement
from bloomlab.lens.patching import MODES, effects
from tests.claims.stories import recaps

MAPS = ("stream", "mlps", "heads", "positions")
FORMS = ("plain", "integrated")


def pairs(lab: Lab, count: int) -> dict[str, list[tuple[str, str, str]]]:
    """For each kind the text, the other, and the answer."""
    stories = recaps(lab, count)
    return {
        "another city": [(one.text, one.other_text, f" {one.city}") for one in stories],
        "told or not": [(one.text, one.text.replace("it again", "it cat"), f" {one.city}") for one in stories],
    }


def agreements(lab: Lab, some: list[tuple[str, str, str]], what: str, mode: str, form: str) -> list[Agreement]:
    found = []
    for text, other, answer in some:
        *_, last = effects(lab.model, lab.tokenizer, text, other, what=what, mode=mode, estimate=form, answer=answer)
        if (agreement := last.results[0].agreement) is not None:
            found.append(agreement)
    return found


def measure(lab: Lab, count: int) -> Iterator[str]:
    heads = f"{'r: mean':>8}{'least':>7}{'miss: mean':>12}{'most':>7}{'of top 10':>11}"
    yield f"{'':<14}{'map':<11}{'asked':<8}{'estimate':<12}{heads}"
    for kind, some in pairs(lab, count).items():
        for what, mode, form in product(MAPS, MODES, FORMS):
            found = agreements(lab, some, what, mode, form)
            r, miss, top = ([getattr(one, name) for one in found] for name in ("pearson", "miss", "found"))
            yield (
                f"{kind:<14}{what:<11}{mode:<8}{form:<12}{statistics.mean(r):8.3f}{min(r):7.2f}"
                f"{statistics.mean(miss):12.3f}{max(miss):7.2f}{statistics.mean(top):11.1f}"
            )


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    opened = load()
    print(f"{number} pairs of each kind; a miss is a share of the logit difference")
    for line in measure(opened, number):
        print(line, flush=True)
