"""Figures for slides and papers, drawn by matplotlib: what all of them share, and one head's matrix."""

import textwrap
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font_names
from torch import Tensor

MOST_LABELS = 48  # with more tokens, every second, third, … has its name
FONTS = [  # the first that has a letter draws it
    "DejaVu Sans",
    *("Noto Sans", "Noto Naskh Arabic", "Noto Sans Arabic", "Noto Sans Devanagari", "Noto Sans Hebrew"),
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "PingFang SC", "Microsoft YaHei", "Arial Unicode MS"),
    *("Noto Emoji", "Segoe UI Emoji", "Segoe UI Symbol"),
]


def save_figure(draw: Callable[..., Figure], path: Path, *values: object) -> None:
    """Write what `draw(*values)` gives: what `.save("x.png")` and "x.svg" do. A letter that no font has is a box."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        draw(*values).savefig(path)


@contextmanager
def figure_style(**more: object) -> Iterator[None]:
    """Small letters of any language; those of an SVG as shapes, so that it looks the same without our fonts."""
    style = {"font.family": _fonts(), "font.size": 9, "svg.fonttype": "path", **more}
    with matplotlib.rc_context(style):  # type: ignore[arg-type]  # it lists every name there is
        yield


def sign(figure: Figure, stamp: str) -> None:
    """Write in the corner where the numbers come from; the last step, for the fonts are looked up here."""
    lines = wrapped(stamp, figure, 7)
    figure.supxlabel(lines, fontsize=7, color="0.35", ha="right", x=0.99, multialignment="right")
    figure.canvas.draw()


def wrapped(text: str, figure: Figure, size: float) -> str:
    """A text in as many lines as it takes, in letters of so many points. A dollar is text here, not mathematics."""
    letters = int(figure.get_figwidth() * 72 / (0.65 * size))  # a letter is about 0.65 of its height wide
    return "\n".join(textwrap.wrap(text, letters)).replace("$", r"\$")


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


def _fonts() -> list[str]:
    installed = set(get_font_names())
    return [font for font in FONTS if font in installed]
