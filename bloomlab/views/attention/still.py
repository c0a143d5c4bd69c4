"""Attention without script: for a page whose kernel is gone, for GitHub, for a terminal."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bloomlab.guards.markup import escaped
from bloomlab.views.shared.panel import Shown
from bloomlab.views.shared.pictures import cividis, image
from bloomlab.views.shared.tables import change_cell, names, table, text_cell

GAP = 4  # pixels between two thumbnails
SHOWN_KEYS = 8  # rows of the table


def static_text(picture: dict[str, Any], layer: int, head: int) -> str:
    """One line for a terminal."""
    return f"{picture['layers']} layers × {picture['heads']} heads, shows layer {layer}, head {head}"


def static_html(picture: dict[str, Any], thumbs: bytes, matrix: NDArray[np.uint8], whose: str, query: int) -> str:
    """The text's chips, all heads as one picture, a matrix of colour steps, and one row of it in numbers."""
    shown = [escaped(name) for name in names(picture)]
    what = escaped(whose[0].upper() + whose[1:])
    chips = " ".join(f"<code><bdi>{escaped(chip['shown'])}</bdi></code>" for chip in picture["chips"])
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
        f"<p>{what}: each row is a token that looks, each column a token looked at.</p>"
        f"{image(_enlarged(matrix, 320), f'attention matrix: {whose}')}"
        f"<table><thead><tr><th>token {query} <bdi>{shown[query]}</bdi> looks at</th>"
        f"<th>probability ≈</th></tr></thead><tbody>{rows}</tbody></table>"
        f"<p><small>{escaped(picture['stamp'])} · run the cell to explore</small></p></div>"
    )


def first_sentence(picture: dict[str, Any], probs: Tensor, shown: Shown) -> str:
    """Of one row of one head: where it looks most."""
    names_of, query = names(picture), shown["query"]
    key = int(probs[query, : query + 1].argmax())
    whom = "itself" if key == query else f"\u2068{names_of[key]}\u2069"
    where = f"layer {shown['layer']}, head {shown['head']}: standing at \u2068{names_of[query]}\u2069"
    return f"{where}, it looks at {whom}: {100 * float(probs[query, key]):.0f} %"


def first_html(picture: dict[str, Any], probs: Tensor, shown: Shown) -> str:
    """One row of one head: the text up to the token that looks, with its shares."""
    query = shown["query"]
    cells = zip(names(picture)[: query + 1], probs[query, : query + 1].tolist(), strict=True)
    rows = [(text_cell(name), f"{p:.3f}", f"{'█' * round(24 * p)}") for name, p in cells]
    return (
        f"<div><p>{escaped(first_sentence(picture, probs, shown))}</p>{table(('token', 'share', ''), rows)}"
        f"<p><small>{escaped(picture['stamp'])} · run the cell to explore</small></p></div>"
    )


def noticed_sentence(picture: dict[str, Any]) -> str:
    """Of a difference: the head that noticed most, and what of it, in a sentence."""
    noticed, shown = picture["difference"]["noticed"], names(picture)
    if not noticed:
        return "no head looks otherwise than before"
    layer, head, query, key, before, after = noticed[0]
    whom = "itself" if query == key else f"token {key} \u2068{shown[key]}\u2069"
    return (
        f"head {layer}.{head} noticed most: token {query} \u2068{shown[query]}\u2069 looks at {whom} "
        f"{before:.3f} → {after:.3f}"
    )


def change_html(picture: dict[str, Any], thumbs: bytes, change: NDArray[np.float32], whose: str, query: int) -> str:
    """Of a difference: all heads as one picture, the change of a matrix, and one row of it in numbers."""
    shown = [text_cell(name) for name in names(picture)]
    limit = max(0.01, float(np.abs(change).max()))
    row = change[query, : query + 1]
    keys = sorted(range(query + 1), key=lambda key: -abs(row[key]))[:SHOWN_KEYS]
    rows = [(f"{key} {shown[key]}", change_cell(float(row[key]))) for key in keys if row[key]]
    says = f"token {query} {shown[query]} looks at"
    steps = (tiles(picture, thumbs) - np.float32(127.5)) / np.float32(127.5)
    return (
        f"<div><p>{escaped(noticed_sentence(picture))}.</p>"
        f"<p>How attention has changed in {picture['layers']} layers (down) × {picture['heads']} heads (across): "
        "orange is more, blue is less, pale is none:</p>"
        f"{image(_side_by_side(_signed(steps, 1), picture['heads']), 'change of every head, in small')}"
        f"<p>{escaped(whose[0].upper() + whose[1:])}; the strongest colour is a change of {limit:.3f}.</p>"
        f"{image(_signed(change[None], limit, max(1, 320 // len(change)))[0], f'change of the matrix: {whose}')}"
        f"{table((says, 'change of the probability'), rows) if rows else f'<p>{says} what it looked at before.</p>'}"
        f"<p><small>{escaped(picture['stamp'])} · run the cell to explore</small></p></div>"
    )


def _signed(changes: NDArray[np.float32], limit: float, size: int | None = None) -> list[NDArray[np.uint8]]:
    """Changes (picture, query, key) as pixels, `size` a cell, in the page's colours; what cannot be seen is clear."""
    from bloomlab.views.shared.figure import SIGNED  # matplotlib, only when it is asked for

    side = changes.shape[-1]
    size = size or max(1, round(40 / side))
    pixels = np.round(SIGNED((changes / limit + 1) / 2) * 255).astype(np.uint8)
    pixels[..., 3] *= np.tri(side, dtype=np.uint8)
    return [one.repeat(size, 0).repeat(size, 1) for one in pixels]


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
    return _side_by_side([_coloured(step, size) for step in steps], heads)


def _side_by_side(squares: list[NDArray[np.uint8]], heads: int) -> NDArray[np.uint8]:
    """Pictures of heads as one, a row for each layer."""
    pictures = [np.pad(square, ((0, GAP), (0, GAP), (0, 0))) for square in squares]
    rows = [np.concatenate(pictures[first : first + heads], 1) for first in range(0, len(pictures), heads)]
    return np.concatenate(rows, 0)


def _enlarged(step: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    return _coloured(step, max(1, width // len(step)))


def _coloured(step: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Colour steps as pixels, `size` a cell; what cannot be seen stays transparent."""
    pixels = cividis()[step]
    pixels[..., 3] *= np.tri(len(step), dtype=np.uint8)
    return pixels.repeat(size, 0).repeat(size, 1)
