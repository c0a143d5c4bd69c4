"""ALiBi as a matplotlib figure, for slides and papers: every head's line, and its reach beside where it looks."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bloomlab.views.alibi.payload import of_layer
from bloomlab.views.shared.assets import theme_colour
from bloomlab.views.shared.figure import SIGNED, figure_style, sign


def difference_figure(picture: dict[str, Any], change: NDArray[np.float32], layer: int) -> Figure:
    """One layer's lines as it is, dashed, and what if; and how much farther each head looks, (layer, head)."""
    slopes = [of_layer(run, layer)[0] for run in (picture["difference"]["before"], picture)]
    last, limit = max(1, len(picture["tokens"]) - 1), max(1e-6, float(np.abs(change).max()))
    with figure_style(**{"axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(10, 0.16 * max(16, len(slopes[0])) + 2), layout="constrained", dpi=150)
        lines, grid = figure.subplots(1, 2)
        back = np.arange(max(last, 32) + 1)
        for before, after in zip(*slopes, strict=True):
            moved = before != after
            lines.plot(back, -before * back, color="0.5", lw=1, ls="--" if moved else "-")
            if moved:
                lines.plot(back, -after * back, color=theme_colour("accent"), lw=2, zorder=3)
        lines.set(xlim=(0, back[-1]), ylim=(-6.2, 0.1), xlabel="distance, tokens", ylabel="added to the score, nats")
        lines.set_title(
            f"what distance costs · layer {layer}\n– – as it is   — what if, where the slope has moved", loc="left"
        )
        image = grid.imshow(change, cmap=SIGNED, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
        grid.set(xlabel="head", ylabel="layer", xticks=range(change.shape[1]), yticks=range(change.shape[0]))
        grid.set_title("how much farther a head looks\non average over this text", loc="left")
        figure.colorbar(image, ax=grid, shrink=0.8, label="change of the mean distance, tokens: what if − as it is")
        sign(figure, picture["stamp"])
    return figure


def other_figure(picture: dict[str, Any], distances: NDArray[np.float32], layer: int) -> Figure:
    """Of a model without ALiBi: how alike two places are by their distance, and where its heads look (layer, head)."""
    other, last = picture["other"], max(1, len(picture["tokens"]) - 1)
    with figure_style(**{"axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(10, 0.16 * max(16, distances.shape[1]) + 2), layout="constrained", dpi=150)
        lines, rows = figure.subplots(1, 2)
        lines.plot(range(len(other["alike"])), other["alike"], color=theme_colour("accent"), lw=2)
        lines.set(xlim=(0, last), ylim=(min([0, *other["alike"]]), 1.05), xlabel="tokens apart", ylabel="alike")
        lines.set_title(
            "no ALiBi: " + (f"{other['kind']} positions" if other["alike"] else "and no place in it"), loc="left"
        )
        for number, of_all in enumerate(distances):
            chosen = number == layer
            face = theme_colour("accent") if chosen else "none"
            rows.scatter(of_all, range(len(of_all)), s=22, facecolors=face, edgecolors=theme_colour("accent"))
        rows.invert_yaxis()
        rows.set(xlabel="tokens back", ylabel="head")
        rows.set_title(f"how far each head looks: ● on average, layer {layer}   ○ other layers", loc="left")
        sign(figure, picture["stamp"])
    return figure


def alibi_figure(picture: dict[str, Any], distances: NDArray[np.float32], layer: int, head: int) -> Figure:
    """The bias against distance, the chosen head in colour; reach and mean distances (layer, head), one row a head."""
    (slopes, of_heads), last = of_layer(picture, layer), max(1, len(picture["tokens"]) - 1)
    reach = [np.nan if tokens is None else tokens for tokens in of_heads["reach"]]  # a flat head's has no place
    with figure_style(**{"axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(10, 0.16 * max(16, len(slopes)) + 2), layout="constrained", dpi=150)
        lines, rows = figure.subplots(1, 2)
        back = np.arange(max(last, 32) + 1)
        for number, slope in enumerate(slopes):
            chosen = number == head
            lines.plot(back, -slope * back, color=theme_colour("accent") if chosen else "0.6", lw=2.5 if chosen else 1)
        lines.axhline(-3, color="0.3", lw=1, ls="--")
        lines.text(back[-1], -2.9, "reach: 3 nats gone", ha="right", va="bottom", color="0.3")
        lines.set(xlim=(0, back[-1]), ylim=(-6.2, 0.1), xlabel="distance, tokens", ylabel="added to the score, nats")
        title = f"what distance costs · ALiBi bias\nhead {head}: slope {slopes[head]:.4g}"
        everywhere = "everywhere" if np.isnan(reach[head]) else f"{reach[head]:.0f} tokens"
        lines.set_title(f"{title}, reach {everywhere}", loc="left")

        heads = np.arange(len(slopes))
        for number, of_all in enumerate(distances):
            chosen = number == layer
            colours = {
                "facecolors": theme_colour("accent") if chosen else "none",
                "edgecolors": theme_colour("accent") if chosen else "0.5",
            }
            rows.scatter(np.maximum(of_all, 0.1), heads, s=22, zorder=3, label=None, **colours)
        rows.scatter(reach, heads, marker="|", s=90, color="0.2", label="reach")
        rows.axvline(last, color="0.3", lw=1, ls="--")
        rows.set_xscale("log")
        rows.xaxis.set_major_formatter("{x:g}")
        rows.invert_yaxis()
        rows.set(xlabel="tokens back", ylabel="head", xlim=(0.09, np.nanmax([*reach, last]) * 1.3))
        title = f"how far each head may look: | reach\nand does: ● on average, layer {layer}   ○ other layers"
        rows.set_title(title, loc="left")
        rows.text(
            last, len(slopes) - 0.55, "this text ends", rotation=90, ha="right", va="bottom", fontsize=8, color="0.3"
        )
        sign(figure, picture["stamp"])
    return figure
