"""What the heads say as a matplotlib figure: what `.save("x.png")` and "x.svg" of the predictions write."""

from typing import Any

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from bloomlab.views.hidden.figure import MOST_COLUMNS, _plain
from bloomlab.views.predictions.still import arrays, cell, columns, head_sentences, lines
from bloomlab.views.shared.figure import figure_style, sign, wrapped
from bloomlab.views.shared.pictures import cell_colours
from bloomlab.views.shared.tables import names


def predictions_figure(values: dict[str, Any]) -> Figure:
    """A row for each head, or for each layer of one; the words in the colour of their probability."""
    picture, numbers, places, rows = values["picture"], arrays(values), columns(values, MOST_COLUMNS), lines(values)
    cells = [[cell(values, numbers, kind, layer, place) for place in places] for _, kind, layer in rows]
    probs = np.ma.masked_invalid([[np.nan if each is None else each.p for each in row] for row in cells])
    size = (3 + 0.75 * len(places), 1.8 + 0.3 * len(rows) + 0.2 * len(head_sentences(values)))  # inches
    with figure_style():
        figure = Figure(figsize=size, layout="constrained", dpi=150)
        axes = figure.add_subplot()
        image = axes.imshow(probs, cmap="cividis", norm=PowerNorm(0.5, 0, 1), interpolation="nearest", aspect="auto")
        for row, line in enumerate(cells):
            for column, each in enumerate(line):
                if each:
                    colour = [part / 255 for part in cell_colours(each.p)[1]]
                    before, after = ("[", "") if each.mark == "[" else ("", each.mark.replace("▲", " ▲"))
                    word = before + _plain(each.word) + after
                    axes.text(column, row, word, ha="center", va="center", color=colour, fontsize=8)
        which = f"after layer {values['layer']}" if values["asked"] == "all" else "at every layer"
        sentences = [wrapped(_marked(sentence), figure, 11) for sentence in head_sentences(values)]
        axes.set_title("\n".join([f"what the heads say {which}", *sentences]), loc="left")
        axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        shown = names(picture)
        axes.set_xticks(range(len(places)), [_plain(shown[place]) for place in places], rotation=90)
        axes.set_xlabel("token read · ▲ the label is read here · [ ] the answer")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        figure.colorbar(image, ax=axes, shrink=0.8, label="probability", ticks=[0, 0.01, 0.1, 0.25, 0.5, 1])
        sign(figure, picture["stamp"])
    return figure


def _marked(sentence: str) -> str:
    """The marks around a text inside it, for fonts that have none of them: after it, on from left to right."""
    return sentence.replace("\u2068", "").replace("\u2069", "\u200e")
