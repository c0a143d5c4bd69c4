"""What of it is chance? Figures of twins that were trained from several starts each: mean and range.

    figures = kept()                                what ships, by the names of the twins
    of_kind(figures, "rotary")                      the figures of each start, "rotary" and "rotary-seed1", …
    spread([1.2, 1.3, 1.7])                         1.40 (1.20 to 1.70)

With three starts there is no more honest word for the spread than the lowest and the highest.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import mean
from typing import Any

from bloomlab.errors import CheckpointError
from bloomlab.guards.files import read_json
from bloomlab.model.positions import KINDS
from bloomlab.tiny import TWINS_FOLDER
from bloomlab.tiny.card import MAX_BYTES, markdown
from bloomlab.tiny.floors import Floor
from bloomlab.tiny.positions import LENGTH

STARTS = "starts.json"
STRETCH = LENGTH // 2  # positions whose loss is one figure, as measure_positions.by_position has it
ROOM = 2  # a floor is the worst of the starts, and so many times as far beyond it as the starts lie apart

Pick = Callable[[dict[str, Any]], Mapping[str, float]]


def picks() -> dict[str, Pick]:
    """What is shown of a twin's figures, each by length, by lag or by position."""

    def answers(place: str, what: str) -> Pick:
        return lambda of: {length: each[place][what][0] for length, each in of["asked"].items()}

    def repeats(what: str) -> Pick:
        return lambda of: {lag: each[what][0] for lag, each in of["by_lag"].items()}

    return {
        "spread_loss": lambda of: {length: each[0] for length, each in of["by_length"].items()},
        **{f"spread_{place}": answers(place, "loss") for place in ("near", "far", "untold")},
        "spread_positions": lambda of: {
            f"{n * STRETCH + 1} to {(n + 1) * STRETCH}": each[0]
            for n, each in enumerate(of["by_position"])
            if n + 1 in (1, 2, 4, 8, 16)
        },
        "spread_distance": lambda of: {length: mean(map(mean, heads)) for length, heads in of["distance"].items()},
        "spread_right": answers("far", "right"),
        "spread_lags": repeats("right"),
        "spread_looks": repeats("looks"),
    }


def kept() -> dict[str, Any]:
    """What was measured of the twins of the short setting, `python -m bloomlab.tiny.positions --short`, by their names.

    Raises:
        CheckpointError: the file is not there, or damaged.
    """
    return read_json(TWINS_FOLDER / STARTS, MAX_BYTES, CheckpointError)


def of_kind(figures: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """The figures of each start of the twins of a kind.

    >>> of_kind({"none": {"a": 1}, "none-seed2": {"a": 3}, "rotary": {}}, "none")
    [{'a': 1}, {'a': 3}]
    """
    return [of for name, of in figures.items() if name.split("-seed")[0] == kind]


def spread(values: Sequence[float]) -> str:
    """Mean, lowest and highest.

    >>> spread([1.2, 1.3, 1.7])
    '1.40 (1.20 to 1.70)'
    """
    return f"{mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def tables(figures: Mapping[str, Any]) -> dict[str, Callable[[], str]]:
    """The card's tables of the spread: a line for each kind, a column for each length or lag."""

    def of(pick: Pick) -> str:
        found = {kind: [pick(each) for each in of_kind(figures, kind)] for kind in KINDS}
        columns = list(dict.fromkeys(column for starts in found.values() for each in starts for column in each))
        rows = [
            [
                kind,
                *(spread([each[c] for each in starts]) if all(c in each for each in starts) else "–" for c in columns),
            ]
            for kind, starts in found.items()
            if starts
        ]
        return markdown(["", *columns], rows)

    return {name: partial(of, pick) for name, pick in picks().items()}


def floors(figures: Mapping[str, Any], kept: Mapping[str, Any], length: str, longest: str) -> list[Floor]:
    """What a twin trained in this setting must reach: what each start did that is `kept`, with room for another one.

    Of copying and of answers there is no floor: which starts have learned them by then is chance.
    """
    found = []
    for name, of in figures.items():
        kind = name.split("-seed")[0]
        starts = [each["by_length"][length][0] for each in of_kind(kept, kind)]
        if not starts:
            continue
        limit = max(starts) + ROOM * (max(starts) - min(starts))
        found.append(Floor(f"{name}: loss in rows of {length}", of["by_length"][length][0], "≤", round(limit, 3)))
        if kind == "alibi":
            own = of["by_length"][length][0]
            name = f"{name}: loss in rows of {longest} (limit: of {length})"
            found.append(Floor(name, of["by_length"][longest][0], "≤", own))
    return found
