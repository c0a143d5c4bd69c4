"""One head's matrix as a figure for slides and papers."""

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from torch import Tensor

from bloomlab.views.shared.figure import SIGNED, figure_style, sign, wrapped
from bloomlab.views.shared.pictures import largest

MOST_LABELS = 48  # with more tokens, every second, third, … has its name
MOST_CELLS = 1024  # a side, more than the picture has pixels; of a longer text it shows the largest of each block


def matrix_figure(probs: Tensor, names: list[str], title: str, stamp: str, differs: bool = False) -> Figure:
    """Probabilities (query, key) in the explorer's colours, with the names of the tokens along both sides.

    With `differs` they are changes of probabilities, in colours that are centred on zero.
    """
    tokens, block = len(probs), -(-len(probs) // MOST_CELLS)
    if block > 1:
        probs, title = largest(probs, block), f"{title}\nof each {block} × {block} cells the largest"
    limit = max(0.01, float(probs.abs().max()))
    norm = Normalize(-limit, limit) if differs else PowerNorm(0.5, 0, 1)
    values = probs.detach().float().cpu().numpy()
    unseen = np.triu(np.ones_like(values, dtype=bool), 1)
    every = -(-tokens // MOST_LABELS)
    places = range(0, tokens, every)
    labels = [names[place].replace("$", r"\$") for place in places]  # a dollar is text here, not mathematics
    side = min(10.0, 2.5 + 0.28 * tokens)  # inches
    with figure_style():
        figure = Figure(figsize=(side, side), layout="constrained", dpi=150)
        axes = figure.add_subplot()
        colours = SIGNED if differs else colormaps["cividis"]
        image = axes.imshow(np.ma.masked_array(values, unseen), cmap=colours, norm=norm, interpolation="nearest")
        axes.set_title("\n".join(wrapped(line, figure, 11) for line in title.split("\n")), loc="left")
        axes.set_yticks([place / block for place in places], labels)
        axes.set_xticks([place / block for place in places], labels, rotation=90)
        axes.set_ylabel("who is looking · query")
        axes.set_xlabel("at whom · key")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        label = "change of the probability, what if − as it is" if differs else "probability"
        ticks = None if differs else [0, 0.01, 0.1, 0.25, 0.5, 1]
        figure.colorbar(image, ax=axes, shrink=0.6, label=label, ticks=ticks)
        sign(figure, stamp)
    return figure
