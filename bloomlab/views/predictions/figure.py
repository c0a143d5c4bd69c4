"""What the heads say as a matplotlib figure: what `.save("x.png")` and "x.svg" of the predictions write."""

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure

from bloomlab.views.hidden.figure import MOST_COLUMNS, _plain
from bloomlab.views.predictions.still import Cell, arrays, cell, change_sentences, columns, head_sentences, lines
from bloomlab.views.shared.figure import SIGNED, figure_style, plain_marks, sign, wrapped
from bloomlab.views.shared.pictures import ink_on
from bloomlab.views.shared.tables import HARDLY, change_cell, names


def predictions_figure(values: dict[str, Any]) -> Figure:
    """A row for each head, or for each layer of one; the words in the colour of their probability."""
    picture, numbers, places, rows = values["picture"], arrays(values), columns(values, MOST_COLUMNS), lines(values)
    cells = [[cell(values, numbers, kind, layer, place) for place in places] for _, kind, layer in rows]
    differs = "difference" in picture
    shades = np.ma.masked_invalid([[np.nan if each is None else _shade(each) for each in row] for row in cells])
    norm: Normalize = PowerNorm(0.5, 0, 1)
    if differs:
        shades, limit = np.ma.masked_equal(shades, 0), max(0.01, float(np.abs(shades.filled(0)).max()))
        norm = Normalize(-limit, limit)
    said = change_sentences(values) if differs else head_sentences(values)
    size = (3 + 0.75 * len(places), 1.8 + 0.3 * len(rows) + 0.2 * len(said))  # inches
    with figure_style():
        figure = Figure(figsize=size, layout="constrained", dpi=150)
        axes = figure.add_subplot()
        colours = SIGNED if differs else colormaps["cividis"]
        image = axes.imshow(shades, cmap=colours, norm=norm, interpolation="nearest", aspect="auto")
        papers = image.to_rgba(shades, bytes=True)
        for row, line in enumerate(cells):
            for column, each in enumerate(line):
                if each and (each.mark or not differs or each.change):
                    *paper, opaque = papers[row, column].tolist()
                    colour = [part / 255 for part in ink_on(paper)] if opaque else "0.3"
                    before, after = ("[", "") if each.mark == "[" else ("", each.mark.replace("▲", " ▲"))
                    word = before + _written(each) + after
                    axes.text(column, row, word, ha="center", va="center", color=colour, fontsize=8)
        which = f"after layer {values['layer']}" if values["asked"] == "all" else "at every layer"
        what = (
            "how the probabilities of what the heads say have changed (white: not at all)"
            if differs
            else "what the heads say"
        )
        sentences = [wrapped(plain_marks(sentence), figure, 11) for sentence in said]
        axes.set_title("\n".join([f"{what} {which}", *sentences]), loc="left")
        axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        shown = names(picture)
        axes.set_xticks(range(len(places)), [_plain(shown[place]) for place in places], rotation=90)
        axes.set_xlabel("token read · ▲ the label is read here · [ ] the answer")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        label = "change, what if − as it is" if differs else "probability"
        ticks = None if differs else [0, 0.01, 0.1, 0.25, 0.5, 1]
        figure.colorbar(image, ax=axes, shrink=0.8, label=label, ticks=ticks)
        sign(figure, picture["stamp"])
    return figure


def _shade(each: Cell) -> float:
    return each.p if each.before is None else each.change


def _written(each: Cell) -> str:
    """What stands in a cell; of a difference what has changed, as its colour says by how much."""
    if each.before is not None and abs(each.change) < HARDLY:
        return "≈" if each.change else ""
    if each.before is not None and each.word == f"{each.p:.2f}":
        return change_cell(each.change, 2)
    return _plain(each.word)
