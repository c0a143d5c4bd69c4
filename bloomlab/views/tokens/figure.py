"""The tokens view as a matplotlib figure, for slides and papers: chips, one chip's merges, and costs by language."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bloomlab.views.shared.assets import theme_colour
from bloomlab.views.shared.figure import figure_style, sign
from bloomlab.views.tokens.still import direction, replay_of, stages

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


def _lines(picture: dict[str, Any]) -> list[list[tuple[int, str, str, str]]]:
    """Chips as (place, what is shown, ids, bytes), broken into lines."""
    lines: list[list[tuple[int, str, str, str]]] = [[]]
    used = 0
    for place, chip in enumerate(picture["chips"][:MOST_CHIPS]):
        tokens = [picture["tokens"][token] for token in chip["tokens"]]
        entry = (place, chip["shown"], " ".join(str(t["id"]) for t in tokens), " | ".join(t["bytes"] for t in tokens))
        size = _size(entry)
        if used + size > LINE and lines[-1]:
            lines.append([])
            used = 0
        lines[-1].append(entry)
        used += size
    return lines


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
