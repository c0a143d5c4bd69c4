"""The grid of predictions as a matplotlib figure: what `.save("x.png")` and "x.svg" of the hidden states write."""

from typing import Any

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from bloomlab.views._figure import figure_style, sign
from bloomlab.views._hidden_still import arrays, cell_colours, step_name
from bloomlab.views._static import names

MOST_COLUMNS = 24  # tokens in one figure
LONGEST = 9  # characters of a word in a cell


def lens_figure(values: dict[str, Any]) -> Figure:
    """The likeliest next token of each state and token around the selected one, coloured by its probability."""
    picture, found = values["picture"], arrays(values)
    first, count = values["window"]["first"], values["window"]["count"]
    start = max(0, min(values["query"] - first - MOST_COLUMNS // 2, count - MOST_COLUMNS))
    columns = range(start, min(count, start + MOST_COLUMNS))
    probs = found["probs"][:, columns.start : columns.stop, 0]
    size = (2.5 + 0.75 * len(columns), 1.8 + 0.3 * len(probs))  # inches
    with figure_style():
        figure = Figure(figsize=size, layout="constrained", dpi=150)
        axes = figure.add_subplot()
        image = axes.imshow(probs, cmap="cividis", norm=PowerNorm(0.5, 0, 1), interpolation="nearest", aspect="auto")
        for row, column in np.ndindex(*probs.shape):
            word = values["words"][str(found["ids"][row, columns[column], 0])][0]
            _, ink = cell_colours(float(probs[row, column]))
            colour = [part / 255 for part in ink]
            axes.text(column, row, _plain(word), ha="center", va="center", color=colour, fontsize=8)
        axes.set_title("what it would say next at each state · logit lens", loc="left")
        axes.set_yticks(range(len(probs)), [step_name(label) for label in picture["states"]])
        shown = names(picture)
        axes.set_xticks(range(len(columns)), [_plain(shown[first + column]) for column in columns], rotation=90)
        axes.set_xlabel("token read")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        figure.colorbar(image, ax=axes, shrink=0.8, label="probability", ticks=[0, 0.01, 0.1, 0.25, 0.5, 1])
        sign(figure, picture["stamp"])
    return figure


def _plain(word: str) -> str:
    """A word short enough for a cell; a dollar is text here, not mathematics."""
    return (word if len(word) <= LONGEST else word[: LONGEST - 1] + "…").replace("$", r"\$")
