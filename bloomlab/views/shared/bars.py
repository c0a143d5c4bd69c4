"""Numbers as bars from zero, a row for each name and a column for each kind, as a matplotlib figure."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from bloomlab.views.shared.assets import theme_colour
from bloomlab.views.shared.figure import figure_style, plain_marks, sign, wrapped
from bloomlab.views.shared.tables import change_cell

WIDTH = 10.0  # inches
ROW = 0.24
MARGIN = 1.6
LONGEST = 40  # characters of a name


class Bars(NamedTuple):
    """A column of bars.

    Attributes:
        title: what it shows, with its unit.
        values: a number for each row; None leaves the row empty.
        spreads: the standard deviation of each over several texts, if these are means.
        names: of its rows, where they are not those of the figure.
    """

    title: str
    values: Sequence[float | None]
    spreads: Sequence[float | None] = ()
    names: Sequence[str] = ()


def bars_figure(title: str, names: Sequence[str], columns: Sequence[Bars], stamp: str, alike: bool = True) -> Figure:
    """The columns beside each other; `alike`: in one scale, else each in its own."""
    rows = max(len(column.names or names) for column in columns)
    own = any(column.names for column in columns)
    with figure_style():
        figure = Figure(figsize=(WIDTH, ROW * rows + MARGIN), layout="constrained", dpi=150)
        parts = figure.subplots(1, len(columns), sharey=not own, sharex=alike, squeeze=False)[0]
        figure.suptitle(wrapped(plain_marks(title), figure, 10), fontsize=10, ha="left", x=0.01)
        for axes, column in zip(parts, columns, strict=True):
            spreads = column.spreads or [None] * len(column.values)
            values = [0.0 if value is None else value for value in column.values]
            colours = [theme_colour("negative" if value < 0 else "positive") for value in values]
            errors = [0.0 if spread is None else spread for spread in spreads]
            axes.barh(range(len(values)), values, 0.7, color=colours, xerr=errors if any(errors) else None)
            axes.axvline(0, color="0.4", linewidth=0.8)
            for place, (value, spread) in enumerate(zip(column.values, spreads, strict=True)):
                if value is not None:
                    text = change_cell(value, 2) + ("" if spread is None else f" ± {spread:.2f}")
                    axes.annotate(text, (1, place), (4, 0), ("axes fraction", "data"), "offset points", va="center")
            axes.set_title(column.title, loc="left", fontsize=9)
            shown = [_short(name) for name in column.names or names]
            axes.set_yticks(range(len(shown)), shown)
            axes.spines[["top", "right", "left"]].set_visible(False)
            axes.tick_params(axis="y", length=0)
        if own:
            for axes in parts:
                axes.invert_yaxis()
        else:
            parts[0].invert_yaxis()
        sign(figure, stamp)
    return figure


def _short(name: str) -> str:
    name = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
    return name.replace("$", r"\$")
