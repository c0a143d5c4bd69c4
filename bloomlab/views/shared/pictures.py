"""Colours and small pictures for what is drawn without a page: the stills and the figures."""

import base64
import io
import math
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from bloomlab.guards.markup import STAYS, escaped
from bloomlab.views.shared.assets import theme_colour


@cache
def cividis() -> NDArray[np.uint8]:
    """The 256 colours of a probability's square root, (step, red green blue alpha), each part 0 to 255."""
    from matplotlib import colormaps

    return np.round(colormaps["cividis"](np.arange(256)) * 255).astype(np.uint8)


def cell_colours(p: float) -> tuple[list[int], list[int]]:
    """The colour of a probability, and black or white, whichever is easier to read on it."""
    paper = cividis()[round(255 * math.sqrt(p))][:3].tolist()
    return paper, ink_on(paper)


STRONGEST = 0.6  # how much of its paper a tint covers at most, so that letters of either theme stay readable on it


def tint(part: float) -> str:
    """The style of a number's paper, from -1, blue, to 1, orange: it lets that of the page shine through.

    >>> tint(0.0), tint(-2.0).split(";")[0]
    ('', 'background-color:rgba(31, 95, 174, 0.60)')
    """
    covers = STRONGEST * min(1.0, abs(part))
    if not covers:
        return ""
    colour = theme_colour("positive" if part > 0 else "negative").lstrip("#")
    red, green, blue = (int(colour[i : i + 2], 16) for i in (0, 2, 4))
    return f"background-color:rgba({red}, {green}, {blue}, {covers:.2f});{STAYS}"


def ink_on(paper: list[int]) -> list[int]:
    """Black or white, whichever is easier to read on a colour; each part is 0 to 255."""
    light = sum(part * weight for part, weight in zip(map(_linear, paper), (0.2126, 0.7152, 0.0722), strict=True))
    return [0, 0, 0] if light > 0.179 else [255, 255, 255]  # where contrast with both is the same (WCAG 2)


def _linear(part: int) -> float:
    return part / 255 / 12.92 if part <= 10 else float(((part / 255 + 0.055) / 1.055) ** 2.4)


def cell_style(paper: list[int], ink: list[int]) -> str:
    """The style of a cell whose colour is data; each part is 0 to 255."""
    background, color = (f"rgb({', '.join(map(str, colour))})" for colour in (paper, ink))
    return f"background:{background};color:{color};{STAYS}"


def largest(matrix: Tensor, block: int) -> Tensor:
    """Of each block of cells, so many a side, the one that is largest by size: (…, query, key) -> fewer of each.

    >>> largest(torch.tensor([[0.25, 0.0, 0.0], [0.5, -0.75, 0.0], [0.125, 0.25, 0.625]]), 2)
    tensor([[-0.7500,  0.0000],
            [ 0.2500,  0.6250]])
    """
    whole = matrix.reshape(-1, 1, *matrix.shape[-2:])
    most, least = (sign * F.max_pool2d(sign * whole, block, ceil_mode=True) for sign in (1, -1))
    found = torch.where(most > -least, most, least)
    return found.reshape(*matrix.shape[:-2], *found.shape[-2:])


def image(pixels: NDArray[np.uint8], says: str) -> str:
    """An element that shows pixels (row, column, red green blue alpha); `says` is read to whoever cannot see it."""
    from matplotlib.image import imsave

    data = io.BytesIO()
    imsave(data, np.ascontiguousarray(pixels), format="png")
    height, width = pixels.shape[:2]
    source = base64.b64encode(data.getvalue()).decode()
    return f'<img src="data:image/png;base64,{source}" width="{width}" height="{height}" alt="{escaped(says)}">'
