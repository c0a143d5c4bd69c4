"""Writing as a matplotlib figure: the next token before and after the settings, and how likely each token was."""

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bloomlab.views.shared.assets import theme_colour
from bloomlab.views.shared.figure import figure_style, sign, wrapped
from bloomlab.views.writing.still import path_of, still_text

MOST = 60  # of a longer text, the last tokens


def writing_figure(shown: dict[str, Any]) -> Figure:
    """On the left what can come next, on the right a bar for each token that was written."""
    tree, bars = shown["tree"], shown["bars"][str(shown["at"])]
    path = path_of(tree, shown["at"])[-MOST:]
    with figure_style(**{"axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(10, 4.6), layout="constrained", dpi=150)
        following, written = figure.subplots(1, 2, width_ratios=[3, 4])
        rows = np.arange(len(bars["names"]))
        following.barh(rows - 0.2, bars["before"], 0.38, color="0.7", label="in the model")
        following.barh(rows + 0.2, bars["after"], 0.38, color=theme_colour("accent"), label="after the settings")
        following.set_yticks(rows, [_text(name) for name in bars["names"]])
        following.invert_yaxis()
        following.set(xlim=(0, 1), xlabel="probability of the next token")
        following.legend(frameon=False, loc="lower right")
        places = np.arange(len(path))
        other = shown["other"]
        width = 0.8 if not other else 0.4
        probs = [math.exp(tree["log_probs"][node]) for node in path]
        written.bar(places - 0.2 * bool(other), probs, width, color=theme_colour("accent"), label="what if")
        if other:
            theirs = path_of(other["tree"], other["at"])[-len(path) :] if path else []
            probs = [math.exp(other["tree"]["log_probs"][node]) for node in theirs]
            written.bar(places[: len(theirs)] + 0.2, probs, width, color="0.7", label="as it is, its own text")
            written.legend(frameon=False)
        written.set_xticks(places, [_text(tree["shown"][node]) for node in path], rotation=90, fontsize=7)
        written.set(ylim=(0, 1), ylabel="probability when it was written")
        figure.suptitle(wrapped(still_text(shown), figure, 9), x=0.01, ha="left")
        sign(figure, shown["picture"]["stamp"])
    return figure


def _text(text: str) -> str:
    return text.replace("$", r"\$")  # a dollar is text here, not mathematics
