"""One head's matrix as a figure for slides and papers."""

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from torch import Tensor

from bloomlab.views.shared.figure import figure_style, sign

MOST_LABELS = 48  # with more tokens, every second, third, … has its name


def matrix_figure(probs: Tensor, names: list[str], title: str, stamp: str) -> Figure:
    """Probabilities (query, key) in the explorer's colours, with the names of the tokens along both sides."""
    values = probs.detach().float().cpu().numpy()
    unseen = np.triu(np.ones_like(values, dtype=bool), 1)
    every = -(-len(probs) // MOST_LABELS)
    places = range(0, len(probs), every)
    labels = [names[place].replace("$", r"\$") for place in places]  # a dollar is text here, not mathematics
    side = min(10.0, 2.5 + 0.28 * len(probs))  # inches
    with figure_style():
        figure = Figure(figsize=(side, side), layout="constrained", dpi=150)
        axes = figure.add_subplot()
        image = axes.imshow(
            np.ma.masked_array(values, unseen), cmap="cividis", norm=PowerNorm(0.5, 0, 1), interpolation="nearest"
        )
        axes.set_title(title, loc="left")
        axes.set_yticks(places, labels)
        axes.set_xticks(places, labels, rotation=90)
        axes.set_ylabel("who is looking · query")
        axes.set_xlabel("at whom · key")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        figure.colorbar(image, ax=axes, shrink=0.6, label="probability", ticks=[0, 0.01, 0.1, 0.25, 0.5, 1])
        sign(figure, stamp)
    return figure
