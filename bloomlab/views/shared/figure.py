"""Figures for slides and papers, drawn by matplotlib: what all of them share."""

import io
import textwrap
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font_names

from bloomlab.views.shared.assets import theme_colour

SIGNED = LinearSegmentedColormap.from_list("signed", [theme_colour(end) for end in ("negative", "zero", "positive")])
"""For differences, centred on zero: the colours of the page."""

FONTS = [  # the first font that has a letter draws it
    "DejaVu Sans",
    *("Noto Sans", "Noto Naskh Arabic", "Noto Sans Arabic", "Noto Sans Devanagari", "Noto Sans Hebrew"),
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "PingFang SC", "Microsoft YaHei", "Arial Unicode MS"),
    *("Noto Emoji", "Segoe UI Emoji", "Segoe UI Symbol"),
]


class ShownFigure(Figure):
    """A figure that a notebook shows as the value of a cell; one of matplotlib's own it shows if pyplot is in use."""

    def _repr_png_(self) -> bytes:
        picture = io.BytesIO()
        self.savefig(picture, format="png")
        return picture.getvalue()


def save_figure(draw: Callable[..., Figure], path: Path, *values: object) -> None:
    """Write what `draw(*values)` gives: what `.save("x.png")` and "x.svg" do. A letter that no font has is a box."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        draw(*values).savefig(path)


@contextmanager
def figure_style(**more: object) -> Iterator[None]:
    """Small letters of any language; those of an SVG as shapes, so that it looks the same without our fonts."""
    style = {"font.family": fonts(), "font.size": 9, "svg.fonttype": "path", **more}
    with matplotlib.rc_context(style):  # type: ignore[arg-type]  # it lists every name there is
        yield


def sign(figure: Figure, stamp: str) -> None:
    """Write in the corner where the numbers come from; the last step, because the fonts are looked up here."""
    lines = wrapped(stamp, figure, 7)
    figure.supxlabel(lines, fontsize=7, color="0.35", ha="right", x=0.99, multialignment="right")
    figure.canvas.draw()


def plain_marks(sentence: str) -> str:
    """The marks around a text inside a sentence, for fonts that have none of them: after it, on from left to right."""
    return sentence.replace("\u2068", "").replace("\u2069", "\u200e")


def wrapped(text: str, figure: Figure, size: float) -> str:
    """A text in as many lines as it takes, in letters of so many points. A dollar is text here, not mathematics."""
    letters = int(figure.get_figwidth() * 72 / (0.65 * size))  # a letter is about 0.65 of its height wide
    return "\n".join(textwrap.wrap(text, letters)).replace("$", r"\$")


def fonts() -> list[str]:
    """Those of FONTS that this machine has."""
    installed = set(get_font_names())
    return [font for font in FONTS if font in installed]
