"""What the heads say as a matplotlib figure: what `.save("x.png")` and "x.svg" of the predictions write."""

import warnings
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from bloomlab.views._figure import _fonts
from bloomlab.views._hidden_figure import MOST_COLUMNS, _plain
from bloomlab.views._hidden_still import cell_colours
from bloomlab.views._predictions_still import arrays, cell, columns, lines, verdicts
from bloomlab.views._static import names


def save_predictions(values: dict[str, Any], path: Path) -> None:
    """Write the figure. The words are any of the vocabulary: a letter that no installed font has becomes a box."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        predictions_figure(values).savefig(path)


def predictions_figure(values: dict[str, Any]) -> Figure:
    """A row for each head, or for each layer of one; the words in the colour of their probability."""
    picture, found, places, rows = values["picture"], arrays(values), columns(values, MOST_COLUMNS), lines(values)
    cells = [[cell(values, found, kind, layer, place) for place in places] for _, kind, layer in rows]
    probs = np.ma.masked_invalid([[np.nan if said is None else said.p for said in row] for row in cells])
    size = (3 + 0.75 * len(places), 1.8 + 0.3 * len(rows) + 0.2 * len(verdicts(values)))  # inches
    with matplotlib.rc_context({"font.family": _fonts(), "font.size": 9, "svg.fonttype": "path"}):
        figure = Figure(figsize=size, layout="constrained", dpi=150)
        axes = figure.add_subplot()
        image = axes.imshow(probs, cmap="cividis", norm=PowerNorm(0.5, 0, 1), interpolation="nearest", aspect="auto")
        for row, line in enumerate(cells):
            for column, said in enumerate(line):
                if said:
                    colour = [part / 255 for part in cell_colours(said.p)[1]]
                    before, after = ("[", "") if said.mark == "[" else ("", said.mark.replace("▲", " ▲"))
                    word = before + _plain(said.word) + after
                    axes.text(column, row, word, ha="center", va="center", color=colour, fontsize=8)
        which = f"after layer {values['layer']}" if values["asked"] == "all" else "at every layer"
        axes.set_title("\n".join([f"what the heads say {which}", *map(_dollars, verdicts(values))]), loc="left")
        axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        shown = names(picture)
        axes.set_xticks(range(len(places)), [_plain(shown[place]) for place in places], rotation=90)
        axes.set_xlabel("token read · ▲ the label is read here · [ ] the answer")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        figure.colorbar(image, ax=axes, shrink=0.8, label="probability", ticks=[0, 0.01, 0.1, 0.25, 0.5, 1])
        figure.supxlabel(_dollars(picture["stamp"]), fontsize=7, color="0.35", ha="right", x=0.99)
        figure.canvas.draw()  # the fonts are looked up now, while ours are set
    return figure


def _dollars(sentence: str) -> str:
    """A dollar is text here, not mathematics; a long sentence is cut."""
    sentence = sentence.replace("\u2068", "").replace("\u2069", "")  # marks that no font has a picture of
    return (sentence if len(sentence) <= 90 else sentence[:89] + "…").replace("$", r"\$")
