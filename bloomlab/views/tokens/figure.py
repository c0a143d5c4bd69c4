"""The tokens view as a matplotlib figure: chips, one chip's merges, costs by language; or a difference of two runs."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bloomlab.views.shared.assets import theme_colour
from bloomlab.views.shared.figure import SIGNED, figure_style, plain_marks, sign, wrapped
from bloomlab.views.shared.pictures import ink_on
from bloomlab.views.shared.tables import change_cell, names
from bloomlab.views.tokens.still import direction, replay_of, stages, surprise_sentence, surprises

WIDTH = 10.0  # inches
LINE = 96  # characters of a line of chips
ROW = 0.45  # inches
MOST_CHIPS = 120  # of a longer text, the first


def tokens_figure(picture: dict[str, Any], comparison: dict[str, Any], chip: int) -> Figure:
    """Chips with ids and bytes, below them the merges of the chosen chip, and the comparison if there is one."""
    lines = _lines(picture)
    steps = stages(replay_of(picture, chip))
    rows = [row for row in comparison["rows"] if row["bits"] is not None]
    heights = [1.6 * len(lines), 1.3 * len(steps) + 1, 0.8 * len(rows) + 1 if rows else 0]
    with figure_style():
        figure = Figure(figsize=(WIDTH, ROW * sum(heights) + 0.4), layout="constrained", dpi=150)
        parts = figure.subplots(
            2 + bool(rows), 1, height_ratios=[height for height in heights if height], squeeze=False
        )[:, 0]
        _draw_chips(parts[0], lines, chip)
        if direction(picture["text"]) == "rtl":
            parts[0].invert_xaxis()
        _draw_stages(parts[1], picture, steps, chip)
        if rows:
            _draw_costs(parts[2], rows)
        sign(figure, comparison["stamp"] or picture["stamp"])
    return figure


def surprise_figure(shown: dict[str, Any]) -> Figure:
    """Of a difference: the chips of the text, each token in the colour of how much more it surprises the model."""
    picture, others = shown["picture"], shown["picture"]["difference"]["others"]
    before, after = surprises(shown)
    change = after - before if before.size else np.full(len(picture["tokens"]), np.nan)
    limit = max(0.01, float(np.abs(np.nan_to_num(change)).max()))
    scale = ScalarMappable(Normalize(-limit, limit), SIGNED)
    entries: list[tuple[int, str, str, str]] = []
    for place, name in enumerate(names(picture)[:MOST_CHIPS]):
        number = change_cell(float(change[place]), 2)
        was = f"was {others[str(place)]}" if str(place) in others else ""
        entries.append((place, name, number, was))
    lines = _broken(entries)
    with figure_style():
        figure = Figure(figsize=(WIDTH, ROW * 1.6 * len(lines) + 1.6), layout="constrained", dpi=150)
        axes = figure.add_subplot()
        axes.set(xlim=(0, max(LINE, *(sum(map(_size, line)) for line in lines))), ylim=(len(lines), 0))
        axes.axis("off")
        for row, line in enumerate(lines):
            left = 0.0
            for entry in line:
                place, width = entry[0], _size(entry)
                paper = scale.to_rgba(change[place]) if change[place] else "0.93"
                ink = "0.3" if not change[place] or np.isnan(change[place]) else _ink(paper)
                paper = "0.93" if np.isnan(change[place]) else paper
                axes.add_patch(Rectangle((left + 0.2, row + 0.05), width - 0.4, 0.88, facecolor=paper))
                for text, at, size in zip(entry[1:], (0.27, 0.55, 0.79), (10, 8, 7), strict=True):
                    axes.text(
                        left + width / 2, row + at, _text(text), ha="center", va="center", fontsize=size, color=ink
                    )
                left += width
        if direction(picture["text"]) == "rtl":
            axes.invert_xaxis()
        axes.set_title(wrapped(plain_marks(surprise_sentence(shown)), figure, 11), loc="left")
        bar = figure.colorbar(scale, ax=axes, orientation="horizontal", shrink=0.6, aspect=40)
        bar.set_label("change of the surprise at each token, what if − as it is, nats · grey: no change")
        sign(figure, picture["stamp"])
    return figure


def _ink(paper: Any) -> Any:
    return [part / 255 for part in ink_on([round(255 * part) for part in paper[:3]])]


def _broken(entries: list[tuple[int, str, str, str]]) -> list[list[tuple[int, str, str, str]]]:
    """Entries, broken into lines."""
    lines: list[list[tuple[int, str, str, str]]] = [[]]
    used = 0
    for entry in entries:
        if used + _size(entry) > LINE and lines[-1]:
            lines.append([])
            used = 0
        lines[-1].append(entry)
        used += _size(entry)
    return lines


def _lines(picture: dict[str, Any]) -> list[list[tuple[int, str, str, str]]]:
    """Chips as (place, what is shown, ids, bytes), broken into lines."""
    entries = []
    for place, chip in enumerate(picture["chips"][:MOST_CHIPS]):
        tokens = [picture["tokens"][token] for token in chip["tokens"]]
        ids, data = " ".join(str(t["id"]) for t in tokens), " | ".join(t["bytes"] for t in tokens)
        entries.append((place, chip["shown"], ids, data))
    return _broken(entries)


def _size(entry: tuple[int, str, str, str]) -> int:
    return max(map(len, entry[1:])) + 2


def _draw_chips(axes: Axes, lines: list[list[tuple[int, str, str, str]]], chip: int) -> None:
    axes.set(xlim=(0, max(LINE, *(sum(map(_size, line)) for line in lines))), ylim=(len(lines), 0))
    axes.axis("off")
    for row, line in enumerate(lines):
        left = 0.0
        for entry in line:
            place, shown, ids, data = entry
            width = _size(entry)
            _box(axes, left + 0.2, row + 0.05, width - 0.4, 0.88, chosen=place == chip)
            for text, at, size in ((shown, 0.25, 10), (ids, 0.53, 7), (data, 0.77, 6)):
                axes.text(left + width / 2, row + at, _text(text), ha="center", va="center", fontsize=size)
            left += width


def _draw_stages(axes: Axes, picture: dict[str, Any], steps: list[list[tuple[str, str]]], chip: int) -> None:
    chosen, replayed = picture["chips"][chip], replay_of(picture, chip)["steps"]
    joined = [-1, *(step[0] for step in replayed)]
    ranks = [None, *(step[2][step[0]] for step in replayed)]
    size = max(len(steps[0]), 12)
    axes.set(xlim=(-1.6, size), ylim=(len(steps), 0))
    axes.axis("off")
    axes.set_title(_text(f"how {chosen['shown']} is built: byte-pair merges, by rank"), loc="left")
    for row, (parts, new, rank) in enumerate(zip(steps, joined, ranks, strict=True)):
        name = "bytes" if rank is None else f"rank {rank}"
        axes.text(-1.6, row + 0.5, name, va="center", color="0.35", fontsize=8)
        left = 0
        for place, (data, shown) in enumerate(parts):
            width = len(data.split(" "))
            _box(axes, left + 0.04, row + 0.08, width - 0.08, 0.84, chosen=place == new)
            axes.text(left + width / 2, row + (0.34 if shown else 0.5), _text(shown), ha="center", va="center")
            axes.text(left + width / 2, row + (0.72 if shown else 0.5), data, ha="center", va="center", fontsize=6)
            left += width


def _draw_costs(axes: Axes, rows: list[dict[str, Any]]) -> None:
    axes.set_title("the same text in other languages: tokens per byte (left), bits per byte (right)", loc="left")
    most = max(row["per_byte"] for row in rows)
    worst = max(row["bits"] for row in rows)
    for place, row in enumerate(rows):
        axes.barh(place, -row["per_byte"] / most, color="0.6", height=0.6)
        axes.barh(place, row["bits"] / worst, color=theme_colour("accent"), height=0.6)
        axes.text(-row["per_byte"] / most - 0.01, place, f"{row['per_byte']:.3f}", ha="right", va="center", fontsize=8)
        axes.text(row["bits"] / worst + 0.01, place, f"{row['bits']:.2f}", ha="left", va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [_text(row["name"]) for row in rows])
    axes.set(xlim=(-1.12, 1.12), xticks=[])
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _box(axes: Axes, x: float, y: float, width: float, height: float, chosen: bool) -> None:
    paper, edge = ("#f6dfe9", theme_colour("accent")) if chosen else ("0.96", "0.8")
    axes.add_patch(Rectangle((x, y), width, height, linewidth=0.8, facecolor=paper, edgecolor=edge))


def _text(text: str) -> str:
    return text.replace("$", r"\$")  # a dollar is text here, not mathematics
