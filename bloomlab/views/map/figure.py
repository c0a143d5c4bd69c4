"""The map of the model as a matplotlib figure: the parts from the text to the next token, top to bottom."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from bloomlab.views.map.still import all_learned, learned, shape_of, share, still_text
from bloomlab.views.shared.assets import theme_colour
from bloomlab.views.shared.figure import figure_style, sign, wrapped

WIDTH = 8.0  # inches
ROW = 0.5


def map_figure(shown: dict[str, Any]) -> Figure:
    """A box for each part; what each layer has stands in a frame, indented; the chosen part in the accent's colour."""
    picture, parts = shown["picture"], shown["parts"]
    layers, total = picture["layers"], all_learned(shown)
    with figure_style():
        figure = Figure(figsize=(WIDTH, ROW * (len(parts) + 2.5)), layout="constrained", dpi=150)
        axes = figure.add_subplot()
        axes.set(xlim=(0, 100), ylim=(len(parts) + 0.2, -0.2))
        axes.axis("off")
        inside = [place for place, part in enumerate(parts) if part["layered"]]
        top, bottom = inside[0], inside[-1] + 1
        frame = FancyBboxPatch((4, top), 92, bottom - top, boxstyle="round,pad=0", fill=False, edgecolor="0.7")
        axes.add_patch(frame)
        axes.text(97, (top + bottom) / 2, f"× {layers} layers", rotation=270, va="center", ha="left")
        for place, part in enumerate(parts):
            chosen = part["name"] == shown["part"]
            left, width = (8, 84) if part["layered"] else (4, 92)
            colour = theme_colour("accent") if chosen else "0.6"
            box = FancyBboxPatch(
                (left, place + 0.14), width, 0.72, boxstyle="round,pad=0", facecolor="0.97", edgecolor=colour,
                linewidth=2 if chosen else 0.8,
            )  # fmt: skip
            axes.add_patch(box)
            axes.text(left + 1.5, place + 0.5, part["title"], va="center", weight="bold" if chosen else "normal")
            axes.text(left + 26, place + 0.5, _there(shown, part), va="center", fontsize=8, color="0.25")
            if part["parameters"]:
                count = learned(part, layers)
                text = f"{count:,} learned · {share(count, total)}"
                axes.text(left + width - 1, place + 0.5, text, va="center", ha="right", fontsize=8, color="0.25")
        figure.suptitle(wrapped(still_text(shown), figure, 9), x=0.01, ha="left", fontsize=9)
        sign(figure, picture["stamp"])
    return figure


def _there(shown: dict[str, Any], part: dict[str, Any]) -> str:
    if part["name"] == "next":
        before = [f" (was {prob:.2f})" for prob in shown["next_before"]] or [""] * len(shown["next"])
        words = (f"{text} {prob:.2f}{was}" for (text, prob), was in zip(shown["next"], before, strict=True))
        return "   ".join(words).replace("$", r"\$")
    return shape_of(part, len(shown["picture"]["tokens"]))
