"""Attention without script: for a page whose kernel is gone, for GitHub, for a terminal."""

from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bloomlab.views.shared.pictures import cividis, image
from bloomlab.views.shared.tables import names

GAP = 4  # pixels between two thumbnails
SHOWN_KEYS = 8  # rows of the table


def static_text(picture: dict[str, Any], layer: int, head: int) -> str:
    """One line for a terminal."""
    return f"{picture['layers']} layers × {picture['heads']} heads, shows layer {layer}, head {head}"


def static_html(picture: dict[str, Any], thumbs: bytes, matrix: NDArray[np.uint8], whose: str, query: int) -> str:
    """The text's chips, all heads as one picture, a matrix of colour steps, and one row of it in numbers."""
    shown = [escape(name) for name in names(picture)]
    chips = " ".join(f"<code><bdi>{escape(chip['shown'])}</bdi></code>" for chip in picture["chips"])
    row = matrix[query // picture["block"]].tolist()
    strongest = sorted(range(len(row)), key=lambda key: -row[key])[:SHOWN_KEYS]
    rows = "".join(
        f"<tr><td>{_place(key, picture['block'], shown)}</td><td>{(row[key] / 255) ** 2:.3f}</td></tr>"
        for key in strongest
        if row[key] > 0
    )
    return (
        f"<div><p>{chips}</p>"
        f"<p>Attention of {picture['layers']} layers (down) × {picture['heads']} heads (across); "
        "dark is 0, yellow is 1:</p>"
        f"{image(_grid(tiles(picture, thumbs), picture['heads']), 'attention of every head, in small')}"
        f"<p>{whose[0].upper() + whose[1:]}: each row is a token that looks, each column a token looked at.</p>"
        f"{image(_enlarged(matrix, 320), f'attention matrix: {whose}')}"
        f"<table><thead><tr><th>token {query} <bdi>{shown[query]}</bdi> looks at</th>"
        f"<th>probability ≈</th></tr></thead><tbody>{rows}</tbody></table>"
        f"<p><small>{escape(picture['stamp'])} · run the cell to explore</small></p></div>"
    )


def tiles(picture: dict[str, Any], thumbs: bytes) -> NDArray[np.uint8]:
    """The thumbnails as squares of colour steps, 0 to 255: (layer · head, query, key), 0 above the diagonal."""
    side = -(-len(picture["tokens"]) // picture["block"])
    causal = np.frombuffer(thumbs, np.uint8).reshape(picture["layers"] * picture["heads"], -1)
    squares = np.zeros((len(causal), side, side), np.uint8)
    squares[:, *np.tril_indices(side)] = causal
    return squares


def _place(cell: int, block: int, shown: list[str]) -> str:
    """Which token, or tokens, a cell of a thumbnail is about."""
    if block == 1:
        return f"{cell} <bdi>{shown[cell]}</bdi>"
    return f"{cell * block} to {min(cell * block + block, len(shown)) - 1}"


def _grid(steps: NDArray[np.uint8], heads: int) -> NDArray[np.uint8]:
    """All thumbnails side by side, (row, column, red green blue alpha)."""
    size = max(1, round(40 / steps.shape[-1]))
    pictures = [np.pad(_coloured(step, size), ((0, GAP), (0, GAP), (0, 0))) for step in steps]
    rows = [np.concatenate(pictures[first : first + heads], 1) for first in range(0, len(pictures), heads)]
    return np.concatenate(rows, 0)


def _enlarged(step: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    return _coloured(step, max(1, width // len(step)))


def _coloured(step: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Colour steps as pixels, `size` a cell; what cannot be seen stays transparent."""
    pixels = cividis()[step]
    pixels[..., 3] *= np.tri(len(step), dtype=np.uint8)
    return pixels.repeat(size, 0).repeat(size, 1)
