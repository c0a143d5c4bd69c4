"""The map of effects as a matplotlib figure: what `.save("x.png")` of the hidden states writes while it is open."""

from typing import Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bloomlab.views.shared.figure import SIGNED, figure_style, plain_marks, sign, wrapped
from bloomlab.views.shared.pictures import ink_on
from bloomlab.views.shared.tables import change_cell

MOST = 32  # rows, and columns: those with the largest effects
HARDLY = 0.005  # a smaller share would be written as 0.00


def effects_figure(found: dict[str, Any], stamp: str) -> Figure:
    """Each cell's share of the lead; ~ is only estimated, hatched and with ? unstable, without a colour noise."""
    shape = (len(found["rows"]), len(found["columns"]))
    values = np.array([np.nan if value is None else value for value in found["values"]]).reshape(shape)
    unstable = np.array(found["unstable"] or [False] * values.size).reshape(shape)
    measured = np.array(found["measured"]).reshape(shape)
    quiet = np.abs(values) < (found["floor"] or 0.0)
    rows, columns = (_largest(values, axis) for axis in (0, 1))
    limit = max(0.01, float(np.nanmax(np.abs(values))))
    part = np.ix_(rows, columns)
    shown = np.ma.masked_array(values[part], np.isnan(values[part]) | quiet[part])
    with figure_style():
        figure = Figure(figsize=(3.2 + 0.62 * len(columns), 2.2 + 0.28 * len(rows)), layout="constrained", dpi=150)
        axes = figure.add_subplot()
        image = axes.imshow(shown, cmap=SIGNED, norm=Normalize(-limit, limit), interpolation="nearest", aspect="auto")
        for row, column in np.ndindex(shown.shape):
            value, place = values[rows[row], columns[column]], (rows[row], columns[column])
            if np.isnan(value):
                continue
            turns = unstable[place] and not quiet[place]
            if turns:
                axes.add_patch(
                    Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, hatch="//", edgecolor="0.6", linewidth=0)
                )
            number = "0" if abs(value) < HARDLY else change_cell(value, 2)
            text = f"{'' if measured[place] else '~'}{number}{'?' if turns else ''}"
            ink = "0.4" if quiet[place] else _ink(image.to_rgba(value, bytes=True))
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=ink)
        axes.set_title(wrapped(plain_marks(found["says"]), figure, 10), loc="left", fontsize=10)
        axes.set_yticks(range(len(rows)), [_plain(found["rows"][row]) for row in rows])
        axes.set_xticks(range(len(columns)), [_plain(found["columns"][column]) for column in columns], rotation=90)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        figure.colorbar(image, ax=axes, shrink=0.8, label=f"share of the lead, {found['unit']:.2f} nats")
        sign(figure, f"{found['trust']} · {stamp}" if found["trust"] else stamp)
    return figure


def _largest(values: Any, axis: int) -> list[int]:
    """The rows (0) or columns (1) with the largest effects, in their order."""
    sizes = np.nan_to_num(np.abs(values)).max(1 - axis)
    return sorted(np.argsort(-sizes, kind="stable")[:MOST].tolist())


def _ink(paper: Any) -> list[float]:
    return [part / 255 for part in ink_on([int(part) for part in paper[:3]])]


def _plain(text: str) -> str:
    return text.replace("$", r"\$")  # a dollar is text here, not mathematics
